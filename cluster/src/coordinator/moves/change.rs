//! Changes of the plan of the cluster: nodes join and leave, ranges get another number of replicas.
//!
//! Invariant: a plan takes the place of the one that it was made from and of no other, so that two who change it at the same
//! time both count. Not here: carrying it out (`moves.rs`), what a plan is (`ring/`).

use std::num::NonZeroU8;
use std::sync::Arc;

use super::plan_error;
use crate::command::WriteOptions;
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::Refused;
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::node::Node;
use crate::node::message::Ask;
use crate::node::message::moves::Joining;
use crate::ring::{NodeDescription, Plan};
use crate::world::NodeId;

/// How often a change of the plan is tried again when somebody else has changed it meanwhile.
const TRIES: usize = 32;

impl Cluster {
    /// Puts a plan in the place of another one; `false` if that is not the plan any more.
    pub(super) async fn put_plan(&self, from: &Plan, plan: &Plan) -> Result<bool, Error> {
        let command = OwnCommand::PutLayout {
            from: from.epoch(),
            epoch: plan.epoch(),
            plan: plan.to_bytes(),
        };
        let key = OwnRow::Layout.key();
        let changed = self
            .write_row(self.metadata(), &key, WriteOptions::default(), &command)
            .await?;
        Ok(changed.0)
    }

    /// Changes the plan as a function says, which gives `None` if it is as it should be.
    async fn change_plan(&self, change: impl Fn(&Plan) -> Result<Option<Plan>, Error>) -> Result<(), Error> {
        for _ in 0..TRIES {
            // A node that leaves has no replica of group 0 any more, and may be the one that is told to stay.
            let plan = match self.catch_up_with_metadata().await? {
                Some(heard) => heard.plan()?,
                None => self.node.read_plan()?,
            };
            let plan = plan.ok_or_else(|| Error::Unavailable {
                cause: "the cluster is being made".to_owned(),
            })?;
            let Some(next) = change(&plan)? else {
                return Ok(());
            };
            if self.put_plan(&plan, &next).await? {
                return self.catch_up_metadata().await;
            }
        }
        Err(Error::Unavailable {
            cause: "the plan of the cluster changes all the time; try again".to_owned(),
        })
    }

    /// Takes a node into the cluster, or notes how it describes itself now.
    pub(crate) async fn take_in(&self, joining: &Joining) -> Result<(), Refused> {
        let description = NodeDescription {
            address: joining.address.clone(),
            zone: joining.zone.clone(),
            rack: joining.rack.clone(),
            capacity: joining
                .capacity
                .try_into()
                .map_err(|_| Refused::NotNow("a node needs a capacity".to_owned()))?,
            incarnation: joining.incarnation,
        };
        let node = NodeId(joining.node);
        let change = |plan: &Plan| {
            let mut description = description.clone();
            if let Some(known) = plan.layout.node(node) {
                // Each start has another one; the layout need not change for it.
                description.incarnation = known.incarnation;
            }
            plan.take_in(node, description).map_err(plan_error)
        };
        self.change_plan(change).await.map_err(|error| match error {
            // No node is told otherwise.
            error @ Error::Plan(_) => Refused::Finally(error),
            // What is wrong here need not be so elsewhere, or for long.
            error => Refused::NotNow(error.to_string()),
        })
    }

    /// A node is to give up all that it has, and to leave the cluster when that is elsewhere. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no such node, or if too few would be left; those of [`Cluster::write`].
    pub async fn drain(&self, node: NodeId) -> Result<(), Error> {
        self.change_plan(|plan| plan.leave(node).map_err(plan_error))
            .await
    }

    /// A node is not to leave after all.
    ///
    /// # Errors
    /// [`Error::Plan`] if there is no such node; those of [`Cluster::write`].
    pub async fn undrain(&self, node: NodeId) -> Result<(), Error> {
        self.change_plan(|plan| plan.stay(node).map_err(plan_error)).await
    }

    /// How many replicas each range is to have.
    ///
    /// # Errors
    /// [`Error::Plan`] if there are fewer nodes than that; those of [`Cluster::write`].
    pub async fn set_replication(&self, replication: NonZeroU8) -> Result<(), Error> {
        self.change_plan(|plan| plan.replicate(replication).map_err(plan_error))
            .await
    }

    /// What the cluster agrees on about its replicas, as far as this node knows; `None` while the cluster is being made.
    ///
    /// # Errors
    /// [`Error::Storage`], [`Error::Layout`].
    pub fn plan(&self) -> Result<Option<Plan>, Error> {
        self.node.read_plan()
    }

    /// Has this node be one of the cluster's, as it describes itself; waits until it is.
    pub(crate) async fn join(node: &Arc<Node>) -> Result<(), Error> {
        let me = &node.settings;
        let joining = Joining {
            node: me.node.0,
            address: me.address.clone(),
            zone: me.zone.clone(),
            rack: me.rack.clone(),
            capacity: me.capacity.get(),
            incarnation: node.incarnation(),
        };
        let cluster = Self::of(Arc::clone(node));
        let joined = cluster
            .ask_leader(METADATA_GROUP, || Ask::Join(joining.clone()), Some)
            .await;
        joined.map(drop)
    }
}
