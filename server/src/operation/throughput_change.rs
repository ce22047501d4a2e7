//! Changes of provisioned throughput, of a table and of a global index alike: how often it may be lowered, what is told of it
//! afterwards, and what stays warm.
//!
//! Source: Amazon DynamoDB Developer Guide, "Quotas: decreasing provisioned throughput", which counts "for every table and
//! global secondary index".

use stator_model::index::IndexKind;

use crate::catalog::{TableDefinition, Throughput, WarmUnits};
use crate::message::table;
use crate::wire::error::ApiError;

/// Milliseconds of a day.
const DAY_MS: i64 = 86_400_000;
/// How often throughput may be lowered on a day, and after which pause once more.
const DECREASES_FREE: u32 = 4;
pub(super) const DECREASE_PAUSE_MS: i64 = 3_600_000;

/// How often it was lowered on the day (UTC) of `now_ms`.
pub(super) fn decreases_today(throughput: &Throughput, now_ms: i64) -> u32 {
    let lowered_today = throughput
        .lowered_at_ms
        .is_some_and(|lowered_ms| lowered_ms.div_euclid(DAY_MS) == now_ms.div_euclid(DAY_MS));
    if lowered_today {
        throughput.lowered_that_day
    } else {
        0
    }
}

/// Refuses to lower throughput once more on a day on which it was lowered often.
///
/// # Errors
/// LimitExceededException.
pub(super) fn check_decrease(
    throughput: &Throughput,
    (read_units, write_units): (i64, i64),
    now_ms: i64,
) -> Result<(), ApiError> {
    let today = decreases_today(throughput, now_ms);
    let is_lower = read_units < throughput.read_units || write_units < throughput.write_units;
    let lowered_at_ms = throughput.lowered_at_ms;
    let is_soon = lowered_at_ms.is_some_and(|lowered_ms| now_ms < lowered_ms + DECREASE_PAUSE_MS);
    if is_lower && is_soon && today >= DECREASES_FREE {
        return Err(table::too_many_decreases(today));
    }
    Ok(())
}

/// The throughput after a change to other units. The first that it has since its table is provisioned raises nothing.
pub(super) fn changed(before: &Throughput, (read_units, write_units): (i64, i64), now_ms: i64) -> Throughput {
    let mut throughput = *before;
    let is_first = (before.read_units, before.write_units) == (0, 0);
    if !is_first && (read_units > before.read_units || write_units > before.write_units) {
        throughput.raised_at_ms = Some(now_ms);
    }
    if read_units < before.read_units || write_units < before.write_units {
        throughput.lowered_that_day = decreases_today(before, now_ms) + 1;
        throughput.lowered_at_ms = Some(now_ms);
    }
    throughput.read_units = read_units;
    throughput.write_units = write_units;
    throughput
}

/// What a table and its indexes serve at once, before a change of them.
#[derive(Debug)]
pub(super) struct Warm {
    table: WarmUnits,
    /// In the order of the definition.
    indexes: Vec<WarmUnits>,
}

impl Warm {
    pub(super) fn of(definition: &TableDefinition) -> Self {
        let indexes = definition.indexes.iter();
        Self {
            table: definition.warm_units(),
            indexes: indexes
                .map(|index| index.warm_units(definition.billing_mode))
                .collect(),
        }
    }

    /// Keeps it up after the change: warm throughput is never lowered. Source: the same guide, "Understanding DynamoDB warm
    /// throughput".
    pub(super) fn keep(&self, definition: &mut TableDefinition) {
        let now = definition.warm_units();
        let kept = now.at_least(self.table);
        if kept != now {
            definition.warm_units_requested = Some(kept);
        }
        let billing_mode = definition.billing_mode;
        for (index, before) in definition.indexes.iter_mut().zip(&self.indexes) {
            let now = index.warm_units(billing_mode);
            let kept = now.at_least(*before);
            if index.kind == IndexKind::Global && kept != now {
                index.warm_units_requested = Some(kept);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throughput(read_units: i64, write_units: i64) -> Throughput {
        Throughput {
            read_units,
            write_units,
            ..Throughput::default()
        }
    }

    #[test]
    fn decreases_are_counted_by_the_day() {
        let once = changed(&throughput(5, 5), (4, 5), 10);
        let twice = changed(&once, (4, 4), 20);
        assert_eq!(decreases_today(&twice, DAY_MS - 1), 2);
        assert_eq!(decreases_today(&twice, DAY_MS), 0);
        assert_eq!(decreases_today(&changed(&twice, (3, 4), DAY_MS), DAY_MS), 1);
    }

    #[test]
    fn the_first_throughput_raises_nothing() {
        assert_eq!(changed(&throughput(0, 0), (4, 5), 10), throughput(4, 5));
        assert_eq!(changed(&throughput(1, 1), (1, 2), 10).raised_at_ms, Some(10));
    }
}
