//! Which changes of a table have to wait until others of it are complete.
//!
//! Invariant: pure, from the definition that is to be replaced: asked inside of the compare-and-set, it is right however many
//! nodes change the table at once.
//!
//! Source: service model of DynamoDB, UpdateTable ("while it's UPDATING, you can't issue another UpdateTable request", "after
//! the index begins backfilling, you can use UpdateTable to perform other operations"), DeleteTable and
//! GlobalSecondaryIndexDescription$Backfilling; Amazon DynamoDB Developer Guide, "Managing Global Secondary Indexes: phases of
//! index creation".

use stator_model::index::IndexKind;

use super::table_description::TableStatus;
use crate::catalog::{IndexDefinition, IndexStatus, StreamStatus, TableDefinition};
use crate::message::{index, table};
use crate::wire::error::ApiError;

/// What an UpdateTable is about, beside its indexes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Its indexes only.
    Nothing,
    /// Billing mode or provisioned throughput.
    Throughput,
    /// Its protection against deletion, which does not wait for anything. Source: the service's answers in
    /// aws-controllers-k8s/dynamodb-controller, docs/api-quirks, DDB-TABLE-063 and DDB-TABLE-376.
    Protection,
    /// Anything else.
    Other,
}

/// The status of a table that is there.
pub(super) fn status(table: &TableDefinition) -> TableStatus {
    let mut indexes = table.indexes.iter();
    if table.deletion.is_some() {
        TableStatus::Deleting
    } else if table.is_being_filled() {
        TableStatus::Creating
    } else if changes_stream(table) || indexes.any(|index| holds_table(index.status)) {
        TableStatus::Updating
    } else {
        TableStatus::Active
    }
}

/// Refuses a change of a table, but for that of its indexes, while the table is changing.
pub(super) fn check_update(definition: &TableDefinition, change: Change) -> Result<(), ApiError> {
    let name = &definition.name;
    check_is_whole(definition)?;
    if change == Change::Protection {
        return Ok(());
    }
    if changes_stream(definition) {
        return Err(table::being_updated(name));
    }
    let holder = definition.indexes.iter().find(|index| holds_table(index.status));
    match (change, holder) {
        (Change::Nothing | Change::Protection, _) | (_, None) => Ok(()),
        (Change::Throughput, Some(holder)) => Err(table::indexes_on_their_way(
            name,
            &holder.name,
            holder.status == IndexStatus::Deleting,
        )),
        (Change::Other, Some(_)) => Err(table::being_updated(name)),
    }
}

/// Refuses any change of a table whose items are still on their way, or that is being deleted.
pub(super) fn check_is_whole(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.deletion.is_some() {
        return Err(table::being_deleted(&definition.name));
    }
    if definition.is_being_filled() {
        return Err(table::being_created(&definition.name));
    }
    Ok(())
}

/// Refuses to delete a table that is changing. One that is being restored may go: nothing else ends a restore whose backup
/// cannot be read.
pub(super) fn check_delete(definition: &TableDefinition) -> Result<(), ApiError> {
    if definition.deletion.is_some() {
        return Err(table::being_deleted(&definition.name));
    }
    if definition.indexes.iter().any(|index| is_on_its_way(index.status)) {
        return Err(table::indexes_in_use());
    }
    if changes_stream(definition) {
        return Err(table::in_process_of_update(&definition.name));
    }
    Ok(())
}

/// Refuses to make or give up an index of this name while it is on its way, or while another one is. One that is being
/// backfilled may be given up.
pub(super) fn check_index(definition: &TableDefinition, name: &str, gives_up: bool) -> Result<(), ApiError> {
    let named = |index: &&IndexDefinition| index.kind == IndexKind::Global && index.name == name;
    match (definition.indexes.iter().find(named)).map(|index| index.status) {
        Some(IndexStatus::Backfilling) if gives_up => return Ok(()),
        Some(IndexStatus::Creating) if gives_up => {
            return Err(index::in_allocation(&definition.name, name));
        }
        Some(IndexStatus::Creating | IndexStatus::Backfilling) => {
            return Err(index::being_created(&definition.name, name));
        }
        Some(IndexStatus::Deleting) => return Err(index::being_deleted(&definition.name, name)),
        Some(IndexStatus::Active) | None => {}
    }
    if definition.indexes.iter().any(|index| is_on_its_way(index.status)) {
        return Err(ApiError::LimitExceeded(index::ONE_AT_A_TIME.to_owned()));
    }
    Ok(())
}

/// Refuses to change the settings of an index that is not there yet, or not any more.
pub(super) fn check_index_settings(table: &str, definition: &IndexDefinition) -> Result<(), ApiError> {
    match definition.status {
        IndexStatus::Creating => Err(index::not_backfilling(table, &definition.name)),
        IndexStatus::Deleting => Err(index::being_deleted(table, &definition.name)),
        IndexStatus::Backfilling | IndexStatus::Active => Ok(()),
    }
}

fn changes_stream(table: &TableDefinition) -> bool {
    let mut streams = table.streams.iter();
    streams.any(|stream| matches!(stream.status, StreamStatus::Enabling | StreamStatus::Disabling))
}

/// Whether a table with such an index is being updated. It is not while an index is backfilled.
fn holds_table(index: IndexStatus) -> bool {
    matches!(index, IndexStatus::Creating | IndexStatus::Deleting)
}

fn is_on_its_way(index: IndexStatus) -> bool {
    index != IndexStatus::Active
}

#[cfg(test)]
pub(super) mod tests {
    use stator_model::attribute::Kind;
    use stator_model::index::Projection;
    use stator_model::key::KeyAttribute;
    use uuid::Uuid;

    use super::*;
    use crate::catalog::{OnDemandLimits, StreamDefinition, StreamView, Throughput};
    use crate::operation::create_table::tests::definition;

    const IN_USE: &str = "Attempt to change a resource which is still in use: ";

    /// A table `Tab` with an index `by-a` of this status.
    pub(in crate::operation) fn with_index(status: IndexStatus) -> TableDefinition {
        let mut table = definition();
        table.indexes.push(IndexDefinition {
            name: "by-a".into(),
            id: Uuid::from_u128(1),
            kind: IndexKind::Global,
            hash: vec![KeyAttribute {
                name: "a".into(),
                kind: Kind::String,
            }],
            range: Vec::new(),
            projection: Projection::All,
            status,
            throughput: Throughput::default(),
            on_demand_limits: OnDemandLimits::default(),
            warm_units_requested: None,
        });
        table
    }

    fn with_stream(status: StreamStatus) -> TableDefinition {
        let mut table = definition();
        let stream = StreamDefinition::new(Uuid::from_u128(2), StreamView::KeysOnly, status, 0);
        table.streams.push(stream);
        table
    }

    /// The sentence of a refusal, which has to be a ResourceInUseException; none of what is let through.
    fn in_use(result: Result<(), ApiError>) -> Option<String> {
        match result {
            Ok(()) => None,
            Err(ApiError::ResourceInUse(text)) => Some(text),
            Err(other) => unreachable!("{other:?}"),
        }
    }

    #[test]
    fn a_table_is_updating_while_nobody_may_change_it() {
        let of_index = |index| status(&with_index(index));
        assert_eq!(of_index(IndexStatus::Creating), TableStatus::Updating);
        assert_eq!(of_index(IndexStatus::Backfilling), TableStatus::Active);
        assert_eq!(of_index(IndexStatus::Active), TableStatus::Active);
        assert_eq!(of_index(IndexStatus::Deleting), TableStatus::Updating);
        for (stream, wanted) in [
            (StreamStatus::Enabling, TableStatus::Updating),
            (StreamStatus::Enabled, TableStatus::Active),
            (StreamStatus::Disabling, TableStatus::Updating),
            (StreamStatus::Disabled, TableStatus::Active),
        ] {
            let table = with_stream(stream);
            assert_eq!(status(&table), wanted, "{stream:?}");
            let is_refused = in_use(check_update(&table, Change::Nothing)).is_some();
            assert_eq!(is_refused, wanted == TableStatus::Updating, "{stream:?}");
            assert_eq!(check_update(&table, Change::Protection), Ok(()), "{stream:?}");
            assert_eq!(in_use(check_delete(&table)).is_some(), is_refused, "{stream:?}");
        }
    }

    #[test]
    fn an_index_holds_changes_up_until_it_is_backfilled_and_when_it_goes() {
        let update = |index, change| in_use(check_update(&with_index(index), change));
        for index in [IndexStatus::Backfilling, IndexStatus::Active] {
            for change in [
                Change::Nothing,
                Change::Throughput,
                Change::Protection,
                Change::Other,
            ] {
                assert_eq!(update(index, change), None, "{index:?} {change:?}");
            }
        }
        for (index, name) in [
            (IndexStatus::Creating, "created"),
            (IndexStatus::Deleting, "deleted"),
        ] {
            assert_eq!(update(index, Change::Nothing), None, "{index:?}");
            assert_eq!(update(index, Change::Protection), None, "{index:?}");
            assert_eq!(
                update(index, Change::Other),
                Some(format!("{IN_USE}Table is being updated: Tab"))
            );
            assert_eq!(
                update(index, Change::Throughput),
                Some(format!(
                    "{IN_USE}Can't change table IOPS when an index is being {name}.  Table: Tab Indexes: [by-a]"
                ))
            );
        }
    }

    #[test]
    fn a_table_goes_when_its_indexes_have_come_to_rest() {
        let sentence =
            format!("{IN_USE}Cannot delete table while indexes are being created, updated, or deleted.");
        for index in [
            IndexStatus::Creating,
            IndexStatus::Backfilling,
            IndexStatus::Deleting,
        ] {
            assert_eq!(in_use(check_delete(&with_index(index))), Some(sentence.clone()));
        }
        assert_eq!(check_delete(&with_index(IndexStatus::Active)), Ok(()));
    }

    #[test]
    fn one_index_is_made_or_given_up_at_a_time() {
        let being = |what: &str| Some(format!("{IN_USE}Index is being {what}.  Table: Tab Index: by-a"));
        let same = |index, gives_up| in_use(check_index(&with_index(index), "by-a", gives_up));
        let in_allocation = same(IndexStatus::Creating, true).unwrap();
        assert!(
            in_allocation.starts_with(&format!(
                "{IN_USE}Index creation is in resource allocation phase. "
            )),
            "{in_allocation}"
        );
        assert_eq!(same(IndexStatus::Creating, false), being("created"));
        assert_eq!(same(IndexStatus::Backfilling, true), None, "it may be given up");
        assert_eq!(same(IndexStatus::Backfilling, false), being("created"));
        assert_eq!(same(IndexStatus::Deleting, true), being("deleted"));
        assert_eq!(same(IndexStatus::Active, true), None);
        for index in [
            IndexStatus::Creating,
            IndexStatus::Backfilling,
            IndexStatus::Deleting,
        ] {
            let another = check_index(&with_index(index), "by-b", false);
            assert_eq!(
                another,
                Err(ApiError::LimitExceeded(index::ONE_AT_A_TIME.to_owned()))
            );
        }
        let settings = |index| in_use(check_index_settings("Tab", &with_index(index).indexes[0]));
        assert_eq!(
            settings(IndexStatus::Creating),
            being("created but not backfilling")
        );
        assert_eq!(settings(IndexStatus::Backfilling), None);
        assert_eq!(settings(IndexStatus::Deleting), being("deleted"));
    }
}
