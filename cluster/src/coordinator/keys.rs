//! The keys of a node's data: what there is, and rotation while the node serves.
//!
//! Invariant: each node has keys of its own; nothing here reaches another one. Not here: when keys are rotated (the owner's).

use std::path::Path;

use stator_storage::{DataKeyId, Engine, KeyStatus, MasterKeyId, MasterKeys, vfs};

use super::Cluster;
use crate::error::Error;

impl Cluster {
    /// The keys, and the files that need them.
    pub fn key_status(&self) -> KeyStatus {
        self.node.engine.key_status()
    }

    /// Makes a new data key for what is written from now on. Waits for the disk: not for a thread that must not.
    ///
    /// # Errors
    /// [`Error::Storage`] when it cannot be made durable.
    pub fn rotate_data_key(&self, now_ms: u64) -> Result<DataKeyId, Error> {
        Ok(self.node.engine.rotate_data_key(now_ms)?)
    }

    /// Wraps the data keys with another master key. Waits for the disk. After an error keep both.
    ///
    /// # Errors
    /// [`Error::Storage`] when that cannot be made durable.
    pub fn rotate_master_key(&self, master_keys: MasterKeys) -> Result<(), Error> {
        Ok(self.node.engine.rotate_master_key(master_keys)?)
    }

    /// Writes the files of old data keys anew, in the background.
    ///
    /// # Errors
    /// [`Error::Storage`] when the engine has stopped.
    pub fn rewrite_old_files(&self) -> Result<(), Error> {
        Ok(self.node.engine.rewrite_old_files()?)
    }

    /// The master keys that the data of a directory wants; none if there is no data yet.
    ///
    /// # Errors
    /// [`Error::Storage`] when the directory or its key ring cannot be read.
    pub fn wanted_master_keys(directory: &Path) -> Result<Vec<MasterKeyId>, Error> {
        Ok(Engine::wanted_master_keys(&vfs::posix::PosixVfs, directory)?)
    }
}
