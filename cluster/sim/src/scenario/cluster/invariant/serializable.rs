//! Transactions take place one after the other, each wholly or not at all, in an order that agrees with time.

use std::collections::BTreeMap;

use stator_history::check::serializable::{Transaction, check as check_order};

use crate::scenario::cluster::bank::{Observed, accounts};
use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::list::{Item, List};

/// Checks what clients of the bank have seen against the accounts at the end.
///
/// # Errors
/// The first thing that is wrong.
pub(in crate::scenario::cluster) fn check(
    observed: &[Observed],
    end: &BTreeMap<u64, List>,
) -> Result<(), String> {
    let broken = |what: String| Invariant::Serializable.broken(what);
    for one in observed {
        let is_whole = accounts().all(|account| one.reads.contains_key(&account));
        let worth = worth(&one.reads);
        if is_whole && one.appends.is_empty() && worth != 0 {
            return Err(broken(format!(
                "{} has seen a bank that is worth {worth}: {one:?}",
                one.number
            )));
        }
    }
    let worth = worth(end);
    if worth != 0 {
        return Err(broken(format!("the bank is worth {worth} in the end: {end:?}")));
    }
    let numbers = |list: &List| list.iter().map(|item: &Item| item.by).collect::<Vec<_>>();
    let transactions: Vec<_> = observed
        .iter()
        .map(|one| Transaction {
            number: one.number,
            began: one.began,
            ended: one.ended,
            fate: one.fate,
            appends: one.appends.keys().copied().collect(),
            reads: one
                .reads
                .iter()
                .map(|(account, list)| (*account, numbers(list)))
                .collect(),
        })
        .collect();
    let lists = end.iter().map(|(account, list)| (*account, numbers(list)));
    check_order(&transactions, &lists.collect()).map_err(broken)
}

fn worth(lists: &BTreeMap<u64, List>) -> i64 {
    lists.values().flatten().map(|item| item.delta).sum()
}

#[cfg(test)]
mod tests {
    use stator_history::check::serializable::Fate;

    use super::*;

    #[test]
    fn a_bank_that_is_worth_something_is_noticed() {
        let list = |deltas: &[i64]| -> List {
            deltas
                .iter()
                .zip(1..)
                .map(|(delta, by)| Item { by, delta: *delta })
                .collect()
        };
        let look = |first: &[i64], second: &[i64]| {
            let mut reads: BTreeMap<_, _> = accounts().map(|account| (account, List::new())).collect();
            reads.insert(0, list(first));
            reads.insert(1, list(second));
            Observed {
                number: 100,
                began: 5,
                ended: Some(6),
                fate: Fate::Stands,
                appends: BTreeMap::new(),
                reads,
            }
        };
        let end = BTreeMap::from([(0, list(&[3])), (1, list(&[-3]))]);
        assert_eq!(check(&[look(&[3], &[-3])], &end), Ok(()));
        let reason = check(&[look(&[3], &[])], &end).unwrap_err();
        assert!(
            reason.starts_with("serializable: 100 has seen a bank"),
            "{reason}"
        );
        let reason = check(&[], &BTreeMap::from([(0, list(&[3]))])).unwrap_err();
        assert!(reason.contains("in the end"), "{reason}");
    }
}
