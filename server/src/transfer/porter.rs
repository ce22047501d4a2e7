//! Carries out exports and imports, as operations have asked for them.
//!
//! The node that leads the metadata does it, like the archivist. Invariant: everything may be begun again, by another node, at
//! any point. An import goes on where its row says; an export is begun anew, of a later moment if it is not
//! of the past, under other names of files.
//! How far either is, and that it is over, is written down by compare-and-set: two nodes that believe to lead never both do.

mod export;
mod import;
mod past;

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::Cluster;
use tokio::time::Instant;

use super::record::Failure;
use super::{ExportRecord, ImportRecord, LISTED_MS, Record, Status, TransferError, Transfers};
use crate::catalog::{CatalogError, Import};
use crate::history_reader::HistoryError;
use crate::object_store::StoreError;
use crate::upkeep::Upkeep;

/// How often it is looked for something to do when nothing has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after something has failed.
const PAUSE: Duration = Duration::from_secs(1);
/// How often tokens are looked for that are good for nothing any more.
const SWEEP: Duration = Duration::from_secs(60 * 60);
/// So many exports and imports are under way at a time.
const JOBS_MAX: usize = 4;
/// One that has failed so often without getting further is given up.
const TRIES: u32 = 20;

/// Why something was not completed.
#[derive(Debug, thiserror::Error)]
enum JobError {
    #[error(transparent)]
    Transfer(#[from] TransferError),
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    History(#[from] HistoryError),
    #[error("there are {count} objects, an import has {most} at most")]
    TooManyObjects { count: usize, most: usize },
    #[error("{0}")]
    Other(String),
    #[error("another node does it now")]
    NotLeading,
}

impl From<tokio::task::JoinError> for JobError {
    fn from(error: tokio::task::JoinError) -> Self {
        Self::Other(error.to_string())
    }
}

impl JobError {
    /// What clients are told of it, and whether another try has no hope.
    fn failure(&self) -> (Failure, bool) {
        let (code, is_lasting) = match self {
            Self::Store(StoreError::NoSuchBucket { .. }) => ("S3NoSuchBucket", true),
            Self::Store(StoreError::NoSuchKey { .. }) => ("S3NoSuchKey", true),
            Self::Store(StoreError::Denied { .. }) => ("S3AccessDenied", true),
            Self::History(HistoryError::Gone) => ("PointInTimeRecoveryUnavailable", true),
            Self::TooManyObjects { .. } => ("TooManyObjects", true),
            Self::Store(StoreError::Failed { .. }) => ("S3Unavailable", false),
            _ => ("InternalServerError", false),
        };
        let failure = Failure {
            code: code.to_owned(),
            message: self.to_string(),
        };
        (failure, is_lasting)
    }
}

/// What is to be done.
#[derive(Debug, Clone)]
enum Job {
    Import(Box<ImportRecord>),
    Export(Box<ExportRecord>),
}

impl Job {
    fn name(&self) -> String {
        match self {
            Self::Import(record) => format!("import {}", record.id),
            Self::Export(record) => format!("export {}", record.id),
        }
    }
}

/// Works as long as its process does. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Porter {
    upkeep: Upkeep,
    transfers: Arc<Transfers>,
    region: Arc<str>,
    random: crate::random::Fill,
    desk: Arc<Mutex<Desk>>,
}

#[derive(Debug, Default)]
struct Desk {
    under_way: HashSet<String>,
    /// How often something has failed.
    failures: BTreeMap<String, u32>,
    /// When tokens that are good for nothing any more are to be looked for again.
    sweep_at: Option<Instant>,
}

impl Porter {
    /// Of a node's upkeep. The region is that of ARNs.
    pub(crate) fn new(
        upkeep: Upkeep,
        transfers: Arc<Transfers>,
        region: &str,
        random: crate::random::Fill,
    ) -> Self {
        Self {
            upkeep,
            transfers,
            region: region.into(),
            random,
            desk: Arc::default(),
        }
    }

    fn cluster(&self) -> &Cluster {
        &self.upkeep.cluster
    }

    /// Looks for something to do, for as long as the process runs.
    pub(crate) async fn run(self) {
        let mut changes = self.cluster().metadata_changes();
        loop {
            let changed = tokio::time::timeout(LOOK, changes.changed()).await;
            if matches!(changed, Ok(Err(_))) {
                return;
            }
            if !self.cluster().leads_metadata() {
                continue;
            }
            if let Err(error) = self.sweep().await {
                tracing::debug!(%error, "old tokens are removed later");
            }
            match self.jobs().await {
                Ok(jobs) => {
                    for job in jobs {
                        self.begin(job);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "exports and imports cannot be looked after now");
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }

    /// Does all that is left to do, one after the other.
    #[cfg(test)]
    pub(crate) async fn look_after_all(&self) -> Result<(), String> {
        for job in self.jobs().await.map_err(|error| error.to_string())? {
            self.attempt(&job).await.map_err(|error| error.to_string())?;
        }
        Ok(())
    }

    /// Forgets tokens that are older than anything that is listed, now and then.
    async fn sweep(&self) -> Result<(), JobError> {
        let now = Instant::now();
        {
            let mut desk = self.desk.lock();
            if desk.sweep_at.is_some_and(|at| at > now) {
                return Ok(());
            }
            desk.sweep_at = Some(now + SWEEP);
        }
        let before_ms = self.upkeep.now_ms() - LISTED_MS;
        self.transfers.forget_tokens::<ImportRecord>(before_ms).await?;
        self.transfers.forget_tokens::<ExportRecord>(before_ms).await?;
        Ok(())
    }

    /// All that is left to do. What nobody is shown any more is forgotten.
    async fn jobs(&self) -> Result<Vec<Job>, JobError> {
        let listed_from = self.upkeep.now_ms() - LISTED_MS;
        let is_old = |ended: Option<i64>| ended.is_some_and(|ended| ended < listed_from);
        let mut jobs = Vec::new();
        let mut known = HashSet::new();
        for record in self.transfers.all::<ImportRecord>().await? {
            known.insert(record.id.clone());
            if record.status() == Status::InProgress {
                jobs.push(Job::Import(Box::new(record)));
            } else if is_old(record.ended_ms) {
                self.transfers.forget(&record).await?;
            }
        }
        for record in self.transfers.all::<ExportRecord>().await? {
            if record.status() == Status::InProgress {
                jobs.push(Job::Export(Box::new(record)));
            } else if is_old(record.ended_ms) {
                self.transfers.forget(&record).await?;
            }
        }
        // Whoever has made a table to be imported may not have come as far as its row.
        let tables = self.upkeep.catalog.all().await?;
        for import in tables
            .values()
            .filter_map(|table| table.definition().import.as_ref())
        {
            if !known.contains(&import.id) {
                self.add_missing(import).await?;
            }
        }
        Ok(jobs)
    }

    async fn add_missing(&self, import: &Import) -> Result<(), JobError> {
        let record = ImportRecord::from_bytes(&import.record).map_err(JobError::Other)?;
        self.transfers.put(None, &record).await?;
        Ok(())
    }

    /// Begins a job, unless it is under way or there are enough.
    fn begin(&self, job: Job) {
        let name = job.name();
        {
            let mut desk = self.desk.lock();
            if desk.under_way.len() >= JOBS_MAX || !desk.under_way.insert(name.clone()) {
                return;
            }
        }
        let porter = self.clone();
        tokio::spawn(async move {
            let counters = &porter.transfers.counters;
            counters.under_way.fetch_add(1, Ordering::Relaxed);
            let done = porter.attempt(&job).await;
            counters.under_way.fetch_sub(1, Ordering::Relaxed);
            let ended = if done.is_ok() {
                &counters.completed
            } else {
                &counters.failed
            };
            ended.fetch_add(1, Ordering::Relaxed);
            if let Err(error) = done {
                tracing::warn!(job = name, %error, "an export or import is completed later");
                tokio::time::sleep(PAUSE).await;
            }
            porter.desk.lock().under_way.remove(&name);
        });
    }

    /// Carries out a job, or gives it up when that is hopeless.
    async fn attempt(&self, job: &Job) -> Result<(), JobError> {
        let done = match job {
            Job::Import(record) => self.import(record).await,
            Job::Export(record) => self.export(record).await,
        };
        let name = job.name();
        let error = match done {
            Ok(()) => {
                self.desk.lock().failures.remove(&name);
                return Ok(());
            }
            Err(JobError::NotLeading) => return Err(JobError::NotLeading),
            Err(error) => error,
        };
        let (failure, is_lasting) = error.failure();
        let failures = {
            let mut desk = self.desk.lock();
            let failures = desk.failures.entry(name.clone()).or_default();
            *failures += 1;
            *failures
        };
        if !is_lasting && failures < TRIES {
            return Err(error);
        }
        tracing::error!(job = name, %error, "an export or import is given up");
        self.desk.lock().failures.remove(&name);
        match job {
            Job::Import(record) => self.give_up_import(record, failure).await,
            Job::Export(record) => self.give_up_export(record, failure).await,
        }
    }

    /// Writes down what a record has become.
    ///
    /// # Errors
    /// [`JobError::NotLeading`] when somebody else has written it.
    async fn note<R: Record>(&self, was: &R, now: &R) -> Result<(), JobError> {
        if self.transfers.put(Some(was), now).await? {
            Ok(())
        } else {
            Err(JobError::NotLeading)
        }
    }

    /// A record as it is now, if it is not over.
    async fn latest<R: Record>(&self, record: &R) -> Result<Option<R>, JobError> {
        let found = self.transfers.find::<R>(record.table(), record.id()).await?;
        Ok(found.filter(|record| record.ended_ms().is_none()))
    }
}
