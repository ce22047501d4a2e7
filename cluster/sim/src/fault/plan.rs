//! Makes schedules: what a seed breaks.
//!
//! Invariant: a pure function of its settings and a stream. Every kind of fault that is allowed comes about as often as
//! the others; power cuts and partitions, which find most, come twice as often.

use std::time::Duration;

use stator_cluster::NodeId;
use stator_storage::vfs::mem::Unsynced;

use super::{Entry, Fault, Partition, Schedule};
use crate::random::{Spread, Stream};

/// The longest jump of a wall clock, in milliseconds: one hour.
const CLOCK_JUMP_MS_MAX: u64 = 3_600_000;

/// What may be broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kinds {
    /// Processes are killed.
    pub kills: bool,
    /// Machines lose power.
    pub power_cuts: bool,
    /// Processes are stopped, machines are suspended.
    pub pauses: bool,
    /// Links are cut.
    pub partitions: bool,
    /// Disks and links are slow, links lose messages.
    pub slowness: bool,
    /// Wall clocks jump, steady clocks drift.
    pub clocks: bool,
}

impl Kinds {
    /// Everything.
    pub const ALL: Self = Self {
        kills: true,
        power_cuts: true,
        pauses: true,
        partitions: true,
        slowness: true,
        clocks: true,
    };
    /// Nothing.
    pub const NONE: Self = Self {
        kills: false,
        power_cuts: false,
        pauses: false,
        partitions: false,
        slowness: false,
        clocks: false,
    };
}

/// How much is broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlanSettings {
    /// What.
    pub kinds: Kinds,
    /// Nothing is broken before.
    pub from: Duration,
    /// Everything has ended by then.
    pub until: Duration,
    /// How long after the beginning of one fault the next one begins.
    pub gap: Spread,
    /// How long one lasts.
    pub lasting: Spread,
}

impl Default for PlanSettings {
    /// Half a minute in which there is nearly always something broken, and sometimes two or three things at once.
    fn default() -> Self {
        Self {
            kinds: Kinds::ALL,
            from: Duration::from_secs(1),
            until: Duration::from_secs(30),
            gap: Spread {
                least: Duration::from_millis(100),
                usual: Duration::from_secs(3),
                tail_ppm: 50_000,
                tail: Duration::from_secs(8),
            },
            lasting: Spread {
                least: Duration::from_millis(50),
                usual: Duration::from_secs(3),
                tail_ppm: 100_000,
                tail: Duration::from_secs(10),
            },
        }
    }
}

/// Makes a schedule for a cluster of these nodes.
pub fn plan(stream: &mut Stream, nodes: &[NodeId], settings: &PlanSettings) -> Schedule {
    let makers = makers(settings.kinds);
    let mut entries = Vec::new();
    let mut at = settings.from.saturating_add(stream.duration(&settings.gap));
    while at < settings.until {
        let lasting = stream
            .duration(&settings.lasting)
            .min(settings.until.saturating_sub(at));
        let fault = stream.pick(&makers).copied().and_then(|make| make(stream, nodes));
        entries.extend(fault.map(|fault| Entry { at, lasting, fault }));
        at = at.saturating_add(stream.duration(&settings.gap).max(Duration::from_millis(1)));
    }
    Schedule { entries }
}

type Maker = fn(&mut Stream, &[NodeId]) -> Option<Fault>;

fn makers(kinds: Kinds) -> Vec<Maker> {
    let all: [(bool, &[Maker]); 6] = [
        (kinds.kills, &[kill]),
        (kinds.power_cuts, &[power_cut, power_cut]),
        (kinds.pauses, &[pause]),
        (kinds.partitions, &[partition, partition]),
        (kinds.slowness, &[slow_disk, slow_link]),
        (kinds.clocks, &[clock]),
    ];
    let allowed = all.iter().filter(|(is_allowed, _)| *is_allowed);
    allowed.flat_map(|(_, makers)| makers.iter().copied()).collect()
}

/// Some of the nodes: mostly one, sometimes a minority or a majority, sometimes all.
fn victims(stream: &mut Stream, nodes: &[NodeId]) -> Vec<NodeId> {
    let all = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
    let count = match stream.below(10) {
        0..5 => 1,
        5..8 => stream.between(1, all),
        _ => all,
    };
    some(stream, nodes, count)
}

fn some(stream: &mut Stream, nodes: &[NodeId], count: u64) -> Vec<NodeId> {
    let mut chosen = nodes.to_vec();
    stream.shuffle(&mut chosen);
    chosen.truncate(usize::try_from(count).unwrap_or(usize::MAX));
    chosen.sort_unstable();
    chosen
}

fn kill(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let victims = victims(stream, nodes);
    (!victims.is_empty()).then_some(Fault::Kill(victims))
}

fn power_cut(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let victims = victims(stream, nodes);
    let unsynced = match stream.below(4) {
        0 => Unsynced::Lost,
        1 => Unsynced::Kept,
        _ => Unsynced::Torn {
            seed: stream.next_u64(),
        },
    };
    let after_operations = if stream.chance(500_000) {
        0
    } else {
        stream.between(1, 60)
    };
    (!victims.is_empty()).then_some(Fault::PowerCut {
        nodes: victims,
        after_operations,
        unsynced,
    })
}

fn pause(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let node = *stream.pick(nodes)?;
    Some(if stream.chance(700_000) {
        Fault::Pause(node)
    } else {
        Fault::Suspend(node)
    })
}

fn partition(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let all = u64::try_from(nodes.len()).unwrap_or(u64::MAX);
    if all < 2 {
        return None;
    }
    let count = stream.between(1, (all / 2).max(1));
    let minority = some(stream, nodes, count);
    let one = some(stream, nodes, 1);
    let partition = match stream.below(6) {
        0 | 1 => Partition::Split(minority),
        2 => Partition::Split(one),
        3 => Partition::Muted(one),
        4 => Partition::Deafened(one),
        _ => {
            let bridge = *nodes.iter().find(|node| !minority.contains(node))?;
            Partition::Bridge {
                side: minority,
                bridge,
            }
        }
    };
    Some(Fault::Partition(partition))
}

fn slow_disk(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let factor = u32::try_from(stream.between(5, 200)).ok()?;
    Some(Fault::SlowDisk(*stream.pick(nodes)?, factor))
}

fn slow_link(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let pair = some(stream, nodes, 2);
    let [one, other] = *pair.as_slice() else {
        return None;
    };
    if stream.chance(500_000) {
        let factor = u32::try_from(stream.between(5, 1_000)).ok()?;
        Some(Fault::SlowLink(one, other, factor))
    } else {
        let ppm = u32::try_from(stream.between(50_000, 700_000)).ok()?;
        Some(Fault::LossyLink(one, other, ppm))
    }
}

fn clock(stream: &mut Stream, nodes: &[NodeId]) -> Option<Fault> {
    let node = *stream.pick(nodes)?;
    let is_back = stream.chance(500_000);
    if stream.chance(700_000) {
        let by_ms = i64::try_from(stream.between(1, CLOCK_JUMP_MS_MAX)).ok()?;
        Some(Fault::ClockJump(node, if is_back { -by_ms } else { by_ms }))
    } else {
        let ppm = i32::try_from(stream.between(100, 50_000)).ok()?;
        Some(Fault::ClockDrift(node, if is_back { -ppm } else { ppm }))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::mem::discriminant;

    use super::*;
    use crate::random::Seed;

    fn planned(seed: u64, settings: &PlanSettings) -> Schedule {
        let nodes: Vec<_> = (1..=5).map(NodeId).collect();
        plan(&mut Seed(seed).stream("plan", 0), &nodes, settings)
    }

    #[test]
    fn a_seed_has_one_schedule_and_all_of_it_ends_in_time() {
        let settings = PlanSettings::default();
        let mut lengths = BTreeSet::new();
        for seed in 0..200 {
            let schedule = planned(seed, &settings);
            assert_eq!(schedule, planned(seed, &settings));
            assert!(schedule.entries.iter().all(|entry| entry.at >= settings.from));
            assert!(schedule.end() <= settings.until);
            assert!(schedule.entries.is_sorted_by_key(|entry| entry.at));
            lengths.insert(schedule.entries.len());
        }
        assert!(
            lengths.len() > 5 && lengths.iter().any(|length| *length > 10),
            "{lengths:?}"
        );
    }

    #[test]
    fn every_kind_comes_and_only_those_that_are_allowed() {
        let kinds = |settings: &PlanSettings| {
            let mut found = Vec::new();
            for entry in (0..100).flat_map(|seed| planned(seed, settings).entries) {
                if !found.contains(&discriminant(&entry.fault)) {
                    found.push(discriminant(&entry.fault));
                }
            }
            found.len()
        };
        let only = |kinds| PlanSettings {
            kinds,
            ..PlanSettings::default()
        };
        assert_eq!(kinds(&only(Kinds::ALL)), 10);
        assert_eq!(
            kinds(&only(Kinds {
                clocks: true,
                ..Kinds::NONE
            })),
            2
        );
        assert_eq!(kinds(&only(Kinds::NONE)), 0);
    }

    #[test]
    fn a_cluster_of_one_is_never_partitioned() {
        let mut stream = Seed(1).stream("plan", 0);
        let schedules = (0..50).map(|_| plan(&mut stream, &[NodeId(1)], &PlanSettings::default()));
        let mut faults = schedules.flat_map(|schedule| schedule.entries);
        assert!(!faults.any(|entry| matches!(
            entry.fault,
            Fault::Partition(_) | Fault::SlowLink(..) | Fault::LossyLink(..)
        )));
    }
}
