//! Capacity units: what an operation costs, and how much of it the client wants to hear.
//!
//! Source: Amazon DynamoDB Developer Guide, "DynamoDB read and write operations: capacity unit consumption".

use std::collections::BTreeMap;

use stator_cluster::ConsistencyLevel;
use stator_model::index::IndexKind;
use stator_model::item::Item;

use crate::command::Done;
use crate::constraint::ModelEnum;
use crate::derive::index::IndexUnits;

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

/// What an operation cost: in the table itself, and in its indexes by their names.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct Cost {
    pub(crate) table: f64,
    pub(crate) local: BTreeMap<String, f64>,
    pub(crate) global: BTreeMap<String, f64>,
}

impl From<f64> for Cost {
    /// Of the table alone.
    fn from(table: f64) -> Self {
        Self {
            table,
            ..Self::default()
        }
    }
}

impl Cost {
    /// Of an index alone.
    pub(crate) fn of_index(kind: IndexKind, name: &str, units: f64) -> Self {
        let mut cost = Self::default();
        cost.add_index(kind, name.to_owned(), units);
        cost
    }

    /// Of a write that stands.
    pub(crate) fn of_write(done: &Done) -> Self {
        let mut cost = Self::from(done.sizes.units());
        for IndexUnits { kind, name, units } in IndexUnits::decode(&done.note).unwrap_or_default() {
            cost.add_index(kind, name, number(units));
        }
        cost
    }

    /// Of a write whose condition is false for this item.
    ///
    /// Source: Amazon DynamoDB Developer Guide, "Working with items: capacity units consumed by conditional writes".
    pub(crate) fn of_failed_condition(item: Option<&Item>) -> Self {
        Self::from(write_units(item.map_or(0, |item| item.as_ref().size()), 0))
    }

    fn add_index(&mut self, kind: IndexKind, name: String, units: f64) {
        let indexes = match kind {
            IndexKind::Local => &mut self.local,
            IndexKind::Global => &mut self.global,
        };
        *indexes.entry(name).or_default() += units;
    }

    /// Adds what another operation cost.
    pub(crate) fn add(&mut self, other: Self) {
        self.table += other.table;
        let local = other.local.into_iter().map(|index| (IndexKind::Local, index));
        let global = other.global.into_iter().map(|index| (IndexKind::Global, index));
        for (kind, (name, units)) in local.chain(global) {
            self.add_index(kind, name, units);
        }
    }

    /// Of the same in a transaction.
    pub(crate) fn twice(mut self) -> Self {
        self.add(self.clone());
        self
    }

    /// All together.
    pub(crate) fn total(&self) -> f64 {
        self.table + self.local.values().chain(self.global.values()).sum::<f64>()
    }
}

/// Of which kind units are. The API says so in transactions only, where either may be reported, and when it throttles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum UnitKind {
    Read,
    Write,
}

/// What an operation cost on one table.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ConsumedCapacity {
    /// As the request named it.
    pub(crate) table: String,
    pub(crate) cost: Cost,
    /// Whether the shares of the table and of its indexes are wanted, too.
    pub(crate) detailed: bool,
    /// The kind of the units, if it is to be said.
    pub(crate) kind: Option<UnitKind>,
}

/// What a transaction cost, by the tables in the order in which the request names them first, and as it names them then.
#[derive(Debug, Default)]
pub(crate) struct TransactionCost(Vec<(String, String, Cost)>);

impl TransactionCost {
    /// Adds what an action on a table, which the request names so, cost by itself. In a transaction it is twice that: an item is
    /// prepared, and then read or written.
    ///
    /// Source: Amazon DynamoDB Developer Guide, "Capacity management for transactions".
    pub(crate) fn add(&mut self, (table, named): (&str, &str), cost: impl Into<Cost>) {
        let cost = cost.into();
        let place = self.0.iter().position(|(name, ..)| name == table);
        let place = place.unwrap_or_else(|| {
            self.0.push((table.to_owned(), named.to_owned(), Cost::default()));
            self.0.len() - 1
        });
        if let Some((.., sum)) = self.0.get_mut(place) {
            sum.add(cost.twice());
        }
    }

    /// The cost as far as the client wants to hear of it.
    pub(crate) fn report(self, detail: CapacityDetail, kind: UnitKind) -> Option<Vec<ConsumedCapacity>> {
        let report = |(_, named, cost): (String, String, Cost)| {
            let consumed = detail.report(&named, cost)?;
            Some(ConsumedCapacity {
                kind: Some(kind),
                ..consumed
            })
        };
        (detail != CapacityDetail::None).then(|| self.0.into_iter().filter_map(report).collect())
    }
}

impl CapacityDetail {
    /// The cost as far as the client wants to hear of it, of a table as the request names it: an ARN is answered with the ARN.
    ///
    /// Source: service model of DynamoDB, ConsumedCapacity.TableName.
    pub(crate) fn report(self, table: &str, cost: impl Into<Cost>) -> Option<ConsumedCapacity> {
        (self != Self::None).then(|| ConsumedCapacity {
            table: table.to_owned(),
            cost: cost.into(),
            detailed: self == Self::Indexes,
            kind: None,
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
    number(bytes.div_ceil(unit).max(1))
}

/// A page has at most 1 MB and an item 400 KB, so the count of units fits.
fn number(units: usize) -> f64 {
    f64::from(u32::try_from(units).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_transaction_costs_twice_what_its_actions_cost_and_is_told_by_table() {
        let mut cost = TransactionCost::default();
        cost.add(("Second", "arn:Second"), 1.0);
        cost.add(
            ("First", "First"),
            Cost::of_index(IndexKind::Global, "index", 3.0),
        );
        cost.add(("Second", "Second"), 2.0);
        let told = cost.report(CapacityDetail::Indexes, UnitKind::Write).unwrap();
        let told: Vec<_> = told
            .into_iter()
            .map(|table| {
                assert!(table.detailed && table.kind == Some(UnitKind::Write));
                (table.table, table.cost)
            })
            .collect();
        let expected = [
            ("arn:Second".to_owned(), Cost::from(6.0)),
            (
                "First".to_owned(),
                Cost::of_index(IndexKind::Global, "index", 6.0),
            ),
        ];
        assert_eq!(told, expected);
        let untold = TransactionCost::default().report(CapacityDetail::None, UnitKind::Read);
        assert_eq!(untold, None);
    }

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
