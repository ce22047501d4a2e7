//! Managed policies of users, groups and roles: attached, or as permissions boundaries.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::record::Kind;
use crate::directory::rules::ATTACHED_MAX;

impl Changes<'_> {
    /// AttachUserPolicy, AttachGroupPolicy and AttachRolePolicy. A policy that is attached already stays so.
    ///
    /// # Errors
    /// NoSuchEntity, InvalidInput, LimitExceeded.
    pub fn attach(&self, kind: Kind, name: &str, arn: &str) -> Result<Vec<Edit>, DirectoryError> {
        let id = self.attachable(arn)?;
        self.change(kind, name, |record| {
            let Some(attached) = record.attached_mut() else {
                return Ok(());
            };
            // What was deleted while it was attached takes no place.
            attached.retain(|id| self.directory.by_id(id).is_some());
            if attached.contains(&id) {
                return Ok(());
            }
            if attached.len() >= ATTACHED_MAX {
                return Err(DirectoryError::limit(format!(
                    "Cannot exceed quota for PoliciesPer{}: {ATTACHED_MAX}",
                    kind.title()
                )));
            }
            attached.push(id);
            Ok(())
        })
    }

    /// DetachUserPolicy, DetachGroupPolicy and DetachRolePolicy.
    ///
    /// # Errors
    /// NoSuchEntity, InvalidInput.
    pub fn detach(&self, kind: Kind, name: &str, arn: &str) -> Result<Vec<Edit>, DirectoryError> {
        // The entity is looked for first.
        self.directory.get(kind, name)?;
        let id = self.directory.policy(arn)?.id.clone();
        self.change(kind, name, |record| {
            let Some(attached) = record.attached_mut() else {
                return Ok(());
            };
            let before = attached.len();
            attached.retain(|other| *other != id);
            if attached.len() == before {
                return Err(DirectoryError::missing(format!("Policy {arn} was not found.")));
            }
            Ok(())
        })
    }

    /// PutUserPermissionsBoundary and PutRolePermissionsBoundary.
    ///
    /// # Errors
    /// NoSuchEntity, InvalidInput.
    pub fn put_boundary(&self, kind: Kind, name: &str, arn: &str) -> Result<Vec<Edit>, DirectoryError> {
        let id = self.attachable(arn)?;
        self.change(kind, name, |record| {
            if let Some(boundary) = record.boundary_mut() {
                *boundary = Some(id);
            }
            Ok(())
        })
    }

    /// DeleteUserPermissionsBoundary and DeleteRolePermissionsBoundary.
    ///
    /// # Errors
    /// NoSuchEntity, also when there is no boundary.
    pub fn delete_boundary(&self, kind: Kind, name: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change(kind, name, |record| {
            let boundary = record.boundary_mut().and_then(Option::take);
            boundary.map(|_| ()).ok_or_else(|| {
                DirectoryError::missing(format!(
                    "Permissions boundary not found for {} with name {name}.",
                    kind.word()
                ))
            })
        })
    }
}
