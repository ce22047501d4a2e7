//! Histories that have been begun: they are filled with what was there before, and opened.
//!
//! Order of steps: every leader makes versions; all items that were there before have one; every leader knows that none of
//! those is to be made any more, so that a part of a fill that comes late adds nothing to a moment that can be restored; the
//! history is complete from a time on that all ranges have behind them.

use uuid::Uuid;

use super::StepError;
use super::errands::Turn;
use crate::catalog::{History, Table};
use crate::derive::Filling;
use crate::upkeep::Upkeep;

impl Upkeep {
    pub(super) async fn fill_history(
        &self,
        table: &Table,
        id: Uuid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        self.catalog.make_derived_keyspaces(table).await?;
        self.fill(table, Filling::History(id), id, turn).await?;
        self.change_history(table, id, |history| history.is_filled = true)
            .await?;
        self.forget_progress(id).await
    }

    pub(super) async fn open_history(
        &self,
        table: &Table,
        id: Uuid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        turn.wait_for(self.require_latest()).await?;
        let now_ms = u64::try_from(self.now_ms()).unwrap_or_default();
        let from_ms = turn.wait_for(self.cluster.close_time(now_ms)).await?;
        let from_ms = i64::try_from(from_ms).unwrap_or(i64::MAX);
        self.change_history(table, id, |history| {
            // Another node may have opened it.
            history.complete_from_ms.get_or_insert(from_ms);
        })
        .await?;
        // One that was given up before may have left its keyspace.
        Ok(self.catalog.clean_up().await?)
    }

    async fn change_history(
        &self,
        table: &Table,
        id: Uuid,
        change: impl Fn(&mut History),
    ) -> Result<(), StepError> {
        self.change(table, |definition| {
            if let Some(history) = definition.history.as_mut().filter(|history| history.id == id) {
                change(history);
            }
        })
        .await
    }
}
