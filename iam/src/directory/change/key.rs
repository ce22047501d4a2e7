//! Access keys of users.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::record::{AccessKey, Kind, Record};
use crate::directory::rules::KEYS_MAX;

impl Changes<'_> {
    /// CreateAccessKey, with an id and a secret that is sealed for it.
    ///
    /// # Errors
    /// NoSuchEntity, LimitExceeded.
    pub fn create_key(
        &self,
        user: &str,
        id: &str,
        sealed_secret: &[u8],
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.change(Kind::User, user, |record| {
            let Record::User(user) = record else { return Ok(()) };
            if user.keys.len() >= KEYS_MAX {
                return Err(DirectoryError::limit(format!(
                    "Cannot exceed quota for AccessKeysPerUser: {KEYS_MAX}"
                )));
            }
            user.keys.push(AccessKey {
                id: id.to_owned(),
                sealed_secret: sealed_secret.to_vec(),
                created_at_ms: self.now_ms,
                inactive: false,
            });
            Ok(())
        })
    }

    /// UpdateAccessKey: makes it active or inactive.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn update_key(&self, user: &str, id: &str, active: bool) -> Result<Vec<Edit>, DirectoryError> {
        self.change(Kind::User, user, |record| {
            let Record::User(user) = record else { return Ok(()) };
            let key = user.keys.iter_mut().find(|key| key.id == id);
            key.ok_or_else(|| no_key(id))?.inactive = !active;
            Ok(())
        })
    }

    /// DeleteAccessKey.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn delete_key(&self, user: &str, id: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change(Kind::User, user, |record| {
            let Record::User(user) = record else { return Ok(()) };
            let before = user.keys.len();
            user.keys.retain(|key| key.id != id);
            if user.keys.len() == before {
                return Err(no_key(id));
            }
            Ok(())
        })
    }
}

fn no_key(id: &str) -> DirectoryError {
    DirectoryError::missing(format!("The Access Key with id {id} cannot be found."))
}
