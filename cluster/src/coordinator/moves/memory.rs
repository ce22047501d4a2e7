//! What a steward keeps in mind between two looks.
//!
//! Invariant: nothing depends on it but time; whoever leads next begins with none of it. Not here: what it is for (`moves.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::decide::is_known;
use super::errand::{About, Brought, Errands, Taken};
use crate::group::apply::METADATA_GROUP;
use crate::group::members::GroupStatus;
use crate::node::message::moves::Inventory;
use crate::ring::{Plan, RangeId, Replica};
use crate::world::{NodeId, Task};

/// For so long a move that was held up goes behind the others.
const HELD_UP: Duration = Duration::from_secs(10);

/// A replica that has gone from a range and is to be removed: its node, its group, its id.
pub(super) type Leftover = (NodeId, u32, u64);

/// What the steward keeps in mind between two looks. Nothing depends on it but time.
#[derive(Debug, Default)]
pub(super) struct Memory {
    /// Since when nodes are down.
    pub(super) down_since: BTreeMap<NodeId, Duration>,
    pub(super) leftovers: BTreeSet<Leftover>,
    /// Those of them that are members of their groups, which keep the log for them: that they are not is up to the groups, whether
    /// their nodes are there or not.
    pub(super) strays: BTreeSet<Leftover>,
    /// When that was last looked for, with which aim, and on which nodes.
    pub(super) swept: Option<(Duration, u64, BTreeSet<u64>)>,
    /// For which start of a node it was looked for what it has lost, and when.
    pub(super) looked_for_lost: BTreeMap<NodeId, (u64, Duration)>,
    /// When groups were asked for the voters that were taken over last: who was asked earlier and answers later says what was
    /// so before.
    pub(super) observed: BTreeMap<RangeId, Duration>,
    /// When moves were held up last.
    pub(super) held_up: BTreeMap<RangeId, Duration>,
    pub(super) errands: Errands,
    /// What errands have brought that was not looked at.
    pub(super) brought: Vec<(About, Brought)>,
}

impl Memory {
    /// Forgets moves that go behind the others no more.
    pub(super) fn forget_held_up(&mut self, now: Duration) {
        self.held_up.retain(|_, at| now.saturating_sub(*at) < HELD_UP);
    }

    pub(super) fn is_held_up(&self, range: RangeId, now: Duration) -> bool {
        let held_up = self.held_up.get(&range);
        held_up.is_some_and(|at| now.saturating_sub(*at) < HELD_UP)
    }

    /// Takes over how the metadata group stood before a step: members that are not to be are to go.
    pub(super) fn take_over_metadata(&mut self, plan: &Plan, status: &GroupStatus, taken: Taken) {
        if taken != Taken::Waits {
            let is_gone = |id| !plan.metadata.iter().any(|replica| replica.id == id);
            let gone = status.members.iter().filter(|member| is_gone(member.replica.0));
            let gone = gone.map(|member| (member.node, METADATA_GROUP, member.replica.0));
            self.leftovers.extend(gone);
        }
        if taken == Taken::Refused {
            // Perhaps something is in the way.
            self.swept = None;
        }
    }

    /// Takes over what nodes have and which members have no vote: those that the plan does not know are to go.
    pub(super) fn take_over_sweep(&mut self, plan: &Plan, inventories: &[(NodeId, Inventory)]) {
        let is_unknown = |(node, group, id): &Leftover| {
            let replica = Replica { node: *node, id: *id };
            !is_known(plan, *group, replica)
        };
        let held = inventories.iter().flat_map(|(node, inventory)| {
            let held = inventory.replicas.iter();
            held.map(|held| (*node, held.group, held.replica))
        });
        self.leftovers.extend(held.filter(is_unknown));
        let learners = inventories.iter().flat_map(|(_, inventory)| {
            let learners = inventory.learners.iter();
            learners.map(|learner| (NodeId(learner.node), learner.group, learner.replica))
        });
        self.strays = learners.filter(is_unknown).collect();
        self.leftovers.extend(self.strays.iter().copied());
    }

    /// An errand has brought nothing.
    pub(super) fn came_back_empty(&mut self, about: About, now: Duration) {
        match about {
            About::Range(range) => drop(self.held_up.insert(range, now)),
            About::Lost(node) => drop(self.looked_for_lost.remove(&node)),
            About::Sweep => self.swept = None,
            About::Leftover(_) | About::Metadata => {}
        }
    }

    /// Waits for the next errand to end, or for so long.
    pub(super) async fn wait(&mut self, pause: Task) {
        let first = self.errands.wait_for(pause).await;
        self.brought.extend(first);
        while let Some(ended) = self.errands.ended() {
            self.brought.push(ended);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::node::message::moves::{Held, Learner};
    use crate::ring::tests::first_plan;

    #[test]
    fn a_member_without_a_vote_that_nobody_has_or_knows_is_to_go() {
        let plan = first_plan(3, 1, 3);
        let known = plan.layout.replicas(RangeId(0))[0];
        let learner = |node: u64, replica| Learner {
            group: 1,
            replica,
            node,
        };
        let inventory = Inventory {
            replicas: vec![Held {
                group: 1,
                replica: known.id,
                is_unfilled: false,
            }],
            learners: vec![learner(known.node.0, known.id), learner(9, 70)],
        };
        let mut memory = Memory::default();
        memory.take_over_sweep(&plan, &[(known.node, inventory)]);
        let stray = (NodeId(9), 1, 70);
        assert_eq!(memory.leftovers, [stray].into());
        assert_eq!(memory.strays, [stray].into());
        // The next look has found it gone from its group.
        memory.take_over_sweep(&plan, &[]);
        assert_eq!(memory.strays, [].into());
    }
}
