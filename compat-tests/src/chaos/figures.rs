//! What a run of chaos has come to, in numbers.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use super::nemesis::Broken;
use super::settle::Agreed;
use super::usage::Usage;
use crate::load::gap::Gap;
use crate::load::{Report, bank};

/// See the head of the file. Figures of several rounds are added up; the longest and slowest stay.
#[derive(Debug, Clone, Default)]
pub struct Figures {
    /// How long it took, with what was looked at afterwards.
    pub length: Duration,
    /// Writes of single items that were answered.
    pub writes: usize,
    /// Reads of single items that were answered.
    pub reads: usize,
    /// Attempts beyond the first of each call.
    pub retries: u64,
    /// Calls that clients have given up, by what the last attempt met.
    pub errors: BTreeMap<String, usize>,
    /// What was taken down of each of them.
    pub failures: Vec<String>,
    /// The longest time without an answered write.
    pub gap: Gap,
    /// The slowest call.
    pub slowest: Duration,
    /// Histories that are linearizable, and those that were too large to be judged.
    pub items: (usize, usize),
    /// Counters that are exact.
    pub counters: usize,
    /// What became of the bank's transfers; its money is there when there are figures.
    pub bank: bank::Report,
    /// How often each kind of fault came.
    pub faults: BTreeMap<&'static str, usize>,
    /// The longest time that a process went on after its disk had failed.
    pub ended_after: Duration,
    /// What nodes agree on.
    pub agreed: Agreed,
    /// What each node has of the machine.
    pub usage: Vec<Usage>,
}

impl Figures {
    pub(super) fn of(items: &Report, transfers: &bank::Report) -> Self {
        let mut errors = BTreeMap::new();
        for failure in &items.failures {
            *errors.entry(kind(&failure.what)).or_default() += 1;
        }
        Self {
            writes: items.writes,
            reads: items.reads,
            retries: items.retries + transfers.retries,
            errors,
            failures: items.failures.iter().map(ToString::to_string).collect(),
            gap: items.gap,
            slowest: items.slowest,
            items: (items.judged.linearizable, items.judged.undecided),
            counters: items.counters,
            bank: transfers.clone(),
            ..Self::default()
        }
    }

    pub(super) fn take_broken(&mut self, broken: Broken) {
        self.faults = broken.kinds;
        self.ended_after = broken.ended_after.into_iter().max().unwrap_or_default();
    }

    pub(super) fn add(&mut self, other: Self) {
        self.length += other.length;
        self.writes += other.writes;
        self.reads += other.reads;
        self.retries += other.retries;
        for (kind, count) in other.errors {
            *self.errors.entry(kind).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.gap = self.gap.max(other.gap);
        self.slowest = self.slowest.max(other.slowest);
        self.items.0 += other.items.0;
        self.items.1 += other.items.1;
        self.counters += other.counters;
        self.bank.add(&other.bank);
        for (kind, count) in other.faults {
            *self.faults.entry(kind).or_default() += count;
        }
        self.ended_after = self.ended_after.max(other.ended_after);
        self.agreed.items += other.agreed.items;
        self.agreed.read_at_all += other.agreed.read_at_all;
        self.usage = other.usage;
    }
}

impl fmt::Display for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let bank = &self.bank;
        writeln!(
            f,
            "in {:.0} s: {} writes, {} reads, {} transfers ({} refused, {} conflicts, {} not known), {} looks, {} retries",
            self.length.as_secs_f64(),
            self.writes,
            self.reads,
            bank.made,
            bank.poor,
            bank.conflicts,
            bank.open,
            bank.looks,
            self.retries
        )?;
        writeln!(f, "errors: {:?}", self.errors)?;
        writeln!(f, "longest gap without an answered write: {}", self.gap)?;
        writeln!(f, "slowest call: {:.3} s", self.slowest.as_secs_f64())?;
        writeln!(f, "faults: {:?}", self.faults)?;
        writeln!(
            f,
            "a process ended at most {} ms after its disk had failed",
            self.ended_after.as_millis()
        )?;
        writeln!(
            f,
            "linearizable: {} items, {} undecided; exact: {} counters, all money; alike on all nodes: {} items, {} read at ALL",
            self.items.0, self.items.1, self.counters, self.agreed.items, self.agreed.read_at_all
        )?;
        let usage: Vec<String> = self.usage.iter().map(Usage::to_string).collect();
        write!(f, "nodes have: {}", usage.join("; "))
    }
}

/// What the last attempt of a call has met: a status with the name of the error, or the beginning of what the client said.
fn kind(failure: &str) -> String {
    const SHOWN: usize = 48;
    let last = failure
        .rsplit_once("attempts: ")
        .map_or(failure, |(_, last)| last);
    let status = last.split(' ').next().filter(|word| word.parse::<u16>().is_ok());
    let name = last
        .split_once("\"__type\":\"")
        .and_then(|(_, rest)| rest.split('"').next());
    let name = name.and_then(|name| name.rsplit('#').next());
    match (status, name) {
        (Some(status), Some(name)) => format!("{status} {name}"),
        _ => last.chars().take(SHOWN).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_are_counted_by_what_the_last_attempt_met() {
        let failure =
            |last: &str| format!("client 4, PutItem 0-register-3: given up after 3 attempts: {last}");
        assert_eq!(
            kind(&failure(
                r#"500 {"__type":"com.amazonaws.dynamodb.v20120810#InternalServerError","message":"x"}"#
            )),
            "500 InternalServerError"
        );
        assert_eq!(
            kind(&failure(r#"503 {"__type":"ServiceUnavailable","message":"x"}"#)),
            "503 ServiceUnavailable"
        );
        assert_eq!(
            kind(&failure("Connection reset by peer (os error 104)")),
            "Connection reset by peer (os error 104)"
        );
    }
}
