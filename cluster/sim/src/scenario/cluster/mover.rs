//! An operator who adds nodes, lets nodes leave, changes their mind, and loses a disk.
//!
//! Invariant: one disk is lost in a run: two of three copies would be more than anybody promises. Replicas may be on their way
//! meanwhile, or away and behind. At the end nobody is leaving any more, but those that
//! have left. Not here: faults that a schedule brings.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use stator_cluster::NodeId;

use super::everyone::Everyone;
use super::node::PlanView;
use crate::kernel::Crash;
use crate::random::Stream;

/// How long the cluster runs before anything is done.
const BEGINS_AFTER: Duration = Duration::from_millis(1_500);

/// See the head of the file.
pub(super) struct Mover {
    everyone: Everyone,
    stream: Stream,
    founders: Vec<NodeId>,
    /// Nodes that were never started.
    joiners: Vec<NodeId>,
    has_lost_a_disk: bool,
}

impl Mover {
    pub(super) fn new(everyone: Everyone, joiners: Vec<NodeId>) -> Self {
        let stream = everyone.control.stream("mover", 0);
        let founders = everyone.nodes.iter().copied();
        let founders = founders.filter(|node| !joiners.contains(node)).collect();
        Self {
            everyone,
            stream,
            founders,
            joiners,
            has_lost_a_disk: false,
        }
    }

    /// Works until then.
    pub(super) async fn work(mut self, until: Duration) {
        self.everyone.wait_for(BEGINS_AFTER).await;
        while self.everyone.control.now() < until {
            let nodes = self.everyone.nodes.to_vec();
            let node = self.stream.pick(&nodes).copied().unwrap_or(NodeId(1));
            match self.stream.below(10) {
                0..=3 => self.start_one(),
                4..=5 => self.drain(node).await,
                6..=7 => self.undrain(node).await,
                _ => self.lose_disk(node),
            }
            let pause = self.stream.between(200, 4_000);
            self.everyone.pause(pause).await;
        }
        while !self.joiners.is_empty() {
            self.start_one();
        }
    }

    fn start_one(&mut self) {
        if let Some(joiner) = self.joiners.pop() {
            self.everyone.control.start(joiner);
        }
    }

    async fn drain(&mut self, leaving: NodeId) {
        let asked = self.everyone.any_node(&mut self.stream);
        let what = format_args!("let node {leaving} leave").to_string();
        let attempt = self.everyone.ask(asked, what, move |node| {
            Box::pin(async move { node.drain(leaving).await })
        });
        // Whatever comes of it is what the cluster has to live with.
        let _outcome = attempt.await;
    }

    async fn undrain(&mut self, staying: NodeId) {
        let asked = self.everyone.any_node(&mut self.stream);
        let what = format_args!("let node {staying} stay").to_string();
        let attempt = self.everyone.ask(asked, what, move |node| {
            Box::pin(async move { node.undrain(staying).await })
        });
        // Whatever comes of it is what the cluster has to live with.
        let _outcome = attempt.await;
    }

    fn lose_disk(&mut self, node: NodeId) {
        // A node without a disk asks those that have made the cluster who it is; one of them asks the others.
        let members = members(&self.everyone);
        let left = self.founders.iter().filter(|founder| members.contains(founder));
        let can_be_told = left.filter(|founder| **founder != node).count() > 1;
        if self.has_lost_a_disk || !can_be_told || !members.contains(&node) {
            return;
        }
        self.has_lost_a_disk = true;
        self.everyone.control.crash(node, Crash::Wipe);
        self.everyone.control.start(node);
    }
}

/// The newest plan that some node knows; models of nodes have none.
fn plan(everyone: &Everyone) -> Option<PlanView> {
    let nodes = everyone.nodes.iter();
    let plans = nodes.filter_map(|id| everyone.node(*id)?.plan().ok()?);
    plans.max_by_key(|plan| plan.epoch)
}

/// The nodes that are in the cluster: all of them, if nobody joins or leaves.
pub(super) fn members(everyone: &Everyone) -> Vec<NodeId> {
    match plan(everyone) {
        Some(plan) => plan.nodes.into_iter().collect(),
        None => everyone.nodes.to_vec(),
    }
}

/// What is not yet as the plan of the cluster wants it, if anything: moves, or replicas that are not where they are counted.
pub(super) fn unsettled(everyone: &Everyone) -> Option<String> {
    let mut held = BTreeSet::new();
    let mut by_group = BTreeMap::new();
    for id in everyone.nodes.iter() {
        let Some(node) = everyone.node(*id) else {
            if members(everyone).contains(id) {
                return Some(format!("node {id} is not open"));
            }
            continue;
        };
        for view in node.groups() {
            if !view.is_filled {
                return Some(format!("node {id} waits for what group {} has", view.group));
            }
            held.insert((*id, view.group, view.replica));
            if view.leader == Some(*id) {
                by_group.insert(view.group, view.replicas.iter().copied().collect::<BTreeSet<_>>());
            }
        }
    }
    let plan = plan(everyone)?;
    if plan.moves > 0 || !plan.leaving.is_empty() {
        return Some(format!(
            "at epoch {}, {} replicas have to move and nodes {:?} are leaving or lost",
            plan.epoch, plan.moves, plan.leaving
        ));
    }
    for (group, members) in by_group {
        let planned = plan.replicas.iter().filter(|(_, other, _)| *other == group);
        let planned: BTreeSet<_> = planned.map(|(node, ..)| *node).collect();
        if members != planned {
            return Some(format!(
                "group {group} has members on {members:?}, and is to have them on {planned:?}"
            ));
        }
    }
    let missing: Vec<_> = plan.replicas.difference(&held).collect();
    let left: Vec<_> = held.difference(&plan.replicas).collect();
    (!missing.is_empty() || !left.is_empty()).then(|| {
        format!("by node, group and id, replicas {missing:?} are missing and {left:?} are left over")
    })
}
