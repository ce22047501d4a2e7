//! Faults: what can be broken, and a schedule that says when.
//!
//! Invariant: each entry of a schedule breaks something for a while and ends; an entry can be left out without changing
//! what the others do, so that a failing schedule can be made shorter. After the last end nothing is broken. Not here: how
//! a fault is done (`kernel`), which schedules there are (`plan`).

mod nemesis;
mod plan;

use std::fmt;
use std::time::Duration;

use stator_cluster::NodeId;
use stator_storage::vfs::mem::Unsynced;

pub use nemesis::{Nemesis, unleash};
pub use plan::{Kinds, PlanSettings, plan};

/// Which links a partition cuts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Partition {
    /// These nodes and all others do not hear each other.
    Split(Vec<NodeId>),
    /// These nodes are heard by no other, but hear all.
    Muted(Vec<NodeId>),
    /// These nodes hear no other, but are heard by all.
    Deafened(Vec<NodeId>),
    /// Two sides do not hear each other, but the bridge hears and is heard by both. Whoever is not named is on the second
    /// side.
    Bridge {
        /// One side.
        side: Vec<NodeId>,
        /// In the middle.
        bridge: NodeId,
    },
}

impl Partition {
    /// Whether it cuts the direction `from` -> `to`.
    pub fn cuts(&self, from: NodeId, to: NodeId) -> bool {
        let crosses = |side: &[NodeId]| side.contains(&from) != side.contains(&to);
        match self {
            Self::Split(side) => crosses(side),
            Self::Muted(side) => crosses(side) && side.contains(&from),
            Self::Deafened(side) => crosses(side) && side.contains(&to),
            Self::Bridge { side, bridge } => crosses(side) && from != *bridge && to != *bridge,
        }
    }
}

/// Something to break.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The processes are killed, and start again when the fault ends.
    Kill(Vec<NodeId>),
    /// The machines lose power, and start again when the fault ends.
    PowerCut {
        /// Which.
        nodes: Vec<NodeId>,
        /// Each right after so many further operations of its disk, in the middle of what it does; 0 is at once.
        after_operations: u64,
        /// What becomes of data that was not synced.
        unsynced: Unsynced,
    },
    /// The machine is replaced by one with an empty disk, which starts when the fault ends.
    Wipe(NodeId),
    /// The process is stopped, and goes on when the fault ends.
    Pause(NodeId),
    /// The machine is suspended, and goes on when the fault ends.
    Suspend(NodeId),
    /// Links are cut.
    Partition(Partition),
    /// The disk is so many times as slow.
    SlowDisk(NodeId, u32),
    /// Both directions between two nodes are so many times as slow.
    SlowLink(NodeId, NodeId, u32),
    /// Both directions between two nodes lose so many messages of a million.
    LossyLink(NodeId, NodeId, u32),
    /// Messages in both directions between two nodes are under way for so many milliseconds more.
    FarLink(NodeId, NodeId, u32),
    /// The wall clock jumps by milliseconds, and back when the fault ends.
    ClockJump(NodeId, i64),
    /// The steady clock is so many parts of a million too fast (above 0) or too slow.
    ClockDrift(NodeId, i32),
}

/// A fault with its time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When it begins, in true time since the run began.
    pub at: Duration,
    /// How long it lasts.
    pub lasting: Duration,
    /// What it is.
    pub fault: Fault,
}

impl Entry {
    /// When it ends.
    pub fn end(&self) -> Duration {
        self.at.saturating_add(self.lasting)
    }
}

/// What is broken when. An entry is named by its place.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Schedule {
    /// The faults, by the time at which they begin.
    pub entries: Vec<Entry>,
}

impl Schedule {
    /// When the last fault ends.
    pub fn end(&self) -> Duration {
        self.entries.iter().map(Entry::end).max().unwrap_or_default()
    }

    /// The schedule with these entries only. Places that it does not have are passed over.
    #[must_use]
    pub fn only(&self, places: &[usize]) -> Self {
        let kept = places
            .iter()
            .filter_map(|place| self.entries.get(*place).cloned());
        Self {
            entries: kept.collect(),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = |nodes: &[NodeId]| {
            let names: Vec<_> = nodes.iter().map(ToString::to_string).collect();
            names.join(", ")
        };
        match self {
            Self::Kill(nodes) => write!(f, "kill {}", names(nodes)),
            Self::PowerCut {
                nodes,
                after_operations,
                unsynced,
            } => write!(
                f,
                "power cut of {} after {after_operations} disk operations, unsynced data {unsynced:?}",
                names(nodes)
            ),
            Self::Wipe(node) => write!(f, "an empty disk for {node}"),
            Self::Pause(node) => write!(f, "pause {node}"),
            Self::Suspend(node) => write!(f, "suspend {node}"),
            Self::Partition(Partition::Split(side)) => write!(f, "partition: {} and the others", names(side)),
            Self::Partition(Partition::Muted(side)) => write!(f, "partition: nobody hears {}", names(side)),
            Self::Partition(Partition::Deafened(side)) => write!(f, "partition: {} hear nobody", names(side)),
            Self::Partition(Partition::Bridge { side, bridge }) => {
                write!(
                    f,
                    "partition: {} and the others, with {bridge} as bridge",
                    names(side)
                )
            }
            Self::SlowDisk(node, factor) => write!(f, "disk of {node} {factor} times as slow"),
            Self::SlowLink(one, other, factor) => write!(f, "link {one} - {other} {factor} times as slow"),
            Self::LossyLink(one, other, ppm) => write!(f, "link {one} - {other} loses {ppm} ppm"),
            Self::FarLink(one, other, ms) => write!(f, "link {one} - {other} {ms} ms longer"),
            Self::ClockJump(node, by_ms) => write!(f, "wall clock of {node} jumps by {by_ms} ms"),
            Self::ClockDrift(node, ppm) => write!(f, "clock of {node} drifts by {ppm} ppm"),
        }
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} for {:?}: {}", self.at, self.lasting, self.fault)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn partitions_cut_what_they_say() {
        let [a, b, c] = [1, 2, 3].map(NodeId);
        let cut = |partition: &Partition| {
            let links = [(a, b), (b, a), (a, c), (c, a), (b, c), (c, b)];
            links.map(|(from, to)| partition.cuts(from, to))
        };
        assert_eq!(
            cut(&Partition::Split(vec![a])),
            [true, true, true, true, false, false]
        );
        assert_eq!(
            cut(&Partition::Muted(vec![a])),
            [true, false, true, false, false, false]
        );
        assert_eq!(
            cut(&Partition::Deafened(vec![a])),
            [false, true, false, true, false, false]
        );
        let bridge = Partition::Bridge {
            side: vec![a],
            bridge: c,
        };
        assert_eq!(cut(&bridge), [true, true, false, false, false, false]);
    }
}
