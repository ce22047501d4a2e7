//! What faults that last make of links and of the insides of nodes.
//!
//! Invariant: pure; it is told of all faults that last, so that the end of one never mends what another one broke.

use super::plan::{Direction, Fault};
use crate::{Condition, Inside};

/// How it goes from one node to another.
pub(super) fn condition<'a>(faults: impl Iterator<Item = &'a Fault>, from: u64, to: u64) -> Condition {
    let mut condition = Condition::default();
    for fault in faults {
        match *fault {
            Fault::CutOff(node, direction) => condition.is_cut |= is_cut(node, direction, from, to),
            Fault::Cut(node, other, direction) => {
                let concerns = [(node, other), (other, node)].contains(&(from, to));
                condition.is_cut |= concerns && is_cut(node, direction, from, to);
            }
            Fault::Delay(one, other, delay, jitter) if (one, other) == (from, to) => {
                condition.delay = delay;
                condition.jitter = jitter;
            }
            Fault::Slow(one, other, rate) if (one, other) == (from, to) => {
                condition.bytes_per_second = Some(rate);
            }
            _ => {}
        }
    }
    condition
}

/// Whether a way is one that a node has lost.
fn is_cut(node: u64, direction: Direction, from: u64, to: u64) -> bool {
    match direction {
        Direction::In => to == node,
        Direction::Out => from == node,
        Direction::Both => from == node || to == node,
    }
}

/// What is broken in a node.
pub(super) fn inside<'a>(faults: impl Iterator<Item = &'a Fault>, node: u64) -> Inside {
    let mut inside = Inside::default();
    for fault in faults {
        match *fault {
            Fault::SyncFails(own) if own == node => inside.cannot_sync = true,
            Fault::NoRoom(own) if own == node => inside.is_full = true,
            Fault::DiskFull(own) if own == node => inside.takes_nothing = true,
            Fault::Clock(own, ms) if own == node => inside.clock_offset_ms = ms,
            _ => {}
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_node_that_is_cut_off_has_lost_the_ways_that_its_fault_names() {
        let cut = |fault: Fault| {
            let ways = [(1, 2), (2, 1), (2, 3), (3, 2), (1, 3), (3, 1)];
            ways.map(|(from, to)| condition([&fault].into_iter(), from, to).is_cut)
        };
        let off = |direction| cut(Fault::CutOff(2, direction));
        assert_eq!(off(Direction::In), [true, false, false, true, false, false]);
        assert_eq!(off(Direction::Out), [false, true, true, false, false, false]);
        assert_eq!(off(Direction::Both), [true, true, true, true, false, false]);
        let link = |direction| cut(Fault::Cut(2, 1, direction));
        assert_eq!(link(Direction::In), [true, false, false, false, false, false]);
        assert_eq!(link(Direction::Out), [false, true, false, false, false, false]);
        assert_eq!(link(Direction::Both), [true, true, false, false, false, false]);
    }

    #[test]
    fn faults_of_one_thing_add_up_and_the_end_of_one_leaves_the_other() {
        let delay = Duration::from_millis(7);
        let faults = [
            Fault::Delay(1, 2, delay, Duration::ZERO),
            Fault::Slow(1, 2, 9),
            Fault::Cut(2, 1, Direction::Both),
            Fault::CutOff(1, Direction::Out),
        ];
        let all = condition(faults.iter(), 1, 2);
        assert!(all.is_cut && all.delay == delay && all.bytes_per_second == Some(9));
        assert!(condition(faults[..3].iter(), 1, 2).is_cut);
        assert!(!condition(faults[..2].iter(), 1, 2).is_cut);
        assert_eq!(condition(faults[..2].iter(), 2, 1), Condition::default());
        let faults = [Fault::Clock(1, -3), Fault::NoRoom(1), Fault::SyncFails(2)];
        let inside = inside(faults.iter(), 1);
        assert!(inside.is_full && !inside.cannot_sync && inside.clock_offset_ms == -3);
    }
}
