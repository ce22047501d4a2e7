//! Trust policies: names of users and roles become ids when a document is stored, and names again when it is shown.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal", on user and role principals: the ARN of a user or role
//! "transforms to the unique principal ID when you save the policy", and back when the policy is shown, unless who had the id
//! is gone. Invariant: who is deleted and made again under the same name is not trusted by what trusted the old one; who is
//! renamed goes on being trusted.
//!
//! Not here: sessions and accounts, which documents go on naming as they are named.

use std::borrow::Cow;

use super::error::{DirectoryError, ErrorCode};
use super::index::Directory;
use super::record::{Kind, Record, Role};
use crate::policy::rename_principals;

/// Kinds that documents name by id.
const BOUND: [Kind; 2] = [Kind::User, Kind::Role];

impl Directory {
    /// A trust policy as it is stored. It has been compiled before.
    ///
    /// # Errors
    /// MalformedPolicyDocument when it names a user or role that is not there.
    pub(super) fn bound_trust(&self, document: &str) -> Result<String, DirectoryError> {
        rename_principals(document, |name| self.bound_name(name))
            .map_err(|error| DirectoryError::new(ErrorCode::MalformedPolicyDocument, error.to_string()))
    }

    /// The trust policy of a role as it is shown.
    pub fn trust_policy<'r>(&self, role: &'r Role) -> Cow<'r, str> {
        let named = |name: &str| Some(self.shown_name(name).unwrap_or_else(|| name.to_owned()));
        match rename_principals(&role.trust_policy, named) {
            Ok(document) => Cow::Owned(document),
            Err(_) => Cow::Borrowed(&role.trust_policy),
        }
    }

    /// What is stored for a principal; `None` if it is a user or role that is not there.
    fn bound_name(&self, name: &str) -> Option<String> {
        if is_id(name) {
            return self.bound_record(name).map(|record| record.id().to_owned());
        }
        let resource = name.splitn(6, ':').nth(5).unwrap_or_default();
        let (word, path) = resource.split_once('/').unwrap_or_default();
        let is_of_iam = name.split(':').nth(2) == Some("iam");
        let Some(kind) = BOUND.into_iter().find(|kind| is_of_iam && kind.word() == word) else {
            return Some(name.to_owned());
        };
        let record = self.find(kind, path.rsplit('/').next()?)?;
        (self.arn(record) == name).then(|| record.id().to_owned())
    }

    /// The ARN of whoever has an id.
    fn shown_name(&self, name: &str) -> Option<String> {
        let record = is_id(name).then(|| self.bound_record(name)).flatten()?;
        Some(self.arn(record))
    }

    fn bound_record(&self, id: &str) -> Option<&Record> {
        let record = self.by_id(id)?.as_ref();
        BOUND.contains(&record.kind()).then_some(record)
    }
}

/// Whether a principal is named by an id.
fn is_id(name: &str) -> bool {
    BOUND.iter().any(|kind| name.starts_with(kind.id_prefix()))
}
