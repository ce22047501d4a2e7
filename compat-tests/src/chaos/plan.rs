//! What befalls a cluster, and when: drawn from a seed before anything begins, and printed, so that a run can be asked for
//! again.
//!
//! Invariant: pure; the same seed, nodes and length give the same plan. At no moment are more nodes impaired than a cluster
//! does without, unless a fault is about that, and nothing else goes on meanwhile then. Not here: how it is done (`nemesis.rs`).
//!
//! Nodes that join, leave or lose their disks are faults as well. A disk is lost once at most in a plan: what lies on two of three
//! lost disks is lost.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use crate::Random;

/// The first fault comes after so long.
const FIRST: Duration = Duration::from_secs(2);
/// From one fault's beginning to the next one's: at least so long, and at most three times that. They may overlap.
const BETWEEN: Duration = Duration::from_millis(800);
/// How long the cluster is whole after each fault that it was alone with.
const REST: Duration = Duration::from_secs(2);
/// How long a node is frozen: up to ten seconds, mostly less.
const FROZEN: Duration = Duration::from_secs(10);
/// The same in every second case.
const FROZEN_SHORT: Duration = Duration::from_secs(2);
/// How long a fault lasts at most that has no bound of its own.
const LASTS: Duration = Duration::from_secs(5);
/// How long everything lasts at least.
const LASTS_MIN: Duration = Duration::from_millis(100);
/// What is slow is so much slower at most.
const DELAY: Duration = Duration::from_millis(200);
/// A connection on a slow link gets at least so many bytes a second.
const SLOWEST: u64 = 64 << 10;
/// How wrong a clock is at most: less than the 15 minutes by which the date of a signature may differ (AWS, "Signature
/// Version 4": requests are valid for 15 minutes).
const CLOCK_MS: u64 = 10 * 60 * 1000;
/// A node that was taken in or has lost its disk is left alone for so long.
const NEW: Duration = Duration::from_secs(4);
/// A plan has a cluster grow by so many nodes at most.
const MORE_NODES: usize = 2;
/// A full disk stays full for at least so long, so that somebody needs room.
const FULL_MIN: Duration = Duration::from_secs(2);

/// Which way it does not go between a node and others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Direction {
    /// Others do not reach it.
    In,
    /// It does not reach others.
    Out,
    /// Neither.
    Both,
}

/// What befalls a cluster. Nodes are named by their ids.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a start afterwards.
    Kill(u64),
    /// SIGSTOP, and SIGCONT afterwards.
    Freeze(u64),
    /// A node without the others.
    CutOff(u64, Direction),
    /// Two nodes without each other: the direction is the first one's.
    Cut(u64, u64, Direction),
    /// What one node says to another comes later, by this and up to so much more.
    Delay(u64, u64, Duration, Duration),
    /// What one node says to another comes at so many bytes a second.
    Slow(u64, u64, u32),
    /// The connections between two nodes break.
    Disconnect(u64, u64),
    /// Syncs fail; the process has to end, and is started again afterwards.
    SyncFails(u64),
    /// There is no room for new files; a process that ends is started again afterwards.
    NoRoom(u64),
    /// The disk takes no write for want of room; the process has to end, and is started again afterwards.
    DiskFull(u64),
    /// The wall clock is wrong by so many milliseconds.
    Clock(u64, i64),
    /// All nodes, one after the other: SIGTERM, the end, a start.
    RollingRestart,
    /// All nodes at once: `kill -9`, and a start afterwards.
    Blackout,
    /// A new node, which had this number never before.
    Join(u64),
    /// A node gives up its data to the others and leaves; other faults may befall it meanwhile.
    Leave(u64),
    /// `kill -9`, an empty disk, and a start afterwards.
    Wipe(u64),
    /// `kill -9` and an empty disk; others take its place.
    Remove(u64),
}

/// A fault, when it begins since the clients did, and how long it lasts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// When it begins.
    pub at: Duration,
    /// How long it lasts.
    pub length: Duration,
    /// What it is.
    pub fault: Fault,
}

/// One end of a step, by its place in the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// It begins.
    Begin(usize),
    /// It ends.
    End(usize),
}

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// In the order of their beginnings.
    pub steps: Vec<Step>,
}

impl Fault {
    /// Its kind, in words.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Kill(_) => "kill -9",
            Self::Freeze(_) => "freeze",
            Self::CutOff(_, Direction::Both) => "node cut off",
            Self::CutOff(..) => "node cut off one way",
            Self::Cut(_, _, Direction::Both) => "link cut",
            Self::Cut(..) => "link cut one way",
            Self::Delay(..) => "slow one way",
            Self::Slow(..) => "narrow link",
            Self::Disconnect(..) => "connections broken",
            Self::SyncFails(_) => "fsync error",
            Self::NoRoom(_) => "no room on disk",
            Self::DiskFull(_) => "disk full",
            Self::Clock(..) => "wrong clock",
            Self::RollingRestart => "rolling restart",
            Self::Blackout => "all killed",
            Self::Join(_) => "node joins",
            Self::Leave(_) => "node leaves",
            Self::Wipe(_) => "disk lost",
            Self::Remove(_) => "node lost",
        }
    }

    /// Whether nothing else may go on meanwhile.
    pub fn is_alone(&self) -> bool {
        matches!(self, Self::RollingRestart | Self::Blackout)
    }

    /// The node that it keeps from serving with the others. Of two that do not hear each other it is one, so that a majority
    /// is left whose members hear each other.
    pub fn impairs(&self) -> Option<u64> {
        match *self {
            Self::Kill(node)
            | Self::Freeze(node)
            | Self::CutOff(node, _)
            | Self::Cut(node, ..)
            | Self::SyncFails(node)
            | Self::NoRoom(node)
            | Self::DiskFull(node)
            | Self::Join(node)
            | Self::Wipe(node)
            | Self::Remove(node) => Some(node),
            Self::Leave(_)
            | Self::Delay(..)
            | Self::Slow(..)
            | Self::Disconnect(..)
            | Self::Clock(..)
            | Self::RollingRestart
            | Self::Blackout => None,
        }
    }

    /// What it changes: two faults of one thing do not overlap, or the end of one would end the other. `None` stands for the
    /// whole of a node or link.
    fn place(&self) -> (&'static str, u64, u64) {
        match *self {
            Self::Delay(from, to, ..) => ("delay", from, to),
            Self::Slow(from, to, _) => ("slow", from, to),
            Self::Clock(node, _) => ("clock", node, 0),
            Self::Disconnect(one, other) => ("connections", one, other),
            _ => (self.kind(), self.impairs().unwrap_or(0), 0),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.kind())?;
        match self {
            Self::Kill(node)
            | Self::Freeze(node)
            | Self::SyncFails(node)
            | Self::NoRoom(node)
            | Self::DiskFull(node)
            | Self::Join(node)
            | Self::Leave(node)
            | Self::Wipe(node)
            | Self::Remove(node) => write!(f, "node {node}"),
            Self::CutOff(node, direction) => write!(f, "node {node}, {direction:?}"),
            Self::Cut(one, other, direction) => write!(f, "node {one} and node {other}, {direction:?}"),
            Self::Delay(from, to, delay, jitter) => {
                let (delay, jitter) = (delay.as_millis(), jitter.as_millis());
                write!(f, "node {from} to node {to}, {delay} to {} ms", delay + jitter)
            }
            Self::Slow(from, to, rate) => write!(f, "node {from} to node {to}, {} KiB/s", rate >> 10),
            Self::Disconnect(one, other) => write!(f, "node {one} and node {other}"),
            Self::Clock(node, ms) => write!(f, "node {node}, {ms:+} ms"),
            Self::RollingRestart | Self::Blackout => f.write_str("every node"),
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (at, length) = (self.at.as_secs_f64(), self.length.as_secs_f64());
        write!(f, "{at:8.3} s for {length:6.3} s  {}", self.fault)
    }
}

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| writeln!(f, "{step}"))
    }
}

impl Step {
    fn end(&self) -> Duration {
        self.at + self.length
    }
}

/// The nodes of a cluster, as a plan makes them more and fewer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Nodes {
    /// Their numbers, at least three.
    pub now: BTreeSet<u64>,
    /// The highest number that a node has had.
    pub made: u64,
    /// Those that may still be there, although they are to leave.
    pub leaving: BTreeSet<u64>,
    /// How many there are to be again.
    pub usual: usize,
}

/// How many replicas everything has: a cluster is not left with fewer nodes.
const LEAST: usize = 3;

impl Nodes {
    /// So many, from number 1 on.
    pub fn first(count: u64) -> Self {
        Self {
            now: (1..=count).collect(),
            made: count,
            leaving: BTreeSet::new(),
            usual: usize::try_from(count).unwrap_or(usize::MAX),
        }
    }

    /// Any but this one.
    fn any_but(&self, random: &mut Random, node: u64) -> u64 {
        let all: Vec<u64> = self
            .now
            .union(&self.leaving)
            .copied()
            .filter(|other| *other != node)
            .collect();
        let place = random.below(all.len().try_into().unwrap_or(u64::MAX));
        let place = usize::try_from(place).unwrap_or_default();
        all.get(place).copied().unwrap_or_default()
    }

    /// Any that is to stay.
    fn any_that_stays(&self, random: &mut Random) -> u64 {
        let stays = Self {
            leaving: BTreeSet::new(),
            ..self.clone()
        };
        stays.any_but(random, 0)
    }

    /// More or fewer, or one with another disk; something else when there are too many or too few.
    fn change(&self, random: &mut Random, has_lost: bool) -> Option<Fault> {
        let kinds = random.below(4);
        let may_go = self.now.len() > LEAST && self.now.len() >= self.usual;
        match kinds {
            0 if !has_lost => Some(Fault::Wipe(self.any_that_stays(random))),
            1 if !has_lost && may_go => Some(Fault::Remove(self.any_that_stays(random))),
            2 if may_go => Some(Fault::Leave(self.any_that_stays(random))),
            _ => (self.now.len() < self.usual + MORE_NODES).then_some(Fault::Join(self.made + 1)),
        }
    }

    fn take(&mut self, fault: &Fault) {
        match *fault {
            Fault::Join(node) => {
                self.now.insert(node);
                self.made = self.made.max(node);
            }
            Fault::Leave(node) => {
                self.now.remove(&node);
                self.leaving.insert(node);
            }
            Fault::Remove(node) => {
                self.now.remove(&node);
            }
            _ => {}
        }
    }
}

impl Plan {
    /// A plan for these nodes, which are others in the end; no fault begins later than `length`.
    pub fn new(seed: u64, nodes: &mut Nodes, length: Duration) -> Self {
        const PURPOSE: u64 = 77;
        let mut random = Random::new(seed, PURPOSE);
        let mut steps: Vec<Step> = Vec::new();
        let mut at = FIRST;
        while at < length {
            let has_lost = steps
                .iter()
                .any(|step| matches!(step.fault, Fault::Wipe(_) | Fault::Remove(_)));
            let fault = draw(&mut random, nodes, has_lost);
            let lasts = lasts(&mut random, &fault);
            let begins = may_begin(&steps, &fault, nodes.now.len(), at);
            if begins > at + LASTS || begins >= length {
                // Something else has room before.
                at += BETWEEN;
                continue;
            }
            let step = Step {
                at: begins,
                length: lasts,
                fault,
            };
            nodes.take(&step.fault);
            at = if step.fault.is_alone() {
                step.end() + REST
            } else {
                begins + BETWEEN + random.duration(BETWEEN * 2)
            };
            steps.push(step);
        }
        steps.sort_by_key(|step| step.at);
        Self { steps }
    }

    /// The ends of all steps in the order of time; what ends goes before what begins.
    pub fn moments(&self) -> Vec<(Duration, Moment)> {
        let mut moments: Vec<_> = self
            .steps
            .iter()
            .enumerate()
            .flat_map(|(place, step)| [(step.at, Moment::Begin(place)), (step.end(), Moment::End(place))])
            .collect();
        moments.sort_by_key(|(at, moment)| (*at, matches!(moment, Moment::Begin(_))));
        moments
    }
}

/// The first moment from `at` on at which a fault may begin beside those that are planned.
fn may_begin(steps: &[Step], fault: &Fault, nodes: usize, at: Duration) -> Duration {
    let mut begins = at;
    loop {
        let active = || steps.iter().filter(|step| step.end() + REST / 4 > begins);
        let is_in_the_way = |step: &&Step| {
            step.fault.is_alone() || fault.is_alone() || step.fault.place() == fault.place() || {
                // A node is in one trouble at a time, or the end of one would meet the other.
                let impaired = fault.impairs();
                impaired.is_some() && step.fault.impairs() == impaired
            }
        };
        let impaired: BTreeSet<u64> = active().filter_map(|step| step.fault.impairs()).collect();
        let spare = nodes.saturating_sub(1) / 2;
        let has_too_many = fault.impairs().is_some() && impaired.len() >= spare;
        let blocks =
            active().filter(|step| is_in_the_way(step) || (has_too_many && step.fault.impairs().is_some()));
        match blocks.map(Step::end).min() {
            Some(end) => begins = end + REST / 4,
            None => return begins,
        }
    }
}

fn draw(random: &mut Random, nodes: &Nodes, has_lost: bool) -> Fault {
    let node = nodes.any_but(random, 0);
    let other = nodes.any_but(random, node);
    let direction = |random: &mut Random| match random.below(3) {
        0 => Direction::In,
        1 => Direction::Out,
        _ => Direction::Both,
    };
    match random.below(100) {
        0..14 => Fault::Kill(node),
        14..28 => Fault::Freeze(node),
        28..40 => Fault::CutOff(node, direction(random)),
        40..50 => Fault::Cut(node, other, direction(random)),
        50..61 => Fault::Delay(node, other, random.duration(DELAY), random.duration(DELAY)),
        61..66 => {
            let rate = SLOWEST + random.below(SLOWEST * 4);
            Fault::Slow(node, other, u32::try_from(rate).unwrap_or(u32::MAX))
        }
        66..71 => Fault::Disconnect(node, other),
        71..75 => Fault::SyncFails(node),
        75..79 => Fault::NoRoom(node),
        79..83 => Fault::DiskFull(node),
        83..90 => {
            let wrong = i64::try_from(random.below(2 * CLOCK_MS)).unwrap_or(0);
            Fault::Clock(node, wrong - i64::try_from(CLOCK_MS).unwrap_or(0))
        }
        90..93 => Fault::RollingRestart,
        93..95 => Fault::Blackout,
        _ => {
            let change = nodes.change(random, has_lost);
            change.unwrap_or(Fault::Kill(node))
        }
    }
}

fn lasts(random: &mut Random, fault: &Fault) -> Duration {
    match fault {
        Fault::Disconnect(..) | Fault::RollingRestart | Fault::Leave(_) => Duration::from_millis(1),
        Fault::Join(_) | Fault::Wipe(_) | Fault::Remove(_) => NEW + random.duration(NEW),
        Fault::Freeze(_) if random.percent(50) => between(random, LASTS_MIN, FROZEN_SHORT),
        Fault::Freeze(_) => between(random, LASTS_MIN, FROZEN),
        Fault::NoRoom(_) | Fault::DiskFull(_) => between(random, FULL_MIN, LASTS),
        Fault::Delay(..) | Fault::Slow(..) | Fault::Clock(..) => LASTS_MIN + random.duration(LASTS * 2),
        _ => between(random, LASTS_MIN, LASTS),
    }
}

fn between(random: &mut Random, least: Duration, most: Duration) -> Duration {
    least + random.duration(most.saturating_sub(least))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    const LENGTH: Duration = Duration::from_secs(60);

    fn plan(seed: u64, nodes: u64) -> Plan {
        Plan::new(seed, &mut Nodes::first(nodes), LENGTH)
    }

    fn plans() -> impl Iterator<Item = (u64, Plan)> {
        (3..=7).flat_map(|nodes| (0..60).map(move |seed| (nodes, plan(seed, nodes))))
    }

    #[test]
    fn a_seed_gives_one_plan_and_another_seed_another_one() {
        assert_eq!(plan(5, 3), plan(5, 3));
        assert_ne!(plan(5, 3), plan(6, 3));
        let printed = plan(5, 3).to_string();
        assert_eq!(printed.lines().count(), plan(5, 3).steps.len());
    }

    #[test]
    fn a_majority_is_left_at_every_moment() {
        for (nodes, plan) in plans() {
            for step in &plan.steps {
                let at_once = plan
                    .steps
                    .iter()
                    .filter(|other| other.at <= step.at && step.at <= other.end());
                let impaired: Vec<u64> = at_once.filter_map(|other| other.fault.impairs()).collect();
                let distinct: BTreeSet<u64> = impaired.iter().copied().collect();
                assert_eq!(impaired.len(), distinct.len(), "{plan}");
                let most = nodes + u64::try_from(MORE_NODES).unwrap();
                assert!(u64::try_from(impaired.len()).unwrap() <= (most - 1) / 2, "{plan}");
            }
        }
    }

    #[test]
    fn nodes_come_and_go_and_enough_are_left_with_their_disks() {
        let (mut most, mut least) = (0, usize::MAX);
        for seed in 0..200 {
            let mut nodes = Nodes::first(4);
            for round in 0..3 {
                let before = nodes.clone();
                let plan = Plan::new(seed * 3 + round, &mut nodes, LENGTH);
                let lost = plan
                    .steps
                    .iter()
                    .filter(|step| matches!(step.fault, Fault::Wipe(_) | Fault::Remove(_)));
                assert!(lost.count() <= 1, "{plan}");
                let mut now = before.now;
                for step in &plan.steps {
                    match step.fault {
                        Fault::Join(node) => assert!(now.insert(node) && node > before.made, "{plan}"),
                        Fault::Leave(node) | Fault::Remove(node) => assert!(now.remove(&node), "{plan}"),
                        _ => {}
                    }
                    (most, least) = (most.max(now.len()), least.min(now.len()));
                }
                assert_eq!(now, nodes.now);
                nodes.leaving.clear();
            }
        }
        assert_eq!((least, most), (LEAST, 4 + MORE_NODES));
    }

    #[test]
    fn what_is_to_be_alone_is_alone_and_two_faults_of_one_thing_do_not_overlap() {
        for (_, plan) in plans() {
            for (place, step) in plan.steps.iter().enumerate() {
                for other in plan.steps.iter().skip(place + 1) {
                    let overlap = other.at <= step.end();
                    let alone = step.fault.is_alone() || other.fault.is_alone();
                    assert!(!(overlap && alone), "{plan}");
                    assert!(!(overlap && step.fault.place() == other.fault.place()), "{plan}");
                }
            }
        }
    }

    #[test]
    fn every_kind_of_fault_comes_and_each_names_nodes_that_there_are() {
        let mut kinds = BTreeMap::<&str, usize>::new();
        for (nodes, plan) in plans() {
            assert!(plan.steps.len() > 10, "{plan}");
            for step in &plan.steps {
                *kinds.entry(step.fault.kind()).or_default() += 1;
                assert!(step.at < LENGTH && step.length <= LASTS * 2 + LASTS_MIN);
                let (_, one, other) = step.fault.place();
                let joined = plan.steps.iter().filter_map(|step| match step.fault {
                    Fault::Join(node) => Some(node),
                    _ => None,
                });
                let most = joined.max().unwrap_or(nodes);
                assert!(
                    one <= most && other <= most && (one != other || one == 0),
                    "{step}"
                );
                if let Fault::Cut(one, other, _) = step.fault {
                    assert!(one != other && (1..=most).contains(&other), "{step}");
                }
            }
        }
        assert_eq!(kinds.len(), 19, "{kinds:?}");
    }

    #[test]
    fn moments_come_in_order_and_each_step_has_two() {
        for (_, plan) in plans() {
            let moments = plan.moments();
            assert!(moments.is_sorted_by_key(|(at, _)| *at));
            let mut begun = BTreeSet::new();
            for (_, moment) in &moments {
                match moment {
                    Moment::Begin(place) => assert!(begun.insert(*place)),
                    Moment::End(place) => assert!(begun.contains(place)),
                }
            }
            assert_eq!(
                (begun.len(), moments.len()),
                (plan.steps.len(), plan.steps.len() * 2)
            );
        }
    }
}
