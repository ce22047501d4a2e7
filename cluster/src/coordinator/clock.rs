//! How far the clocks of nodes are from each other.
//!
//! Each node asks the others what time it is. The answer was given between the question and its arrival here; taking the middle of
//! the two, as NTP does when both ways are equally long, is wrong by half the round trip at most. Invariant: nothing is decided by
//! what is found; it is for whoever looks after the clocks.

use std::time::Duration;

use futures_util::future::join_all;

use super::Cluster;
use crate::gossip::{Gossiper, Liveness};
use crate::node::message::{Ask, Tell};
use crate::world::NodeId;

/// How long an answer may take. One that takes longer would say little.
const PATIENCE: Duration = Duration::from_secs(1);

/// At most so many nodes are asked: those with the lowest numbers.
const NODES_MAX: usize = 256;

/// What a look at another node's clock has found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockOffset {
    /// That node.
    pub node: NodeId,
    /// By how many milliseconds its clock is ahead of this node's; negative when it is behind.
    pub ahead_ms: i64,
    /// By how much that may be wrong.
    pub error: Duration,
}

impl Cluster {
    /// Asks all other nodes that are alive for the time; those that do not answer at once are left out.
    pub async fn clock_offsets(&self) -> Vec<ClockOffset> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let me = self.node.settings.node;
        let others = members
            .iter()
            .filter(|member| member.node != me && member.liveness == Liveness::Alive);
        let mut others: Vec<NodeId> = others.map(|member| member.node).collect();
        others.sort_unstable();
        others.truncate(NODES_MAX);
        let asked = others.into_iter().map(|node| self.clock_offset(node));
        join_all(asked).await.into_iter().flatten().collect()
    }

    async fn clock_offset(&self, node: NodeId) -> Option<ClockOffset> {
        let world = &self.node.surroundings.world;
        let (begun, begun_ms) = (world.now(), world.unix_ms());
        let Ok(Tell::Index(told_ms)) = self.ask(node, Ask::Clock(true), PATIENCE).await else {
            return None;
        };
        let error = world.now().saturating_sub(begun) / 2;
        let middle_ms = begun_ms.saturating_add(u64::try_from(error.as_millis()).ok()?);
        let signed = |ms| i64::try_from(ms).ok();
        Some(ClockOffset {
            node,
            ahead_ms: signed(told_ms)?.saturating_sub(signed(middle_ms)?),
            error,
        })
    }
}
