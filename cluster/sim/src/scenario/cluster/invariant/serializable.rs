//! Transactions take place one after the other, each wholly or not at all, in an order that agrees with time. What is read as it was
//! some time ago has each of them wholly or not at all, too; its order is that of the clocks of the nodes (`docs/replication.md`, "Versions
//! and closed times").

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
    for look in observed.iter().filter(|one| one.is_past) {
        check_past(look, observed, end).map_err(broken)?;
    }
    let transactions: Vec<_> = observed
        .iter()
        .filter(|one| !one.is_past)
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

/// Holds that what was there some time ago is the beginning of what is there in the end, with all or nothing of each transaction.
fn check_past(look: &Observed, observed: &[Observed], end: &BTreeMap<u64, List>) -> Result<(), String> {
    for (account, list) in &look.reads {
        let is_beginning = end.get(account).is_some_and(|end| end.starts_with(list));
        if !is_beginning && !list.is_empty() {
            return Err(format!(
                "{} goes back to what account {account} never was: {list:?}",
                look.number
            ));
        }
    }
    let has = |account: &u64, by: u64| {
        let list = look.reads.get(account);
        list.is_some_and(|list| list.iter().any(|item| item.by == by))
    };
    for one in observed {
        let asked = || {
            one.appends
                .keys()
                .filter(|account| look.reads.contains_key(account))
        };
        let seen = asked().filter(|account| has(account, one.number)).count();
        if seen > 0 && seen < asked().count() {
            return Err(format!(
                "{} goes back to a part of {one:?}: {:?}",
                look.number, look.reads
            ));
        }
    }
    Ok(())
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
                is_past: false,
            }
        };
        let end = BTreeMap::from([(0, list(&[3])), (1, list(&[-3]))]);
        assert_eq!(check(&[look(&[3], &[-3])], &end), Ok(()));
        let reason = check(&[look(&[3], &[])], &end).unwrap_err();
        assert!(
            reason.starts_with("serializable: 100 has seen a bank"),
            "{reason}"
        );
        let transfer = Observed {
            number: 1,
            appends: BTreeMap::from([(0, 3), (1, -3)]),
            ..look(&[], &[])
        };
        for (first, second, is_right) in [
            (&[][..], &[][..], true),
            (&[3], &[-3], true),
            (&[3], &[], false),
            (&[4], &[-4], false),
        ] {
            let mut past = look(first, second);
            past.is_past = true;
            past.reads.retain(|account, _| *account < 2);
            assert_eq!(
                check_past(&past, std::slice::from_ref(&transfer), &end).is_ok(),
                is_right
            );
        }
        let reason = check(&[], &BTreeMap::from([(0, list(&[3]))])).unwrap_err();
        assert!(reason.contains("in the end"), "{reason}");
    }
}
