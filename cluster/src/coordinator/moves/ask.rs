//! What the steward asks nodes and the leaders of groups, one question or one step at a time.
//!
//! Invariant: what was asked for may have been done although nobody has answered, and can be asked for again. Not here: what is asked
//! for together and beside what (`errand.rs`), which step comes next (`step.rs`).

use std::collections::BTreeMap;
use std::time::Duration;

use super::errand::Taken;
use super::step::Step;
use crate::coordinator::Cluster;
use crate::coordinator::route::{Place, Route, unexpected};
use crate::error::Error;
use crate::group::members::GroupStatus;
use crate::group::replica::Refused;
use crate::node::message::moves::{ChangeMembers, Hosting, Inventory};
use crate::node::message::{Ask, Tell};
use crate::raft::{MemberChange, ReplicaId};
use crate::world::NodeId;

/// How long another node may take for a step.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

impl Cluster {
    /// Whether a replica is a member of a group, by what its leader says.
    pub(super) async fn is_member(&self, group: u32, id: u64) -> Result<bool, Error> {
        let status = self.group_status(group).await?;
        Ok(status.members.iter().any(|member| member.replica.0 == id))
    }

    /// What a node has.
    pub(super) async fn inventory(&self, node: NodeId) -> Result<Inventory, Error> {
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
    pub(crate) async fn ask_node(&self, node: NodeId, ask: Ask, patience: Duration) -> Result<Tell, Refused> {
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
    pub(super) async fn group_status(&self, group: u32) -> Result<GroupStatus, Error> {
        let read = |tell| match tell {
            Tell::GroupStatus(status) => Some(status.read()),
            _ => None,
        };
        let asked = self.ask_leader(group, || Ask::GroupStatus(group), read).await?;
        Ok(asked.1)
    }

    /// Takes a step, and says what has become of it.
    pub(super) async fn try_step(&self, group: u32, step: Step, starts: &BTreeMap<NodeId, u64>) -> Taken {
        match self.take(group, step, starts).await {
            Ok(()) => Taken::Done,
            Err(error) => {
                tracing::debug!(%error, group, ?step, "a step was not taken");
                Taken::Refused
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

    /// Has the leader of a group change its members.
    pub(super) async fn change(&self, group: u32, change: &MemberChange) -> Result<(), Error> {
        tracing::debug!(group, ?change, "the members of a group are to change");
        let Some(wanted) = ChangeMembers::new(group, change) else {
            return Ok(());
        };
        let changed = self
            .ask_leader(group, || Ask::ChangeMembers(wanted.clone()), Some)
            .await;
        changed.map(drop)
    }
}
