//! Exports of tables into buckets, imports from there, and bulk operations, which put items of a bucket into a table that is in
//! use (`docs/export-import.md`).
//!
//! What is known of each is a row of the cluster's metadata (`transfer/record.rs`), changed by compare-and-set by whoever
//! carries it out. Invariant: of two nodes that carry out the same, only one can write down how far it is; the other one
//! stops. Not here: carrying them out (`transfer/porter.rs`), where buckets are (`object_store.rs`).

pub(crate) mod format;
pub(crate) mod porter;
pub(crate) mod record;
mod source;
mod token;

use std::ops::{Bound, ControlFlow};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use bytes::Bytes;
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction};

pub(crate) use self::record::bulk::BulkRecord;
pub(crate) use self::record::{ExportRecord, ImportRecord, Record, Status};
pub(crate) use self::token::{Claim, Claimant};
use crate::compare_and_set;
use crate::desk::JobCounters;
use crate::object_store::Buckets;

/// How long exports and imports are listed after they began, in milliseconds. Source: service model of DynamoDB, ListImports.
pub(crate) const LISTED_MS: i64 = 90 * 24 * 60 * 60 * 1000;

/// Why the rows of exports and imports cannot be read or changed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The cluster.
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    /// A row.
    #[error("a row below {prefix} cannot be read: {detail}")]
    Malformed {
        /// What its key begins with.
        prefix: &'static str,
        /// What is wrong.
        detail: String,
    },
}

/// What this node has done about exports and imports since it was started.
#[derive(Debug, Default)]
pub(crate) struct TransferCounters {
    pub(crate) jobs: JobCounters,
    /// Items that were written into tables, and records that were not.
    pub(crate) items_imported: AtomicU64,
    pub(crate) records_refused: AtomicU64,
    /// Items that were written into buckets.
    pub(crate) items_exported: AtomicU64,
}

/// The exports and imports of a cluster. Invariant: see the head of the file.
#[derive(Debug)]
pub(crate) struct Transfers {
    cluster: Cluster,
    pub(crate) buckets: Buckets,
    /// How many bytes of items each moves in a second at most.
    pub(crate) bytes_per_second: u64,
    pub(crate) counters: TransferCounters,
}

impl Transfers {
    /// Those of a cluster.
    pub(crate) fn new(cluster: Cluster, buckets: Buckets, bytes_per_second: u64) -> Arc<Self> {
        Arc::new(Self {
            cluster,
            buckets,
            bytes_per_second,
            counters: TransferCounters::default(),
        })
    }

    /// All of a kind, in the order of their ARNs.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn all<R: Record>(&self) -> Result<Vec<R>, TransferError> {
        all(&self.cluster).await
    }

    /// The last ones of a kind before another one that began at `since_ms` or later, in milliseconds since the Unix epoch: so
    /// many, from the last key on to the first one. Of all tables, or of one; bulk operations are of all only.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn last<R: Record>(
        &self,
        table: Option<&str>,
        before: Option<(&str, &str)>,
        since_ms: i64,
        most: usize,
    ) -> Result<Vec<R>, TransferError> {
        let prefix = match table {
            Some(table) => format!("{}/{table}", R::PREFIX),
            None => R::PREFIX.to_owned(),
        };
        let mut bounds = below(&prefix);
        if let Some((table, id)) = before {
            let key = R::key(table, id);
            // It may be of another table than is asked for.
            if matches!(&bounds.start, Bound::Included(first) if key <= *first) {
                return Ok(Vec::new());
            }
            if matches!(&bounds.end, Bound::Excluded(end) if key < *end) {
                bounds.end = Bound::Excluded(key);
            }
        }
        let (mut found, mut failure) = (Vec::new(), None);
        let collect = |row: &stator_cluster::Row<'_>| {
            match read::<R>(row.cell()) {
                Ok(record) if record.started_ms() >= since_ms => found.push(record),
                Ok(_) => {}
                Err(error) => failure = Some(error),
            }
            if found.len() >= most || failure.is_some() {
                ControlFlow::Break(())
            } else {
                ControlFlow::Continue(())
            }
        };
        let (metadata, level) = (self.cluster.metadata(), ConsistencyLevel::Quorum);
        self.cluster
            .range(metadata, &bounds, Direction::Backward, level, collect)
            .await?;
        failure.map_or(Ok(found), Err)
    }

    /// Keys and cells below a prefix, in the order of the keys.
    async fn rows(&self, prefix: &str) -> Result<Vec<(Vec<u8>, Bytes)>, TransferError> {
        rows(&self.cluster, prefix).await
    }

    /// The one of a table's name and an id.
    ///
    /// # Errors
    /// When the metadata cannot be read.
    pub(crate) async fn find<R: Record>(&self, table: &str, id: &str) -> Result<Option<R>, TransferError> {
        let cell = self.cell(&R::key(table, id)).await?;
        cell.map(|cell| read(&cell)).transpose()
    }

    async fn cell(&self, key: &[u8]) -> Result<Option<Bytes>, TransferError> {
        let (metadata, level) = (self.cluster.metadata(), ConsistencyLevel::Quorum);
        Ok(self.cluster.read(metadata, key, level).await?)
    }

    /// Writes a row in the place of what it was, or of none. `false` when it is not what it was.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn put<R: Record>(&self, was: Option<&R>, now: &R) -> Result<bool, TransferError> {
        let key = R::key(now.table(), now.id());
        let was = was.map(Record::to_bytes);
        Ok(compare_and_set::install(&self.cluster, &key, was, Some(now.to_bytes())).await?)
    }

    /// Forgets a row, if it still is what it was.
    ///
    /// # Errors
    /// When the metadata cannot be written.
    pub(crate) async fn forget<R: Record>(&self, record: &R) -> Result<(), TransferError> {
        let key = R::key(record.table(), record.id());
        compare_and_set::install(&self.cluster, &key, Some(record.to_bytes()), None).await?;
        Ok(())
    }
}

/// All of a kind in a cluster, in the order of their ARNs.
///
/// # Errors
/// When the metadata cannot be read.
pub(crate) async fn all<R: Record>(cluster: &Cluster) -> Result<Vec<R>, TransferError> {
    let rows = rows(cluster, R::PREFIX).await?;
    rows.iter().map(|(_, cell)| read(cell)).collect()
}

async fn rows(cluster: &Cluster, prefix: &str) -> Result<Vec<(Vec<u8>, Bytes)>, TransferError> {
    let bounds = below(prefix);
    let mut rows = Vec::new();
    let metadata = cluster.metadata();
    let collect = |row: &stator_cluster::Row<'_>| {
        rows.push((row.key().to_vec(), Bytes::copy_from_slice(row.cell())));
        ControlFlow::Continue(())
    };
    let level = ConsistencyLevel::Quorum;
    cluster
        .range(metadata, &bounds, Direction::Forward, level, collect)
        .await?;
    Ok(rows)
}

/// The keys that are a prefix, a slash and more.
fn below(prefix: &str) -> Bounds {
    Bounds {
        start: Bound::Included(format!("{prefix}/").into_bytes()),
        // The character behind the slash.
        end: Bound::Excluded(format!("{prefix}0").into_bytes()),
    }
}

fn read<R: Record>(cell: &[u8]) -> Result<R, TransferError> {
    let prefix = R::PREFIX;
    R::from_bytes(cell).map_err(|detail| TransferError::Malformed { prefix, detail })
}

/// The id of one that begins now: the time in 14 digits, and 8 random hexadecimal ones.
///
/// # Errors
/// When there is no randomness.
pub(crate) fn new_id(now_ms: i64, random: crate::random::Fill) -> std::io::Result<String> {
    let mut bytes = [0; 4];
    random(&mut bytes)?;
    Ok(format!("{now_ms:014}-{:08x}", u32::from_le_bytes(bytes)))
}
