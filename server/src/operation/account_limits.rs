//! The quotas of provisioned throughput: what one table or global index has, and what all of the account have together.
//!
//! Source: Amazon DynamoDB Developer Guide, "Quotas: throughput default quotas". The sum is held where throughput is, by what the
//! node knows of tables; two requests at once on two nodes may take it above.

use super::Context;
use super::table_settings::TABLE_UNITS_MAX;
use crate::catalog::{TableDefinition, Throughput};
use crate::message::table;
use crate::wire::error::ApiError;

/// Checks that a definition, in place of what its table has now, keeps within the quotas. What makes the sum no larger is let
/// through, also above the quota.
///
/// # Errors
/// LimitExceededException.
pub(super) fn check(context: &Context, definition: &TableDefinition) -> Result<(), ApiError> {
    check_each(&context.region, definition)?;
    if !context.limits.throughput {
        return Ok(());
    }
    let tables = context.catalog.known();
    let now = tables
        .get(&definition.name)
        .map(|table| units(table.definition()));
    let others = tables
        .values()
        .filter(|table| table.name() != definition.name)
        .map(|table| units(table.definition()));
    exceeds(
        others,
        now.unwrap_or_default(),
        units(definition),
        context.limits.account_units_max,
    )
}

/// Checks the table and each of its indexes by itself: the quota is none of their sum.
fn check_each(region: &str, definition: &TableDefinition) -> Result<(), ApiError> {
    let of_table = (None, &definition.throughput);
    let indexes = definition.indexes.iter();
    let of_indexes = indexes.map(|index| (Some(&index.name[..]), &index.throughput));
    for (index, throughput) in std::iter::once(of_table).chain(of_indexes) {
        let Throughput {
            read_units,
            write_units,
            ..
        } = *throughput;
        for requested in [
            ("ReadCapacityUnits", read_units),
            ("WriteCapacityUnits", write_units),
        ] {
            if requested.1 > TABLE_UNITS_MAX {
                return Err(table::too_many_units_of_one(
                    requested,
                    index,
                    region,
                    TABLE_UNITS_MAX,
                ));
            }
        }
    }
    Ok(())
}

/// Read and write units of a table and its global indexes; none when it is paid per request.
fn units(definition: &TableDefinition) -> (i64, i64) {
    let table = std::iter::once(&definition.throughput);
    let indexes = definition.indexes.iter().map(|index| &index.throughput);
    table.chain(indexes).fold((0, 0), |(read, write), throughput| {
        (
            read.saturating_add(throughput.read_units),
            write.saturating_add(throughput.write_units),
        )
    })
}

fn exceeds(
    others: impl Iterator<Item = (i64, i64)>,
    now: (i64, i64),
    wanted: (i64, i64),
    units_max: i64,
) -> Result<(), ApiError> {
    let (read, write) = others.fold((0_i64, 0_i64), |(read, write), table| {
        (read.saturating_add(table.0), write.saturating_add(table.1))
    });
    let is_over =
        |others: i64, now: i64, wanted: i64| wanted > now && others.saturating_add(wanted) > units_max;
    if is_over(read, now.0, wanted.0) || is_over(write, now.1, wanted.1) {
        return Err(table::too_many_units(units_max));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn a_table_has_no_more_units_than_one_may_have() {
        let mut definition = definition();
        definition.throughput.write_units = 40_000;
        assert_eq!(check_each("eu-west-1", &definition), Ok(()));
        definition.throughput.write_units = 40_001;
        assert_eq!(
            check_each("eu-west-1", &definition),
            Err(ApiError::LimitExceeded(
                "The requested WriteCapacityUnits, 40001, is above the per table maximum for the account in eu-west-1. Per \
                 table maximum: 40000. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request \
                 higher limits."
                    .to_owned()
            ))
        );
        let of_index =
            table::too_many_units_of_one(("ReadCapacityUnits", 40_001), Some("by-a"), "eu-west-1", 40_000);
        assert!(
            of_index
                .to_string()
                .contains("ReadCapacityUnits for index by-a, 40001, is above the per index maximum"),
            "{of_index}"
        );
    }

    #[test]
    fn the_sum_is_held_and_what_lowers_it_is_let_through() {
        let check = |now, wanted| exceeds([(30, 10), (40, 10)].into_iter(), now, wanted, 100);
        let refused = Err(table::too_many_units(100));
        assert_eq!(check((0, 0), (30, 80)), Ok(()));
        assert_eq!(check((0, 0), (31, 1)), refused);
        assert_eq!(check((0, 0), (1, 81)), refused);
        assert_eq!(
            check((50, 1), (40, 1)),
            Ok(()),
            "still too much, and less than before"
        );
        assert_eq!(check((50, 1), (50, 2)), Ok(()), "the other kind");
        assert_eq!(check((50, 1), (51, 1)), refused);
    }
}
