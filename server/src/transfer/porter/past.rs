//! Exporting a table from its history: as it was at a moment, or what has changed in a period.

use std::ops::Bound;
use std::sync::Arc;

use stator_model::item::Item;
use stator_model::key::KeySchema;
use uuid::Uuid;

use super::super::format::{self, ChangedItem};
use super::super::record::{Format, View};
use super::export::{Entry, Running, read_item};
use super::{JobError, Porter};
use crate::catalog::Table;
use crate::derive::history::{AsOf, Change, Changes, Choice};
use crate::desk::Worker as _;
use crate::history_reader::HistoryReader;
use crate::pace::{Pace, hold_back};

/// An item that has changed.
pub(super) struct Changed {
    change: Change,
    schema: Arc<KeySchema>,
    view: View,
}

impl Changed {
    /// Adds its line. Gives the size of the items in it, as it is counted for tables.
    pub(super) fn write(self, format: Format, out: &mut Vec<u8>) -> Result<usize, JobError> {
        let Change { at_ms, new, old } = self.change;
        let (new, old) = (new.map(read_item).transpose()?, old.map(read_item).transpose()?);
        // There is one of them.
        let keys = new.as_ref().or(old.as_ref());
        let keys = keys.map_or_else(Item::empty, |(item, _)| self.schema.project(item.as_ref()));
        let old = old.filter(|_| self.view == View::NewAndOldImages);
        let images = new.iter().chain(&old);
        let size = images.map(|(_, size)| *size).sum::<usize>() + keys.as_ref().size();
        let line = ChangedItem {
            at_us: at_ms.saturating_mul(1000),
            keys: keys.as_ref(),
            new: new.as_ref().map(|(item, _)| item.as_ref()),
            old: old.as_ref().map(|(item, _)| item.as_ref()),
        };
        format::write_change(format, &line, out);
        Ok(size)
    }
}

impl Porter {
    /// Writes what is to be exported of a history.
    pub(super) async fn write_past(
        &self,
        running: &mut Running,
        table: &Table,
        history: Uuid,
    ) -> Result<(), JobError> {
        let at_ms = u64::try_from(running.record.moment_ms).unwrap_or_default();
        let of = (history, at_ms);
        let Some(period) = running.record.period() else {
            let choice = AsOf::new(at_ms);
            return self
                .write_chosen(running, of, choice, |(_, cell)| Entry::Item(cell))
                .await;
        };
        let from_ms = u64::try_from(period.from_ms).unwrap_or_default();
        let (view, schema) = (period.view(), Arc::new(table.definition().key_schema.clone()));
        let choice = Changes::new(from_ms, at_ms.saturating_add(1));
        let changed = |change| {
            let schema = Arc::clone(&schema);
            Entry::Changed(Changed { change, schema, view })
        };
        self.write_chosen(running, of, choice, changed).await
    }

    async fn write_chosen<C: Choice>(
        &self,
        running: &mut Running,
        of: (Uuid, u64),
        choice: C,
        entry: impl Fn(C::Chosen) -> Entry + Send + Sync,
    ) -> Result<(), JobError> {
        let mut reader = HistoryReader::open(self.cluster(), of, choice, Bound::Unbounded).await?;
        let mut pace = Pace::new(self.transfers.bytes_per_second, self.cluster().steady_now());
        loop {
            let page = reader.next_page().await?;
            if !page.chosen.is_empty() {
                let entries = page.chosen.into_iter().map(&entry).collect();
                self.write_entries(running, entries).await?;
            }
            let ahead = pace.has_done(page.bytes as u64, self.cluster().steady_now());
            hold_back(ahead).await;
            if !self.cluster().leads_metadata() {
                return Err(JobError::NotLeading);
            }
            self.require_wanted(&running.record).await?;
            if page.is_end {
                return Ok(());
            }
        }
    }
}
