//! The ledger of transactions from any node: its rows are written, what groups do not know is looked up, and what is old is
//! forgotten.
//!
//! Invariant: a row that says that a transaction stands is forgotten only when all groups have carried out their parts, as
//! a row that is not there says that it does not stand. Not here: what the rows say (`ledger.rs` of the crate).

use std::ops::Bound;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::route::{Place, Route, unexpected};
use super::{Bounds, Cluster, Direction, Keyspace};
use crate::command::{Answer as _, Applier as _, WriteOptions};
use crate::error::Error;
use crate::group::replica::Refused;
use crate::group::write::{Target, Unwatched};
use crate::ledger::{LEDGER, LedgerAnswer, LedgerCommand, LedgerRow, LedgerState, MarkRow, is_old};
use crate::level::ConsistencyLevel;
use crate::node::Node;
use crate::node::message::{Ask, Tell, Write};
use crate::transaction::TransactionId;

/// How often old rows are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// How many rows are forgotten at once. One after the other they would wait for a sync and a majority each, and more would come
/// than go.
const FORGOTTEN_AT_ONCE: usize = 64;
/// How long a wall clock has to have been ahead before it is believed.
const BELIEVED_AFTER: Duration = Duration::from_secs(24 * 60 * 60);

impl Cluster {
    /// The keyspace of the ledger, which the first transaction makes.
    pub(super) async fn ledger(&self) -> Result<Keyspace, Error> {
        match self.keyspace(LEDGER) {
            Some(ledger) => Ok(ledger),
            None => self.create_keyspace(LEDGER).await,
        }
    }

    pub(super) async fn write_ledger(
        &self,
        ledger: Keyspace,
        key: &Bytes,
        command: &LedgerCommand,
    ) -> Result<LedgerAnswer, Error> {
        let group = self.group_of(ledger, key)?;
        let options = self.with_invocation(WriteOptions::default());
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let options = route.options(options);
            let attempt = self.write_ledger_at(place, left, (group, ledger, key), &options, command);
            let outcome = route.attempt(left, attempt).await;
            if let Some(answer) = route.settle_write(outcome)? {
                return Ok(answer);
            }
        }
    }

    async fn write_ledger_at(
        &self,
        place: Place,
        patience: Duration,
        (group, ledger, key): (u32, Keyspace, &Bytes),
        options: &WriteOptions,
        command: &LedgerCommand,
    ) -> Result<LedgerAnswer, Refused> {
        let target = Target {
            keyspace: ledger.number,
            key,
        };
        match place {
            Place::Here(replica) => replica.write(target, options, &Unwatched(command)).await,
            Place::There(node) => {
                let mut bytes = Vec::new();
                command.encode(&mut bytes);
                let write = Write::new(group, target, options, bytes.into());
                match self.ask(node, Ask::Ledger(write), patience).await? {
                    Tell::Written(answer) => {
                        LedgerAnswer::decode(&answer).map_err(|error| Refused::Unknown(error.to_string()))
                    }
                    _ => Err(unexpected(node)),
                }
            }
        }
    }

    /// Finds out what has become of a transaction that a group has prepared with an entry, and has the group do so. Gives it
    /// up if it does not stand.
    pub(super) async fn resolve(
        &self,
        group: u32,
        key: &Bytes,
        (transaction, prepared_at): (TransactionId, u64),
    ) -> Result<(), Error> {
        let ledger = self.ledger().await?;
        let give_up = LedgerCommand::GiveUp { transaction };
        let (parts, at_ms) = match self.write_ledger(ledger, key, &give_up).await? {
            LedgerAnswer::Row(LedgerRow {
                state: LedgerState::Stands { parts, at_ms, .. },
                ..
            }) => (parts, at_ms),
            LedgerAnswer::GivenUp => (Vec::new(), 0),
            LedgerAnswer::Done
            | LedgerAnswer::Row(_)
            | LedgerAnswer::InProgress
            | LedgerAnswer::OtherPayload
            | LedgerAnswer::Cancelled(_) => {
                return Err(Error::Unavailable {
                    cause: "the ledger does not say what has become of a transaction".to_owned(),
                });
            }
        };
        // A part that was prepared again by a question that came late is none of those that stand.
        let stands = parts.contains(&(group, prepared_at));
        let end = if stands { prepared_at } else { 0 };
        tracing::info!(group, %transaction, stands, "a transaction without a coordinator comes to its end");
        self.end_part(group, transaction, (end, at_ms), ConsistencyLevel::Quorum)
            .await
    }

    /// Forgets old rows as long as the node is there.
    pub(crate) async fn tend_ledger(node: Weak<Node>) {
        let clock = node.upgrade().map(|node| {
            let world = &node.surroundings.world;
            SteadyClock::new(world.now(), world.unix_ms())
        });
        let Some(mut clock) = clock else { return };
        loop {
            let sleep = {
                let Some(node) = node.upgrade() else { return };
                node.surroundings.world.sleep(LOOK)
            };
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            let world = &node.surroundings.world;
            let now_ms = clock.look(world.now(), world.unix_ms());
            let cluster = Self { node };
            if let Err(error) = cluster.forget_old_transactions(now_ms).await {
                tracing::debug!(%error, "old transactions are not forgotten yet");
            }
        }
    }

    /// Forgets the old rows in the token ranges that this node leads. One that cannot be forgotten yet, as a range of its
    /// transaction has no leader, keeps no others.
    pub(super) async fn forget_old_transactions(&self, now_ms: u64) -> Result<(), Error> {
        let Some(ledger) = self.keyspace(LEDGER) else {
            return Ok(());
        };
        let mut outcome = Ok(());
        for led in self.led_ranges() {
            let mut bounds = led.bounds;
            loop {
                let old = self.old_rows(ledger, &bounds, now_ms)?;
                let Some((last, _)) = old.last() else {
                    break;
                };
                bounds.start = Bound::Excluded(last.to_vec());
                let forgotten = old.iter().map(|(key, row)| self.forget_row(ledger, key, row));
                for forgotten in join_all(forgotten).await {
                    outcome = outcome.and(forgotten);
                }
            }
        }
        outcome
    }

    /// The next old rows in a span.
    fn old_rows(&self, ledger: Keyspace, bounds: &Bounds, now_ms: u64) -> Result<Vec<(Bytes, Old)>, Error> {
        let mut old = Vec::new();
        let mut rows = self.node.open_rows(ledger.id, bounds, Direction::Forward)?;
        while old.len() < FORGOTTEN_AT_ONCE && rows.advance()? {
            let cell = rows.value_shared().into_bytes();
            if let Some(row) = Old::of(&cell).filter(|row| is_old(row.at_ms, now_ms)) {
                old.push((Bytes::copy_from_slice(rows.key()), row));
            }
        }
        Ok(old)
    }

    /// Forgets a row when all that it says is carried out.
    async fn forget_row(&self, ledger: Keyspace, key: &Bytes, row: &Old) -> Result<(), Error> {
        let parts = (&row.parts[..], row.stands_at_ms);
        self.carry_out(row.transaction, parts, ConsistencyLevel::Quorum)
            .await?;
        let forget = LedgerCommand::Forget {
            transaction: row.transaction,
        };
        self.write_ledger(ledger, key, &forget).await?;
        Ok(())
    }
}

/// The wall clock, which makes nothing old by a jump ahead: since a node has started, no more time has passed on it than on
/// the clock that does not jump. By how much it has been ahead for a day it may be right all the same: a node whose clock was set right
/// after its start would forget nothing otherwise, until it is started again.
struct SteadyClock {
    began_ms: u64,
    began: Duration,
    /// Since when it is looked how far it is ahead, and by how much it was at least, in milliseconds.
    ahead: Option<(Duration, u64)>,
}

impl SteadyClock {
    /// With what the two clocks show.
    fn new(now: Duration, unix_ms: u64) -> Self {
        Self {
            began_ms: unix_ms,
            began: now,
            ahead: None,
        }
    }

    /// In milliseconds since the Unix epoch, with what the two clocks show.
    fn look(&mut self, now: Duration, unix_ms: u64) -> u64 {
        let passed = now.saturating_sub(self.began).as_millis();
        let steady_ms = u64::try_from(passed).map_or(u64::MAX, |passed| self.began_ms.saturating_add(passed));
        let ahead_ms = unix_ms.saturating_sub(steady_ms);
        let (since, least_ms) = self.ahead.unwrap_or((now, ahead_ms));
        let least_ms = least_ms.min(ahead_ms);
        if now.saturating_sub(since) < BELIEVED_AFTER {
            self.ahead = Some((since, least_ms));
        } else {
            self.began_ms = self.began_ms.saturating_add(least_ms);
            self.ahead = None;
        }
        unix_ms.min(steady_ms)
    }
}

/// What has to be known of a row to forget it. The row of an id goes before the mark that it points to would: both have the
/// time of their request, and the mark is looked at later by no more than the margin.
struct Old {
    at_ms: u64,
    transaction: TransactionId,
    /// What has to be carried out first, and the time that it has.
    parts: Vec<(u32, u64)>,
    stands_at_ms: u64,
}

impl Old {
    fn of(cell: &Bytes) -> Option<Self> {
        if let Ok(row) = LedgerRow::decode(cell) {
            let (parts, stands_at_ms) = match row.state {
                LedgerState::Stands { parts, at_ms, .. } => (parts, at_ms),
                LedgerState::Preparing | LedgerState::InOne { .. } | LedgerState::Cancelled => {
                    (Vec::new(), 0)
                }
            };
            return Some(Self {
                at_ms: row.at_ms,
                transaction: row.transaction,
                parts,
                stands_at_ms,
            });
        }
        let mark = MarkRow::decode(cell).ok()?;
        Some(Self {
            at_ms: mark.at_ms,
            transaction: mark.transaction,
            parts: Vec::new(),
            stands_at_ms: 0,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

    /// What a clock says at an hour since its start while the wall clock is ahead by so much.
    fn said(clock: &mut SteadyClock, hour: u64, ahead_ms: u64) -> u64 {
        let now = Duration::from_millis(hour * HOUR_MS);
        clock.look(now, YEAR_MS + hour * HOUR_MS + ahead_ms)
    }

    #[test]
    fn a_jump_ahead_makes_nothing_old_and_one_that_has_lasted_is_believed() {
        let mut clock = SteadyClock::new(Duration::ZERO, YEAR_MS);
        // It was a year behind when the node was started.
        for hour in 1..24 {
            assert_eq!(said(&mut clock, hour, YEAR_MS), YEAR_MS + hour * HOUR_MS);
        }
        for hour in 24..48 {
            said(&mut clock, hour, YEAR_MS);
        }
        assert_eq!(said(&mut clock, 48, YEAR_MS), 2 * YEAR_MS + 48 * HOUR_MS);
        // And it is as steady as before.
        assert_eq!(said(&mut clock, 49, 2 * YEAR_MS), 2 * YEAR_MS + 49 * HOUR_MS);
    }

    #[test]
    fn a_jump_ahead_that_is_taken_back_within_a_day_is_not_believed() {
        let mut clock = SteadyClock::new(Duration::ZERO, YEAR_MS);
        for hour in 1..200 {
            let ahead_ms = if hour % 20 == 0 { 0 } else { YEAR_MS };
            assert_eq!(said(&mut clock, hour, ahead_ms), YEAR_MS + hour * HOUR_MS);
        }
    }

    #[test]
    fn a_clock_that_is_set_back_makes_nothing_old_either() {
        let mut clock = SteadyClock::new(Duration::ZERO, YEAR_MS);
        assert_eq!(clock.look(Duration::from_millis(HOUR_MS), 7), 7);
    }
}
