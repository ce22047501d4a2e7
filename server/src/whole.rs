//! Backups of the whole cluster: all tables and all identities at one moment (`docs/backup.md`).
//!
//! Each is one backup in the archive, whose cells are definitions of tables, identities and items (`whole/contents.rs`), and a row of
//! the metadata that says what is known of it, as a backup of one table has. A restore is one row, of which there is one at a time.
//! Invariant: as in `backup.rs`, a backup that a row calls available is in the archive. Not here: making and restoring
//! (`archivist/whole.rs`), what operators may ask for (`whole/request.rs`).

pub(crate) mod anew;
pub(crate) mod contents;
pub(crate) mod record;
pub(crate) mod request;

use std::ops::{Bound, ControlFlow};

use bytes::Bytes;
use stator_cluster::{Bounds, ConsistencyLevel, Direction};

use crate::backup::{BackupError, Backups};
use crate::compare_and_set::{self, TRIES};
use crate::whole::record::{WholeBackup, WholeRestore};

/// Prefix of the rows of backups of the cluster in the metadata; the backup's id follows.
const PREFIX: &[u8] = b"cluster-backup/";
/// The first key after all with that prefix.
const END: &[u8] = b"cluster-backup0";
/// The row of the restore that was asked for last.
const RESTORE: &[u8] = b"cluster-restore";

impl Backups {
    fn whole_key(id: &str) -> Vec<u8> {
        [PREFIX, id.as_bytes()].concat()
    }

    /// All backups of the cluster, the oldest first.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn all_whole(&self) -> Result<Vec<WholeBackup>, BackupError> {
        let bounds = Bounds {
            start: Bound::Included(PREFIX.to_vec()),
            end: Bound::Excluded(END.to_vec()),
        };
        let mut cells = Vec::new();
        let metadata = self.cluster().metadata();
        let collect = |row: &stator_cluster::Row<'_>| {
            cells.push(Bytes::copy_from_slice(row.cell()));
            ControlFlow::Continue(())
        };
        let level = ConsistencyLevel::Quorum;
        self.cluster()
            .range(metadata, &bounds, Direction::Forward, level, collect)
            .await?;
        cells.iter().map(|cell| read_backup(cell)).collect()
    }

    async fn whole_cell(&self, key: &[u8]) -> Result<Option<Bytes>, BackupError> {
        let (metadata, level) = (self.cluster().metadata(), ConsistencyLevel::Quorum);
        Ok(self.cluster().read(metadata, key, level).await?)
    }

    /// The backup of the cluster with an id.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn find_whole(&self, id: &str) -> Result<Option<WholeBackup>, BackupError> {
        let cell = self.whole_cell(&Self::whole_key(id)).await?;
        cell.as_deref().map(read_backup).transpose()
    }

    /// Adds a backup of the cluster; `false` if its id is taken.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn add_whole(&self, record: &WholeBackup) -> Result<bool, BackupError> {
        let key = Self::whole_key(&record.id);
        Ok(compare_and_set::install(self.cluster(), &key, None, Some(record.to_row())).await?)
    }

    /// Changes a backup of the cluster; `None` if there is none. `change` is asked again when another node has changed it first.
    ///
    /// # Errors
    /// When the metadata cannot be read or written; inside, whatever `change` refuses with.
    pub(crate) async fn change_whole<E>(
        &self,
        id: &str,
        mut change: impl FnMut(&mut WholeBackup) -> Result<(), E>,
    ) -> Result<Option<Result<WholeBackup, E>>, BackupError> {
        let key = Self::whole_key(id);
        for _ in 0..TRIES {
            let Some(cell) = self.whole_cell(&key).await? else {
                return Ok(None);
            };
            let mut record = read_backup(&cell)?;
            if let Err(refusal) = change(&mut record) {
                return Ok(Some(Err(refusal)));
            }
            let changed = Some(record.to_row());
            if compare_and_set::install(self.cluster(), &key, Some(cell), changed).await? {
                return Ok(Some(Ok(record)));
            }
        }
        Err(BackupError::Contended { id: id.to_owned() })
    }

    /// Forgets a backup of the cluster that is out of the archive.
    ///
    /// # Errors
    /// When the metadata cannot be read or written.
    pub(crate) async fn forget_whole(&self, id: &str) -> Result<(), BackupError> {
        let key = Self::whole_key(id);
        if let Some(cell) = self.whole_cell(&key).await? {
            compare_and_set::install(self.cluster(), &key, Some(cell), None).await?;
        }
        Ok(())
    }

    /// The restore that was asked for last.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn whole_restore(&self) -> Result<Option<WholeRestore>, BackupError> {
        let cell = self.whole_cell(RESTORE).await?;
        cell.as_deref().map(read_restore).transpose()
    }

    /// Puts a restore in the place of the one that was asked for last, if that still is this one.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn begin_whole_restore(
        &self,
        before: Option<&WholeRestore>,
        restore: &WholeRestore,
    ) -> Result<bool, BackupError> {
        let (before, after) = (before.map(WholeRestore::to_bytes), restore.to_bytes());
        Ok(compare_and_set::install(self.cluster(), RESTORE, before, Some(after)).await?)
    }

    /// Changes the restore that was asked for last; `None` if there was none.
    ///
    /// # Errors
    /// When the metadata cannot be read or written; inside, whatever `change` refuses with.
    pub(crate) async fn change_whole_restore<E>(
        &self,
        mut change: impl FnMut(&mut WholeRestore) -> Result<(), E>,
    ) -> Result<Option<Result<WholeRestore, E>>, BackupError> {
        for _ in 0..TRIES {
            let Some(mut restore) = self.whole_restore().await? else {
                return Ok(None);
            };
            let before = restore.clone();
            if let Err(refusal) = change(&mut restore) {
                return Ok(Some(Err(refusal)));
            }
            if self.begin_whole_restore(Some(&before), &restore).await? {
                return Ok(Some(Ok(restore)));
            }
        }
        let id = "of the cluster that is being restored".to_owned();
        Err(BackupError::Contended { id })
    }
}

fn read_backup(cell: &[u8]) -> Result<WholeBackup, BackupError> {
    WholeBackup::from_bytes(cell).map_err(|detail| BackupError::Malformed {
        id: "of the cluster".to_owned(),
        detail,
    })
}

fn read_restore(cell: &[u8]) -> Result<WholeRestore, BackupError> {
    WholeRestore::from_bytes(cell).map_err(|detail| BackupError::Malformed {
        id: "of the cluster that is being restored".to_owned(),
        detail,
    })
}
