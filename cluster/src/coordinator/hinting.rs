//! Writes at ONE to ranges without a majority: kept as hints, and delivered when there is one.
//!
//! Invariant: a hint is acknowledged when it is durable on this node; hints of a group are delivered in the order in which
//! they were kept, each under its invocation id, and the next one when the one before it stands. One that its range may have taken
//! already and forgotten is given up. Not here: how hints lie on disk (`hints.rs`), what the range remembers (`group/invocations.rs`).

use std::collections::BTreeMap;
use std::sync::Weak;
use std::time::Duration;

use bytes::Bytes;

use super::Cluster;
use super::route::{Place, Route, unexpected};
use crate::command::{Applier, Commands, Invocation, WriteOptions};
use crate::error::Error;
use crate::gossip::Liveness;
use crate::group::replica::Refused;
use crate::group::write::{Encoded, Target};
use crate::hints::{Hint, HintError};
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::METADATA;
use crate::node::Node;
use crate::node::message::{Ask, Tell, Write};

/// How often hints look for a leader.
const LOOK: Duration = Duration::from_millis(200);

/// A hint of a group that is sent so soon after another one was delivered follows it closely.
const FOLLOWS_WITHIN: Duration = Duration::from_secs(10);

/// Hints that are read at once, in bytes.
const READ_BYTES: usize = 1 << 20;

impl Cluster {
    /// Whether gossip holds so many nodes of a group for down that no majority is left.
    pub(super) fn lacks_majority(&self, group: u32) -> bool {
        let nodes = self.nodes_of(group);
        let gossip = self.node.gossip.get();
        let is_down = |node| gossip.and_then(|gossip| gossip.liveness(node)) == Some(Liveness::Down);
        let down = nodes.iter().filter(|node| is_down(**node)).count();
        down * 2 >= nodes.len().max(1)
    }

    /// Whether this node knows that it leaves, or that others hold it for lost: then it keeps nothing more that it would have to hand on
    /// before.
    fn is_leaving(&self) -> bool {
        let placeable = self.node.placeable();
        // None are before it has heard of a plan.
        !placeable.is_empty() && !placeable.contains(&self.node.settings.node)
    }

    /// Keeps a write that was asked for at a time as a hint, if it may be answered without knowing the cell; `None` if not.
    pub(super) async fn hint<A: Applier>(
        &self,
        group: u32,
        target: Target<'_>,
        (options, asked_ms): (&WriteOptions, u64),
        command: &A,
    ) -> Option<Result<A::Answer, Error>> {
        let invocation = options.invocation?;
        if options.level != ConsistencyLevel::One || target.keyspace == METADATA || self.is_leaving() {
            return None;
        }
        let answer = command.answer_unseen()?;
        let mut bytes = Vec::new();
        command.encode(&mut bytes);
        let hint = Hint {
            at_ms: asked_ms,
            keyspace: target.keyspace,
            invocation: invocation.id,
            key: Bytes::copy_from_slice(target.key),
            command: bytes.into(),
        };
        Some(match self.node.hints.add(group, &hint).await {
            Ok(()) => Ok(answer),
            Err(HintError::Storage(error)) => Err(error.into()),
            Err(error @ (HintError::Full { .. } | HintError::Malformed(_))) => Err(Error::Unavailable {
                cause: error.to_string(),
            }),
        })
    }

    /// Delivers hints as long as the node is there.
    pub(crate) async fn deliver_hints(node: Weak<Node>) {
        // When a hint of each group was delivered last, by the steady clock and by the wall clock.
        let mut delivered = BTreeMap::new();
        loop {
            let sleep = {
                let Some(node) = node.upgrade() else { return };
                node.surroundings.world.sleep(LOOK)
            };
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            let cluster = Self { node };
            for group in cluster.node.hints.groups_waiting() {
                if !cluster.lacks_majority(group) {
                    cluster.deliver(group, &mut delivered).await;
                }
            }
        }
    }

    /// Delivers the hints of a group until one cannot be.
    async fn deliver(&self, group: u32, delivered: &mut BTreeMap<u32, (Duration, u64)>) {
        loop {
            let hints = match self.node.hints.next(group, None, READ_BYTES) {
                Ok(hints) if hints.is_empty() => return,
                Ok(hints) => hints,
                Err(error) => return tracing::error!(group, %error, "hints cannot be read"),
            };
            for (sequence, hint) in hints {
                let world = &self.node.surroundings.world;
                let (now, unix_ms) = (world.now(), world.unix_ms());
                let asked_ms = remember_since(&hint, delivered.get(&group), now);
                match self.write_encoded(group, (&hint, asked_ms)).await {
                    Ok(_) => {
                        delivered.insert(group, (now, unix_ms));
                        self.node.hints.delivered(group, sequence);
                    }
                    Err(error) if is_for_good(&error) => {
                        let (keyspace, at_ms) = (hint.keyspace, hint.at_ms);
                        tracing::warn!(
                            group, sequence, keyspace, at_ms, %error,
                            "a write that was acknowledged at ONE is given up, because its range refuses it for good"
                        );
                        self.node.hints.dropped(group, sequence);
                    }
                    Err(error) => return tracing::debug!(group, %error, "hints go on waiting"),
                }
            }
        }
    }

    async fn write_encoded(&self, group: u32, hint: (&Hint, u64)) -> Result<Bytes, Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let outcome = route
                .attempt(left, self.write_hint_at(place, left, group, hint))
                .await;
            if let Some(answer) = route.settle(outcome)? {
                return Ok(answer);
            }
        }
    }

    async fn write_hint_at(
        &self,
        place: Place,
        patience: Duration,
        group: u32,
        (hint, asked_ms): (&Hint, u64),
    ) -> Result<Bytes, Refused> {
        let target = Target {
            keyspace: hint.keyspace,
            key: &hint.key,
        };
        let options = WriteOptions {
            level: ConsistencyLevel::Quorum,
            // Others were made before it was kept.
            invocation: Some(Invocation::repeated(hint.invocation)),
        };
        match place {
            Place::Here(replica) => {
                let commands: &dyn Commands = &*self.node.surroundings.commands;
                let decision = Encoded {
                    commands,
                    command: &hint.command,
                    asked_ms: Some(asked_ms),
                };
                replica.write(target, &options, &decision).await
            }
            Place::There(node) => {
                let write = Write {
                    asked_ms,
                    ..Write::new(group, target, &options, hint.command.clone())
                };
                match self.ask(node, Ask::Write(write), patience).await? {
                    Tell::Written(answer) => Ok(answer),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }
}

/// Since when the range of a hint has to remember its requests, so that this one cannot take effect twice: since it was asked for, or
/// since one before it was delivered at `last`, which would not have been if it had been too late for this one already. A range
/// forgets when many hints of it are delivered; of those that follow closely none has been tried in between.
fn remember_since(hint: &Hint, last: Option<&(Duration, u64)>, now: Duration) -> u64 {
    let asked_ms = hint.at_ms.max(1);
    match last {
        Some((last, _)) if now.saturating_sub(*last) < FOLLOWS_WITHIN => u64::MAX,
        Some((_, last_ms)) => asked_ms.max(*last_ms),
        None => asked_ms,
    }
}

/// Whether no later try of a hint can succeed, so that it would only be in the way of those behind it.
fn is_for_good(error: &Error) -> bool {
    matches!(
        error,
        Error::NoSuchKeyspace | Error::MalformedCommand(_) | Error::Unfit(_)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{InvocationId, MalformedCommand};
    use crate::derive::Unfit;

    #[test]
    fn a_range_need_not_remember_more_for_a_hint_that_follows_closely_on_another_one() {
        let hint = Hint {
            at_ms: 7,
            keyspace: 1,
            invocation: InvocationId::hashed(b"hint"),
            key: Bytes::new(),
            command: Bytes::new(),
        };
        let now = Duration::from_secs(100);
        let since = |last: Option<(Duration, u64)>| remember_since(&hint, last.as_ref(), now);
        assert_eq!(since(None), 7);
        assert_eq!(since(Some((now - FOLLOWS_WITHIN / 2, 9))), u64::MAX);
        assert_eq!(since(Some((now - FOLLOWS_WITHIN, 9))), 9, "not so closely");
        assert_eq!(since(Some((now - FOLLOWS_WITHIN, 5))), 7);
    }

    #[test]
    fn a_hint_waits_for_whatever_may_pass() {
        let (cause, detail, reason) = (String::new(), String::new(), String::new());
        let for_good = [
            Error::NoSuchKeyspace,
            Error::MalformedCommand(MalformedCommand { detail }),
            Error::Unfit(Unfit { code: 1, reason }),
        ];
        assert!(for_good.iter().all(is_for_good));
        let may_pass = [
            Error::TransactionConflict,
            Error::Unavailable { cause: cause.clone() },
            Error::OutcomeUnknown { cause: cause.clone() },
            Error::Invalid { cause },
        ];
        assert!(!may_pass.iter().any(is_for_good));
    }
}
