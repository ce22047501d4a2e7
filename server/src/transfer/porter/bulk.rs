//! Putting items of a bucket into a table that is in use, as PutItem would, each if its condition holds.
//!
//! Invariant: how far it is, is written down together with the numbers of what was done, behind the part of the report that tells
//! of it. Whoever goes on after a crash does again what was done since, under the same invocation ids, so that leaders that
//! remember them answer as they did, and writes the part of the report anew that nobody has written down. Of records with the
//! same key the last one stays: they are written one after the other.

use std::collections::HashSet;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stator_cluster::{Error, Invocation, InvocationId, WriteOptions};
use stator_model::item::Item;

use super::super::format::Line;
use super::super::record::Failure;
use super::super::record::bulk::{BulkRecord, BulkStatus};
use super::super::source::{self, Page, Reading};
use super::import::WRITES_AT_ONCE;
use super::tally::{Outcome, Tally};
use super::{Job, JobError, Porter};
use crate::catalog::Table;
use crate::command::{OnFailure, Refusal, WriteAnswer};
use crate::desk::{PAUSE, Worker};
use crate::object_store::{Object, StoreError};
use crate::operation::replacement::Replacement;
use crate::pace::{Pace, hold_back};
use crate::wire::encode::bulk::summary;
use crate::wire::error::ApiError;

/// How often it is written down how far it is.
const NOTE: Duration = Duration::from_secs(2);
/// A part of the report has about so many bytes.
const PART_BYTES: usize = 4 << 20;

/// What an operation ends as.
type End = (BulkStatus, Option<Failure>);

/// A bulk operation under way: its record as it was written down last, and as it is.
struct Running<'a> {
    table: &'a Table,
    noted: BulkRecord,
    tally: Tally,
    /// When it was written down, by the steady clock.
    noted_at: Duration,
    bytes: Pace,
    units: Option<Pace>,
    /// Whether somebody may have begun the next part of the report.
    is_resumed: bool,
}

/// A put of a record, with the key of its item.
struct Ready {
    number: u64,
    key: Vec<u8>,
    put: Replacement,
}

impl Porter {
    /// Goes on with a bulk operation, to its end.
    pub(super) async fn bulk(&self, record: &BulkRecord) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let table = self.upkeep.catalog.latest(&record.table).await?;
        let table = table.filter(|table| table.definition().id.to_string() == record.table_id);
        let Some(table) = table else {
            let (status, failure) = without_table(&record);
            let ended = self.ended(record.clone(), status, failure);
            self.note(&record, &ended).await?;
            self.end_uploads(&ended).await;
            return Ok(());
        };
        let now = self.cluster().steady_now();
        let units = record
            .units_per_second
            .and_then(|units| u64::try_from(units).ok());
        let mut running = Running {
            table: &table,
            is_resumed: record.bytes_of_all.is_some(),
            noted: record.clone(),
            tally: Tally::new(record),
            noted_at: now,
            bytes: Pace::new(self.transfers.bytes_per_second, now),
            units: units.map(|units| Pace::new(units, now)),
        };
        let end = if running.noted.status() == BulkStatus::Cancelling {
            cancelled()
        } else {
            self.put_all(&mut running).await?
        };
        self.end_bulk(&mut running, end).await
    }

    /// Gives a bulk operation up. What was put stays.
    pub(super) async fn give_up_bulk(&self, record: &BulkRecord, failure: Failure) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let ended = self.ended(record.clone(), BulkStatus::Failed, Some(failure));
        self.note(&record, &ended).await?;
        self.end_uploads(&ended).await;
        Ok(())
    }

    /// Ends what somebody has begun to write of the report who is gone. Nobody else writes it when this node has written down how
    /// far it is.
    async fn end_uploads(&self, record: &BulkRecord) {
        let (bucket, prefix) = (record.report.target.bucket.as_str(), record.report_key(""));
        let buckets = &self.transfers.buckets;
        buckets.end_uploads((bucket, prefix.as_str()), |_| true).await;
    }

    fn ended(&self, mut record: BulkRecord, status: BulkStatus, failure: Option<Failure>) -> BulkRecord {
        record.set_status(status);
        record.ended_ms = Some(self.upkeep.now_ms());
        record.failure = failure;
        record
    }

    /// Puts all items that were not put yet.
    async fn put_all(&self, running: &mut Running<'_>) -> Result<End, JobError> {
        let buckets = &self.transfers.buckets;
        let source = &running.noted.source;
        let objects = self.source_objects(source).await?;
        if objects.is_empty() {
            let key = source.prefix.clone().unwrap_or_default();
            return Err(StoreError::NoSuchKey { key }.into());
        }
        let so_far = &running.tally.record;
        so_far.progress.find_in(&objects, so_far.is_object_done)?;
        let report = &running.noted.report.target.bucket;
        // Whether it may be told is better known before anything is put.
        let begun = running.noted.report_key("_started");
        buckets.put(report, &begun, bytes::Bytes::new()).await?;
        let all = objects.iter().map(|object| object.size).sum::<u64>();
        running.tally.record.bytes_of_all = Some(i64::try_from(all).unwrap_or(i64::MAX));
        let is_resumed = running.is_resumed;
        self.note_bulk(running).await?;
        if is_resumed {
            self.end_uploads(&running.noted).await;
        }
        for object in objects {
            if !running.tally.begins(&object)? {
                continue;
            }
            let size = object.size;
            if let Some(end) = self.put_object(running, object).await? {
                return Ok(end);
            }
            running.tally.ends_object(size);
        }
        let has_errors = running.tally.record.progress.errors > 0;
        let status = if has_errors {
            BulkStatus::CompletedWithErrors
        } else {
            BulkStatus::Completed
        };
        Ok((status, None))
    }

    /// Puts the items of an object; gives what the operation ends as, if it does here.
    async fn put_object(&self, running: &mut Running<'_>, object: Object) -> Result<Option<End>, JobError> {
        let (key, record) = (object.key.clone(), &running.tally.record);
        let from = (record.source.bucket.as_str(), &record.input, Reading::Puts);
        let behind = record.progress.records;
        let buckets = self.transfers.buckets.clone();
        let mut pages = source::pages(buckets, from, running.table.definition(), object, behind);
        while let Some(page) = pages.next().await? {
            if !self.cluster().leads_metadata() {
                return Err(JobError::NotLeading);
            }
            if self.is_cancelled(running).await? {
                return Ok(Some(cancelled()));
            }
            if !self.put_page(running, &key, page).await? {
                return Ok(Some(without_table(&running.noted)));
            }
            let is_due = self.cluster().steady_now().saturating_sub(running.noted_at) >= NOTE;
            if is_due || running.tally.report_bytes() >= PART_BYTES {
                self.note_bulk(running).await?;
                let job = Job::Bulk(Box::new(running.noted.clone()));
                self.desk().gets_further(&Self::name(&job));
            }
        }
        Ok(None)
    }

    /// Puts the items of a page; `false` when the table is gone.
    async fn put_page(&self, running: &mut Running<'_>, object: &str, page: Page) -> Result<bool, JobError> {
        let first = running.tally.record.progress.records;
        let bytes: u64 = page.lines.iter().map(|line| line.bytes).sum();
        let count = page.lines.len() as u64;
        let mut outcomes: Vec<(u64, Outcome)> = Vec::with_capacity(page.lines.len());
        let (table, id) = (running.table, running.noted.id.clone());
        for batch in batches(table, page.lines, first, &mut outcomes) {
            let puts = batch
                .into_iter()
                .map(|ready| self.put(table, (&id, object), ready));
            let done: Vec<_> = stream::iter(puts)
                .buffer_unordered(WRITES_AT_ONCE)
                .try_collect()
                .await?;
            outcomes.extend(done);
        }
        if outcomes
            .iter()
            .any(|(_, outcome)| matches!(outcome, Outcome::Gone))
        {
            return Ok(false);
        }
        let mut units = 0;
        outcomes.sort_by_key(|(number, _)| *number);
        let counters = &self.transfers.counters;
        for (number, outcome) in outcomes {
            match &outcome {
                Outcome::Written { .. } => counters.items_imported.fetch_add(1, Ordering::Relaxed),
                Outcome::Refused(..) => counters.records_refused.fetch_add(1, Ordering::Relaxed),
                Outcome::ConditionFailed(..) | Outcome::Gone => 0,
            };
            units += running.tally.count(object, number, outcome);
        }
        if let Some(broken) = page.broken {
            running.tally.refuse(object, first + count, &broken, None);
            // It is not to be met, and counted, once more.
            running.tally.record.is_object_done = true;
        }
        running.tally.has_read(count, bytes);
        let now = self.cluster().steady_now();
        let for_bytes = running.bytes.has_done(bytes, now);
        let for_units = running.units.as_mut().map(|pace| pace.has_done(units, now));
        hold_back(for_bytes.max(for_units.unwrap_or_default())).await;
        Ok(true)
    }

    /// Puts an item, as often as it takes. `of` are the operation's id and the object's key.
    async fn put(&self, table: &Table, of: (&str, &str), ready: Ready) -> Result<(u64, Outcome), JobError> {
        let Ready { number, key, put } = ready;
        let item = || put.new_item().cloned().unwrap_or_else(Item::empty);
        let command = put.command(OnFailure::AllOld, false);
        let call = InvocationId::hashed(format!("bulk {} {number} {}", of.0, of.1).as_bytes());
        let options = WriteOptions {
            invocation: Some(Invocation::repeated(call)),
            ..WriteOptions::default()
        };
        let refused = |error: ApiError| Outcome::Refused(said(&error), Some(item()));
        loop {
            let written = self.cluster().write(table.keyspace(), &key, options, &command);
            let outcome = match written.await {
                Ok(WriteAnswer(Ok(done))) => Outcome::written(&done),
                Ok(WriteAnswer(Err(Refusal::ConditionFailed(there)))) => {
                    Outcome::ConditionFailed(item(), there)
                }
                Ok(WriteAnswer(Err(refusal))) => refused(refusal.into()),
                Err(Error::NoSuchKeyspace) => Outcome::Gone,
                Err(error @ Error::Unfit(_)) => refused(error.into()),
                Err(
                    error @ (Error::Unavailable { .. }
                    | Error::OutcomeUnknown { .. }
                    | Error::TransactionConflict),
                ) => {
                    tracing::debug!(%error, "an item is put later");
                    if !self.cluster().leads_metadata() {
                        return Err(JobError::NotLeading);
                    }
                    tokio::time::sleep(PAUSE).await;
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            return Ok((number, outcome));
        }
    }

    /// Whether the operation is to end, as somebody has written down since it was looked last.
    async fn is_cancelled(&self, running: &mut Running<'_>) -> Result<bool, JobError> {
        let found = self.latest(&running.noted).await?.ok_or(JobError::NotLeading)?;
        if found == running.noted {
            return Ok(found.status() == BulkStatus::Cancelling);
        }
        let mut expected = running.noted.clone();
        expected.set_status(BulkStatus::Cancelling);
        if found != expected {
            return Err(JobError::NotLeading);
        }
        running.tally.record.set_status(BulkStatus::Cancelling);
        running.noted = found;
        Ok(true)
    }

    /// Writes down how far it is.
    async fn note_bulk(&self, running: &mut Running<'_>) -> Result<(), JobError> {
        self.write_part(running).await?;
        let now = running.tally.record.clone();
        self.write_down(running, now).await?;
        running.noted_at = self.cluster().steady_now();
        Ok(())
    }

    /// Writes down that it is over.
    async fn end_bulk(&self, running: &mut Running<'_>, (status, failure): End) -> Result<(), JobError> {
        self.write_part(running).await?;
        let ended = self.ended(running.tally.record.clone(), status, failure);
        let (bucket, key) = (
            &ended.report.target.bucket,
            ended.report_key("manifest-summary.json"),
        );
        let table = crate::arn::table(&self.region, &ended.table);
        let bytes = summary(&ended, &table).into();
        self.transfers.buckets.put(bucket, &key, bytes).await?;
        tracing::info!(
            table = ended.table,
            operation = ended.id,
            status = ?status,
            items = ended.progress.imported,
            errors = ended.progress.errors,
            conditions_failed = ended.conditions_failed,
            "a bulk operation is over"
        );
        self.write_down(running, ended).await?;
        self.end_uploads(&running.noted).await;
        Ok(())
    }

    /// Writes down what the record has become, although somebody may have cancelled it meanwhile.
    async fn write_down(&self, running: &mut Running<'_>, mut now: BulkRecord) -> Result<(), JobError> {
        if !self.transfers.put(Some(&running.noted), &now).await? {
            if !self.is_cancelled(running).await? {
                return Err(JobError::NotLeading);
            }
            if now.ended_ms.is_none() {
                now.set_status(BulkStatus::Cancelling);
            }
            self.note(&running.noted, &now).await?;
        }
        running.noted = now.clone();
        running.tally.record = now;
        Ok(())
    }

    /// Writes the part of the report that is in the making. One that somebody may have begun, who has died, is written even if
    /// nothing is in it, so that nothing is in it that is told elsewhere.
    async fn write_part(&self, running: &mut Running<'_>) -> Result<(), JobError> {
        let record = &running.tally.record;
        if running.tally.report_bytes() == 0 && !running.is_resumed {
            return Ok(());
        }
        let (bucket, part) = (&record.report.target.bucket, record.parts);
        for (is_wanted, folder, lines) in [
            (record.report.errors, "errors", &running.tally.errors),
            (
                record.report.conditions,
                "condition-check-failures",
                &running.tally.conditions,
            ),
        ] {
            if is_wanted && (!lines.is_empty() || running.is_resumed) {
                let key = record.report_key(&format!("{folder}/{part:06}.json"));
                let lines = bytes::Bytes::copy_from_slice(lines);
                self.transfers.buckets.put(bucket, &key, lines).await?;
            }
        }
        running.tally.next_part();
        running.is_resumed = false;
        Ok(())
    }
}

/// What an operation ends as whose table is gone.
fn without_table(record: &BulkRecord) -> End {
    let failure = Failure {
        code: "TableNotFound".to_owned(),
        message: format!("The table {} was deleted before all items were put", record.table),
    };
    (BulkStatus::Failed, Some(failure))
}

fn cancelled() -> End {
    let failure = Failure {
        code: "Cancelled".to_owned(),
        message: "The operation was cancelled by a request".to_owned(),
    };
    (BulkStatus::Cancelled, Some(failure))
}

fn said(error: &ApiError) -> String {
    error.sentence().unwrap_or_else(|| error.to_string())
}

/// Puts of records that the table takes, in batches that have each key once; what is wrong with the others.
fn batches(
    table: &Table,
    lines: Vec<Line>,
    first: u64,
    refused: &mut Vec<(u64, Outcome)>,
) -> Vec<Vec<Ready>> {
    let mut batches = vec![Vec::new()];
    let mut keys = HashSet::new();
    for (number, line) in (first..).zip(lines) {
        match ready(table, number, line) {
            Ok(ready) => {
                if !keys.insert(ready.key.clone()) {
                    keys.clear();
                    keys.insert(ready.key.clone());
                    batches.push(Vec::new());
                }
                if let Some(batch) = batches.last_mut() {
                    batch.push(ready);
                }
            }
            Err(outcome) => refused.push((number, outcome)),
        }
    }
    batches
}

/// The put of a record; otherwise what PutItem would say.
fn ready(table: &Table, number: u64, line: Line) -> Result<Ready, Outcome> {
    let item = line.item.map_err(|error| Outcome::Refused(error, None))?;
    let refused = |error: ApiError| Outcome::Refused(said(&error), Some(item.clone()));
    let guard = line.guard.map(|guard| *guard).unwrap_or_default();
    let put = Replacement::of_item(item.clone(), guard.condition.as_deref(), guard.expressions);
    let put = put.map_err(refused)?;
    let key = put.key(table).map_err(|error| refused(put.refusal(&error)))?;
    table.check_index_keys(item.as_ref()).map_err(refused)?;
    Ok(Ready {
        number,
        key: key.as_bytes().to_vec(),
        put,
    })
}
