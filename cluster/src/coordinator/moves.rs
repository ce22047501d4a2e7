//! The steward: moves replicas to where they are to be.
//!
//! It is a task of the node that leads group 0, and remembers nothing that matters: what is to be done follows from the plan,
//! from what gossip says of nodes and from what the leaders of groups say of their members, so that each step can be taken
//! again, by whoever leads then. What others have to be asked for are errands, of which none waits for another one.
//! Invariant: two moves of a node go on at most, and one of a range; the plan follows what the groups say of themselves, never
//! the other way round; a replica is removed only when the leader of its group says that it is no member. Not here: what is to be
//! where (`ring/`), what may be under way (`decide.rs`), which step comes next (`step.rs`), asking (`errand.rs`, `ask.rs`), what nodes do
//! (`node/replicas.rs`).

mod ask;
mod change;
mod decide;
mod errand;
mod memory;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::mem;
use std::sync::Weak;
use std::time::Duration;

use futures_util::future::join_all;

use self::decide::{admit, is_known, may_keep_hints};
use self::errand::{About, Brought, Taken};
use self::memory::Memory;
use super::Cluster;
use crate::error::Error;
use crate::gossip::{Gossiper, Liveness};
use crate::group::apply::METADATA_GROUP;
use crate::group::members::GroupStatus;
use crate::node::{Node, group_of};
use crate::ring::{Layout, Move, NodeStanding, Plan, RangeId, Replica};
use crate::world::NodeId;

/// How often the steward looks when something is under way, and how long it waits before it asks for the same again.
const LOOK: Duration = Duration::from_millis(50);

/// The same for somebody who has not answered or not done what was asked for.
const LOOK_AGAIN: Duration = Duration::from_millis(500);

/// And when nothing is.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// How often it looks for what a node has lost that says that it has, after the first time.
const LOST_EVERY: Duration = Duration::from_secs(10);

/// How often it looks for replicas that nobody knows of.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// Groups that are asked at a time how they stand.
const GROUPS_AT_ONCE: usize = 16;

impl Cluster {
    /// Moves replicas as long as the node is there, whenever it leads group 0.
    pub(crate) async fn steward(node: Weak<Node>) {
        let mut memory = Memory::default();
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                let leads = (node.replica(METADATA_GROUP)).is_some_and(|replica| replica.is_leader());
                let cluster = Self { node };
                let mut pause = IDLE_LOOK;
                if leads {
                    match Box::pin(cluster.look(&mut memory)).await {
                        Ok(true) => pause = LOOK,
                        Ok(false) => {}
                        Err(error) => tracing::debug!(%error, "moves of replicas do not go on yet"),
                    }
                } else {
                    memory = Memory::default();
                }
                cluster.node.surroundings.world.sleep(pause)
            };
            memory.wait(pause).await;
        }
    }

    /// Follows from what errands have brought, and begins the next ones; says whether there is more to do.
    async fn look(&self, memory: &mut Memory) -> Result<bool, Error> {
        self.catch_up_metadata().await?;
        let Some(plan) = self.node.read_plan()? else {
            return Ok(false);
        };
        let alive = self.alive();
        tracing::trace!(
            epoch = plan.epoch(),
            moves = plan.pending().len(),
            ?alive,
            "the steward looks"
        );
        let mut next = plan.clone();
        for (about, brought) in mem::take(&mut memory.brought) {
            self.take_over(&mut next, about, brought, memory)?;
        }
        self.look_at_nodes(&mut next, &alive, memory)?;
        if next.epoch() != plan.epoch() {
            return self.put_plan(&plan, &next).await.map(|_| true);
        }
        if let Some(next) = plan.aim(&self.keeping_hints(plan.epoch())).map_err(plan_error)? {
            return self.aim(&plan, next, memory).await.map(|()| true);
        }
        self.begin_errands(&plan, &alive, memory);
        memory.errands.forget_waits(self.now());
        let is_moving = !plan.pending().is_empty() || !memory.leftovers.is_empty();
        Ok(is_moving || memory.errands.is_any_but(About::Metadata))
    }

    fn now(&self) -> Duration {
        self.node.surroundings.world.now()
    }

    /// Has the plan be as it should be.
    async fn aim(&self, plan: &Plan, next: Plan, memory: &mut Memory) -> Result<(), Error> {
        // What was under way counts as it has ended: the next target is placed from where replicas are.
        let mut seen = plan.clone();
        let pending = plan.pending();
        for moves in pending.chunks(GROUPS_AT_ONCE) {
            let asked_at = self.now();
            let asked = moves
                .iter()
                .map(async |step| (step.range, self.group_status(group_of(step.range)).await));
            for (range, status) in join_all(asked).await {
                match status {
                    Ok(status) => Self::observe(&mut seen, range, (&status, asked_at), memory),
                    // One without a leader is seen later, and holds up no other one.
                    Err(error) => tracing::debug!(range = range.0, %error, "nobody says who the members are"),
                }
            }
        }
        if seen.epoch() != plan.epoch() {
            return self.put_plan(plan, &seen).await.map(drop);
        }
        tracing::info!(
            epoch = next.epoch(),
            moves = next.pending().len(),
            nodes = next.layout.nodes().len(),
            "replicas are to be elsewhere"
        );
        self.put_plan(plan, &next).await.map(drop)
    }

    /// Takes over what an errand has brought.
    fn take_over(
        &self,
        plan: &mut Plan,
        about: About,
        brought: Brought,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let now = self.now();
        match (about, brought) {
            (About::Range(range), Brought::Step(status, asked_at, taken)) => {
                Self::observe(plan, range, (&status, asked_at), memory);
                match taken {
                    Taken::Done => {}
                    Taken::Waits => memory.errands.wait(about, now + LOOK),
                    Taken::Refused => {
                        // Perhaps something is in the way.
                        memory.swept = None;
                        memory.held_up.insert(range, now);
                        memory.errands.wait(about, now + LOOK_AGAIN);
                    }
                }
            }
            (About::Metadata, Brought::Step(status, _, taken)) => {
                memory.take_over_metadata(plan, &status, taken);
                let pause = if taken == Taken::Waits { IDLE_LOOK } else { LOOK };
                memory.errands.wait(about, now + pause);
            }
            (About::Leftover(leftover), Brought::Leftover(None)) => {
                memory.leftovers.remove(&leftover);
            }
            (About::Leftover(leftover @ (_, group, _)), Brought::Leftover(Some((status, asked_at)))) => {
                memory.strays.remove(&leftover);
                if let Some(range) = group.checked_sub(1) {
                    Self::observe(plan, RangeId(range), (&status, asked_at), memory);
                }
                memory.errands.wait(about, now + LOOK);
            }
            (About::Lost(node), Brought::Lost(lost, is_metadata_lost)) => {
                let without = plan.replace(node, &lost, is_metadata_lost);
                if let Some(without) = without.map_err(plan_error)? {
                    let node = node.0;
                    tracing::info!(node, "a node that has lost its directory gets new replicas");
                    *plan = without;
                }
            }
            (About::Sweep, Brought::Held(inventories)) => memory.take_over_sweep(plan, &inventories),
            (about, _) => {
                memory.came_back_empty(about, now);
                memory.errands.wait(about, now + LOOK_AGAIN);
            }
        }
        Ok(())
    }

    /// Begins what there is to ask others for.
    fn begin_errands(&self, plan: &Plan, alive: &BTreeSet<u64>, memory: &mut Memory) {
        let (now, starts) = (self.now(), self.starts());
        let step = self
            .clone()
            .step_of_metadata(plan.metadata.clone(), alive.clone(), starts.clone());
        memory.errands.begin(About::Metadata, now, step);
        let pending = plan.pending();
        self.begin_looking_for_lost(plan, &pending, memory);
        for planned in admit(&pending, alive, |range| memory.is_held_up(range, now)) {
            let comes_to = planned.add.map(|replica| replica.node);
            if comes_to.is_some_and(|node| memory.errands.runs(About::Lost(node))) {
                // What it gets now would look as if it had been lost.
                continue;
            }
            let step = self.clone().step(planned, starts.clone());
            memory.errands.begin(About::Range(planned.range), now, step);
        }
        memory.forget_held_up(now);
        // The sweep finds it when the node is back.
        let strays = &memory.strays;
        memory.leftovers.retain(|leftover| {
            let (node, group, id) = *leftover;
            let is_within_reach = alive.contains(&node.0) || strays.contains(leftover);
            is_within_reach && !is_known(plan, group, Replica { node, id })
        });
        for leftover in &memory.leftovers {
            let errand = self.clone().remove_leftover(*leftover);
            memory.errands.begin(About::Leftover(*leftover), now, errand);
        }
        self.begin_sweep(plan, alive, memory);
    }

    /// Nodes that are there, as gossip has it.
    fn alive(&self) -> BTreeSet<u64> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let alive = members.iter().filter(|member| member.liveness == Liveness::Alive);
        let mut alive: BTreeSet<_> = alive.map(|member| member.node.0).collect();
        alive.insert(self.node.settings.node.0);
        alive
    }

    /// Nodes that keep hints, or may, as gossip has it. Nobody waits for one that is down: it may be gone for good.
    fn keeping_hints(&self, epoch: u64) -> BTreeSet<NodeId> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let there = members
            .into_iter()
            .filter(|member| member.liveness != Liveness::Down);
        let states = there.map(|member| (member.node, member.state));
        let me = (self.node.settings.node, Some(self.node.state()));
        let keeping = states
            .chain([me])
            .filter(|(_, state)| may_keep_hints(state.as_ref(), epoch));
        keeping.map(|(node, _)| node).collect()
    }

    /// How often nodes were started, as gossip has it.
    fn starts(&self) -> BTreeMap<NodeId, u64> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let starts = members.iter().map(|member| (member.node, member.incarnation));
        let mut starts: BTreeMap<_, _> = starts.collect();
        starts.insert(self.node.settings.node, self.node.incarnation());
        starts
    }

    /// Nodes that have been away for too long, or that have come back.
    fn look_at_nodes(
        &self,
        plan: &mut Plan,
        alive: &BTreeSet<u64>,
        memory: &mut Memory,
    ) -> Result<(), Error> {
        let now = self.now();
        let nodes: Vec<_> = plan.layout.nodes().keys().copied().collect();
        for node in nodes {
            let is_lost = plan.standings.get(&node) == Some(&NodeStanding::Lost);
            if alive.contains(&node.0) {
                memory.down_since.remove(&node);
                if is_lost && let Some(next) = plan.stay(node).map_err(plan_error)? {
                    tracing::info!(node = node.0, "a node that was held for lost is back");
                    *plan = next;
                }
                continue;
            }
            let since = *memory.down_since.entry(node).or_insert(now);
            let Some(after) = self.node.settings.moves.replace_after() else {
                continue;
            };
            if now.saturating_sub(since) >= after
                && let Some(next) = plan.lose(node)
            {
                tracing::warn!(
                    node = node.0,
                    "a node is away for so long that its ranges get replicas elsewhere"
                );
                *plan = next;
            }
        }
        Ok(())
    }

    /// Looks for the replicas that nodes have lost which say that they have lost some.
    fn begin_looking_for_lost(&self, plan: &Plan, pending: &[Move], memory: &mut Memory) {
        let now = self.now();
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        for member in members {
            let node = member.node;
            let is_rejoining = member.state.as_ref().is_some_and(|state| state.rejoining);
            if member.liveness != Liveness::Alive || !is_rejoining || plan.layout.node(node).is_none() {
                memory.looked_for_lost.remove(&node);
                continue;
            }
            let last = memory.looked_for_lost.get(&node);
            let is_fresh = |(start, at): &(u64, Duration)| {
                *start == member.incarnation && now.saturating_sub(*at) < LOST_EVERY
            };
            let is_getting = |planned: &Move| {
                planned.add.is_some_and(|replica| replica.node == node)
                    && memory.errands.runs(About::Range(planned.range))
            };
            if last.is_some_and(is_fresh) || pending.iter().any(is_getting) {
                continue;
            }
            let counted = plan.layout.replicas_on(node);
            let planned = plan.target.iter().flat_map(|target| target.replicas_on(node));
            let ranges: BTreeSet<_> = counted
                .chain(planned)
                .map(|(range, replica)| (range, replica.id))
                .collect();
            let metadata = plan.metadata.iter().find(|replica| replica.node == node);
            let metadata = metadata.map(|replica| replica.id);
            let errand = self.clone().lost_on(node, ranges.into_iter().collect(), metadata);
            if memory.errands.begin(About::Lost(node), now, errand) {
                memory.looked_for_lost.insert(node, (member.incarnation, now));
            }
        }
    }

    /// Takes over who the voters of a range are, as its group has said when it was asked at a time.
    fn observe(
        plan: &mut Plan,
        range: RangeId,
        (status, asked_at): (&GroupStatus, Duration),
        memory: &mut Memory,
    ) {
        let last = memory.observed.entry(range).or_default();
        if status.is_changing || *last > asked_at {
            return;
        }
        *last = asked_at;
        let before = plan.layout.replicas(range).to_vec();
        let voters: Vec<_> = (status.members.iter())
            .filter(|member| member.is_voter)
            .map(|member| Replica {
                node: member.node,
                id: member.replica.0,
            })
            .collect();
        if plan.observe(range, &voters) {
            for gone in before.iter().filter(|replica| !voters.contains(replica)) {
                memory.leftovers.insert((gone.node, group_of(range), gone.id));
            }
        }
    }

    /// Now and then looks for replicas that nobody knows of, whatever has left them there.
    fn begin_sweep(&self, plan: &Plan, alive: &BTreeSet<u64>, memory: &mut Memory) {
        let now = self.now();
        // What is to be, which stays the same while it is being reached.
        let aim = plan.target.as_ref().map_or(plan.epoch(), Layout::epoch);
        let is_due = memory.swept.as_ref().is_none_or(|(swept_at, before, nodes)| {
            now.saturating_sub(*swept_at) >= SWEEP_EVERY || *before != aim || nodes != alive
        });
        if !is_due {
            return;
        }
        let nodes = alive.iter().copied().map(NodeId).collect();
        let sweep = self.clone().held_by(nodes);
        // One that has just come back empty waits: it was not looked then.
        if memory.errands.begin(About::Sweep, now, sweep) {
            memory.swept = Some((now, aim, alive.clone()));
        }
    }
}

fn plan_error(error: impl Into<crate::ring::PlanError>) -> Error {
    Error::Plan(error.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::members::MemberStatus;
    use crate::raft::ReplicaId;
    use crate::ring::tests::first_plan;

    #[test]
    fn what_a_group_has_said_later_stays_when_an_earlier_question_is_answered() {
        let mut plan = first_plan(3, 1, 1);
        let mut memory = Memory::default();
        let range = RangeId(0);
        let said = |node, id| GroupStatus {
            leader: ReplicaId(id),
            is_changing: false,
            members: vec![MemberStatus {
                replica: ReplicaId(id),
                node: NodeId(node),
                is_voter: true,
                is_leaving: false,
                has_caught_up: true,
            }],
        };
        let mut observe = |status: &GroupStatus, asked_at| {
            let asked_at = Duration::from_secs(asked_at);
            Cluster::observe(&mut plan, range, (status, asked_at), &mut memory);
            plan.layout.replicas(range).to_vec()
        };
        let at = |node, id| {
            vec![Replica {
                node: NodeId(node),
                id,
            }]
        };
        assert_eq!(observe(&said(2, 8), 5), at(2, 8));
        assert_eq!(observe(&said(3, 7), 4), at(2, 8));
        assert_eq!(observe(&said(3, 9), 6), at(3, 9));
    }
}
