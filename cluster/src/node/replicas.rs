//! Which replicas this node has: those that are given to it, those that are taken from it.
//!
//! Invariant: a replica id that this node has once had and has given up is never begun again, whatever a layout says that is
//! older than that: what is left of it in the log says so. A replica goes only when somebody who has asked the leader of
//! the group says that it is no member. Not here: who is to have which (`coordinator/moves.rs`), filling (`install.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stator_storage::{Durability, LogBatch, WriteBatch};

use super::Node;
use super::install::Writer;
use super::message::moves::{Held, Hosting, Inventory, Learner, ReplicaOf};
use crate::error::Error;
use crate::group::journal::{Journal, Standing};
use crate::group::recover::unfilled;
use crate::group::replica::{Birth, Refused, Replica};
use crate::raft::{HardState, Members, ReplicaId};
use crate::ring::RangeId;

impl Node {
    /// Makes a replica that waits to be filled, unless it is here already. It is durable when this returns.
    ///
    /// # Errors
    /// [`Refused::NotNow`] while this node has another replica of the group, [`Refused::Finally`] if this one was given up.
    pub(super) fn host_replica(self: &Arc<Self>, hosting: Hosting) -> Result<(), Refused> {
        let (group, id) = (hosting.group, ReplicaId(hosting.replica));
        if hosting.incarnation != self.incarnation() {
            let cause = "the node was started anew since it was asked".to_owned();
            return Err(Refused::NotNow(cause));
        }
        let _beginning = self.beginning.lock();
        let kept = Journal::kept(&self.engine, group).map_err(Error::from)?;
        match kept {
            Some((Standing { id: here, .. }, _)) if here == id && self.replica(group).is_some() => {
                return Ok(());
            }
            Some((standing, _)) if standing.is_gone && standing.id >= id => {
                let cause = format!("replica {} of group {group} was given up here", id.0);
                return Err(Refused::Finally(Error::Group { group, cause }));
            }
            Some((standing, _)) if !standing.is_gone => {
                let cause = format!("this node has replica {} of group {group}", standing.id.0);
                return Err(Refused::NotNow(cause));
            }
            Some(_) | None => {}
        }
        let replica = self.make_unfilled(group, id, (HardState::default(), Members::default()))?;
        tracing::info!(group, replica = id.0, "this node gets a replica");
        self.add_replica(replica);
        self.begin_install(group);
        Ok(())
    }

    fn make_unfilled(
        &self,
        group: u32,
        id: ReplicaId,
        promised: (HardState, Members),
    ) -> Result<Arc<Replica>, Error> {
        let birth = Birth {
            group,
            id,
            preferred: self.preferred_in(group),
        };
        let (replica, batch) = unfilled(&self.host, birth, promised)?;
        self.engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        Ok(replica)
    }

    /// The member that the layout prefers to lead a group.
    pub(super) fn preferred_in(&self, group: u32) -> Option<ReplicaId> {
        let range = RangeId(group.checked_sub(1)?);
        let preferred = self.layout()?.preferred_leader(range)?;
        Some(ReplicaId(preferred.id))
    }

    /// Gives up what a replica has that its group's log does not have any more, and has it filled.
    pub(super) fn begin_refill(self: &Arc<Self>, replica: &Arc<Replica>) {
        if !self.discarding.lock().insert(replica.group()) {
            return;
        }
        let (node, replica) = (Arc::clone(self), Arc::clone(replica));
        self.surroundings.world.spawn(Box::pin(async move {
            let group = replica.group();
            match node.refill(replica).await {
                Ok(()) | Err(Error::Storage(stator_storage::Error::Closed)) => {}
                Err(error) => node.host.fail(&error.to_string()),
            }
            node.discarding.lock().remove(&group);
        }));
    }

    /// A replica whose group's log does not have any more what it needs gives up what it has, and is filled.
    async fn refill(self: &Arc<Self>, replica: Arc<Replica>) -> Result<(), Error> {
        let group = replica.group();
        tracing::warn!(
            group,
            replica = replica.id().0,
            "this replica was away for longer than its group keeps the log for it; it is filled anew"
        );
        replica.retire();
        let (kept, mut is_there) = replica.kept();
        while !is_there {
            self.surroundings.world.sleep(super::install::LOOK).await;
            is_there = replica.kept().1;
        }
        {
            let _beginning = self.beginning.lock();
            let fresh = self.make_unfilled(group, replica.id(), (kept.hard_state, kept.members))?;
            self.add_replica(fresh);
        }
        self.begin_install(group);
        Ok(())
    }

    /// Gives up a replica that is no member of its group any more, and begins to remove its cells. Nothing is left of it when this
    /// returns without an error.
    ///
    /// # Errors
    /// [`Refused::NotNow`] as long as something is left, and while the node is starting.
    pub(super) fn discard(self: &Arc<Self>, of: ReplicaOf) -> Result<(), Refused> {
        let (group, id) = (of.group, of.id());
        let Some((standing, _)) = Journal::kept(&self.engine, group).map_err(Error::from)? else {
            return Ok(());
        };
        if standing.id != id || standing.is_gone {
            return Ok(());
        }
        if !self.has_begun.load(Ordering::Acquire) {
            // It would be begun while it is given up, and stay.
            return Err(Refused::NotNow("the node is starting".to_owned()));
        }
        if self.discarding.lock().insert(group) {
            let node = Arc::clone(self);
            self.surroundings.world.spawn(Box::pin(async move {
                match node.discard_alone(group, id).await {
                    Ok(()) | Err(Error::Storage(stator_storage::Error::Closed)) => {}
                    Err(error) => node.host.fail(&error.to_string()),
                }
                node.discarding.lock().remove(&group);
            }));
        }
        Err(Refused::NotNow("the replica is being removed".to_owned()))
    }

    /// Has the replica of a group that is here do nothing any more, and waits until nothing of it is on its way.
    async fn retire_alone(&self, group: u32) {
        if let Some(replica) = self.replica(group) {
            replica.retire();
            while !replica.kept().1 {
                self.surroundings.world.sleep(super::install::LOOK).await;
            }
        }
    }

    async fn discard_alone(self: &Arc<Self>, group: u32, id: ReplicaId) -> Result<(), Error> {
        self.retire_alone(group).await;
        // Whoever fills it notices that it is retired, at the latest with the next page.
        while self.installing.lock().contains(&group) {
            self.surroundings.world.sleep(super::install::LOOK).await;
        }
        // There was none: it is filled, and another object has taken its place, which takes part.
        self.retire_alone(group).await;
        {
            let _beginning = self.beginning.lock();
            // From here on a start finds nothing that could vote, and removes the cells when it is asked again.
            let (_, batch) = Journal::create_unfilled(
                self.engine.clone(),
                group,
                id,
                (HardState::default(), Members::default()),
            );
            self.engine
                .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
            self.remove_replica(group);
        }
        tracing::debug!(group, replica = id.0, "the cells of a replica are removed");
        let mut writer = Writer::begin(self, group).await?;
        writer.clear().await?;
        writer.end().await?;
        let mut batch = LogBatch::new();
        Journal::gone(group, id, &mut batch);
        self.engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        tracing::info!(
            group,
            replica = id.0,
            "a replica of this node was removed with its cells"
        );
        Ok(())
    }

    /// Gives up all replicas that the directory has, because they may have forgotten what they have promised. Their cells go when
    /// their ranges come back to this node.
    pub(super) fn give_up_all(&self) -> Result<(), Error> {
        let mut batch = LogBatch::new();
        for group in Journal::groups(&self.engine) {
            if let Some((standing, _)) = Journal::kept(&self.engine, group)? {
                Journal::gone(group, standing.id, &mut batch);
            }
        }
        if !batch.is_empty() {
            self.engine
                .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        }
        Ok(())
    }

    /// All replicas of this node, and all members without a vote of the groups that it leads.
    pub(super) fn inventory(&self) -> Result<Inventory, Refused> {
        let mut inventory = Inventory::default();
        for group in Journal::groups(&self.engine) {
            if let Some((standing, _)) = Journal::kept(&self.engine, group).map_err(Error::from)?
                && !standing.is_gone
            {
                inventory.replicas.push(Held {
                    group,
                    replica: standing.id.0,
                    is_unfilled: standing.is_unfilled,
                });
            }
        }
        for replica in self.replicas().iter().flatten() {
            let learners = replica.learners().into_iter().map(|(id, node)| Learner {
                group: replica.group(),
                replica: id.0,
                node: node.0,
            });
            inventory.learners.extend(learners);
        }
        Ok(inventory)
    }
}
