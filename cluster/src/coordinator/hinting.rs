//! Writes at ONE to ranges without a majority: kept as hints, and delivered when there is one.
//!
//! Invariant: a hint is acknowledged when it is durable on this node; hints of a group are delivered in the order in which
//! they were kept, each under its invocation id, and the next one when the one before it stands. One that its range may have taken
//! already and forgotten is given up, and no other one. Not here: how hints lie on disk (`hints.rs`), what the range remembers (`group/invocations.rs`).

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
    /// `is_tried` says whether it may have taken effect already.
    pub(super) async fn hint<A: Applier>(
        &self,
        group: u32,
        target: Target<'_>,
        (options, asked_ms, is_tried): (&WriteOptions, u64, bool),
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
        // Others may have tried it elsewhere.
        let is_tried = is_tried || invocation.is_repeated;
        Some(match self.node.hints.add(group, &hint, is_tried).await {
            Ok(()) => Ok(answer),
            Err(HintError::Storage(error)) => Err(error.into()),
            Err(error @ (HintError::Full { .. } | HintError::Malformed(_))) => Err(Error::Unavailable {
                cause: error.to_string(),
            }),
        })
    }

    /// Delivers hints as long as the node is there.
    pub(crate) async fn deliver_hints(node: Weak<Node>) {
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
                    cluster.deliver(group).await;
                }
            }
        }
    }

    /// Delivers the hints of a group until one cannot be.
    async fn deliver(&self, group: u32) {
        loop {
            let hints = match self.node.hints.next(group, None, READ_BYTES) {
                Ok(hints) if hints.is_empty() => return,
                Ok(hints) => hints,
                Err(error) => return tracing::error!(group, %error, "hints cannot be read"),
            };
            for (sequence, hint) in hints {
                let now_ms = self.node.surroundings.world.unix_ms();
                let tried_ms = self.node.hints.begin_try(group, sequence, now_ms);
                match self.write_encoded(group, (&hint, remember_since(tried_ms))).await {
                    Ok(_) => self.node.hints.delivered(group, sequence),
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
            if let Some(answer) = route.settle_write(outcome)? {
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

/// Since when the range of a hint has to remember its requests, so that the hint cannot take effect twice: since it was first tried. Of
/// one that never was it need not remember anything.
fn remember_since(tried_ms: Option<u64>) -> u64 {
    tried_ms.map_or(u64::MAX, |tried_ms| tried_ms.max(1))
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
    use crate::command::MalformedCommand;
    use crate::derive::Unfit;

    #[test]
    fn a_range_need_not_remember_anything_for_a_hint_that_was_never_tried() {
        assert_eq!(remember_since(None), u64::MAX);
        assert_eq!(remember_since(Some(7)), 7);
        assert_eq!(remember_since(Some(0)), 1, "0 stands for no hint");
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
