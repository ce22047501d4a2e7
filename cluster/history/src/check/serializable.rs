//! Whether transactions on lists could have taken place one after the other, in an order that clients' clocks agree with.
//!
//! Every write appends something unique to a list, so that the lists at the end say in which order writes took place, and
//! what a transaction has read says behind which of them it came (Kingsbury, Alvaro, "Elle: Inferring Isolation Anomalies
//! from Experimental Observations", VLDB 2020). Transactions depend on each other then: one has written behind the other,
//! has read what the other wrote, or has read before the other wrote; or had ended before the other began. Invariant: the
//! transactions are strictly serializable exactly if these dependencies have no cycle. Not here: who did them.

use std::collections::BTreeMap;
use std::fmt::{Debug, Write as _};

/// What has come of a transaction, as its client knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It stands.
    Stands,
    /// It surely does not, and never will.
    Cancelled,
    /// Nobody knows.
    Open,
}

/// A transaction as its client saw it.
#[derive(Clone, Debug)]
pub struct Transaction<K> {
    /// What it has appended, unique; anything for one that has only read.
    pub number: u64,
    /// The moment at which it began.
    pub began: u64,
    /// The moment at which its client knew; `None` for one that is open.
    pub ended: Option<u64>,
    /// What has come of it.
    pub fate: Fate,
    /// The lists that it has appended to.
    pub appends: Vec<K>,
    /// What it has read of each list, before its own append. Empty for one that is not known to stand.
    pub reads: BTreeMap<K, Vec<u64>>,
}

/// Checks transactions against the lists at the end.
///
/// # Errors
/// What is wrong, in words.
pub fn check<K: Clone + Ord + Debug>(
    transactions: &[Transaction<K>],
    lists: &BTreeMap<K, Vec<u64>>,
) -> Result<(), String> {
    let positions = positions(lists)?;
    for transaction in transactions {
        check_appends(transaction, &positions)?;
        check_reads(transaction, lists, &positions)?;
    }
    let mut graph = Graph::default();
    let standing: Vec<_> = transactions
        .iter()
        .filter(|transaction| took_place(transaction, &positions))
        .collect();
    let mut nodes = BTreeMap::new();
    for transaction in &standing {
        let node = graph.add(format!("{transaction:?}"));
        if !transaction.appends.is_empty() {
            nodes.insert(transaction.number, node);
        }
    }
    for (key, list) in lists {
        for (first, second) in list.iter().zip(list.iter().skip(1)) {
            graph.depend(nodes.get(first), nodes.get(second), || {
                format!("{key:?}: appended before")
            });
        }
    }
    for (node, transaction) in standing.iter().enumerate() {
        for (key, read) in &transaction.reads {
            let list = lists.get(key).map(Vec::as_slice).unwrap_or_default();
            let seen = read.last().and_then(|number| nodes.get(number));
            graph.depend(seen, Some(&node), || format!("{key:?}: was read by"));
            let next = list.get(read.len()).and_then(|number| nodes.get(number));
            graph.depend(Some(&node), next, || format!("{key:?}: had not seen"));
        }
    }
    add_time(&mut graph, &standing);
    graph.check()
}

type Positions<K> = BTreeMap<K, BTreeMap<u64, usize>>;

fn positions<K: Clone + Ord + Debug>(lists: &BTreeMap<K, Vec<u64>>) -> Result<Positions<K>, String> {
    let mut positions = Positions::new();
    for (key, list) in lists {
        let of_key = positions.entry(key.clone()).or_default();
        for (position, number) in list.iter().enumerate() {
            if of_key.insert(*number, position).is_some() {
                return Err(format!("{number} was appended to {key:?} twice: {list:?}"));
            }
        }
    }
    Ok(positions)
}

fn position<K: Ord>(positions: &Positions<K>, key: &K, number: u64) -> Option<usize> {
    positions.get(key)?.get(&number).copied()
}

/// Whether a transaction is one of those that have an order.
fn took_place<K: Ord>(transaction: &Transaction<K>, positions: &Positions<K>) -> bool {
    let number = transaction.number;
    let has_left = |key: &K| position(positions, key, number).is_some();
    match transaction.fate {
        Fate::Stands => true,
        Fate::Cancelled => false,
        Fate::Open => transaction.appends.iter().any(has_left),
    }
}

fn check_appends<K: Ord + Debug>(
    transaction: &Transaction<K>,
    positions: &Positions<K>,
) -> Result<(), String> {
    let number = transaction.number;
    let left = transaction
        .appends
        .iter()
        .filter(|key| position(positions, key, number).is_some());
    let (left, all) = (left.count(), transaction.appends.len());
    match transaction.fate {
        Fate::Stands if left < all => Err(format!(
            "{transaction:?} stands, but only {left} of {all} lists have it"
        )),
        Fate::Cancelled if left > 0 => Err(format!("{transaction:?} is cancelled, but {left} lists have it")),
        Fate::Open if left > 0 && left < all => {
            Err(format!("of {transaction:?}, {left} of {all} lists have a part"))
        }
        Fate::Stands | Fate::Cancelled | Fate::Open => Ok(()),
    }
}

fn check_reads<K: Ord + Debug>(
    transaction: &Transaction<K>,
    lists: &BTreeMap<K, Vec<u64>>,
    positions: &Positions<K>,
) -> Result<(), String> {
    for (key, read) in &transaction.reads {
        let list = lists.get(key).map(Vec::as_slice).unwrap_or_default();
        if !list.starts_with(read) {
            return Err(format!(
                "{transaction:?} has read {read:?} of {key:?}, which is {list:?}"
            ));
        }
        let is_own = transaction.appends.contains(key);
        if is_own && position(positions, key, transaction.number) != Some(read.len()) {
            return Err(format!(
                "{transaction:?} has appended to {key:?} elsewhere than behind what it has read: {list:?}"
            ));
        }
    }
    Ok(())
}

/// Whoever had ended comes before whoever began later: by way of one moment after the other, so that it takes few edges.
fn add_time<K>(graph: &mut Graph, standing: &[&Transaction<K>]) {
    let mut moments = BTreeMap::new();
    for (node, transaction) in standing.iter().enumerate() {
        moments.insert(transaction.began, (node, true));
        if let Some(ended) = transaction.ended {
            moments.insert(ended, (node, false));
        }
    }
    let mut last = None;
    for (moment, (node, is_begin)) in moments {
        if is_begin {
            graph.depend(last.as_ref(), Some(&node), || {
                format!("had ended at {moment} before it began")
            });
        } else {
            let now = graph.add(format!("moment {moment}"));
            graph.depend(last.as_ref(), Some(&now), || "then".to_owned());
            graph.depend(Some(&node), Some(&now), || "ended at".to_owned());
            last = Some(now);
        }
    }
}

/// What depends on what.
#[derive(Debug, Default)]
struct Graph {
    names: Vec<String>,
    /// By node: those that come after it, and why.
    after: Vec<Vec<(usize, String)>>,
}

impl Graph {
    fn add(&mut self, name: String) -> usize {
        self.names.push(name);
        self.after.push(Vec::new());
        self.names.len() - 1
    }

    fn depend(&mut self, before: Option<&usize>, after: Option<&usize>, why: impl FnOnce() -> String) {
        if let (Some(before), Some(after)) = (before, after)
            && before != after
        {
            self.after[*before].push((*after, why()));
        }
    }

    /// Takes away whoever waits for nobody until nobody is left.
    fn check(&self) -> Result<(), String> {
        let mut waits = vec![0_usize; self.names.len()];
        for (node, _) in self.after.iter().flatten() {
            waits[*node] += 1;
        }
        let mut free: Vec<_> = (0..waits.len()).filter(|node| waits[*node] == 0).collect();
        let mut left = waits.len();
        while let Some(node) = free.pop() {
            left -= 1;
            for (after, _) in &self.after[node] {
                waits[*after] -= 1;
                if waits[*after] == 0 {
                    free.push(*after);
                }
            }
        }
        if left == 0 {
            return Ok(());
        }
        Err(self.cycle(&waits))
    }

    /// A shortest cycle through one of the nodes that wait for ever, in words.
    fn cycle(&self, waits: &[usize]) -> String {
        let waiting = |node: usize| waits[node] > 0;
        let mut shortest: Option<Vec<usize>> = None;
        for start in (0..waits.len()).filter(|node| waiting(*node)) {
            let mut came_from = BTreeMap::new();
            let mut queue = std::collections::VecDeque::from([start]);
            while let Some(node) = queue.pop_front() {
                if let Some((_, _)) = self.after[node].iter().find(|(after, _)| *after == start) {
                    let mut path = vec![start];
                    let mut at = node;
                    while at != start {
                        path.push(at);
                        at = came_from[&at];
                    }
                    path.push(start);
                    path.reverse();
                    if shortest
                        .as_ref()
                        .is_none_or(|shortest| path.len() < shortest.len())
                    {
                        shortest = Some(path);
                    }
                    break;
                }
                for (after, _) in self.after[node].iter().filter(|(after, _)| waiting(*after)) {
                    if *after != start && !came_from.contains_key(after) {
                        came_from.insert(*after, node);
                        queue.push_back(*after);
                    }
                }
            }
        }
        let mut text = "transactions depend on each other in a circle:".to_owned();
        let path = shortest.unwrap_or_default();
        for (node, next) in path.iter().zip(path.iter().skip(1)) {
            let why = self.after[*node].iter().find(|(after, _)| after == next);
            let why = why.map_or("", |(_, why)| why);
            // A string takes whatever is written to it.
            let _written = write!(text, "\n  {} -- {why} -->", self.names[*node]);
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transaction(
        number: u64,
        (began, ended): (u64, u64),
        appends: &[char],
        reads: &[(char, &[u64])],
    ) -> Transaction<char> {
        Transaction {
            number,
            began,
            ended: Some(ended),
            fate: Fate::Stands,
            appends: appends.to_vec(),
            reads: reads.iter().map(|(key, read)| (*key, read.to_vec())).collect(),
        }
    }

    fn lists(lists: &[(char, &[u64])]) -> BTreeMap<char, Vec<u64>> {
        lists.iter().map(|(key, list)| (*key, list.to_vec())).collect()
    }

    #[test]
    fn what_has_an_order_passes() {
        let transactions = [
            transaction(1, (1, 4), &['x', 'y'], &[('x', &[]), ('y', &[])]),
            transaction(2, (2, 8), &['x'], &[('x', &[1]), ('y', &[1])]),
            transaction(3, (5, 6), &[], &[('x', &[1]), ('y', &[1])]),
        ];
        assert_eq!(
            check(&transactions, &lists(&[('x', &[1, 2]), ('y', &[1])])),
            Ok(())
        );
    }

    #[test]
    fn a_read_of_a_part_is_a_circle() {
        let transactions = [
            transaction(1, (1, 9), &['x', 'y'], &[('x', &[]), ('y', &[])]),
            transaction(2, (2, 8), &[], &[('x', &[1]), ('y', &[])]),
        ];
        let reason = check(&transactions, &lists(&[('x', &[1]), ('y', &[1])])).unwrap_err();
        assert!(reason.contains("in a circle"), "{reason}");
        assert!(
            reason.contains("had not seen") && reason.contains("was read by"),
            "{reason}"
        );
    }

    #[test]
    fn write_skew_is_a_circle() {
        let transactions = [
            transaction(1, (1, 9), &['x'], &[('x', &[]), ('y', &[])]),
            transaction(2, (2, 8), &['y'], &[('x', &[]), ('y', &[])]),
        ];
        let reason = check(&transactions, &lists(&[('x', &[1]), ('y', &[2])])).unwrap_err();
        assert!(reason.contains("in a circle"), "{reason}");
    }

    #[test]
    fn a_read_of_the_past_is_a_circle_with_time() {
        let transactions = [
            transaction(1, (1, 2), &['x'], &[('x', &[])]),
            transaction(2, (3, 4), &[], &[('x', &[])]),
        ];
        assert!(check(&transactions, &lists(&[('x', &[1])])).is_err());
        let overlapping = [
            transaction(1, (1, 3), &['x'], &[('x', &[])]),
            transaction(2, (2, 4), &[], &[('x', &[])]),
        ];
        assert_eq!(check(&overlapping, &lists(&[('x', &[1])])), Ok(()));
    }

    #[test]
    fn a_part_a_second_time_and_a_lost_one_are_noticed() {
        let mut one = transaction(1, (1, 2), &['x', 'y'], &[]);
        let reason = |one: &Transaction<char>, end: &[(char, &[u64])]| {
            check(std::slice::from_ref(one), &lists(end)).unwrap_err()
        };
        assert!(reason(&one, &[('x', &[1]), ('y', &[])]).contains("only 1 of 2 lists"));
        assert!(reason(&one, &[('x', &[1, 1]), ('y', &[1])]).contains("twice"));
        one.fate = Fate::Open;
        assert!(reason(&one, &[('x', &[1]), ('y', &[])]).contains("1 of 2 lists have a part"));
        assert_eq!(
            check(std::slice::from_ref(&one), &lists(&[('x', &[]), ('y', &[])])),
            Ok(())
        );
        one.fate = Fate::Cancelled;
        assert!(reason(&one, &[('x', &[1]), ('y', &[1])]).contains("is cancelled"));
    }

    #[test]
    fn a_read_that_no_order_explains_is_noticed() {
        let wrong = transaction(2, (1, 2), &[], &[('x', &[3])]);
        let reason = check(&[wrong], &lists(&[('x', &[1, 3])])).unwrap_err();
        assert!(reason.contains("has read [3]"), "{reason}");
        let elsewhere = transaction(3, (1, 2), &['x'], &[('x', &[])]);
        let reason = check(&[elsewhere], &lists(&[('x', &[1, 3])])).unwrap_err();
        assert!(reason.contains("elsewhere"), "{reason}");
    }
}
