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
use crate::world::World;

/// How often old rows are looked for.
const LOOK: Duration = Duration::from_secs(30);
/// How many rows are forgotten at once. One after the other they would wait for a sync and a majority each, and more would come
/// than go.
const FORGOTTEN_AT_ONCE: usize = 64;

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
        let Some(clock) = node
            .upgrade()
            .map(|node| SteadyClock::new(&*node.surroundings.world))
        else {
            return;
        };
        loop {
            let sleep = {
                let Some(node) = node.upgrade() else { return };
                node.surroundings.world.sleep(LOOK)
            };
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            let now_ms = clock.unix_ms(&*node.surroundings.world);
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
/// the clock that does not jump.
struct SteadyClock {
    began_ms: u64,
    began: Duration,
}

impl SteadyClock {
    fn new(world: &dyn World) -> Self {
        Self {
            began_ms: world.unix_ms(),
            began: world.now(),
        }
    }

    /// In milliseconds since the Unix epoch.
    fn unix_ms(&self, world: &dyn World) -> u64 {
        let passed = world.now().saturating_sub(self.began).as_millis();
        let steady_ms = u64::try_from(passed).map_or(u64::MAX, |passed| self.began_ms.saturating_add(passed));
        world.unix_ms().min(steady_ms)
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
