//! Who is in which group. A user's row holds its groups.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::record::{Kind, Record};
use crate::directory::rules::GROUPS_MAX;

impl Changes<'_> {
    /// AddUserToGroup. A user that is in it already stays in it.
    ///
    /// # Errors
    /// NoSuchEntity, LimitExceeded.
    pub fn add_to_group(&self, user: &str, group: &str) -> Result<Vec<Edit>, DirectoryError> {
        let id = self.directory.group(group)?.id.clone();
        self.change(Kind::User, user, |record| {
            let Record::User(user) = record else { return Ok(()) };
            // Groups that are gone take no place.
            user.groups.retain(|id| self.directory.by_id(id).is_some());
            if user.groups.contains(&id) {
                return Ok(());
            }
            if user.groups.len() >= GROUPS_MAX {
                return Err(DirectoryError::limit(format!(
                    "Cannot exceed quota for GroupsPerUser: {GROUPS_MAX}"
                )));
            }
            user.groups.push(id);
            Ok(())
        })
    }

    /// RemoveUserFromGroup. A user that is not in it stays out of it.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn remove_from_group(&self, user: &str, group: &str) -> Result<Vec<Edit>, DirectoryError> {
        let id = self.directory.group(group)?.id.clone();
        self.change(Kind::User, user, |record| {
            if let Record::User(user) = record {
                user.groups.retain(|other| *other != id);
            }
            Ok(())
        })
    }
}
