//! Users and groups: making, renaming and deleting; and the deletion of roles, which has the same rules.
//!
//! A rename is three rows: the old one says where it goes; the new one is written; the old one goes. It may stop after each,
//! and others may change the same user at any point. So whoever changes a user first settles what a rename has left
//! (`settled`): an old row beside the new one goes; and while the old row counts, an obstacle takes the place of the new one,
//! so that it cannot come any more. Revisions make each row of a life another one, so that a compare-and-set that was planned
//! before fits no more.

use std::collections::BTreeMap;

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::id::{self, ENTITY_RANDOM_BYTES};
use crate::directory::record::{Group, Kind, Record, Row, User};
use crate::directory::rules;

/// A user to be made.
#[derive(Debug, Clone, Default)]
pub struct NewUser {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// ARN of the policy that is its permissions boundary.
    pub boundary: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

/// A group to be made.
#[derive(Debug, Clone, Default)]
pub struct NewGroup {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
}

impl Changes<'_> {
    /// CreateUser.
    ///
    /// # Errors
    /// EntityAlreadyExists, LimitExceeded, NoSuchEntity for the boundary, what is wrong with the tags.
    pub fn create_user(
        &self,
        new: &NewUser,
        random: &[u8; ENTITY_RANDOM_BYTES],
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.check_new(Kind::User, &new.name)?;
        let user = User {
            name: new.name.clone(),
            path: new.path.clone(),
            id: id::entity(Kind::User.id_prefix(), random),
            created_at_ms: self.now_ms,
            tags: rules::tags(&new.tags)?,
            boundary: self.boundary(new.boundary.as_deref())?,
            ..User::default()
        };
        Ok(vec![Edit::put(Record::User(user))])
    }

    /// CreateGroup.
    ///
    /// # Errors
    /// EntityAlreadyExists, LimitExceeded.
    pub fn create_group(
        &self,
        new: &NewGroup,
        random: &[u8; ENTITY_RANDOM_BYTES],
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.check_new(Kind::Group, &new.name)?;
        let group = Group {
            name: new.name.clone(),
            path: new.path.clone(),
            id: id::entity(Kind::Group.id_prefix(), random),
            created_at_ms: self.now_ms,
            inline: BTreeMap::new(),
            ..Group::default()
        };
        Ok(vec![Edit::put(Record::Group(group))])
    }

    /// The id of a boundary that is named by its ARN.
    pub(super) fn boundary(&self, arn: Option<&str>) -> Result<Option<String>, DirectoryError> {
        arn.map(|arn| self.attachable(arn)).transpose()
    }

    /// UpdateUser and UpdateGroup: another path, another name.
    ///
    /// # Errors
    /// NoSuchEntity, EntityAlreadyExists.
    pub fn rename(
        &self,
        kind: Kind,
        name: &str,
        new_name: Option<&str>,
        new_path: Option<&str>,
    ) -> Result<Vec<Edit>, DirectoryError> {
        let old = self.directory.get(kind, name)?.as_ref().clone();
        let (old_row, new_row) = (Row::new(kind, name), Row::new(kind, new_name.unwrap_or(name)));
        if old_row != new_row && self.directory.find(kind, &new_row.name).is_some() {
            return Err(DirectoryError::exists(format!(
                "{} with name {} already exists.",
                kind.title(),
                new_name.unwrap_or(name)
            )));
        }
        let mut new = old.clone();
        let (own_name, own_path) = match &mut new {
            Record::User(user) => (&mut user.name, &mut user.path),
            Record::Group(group) => (&mut group.name, &mut group.path),
            Record::Role(role) => (&mut role.name, &mut role.path),
            Record::Policy(policy) => (&mut policy.name, &mut policy.path),
        };
        new_name.unwrap_or(&own_name.clone()).clone_into(own_name);
        new_path.unwrap_or(&own_path.clone()).clone_into(own_path);
        let mut edits = self.settled(&old);
        if old_row == new_row {
            edits.push(Edit::put(new));
            return Ok(edits);
        }
        let mut leaving = old;
        leaving.revise(&new_row.name);
        new.revise("");
        edits.push(Edit {
            row: old_row,
            record: Some(leaving),
            is_tidying: false,
        });
        edits.push(Edit {
            row: new_row,
            record: Some(new),
            is_tidying: false,
        });
        edits.push(Edit::tidy(kind, name));
        Ok(edits)
    }

    /// What has to be done before a record is changed, so that nothing of a rename comes after it.
    pub(super) fn settled(&self, record: &Record) -> Vec<Edit> {
        let mut edits = Vec::new();
        if let Some(row) = self.directory.left_behind(record.id()) {
            edits.push(Edit {
                row: row.clone(),
                record: None,
                is_tidying: false,
            });
        }
        if let Some(to) = record.moving_to()
            && self.directory.find(record.kind(), to).is_none()
        {
            edits.push(Edit {
                row: Row::new(record.kind(), to),
                record: record.obstacle(to),
                is_tidying: false,
            });
        }
        edits
    }

    /// DeleteUser, DeleteGroup and DeleteRole.
    ///
    /// # Errors
    /// NoSuchEntity; DeleteConflict while something hangs on it.
    pub fn delete(&self, kind: Kind, name: &str) -> Result<Vec<Edit>, DirectoryError> {
        let record = self.directory.get(kind, name)?.as_ref();
        let conflict = |what: &str| {
            Err(DirectoryError::conflict(format!(
                "Cannot delete entity, must {what} first."
            )))
        };
        match record {
            Record::User(user) if !user.keys.is_empty() => return conflict("delete access keys"),
            Record::User(user) if self.directory.groups_of(user).next().is_some() => {
                return conflict("remove users from group");
            }
            Record::Group(group) if self.directory.members(group).next().is_some() => {
                return conflict("remove users from group");
            }
            _ => {}
        }
        if record.inline().is_some_and(|inline| !inline.is_empty()) {
            return conflict("delete policies");
        }
        if self.directory.policies_of(record.attached()).next().is_some() {
            return conflict("detach all policies");
        }
        let mut edits = self.settled(record);
        let mut last = record.clone();
        last.revise("");
        // What may be renamed becomes an obstacle first: of a row that is not there it cannot be told who has deleted it.
        match last.obstacle(record.name()) {
            Some(obstacle) => {
                edits.push(Edit {
                    row: Row::new(kind, name),
                    record: Some(obstacle),
                    is_tidying: false,
                });
                edits.push(Edit::tidy(kind, name));
            }
            None => edits.push(Edit::remove(kind, name)),
        }
        Ok(edits)
    }
}
