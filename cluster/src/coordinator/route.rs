//! Where an operation goes: to the leader of its group, wherever that is, again and again until patience is over.
//!
//! Invariant: what may have taken effect is reported as unknown, never as not done, whatever the last try said. Not here:
//! operations.

use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;

use super::Cluster;
use crate::error::Error;
use crate::gossip::Liveness;
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::{Refused, Replica};
use crate::node::exchange::ExchangeError;
use crate::node::message::{Ask, Refusal, Reply, Tell, question};
use crate::ring::RangeId;
use crate::world::{NodeId, Priority, World};

/// How long to wait before another try when nobody is known who could do better.
const PAUSE: Duration = Duration::from_millis(10);

/// A replica to try.
pub(super) enum Place {
    /// On this node.
    Here(Arc<Replica>),
    /// On another one.
    There(NodeId),
}

/// An answer of the wrong kind: what the question has done is not known.
pub(super) fn unexpected(node: NodeId) -> Refused {
    Refused::Unknown(format!("node {node} has answered something else"))
}

/// Ends a future when its time is over. Makes no timer for one that is ready at once.
pub(crate) async fn within<T>(
    world: &Arc<dyn World>,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = None;
    std::future::poll_fn(move |context| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(output));
        }
        let sleep = sleep.get_or_insert_with(|| world.sleep(patience));
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}

impl Cluster {
    /// Tries an operation where the leader is thought to be, or on any replica.
    pub(super) async fn route<T>(
        &self,
        group: u32,
        leader: bool,
        mut attempt: impl AsyncFnMut(Place, Duration) -> Result<T, Refused>,
    ) -> Result<T, Error> {
        let world = &self.node.surroundings.world;
        let mut begun: Option<Duration> = None;
        let (mut hint, mut tried) = (None, 0_usize);
        let mut unknown: Option<String> = None;
        loop {
            let patience = self.node.settings.timing.patience();
            // The clock is asked when the first try was not enough.
            let left = begun.map_or(patience, |begun| {
                patience.saturating_sub(world.now().saturating_sub(begun))
            });
            let place = self.place(group, leader, hint.take(), tried);
            let cause = match place {
                None => "no replica is known to be reachable".to_owned(),
                Some(place) => {
                    let outcome = within(world, left, attempt(place, left)).await;
                    match outcome {
                        Some(Ok(output)) => return Ok(output),
                        Some(Err(Refused::Finally(error))) => return Err(error),
                        Some(Err(Refused::NotLeader(elsewhere))) => {
                            hint = elsewhere;
                            "the range has no leader".to_owned()
                        }
                        Some(Err(Refused::NotNow(cause))) => cause,
                        Some(Err(Refused::Unknown(cause))) => {
                            unknown = Some(cause.clone());
                            cause
                        }
                        None => {
                            let cause = "too few replicas have answered in time".to_owned();
                            unknown = Some(cause.clone());
                            cause
                        }
                    }
                }
            };
            tried += 1;
            let begun = *begun.get_or_insert_with(|| world.now());
            if world.now().saturating_sub(begun) >= patience || left.is_zero() {
                return Err(match unknown {
                    Some(cause) if leader => Error::OutcomeUnknown { cause },
                    _ => Error::Unavailable { cause },
                });
            }
            if hint.is_none() {
                world.sleep(PAUSE).await;
            }
        }
    }

    /// Where to try: who was named; what this node's replica knows; the replicas in turn.
    fn place(&self, group: u32, leader: bool, hint: Option<NodeId>, tried: usize) -> Option<Place> {
        let me = self.node.settings.node;
        let here = self.node.replica(group);
        let known = here.as_ref().and_then(|replica| replica.leader());
        if let Some(node) = hint.or(known.filter(|_| leader)) {
            return if node == me { here.map(Place::Here) } else { Some(Place::There(node)) };
        }
        let nodes = self.nodes_of(group);
        let alive: Vec<_> = nodes.iter().filter(|node| self.is_alive(**node)).collect();
        let node = **alive.get(tried.checked_rem(alive.len())?)?;
        if node == me {
            return here.map(Place::Here);
        }
        Some(Place::There(node))
    }

    fn is_alive(&self, node: NodeId) -> bool {
        let liveness = self.node.gossip.get().and_then(|gossip| gossip.liveness(node));
        node == self.node.settings.node || liveness != Some(Liveness::Down)
    }

    /// The nodes of a group's members, the preferred leader first.
    pub(super) fn nodes_of(&self, group: u32) -> Vec<NodeId> {
        if group == METADATA_GROUP {
            let founders = self.node.settings.founders.iter();
            return founders.map(|founder| founder.node).collect();
        }
        let Some(layout) = self.node.layout() else {
            return Vec::new();
        };
        let replicas = layout.replicas(RangeId(group - 1)).iter();
        replicas.map(|replica| replica.node).collect()
    }

    /// Asks another node.
    pub(super) async fn ask(&self, node: NodeId, ask: Ask, patience: Duration) -> Result<Tell, Refused> {
        let answer = self
            .node
            .exchange
            .request(node, Priority::Urgent, question(ask), patience)
            .await;
        let bytes = answer.map_err(|error| match error {
            ExchangeError::TooMany { .. } | ExchangeError::TooLong { .. } | ExchangeError::Closed => {
                Refused::NotNow(error.to_string())
            }
            ExchangeError::NoAnswer { .. } | ExchangeError::PeerDown { .. } | ExchangeError::NotServed { .. } => {
                Refused::Unknown(error.to_string())
            }
        })?;
        match Reply::decode(bytes) {
            Ok(Reply {
                tell: Some(Tell::Refused(refusal)),
            }) => Err(Refusal::read(refusal, node)),
            Ok(Reply { tell: Some(tell) }) => Ok(tell),
            Ok(Reply { tell: None }) | Err(_) => Err(unexpected(node)),
        }
    }
}
