//! Transactions beside as many single writes: `bench transact`.
//!
//! Each transaction updates so many items under conditions that hold; the peer updates the same items one by one on the same
//! cluster. Invariant: no two transactions that may be under way at once have an item in common, so that what is measured
//! is their cost and no conflict; sent over and over in their order, each write changes what it replaces.

use std::io::Write as _;
use std::path::Path;
use std::rc::Rc;

use compat_tests::Result;

use crate::items::TABLE;
use crate::load::Pool;
use crate::rounds::{self, Effort, Side};
use crate::stator::{self, Stator};
use crate::{Arguments, Row};

/// Numbers of items in a transaction; 100 is the most that the API takes (DynamoDB, "Service quotas").
const SIZES: [usize; 3] = [2, 10, 100];
/// Different transactions of each size.
const TRANSACTIONS: usize = 256;
/// In how many versions each is sent.
const VERSIONS: usize = 2;
/// Connections that have one request in flight each.
const CONNECTIONS: [usize; 2] = [1, 32];
const PEER: &str = "single writes";

/// Where the items of a transaction lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Placement {
    /// They share their partition key.
    OneRange,
    /// Each has its own.
    ManyRanges,
}

impl Placement {
    fn name(self) -> &'static str {
        match self {
            Self::OneRange => "one range",
            Self::ManyRanges => "many ranges",
        }
    }

    /// The key of an item of a transaction.
    fn key(self, size: usize, transaction: usize, item: usize) -> String {
        let (id, part) = match self {
            Self::OneRange => (format!("one-{size}-{transaction}"), item),
            Self::ManyRanges => (format!("many-{size}-{transaction}-{item}"), 0),
        };
        format!(r#"{{"id":{{"S":"{id}"}},"part":{{"N":"{part}"}}}}"#)
    }
}

/// The members of an update that is made alone or as part of a transaction.
fn update(key: &str, version: usize) -> String {
    format!(
        r#""TableName":"{TABLE}","Key":{key},"UpdateExpression":"SET v = :v","ConditionExpression":"attribute_not_exists(gone)","ExpressionAttributeValues":{{":v":{{"N":"{version}"}}}}"#
    )
}

fn transactions(placement: Placement, size: usize) -> Vec<String> {
    let of = |version: usize, transaction: usize| {
        let updates = (0..size).map(|item| {
            let key = placement.key(size, transaction, item);
            format!(r#"{{"Update":{{{}}}}}"#, update(&key, version))
        });
        format!(
            r#"{{"TransactItems":[{}]}}"#,
            updates.collect::<Vec<_>>().join(",")
        )
    };
    (0..VERSIONS)
        .flat_map(|version| (0..TRANSACTIONS).map(move |transaction| of(version, transaction)))
        .collect()
}

fn single_writes(placement: Placement, size: usize) -> Vec<String> {
    let of = |version: usize, transaction: usize, item: usize| {
        let key = placement.key(size, transaction, item);
        format!("{{{}}}", update(&key, version))
    };
    (0..VERSIONS)
        .flat_map(|version| {
            (0..TRANSACTIONS)
                .flat_map(move |transaction| (0..size).map(move |item| of(version, transaction, item)))
        })
        .collect()
}

/// Measures clusters of one and of three nodes.
pub(crate) async fn run(arguments: &Arguments, folder: &Path, effort: Effort) -> Result<()> {
    for nodes in [1, 3] {
        let stator = Stator::start(&arguments.stator, &folder.join(format!("nodes-{nodes}")), nodes)?;
        measure(&stator, nodes, effort).await?;
    }
    Ok(())
}

async fn measure(stator: &Stator, nodes: u16, effort: Effort) -> Result<()> {
    let access = stator.access()?;
    stator.create_table(&access, Some("part"))?;
    let mut out = std::io::stdout().lock();
    for placement in [Placement::OneRange, Placement::ManyRanges] {
        for size in SIZES {
            for connections in CONNECTIONS {
                let name = format!("{size} items, {}, n{nodes} c{connections}", placement.name());
                eprintln!("bench transact: {name}");
                let pool = |operation, bodies: Vec<String>| -> Result<Pool> {
                    Ok(Rc::new(stator::requests(&access, operation, &bodies)?))
                };
                let ours = pool("TransactWriteItems", transactions(placement, size))?;
                let theirs = pool("UpdateItem", single_writes(placement, size))?;
                let side = async |pool| -> Result<Side> {
                    let open = stator.connect(&access, connections).await?;
                    Ok(Side::new(stator.pids(), open, pool))
                };
                let sides = [side(ours).await?, side(theirs).await?];
                for (unit, ours, theirs) in rounds::compare(sides, effort).await? {
                    let Some((unit, theirs)) = of_as_many(unit, theirs, size) else {
                        continue;
                    };
                    let row = Row {
                        bench: "transact",
                        name: name.clone(),
                        ours,
                        peer: PEER,
                        theirs,
                        unit,
                    };
                    writeln!(out, "{}", serde_json::to_string(&row)?)?;
                }
            }
        }
    }
    Ok(())
}

/// A figure of single writes as one of as many as a transaction has; `None` where that says nothing.
fn of_as_many(unit: &str, theirs: f64, size: usize) -> Option<(&'static str, f64)> {
    let size = f64::from(u32::try_from(size).ok()?);
    match unit {
        "writes/s" => Some(("transactions/s", theirs / size)),
        "us p50" => Some(("us p50, beside one write", theirs)),
        "us p99" => Some(("us p99, beside one write", theirs)),
        "us CPU/write, all nodes" => Some(("us CPU, all nodes", theirs * size)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn transactions_have_no_item_in_common_and_single_writes_the_same_items() {
        for placement in [Placement::OneRange, Placement::ManyRanges] {
            let mut keys = HashSet::new();
            for body in transactions(placement, 10).iter().take(TRANSACTIONS) {
                let body: Value = serde_json::from_str(body).unwrap();
                let items = body["TransactItems"].as_array().unwrap();
                assert_eq!(items.len(), 10);
                for item in items {
                    assert!(keys.insert(item["Update"]["Key"].to_string()), "{item}");
                }
                let ids: HashSet<_> = items
                    .iter()
                    .map(|item| item["Update"]["Key"]["id"].to_string())
                    .collect();
                assert_eq!(ids.len() == 1, placement == Placement::OneRange);
            }
            let singles = single_writes(placement, 10);
            let same = singles.iter().map(|body| {
                let body: Value = serde_json::from_str(body).unwrap();
                body["Key"].to_string()
            });
            assert_eq!(same.collect::<HashSet<_>>(), keys);
        }
    }

    #[test]
    fn as_many_single_writes_cost_so_much_more() {
        assert_eq!(of_as_many("writes/s", 500.0, 10), Some(("transactions/s", 50.0)));
        assert_eq!(of_as_many("us CPU/write, load generator", 1.0, 10), None);
    }
}
