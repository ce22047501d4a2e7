//! Carries a schedule out.
//!
//! Invariant: what is broken at a moment follows from the faults that last at that moment, however they overlap: a node
//! runs when no fault keeps it down, a link is cut while any partition cuts it, the strongest slowness and the first drift
//! count, jumps add up.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::NodeId;

use super::{Fault, Schedule};
use crate::kernel::{Control, Crash};

/// The faults under way. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Nemesis(Arc<Mutex<BTreeMap<usize, Fault>>>);

/// Lets a schedule come over the world of `control`. The returned handle tells what is broken.
pub fn unleash(control: &Control, schedule: &Schedule) -> Nemesis {
    let nemesis = Nemesis::default();
    let now = control.now();
    for (place, entry) in schedule.entries.iter().enumerate() {
        let (begins, ends) = (nemesis.clone(), nemesis.clone());
        let fault = entry.fault.clone();
        control.after(entry.at.saturating_sub(now), move |control| {
            begins.begin(control, place, &fault);
        });
        control.after(entry.end().saturating_sub(now), move |control| {
            ends.end(control, place);
        });
    }
    nemesis
}

impl Nemesis {
    /// How many faults are under way.
    pub fn active(&self) -> usize {
        self.0.lock().len()
    }

    fn begin(&self, control: &Control, place: usize, fault: &Fault) {
        control.note_fault(format!("{place} begins: {fault}"));
        self.0.lock().insert(place, fault.clone());
        match fault {
            Fault::Kill(nodes) => {
                let up = nodes.iter().filter(|node| control.is_up(**node));
                up.for_each(|node| control.crash(*node, Crash::Kill));
            }
            Fault::PowerCut {
                nodes,
                after_operations,
                unsynced,
            } => {
                for node in nodes {
                    if *after_operations > 0 && control.is_up(*node) {
                        control.arm_power_cut(*node, *after_operations, *unsynced);
                    } else {
                        control.crash(*node, Crash::PowerCut(*unsynced));
                    }
                }
            }
            Fault::Wipe(node) => control.crash(*node, Crash::Wipe),
            Fault::ClockJump(node, by_ms) => control.jump_wall_clock(*node, *by_ms),
            _ => {}
        }
        self.settle(control, fault);
    }

    fn end(&self, control: &Control, place: usize) {
        let Some(fault) = self.0.lock().remove(&place) else {
            return;
        };
        control.note_fault(format!("{place} ends: {fault}"));
        match &fault {
            Fault::PowerCut { nodes, .. } => nodes.iter().for_each(|node| control.disarm_power_cut(*node)),
            Fault::ClockJump(node, by_ms) => control.jump_wall_clock(*node, by_ms.saturating_neg()),
            _ => {}
        }
        self.settle(control, &fault);
    }

    /// Brings the world into the state that the faults under way ask for, as far as `changed` concerns it.
    fn settle(&self, control: &Control, changed: &Fault) {
        match changed {
            Fault::Kill(nodes) | Fault::PowerCut { nodes, .. } => {
                for node in nodes {
                    self.bring_up(control, *node);
                }
            }
            Fault::Wipe(node) => self.bring_up(control, *node),
            Fault::Pause(node) | Fault::Suspend(node) => {
                control.resume(*node);
                self.halt(control, *node);
            }
            Fault::Partition(_) => self.settle_links(control),
            Fault::SlowDisk(node, _) => {
                let slowness = self.strongest(|fault| match fault {
                    Fault::SlowDisk(slow, factor) if slow == node => Some(*factor),
                    _ => None,
                });
                control.set_disk_slowness(*node, slowness.unwrap_or(1));
            }
            Fault::SlowLink(one, other, _)
            | Fault::LossyLink(one, other, _)
            | Fault::FarLink(one, other, _) => {
                let is_it = |a: &NodeId, b: &NodeId| (a, b) == (one, other) || (b, a) == (one, other);
                let slowness = self.strongest(|fault| match fault {
                    Fault::SlowLink(a, b, factor) if is_it(a, b) => Some(*factor),
                    _ => None,
                });
                let loss = self.strongest(|fault| match fault {
                    Fault::LossyLink(a, b, ppm) if is_it(a, b) => Some(*ppm),
                    _ => None,
                });
                let more_ms = self.strongest(|fault| match fault {
                    Fault::FarLink(a, b, ms) if is_it(a, b) => Some(*ms),
                    _ => None,
                });
                let more = Duration::from_millis(more_ms.unwrap_or(0).into());
                for (from, to) in [(*one, *other), (*other, *one)] {
                    control.set_link_slowness(from, to, slowness.unwrap_or(1));
                    control.set_link_loss(from, to, loss.unwrap_or(0));
                    control.set_link_delay(from, to, more);
                }
            }
            Fault::ClockDrift(node, _) => {
                let drift = self.0.lock().values().find_map(|fault| match fault {
                    Fault::ClockDrift(drifting, ppm) if drifting == node => Some(*ppm),
                    _ => None,
                });
                control.set_clock_drift(*node, drift.unwrap_or(0));
            }
            Fault::ClockJump(..) => {}
        }
    }

    /// Starts a node that is down, unless a fault under way keeps it down.
    fn bring_up(&self, control: &Control, node: NodeId) {
        if !control.is_up(node) && !self.keeps_down(node) {
            control.start(node);
            self.halt(control, node);
        }
    }

    fn strongest(&self, strength: impl Fn(&Fault) -> Option<u32>) -> Option<u32> {
        self.0.lock().values().filter_map(strength).max()
    }

    fn any(&self, is_one: impl Fn(&Fault) -> bool) -> bool {
        self.0.lock().values().any(is_one)
    }

    fn keeps_down(&self, node: NodeId) -> bool {
        self.any(|fault| match fault {
            Fault::Kill(nodes) | Fault::PowerCut { nodes, .. } => nodes.contains(&node),
            Fault::Wipe(wiped) => *wiped == node,
            _ => false,
        })
    }

    /// Pauses or suspends a node if a fault under way asks for it.
    fn halt(&self, control: &Control, node: NodeId) {
        if self.any(|fault| *fault == Fault::Suspend(node)) {
            control.suspend(node);
        } else if self.any(|fault| *fault == Fault::Pause(node)) {
            control.pause(node);
        }
    }

    fn settle_links(&self, control: &Control) {
        let nodes = control.nodes();
        for from in &nodes {
            for to in nodes.iter().filter(|to| *to != from) {
                let is_cut = self
                    .any(|fault| matches!(fault, Fault::Partition(partition) if partition.cuts(*from, *to)));
                control.set_cut(*from, *to, is_cut);
            }
        }
    }
}
