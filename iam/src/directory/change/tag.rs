//! Tags of users, roles and managed policies.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::record::Kind;
use crate::directory::rules::{self, TAGS_MAX};

/// What becomes of the tags of something.
#[derive(Debug, Clone)]
pub enum Tagging {
    /// These are added, over those with the same keys.
    Add(Vec<(String, String)>),
    /// Those with these keys go.
    Remove(Vec<String>),
}

impl Changes<'_> {
    /// TagUser, TagRole, TagPolicy and their opposites. `name` is that of the policy, not its ARN.
    ///
    /// # Errors
    /// NoSuchEntity, LimitExceeded, what is wrong with the tags.
    pub fn tag(&self, kind: Kind, name: &str, tagging: &Tagging) -> Result<Vec<Edit>, DirectoryError> {
        self.change(kind, name, |record| {
            let Some(tags) = record.tags_mut() else {
                return Ok(());
            };
            match tagging {
                Tagging::Add(added) => {
                    for (key, value) in rules::tags(added)? {
                        tags.retain(|other, _| !other.eq_ignore_ascii_case(&key));
                        tags.insert(key, value);
                    }
                    if tags.len() > TAGS_MAX {
                        return Err(rules::too_many_tags());
                    }
                }
                Tagging::Remove(keys) => {
                    tags.retain(|key, _| !keys.iter().any(|gone| gone.eq_ignore_ascii_case(key)));
                }
            }
            Ok(())
        })
    }
}
