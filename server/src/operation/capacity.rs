//! Capacity units: what an operation costs, and how much of it the client wants to hear.
//!
//! Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations: capacity unit consumption".

use stator_cluster::ConsistencyLevel;

use crate::constraint::ModelEnum;

/// Bytes that one read unit covers.
const READ_UNIT_BYTES: usize = 4096;
/// Bytes that one write unit covers.
const WRITE_UNIT_BYTES: usize = 1024;

/// `ReturnConsumedCapacity`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum CapacityDetail {
    /// The total, and that of the table and of each index.
    Indexes,
    /// The total.
    Total,
    /// Nothing.
    #[default]
    None,
}

impl ModelEnum for CapacityDetail {
    const NAMES: &'static [&'static str] = &["INDEXES", "TOTAL", "NONE"];

    fn from_name(name: &str) -> Option<Self> {
        Some(match name {
            "INDEXES" => Self::Indexes,
            "TOTAL" => Self::Total,
            "NONE" => Self::None,
            _ => return None,
        })
    }
}

/// What an operation cost on one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConsumedCapacity {
    /// As the request named it.
    pub(crate) table: String,
    pub(crate) units: f64,
    /// Whether the share of the table itself is wanted, too.
    pub(crate) detailed: bool,
}

impl CapacityDetail {
    /// The cost as far as the client wants to hear of it.
    pub(crate) fn report(self, table: &str, units: f64) -> Option<ConsumedCapacity> {
        (self != Self::None).then(|| ConsumedCapacity {
            table: table.to_owned(),
            units,
            detailed: self == Self::Indexes,
        })
    }
}

/// Units of reading `bytes`, at least one block of them; half of that when the read may lag behind.
pub(crate) fn read_units(bytes: usize, level: ConsistencyLevel) -> f64 {
    let whole = units(bytes, READ_UNIT_BYTES);
    match level {
        ConsistencyLevel::One => whole / 2.0,
        ConsistencyLevel::Quorum | ConsistencyLevel::All => whole,
    }
}

/// Units of writing an item whose size was and is now `before` and `after`.
pub(crate) fn write_units(before: usize, after: usize) -> f64 {
    units(before.max(after), WRITE_UNIT_BYTES)
}

fn units(bytes: usize, unit: usize) -> f64 {
    // A page has at most 1 MB and an item 400 KB, so the count fits.
    f64::from(u32::try_from(bytes.div_ceil(unit).max(1)).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::float_cmp, reason = "halves are exact")]
    fn units_are_rounded_up() {
        assert_eq!(read_units(0, ConsistencyLevel::Quorum), 1.0);
        assert_eq!(read_units(0, ConsistencyLevel::One), 0.5);
        assert_eq!(read_units(4096, ConsistencyLevel::All), 1.0);
        assert_eq!(read_units(4097, ConsistencyLevel::One), 1.0);
        assert_eq!(write_units(0, 1024), 1.0);
        assert_eq!(write_units(3000, 10), 3.0);
    }
}
