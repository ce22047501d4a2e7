//! What a steward keeps in mind between two looks.
//!
//! Invariant: nothing depends on it but time; whoever leads next begins with none of it. Not here: what it is for (`moves.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::errand::{About, Brought, Errands, Taken};
use crate::group::apply::METADATA_GROUP;
use crate::group::members::GroupStatus;
use crate::ring::{Plan, RangeId};
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
