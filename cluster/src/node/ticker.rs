//! What happens on a node as time passes: ticks of its groups, and what follows from changes of group 0.
//!
//! Invariant: heartbeats of all groups for one node go out as one message. Not here: what a tick does (`group/`).

use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};

use super::message::Metadata;
use super::{Node, group_of};
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::rest::{Peer, Peers};
use crate::metadata::keyspaces::Lookup;
use crate::metadata::rows::{OwnRow, layout_of};
use crate::ring::Layout;

impl Node {
    /// Ticks as long as the node is there.
    pub(super) async fn tick(node: Weak<Self>) {
        loop {
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
            let peers = node.peers();
            for replica in node.replicas().iter().flatten() {
                replica.tick(&peers);
            }
            node.exchange.flush();
            node.look_at_metadata();
        }
    }

    /// Mirrors the metadata of other nodes from the time on when this node's own replica holds what the majority has lost.
    fn look_at_metadata(self: &Arc<Self>) {
        let replica = self.replica(METADATA_GROUP);
        if replica.is_some_and(|replica| replica.is_diverged())
            && !self.is_mirroring.swap(true, Ordering::AcqRel)
        {
            let following = Cluster::follow_metadata_of_others(Arc::downgrade(self));
            self.surroundings.world.spawn(Box::pin(following));
        }
    }

    /// What gossip says of other nodes.
    fn peers(&self) -> Peers {
        let members = self.gossip.get().map(crate::gossip::Gossiper::members);
        let peers = members.unwrap_or_default().into_iter().map(|member| {
            let peer = Peer {
                is_alive: member.liveness == crate::gossip::Liveness::Alive,
                incarnation: member.incarnation,
            };
            (member.node, peer)
        });
        Peers(peers.collect())
    }

    /// Follows what gossip says of other nodes: whoever waits for one that is down need not wait any longer.
    pub(super) async fn follow_gossip(node: Weak<Self>) {
        let Some(mut changes) = node
            .upgrade()
            .and_then(|node| node.gossip.get().map(crate::gossip::Gossiper::watch))
        else {
            return;
        };
        let mut down = std::collections::BTreeSet::new();
        while changes.changed().await.is_ok() {
            let Some(node) = node.upgrade() else { return };
            let Some(gossip) = node.gossip.get() else { return };
            if let Some(fault) = gossip.fault() {
                return node.host.fail(&fault.to_string());
            }
            for member in gossip.members() {
                let is_down = member.liveness == crate::gossip::Liveness::Down;
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

    /// The layout that group 0 has on this node, if it is newer than the one known.
    pub(super) fn read_layout(&self) -> Result<Option<Layout>, Error> {
        let host = &self.host;
        let Lookup::Here(id) = host.keyspaces.find(crate::metadata::keyspaces::METADATA) else {
            return Ok(None);
        };
        let Some(cell) = host.engine.get(id, &OwnRow::Layout.key())? else {
            return Ok(None);
        };
        let cell = cell.into_bytes();
        let bytes = layout_of(&cell).unwrap_or_default();
        Ok(Some(Layout::from_bytes(bytes)?))
    }

    /// Takes over what another node says of group 0; for a node without replicas only, which begins no groups.
    pub(crate) fn mirror(&self, metadata: &Metadata) -> Result<(), Error> {
        let named = metadata
            .keyspaces
            .iter()
            .copied()
            .zip(metadata.names.iter().map(String::as_str));
        let named: Vec<_> = named.collect();
        self.host.keyspaces.mirror(metadata.index, &named)?;
        if metadata.layout.is_empty() {
            return Ok(());
        }
        let layout = Layout::from_bytes(&metadata.layout)?;
        if self.layout().is_none_or(|known| known.epoch() < layout.epoch()) {
            self.layout.store(Some(Arc::new(layout)));
        }
        Ok(())
    }

    /// Takes over the layout of group 0 if it is new, and begins the groups that this node has in it and does not have yet.
    pub(super) fn look_at_layout(self: &Arc<Self>) -> Result<(), Error> {
        let Some(layout) = self.read_layout()? else {
            return Ok(());
        };
        if self.layout().is_some_and(|known| known.epoch() >= layout.epoch()) {
            return Ok(());
        }
        let layout = Arc::new(layout);
        self.begin_groups(&layout)?;
        self.layout.store(Some(Arc::clone(&layout)));
        for (range, replica) in layout.replicas_on(self.settings.node) {
            let is_preferred = layout.preferred_leader(range) == Some(replica);
            if let Some(replica) = self.replica(group_of(range)).filter(|_| is_preferred) {
                // Somebody has to begin; the others would wait for a while first.
                replica.campaign();
            }
        }
        Ok(())
    }
}
