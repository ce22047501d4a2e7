//! The commit log.
pub(crate) mod record;
