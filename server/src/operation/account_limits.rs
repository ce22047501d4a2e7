//! The account's quota of provisioned throughput: what all tables and their global indexes have together.
//!
//! Source: Amazon DynamoDB Developer Guide, "Quotas: throughput default quotas". Held where throughput is, by what the node knows
//! of tables; two requests at once on two nodes may take the sum above.

use super::Context;
use crate::catalog::TableDefinition;
use crate::message::table;
use crate::wire::error::ApiError;

/// Checks that a definition, in place of what its table has now, keeps within the quota. What makes the sum no larger is let
/// through, also above the quota.
///
/// # Errors
/// LimitExceededException.
pub(super) fn check(context: &Context, definition: &TableDefinition) -> Result<(), ApiError> {
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
