//! What is left to do for a table, from its definition and the time.
//!
//! Invariant: pure; a step that is done changes the definition so that the next plan has another one. Not here: doing it
//! (`steward.rs`).

use uuid::Uuid;

use crate::catalog::{
    DeletedTable, IndexStatus, Shard, StreamDefinition, StreamStatus, TableDefinition, TimeToLiveStatus,
};
use crate::operation::shards::RETENTION_MS;

/// A shard that is closed is forgotten so much later than its last record is too old to be read.
const FORGET_MS: i64 = RETENTION_MS + 60 * 60 * 1000;

/// Something to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// An index is to be backfilled as soon as every leader derives it.
    BackfillIndex(Uuid),
    /// An index is to get a row for every item, and to be active then.
    MakeIndex(Uuid),
    /// An index is to go.
    DropIndex(Uuid),
    /// A stream is to be enabled as soon as every leader records.
    EnableStream(Uuid),
    /// A stream is to be disabled as soon as no leader records any more.
    DisableStream(Uuid),
    /// A stream is so old that nobody can read it.
    ForgetStream(Uuid),
    /// Each slot of a stream is to get a new shard.
    OpenShards(Uuid),
    /// Shards that have children are to be closed as soon as no record can come.
    CloseShards(Uuid),
    /// Shards whose records are all too old are to be forgotten, as far as these are removed.
    ForgetShards(Uuid),
    /// Items that were there before are to be noted by when they are due.
    EnableTimeToLive(Uuid),
    /// What is noted is to go.
    DisableTimeToLive(Uuid),
    /// Items that were there before are to get a version in a history.
    FillHistory(Uuid),
    /// It is to be found out from which moment on a history is complete that is filled.
    OpenHistory(Uuid),
}

/// All that is left to do for a table.
pub(super) fn steps(table: &TableDefinition, now_ms: i64, shard_age_ms: i64) -> Vec<Step> {
    let mut steps = Vec::new();
    for index in &table.indexes {
        match index.status {
            IndexStatus::Creating => steps.push(Step::BackfillIndex(index.id)),
            IndexStatus::Backfilling => steps.push(Step::MakeIndex(index.id)),
            IndexStatus::Deleting => steps.push(Step::DropIndex(index.id)),
            IndexStatus::Active => {}
        }
    }
    for stream in &table.streams {
        steps.extend(of_stream(stream, now_ms, shard_age_ms));
    }
    if let Some(due) = &table.time_to_live {
        match due.status {
            TimeToLiveStatus::Enabling => steps.push(Step::EnableTimeToLive(due.id)),
            TimeToLiveStatus::Disabling => steps.push(Step::DisableTimeToLive(due.id)),
            TimeToLiveStatus::Enabled => {}
        }
    }
    match &table.history {
        Some(history) if !history.is_filled => steps.push(Step::FillHistory(history.id)),
        Some(history) if history.complete_from_ms.is_none() => steps.push(Step::OpenHistory(history.id)),
        Some(_) | None => {}
    }
    steps
}

fn of_stream(stream: &StreamDefinition, now_ms: i64, shard_age_ms: i64) -> Option<Step> {
    let id = stream.id;
    let is_newest = |number, slot| stream.newest(slot).is_some_and(|shard| shard.number == number);
    match stream.status {
        StreamStatus::Enabling => Some(Step::EnableStream(id)),
        StreamStatus::Disabling => Some(Step::DisableStream(id)),
        StreamStatus::Disabled => {
            let disabled_ms = stream.disabled_at_ms.unwrap_or(stream.created_at_ms);
            (now_ms >= disabled_ms.saturating_add(FORGET_MS)).then_some(Step::ForgetStream(id))
        }
        StreamStatus::Enabled => {
            let mut superseded = stream
                .shards
                .iter()
                .filter(|shard| !is_newest(shard.number, shard.slot()));
            if superseded.any(|shard| shard.closed.is_none()) {
                return Some(Step::CloseShards(id));
            }
            let is_old = |at_ms: i64, age_ms: i64| now_ms >= at_ms.saturating_add(age_ms);
            if stream
                .newest(0)
                .is_some_and(|shard| is_old(shard.opened_at_ms, shard_age_ms))
            {
                return Some(Step::OpenShards(id));
            }
            let is_any_old = forgettable(stream, now_ms).next().is_some();
            is_any_old.then_some(Step::ForgetShards(id))
        }
    }
}

/// Something to be done for a deleted table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DeletedStep {
    /// The shards of its streams are to be closed as soon as no record can come.
    CloseShards,
    /// Its streams are so old that nobody can read them.
    Forget,
}

/// What is left to do for a deleted table.
pub(super) fn of_deleted(table: &DeletedTable, now_ms: i64) -> Option<DeletedStep> {
    if now_ms >= table.deleted_at_ms.saturating_add(FORGET_MS) {
        return Some(DeletedStep::Forget);
    }
    let mut shards = table.streams.iter().flat_map(|stream| &stream.shards);
    let is_open = shards.any(|shard| shard.closed.is_none());
    is_open.then_some(DeletedStep::CloseShards)
}

/// Gives every slot of a stream a new shard, unless another node has done that since the stream was `seen`, or the stream is being
/// given up: nobody would close them.
pub(super) fn open_shards(stream: &mut StreamDefinition, seen: &StreamDefinition, now_ms: i64) {
    if stream.status != StreamStatus::Enabled || stream.newest(0) != seen.newest(0) {
        return;
    }
    let newest: Vec<_> = (0..crate::catalog::SLOTS)
        .filter_map(|slot| stream.newest(slot).copied())
        .collect();
    for parent in newest {
        stream.shards.push(Shard {
            number: parent.number + crate::catalog::SLOTS,
            opened_at_ms: now_ms,
            closed: None,
        });
    }
}

/// The shards whose records are all too old.
pub(super) fn forgettable(stream: &StreamDefinition, now_ms: i64) -> impl Iterator<Item = &Shard> {
    let is_old = move |(at_ms, _): (i64, u64)| now_ms >= at_ms.saturating_add(FORGET_MS);
    (stream.shards.iter()).filter(move |shard| shard.closed.is_some_and(is_old))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{SLOTS, StreamView};
    use crate::operation::create_table::tests::definition;

    const AGE_MS: i64 = 1000;

    fn stream(status: StreamStatus) -> StreamDefinition {
        StreamDefinition::new(Uuid::from_u128(1), StreamView::KeysOnly, status, 0)
    }

    #[test]
    fn a_table_at_rest_needs_nothing() {
        assert_eq!(steps(&definition(), 0, AGE_MS), []);
    }

    #[test]
    fn a_history_is_filled_before_it_is_said_from_when_on_it_is_complete() {
        let id = Uuid::from_u128(4);
        let mut table = definition();
        let planned = |table: &TableDefinition| steps(table, 0, AGE_MS);
        let history = table.history.insert(crate::catalog::History::new(id, 3));
        history.is_filled = false;
        assert_eq!(planned(&table), [Step::FillHistory(id)]);
        table
            .history
            .iter_mut()
            .for_each(|history| history.is_filled = true);
        assert_eq!(planned(&table), [Step::OpenHistory(id)]);
        let history = table.history.as_mut();
        history.unwrap().complete_from_ms = Some(5);
        assert_eq!(planned(&table), []);
    }

    #[test]
    fn shards_are_opened_closed_and_forgotten_in_this_order() {
        let id = Uuid::from_u128(1);
        let mut table = definition();
        table.streams = vec![stream(StreamStatus::Enabled)];
        assert_eq!(steps(&table, AGE_MS - 1, AGE_MS), []);
        assert_eq!(steps(&table, AGE_MS, AGE_MS), [Step::OpenShards(id)]);
        let seen = table.streams[0].clone();
        open_shards(&mut table.streams[0], &seen, AGE_MS);
        assert_eq!(table.streams[0].shards.len(), 2 * usize::try_from(SLOTS).unwrap());
        assert_eq!(table.streams[0].newest(1).and_then(Shard::parent), Some(1));
        assert_eq!(steps(&table, AGE_MS, AGE_MS), [Step::CloseShards(id)]);
        for shard in &mut table.streams[0].shards[..4] {
            shard.closed = Some((AGE_MS, 7));
        }
        assert_eq!(steps(&table, AGE_MS, AGE_MS), []);
        assert_eq!(
            steps(&table, AGE_MS + FORGET_MS, i64::MAX),
            [Step::ForgetShards(id)]
        );
        let forgettable = forgettable(&table.streams[0], AGE_MS + FORGET_MS);
        let numbers: Vec<_> = forgettable.map(|shard| shard.number).collect();
        assert_eq!(numbers, [0, 1, 2, 3]);
    }

    /// Who has planned it may come to it when somebody else looks after the tables.
    #[test]
    fn shards_are_not_opened_twice_nor_in_a_stream_that_was_given_up_meanwhile() {
        let seen = stream(StreamStatus::Enabled);
        for status in [StreamStatus::Disabling, StreamStatus::Disabled] {
            let mut given_up = StreamDefinition {
                status,
                ..seen.clone()
            };
            let before = given_up.clone();
            open_shards(&mut given_up, &seen, AGE_MS);
            assert_eq!(given_up, before);
        }
        let mut opened = seen.clone();
        open_shards(&mut opened, &seen, AGE_MS);
        assert_ne!(opened, seen);
        // The first ones may have been forgotten since.
        opened.shards.drain(..4);
        let before = opened.clone();
        open_shards(&mut opened, &seen, AGE_MS);
        assert_eq!(opened, before);
    }

    #[test]
    fn the_streams_of_a_deleted_table_are_closed_and_forgotten_when_nobody_can_read_them() {
        let mut table = definition();
        table.streams = vec![stream(StreamStatus::Enabled)];
        let mut deleted = DeletedTable::of(&table, 5).unwrap();
        assert_eq!(of_deleted(&deleted, 5), Some(DeletedStep::CloseShards));
        for shard in &mut deleted.streams[0].shards {
            shard.closed = Some((6, 7));
        }
        assert_eq!(of_deleted(&deleted, 5 + RETENTION_MS), None);
        assert_eq!(of_deleted(&deleted, 5 + FORGET_MS), Some(DeletedStep::Forget));
    }

    #[test]
    fn a_stream_that_was_given_up_is_forgotten_when_nobody_can_read_it() {
        let mut table = definition();
        let mut disabled = stream(StreamStatus::Disabled);
        disabled.disabled_at_ms = Some(5);
        table.streams = vec![disabled];
        assert_eq!(steps(&table, FORGET_MS, AGE_MS), []);
        assert_eq!(
            steps(&table, 5 + FORGET_MS, AGE_MS),
            [Step::ForgetStream(Uuid::from_u128(1))]
        );
    }
}
