//! Carries out exports, imports and bulk operations, as operations have asked for them.
//!
//! The node that leads the metadata does it, like the archivist. Invariant: everything may be begun again, by another node, at
//! any point. Imports and bulk operations go on where their rows say; an export is begun anew, of a later moment if it is not
//! of the past, under other names of files.
//! How far either is, and that it is over, is written down by compare-and-set: two nodes that believe to lead never both do.

mod bulk;
mod export;
mod import;
mod past;
mod tally;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use stator_cluster::Cluster;

use super::record::Failure;
use super::{BulkRecord, ExportRecord, ImportRecord, LISTED_MS, Record, Status, TransferError, Transfers};
use crate::catalog::{CatalogError, Import};
use crate::cut_walk::WalkError;
use crate::desk::{self, Desk, JobCounters, Outlook, Worker};
use crate::history_reader::HistoryError;
use crate::object_store::StoreError;
use crate::pace::Alarm;
use crate::upkeep::Upkeep;

/// How often tokens are looked for that are good for nothing any more.
const SWEEP: Duration = Duration::from_secs(60 * 60);

/// Why something was not completed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum JobError {
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
    #[error("there are more objects with something in them than may be: {most}")]
    TooManyObjects { most: usize },
    #[error("{0}")]
    Other(String),
    #[error("another node does it now")]
    NotLeading,
    #[error("an operator has cancelled it")]
    Cancelled,
}

impl From<std::io::Error> for JobError {
    fn from(error: std::io::Error) -> Self {
        Self::Other(error.to_string())
    }
}

impl From<WalkError> for JobError {
    fn from(error: WalkError) -> Self {
        match error {
            WalkError::Cluster(error) => Self::Cluster(error),
            WalkError::NotLeading => Self::NotLeading,
        }
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
            Self::Cancelled => ("Cancelled", true),
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
pub(crate) enum Job {
    Import(Box<ImportRecord>),
    Export(Box<ExportRecord>),
    Bulk(Box<BulkRecord>),
}

/// Works as long as its process does. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Porter {
    upkeep: Upkeep,
    transfers: Arc<Transfers>,
    region: Arc<str>,
    random: crate::random::Fill,
    desk: Desk,
    /// When tokens that are good for nothing any more are to be looked for again.
    sweep: Arc<Alarm>,
}

impl Porter {
    /// Of a node's upkeep. The region is that of ARNs.
    pub(crate) fn new(
        upkeep: Upkeep,
        transfers: Arc<Transfers>,
        region: &str,
        random: crate::random::Fill,
    ) -> Self {
        let sweep = Arc::new(Alarm::default());
        sweep.set(upkeep.cluster.steady_now());
        Self {
            upkeep,
            transfers,
            region: region.into(),
            random,
            desk: Desk::default(),
            sweep,
        }
    }

    /// Looks for something to do, for as long as the process runs.
    pub(crate) async fn run(self) {
        desk::run(self).await;
    }

    /// Does all that is left to do, one after the other.
    #[cfg(test)]
    pub(crate) async fn look_after_all(&self) -> Result<(), String> {
        desk::look_after_all(self).await
    }

    /// Forgets tokens that are older than anything that is listed.
    async fn forget_tokens(&self) -> Result<(), JobError> {
        let before_ms = self.upkeep.now_ms() - LISTED_MS;
        self.transfers.forget_tokens::<ImportRecord>(before_ms).await?;
        self.transfers.forget_tokens::<ExportRecord>(before_ms).await?;
        self.transfers.forget_tokens::<BulkRecord>(before_ms).await?;
        Ok(())
    }

    async fn add_missing(&self, import: &Import) -> Result<(), JobError> {
        let record = ImportRecord::from_bytes(&import.record).map_err(JobError::Other)?;
        self.transfers.put(None, &record).await?;
        Ok(())
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

impl Worker for Porter {
    const JOB: &'static str = "an export, import or bulk operation";
    type Job = Job;
    type Error = JobError;

    fn cluster(&self) -> &Cluster {
        &self.upkeep.cluster
    }

    fn desk(&self) -> &Desk {
        &self.desk
    }

    fn counters(&self) -> &JobCounters {
        &self.transfers.counters.jobs
    }

    fn name(job: &Job) -> String {
        match job {
            Job::Import(record) => format!("import {}", record.id),
            Job::Export(record) => format!("export {}", record.id),
            Job::Bulk(record) => format!("bulk operation {}", record.id),
        }
    }

    fn outlook(_: &Job, error: &JobError) -> Outlook {
        match error {
            JobError::NotLeading => Outlook::Good,
            error if error.failure().1 => Outlook::Hopeless,
            _ => Outlook::Fair,
        }
    }

    async fn prepare(&self) -> Result<(), JobError> {
        Ok(())
    }

    async fn keep_house(&self) {
        let now = self.cluster().steady_now();
        if !self.sweep.rings(now) {
            return;
        }
        self.sweep.set(now + SWEEP);
        if let Err(error) = self.forget_tokens().await {
            tracing::debug!(%error, "old tokens are removed later");
        }
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
        for record in self.transfers.all::<BulkRecord>().await? {
            if record.ended_ms.is_none() {
                jobs.push(Job::Bulk(Box::new(record)));
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

    async fn carry_out(&self, job: &Job) -> Result<(), JobError> {
        match job {
            Job::Import(record) => self.import(record).await,
            Job::Export(record) => self.export(record).await,
            Job::Bulk(record) => self.bulk(record).await,
        }
    }

    async fn give_up(&self, job: &Job, error: JobError) -> Result<(), JobError> {
        let (failure, _) = error.failure();
        match job {
            Job::Import(record) => self.give_up_import(record, failure).await,
            Job::Export(record) => self.give_up_export(record, failure).await,
            Job::Bulk(record) => self.give_up_bulk(record, failure).await,
        }
    }
}
