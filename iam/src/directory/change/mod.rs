//! Changes of the directory: pure functions from what there is to the rows that become others.
//!
//! Almost every change is one row, so that installing it is one compare-and-set; a rename is three, in an order in which each
//! may be the last (`entity.rs`). Whoever installs asks again when a row has become another meanwhile.
//! Invariant: a change that is refused changes nothing.

mod attachment;
mod entity;
mod inline;
mod key;
mod member;
mod policy;
mod role;
mod tag;

pub use entity::{NewGroup, NewUser};
pub(super) use inline::no_inline;
pub use policy::NewPolicy;
pub(super) use policy::version_number;
pub use role::NewRole;
pub use tag::Tagging;

use super::error::DirectoryError;
use super::index::Directory;
use super::record::{Kind, Record, Row};
use super::rules;

/// A row becomes another one, or goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Edit {
    /// Which.
    pub row: Row,
    /// What it becomes; `None`: it goes.
    pub record: Option<Record>,
    /// Whether it only tidies up: that it does not fit any more is no reason to begin anew.
    pub is_tidying: bool,
}

impl Edit {
    /// A record takes the row of its name.
    fn put(mut record: Record) -> Self {
        record.revise("");
        Self {
            row: Row::new(record.kind(), record.name()),
            record: Some(record),
            is_tidying: false,
        }
    }

    fn remove(kind: Kind, name: &str) -> Self {
        Self {
            row: Row::new(kind, name),
            record: None,
            is_tidying: false,
        }
    }

    /// The same for a row that counts for nothing any more.
    fn tidy(kind: Kind, name: &str) -> Self {
        Self {
            is_tidying: true,
            ..Self::remove(kind, name)
        }
    }
}

/// What may be changed, as seen from a directory at a time.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'d> {
    directory: &'d Directory,
    now_ms: i64,
}

impl<'d> Changes<'d> {
    /// `now_ms` is in milliseconds since the Unix epoch.
    pub fn new(directory: &'d Directory, now_ms: i64) -> Self {
        Self { directory, now_ms }
    }

    /// A new name must be free, and the account must have room.
    fn check_new(&self, kind: Kind, name: &str) -> Result<(), DirectoryError> {
        if self.directory.find(kind, name).is_some() {
            return Err(match kind {
                Kind::Policy => DirectoryError::exists(format!(
                    "A policy called {name} already exists. Duplicate names are not allowed."
                )),
                _ => DirectoryError::exists(format!("{} with name {name} already exists.", kind.title())),
            });
        }
        let (most, quota) = rules::entities_max(kind);
        if self.directory.all(kind).count() >= most {
            return Err(DirectoryError::limit(format!(
                "Cannot exceed quota for {quota}: {most}"
            )));
        }
        Ok(())
    }

    /// Changes the record of a name.
    fn change(
        &self,
        kind: Kind,
        name: &str,
        change: impl FnOnce(&mut Record) -> Result<(), DirectoryError>,
    ) -> Result<Vec<Edit>, DirectoryError> {
        let old = self.directory.get(kind, name)?.as_ref();
        let mut record = old.clone();
        change(&mut record)?;
        let mut edits = self.settled(old);
        edits.push(Edit::put(record));
        Ok(edits)
    }

    /// The id of the policy with an ARN, which is to be attached or to be a boundary.
    fn attachable(&self, arn: &str) -> Result<String, DirectoryError> {
        match self.directory.policy(arn) {
            Ok(policy) => Ok(policy.id.clone()),
            Err(error) if error.code == super::ErrorCode::NoSuchEntity => Err(DirectoryError::missing(
                format!("Policy {arn} does not exist or is not attachable."),
            )),
            Err(error) => Err(error),
        }
    }
}
