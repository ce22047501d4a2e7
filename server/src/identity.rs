//! The IAM and STS APIs: the directory of the cluster, and one file for each call or family of calls.
//!
//! What there is for users, groups and roles alike is one file. Invariant: a call is authorized before it looks at more than
//! the ARN of what it names. No XML, no HTTP: those are the part of `wire/query`. What may be changed how is the part of
//! `stator_iam::directory`.

pub(crate) mod access_key_last_used;
pub(crate) mod assume_role;
pub(crate) mod attach_policy;
mod authorize;
pub(crate) mod boundary;
pub(crate) mod create_access_key;
pub(crate) mod create_group;
pub(crate) mod create_policy;
pub(crate) mod create_policy_version;
pub(crate) mod create_role;
pub(crate) mod create_user;
pub(crate) mod delete_access_key;
pub(crate) mod delete_entity;
pub(crate) mod delete_policy;
pub(crate) mod error;
pub(crate) mod get_caller_identity;
pub(crate) mod get_entity;
pub(crate) mod get_group;
pub(crate) mod get_policy;
pub(crate) mod get_session_token;
pub(crate) mod group_member;
pub(crate) mod inline_policy;
pub(crate) mod list_access_keys;
pub(crate) mod list_attached_policies;
pub(crate) mod list_entities;
pub(crate) mod list_entities_for_policy;
pub(crate) mod list_groups_for_user;
pub(crate) mod list_policies;
pub(crate) mod page;
pub(crate) mod policy_version;
pub(crate) mod rename_entity;
pub(crate) mod session;
pub(crate) mod simulate;
pub(crate) mod store;
pub(crate) mod tag;
#[cfg(test)]
mod tests;
pub(crate) mod update_access_key;
pub(crate) mod update_role;
pub(crate) mod view;

use std::net::IpAddr;
use std::sync::Arc;

use stator_iam::Principal;
use stator_iam::directory::{Changes, Checks, Directory, DirectoryError, Edit, Kind, Record};

use self::error::IdentityError;
use self::store::{Identities, Shown};

pub(crate) use self::authorize::Asks;

/// Who calls, and what calls work with.
#[derive(Debug, Clone)]
pub(crate) struct Call<'a> {
    pub(crate) identities: &'a Identities,
    pub(crate) principal: &'a Principal,
    /// Where the request came from, if it is known.
    pub(crate) source: Option<IpAddr>,
    /// Whether it came over TLS.
    pub(crate) is_secure: bool,
    /// What the client calls itself, if it does.
    pub(crate) user_agent: Option<&'a str>,
    /// The region of this endpoint.
    pub(crate) region: &'a str,
}

/// A call of the IAM or STS API together with its answer.
pub(crate) trait IdentityOperation: Sized {
    /// What it answers.
    type Output;

    /// The action, and what it is done to; none for what everybody may do.
    ///
    /// # Errors
    /// When it does not say whom it is about, and cannot know.
    fn asks(&self, call: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError>;

    /// Carries it out.
    async fn run(self, call: &Call<'_>) -> Result<Self::Output, IdentityError>;
}

impl Call<'_> {
    /// Authorizes an operation and carries it out.
    ///
    /// # Errors
    /// AccessDenied, and whatever the operation refuses with.
    pub(crate) async fn perform<O: IdentityOperation>(
        &self,
        operation: O,
    ) -> Result<O::Output, IdentityError> {
        let shown = self.identities.latest().await?;
        if let Some(asks) = operation.asks(self, shown.directory())? {
            authorize::check(self, shown.directory(), &asks)?;
        }
        operation.run(self).await
    }

    /// Changes rows of the directory.
    async fn change(
        &self,
        change: impl Fn(Changes<'_>) -> Result<Vec<Edit>, DirectoryError>,
    ) -> Result<Arc<Shown>, IdentityError> {
        self.identities.change(change).await
    }

    /// The name of the user that a call is about: the one that it names, or else the caller.
    ///
    /// # Errors
    /// ValidationError when the caller is no user.
    fn user_name(&self, named: Option<&String>, directory: &Directory) -> Result<String, IdentityError> {
        if let Some(name) = named {
            return Ok(name.clone());
        }
        let id = match &self.principal.identity {
            stator_iam::Identity::User { id } => Some(id),
            stator_iam::Identity::Root | stator_iam::Identity::Role { .. } => None,
        };
        if let Some(Record::User(user)) = id.and_then(|id| directory.by_id(id)).map(AsRef::as_ref) {
            return Ok(user.name.clone());
        }
        let mut checks = Checks::default();
        checks.must_name_user();
        Err(checks.end().err().map_or(
            IdentityError::Internal("no user is named".to_owned()),
            IdentityError::from,
        ))
    }
}

/// The ARN of an entity that may not be there: what a policy has to allow before that is told.
pub(crate) fn arn_of(directory: &Directory, kind: Kind, name: &str) -> String {
    match directory.find(kind, name) {
        Some(record) => directory.arn(record),
        None => directory.arn_of(kind, "/", name),
    }
}
