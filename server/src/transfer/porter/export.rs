//! Exporting a table: the cells of one moment, as lines in compressed objects, with manifests that say which.
//!
//! Objects are as AWS lays them out: `AWSDynamoDB/<id>/data/<name>.json.gz` (those with changes
//! `AWSDynamoDB/data/<name>.json.gz`), then `manifest-files.json`, `manifest-summary.json` and the MD5 of both, which make it
//! complete. Source: Amazon DynamoDB Developer Guide, "DynamoDB table export output format".

use std::io::Write as _;
use std::sync::atomic::Ordering;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use md5::{Digest as _, Md5};
use stator_cluster::Cut;
use stator_model::item::Item;

use super::super::format;
use super::super::record::{ExportRecord, Failure, Format, Status};
use super::past::Changed;
use super::{JobError, Porter};
use crate::arn;
use crate::aside::aside;
use crate::catalog::Table;
use crate::cut_walk::CutWalk;
use crate::desk::Worker as _;
use crate::wire::encode::transfer::{DataFile, manifest_line, manifest_summary};

/// Files that are removed are listed by so many at a time.
const REMOVED_AT_ONCE: usize = 10_000;
/// A data file has about so many bytes of lines.
const FILE_BYTES: u64 = 32 << 20;

/// What a line is made of.
pub(super) enum Entry {
    /// The cell of an item.
    Item(Bytes),
    Changed(Changed),
}

impl Entry {
    /// Adds the line. Gives the size of its items, as it is counted for tables.
    fn write(self, format: Format, out: &mut Vec<u8>) -> Result<usize, JobError> {
        match self {
            Self::Item(cell) => {
                let (item, size) = read_item(cell)?;
                format::write(format, &item, out);
                Ok(size)
            }
            Self::Changed(changed) => changed.write(format, out),
        }
    }
}

/// An item, and its size as it is counted for tables.
pub(super) fn read_item(cell: Bytes) -> Result<(Item, usize), JobError> {
    Item::measured(cell).map_err(|error| JobError::Other(error.to_string()))
}

/// A data file in the making.
struct Draft {
    format: Format,
    gzip: GzEncoder<Vec<u8>>,
    lines: Vec<u8>,
    items: i64,
    /// Bytes of lines, before they are compressed.
    written: u64,
    /// Bytes of items, as they are counted for tables.
    size: i64,
}

impl Draft {
    fn new(format: Format) -> Self {
        Self {
            format,
            gzip: GzEncoder::new(Vec::new(), Compression::default()),
            lines: Vec::new(),
            items: 0,
            written: 0,
            size: 0,
        }
    }

    fn push(&mut self, entries: Vec<Entry>) -> Result<(), JobError> {
        for entry in entries {
            self.lines.clear();
            let size = entry.write(self.format, &mut self.lines)?;
            self.gzip
                .write_all(&self.lines)
                .map_err(|error| JobError::Other(error.to_string()))?;
            self.written += self.lines.len() as u64;
            self.items += 1;
            self.size += i64::try_from(size).unwrap_or(i64::MAX);
        }
        Ok(())
    }
}

/// What says what an export is made of. With the first one it is complete.
const MANIFESTS: [&str; 4] = [
    "manifest-summary.json",
    "manifest-summary.md5",
    "manifest-files.json",
    "manifest-files.md5",
];

/// An export under way.
pub(super) struct Running {
    pub(super) record: ExportRecord,
    draft: Draft,
    files: Vec<DataFile>,
}

impl Porter {
    /// Carries out an export, from its beginning to its end.
    pub(super) async fn export(&self, record: &ExportRecord) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let table = self.upkeep.catalog.latest(&record.table).await?;
        let table = table.filter(|table| table.definition().id.to_string() == record.table_id);
        let Some(table) = table else {
            let failure = Failure {
                code: "TableNotFound".to_owned(),
                message: format!("The table {} was deleted before it was exported", record.table),
            };
            return self.give_up_export(&record, failure).await;
        };
        let record = self.begin_attempt(record).await?;
        let bucket = record.target.bucket.clone();
        let started = Bytes::new();
        self.transfers
            .buckets
            .put(&bucket, &record.key("_started"), started)
            .await?;
        let mut running = Running {
            record: record.clone(),
            draft: Draft::new(record.format()),
            files: Vec::new(),
        };
        match record.reads() {
            None => self.write_present(&mut running, &table).await?,
            Some((history, _)) => self.write_past(&mut running, &table, history).await?,
        }
        // A table without items has a file without lines.
        if running.draft.items > 0 || running.files.is_empty() {
            self.upload(&mut running).await?;
        }
        running.record.items = running.files.iter().map(|file| file.items).sum();
        self.finish(&record, running).await
    }

    /// Gives an export up.
    pub(super) async fn give_up_export(
        &self,
        record: &ExportRecord,
        failure: Failure,
    ) -> Result<(), JobError> {
        let Some(record) = self.latest(record).await? else {
            return Ok(());
        };
        let (of_tries, own) = (record.data_prefix(), record.key(""));
        let removed = async {
            self.remove_as_named_before(&record).await?;
            self.remove_below(&record, &of_tries, |_| true).await?;
            self.remove_below(&record, &own, |_| true).await
        };
        if let Err(error) = removed.await {
            tracing::warn!(export = record.id, %error, "files of an export that is given up stay in the bucket");
        }
        self.end_export(&record, Status::Failed, Some(failure)).await
    }

    /// Writes down how the files of the next try are called, and removes what those before it have left behind. Whoever is still
    /// at one of them cannot complete it from then on.
    async fn begin_attempt(&self, record: ExportRecord) -> Result<ExportRecord, JobError> {
        if record.is_cancelled {
            return Err(JobError::Cancelled);
        }
        let mut begun = record.clone();
        let mut random = [0; 4];
        (self.random)(&mut random)?;
        begun.attempt = Some(record.next_attempt(u32::from_le_bytes(random)));
        self.note(&record, &begun).await?;
        if record.attempt.is_some() {
            // What names files goes before the files.
            for name in MANIFESTS {
                let buckets = &self.transfers.buckets;
                buckets.remove(&record.target.bucket, &record.key(name)).await?;
            }
            self.remove_below(&record, &record.key("manifest-"), |_| true)
                .await?;
            self.remove_as_named_before(&record).await?;
            self.remove_earlier(&begun).await?;
        }
        Ok(begun)
    }

    /// Removes the data files of tries before the one that a record names, and of those what was not completed.
    async fn remove_earlier(&self, record: &ExportRecord) -> Result<(), JobError> {
        if !record.has_earlier_tries() {
            return Ok(());
        }
        let of = record.clone();
        let is_earlier = move |key: &str| of.is_of_earlier_try(key);
        self.remove_below(record, &record.data_prefix(), is_earlier).await
    }

    /// Removes the data files of the try that a record names, should they be named as earlier programs do: by it alone.
    async fn remove_as_named_before(&self, record: &ExportRecord) -> Result<(), JobError> {
        match &record.attempt {
            Some(attempt) if !attempt.starts_with(&record.id) => {
                let prefix = record.data_key(attempt);
                self.remove_below(record, &prefix, |_| true).await
            }
            _ => Ok(()),
        }
    }

    /// Removes those objects below a prefix that are not wanted, whole ones and what somebody has begun to write of such.
    async fn remove_below(
        &self,
        record: &ExportRecord,
        prefix: &str,
        is_unwanted: impl Fn(&str) -> bool + Clone + Send + 'static,
    ) -> Result<(), JobError> {
        let (buckets, bucket) = (&self.transfers.buckets, record.target.bucket.as_str());
        buckets.end_uploads((bucket, prefix), is_unwanted.clone()).await;
        loop {
            let is_listed = is_unwanted.clone();
            let listed = buckets
                .list((bucket, prefix), REMOVED_AT_ONCE, move |object| {
                    is_listed(&object.key)
                })
                .await?;
            for object in &listed.objects {
                buckets.remove(bucket, &object.key).await?;
            }
            if !listed.has_more {
                return Ok(());
            }
        }
    }

    /// Refuses to go on with an export that is to end.
    pub(super) async fn require_wanted(&self, record: &ExportRecord) -> Result<(), JobError> {
        match self.latest(record).await? {
            Some(there) if there.is_cancelled => Err(JobError::Cancelled),
            // Another node has begun anew.
            Some(there) if there.attempt != record.attempt => Err(JobError::NotLeading),
            Some(_) => Ok(()),
            None => Err(JobError::NotLeading),
        }
    }

    async fn end_export(
        &self,
        record: &ExportRecord,
        status: Status,
        failure: Option<Failure>,
    ) -> Result<(), JobError> {
        let mut ended = record.clone();
        ended.set_status(status);
        ended.attempt = None;
        ended.ended_ms = Some(self.upkeep.now_ms());
        ended.failure = failure;
        self.note(record, &ended).await
    }

    /// Writes the items as they are at a moment from now on.
    async fn write_present(&self, running: &mut Running, table: &Table) -> Result<(), JobError> {
        let cut = self.cluster().cut(&[table.keyspace()]).await?;
        running.record.moment_ms = i64::try_from(cut.at_ms()).unwrap_or(i64::MAX);
        let written = self.write_files(running, table, &cut).await;
        self.cluster().end_cut(cut).await;
        written
    }

    async fn write_files(&self, running: &mut Running, table: &Table, cut: &Cut) -> Result<(), JobError> {
        let mut walk = CutWalk::new(self.cluster(), cut, self.transfers.bytes_per_second);
        walk.enter(table.keyspace());
        while let Some(page) = walk.next().await? {
            if !page.rows.is_empty() {
                let entries = page.rows.into_iter().map(|(_, cell)| Entry::Item(cell)).collect();
                walk.keep_while(self.write_entries(running, entries)).await??;
            }
            self.require_wanted(&running.record).await?;
        }
        Ok(())
    }

    pub(super) async fn write_entries(
        &self,
        running: &mut Running,
        entries: Vec<Entry>,
    ) -> Result<(), JobError> {
        let format = running.record.format();
        let mut draft = std::mem::replace(&mut running.draft, Draft::new(format));
        let pushing = move || draft.push(entries).map(|()| draft);
        running.draft = aside("export", pushing).await??;
        if running.draft.written >= FILE_BYTES {
            self.upload(running).await?;
        }
        Ok(())
    }

    /// Writes the data file that is in the making, and begins the next one.
    async fn upload(&self, running: &mut Running) -> Result<(), JobError> {
        let format = running.record.format();
        let draft = std::mem::replace(&mut running.draft, Draft::new(format));
        let bytes = draft
            .gzip
            .finish()
            .map_err(|error| JobError::Other(error.to_string()))?;
        let extension = if format == Format::Ion { "ion" } else { "json" };
        let place = running.files.len();
        let attempt = running.record.attempt.as_deref().unwrap_or_default();
        let key = running
            .record
            .data_key(&format!("{attempt}{place:06}.{extension}.gz"));
        let checksum = STANDARD.encode(Md5::digest(&bytes));
        let (buckets, bucket) = (&self.transfers.buckets, &running.record.target.bucket);
        let tag = buckets.put(bucket, &key, bytes.into()).await?;
        // Whoever was held up with it may have been replaced, by somebody who has looked already for what is to be removed.
        if let Err(error) = self.require_wanted(&running.record).await {
            if let Err(left) = buckets.remove(bucket, &key).await {
                tracing::warn!(bucket, key, error = %left, "a file of a try that has ended stays in the bucket");
            }
            return Err(error);
        }
        running.record.bytes += draft.size;
        let counter = &self.transfers.counters.items_exported;
        counter.fetch_add(u64::try_from(draft.items).unwrap_or_default(), Ordering::Relaxed);
        running.files.push(DataFile {
            items: draft.items,
            checksum,
            tag,
            key,
        });
        Ok(())
    }

    /// Writes the manifests, and that the export is complete.
    async fn finish(&self, was: &ExportRecord, running: Running) -> Result<(), JobError> {
        let Running {
            mut record, files, ..
        } = running;
        record.set_status(Status::Completed);
        record.attempt = None;
        record.ended_ms = Some(self.upkeep.now_ms());
        let mut lines = Vec::new();
        for file in &files {
            manifest_line(file, &mut lines);
        }
        self.require_wanted(was).await?;
        // Those of earlier tries that were held up may have come since this one began.
        if let Err(error) = self.remove_earlier(was).await {
            tracing::warn!(export = was.id, %error, "files of earlier tries of an export may stay in the bucket");
        }
        self.require_wanted(was).await?;
        self.put_with_checksum(&record, "manifest-files", lines).await?;
        let table = arn::table(&self.region, &record.table);
        let summary = manifest_summary(&record, &table);
        self.require_wanted(was).await?;
        self.put_with_checksum(&record, "manifest-summary", summary)
            .await?;
        tracing::info!(
            table = record.table,
            export = record.id,
            items = record.items,
            files = files.len(),
            "a table is exported"
        );
        self.note(was, &record).await
    }

    async fn put_with_checksum(
        &self,
        record: &ExportRecord,
        name: &str,
        bytes: Vec<u8>,
    ) -> Result<(), JobError> {
        let (buckets, bucket) = (&self.transfers.buckets, &record.target.bucket);
        let checksum = STANDARD.encode(Md5::digest(&bytes));
        let (of_bytes, of_checksum) = (format!("{name}.json"), format!("{name}.md5"));
        buckets.put(bucket, &record.key(&of_bytes), bytes.into()).await?;
        buckets
            .put(bucket, &record.key(&of_checksum), checksum.into())
            .await?;
        Ok(())
    }
}
