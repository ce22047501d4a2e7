//! Restoring a table from the history of another one, which may be in use meanwhile: of each item the version goes into the
//! table that counts at the moment. Not here: which one that is (`derive/history.rs`), how versions are read
//! (`history_reader.rs`), how items are written (`restore.rs`).

use std::ops::Bound;

use stator_model::key::after_prefix;
use tokio::sync::mpsc;
use uuid::Uuid;

use super::restore::Cells;
use super::{Archivist, JobError, PAGES_AHEAD};
use crate::catalog::Table;
use crate::derive::history::AsOf;
use crate::desk::Worker as _;
use crate::history_reader::{HistoryError, HistoryReader};

impl Archivist {
    /// Writes the items of a history at a moment, in milliseconds since the Unix epoch, behind those that are there.
    pub(super) async fn rewind(
        &self,
        table: &Table,
        (history, at_ms): (Uuid, i64),
        progress: &[u8],
    ) -> Result<(), JobError> {
        let at_ms = u64::try_from(at_ms).unwrap_or_default();
        let done = self.progress(progress).await?;
        let start = first_behind(done.as_deref());
        let reader = HistoryReader::open(self.cluster(), (history, at_ms), AsOf::new(at_ms), start).await?;
        let (pages, mut received) = mpsc::channel(PAGES_AHEAD);
        let reading = tokio::spawn(read(reader, pages));
        let written = self.write_items(table, progress, done, &mut received).await;
        drop(received);
        let read = reading.await?;
        written?;
        Ok(read?)
    }
}

async fn read(mut reader: HistoryReader<AsOf>, pages: mpsc::Sender<Cells>) -> Result<(), HistoryError> {
    loop {
        let page = reader.next_page().await?;
        // Nobody listens when it failed there.
        if !page.chosen.is_empty() && pages.send(page.chosen).await.is_err() {
            return Ok(());
        }
        if page.is_end {
            return Ok(());
        }
    }
}

/// Where to begin when all versions of an item are done with.
fn first_behind(done: Option<&[u8]>) -> Bound<Vec<u8>> {
    match done {
        None => Bound::Unbounded,
        // There is always one, as what versions begin with ends with a zero.
        Some(versions) => after_prefix(versions.to_vec()).map_or(Bound::Unbounded, Bound::Included),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restore_goes_on_behind_all_versions_of_the_item_that_was_done_last() {
        assert_eq!(first_behind(None), Bound::Unbounded);
        let next = first_behind(Some(b"12345678pk\0\0sort\0\0"));
        assert_eq!(next, Bound::Included(b"12345678pk\0\0sort\0\x01".to_vec()));
    }
}
