//! A table of a backup as it is made anew in a cluster, in two steps: without what would act on its items while they are still being
//! written, and then with it. Pure.
//!
//! Streams, time to live and point-in-time recovery come with the second step, by the way that operations on tables begin them: the
//! writes of a restore are no records of a stream and no versions, and nothing is deleted that is not all there.

use uuid::Uuid;

use crate::catalog::{
    History, IndexDefinition, IndexStatus, Restore, StreamDefinition, StreamStatus, TableDefinition,
    TimeToLive, TimeToLiveStatus,
};

/// The definition that a table has while its items are being written. `new_id` gives ids that nobody else has.
///
/// # Errors
/// What `new_id` says.
pub(crate) fn begun<E>(
    source: &TableDefinition,
    backup: (String, i64),
    now_ms: i64,
    mut new_id: impl FnMut() -> Result<Uuid, E>,
) -> Result<TableDefinition, E> {
    let (backup, at_ms) = backup;
    // One that was being given up has no place in the new table; one that was being made has all of it.
    let indexes = source.indexes.iter();
    let indexes = indexes.filter(|index| index.status != IndexStatus::Deleting);
    let indexes = indexes.map(|index| {
        Ok(IndexDefinition {
            id: new_id()?,
            status: IndexStatus::Active,
            ..index.clone()
        })
    });
    let indexes = indexes.collect::<Result<Vec<_>, E>>()?;
    let of_table = source.resource_policies.iter();
    let of_table = of_table.filter(|policy| policy.stream.is_none());
    Ok(TableDefinition {
        id: new_id()?,
        created_at_ms: now_ms,
        indexes,
        deletion_protection: false,
        streams: Vec::new(),
        time_to_live: None,
        history: None,
        import: None,
        deletion: None,
        reads_begun: 0,
        resource_policies: of_table.cloned().collect(),
        restore: Some(Restore {
            table: source.name.clone(),
            backup,
            at_ms,
            in_progress: true,
            is_sealed: false,
            history: None,
            part: Some(source.id),
        }),
        ..source.clone()
    })
}

/// Completes a table whose items are all there. `ids` are for its stream, its time to live and its history. Does nothing when
/// somebody else has done it.
pub(crate) fn complete(table: &mut TableDefinition, source: &TableDefinition, ids: [Uuid; 3], now_ms: i64) {
    let Some(restore) = table.restore.as_mut().filter(|restore| restore.in_progress) else {
        return;
    };
    restore.in_progress = false;
    let [stream_id, due_id, history_id] = ids;
    table.deletion_protection = source.deletion_protection;
    if let Some(stream) = source.stream() {
        let enabling = StreamStatus::Enabling;
        table
            .streams
            .push(StreamDefinition::new(stream_id, stream.view, enabling, now_ms));
    }
    let due = source.time_to_live.as_ref().filter(|due| due.notes());
    table.time_to_live = due.map(|due| TimeToLive {
        id: due_id,
        attribute: due.attribute.clone(),
        status: TimeToLiveStatus::Enabling,
        changed_at_ms: now_ms,
    });
    let history = source.history.as_ref();
    table.history = history.map(|history| History::new(history_id, history.period_days));
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;
    use crate::catalog::{ResourcePolicy, StreamView};
    use crate::operation::create_table::tests::definition;

    fn source() -> TableDefinition {
        let mut source = definition();
        source.deletion_protection = true;
        source.tags.insert("team".into(), "red".into());
        let stream =
            |id: u128, status| StreamDefinition::new(Uuid::from_u128(id), StreamView::OldImage, status, 1);
        source.streams = vec![
            stream(50, StreamStatus::Disabled),
            stream(51, StreamStatus::Enabled),
        ];
        source.time_to_live = Some(TimeToLive {
            id: Uuid::from_u128(52),
            attribute: "due".into(),
            status: TimeToLiveStatus::Enabled,
            changed_at_ms: 1,
        });
        source.history = Some(History::new(Uuid::from_u128(53), 7));
        source.resource_policies = [None, Some(Uuid::from_u128(51))]
            .map(|stream| ResourcePolicy {
                stream,
                document: "{}".into(),
                revision: "1".into(),
            })
            .into();
        source
    }

    fn begin(source: &TableDefinition) -> TableDefinition {
        let mut next = 100;
        let new_id = || {
            next += 1;
            Ok::<_, Infallible>(Uuid::from_u128(next))
        };
        begun(source, ("1-a".into(), 5), 9, new_id).unwrap()
    }

    #[test]
    fn what_acts_on_items_comes_when_they_are_there() {
        let source = source();
        let mut table = begin(&source);
        assert!(table.is_being_restored() && table.takes_deposits());
        assert_ne!(table.id, source.id);
        assert_eq!((&table.name, &table.tags), (&source.name, &source.tags));
        assert_eq!(table.restore.as_ref().unwrap().part, Some(source.id));
        assert!(table.derived_keyspaces().is_empty() && !table.deletion_protection);
        assert_eq!(table.resource_policies, source.resource_policies[..1]);

        complete(&mut table, &source, [1, 2, 3].map(Uuid::from_u128), 10);
        assert!(!table.is_being_restored() && table.deletion_protection);
        let stream = table.stream().unwrap();
        assert_eq!(
            (stream.view, stream.status),
            (StreamView::OldImage, StreamStatus::Enabling)
        );
        let due = table.time_to_live.clone().unwrap();
        assert_eq!(
            (due.attribute.as_str(), due.status),
            ("due", TimeToLiveStatus::Enabling)
        );
        assert_eq!(table.history.as_ref().unwrap().period_days, 7);
        // A node that comes second changes nothing.
        let before = table.clone();
        complete(&mut table, &source, [4, 5, 6].map(Uuid::from_u128), 11);
        assert_eq!(table, before);
    }

    #[test]
    fn what_was_off_stays_off() {
        let mut source = source();
        source.deletion_protection = false;
        source.streams[1].status = StreamStatus::Disabling;
        source.time_to_live.as_mut().unwrap().status = TimeToLiveStatus::Disabling;
        source.history = None;
        let mut table = begin(&source);
        complete(&mut table, &source, [1, 2, 3].map(Uuid::from_u128), 10);
        assert!(table.streams.is_empty() && table.time_to_live.is_none() && table.history.is_none());
        assert!(!table.deletion_protection);
    }
}
