//! The query protocol of IAM and STS: forms in, XML out.
//!
//! Source: the service models `iam/2010-05-08` and `sts/2011-06-15` (protocol `query`). Invariant: the names of members and
//! elements are spelled here and nowhere else.

pub(crate) mod answer;
mod decode;
mod encode;
pub(crate) mod error;
mod fields;
pub(crate) mod form;
pub(crate) mod xml;

/// The two APIs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    Iam,
    Sts,
}

impl Api {
    /// Its name in credential scopes.
    pub(crate) fn service(self) -> &'static str {
        match self {
            Self::Iam => "iam",
            Self::Sts => "sts",
        }
    }

    /// Its version.
    pub(crate) fn version(self) -> &'static str {
        match self {
            Self::Iam => "2010-05-08",
            Self::Sts => "2011-06-15",
        }
    }

    /// The namespace of its XML.
    fn namespace(self) -> &'static str {
        match self {
            Self::Iam => "https://iam.amazonaws.com/doc/2010-05-08/",
            Self::Sts => "https://sts.amazonaws.com/doc/2011-06-15/",
        }
    }

    /// The API that has a version; IAM for any other.
    pub(crate) fn of_version(version: &str) -> Self {
        if version == Self::Sts.version() {
            Self::Sts
        } else {
            Self::Iam
        }
    }
}
