//! Who a certificate speaks for: `spiffe://<cluster-id>/node/<node-id>`, its only URI.
//!
//! Invariant: an identity comes from a certificate whose chain was verified, never from what a peer says. Not here: the
//! chain (`tls.rs`).

use std::fmt;
use std::str::FromStr;

use rustls::pki_types::CertificateDer;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::world::NodeId;

/// The longest cluster id, in bytes.
const CLUSTER_ID_BYTES_MAX: usize = 63;

/// A cluster's name in its certificates: lower-case letters, digits, `-`, `.` and `_`, at most 63 of them. Never changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClusterId(String);

/// The text is no cluster id.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is no cluster id: use 1 to {CLUSTER_ID_BYTES_MAX} lower-case letters, digits, `-`, `.` or `_`"
)]
pub struct ClusterIdError {
    text: String,
}

impl FromStr for ClusterId {
    type Err = ClusterIdError;

    fn from_str(text: &str) -> Result<Self, ClusterIdError> {
        let allowed = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_');
        if text.is_empty() || text.len() > CLUSTER_ID_BYTES_MAX || !text.bytes().all(allowed) {
            return Err(ClusterIdError {
                text: text.to_owned(),
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for ClusterId {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

/// A node of a cluster, as its certificate names it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CertifiedNode {
    /// The cluster.
    pub cluster: ClusterId,
    /// The node.
    pub node: NodeId,
}

/// A certificate that names no node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum IdentityError {
    #[error("the certificate cannot be read: {cause}")]
    Unreadable { cause: String },
    #[error(
        "the certificate names {names} instead of one node, which is a URI like spiffe://my-cluster/node/1 among its \
         alternative names"
    )]
    NoNode { names: String },
}

impl CertifiedNode {
    /// The URI that stands for this node in its certificate.
    pub fn uri(&self) -> String {
        format!("spiffe://{}/node/{}", self.cluster, self.node)
    }

    /// The node of a URI; only the form that [`uri`](Self::uri) gives is taken.
    fn from_uri(uri: &str) -> Option<Self> {
        let (cluster, node) = uri.strip_prefix("spiffe://")?.split_once("/node/")?;
        let identity = Self {
            cluster: cluster.parse().ok()?,
            node: NodeId(node.parse().ok()?),
        };
        (identity.uri() == uri).then_some(identity)
    }

    /// The node that a certificate was made for.
    pub(super) fn of_certificate(certificate: &CertificateDer<'_>) -> Result<Self, IdentityError> {
        let uris = uris(certificate)?;
        let identity = match uris.as_slice() {
            [uri] => Self::from_uri(uri),
            _ => None,
        };
        identity.ok_or_else(|| IdentityError::NoNode {
            names: if uris.is_empty() {
                "nothing".to_owned()
            } else {
                uris.join(", ")
            },
        })
    }
}

impl fmt::Display for CertifiedNode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node {} of cluster {}", self.node, self.cluster)
    }
}

/// The URIs among a certificate's alternative names.
pub(super) fn uris(certificate: &CertificateDer<'_>) -> Result<Vec<String>, IdentityError> {
    let parsed = parse(certificate)?;
    let names = parsed.subject_alternative_name().map_err(unreadable)?;
    Ok(names
        .iter()
        .flat_map(|names| &names.value.general_names)
        .filter_map(|name| match name {
            GeneralName::URI(uri) => Some((*uri).to_owned()),
            _ => None,
        })
        .collect())
}

/// The last moment at which a certificate is valid, in milliseconds since the Unix epoch.
pub(super) fn expires_ms(certificate: &CertificateDer<'_>) -> Result<u64, IdentityError> {
    let seconds = parse(certificate)?.validity().not_after.timestamp();
    Ok(u64::try_from(seconds).unwrap_or_default().saturating_mul(1000))
}

/// The certificate, of these, that is an authority's and belongs to a public key, which is given as the bits of its subject
/// public key.
pub(super) fn authority_of<'a>(
    certificates: &'a [CertificateDer<'static>],
    public_key: &[u8],
) -> Result<&'a CertificateDer<'static>, String> {
    let mut cause = "there is no certificate".to_owned();
    for certificate in certificates {
        match check_authority(certificate, public_key) {
            Ok(()) => return Ok(certificate),
            Err(refused) => cause = refused,
        }
    }
    Err(cause)
}

fn check_authority(certificate: &CertificateDer<'_>, public_key: &[u8]) -> Result<(), String> {
    let parsed = parse(certificate).map_err(|error| error.to_string())?;
    if parsed.public_key().subject_public_key.data.as_ref() != public_key {
        return Err("certificate and key do not belong together".to_owned());
    }
    if !parsed.is_ca() {
        return Err("the certificate is not an authority's".to_owned());
    }
    Ok(())
}

fn parse<'a>(certificate: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, IdentityError> {
    X509Certificate::from_der(certificate)
        .map(|(_, parsed)| parsed)
        .map_err(unreadable)
}

fn unreadable(error: impl fmt::Display) -> IdentityError {
    IdentityError::Unreadable {
        cause: error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_is_written_in_one_way_only() {
        let identity = CertifiedNode {
            cluster: "blue.1".parse().unwrap(),
            node: NodeId(7),
        };
        assert_eq!(identity.uri(), "spiffe://blue.1/node/7");
        assert_eq!(CertifiedNode::from_uri(&identity.uri()), Some(identity));
        for other in [
            "spiffe://blue.1/node/07",
            "spiffe://blue.1/node/+7",
            "spiffe://blue.1/node/7/",
            "spiffe://blue.1/node/",
            "spiffe://Blue/node/7",
            "spiffe:///node/7",
            "spiffe://a/node/node/7",
            "https://blue.1/node/7",
        ] {
            assert_eq!(CertifiedNode::from_uri(other), None, "{other}");
        }
    }

    #[test]
    fn a_cluster_id_has_few_characters() {
        for bad in ["", "Blue", "a/b", "a b", "ä", &"a".repeat(64)] {
            let error = bad.parse::<ClusterId>().unwrap_err();
            assert!(error.to_string().contains("is no cluster id"), "{error}");
        }
        assert_eq!("a-b_c.9".parse::<ClusterId>().unwrap().as_ref(), "a-b_c.9");
    }

    #[test]
    fn bytes_that_are_no_certificate_name_nobody() {
        let error = CertifiedNode::of_certificate(&CertificateDer::from(vec![1, 2, 3])).unwrap_err();
        assert!(matches!(error, IdentityError::Unreadable { .. }));
    }
}
