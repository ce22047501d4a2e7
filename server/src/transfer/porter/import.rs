//! Importing into a table: its items are written as those of a restore are, so that all that follows from them comes by itself.
//!
//! The definition of the table says that it is being imported; while it does, no client can read or write it, and leaders take
//! items from here. A record that is no item of the table is counted and told in the log of the node, and does not stop the
//! import. Of records with the same key the last one stays: within a page by leaving out the others, between pages because
//! they are written one after the other.

use std::collections::HashMap;
use std::sync::atomic::Ordering;

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stator_cluster::{Error, Unfit, WriteOptions};
use stator_model::item::Item;
use tokio::time::Duration;

use super::super::format::Line;
use super::super::record::{Failure, ImportRecord, Place, Status};
use super::super::source::{self, Page, Reading};
use super::{Job, JobError, Porter};
use crate::catalog::{CatalogError, Import, Table};
use crate::command::{Deposit, ITEM_BYTES_MAX};
use crate::derive::unfit;
use crate::desk::{PAUSE, Worker};
use crate::message;
use crate::object_store::Object;
use crate::pace::{Pace, hold_back};

/// So many items are on their way into the table.
pub(super) const WRITES_AT_ONCE: usize = 256;
/// How often it is written down how far an import is.
const NOTE: Duration = Duration::from_secs(2);
/// So many records of an import that cannot be imported are told in the log. Source: Amazon DynamoDB Developer Guide, "Import
/// format quotas and validation".
const TOLD_MAX: i64 = 10_000;
/// Most objects of an import. Source: as above.
const OBJECTS_MAX: usize = 50_000;

/// An import under way: its record as it was written down last, and as it is.
struct Running<'a> {
    table: &'a Table,
    noted: ImportRecord,
    now: ImportRecord,
    /// When that was, by the steady clock.
    noted_at: Duration,
    pace: Pace,
}

/// An item with its key, ready to be written.
struct Ready {
    key: Vec<u8>,
    item: Item,
    /// Its place among the records of its object.
    number: u64,
}

impl Porter {
    /// Goes on with an import, to its end.
    pub(super) async fn import(&self, record: &ImportRecord) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let wanted = record.definition().map_err(JobError::Other)?;
        let table = self.upkeep.catalog.latest(&record.table).await?;
        let table = table.filter(|table| table.definition().id == wanted.id);
        let Some(table) = table else {
            return self.end(&record, Status::Cancelled, None).await;
        };
        let Some(import) = table.definition().import.clone() else {
            // Only what says so was not written any more.
            let (status, failure) = end_of(record.progress.errors);
            return self.end(&record, status, failure).await;
        };
        let mut record = record;
        if !import.is_sealed {
            match self.write_all(&table, record).await? {
                Some(done) => record = done,
                None => return Ok(()),
            }
            // What follows from the items is to be there as well.
            self.cluster().settled().await?;
        }
        self.release(&table).await?;
        let (status, failure) = end_of(record.progress.errors);
        tracing::info!(
            table = table.name(),
            import = record.id,
            items = record.progress.imported,
            errors = record.progress.errors,
            "a table is imported"
        );
        self.end(&record, status, failure).await
    }

    /// Gives an import up. What is in the table stays, and the table can be used.
    pub(super) async fn give_up_import(
        &self,
        record: &ImportRecord,
        failure: Failure,
    ) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let wanted = record.definition().map_err(JobError::Other)?;
        if let Some(table) = self.upkeep.catalog.latest(&record.table).await?
            && table.definition().id == wanted.id
        {
            self.release(&table).await?;
        }
        self.end(&record, Status::Failed, Some(failure)).await
    }

    async fn end(
        &self,
        record: &ImportRecord,
        status: Status,
        failure: Option<Failure>,
    ) -> Result<(), JobError> {
        let mut ended = record.clone();
        ended.set_status(status);
        ended.ended_ms = Some(self.upkeep.now_ms());
        ended.failure = failure;
        self.note(record, &ended).await
    }

    /// Lets clients have the table: first no leader takes items from here any more, then the definition says so.
    async fn release(&self, table: &Table) -> Result<(), JobError> {
        self.change(table, |import| {
            if let Some(import) = import {
                import.is_sealed = true;
            }
        })
        .await?;
        self.require_latest().await?;
        self.change(table, |import| *import = None).await
    }

    /// Every range asks its leaders to know all that this node knows of the metadata.
    async fn require_latest(&self) -> Result<(), JobError> {
        self.cluster().catch_up_metadata().await?;
        let known = self.cluster().metadata_index();
        Ok(self.cluster().require(known).await?)
    }

    async fn change(&self, table: &Table, change: impl Fn(&mut Option<Import>)) -> Result<(), JobError> {
        let changed = self.upkeep.catalog.change(table.name(), |there| {
            // Another table may have the name by now.
            if there.id == table.definition().id {
                change(&mut there.import);
            }
            Ok::<(), std::convert::Infallible>(())
        });
        match changed.await {
            Ok(_) | Err(CatalogError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Writes all items that are not written yet; gives the record as it has become, or nothing when the table is gone.
    async fn write_all(&self, table: &Table, record: ImportRecord) -> Result<Option<ImportRecord>, JobError> {
        self.require_latest().await?;
        let objects = self.source_objects(&record.source).await?;
        record
            .progress
            .find_in(&objects, record.progress.is_object_done)?;
        let mut running = Running {
            table,
            noted: record.clone(),
            now: record,
            noted_at: self.cluster().steady_now(),
            pace: Pace::new(self.transfers.bytes_per_second, self.cluster().steady_now()),
        };
        let done = running.now.progress.key.clone();
        for object in objects {
            let progress = &mut running.now.progress;
            let is_done =
                |done: &String| object.key < *done || (object.key == *done && progress.is_object_done);
            if done.as_ref().is_some_and(is_done) {
                continue;
            }
            progress.take_up(&object)?;
            if !self.write_object(&mut running, object).await? {
                self.end(&running.noted, Status::Cancelled, None).await?;
                return Ok(None);
            }
            running.now.progress.is_object_done = true;
        }
        self.note(&running.noted, &running.now).await?;
        Ok(Some(running.now))
    }

    /// The objects of a source that have something in them, in the order of their keys; there may be none.
    pub(super) async fn source_objects(&self, source: &Place) -> Result<Vec<Object>, JobError> {
        let prefix = source.prefix.as_deref().unwrap_or_default();
        let is_wanted = |object: &Object| object.size > 0;
        let buckets = &self.transfers.buckets;
        let listed = buckets
            .list((source.bucket.as_str(), prefix), OBJECTS_MAX, is_wanted)
            .await?;
        if listed.has_more {
            return Err(JobError::TooManyObjects { most: OBJECTS_MAX });
        }
        Ok(listed.objects)
    }

    /// Writes the items of an object; `false` when the table is gone.
    async fn write_object(&self, running: &mut Running<'_>, object: Object) -> Result<bool, JobError> {
        let (key, behind) = (object.key.clone(), running.now.progress.records);
        let buckets = self.transfers.buckets.clone();
        let definition = running.table.definition();
        let import = &running.now;
        let from = (import.source.bucket.as_str(), &import.input, Reading::Items);
        let mut pages = source::pages(buckets, from, definition, object, behind);
        while let Some(page) = pages.next().await? {
            if !self.is_wanted(running.table) {
                return Ok(false);
            }
            if !self.cluster().leads_metadata() {
                return Err(JobError::NotLeading);
            }
            let bytes = self.write_page(running, &key, page).await?;
            let now = self.cluster().steady_now();
            if now.saturating_sub(running.noted_at) >= NOTE {
                self.note(&running.noted, &running.now).await?;
                running.noted = running.now.clone();
                running.noted_at = now;
                let job = Job::Import(Box::new(running.now.clone()));
                self.desk().gets_further(&Self::name(&job));
            }
            hold_back(running.pace.has_done(bytes, self.cluster().steady_now())).await;
        }
        Ok(true)
    }

    /// Whether the table is still there to be imported into.
    fn is_wanted(&self, table: &Table) -> bool {
        let known = self.upkeep.catalog.table(table.name());
        known.is_some_and(|known| known.definition().id == table.definition().id)
    }

    /// Writes the items of a page; gives how many bytes of the object it was.
    async fn write_page(&self, running: &mut Running<'_>, key: &str, page: Page) -> Result<u64, JobError> {
        let first = running.now.progress.records;
        let bytes = page.lines.iter().map(|line| line.bytes).sum();
        let count = page.lines.len();
        let mut errors: Vec<(u64, String)> = Vec::new();
        let writes = sorted_out(running.table, page.lines, first, &mut errors);
        let table = running.table;
        let refused: Vec<Option<(u64, String)>> = stream::iter(writes)
            .map(|ready| self.write_item(table, ready))
            .buffer_unordered(WRITES_AT_ONCE)
            .try_collect()
            .await?;
        errors.extend(refused.into_iter().flatten());
        let progress = &mut running.now.progress;
        // It is not to be met, and counted, once more.
        progress.is_object_done |= page.broken.is_some();
        errors.extend(page.broken.map(|broken| (first + count as u64, broken)));
        let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for (record, error) in &errors {
            progress.errors += 1;
            if progress.errors <= TOLD_MAX {
                let (import, bucket) = (&running.noted.id, &running.noted.source.bucket);
                let error = shortened(error);
                tracing::warn!(import, bucket, key, record, error, "a record is not imported");
            }
        }
        progress.records += count as u64;
        progress.processed += number(count);
        let not_imported = errors.iter().filter(|(record, _)| *record < first + count as u64);
        let imported = count - not_imported.count();
        progress.imported += number(imported);
        let counters = &self.transfers.counters;
        counters
            .items_imported
            .fetch_add(imported as u64, Ordering::Relaxed);
        counters
            .records_refused
            .fetch_add(errors.len() as u64, Ordering::Relaxed);
        progress.bytes += i64::try_from(bytes).unwrap_or(i64::MAX);
        Ok(bytes)
    }

    /// Writes an item, as often as it takes; gives why it was refused.
    async fn write_item(&self, table: &Table, ready: Ready) -> Result<Option<(u64, String)>, JobError> {
        let command = Deposit { item: ready.item };
        loop {
            let options = WriteOptions::default();
            let written = self
                .cluster()
                .write(table.keyspace(), &ready.key, options, &command);
            match written.await {
                // When there is no keyspace, the table is deleted under it.
                Ok(_) | Err(Error::NoSuchKeyspace) => return Ok(None),
                Err(Error::Unfit(Unfit {
                    code: unfit::NOT_RESTORED,
                    ..
                })) => return Err(JobError::NotLeading),
                Err(Error::Unfit(refused)) => return Ok(Some((ready.number, refused.reason))),
                Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
                    tracing::debug!(%error, "an item is imported later");
                    if !self.cluster().leads_metadata() {
                        return Err(JobError::NotLeading);
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
    }
}

/// What an import ends as that has read all there is. As in DynamoDB, it is complete if nothing was refused; otherwise what was not
/// refused is in the table.
///
/// Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/import.md, DDB-IMPORT-013.
fn end_of(errors: i64) -> (Status, Option<Failure>) {
    if errors == 0 {
        return (Status::Completed, None);
    }
    let failure = Failure {
        code: "ItemValidationError".to_owned(),
        message: "Some of the items failed validation checks and were not imported. Please check the log of the node for more \
                  details."
            .to_owned(),
    };
    (Status::Failed, Some(failure))
}

/// The items of records that the table takes, each key once, and what is wrong with the others.
fn sorted_out(table: &Table, lines: Vec<Line>, first: u64, errors: &mut Vec<(u64, String)>) -> Vec<Ready> {
    let mut places: HashMap<Vec<u8>, usize> = HashMap::with_capacity(lines.len());
    let mut ready: Vec<Ready> = Vec::with_capacity(lines.len());
    for (number, line) in (first..).zip(lines) {
        let found = line.item.and_then(|item| Ok((key_of(table, &item)?, item)));
        let (key, item) = match found {
            Ok(found) => found,
            Err(error) => {
                errors.push((number, error));
                continue;
            }
        };
        let new = Ready {
            key: key.clone(),
            item,
            number,
        };
        if let Some(place) = places.get(&key) {
            ready[*place] = new;
        } else {
            places.insert(key, ready.len());
            ready.push(new);
        }
    }
    ready
}

/// The key of an item that the table takes; otherwise what PutItem would say.
fn key_of(table: &Table, item: &Item) -> Result<Vec<u8>, String> {
    if item.as_ref().size() > ITEM_BYTES_MAX {
        return Err(message::ITEM_TOO_LARGE.to_owned());
    }
    let said = |error: crate::wire::error::ApiError| error.sentence().unwrap_or_default();
    let key = table.key_of_item(item.as_ref());
    let key = key.map_err(|error| said(message::item_key(&error)))?;
    table.check_index_keys(item.as_ref()).map_err(said)?;
    Ok(key.as_bytes().to_vec())
}

/// A sentence without most of what it quotes: values may have megabytes, and records with them come by the thousand.
fn shortened(sentence: &str) -> &str {
    const BYTES_MAX: usize = 1024;
    &sentence[..sentence.floor_char_boundary(BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_import_is_complete_if_nothing_was_refused() {
        assert_eq!(end_of(0), (Status::Completed, None));
        let (status, failure) = end_of(1);
        assert_eq!(status, Status::Failed);
        assert_eq!(failure.unwrap().code, "ItemValidationError");
    }
}
