//! Completes what operations on tables have begun: indexes that are made or given up, streams and their shards, the time
//! to live, histories, deletions.
//!
//! The node that leads the metadata group does it. Two that believe to lead do the same twice, which changes nothing.
//! Tables are looked after side by side, so that one that is slow or fails, or waits for ranges without a leader, holds up no other; all
//! fills together go at the pace of one.
//! Invariant: a definition says that something is complete only when it is, whatever was written meanwhile; the order of
//! steps is that of `stator_cluster` (definition, what leaders must know, fill, settled), and those of a table are taken one after
//! the other. Not here: what is to be done (`steward/plan.rs`), which tables have their turn (`steward/errands.rs`).

mod deleted;
mod errands;
mod history;
mod plan;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::try_join_all;
use stator_cluster::ring::RangeId;
use stator_cluster::{ConsistencyLevel, Error, Fill, WriteOptions};
use tokio::time::Instant;
use uuid::Uuid;

use self::errands::{Errands, PARTS_AT_ONCE, Places, Turn};
use self::plan::{DeletedStep, Step};
use crate::catalog::{
    CatalogError, DeletedTable, IndexStatus, StreamDefinition, StreamStatus, Table, TableDefinition, Tables,
    TimeToLiveStatus,
};
use crate::command::Install;
use crate::derive::Filling;
use crate::operation::shards::NamedStream;
use crate::upkeep::Upkeep;

/// How often tables are looked at when nothing has changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait after something has failed.
const PAUSE: Duration = Duration::from_millis(500);
/// What the rows of the metadata that say how far a fill is begin with.
const PROGRESS: &[u8] = b"progress/";

/// Why a step was not completed; it is begun again.
#[derive(Debug, thiserror::Error)]
enum StepError {
    #[error(transparent)]
    Cluster(#[from] Error),
    #[error(transparent)]
    Catalog(#[from] CatalogError),
    #[error("{0}")]
    Api(String),
}

impl Upkeep {
    /// Looks after all tables, for as long as the process runs.
    pub(crate) async fn steward(self) {
        let mut changes = self.cluster.metadata_changes();
        let (mut errands, places) = (Errands::default(), Arc::default());
        let mut look_at = Instant::now() + LOOK;
        loop {
            tokio::select! {
                changed = changes.changed() => if changed.is_err() {
                    return;
                },
                () = tokio::time::sleep_until(look_at) => {}
                Some(is_looked_at) = errands.ended() => if !is_looked_at {
                    continue;
                },
            }
            look_at = Instant::now() + LOOK;
            if !self.cluster.leads_metadata() {
                // Whoever leads now goes on from where they are known to be.
                errands.give_up();
                continue;
            }
            match errands.beside(self.catalog.all()).await {
                Ok(tables) => self.begin_all(&tables, &places, &mut errands),
                Err(error) => {
                    tracing::debug!(%error, "tables cannot be looked after now");
                    errands.beside(tokio::time::sleep(PAUSE)).await;
                }
            }
        }
    }

    /// Does what is left to do now, for all tables.
    ///
    /// # Errors
    /// Those of the catalog. What of a table cannot be done now is left for another time.
    #[cfg(test)]
    pub(crate) async fn look_after_all(&self) -> Result<(), CatalogError> {
        let mut errands = Errands::default();
        let tables = self.catalog.all().await?;
        self.begin_all(&tables, &Arc::default(), &mut errands);
        while errands.ended().await.is_some() {}
        Ok(())
    }

    /// Begins to look after each table with which something is left to do.
    fn begin_all(&self, tables: &Tables, places: &Arc<Places>, errands: &mut Errands) {
        let age_ms = i64::try_from(self.settings.shard_age_ms).unwrap_or(i64::MAX);
        for table in tables.values() {
            let steps = plan::steps(table.definition(), self.now_ms(), age_ms);
            if !steps.is_empty() {
                let (upkeep, table, places) = (self.clone(), Arc::clone(table), Arc::clone(places));
                errands.begin(table.definition().id, async move {
                    upkeep.look_after(&table, steps, &places).await;
                });
            }
        }
        for table in self.catalog.deleted().iter() {
            if let Some(step) = plan::of_deleted(table, self.now_ms()) {
                let (upkeep, table, places) = (self.clone(), table.clone(), Arc::clone(places));
                errands.begin(table.id, async move {
                    upkeep.look_after_deleted(&table, step, &places).await;
                });
            }
        }
    }

    /// Takes the steps that are left for a table, one after the other.
    async fn look_after(&self, table: &Table, steps: Vec<Step>, places: &Places) {
        let mut turn = Turn::new(places);
        for step in steps {
            turn.take().await;
            tracing::debug!(table = table.name(), ?step, "a change is being completed");
            if let Err(error) = self.complete(table, step, &mut turn).await {
                tracing::warn!(table = table.name(), ?step, %error, "a change is completed later");
                turn.give_back();
                tokio::time::sleep(PAUSE).await;
            }
        }
    }

    async fn look_after_deleted(&self, table: &DeletedTable, step: DeletedStep, places: &Places) {
        let mut turn = Turn::new(places);
        turn.take().await;
        if let Err(error) = self.complete_deleted(table, step, &mut turn).await {
            tracing::warn!(table = table.name, ?step, %error, "a deletion is completed later");
            turn.give_back();
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn complete(&self, table: &Table, step: Step, turn: &mut Turn<'_>) -> Result<(), StepError> {
        match step {
            Step::BackfillIndex(id) => {
                self.catalog.make_derived_keyspaces(table).await?;
                turn.wait_for(self.require_latest()).await?;
                self.change_index(table, id, IndexStatus::Creating, IndexStatus::Backfilling)
                    .await
            }
            Step::MakeIndex(id) => self.make_index(table, id, turn).await,
            Step::DropIndex(id) => {
                turn.wait_for(self.require_latest()).await?;
                // It may have been given up half made.
                self.forget_progress(id).await?;
                self.change(table, |definition| {
                    definition
                        .indexes
                        .retain(|index| index.id != id || index.status != IndexStatus::Deleting);
                })
                .await?;
                Ok(self.catalog.clean_up().await?)
            }
            Step::EnableStream(id) => {
                self.catalog.make_derived_keyspaces(table).await?;
                turn.wait_for(self.require_latest()).await?;
                self.change_stream(table, id, |stream| {
                    if stream.status == StreamStatus::Enabling {
                        stream.status = StreamStatus::Enabled;
                    }
                })
                .await
            }
            Step::DisableStream(id) | Step::CloseShards(id) => self.close_shards(table, id, turn).await,
            Step::ForgetStream(id) => {
                self.change(table, |definition| {
                    definition.streams.retain(|stream| stream.id != id);
                })
                .await?;
                Ok(self.catalog.clean_up().await?)
            }
            Step::OpenShards(id) => {
                let now_ms = self.now_ms();
                let Some(seen) = table.definition().streams.iter().find(|stream| stream.id == id) else {
                    return Ok(());
                };
                self.change_stream(table, id, |stream| plan::open_shards(stream, seen, now_ms))
                    .await
            }
            Step::ForgetShards(id) => self.forget_shards(table, id).await,
            Step::FillHistory(id) => self.fill_history(table, id, turn).await,
            Step::OpenHistory(id) => self.open_history(table, id, turn).await,
            Step::EnableTimeToLive(id) => self.enable_time_to_live(table, id, turn).await,
            Step::DisableTimeToLive(id) => {
                turn.wait_for(self.require_latest()).await?;
                self.change(table, |definition| {
                    let is_it = |due: &mut crate::catalog::TimeToLive| {
                        due.id == id && due.status == TimeToLiveStatus::Disabling
                    };
                    drop(definition.time_to_live.take_if(is_it));
                })
                .await?;
                Ok(self.catalog.clean_up().await?)
            }
        }
    }

    /// Every range asks its leaders to know all that this node knows of the metadata. Gives up to where that is.
    async fn require_latest(&self) -> Result<u64, StepError> {
        self.cluster.catch_up_metadata().await?;
        let known = self.cluster.metadata_index();
        self.cluster.require(known).await?;
        Ok(known)
    }

    async fn change(&self, table: &Table, change: impl Fn(&mut TableDefinition)) -> Result<(), StepError> {
        let id = table.definition().id;
        let changed = self
            .catalog
            .change(table.name(), |definition| {
                // Another table may have the name by now.
                if definition.id == id {
                    change(definition);
                }
                Ok::<(), std::convert::Infallible>(())
            })
            .await;
        match changed {
            Ok(_) | Err(CatalogError::Missing { .. }) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn change_stream(
        &self,
        table: &Table,
        id: Uuid,
        change: impl Fn(&mut StreamDefinition),
    ) -> Result<(), StepError> {
        self.change(table, |definition| {
            if let Some(stream) = definition.streams.iter_mut().find(|stream| stream.id == id) {
                change(stream);
            }
        })
        .await
    }

    async fn make_index(&self, table: &Table, id: Uuid, turn: &mut Turn<'_>) -> Result<(), StepError> {
        self.catalog.make_derived_keyspaces(table).await?;
        self.fill(table, Filling::Index(id), id, turn).await?;
        turn.wait_for(self.cluster.settled()).await?;
        self.change_index(table, id, IndexStatus::Backfilling, IndexStatus::Active)
            .await?;
        self.forget_progress(id).await
    }

    /// Moves an index from one status to the next, unless it has another one by now.
    async fn change_index(
        &self,
        table: &Table,
        id: Uuid,
        from: IndexStatus,
        to: IndexStatus,
    ) -> Result<(), StepError> {
        self.change(table, |definition| {
            for index in &mut definition.indexes {
                if index.id == id && index.status == from {
                    index.status = to;
                }
            }
        })
        .await
    }

    /// Whether an index or a history is still to be made: it can be given up meanwhile, with its table or alone.
    fn is_wanted(&self, table: &Table, filling: Filling) -> bool {
        let known = self.catalog.table(table.name());
        match filling {
            Filling::Index(id) => known.is_some_and(|known| {
                let mut indexes = known.definition().indexes.iter();
                indexes.any(|index| index.id == id && index.status.is_being_made())
            }),
            Filling::History(id) => known.is_some_and(|known| {
                let history = known.definition().history.as_ref();
                history.is_some_and(|history| history.id == id && !history.is_filled)
            }),
            Filling::Due(_) => true,
        }
    }

    async fn enable_time_to_live(
        &self,
        table: &Table,
        id: Uuid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        self.catalog.make_derived_keyspaces(table).await?;
        self.fill(table, Filling::Due(id), id, turn).await?;
        self.change(table, |definition| {
            if let Some(due) = definition.time_to_live.as_mut().filter(|due| due.id == id)
                && due.status == TimeToLiveStatus::Enabling
            {
                due.status = TimeToLiveStatus::Enabled;
            }
        })
        .await?;
        self.forget_progress(id).await
    }

    /// Makes the rows of all items that were there before, range by range. What was filled before a crash is not filled
    /// again, and what is not wanted any more is not filled to its end. It may take hours, in which others have their turn.
    async fn fill(
        &self,
        table: &Table,
        filling: Filling,
        id: Uuid,
        turn: &mut Turn<'_>,
    ) -> Result<(), StepError> {
        let required = turn.wait_for(self.require_latest()).await?;
        let (what, done) = (filling.encode(), self.progress(id).await?);
        let ranges: Vec<RangeId> = self
            .cluster
            .ranges()?
            .into_iter()
            .filter(|range| range.0 >= done)
            .collect();
        turn.give_back();
        for ranges in ranges.chunks(PARTS_AT_ONCE) {
            let mut fills = Vec::with_capacity(ranges.len());
            for range in ranges {
                fills.push(self.fill_range(table, (filling, &what), (*range, required), turn.places()));
            }
            try_join_all(fills).await?;
            if let Some(last) = ranges.last() {
                self.note_progress(id, last.0 + 1).await?;
            }
        }
        turn.take().await;
        Ok(())
    }

    async fn fill_range(
        &self,
        table: &Table,
        (filling, what): (Filling, &Bytes),
        (range, required): (RangeId, u64),
        places: &Places,
    ) -> Result<(), StepError> {
        let mut fill = Fill {
            keyspace: table.keyspace(),
            filling: what.clone(),
            range,
            behind: None,
            required,
            count: self.settings.fill_items_at_once,
        };
        let mut is_late = false;
        while self.is_wanted(table, filling) {
            let place = places.part(is_late).await;
            let filled = self.cluster.fill(&fill).await;
            drop(place);
            is_late = filled.is_err();
            match filled {
                Ok(filled) => match filled.last {
                    Some(last) => fill.behind = Some(last),
                    None => return Ok(()),
                },
                // Its leader is changing, or rows are behind: it goes on from the same place.
                Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
                    tracing::debug!(range = range.0, %error, "a fill waits");
                    tokio::time::sleep(PAUSE).await;
                    if !self.cluster.leads_metadata() {
                        return Err(error.into());
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn progress_key(id: Uuid) -> Vec<u8> {
        [PROGRESS, &id.as_bytes()[..]].concat()
    }

    /// How many ranges are filled.
    async fn progress(&self, id: Uuid) -> Result<u32, StepError> {
        let metadata = self.cluster.metadata();
        let cell = self
            .cluster
            .read(metadata, &Self::progress_key(id), ConsistencyLevel::Quorum)
            .await?;
        let number = cell.as_ref().and_then(|cell| cell.first_chunk::<4>());
        Ok(number.map_or(0, |number| u32::from_le_bytes(*number)))
    }

    async fn note_progress(&self, id: Uuid, done: u32) -> Result<(), StepError> {
        self.put_progress(id, Some(Bytes::copy_from_slice(&done.to_le_bytes())))
            .await
    }

    async fn forget_progress(&self, id: Uuid) -> Result<(), StepError> {
        self.put_progress(id, None).await
    }

    /// Should another node have come first, its progress stays.
    async fn put_progress(&self, id: Uuid, cell: Option<Bytes>) -> Result<(), StepError> {
        let (metadata, key) = (self.cluster.metadata(), Self::progress_key(id));
        let expected = self
            .cluster
            .read(metadata, &key, ConsistencyLevel::Quorum)
            .await?;
        let install = Install { expected, cell };
        self.cluster
            .write(metadata, &key, WriteOptions::default(), &install)
            .await?;
        Ok(())
    }

    /// Forgets shards that are old enough, as far as all of their records are removed: nobody would look for the others.
    async fn forget_shards(&self, table: &Table, id: Uuid) -> Result<(), StepError> {
        let Some(stream) = table.definition().streams.iter().find(|stream| stream.id == id) else {
            return Ok(());
        };
        let mut empty = Vec::new();
        for shard in plan::forgettable(stream, self.now_ms()) {
            if NamedStream::last_index(&self.cluster, stream, shard.number).await? == 0 {
                empty.push(shard.number);
            }
        }
        if empty.is_empty() {
            return Ok(());
        }
        self.change_stream(table, id, |stream| {
            stream.shards.retain(|shard| !empty.contains(&shard.number));
        })
        .await
    }

    /// Closes the shards that get no record any more: all of a stream that is being disabled, those with children of one
    /// that is enabled.
    async fn close_shards(&self, table: &Table, id: Uuid, turn: &mut Turn<'_>) -> Result<(), StepError> {
        turn.wait_for(self.require_latest()).await?;
        turn.wait_for(self.cluster.settled()).await?;
        let Some(stream) = table.definition().streams.iter().find(|stream| stream.id == id) else {
            return Ok(());
        };
        let is_ending = stream.status == StreamStatus::Disabling;
        let is_newest = |number: u32, slot| stream.newest(slot).is_some_and(|shard| shard.number == number);
        let mut endings = Vec::new();
        for shard in &stream.shards {
            if shard.closed.is_none() && (is_ending || !is_newest(shard.number, shard.slot())) {
                let end = NamedStream::last_index(&self.cluster, stream, shard.number);
                let end = end.await.map_err(|error| StepError::Api(error.to_string()))?;
                endings.push((shard.number, end));
            }
        }
        let now_ms = self.now_ms();
        self.change_stream(table, id, |stream| {
            for (number, end) in &endings {
                let shards = &mut stream.shards;
                if let Some(shard) = shards.iter_mut().find(|shard| shard.number == *number) {
                    shard.closed.get_or_insert((now_ms, *end));
                }
            }
            if is_ending && stream.status == StreamStatus::Disabling {
                stream.status = StreamStatus::Disabled;
            }
        })
        .await
    }
}
