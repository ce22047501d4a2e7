//! Faults of nodes and of the links between them while a load runs: one node at a time, in an order that a seed decides.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::{Cluster, Links, Random, Result, clock};

/// What befalls a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// `kill -9`, and a start after a while.
    Kill,
    /// SIGSTOP for five seconds, then SIGCONT.
    Freeze,
    /// Nothing reaches the node from other nodes, or nothing it says reaches them, or both. Needs links that can be cut.
    Cut,
}

/// How long a killed node stays away at most.
const AWAY: Duration = Duration::from_secs(3);
/// How long a frozen node is frozen.
const FROZEN: Duration = Duration::from_secs(5);
/// How long a node is cut off: at least so long, and at most twice that.
const CUT_OFF: Duration = Duration::from_secs(2);
/// How long all nodes run between two faults: at least so long, and at most twice that.
const BETWEEN: Duration = Duration::from_secs(1);

/// Breaks nodes.
#[derive(Debug)]
pub struct Faults {
    random: Random,
    kinds: Vec<Fault>,
    links: Option<Links>,
    begun: Instant,
}

impl Faults {
    /// Faults of these kinds; moments are printed since now.
    pub fn new(seed: u64, kinds: &[Fault]) -> Self {
        const PURPOSE: u64 = u64::MAX;
        Self {
            random: Random::new(seed, PURPOSE),
            kinds: kinds.to_vec(),
            links: None,
            begun: clock::now(),
        }
    }

    /// The links that [`Fault::Cut`] cuts.
    #[must_use]
    pub fn with_links(mut self, links: &Links) -> Self {
        self.links = Some(links.clone());
        self
    }

    /// Breaks one node after the other for so long, and says from when until when each fault lasted. All nodes run when it
    /// returns, and have for a while.
    ///
    /// # Errors
    /// When a node that was started does not become ready.
    pub fn run(mut self, cluster: &mut Cluster, duration: Duration) -> Result<Vec<Range<Instant>>> {
        let mut faults = Vec::new();
        self.rest();
        while self.begun.elapsed() < duration {
            let from = clock::now();
            self.one(cluster)?;
            faults.push(from..clock::now());
            self.rest();
        }
        Ok(faults)
    }

    fn rest(&mut self) {
        clock::pause(BETWEEN + self.random.duration(BETWEEN));
    }

    fn one(&mut self, cluster: &mut Cluster) -> Result<()> {
        let places: Vec<usize> = (0..cluster.members.len()).collect();
        let place = *self.random.pick(&places).ok_or("no node to break")?;
        let kind = *self.random.pick(&self.kinds).ok_or("no fault to choose")?;
        let member = cluster.member(place)?;
        let (id, at) = (member.id, self.begun.elapsed().as_secs_f64());
        match kind {
            Fault::Kill => {
                let away = self.random.duration(AWAY);
                eprintln!(
                    "{at:.3} s: kill -9 of node {id}, away for {:.3} s",
                    away.as_secs_f64()
                );
                member.kill()?;
                clock::pause(away);
                member.start()?.ready()?;
            }
            Fault::Freeze => {
                eprintln!("{at:.3} s: SIGSTOP of node {id} for {} s", FROZEN.as_secs());
                member.freeze()?;
                clock::pause(FROZEN);
                member.thaw()?;
            }
            Fault::Cut => {
                let id = member.id;
                let others: Vec<u64> = cluster.members.iter().map(|member| member.id).collect();
                self.cut_off(id, &others)?;
            }
        }
        let back = self.begun.elapsed().as_secs_f64();
        eprintln!("{back:.3} s: node {id} is back");
        Ok(())
    }

    fn cut_off(&mut self, id: u64, nodes: &[u64]) -> Result<()> {
        let links = self.links.clone().ok_or("no links that could be cut")?;
        let (hears, is_heard) = match self.random.below(3) {
            0 => (false, false),
            1 => (true, false),
            _ => (false, true),
        };
        let length = CUT_OFF + self.random.duration(CUT_OFF);
        eprintln!(
            "{:.3} s: node {id} {} others and {} by them for {:.3} s",
            self.begun.elapsed().as_secs_f64(),
            if hears { "hears" } else { "does not hear" },
            if is_heard { "is heard" } else { "is not heard" },
            length.as_secs_f64()
        );
        for other in nodes.iter().filter(|other| **other != id) {
            if !hears {
                links.cut(*other, id);
            }
            if !is_heard {
                links.cut(id, *other);
            }
        }
        clock::pause(length);
        links.heal();
        Ok(())
    }
}
