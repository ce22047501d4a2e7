//! Inline policies of users, groups and roles.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::record::Kind;
use crate::directory::{compile, rules};
use crate::policy::DocumentKind;

impl Changes<'_> {
    /// PutUserPolicy, PutGroupPolicy and PutRolePolicy.
    ///
    /// # Errors
    /// NoSuchEntity, MalformedPolicyDocument, LimitExceeded.
    pub fn put_inline(
        &self,
        kind: Kind,
        name: &str,
        policy: &str,
        document: &str,
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.change(kind, name, |record| {
            compile(document, DocumentKind::Identity)?;
            let Some(inline) = record.inline_mut() else {
                return Ok(());
            };
            inline.insert(policy.to_owned(), document.to_owned());
            let most = rules::inline_size_max(kind);
            if inline
                .values()
                .map(|document| rules::size(document))
                .sum::<usize>()
                > most
            {
                return Err(DirectoryError::limit(format!(
                    "Maximum policy size of {most} bytes exceeded for {} {name}",
                    kind.word()
                )));
            }
            Ok(())
        })
    }

    /// DeleteUserPolicy, DeleteGroupPolicy and DeleteRolePolicy.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn delete_inline(&self, kind: Kind, name: &str, policy: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change(kind, name, |record| {
            let removed = record.inline_mut().and_then(|inline| inline.remove(policy));
            removed.map(|_| ()).ok_or_else(|| no_inline(kind, policy))
        })
    }
}

/// There is no inline policy of a name.
pub(in crate::directory) fn no_inline(kind: Kind, policy: &str) -> DirectoryError {
    DirectoryError::missing(format!(
        "The {} policy with name {policy} cannot be found.",
        kind.word()
    ))
}
