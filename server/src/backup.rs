//! Backups: which there are, and the archive that keeps them (`docs/backup.md`).
//!
//! What is known of a backup is a row of the cluster's metadata (`backup/record.rs`), changed by compare-and-set; its cells are
//! in the archive, which every node reaches by the same path. Invariant: a backup that a row calls available is in the
//! archive; one that no row names may be removed from it. Not here: making, restoring and removing (`archivist.rs`).

mod record;

use std::ops::{Bound, ControlFlow};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use parking_lot::Mutex;
use serde::Deserialize;
use stator_archive::{Archive, DirectoryStore, WrappingKey};
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction, MasterKey, MasterKeys};

pub(crate) use self::record::{BackupKind, BackupRecord, BackupStatus};
use crate::compare_and_set::{self, TRIES};
use crate::desk::JobCounters;
use crate::random;

/// Prefix of the rows of backups in the metadata; the table's name, `/` and the backup's id follow.
const PREFIX: &[u8] = b"backup/";
/// The first key after all with that prefix.
const END: &[u8] = b"backup0";

/// `[backup]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BackupSettings {
    /// The archive; the same directory on all nodes.
    pub(crate) directory: PathBuf,
    /// How many bytes of cells a backup or a restore moves in a second at most.
    #[serde(default = "bytes_per_second")]
    pub(crate) bytes_per_second: u64,
}

/// How many bytes of cells a backup or a restore moves in a second when nobody says otherwise.
pub(crate) const BYTES_PER_SECOND: u64 = 1 << 30;

fn bytes_per_second() -> u64 {
    BYTES_PER_SECOND
}

impl BackupSettings {
    /// An archive in a directory, at the usual rate.
    pub(crate) fn new(directory: PathBuf) -> Self {
        Self {
            directory,
            bytes_per_second: bytes_per_second(),
        }
    }

    /// What is out of range, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        const LEAST: u64 = 1 << 20;
        (self.bytes_per_second < LEAST).then(|| {
            format!(
                "bytes_per_second is {}, must be at least {LEAST}",
                self.bytes_per_second
            )
        })
    }
}

/// Why backups cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupError {
    /// The archive.
    #[error("the archive: {0}")]
    Archive(#[from] stator_archive::Error),
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    /// A row.
    #[error("the row of backup {id} cannot be read: {detail}")]
    Malformed {
        /// Of the backup.
        id: String,
        /// What is wrong.
        detail: String,
    },
    /// Others have changed the row each time before.
    #[error("the row of backup {id} is being changed by others all the time; try again")]
    Contended {
        /// Of the backup.
        id: String,
    },
    /// The process ends.
    #[error("it was not carried out: {0}")]
    Ended(#[from] tokio::task::JoinError),
    /// Work beside clients did not begin, or has panicked.
    #[error(transparent)]
    Aside(#[from] std::io::Error),
}

/// What archives are opened with, which follows from the master keys.
pub(crate) fn archive_keys(master_keys: &MasterKeys) -> Vec<WrappingKey> {
    let derive = |key: &MasterKey| WrappingKey::derive(key.id().to_string(), key.to_hex().as_bytes());
    master_keys.all().map(derive).collect()
}

/// What this node has done about backups since it was started.
#[derive(Debug, Default)]
pub(crate) struct BackupCounters {
    /// Backups and restores.
    pub(crate) jobs: JobCounters,
    /// Bytes of items, with their keys, that were read for backups.
    pub(crate) bytes_read: AtomicU64,
    /// Bytes that had to be written into the archive.
    pub(crate) bytes_copied: AtomicU64,
    /// Bytes of items, with their keys, that were written into restored tables.
    pub(crate) bytes_restored: AtomicU64,
}

/// The backups of a cluster. Invariant: see the head of the file.
#[derive(Debug)]
pub(crate) struct Backups {
    cluster: Cluster,
    settings: BackupSettings,
    keys: Mutex<Vec<WrappingKey>>,
    archive: Mutex<Option<Archive>>,
    pub(crate) counters: Arc<BackupCounters>,
}

impl Backups {
    /// Those of a cluster, in an archive that is opened when it is needed first. `keys` are those of the master keys, the
    /// current one first.
    pub(crate) fn new(cluster: Cluster, settings: BackupSettings, keys: Vec<WrappingKey>) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            settings,
            keys: Mutex::new(keys),
            archive: Mutex::new(None),
            counters: Arc::default(),
        })
    }

    /// Whose they are.
    pub(crate) fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// How many bytes of cells a backup or a restore moves in a second at most.
    pub(crate) fn bytes_per_second(&self) -> u64 {
        self.settings.bytes_per_second
    }

    /// The archive.
    ///
    /// # Errors
    /// When it cannot be opened; another try may succeed.
    pub(crate) async fn archive(&self) -> Result<Archive, BackupError> {
        if let Some(archive) = &*self.archive.lock() {
            return Ok(archive.clone());
        }
        let (directory, keys) = (self.settings.directory.clone(), self.keys.lock().clone());
        let open = move || Archive::open(Arc::new(DirectoryStore::new(directory)), &keys, random::fill);
        let archive = tokio::task::spawn_blocking(open).await??;
        *self.archive.lock() = Some(archive.clone());
        Ok(archive)
    }

    /// Opens the archive anew the next time if another one is in its place.
    pub(crate) fn note_failure(&self, error: &BackupError) {
        if matches!(error, BackupError::Archive(stator_archive::Error::Replaced)) {
            self.archive.lock().take();
        }
    }

    /// The archive if there is one: unlike [`Backups::archive`], this makes none. Its directory may be there and its file system not
    /// be mounted yet.
    ///
    /// # Errors
    /// As [`Backups::archive`].
    pub(crate) async fn archive_if_any(&self) -> Result<Option<Archive>, BackupError> {
        if self.archive.lock().is_none() {
            let store = DirectoryStore::new(self.settings.directory.clone());
            if !tokio::task::spawn_blocking(move || Archive::is_at(&store)).await?? {
                return Ok(None);
            }
        }
        self.archive().await.map(Some)
    }

    /// Goes over to other master keys, the current one first. If there is an archive, the current one has wrapped its key
    /// when this returns.
    ///
    /// # Errors
    /// When the archive cannot be written.
    pub(crate) async fn learn(&self, keys: Vec<WrappingKey>) -> Result<(), BackupError> {
        *self.keys.lock() = keys;
        self.archive.lock().take();
        self.archive_if_any().await?;
        Ok(())
    }

    fn key(table: &str, id: &str) -> Vec<u8> {
        [PREFIX, table.as_bytes(), b"/", id.as_bytes()].concat()
    }

    /// Shows all backups, one after the other, in the order of their ARNs.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn each(&self, mut show: impl FnMut(BackupRecord)) -> Result<(), BackupError> {
        let bounds = Bounds {
            start: Bound::Included(PREFIX.to_vec()),
            end: Bound::Excluded(END.to_vec()),
        };
        let mut failure = None;
        let metadata = self.cluster.metadata();
        let visit = |row: &stator_cluster::Row<'_>| match read(row.cell()) {
            Ok(record) => {
                show(record);
                ControlFlow::Continue(())
            }
            Err(error) => {
                failure = Some(error);
                ControlFlow::Break(())
            }
        };
        let level = ConsistencyLevel::Quorum;
        self.cluster
            .range(metadata, &bounds, Direction::Forward, level, visit)
            .await?;
        failure.map_or(Ok(()), Err)
    }

    /// The backup of a table's name and an id.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn find(&self, table: &str, id: &str) -> Result<Option<BackupRecord>, BackupError> {
        let cell = self.cell(table, id).await?;
        cell.as_deref().map(read).transpose()
    }

    async fn cell(&self, table: &str, id: &str) -> Result<Option<Bytes>, BackupError> {
        let (metadata, level) = (self.cluster.metadata(), ConsistencyLevel::Quorum);
        Ok(self.cluster.read(metadata, &Self::key(table, id), level).await?)
    }

    /// Adds a backup that is to be made; `false` if its id is taken.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn add(&self, record: &BackupRecord) -> Result<bool, BackupError> {
        let key = Self::key(&record.table().name, &record.id);
        let added = compare_and_set::install(&self.cluster, &key, None, Some(record.to_bytes())).await?;
        Ok(added)
    }

    /// Changes a backup; `None` if there is none. `change` may refuse, and is asked again when another node has changed it
    /// first.
    ///
    /// # Errors
    /// When the metadata cannot be read or written; inside, whatever `change` refuses with.
    pub(crate) async fn change<E>(
        &self,
        table: &str,
        id: &str,
        mut change: impl FnMut(&mut BackupRecord) -> Result<(), E>,
    ) -> Result<Option<Result<BackupRecord, E>>, BackupError> {
        for _ in 0..TRIES {
            let Some(cell) = self.cell(table, id).await? else {
                return Ok(None);
            };
            let mut record = read(&cell)?;
            if let Err(refusal) = change(&mut record) {
                return Ok(Some(Err(refusal)));
            }
            let (key, changed) = (Self::key(table, id), record.to_bytes());
            if compare_and_set::install(&self.cluster, &key, Some(cell), Some(changed)).await? {
                return Ok(Some(Ok(record)));
            }
        }
        Err(BackupError::Contended { id: id.to_owned() })
    }

    /// Forgets a backup, if it still is what it was; `false` if it is not.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn forget(&self, record: &BackupRecord) -> Result<bool, BackupError> {
        let key = Self::key(&record.table().name, &record.id);
        Ok(compare_and_set::install(&self.cluster, &key, Some(record.to_bytes()), None).await?)
    }
}

fn read(cell: &[u8]) -> Result<BackupRecord, BackupError> {
    BackupRecord::from_bytes(cell).map_err(|(id, detail)| BackupError::Malformed { id, detail })
}
