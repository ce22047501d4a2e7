//! Schedules that are aimed at one rule each.
//!
//! Invariant: pure functions of a stream and the nodes. Not here: who works meanwhile (`random.rs`).

use std::time::Duration;

use stator_cluster::NodeId;
use stator_storage::vfs::mem::Unsynced;

use super::random::{ABSENCE_WORK, WORK};
use crate::fault::{Entry, Fault, Partition, Schedule};
use crate::random::Stream;

/// All of these lose their power, and what they have not synced, or some of it.
pub(super) fn power_cut(stream: &mut Stream, nodes: &[NodeId], after_operations: u64) -> Fault {
    Fault::PowerCut {
        nodes: nodes.to_vec(),
        after_operations,
        unsynced: if stream.chance(500_000) {
            Unsynced::Lost
        } else {
            Unsynced::Torn {
                seed: stream.next_u64(),
            }
        },
    }
}

pub(super) fn all_power(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let seconds = [stream.between(3_000, 6_000), stream.between(7_000, 10_000)];
    let entries = seconds.map(|at_ms| Entry {
        at: Duration::from_millis(at_ms),
        lasting: Duration::from_millis(stream.between(50, 1_500)),
        fault: {
            let after_operations = stream.below(2) * stream.between(1, 40);
            power_cut(stream, nodes, after_operations)
        },
    });
    Schedule {
        entries: entries.into(),
    }
}

/// Whoever is elected is elected by the bridge. It is away until nobody leads, comes back, and is away again after a few
/// operations of its disk when votes are asked for; soon after that it is asked again.
pub(super) fn voters(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let mut nodes = nodes.to_vec();
    stream.shuffle(&mut nodes);
    let [one, bridge, _] = *nodes.as_slice() else {
        return Schedule::default();
    };
    let begin = Duration::from_millis(1_500);
    let mut entries = vec![Entry {
        at: begin,
        lasting: WORK.saturating_sub(begin),
        fault: Fault::Partition(Partition::Bridge {
            side: vec![one],
            bridge,
        }),
    }];
    let mut at = begin;
    while at + Duration::from_secs(4) < WORK {
        let away = Duration::from_millis(stream.between(1_000, 1_600));
        let first = power_cut(stream, &[bridge], 0);
        // It has been asked for the first votes by then, or is about to be.
        let votes = at + away + Duration::from_millis(stream.between(50, 900));
        let soon = Duration::from_millis(stream.between(20, 150));
        let after_operations = stream.between(1, 8);
        let second = power_cut(stream, &[bridge], after_operations);
        for (at, lasting, fault) in [(at, away, first), (votes, soon, second)] {
            entries.push(Entry { at, lasting, fault });
        }
        at = votes + soon + Duration::from_millis(stream.between(800, 1_500));
    }
    Schedule { entries }
}

/// What one node says to another takes longer than an election. First these two hear each other only; from one moment on,
/// the first one is heard by nobody: what the second one has said before it followed the third one is still under way.
pub(super) fn lateness(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let mut nodes = nodes.to_vec();
    stream.shuffle(&mut nodes);
    let [left, far, _] = *nodes.as_slice() else {
        return Schedule::default();
    };
    let millis = Duration::from_millis;
    let delay_ms = stream.between(1_000, 2_200);
    let begin = millis(1_500);
    let moment = begin + millis(2 * delay_ms) + millis(stream.below(500));
    let apart = moment.saturating_sub(millis(stream.below(2 * delay_ms)));
    let heard = millis(2 * delay_ms + 1_500);
    let entry = |at, until: Duration, fault| Entry {
        at,
        lasting: until.saturating_sub(at),
        fault,
    };
    let between = Partition::Bridge {
        side: vec![left],
        bridge: far,
    };
    let end = moment + heard;
    let delay_ms = u32::try_from(delay_ms).unwrap_or(u32::MAX);
    Schedule {
        entries: vec![
            entry(begin, end, Fault::FarLink(left, far, delay_ms)),
            entry(apart, end, Fault::Partition(between)),
            entry(moment, end, Fault::Partition(Partition::Muted(vec![left]))),
        ],
    }
}

/// One node is away for so long that the log is not kept for it, and soon after it is back one is again: the same, while it
/// is filled, or one of those that fill it.
pub(super) fn absence(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let millis = Duration::from_millis;
    let mut entries = Vec::new();
    let mut at = millis(stream.between(1_500, 4_000));
    while at + millis(12_000) < ABSENCE_WORK {
        let lasting = millis(stream.between(11_000, 22_000)).min(ABSENCE_WORK.saturating_sub(at));
        let away = stream.pick(nodes).copied().unwrap_or(NodeId(1));
        let fault = if stream.chance(500_000) {
            Fault::Kill(vec![away])
        } else {
            power_cut(stream, &[away], 0)
        };
        entries.push(Entry { at, lasting, fault });
        at += lasting + millis(stream.between(20, 3_000));
    }
    Schedule { entries }
}

/// Every link takes long, each for a time of its own, and changes now and then.
pub(super) fn distance(stream: &mut Stream, nodes: &[NodeId]) -> Schedule {
    let mut entries = Vec::new();
    let far = Duration::from_secs(3);
    for (place, one) in nodes.iter().enumerate() {
        for other in nodes.iter().skip(place + 1) {
            let mut at = Duration::from_millis(1_500);
            while at < WORK {
                let delay_ms = u32::try_from(stream.between(1, 150)).unwrap_or(1);
                entries.push(Entry {
                    at,
                    lasting: far.min(WORK.saturating_sub(at)),
                    fault: Fault::FarLink(*one, *other, delay_ms),
                });
                at += far;
            }
        }
    }
    entries.sort_by_key(|entry| entry.at);
    Schedule { entries }
}
