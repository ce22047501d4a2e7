//! The steward: moves replicas to where they are to be.
//!
//! It is a task of the node that leads group 0, and remembers nothing that matters: what is to be done follows from the plan,
//! from what gossip says of nodes and from what the leaders of groups say of their members, so that each step can be taken
//! again, by whoever leads then. Invariant: two moves of a node are under way at most, and one of a range; the plan follows what the
//! groups say of themselves, never the other way round; a replica is removed only when the leader of its group says that it
//! is no member. Not here: what is to be where (`ring/`), which step comes next (`step.rs`), what nodes do
//! (`node/replicas.rs`).

mod change;
mod step;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Weak;
use std::time::Duration;

use self::step::{Step, step_of_metadata, step_of_move};
use super::Cluster;
use super::route::{Place, Route, unexpected};
use crate::error::Error;
use crate::gossip::{Gossiper, Liveness};
use crate::group::apply::METADATA_GROUP;
use crate::group::members::GroupStatus;
use crate::group::replica::Refused;
use crate::node::message::moves::{ChangeMembers, Hosting, Inventory, ReplicaOf};
use crate::node::message::{Ask, Tell};
use crate::node::{Node, group_of};
use crate::raft::{MemberChange, ReplicaId};
use crate::ring::{Layout, Move, NodeStanding, Plan, RangeId, Replica};
use crate::world::NodeId;

/// How often the steward looks when something is under way.
const LOOK: Duration = Duration::from_millis(100);

/// And when nothing is.
const IDLE_LOOK: Duration = Duration::from_secs(1);

/// How often it looks for replicas that nobody knows of.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// How long another node may take for a step.
const PATIENCE: Duration = Duration::from_secs(5);

/// Moves of a node that are under way at a time, coming and going each.
const MOVES_OF_A_NODE: usize = 2;

/// What the steward keeps in mind between two looks. Nothing depends on it but time.
#[derive(Debug, Default)]
struct Memory {
    /// Since when nodes are down.
    down_since: BTreeMap<NodeId, Duration>,
    /// Replicas that have gone from a range and are to be removed.
    leftovers: BTreeSet<(NodeId, u32, u64)>,
    /// When that was last looked for, with which aim, and on which nodes.
    swept: Option<(Duration, u64, BTreeSet<u64>)>,
}

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
            pause.await;
        }
    }

    /// Takes the next steps; says whether there is more to do.
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
        if let Some(next) = self.look_at_nodes(&plan, &alive, memory).await? {
            return self.put_plan(&plan, &next).await.map(|_| true);
        }
        if let Some(next) = plan.aim().map_err(plan_error)? {
            // What was under way counts as it has ended: the next target is placed from where replicas are.
            let mut seen = plan.clone();
            for step in plan.pending() {
                let status = self.group_status(group_of(step.range)).await?;
                Self::observe(&mut seen, step.range, &status, memory);
            }
            if seen.epoch() != plan.epoch() {
                return self.put_plan(&plan, &seen).await.map(|_| true);
            }
            tracing::info!(
                epoch = next.epoch(),
                moves = next.pending().len(),
                nodes = next.layout.nodes().len(),
                "replicas are to be elsewhere"
            );
            return self.put_plan(&plan, &next).await.map(|_| true);
        }
        let is_metadata_busy = self.look_at_metadata(&plan, &alive, memory).await?;
        let mut next = plan.clone();
        let is_moving = self.look_at_moves(&plan, &mut next, &alive, memory).await;
        self.remove_leftovers(&mut next, &alive, memory).await;
        if next.epoch() != plan.epoch() && !self.put_plan(&plan, &next).await? {
            return Ok(true);
        }
        self.sweep(&next, &alive, memory).await?;
        Ok(is_metadata_busy || is_moving || !memory.leftovers.is_empty())
    }

    /// Nodes that are there, as gossip has it.
    fn alive(&self) -> BTreeSet<u64> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let alive = members.iter().filter(|member| member.liveness == Liveness::Alive);
        let mut alive: BTreeSet<_> = alive.map(|member| member.node.0).collect();
        alive.insert(self.node.settings.node.0);
        alive
    }

    /// How often nodes were started, as gossip has it.
    fn starts(&self) -> BTreeMap<NodeId, u64> {
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        let starts = members.iter().map(|member| (member.node, member.incarnation));
        let mut starts: BTreeMap<_, _> = starts.collect();
        starts.insert(self.node.settings.node, self.node.incarnation());
        starts
    }

    /// Nodes that have been away for too long, that have come back, or that have lost what they had.
    async fn look_at_nodes(
        &self,
        plan: &Plan,
        alive: &BTreeSet<u64>,
        memory: &mut Memory,
    ) -> Result<Option<Plan>, Error> {
        let now = self.node.surroundings.world.now();
        for node in plan.layout.nodes().keys() {
            let is_alive = alive.contains(&node.0);
            let is_lost = plan.standings.get(node) == Some(&NodeStanding::Lost);
            if is_alive {
                memory.down_since.remove(node);
                if is_lost {
                    tracing::info!(node = node.0, "a node that was held for lost is back");
                    return plan.stay(*node).map_err(plan_error);
                }
                continue;
            }
            let since = *memory.down_since.entry(*node).or_insert(now);
            let Some(after) = self.node.settings.moves.replace_after() else {
                continue;
            };
            if now.saturating_sub(since) >= after
                && let Some(next) = plan.lose(*node)
            {
                tracing::warn!(
                    node = node.0,
                    "a node is away for so long that its ranges get replicas elsewhere"
                );
                return Ok(Some(next));
            }
        }
        let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
        for member in members {
            let is_rejoining = member.state.as_ref().is_some_and(|state| state.rejoining);
            let is_known = plan.layout.node(member.node).is_some();
            if member.liveness != Liveness::Alive || !is_rejoining || !is_known {
                continue;
            }
            let (lost, is_metadata_lost) = self.lost_on(plan, member.node).await?;
            let next = plan
                .replace(member.node, &lost, is_metadata_lost)
                .map_err(plan_error)?;
            if next.is_some() {
                tracing::info!(
                    node = member.node.0,
                    "a node that has lost its directory gets new replicas"
                );
                return Ok(next);
            }
        }
        Ok(None)
    }

    /// The replicas that a node has lost: those that are members of their groups and that it does not have. One that is no member
    /// yet is still to be brought.
    async fn lost_on(&self, plan: &Plan, node: NodeId) -> Result<(BTreeSet<(RangeId, u64)>, bool), Error> {
        let held = self.inventory(node).await?.replicas;
        let holds = |group, id| {
            let mut held = held.iter();
            held.any(|held| (held.group, held.replica) == (group, id))
        };
        let counted = plan.layout.replicas_on(node);
        let planned = plan.target.iter().flat_map(|target| target.replicas_on(node));
        let missing: BTreeSet<_> = counted
            .chain(planned)
            .map(|(range, replica)| (range, replica.id))
            .filter(|(range, id)| !holds(group_of(*range), *id))
            .collect();
        let mut lost = BTreeSet::new();
        for (range, id) in missing {
            if self.is_member(group_of(range), id).await? {
                lost.insert((range, id));
            }
        }
        let metadata = plan.metadata.iter().find(|replica| replica.node == node);
        let is_metadata_lost = match metadata {
            Some(replica) if !holds(METADATA_GROUP, replica.id) => {
                self.is_member(METADATA_GROUP, replica.id).await?
            }
            _ => false,
        };
        Ok((lost, is_metadata_lost))
    }

    async fn is_member(&self, group: u32, id: u64) -> Result<bool, Error> {
        let status = self.group_status(group).await?;
        Ok(status.members.iter().any(|member| member.replica.0 == id))
    }

    async fn inventory(&self, node: NodeId) -> Result<Inventory, Error> {
        let ask = Ask::Inventory(true);
        match self
            .ask_node(node, ask, PATIENCE)
            .await
            .map_err(Refused::of_what_repeats)?
        {
            Tell::Inventory(inventory) => Ok(inventory),
            _ => Err(unexpected(node).of_what_repeats()),
        }
    }

    /// Asks a node, which may be this one.
    async fn ask_node(&self, node: NodeId, ask: Ask, patience: Duration) -> Result<Tell, Refused> {
        if node == self.node.settings.node {
            // Whatever can be asked is in this future, and moves are rare.
            return Box::pin(self.node.carry_out(ask)).await;
        }
        self.ask(node, ask, patience).await
    }

    /// Asks the leader of a group, wherever it is; says also which node that is.
    pub(crate) async fn ask_leader<T>(
        &self,
        group: u32,
        ask: impl Fn() -> Ask,
        read: impl Fn(Tell) -> Option<T>,
    ) -> Result<(NodeId, T), Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let node = match &place {
                Place::Here(_) => self.node.settings.node,
                Place::There(node) => *node,
            };
            let outcome = route.attempt(left, self.ask_node(node, ask(), left)).await;
            if let Some(tell) = route.settle(outcome)? {
                return match read(tell) {
                    Some(answer) => Ok((node, answer)),
                    None => Err(unexpected(node).of_what_repeats()),
                };
            }
        }
    }

    /// The members of a group, as its leader has them.
    async fn group_status(&self, group: u32) -> Result<GroupStatus, Error> {
        let read = |tell| match tell {
            Tell::GroupStatus(status) => Some(status.read()),
            _ => None,
        };
        let asked = self.ask_leader(group, || Ask::GroupStatus(group), read).await?;
        Ok(asked.1)
    }

    /// The next step of the metadata group; says whether something is under way.
    async fn look_at_metadata(
        &self,
        plan: &Plan,
        alive: &BTreeSet<u64>,
        memory: &mut Memory,
    ) -> Result<bool, Error> {
        let starts = self.starts();
        let status = self.group_status(METADATA_GROUP).await?;
        let step = step_of_metadata(&status, &plan.metadata, alive);
        match step {
            Step::Done | Step::Wait => Ok(false),
            step => {
                for gone in &status.members {
                    if !plan.metadata.iter().any(|replica| replica.id == gone.replica.0) {
                        memory
                            .leftovers
                            .insert((gone.node, METADATA_GROUP, gone.replica.0));
                    }
                }
                if let Err(error) = self.take(METADATA_GROUP, step, &starts).await {
                    tracing::debug!(%error, ?step, "a step of the metadata group was not taken");
                    // Perhaps something is in the way.
                    memory.swept = None;
                }
                Ok(true)
            }
        }
    }

    /// The next steps of moves, as many as may be under way; what groups say of their voters goes into `next`. Says whether
    /// there is more to do.
    async fn look_at_moves(
        &self,
        plan: &Plan,
        next: &mut Plan,
        alive: &BTreeSet<u64>,
        memory: &mut Memory,
    ) -> bool {
        let pending = plan.pending();
        let admitted = admit(&pending, alive);
        for step in &admitted {
            let group = group_of(step.range);
            // Before the members are asked for: a node that loses its disk later is another one then.
            let starts = self.starts();
            let status = match self.group_status(group).await {
                Ok(status) => status,
                Err(error) => {
                    tracing::debug!(%error, group, "a range cannot be moved yet");
                    continue;
                }
            };
            Self::observe(next, step.range, &status, memory);
            match step_of_move(&status, step) {
                Step::Done | Step::Wait => {}
                step => {
                    if let Err(error) = self.take(group, step, &starts).await {
                        tracing::debug!(%error, group, ?step, "a step of a move was not taken");
                        memory.swept = None;
                    }
                }
            }
        }
        !pending.is_empty()
    }

    /// Takes over who the voters of a range are.
    fn observe(plan: &mut Plan, range: RangeId, status: &GroupStatus, memory: &mut Memory) {
        if status.is_changing {
            return;
        }
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

    /// Takes a step.
    async fn take(&self, group: u32, step: Step, starts: &BTreeMap<NodeId, u64>) -> Result<(), Error> {
        match step {
            Step::Bring(replica) => {
                let hosting = Hosting {
                    group,
                    replica: replica.id,
                    incarnation: starts.get(&replica.node).copied().unwrap_or_default(),
                };
                self.ask_node(replica.node, Ask::Host(hosting), PATIENCE)
                    .await
                    .map_err(Refused::of_what_repeats)?;
                let learn = MemberChange::Learn(ReplicaId(replica.id), replica.node);
                self.change(group, &learn).await
            }
            Step::Change(change) => self.change(group, &change).await,
            Step::HandOver => {
                let handed = self.ask_leader(group, || Ask::HandOver(group), Some).await;
                handed.map(drop)
            }
            Step::Wait | Step::Done => Ok(()),
        }
    }

    async fn change(&self, group: u32, change: &MemberChange) -> Result<(), Error> {
        tracing::debug!(group, ?change, "the members of a group are to change");
        let Some(wanted) = ChangeMembers::new(group, change) else {
            return Ok(());
        };
        let changed = self
            .ask_leader(group, || Ask::ChangeMembers(wanted.clone()), Some)
            .await;
        changed.map(drop)
    }

    /// Removes replicas that are no members any more.
    async fn remove_leftovers(&self, plan: &mut Plan, alive: &BTreeSet<u64>, memory: &mut Memory) {
        let leftovers: Vec<_> = memory.leftovers.iter().copied().collect();
        for leftover in leftovers {
            let (node, group, replica) = leftover;
            if !alive.contains(&node.0) {
                // The sweep finds it when the node is back.
                memory.leftovers.remove(&leftover);
                continue;
            }
            match self.remove_leftover(plan, (node, group, replica), memory).await {
                Ok(true) => {
                    memory.leftovers.remove(&leftover);
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::debug!(%error, group, node = node.0, "a replica cannot be removed yet");
                }
            }
        }
    }

    /// Says whether there is nothing left to do.
    async fn remove_leftover(
        &self,
        plan: &mut Plan,
        (node, group, id): (NodeId, u32, u64),
        memory: &mut Memory,
    ) -> Result<bool, Error> {
        let replica = Replica { node, id };
        let is_known = match group.checked_sub(1) {
            Some(range) => plan.knows(RangeId(range), replica),
            None => plan.metadata.contains(&replica),
        };
        if is_known {
            return Ok(true);
        }
        let status = self.group_status(group).await?;
        if let Some(member) = status.members.iter().find(|member| member.replica.0 == id) {
            if member.is_voter || member.is_leaving {
                // A step that came late has put it there; what the group says counts.
                if let Some(range) = group.checked_sub(1) {
                    Self::observe(plan, RangeId(range), &status, memory);
                }
                return Ok(false);
            }
            self.change(group, &MemberChange::Forget(member.replica)).await?;
            return Ok(false);
        }
        let ask = Ask::Discard(ReplicaOf { group, replica: id });
        self.ask_node(node, ask, PATIENCE)
            .await
            .map_err(Refused::of_what_repeats)?;
        Ok(true)
    }

    /// Now and then looks for replicas that nobody knows of, whatever has left them there.
    async fn sweep(&self, plan: &Plan, alive: &BTreeSet<u64>, memory: &mut Memory) -> Result<(), Error> {
        let now = self.node.surroundings.world.now();
        // What is to be, which stays the same while it is being reached.
        let aim = plan.target.as_ref().map_or(plan.epoch(), Layout::epoch);
        let is_due = memory.swept.as_ref().is_none_or(|(swept_at, before, nodes)| {
            now.saturating_sub(*swept_at) >= SWEEP_EVERY || *before != aim || nodes != alive
        });
        if !is_due {
            return Ok(());
        }
        for node in alive.iter().copied().map(NodeId) {
            for held in self.inventory(node).await?.replicas {
                let replica = Replica {
                    node,
                    id: held.replica,
                };
                let is_known = match held.group.checked_sub(1) {
                    Some(range) => plan.knows(RangeId(range), replica),
                    None => plan.metadata.contains(&replica),
                };
                if !is_known {
                    memory.leftovers.insert((node, held.group, held.replica));
                }
            }
        }
        memory.swept = Some((now, aim, alive.clone()));
        Ok(())
    }
}

/// The moves that may be under way now: those to nodes that are there, in order, with no more of a node than it can bear.
fn admit(pending: &[Move], alive: &BTreeSet<u64>) -> Vec<Move> {
    let mut busy = BTreeMap::<(NodeId, bool), usize>::new();
    let mut ranges = BTreeSet::new();
    let mut admitted = Vec::new();
    for step in pending {
        let ends = [
            step.add.map(|replica| (replica.node, true)),
            step.remove.map(|replica| (replica.node, false)),
        ];
        let ends: Vec<_> = ends.into_iter().flatten().collect();
        let is_there = step.add.is_none_or(|replica| alive.contains(&replica.node.0));
        let has_room = |end: &(NodeId, bool)| busy.get(end).copied().unwrap_or_default() < MOVES_OF_A_NODE;
        if !is_there || ranges.contains(&step.range) || !ends.iter().all(has_room) {
            continue;
        }
        ranges.insert(step.range);
        for end in ends {
            *busy.entry(end).or_default() += 1;
        }
        admitted.push(*step);
    }
    admitted
}

fn plan_error(error: impl Into<crate::ring::PlanError>) -> Error {
    Error::Plan(error.into())
}
