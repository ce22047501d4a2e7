//! What happens on a node as time passes: ticks of its groups, and what follows from changes of group 0.
//!
//! Invariant: heartbeats of all groups for one node go out as one message. Not here: what a tick does (`group/`).

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::load::LOAD_EVERY_TICKS;
use super::message::Metadata;
use super::settings::Surroundings;
use super::{Node, group_of};
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::formats::FORMATS_WRITING_TERMS;
use crate::gossip::{Liveness, Member};
use crate::group::apply::METADATA_GROUP;
use crate::group::rest::{Peer, Peers, Stir};
use crate::metadata::keyspaces::Lookup;
use crate::metadata::rows::{OwnRow, plan_of};
use crate::ring::{Layout, Plan, RangeId};
use crate::status::MovesStatus;

/// How often a node looks at what it says of itself.
const STANDING_EVERY_TICKS: u64 = 10;

/// What concerns groups that rest, as it was at the last look.
#[derive(Debug, Default)]
struct Seen {
    peers: Peers,
    frames: u64,
    /// Whether the log has grown between the last two looks at it.
    has_logged: bool,
}

impl Seen {
    /// What has happened since the last tick. The log is looked at now and then only.
    fn look(&mut self, ticks: u64, peers: Peers, frames: impl FnOnce() -> u64) -> Stir {
        let have_changed = self.peers != peers;
        self.peers = peers;
        if ticks.is_multiple_of(Stir::LOG_LOOK_TICKS) {
            let frames = frames();
            self.has_logged = frames != self.frames;
            self.frames = frames;
        }
        Stir {
            peers: have_changed,
            log: self.has_logged,
        }
    }
}

impl Node {
    /// Ticks as long as the node is there.
    pub(super) async fn tick(node: Weak<Self>) {
        let mut surroundings = Seen::default();
        for ticks in 1_u64.. {
            let sleep = {
                let Some(node) = node.upgrade() else { return };
                let world = &node.surroundings.world;
                world.sleep(node.settings.timing.tick())
            };
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            if let Some(cause) = node.engine.failure() {
                // What has failed may be in the background, where nobody waits for it; and who leads on a dead disk must not
                // go on saying so.
                return node.host.fail(cause);
            }
            let stir = surroundings.look(ticks, node.peers(), || node.engine.log_frames());
            for (group, replica) in (0..).zip(node.replicas().iter()) {
                // Nearly all groups of a large cluster are done here.
                if node.host.resting.contains(group) && !stir.concerns(group, ticks) {
                    continue;
                }
                let Some(replica) = replica else { continue };
                replica.tick(&surroundings.peers);
                if replica.is_outdated() && !replica.is_retired() {
                    node.begin_refill(replica);
                }
            }
            node.exchange.flush();
            node.look_at_metadata();
            if ticks % LOAD_EVERY_TICKS == 1 {
                node.look_at_load();
            }
            if ticks.is_multiple_of(STANDING_EVERY_TICKS) {
                node.look_at_standing();
                node.look_at_formats();
                node.forget_idle_snapshots();
                node.forget_idle_cuts();
            }
        }
    }

    /// Sees how busy and how full this node is.
    fn look_at_load(&self) {
        let Surroundings {
            world,
            disk,
            directory,
            ..
        } = &self.surroundings;
        let levels = self.engine.statistics().levels;
        let data_bytes = levels.iter().map(|level| level.bytes).sum();
        match disk.free_bytes(directory) {
            Ok(free_bytes) => self.load.look(world.now(), data_bytes, free_bytes),
            Err(error) => tracing::warn!(%error, "it is not known how much room the disk has"),
        }
    }

    /// Mirrors the metadata of other nodes from the time on when this node's own replica holds what the majority has lost.
    fn look_at_metadata(self: &Arc<Self>) {
        if self.readable(METADATA_GROUP).is_none() {
            self.begin_mirroring();
        }
    }

    /// Tells others when what this node says of itself has changed; and that it votes again, when all that it lost with its
    /// directory has been replaced.
    fn look_at_standing(&self) {
        if self.is_rejoining() && self.has_all_again() {
            let (disk, directory) = (&*self.surroundings.disk, &self.surroundings.directory);
            match crate::identity::finish_rejoin(disk, directory) {
                Ok(_) => {
                    tracing::info!("all replicas of this node have been replaced");
                    self.is_rejoining.store(false, Ordering::Release);
                }
                Err(error) => return self.host.fail(&error.to_string()),
            }
        }
        let Some(gossip) = self.gossip.get() else { return };
        // Looked at and told under one lock: whoever comes later says what is so by then.
        let mut said = self.said.lock();
        let state = self.state();
        if said.as_ref() != Some(&state) {
            gossip.update_state(state.clone());
            *said = Some(state);
        }
    }

    /// Has rows for other ranges name the term of their entries as soon as all nodes are to. Who knows no layout does not know
    /// all nodes.
    fn look_at_formats(self: &Arc<Self>) {
        if self.host.names_terms() || self.layout().is_none() {
            return;
        }
        let cluster = Cluster::of(Arc::clone(self));
        if cluster.nodes_before(FORMATS_WRITING_TERMS).is_empty() {
            tracing::info!(
                formats = FORMATS_WRITING_TERMS,
                "all nodes run this program or a later one: rows that ranges send to one another name the terms of their entries"
            );
            self.host.name_terms();
        }
    }

    /// Tells others that this node is about to stop, so that they hand nothing over to it.
    pub(crate) fn begin_to_stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        self.look_at_standing();
    }

    /// Whether this node has every replica that the layout counts on it for.
    fn has_all_again(&self) -> bool {
        let Some(layout) = self.layout() else { return false };
        let has = |group, id: Option<u64>| {
            let here = self.readable(group);
            here.is_some_and(|here| id.is_none_or(|id| here.id().0 == id))
        };
        layout.node(self.settings.node).is_some()
            && has(METADATA_GROUP, None)
            && layout
                .replicas_on(self.settings.node)
                .all(|(range, replica)| has(group_of(range), Some(replica.id)))
    }

    /// Follows the metadata of other nodes, unless it does, until it has some of its own.
    pub(super) fn begin_mirroring(self: &Arc<Self>) {
        if !self.is_mirroring.swap(true, Ordering::AcqRel) {
            let node = Arc::downgrade(self);
            let following = async move {
                Cluster::follow_metadata_of_others(Weak::clone(&node)).await;
                if let Some(node) = node.upgrade() {
                    node.is_mirroring.store(false, Ordering::Release);
                }
            };
            self.surroundings.world.spawn(Box::pin(following));
        }
    }

    /// What gossip says of other nodes.
    fn peers(&self) -> Peers {
        let members = self.gossip.get().map(crate::gossip::Gossiper::members);
        let members = members.unwrap_or_default();
        Peers(
            members
                .iter()
                .map(|member| (member.node, peer_of(member)))
                .collect(),
        )
    }

    /// Follows what gossip says of other nodes: whoever waits for one that is down need not wait any longer.
    pub(super) async fn follow_gossip(node: Weak<Self>) {
        let Some(mut changes) = node
            .upgrade()
            .and_then(|node| node.gossip.get().map(crate::gossip::Gossiper::watch))
        else {
            return;
        };
        let (mut down, mut listed) = (BTreeSet::new(), BTreeSet::new());
        while changes.changed().await.is_ok() {
            let Some(node) = node.upgrade() else { return };
            let Some(gossip) = node.gossip.get() else { return };
            if let Some(fault) = gossip.fault() {
                return node.host.fail(&fault.to_string());
            }
            let members = gossip.members();
            let before = std::mem::replace(&mut listed, members.iter().map(|member| member.node).collect());
            // One that has left is not listed any more when it is down.
            for gone in before.difference(&listed) {
                if down.insert(*gone) {
                    node.exchange.fail_peer(*gone);
                }
            }
            for member in members {
                let is_down = member.liveness == Liveness::Down;
                if is_down && down.insert(member.node) {
                    node.exchange.fail_peer(member.node);
                } else if !is_down {
                    down.remove(&member.node);
                }
            }
        }
    }

    /// Follows the changes of group 0 as long as the node is there.
    pub(super) async fn follow_metadata(node: Weak<Self>) {
        let mut changes = {
            let Some(node) = node.upgrade() else { return };
            node.host.keyspaces.changes()
        };
        while changes.changed().await.is_ok() {
            let Some(node) = node.upgrade() else { return };
            for replica in node.replicas().iter().flatten() {
                replica.look_for_keyspace();
            }
            if let Err(error) = node.look_at_layout() {
                return node.host.fail(&error.to_string());
            }
        }
    }

    /// The plan that group 0 has on this node.
    pub(crate) fn read_plan(&self) -> Result<Option<Plan>, Error> {
        let host = &self.host;
        let Lookup::Here(id) = host.keyspaces.find(crate::metadata::keyspaces::METADATA) else {
            return Ok(None);
        };
        let Some(cell) = host.engine.get(id, &OwnRow::Layout.key())? else {
            return Ok(None);
        };
        let cell = cell.into_bytes();
        let bytes = plan_of(&cell).unwrap_or_default();
        Ok(Some(Plan::from_bytes(bytes)?))
    }

    /// Takes over what another node says of group 0, for a node that has nothing of it.
    pub(crate) fn mirror(self: &Arc<Self>, metadata: &Metadata) -> Result<(), Error> {
        let named = metadata
            .keyspaces
            .iter()
            .copied()
            .zip(metadata.names.iter().map(String::as_str));
        let named: Vec<_> = named.collect();
        self.host.keyspaces.mirror(metadata.index, &named)?;
        if let Some(plan) = metadata.plan()? {
            self.adopt(plan);
        }
        Ok(())
    }

    /// Takes over the plan of group 0 if it is new, and begins the groups that this node has in it and does not have yet.
    pub(super) fn look_at_layout(self: &Arc<Self>) -> Result<(), Error> {
        let plan = match self.read_plan() {
            // This node goes by what others say as soon as its replica is under suspicion.
            Err(error) if error.is_damage() => return Ok(()),
            plan => plan?,
        };
        let Some(plan) = plan else { return Ok(()) };
        let epoch = plan.epoch();
        let is_past = self.layout().is_some_and(|known| known.epoch() > epoch);
        // What others have said of the same plan before has begun nothing.
        if is_past || self.begun_epoch.load(Ordering::Acquire) >= epoch {
            return Ok(());
        }
        let founded = self.begin_groups(&plan.layout)?;
        let layout = self.adopt(plan);
        self.begun_epoch.fetch_max(epoch, Ordering::AcqRel);
        for group in founded {
            let range = RangeId(group - 1);
            let is_preferred = layout
                .preferred_leader(range)
                .is_some_and(|replica| replica.node == self.settings.node);
            if let Some(replica) = self.replica(group).filter(|_| is_preferred) {
                // Somebody has to begin; the others would wait for a while first.
                replica.campaign();
            }
        }
        Ok(())
    }

    /// Goes by this plan from now on, unless it knows a newer one.
    pub(crate) fn adopt(self: &Arc<Self>, plan: Plan) -> Arc<Layout> {
        let _beginning = self.beginning.lock();
        if let Some(known) = self.layout().filter(|known| known.epoch() >= plan.epoch()) {
            return known;
        }
        for (node, description) in plan.layout.nodes() {
            if *node != self.settings.node {
                self.exchange.introduce(*node, &description.address);
            }
        }
        let metadata = plan.metadata.iter().map(|replica| replica.node).collect();
        self.metadata_nodes.store(Arc::new(metadata));
        self.placeable
            .store(Arc::new(plan.placeable().into_keys().collect()));
        self.moves.store(Arc::new(MovesStatus::of(&plan)));
        if let Some(gossip) = self.gossip.get() {
            plan.departed.iter().for_each(|node| gossip.forget(*node));
        }
        self.departed.store(Arc::new(plan.departed));
        let layout = Arc::new(plan.layout);
        self.layout.store(Some(Arc::clone(&layout)));
        for replica in self.replicas().iter().flatten() {
            if replica.group() != METADATA_GROUP {
                replica.prefer(self.preferred_in(replica.group()));
            }
        }
        layout
    }
}

/// What a member is to groups. One that stops still votes, but whoever waited for it would wait for its next start.
fn peer_of(member: &Member) -> Peer {
    let is_stopping = member.state.as_ref().is_some_and(|state| state.stopping);
    Peer {
        is_alive: member.liveness == Liveness::Alive && !is_stopping,
        is_down: member.liveness == Liveness::Down,
        incarnation: member.incarnation,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gossip::NodeState;

    #[test]
    fn one_that_stops_is_nobody_to_hand_over_to_and_still_votes() {
        let looks = |liveness, stopping| {
            let peer = peer_of(&Member {
                node: crate::world::NodeId(2),
                address: "host-2:1".to_owned(),
                liveness,
                incarnation: 3,
                state: Some(NodeState {
                    stopping,
                    ..NodeState::default()
                }),
                since: std::time::Duration::ZERO,
            });
            (peer.is_alive, peer.is_down)
        };
        assert_eq!(looks(Liveness::Alive, false), (true, false));
        assert_eq!(looks(Liveness::Alive, true), (false, false));
        assert_eq!(looks(Liveness::Suspect, false), (false, false));
        assert_eq!(looks(Liveness::Down, true), (false, true));
    }

    fn peers(incarnation: u64) -> Peers {
        let peer = Peer {
            is_alive: true,
            is_down: false,
            incarnation,
        };
        Peers(std::iter::once((crate::world::NodeId(2), peer)).collect())
    }

    #[test]
    fn what_is_new_about_peers_and_log_stirs_and_what_is_not_does_not() {
        let mut seen = Seen::default();
        let every = Stir::LOG_LOOK_TICKS;
        let mut look = |ticks, incarnation, frames| seen.look(ticks, peers(incarnation), || frames);
        let stir = |peers, log| Stir { peers, log };
        assert_eq!(look(1, 1, 0), stir(true, false));
        assert_eq!(look(2, 1, 0), stir(false, false));
        // The log is looked at now and then; what it has grown by counts until the next look.
        assert_eq!(look(3, 1, 5), stir(false, false));
        assert_eq!(look(every, 1, 5), stir(false, true));
        assert_eq!(look(every + 1, 2, 5), stir(true, true));
        assert_eq!(look(2 * every, 2, 5), stir(false, false));
    }
}
