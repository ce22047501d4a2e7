//! Who carries a plan out on a cluster, and looks after the nodes meanwhile.
//!
//! Invariant: a node that should run runs: a process that ends by itself without a fault that demands it is an error, and so is
//! one that goes on where it must end, or says nothing of the cause. A node that starts may need others that a fault keeps from it,
//! so that no fault waits for it: what would befall it before it is ready is left out. When it returns, every node runs, is ready,
//! and every link is whole. Not here: what is to befall whom (`plan.rs`), what clients saw (`load/`).

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitStatus;
use std::time::{Duration, Instant};

use super::broken;
use super::plan::{Fault, Moment, Plan, Step};
use crate::{Balancer, Change, Cluster, Inside, Links, Member, Result, Starting, clock};

/// Within which time a node ends whose disk has failed: the next write or sync comes at once under load.
const ENDS_WITHIN: Duration = Duration::from_secs(3);
/// Within which time a command has noticed that a node has left which was told so itself.
const TOLD_WITHIN: Duration = Duration::from_secs(20);
/// What a process says that ends because of its disk (`server/src/node.rs`, `NodeError::Failed`).
const FAILED: &str = "cannot go on";
/// What the operating system says of a disk without room, and of one that has failed (`strerror(3)`).
const NO_ROOM: &str = "No space left on device";
const DEVICE_FAILED: &str = "Input/output error";

/// What was broken, and what came of it.
#[derive(Debug, Default)]
pub(super) struct Broken {
    /// How often each kind of fault came.
    pub(super) kinds: BTreeMap<&'static str, usize>,
    /// How long processes took to end after their disks had failed.
    pub(super) ended_after: Vec<Duration>,
    /// What the cluster still has to do: nodes that are to be gone, and the commands that wait for it.
    pub(super) going: Going,
}

/// Nodes that are to be gone.
pub(super) type Going = BTreeMap<u64, Change>;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Nemesis<'a> {
    cluster: &'a mut Cluster,
    links: &'a Links,
    balancer: &'a Balancer,
    plan: &'a Plan,
    begun: Instant,
    /// Steps that last, by their places in the plan.
    lasting: BTreeSet<usize>,
    /// Nodes that may end because of their disks, or have.
    failing: BTreeSet<u64>,
    /// Nodes that are started and not known to be ready.
    starting: BTreeMap<u64, Starting>,
    /// Those of them that clients do not know yet.
    joining: BTreeSet<u64>,
    /// Steps that were left out.
    left_out: BTreeSet<usize>,
    broken: Broken,
}

impl<'a> Nemesis<'a> {
    pub(super) fn new(
        cluster: &'a mut Cluster,
        (links, balancer): (&'a Links, &'a Balancer),
        plan: &'a Plan,
    ) -> Self {
        Self {
            cluster,
            links,
            balancer,
            plan,
            begun: clock::now(),
            lasting: BTreeSet::new(),
            failing: BTreeSet::new(),
            starting: BTreeMap::new(),
            joining: BTreeSet::new(),
            left_out: BTreeSet::new(),
            broken: Broken::default(),
        }
    }

    /// Carries the plan out.
    ///
    /// # Errors
    /// What the head of the file says.
    pub(super) fn run(mut self) -> Result<Broken> {
        let mut late = Duration::ZERO;
        for (planned_at, moment) in self.plan.moments() {
            let at = planned_at + late;
            while self.begun.elapsed() < at {
                clock::pause((at.saturating_sub(self.begun.elapsed())).min(ENDS_WITHIN / 10));
                self.look_after()?;
            }
            // What has taken longer than planned does not make others shorter, or bring them closer together.
            late = self.begun.elapsed().saturating_sub(planned_at);
            match moment {
                Moment::Begin(place) => {
                    let step = self.step(place)?;
                    if step.fault.is_alone() {
                        self.wait_for_starting()?;
                    }
                    if self.befalls_starting(&step.fault) {
                        self.say(&format!("left out, since the node starts: {}", step.fault));
                        self.left_out.insert(place);
                        continue;
                    }
                    self.say(&format!("begins: {}", step.fault));
                    *self.broken.kinds.entry(step.fault.kind()).or_default() += 1;
                    self.lasting.insert(place);
                    self.begin(&step.fault)?;
                }
                Moment::End(place) => {
                    if self.left_out.remove(&place) {
                        continue;
                    }
                    let step = self.step(place)?;
                    self.lasting.remove(&place);
                    self.end(&step.fault)?;
                    self.say(&format!("over:   {}", step.fault));
                }
            }
            self.look_after()?;
        }
        self.links.heal();
        self.wait_for_starting()?;
        Ok(self.broken)
    }

    fn step(&self, place: usize) -> Result<Step> {
        let step = self.plan.steps.get(place).cloned();
        step.ok_or_else(|| "a step that is not in the plan".into())
    }

    fn say(&self, what: &str) {
        eprintln!("{:8.3} s  {what}", self.begun.elapsed().as_secs_f64());
    }

    fn member(&mut self, node: u64) -> Result<&mut Member> {
        self.cluster.node(node)
    }

    /// Whether a node that is to leave has left, or is held for lost: nothing befalls it any more.
    fn is_gone(&mut self, node: u64) -> Result<bool> {
        let is_there = self.cluster.members.iter().any(|member| member.id == node);
        let has_left = match self.broken.going.get_mut(&node) {
            Some(change) if is_there => change.is_done()?,
            _ => false,
        };
        if has_left {
            forget(self.cluster, self.balancer, node)?;
        }
        Ok(has_left || !is_there)
    }

    /// Starts a node that does not run, unless it has left meanwhile.
    fn start(&mut self, node: u64) -> Result<()> {
        if self.is_gone(node)? || self.member(node)?.is_running() {
            return Ok(());
        }
        let starting = self.member(node)?.start()?;
        self.starting.insert(node, starting);
        Ok(())
    }

    /// A node has been started and has said something, or has ended.
    fn started(&mut self, node: u64, outcome: Result<()>) -> Result<()> {
        match outcome {
            Ok(()) => {
                if self.joining.remove(&node) {
                    let address = self.member(node)?.address;
                    self.balancer.add(address);
                }
                self.say(&format!("node {node} is ready"));
                Ok(())
            }
            // It may have been told that it has left.
            Err(error) => {
                let waits = self.broken.going.contains_key(&node);
                let is_gone =
                    waits && clock::holds_within(TOLD_WITHIN, || self.is_gone(node).unwrap_or(false));
                if is_gone { Ok(()) } else { Err(error) }
            }
        }
    }

    /// Looks whether nodes are ready that have been started.
    fn look_at_starting(&mut self) -> Result<()> {
        let mut settled = Vec::new();
        self.starting.retain(|node, starting| match starting.is_ready() {
            Ok(false) => true,
            Ok(true) => {
                settled.push((*node, Ok(())));
                false
            }
            Err(error) => {
                settled.push((*node, Err(error)));
                false
            }
        });
        settled
            .into_iter()
            .try_for_each(|(node, outcome)| self.started(node, outcome))
    }

    /// Waits until all nodes are ready that have been started; nothing is broken meanwhile.
    fn wait_for_starting(&mut self) -> Result<()> {
        while let Some((node, starting)) = self.starting.pop_first() {
            let outcome = starting.ready().map(drop);
            self.started(node, outcome)?;
        }
        Ok(())
    }

    /// Whether a fault would befall the process of a node that is not ready yet.
    fn befalls_starting(&self, fault: &Fault) -> bool {
        let node = match fault {
            Fault::Join(_) | Fault::CutOff(..) | Fault::Cut(..) => None,
            Fault::Leave(node) => Some(*node),
            fault => fault.impairs(),
        };
        node.is_some_and(|node| self.starting.contains_key(&node))
    }

    fn begin(&mut self, fault: &Fault) -> Result<()> {
        let befalls = fault.impairs().filter(|_| !matches!(fault, Fault::Join(_)));
        if let Some(node) = befalls
            && self.is_gone(node)?
        {
            return Ok(());
        }
        match *fault {
            Fault::Kill(node) => self.member(node)?.kill(),
            Fault::Freeze(node) => self.member(node)?.freeze(),
            Fault::CutOff(..) | Fault::Cut(..) | Fault::Delay(..) | Fault::Slow(..) => {
                self.change_links();
                Ok(())
            }
            Fault::Disconnect(one, other) => {
                self.links.disconnect(one, other);
                Ok(())
            }
            Fault::SyncFails(node) | Fault::DiskFull(node) => {
                self.failing.insert(node);
                self.change_inside(node)?;
                self.must_end(node)
            }
            Fault::NoRoom(node) => {
                self.failing.insert(node);
                self.change_inside(node)
            }
            Fault::Clock(node, _) => self.change_inside(node),
            Fault::RollingRestart => self.restart_all(),
            Fault::Blackout => {
                let mut running = self
                    .cluster
                    .members
                    .iter_mut()
                    .filter(|member| member.is_running());
                running.try_for_each(Member::kill)
            }
            Fault::Join(node) => self.join(node),
            Fault::Leave(node) => {
                let change = self.cluster.drain(node)?;
                self.broken.going.insert(node, change);
                Ok(())
            }
            Fault::Wipe(node) | Fault::Remove(node) => {
                self.member(node)?.kill()?;
                self.member(node)?.wipe()
            }
        }
    }

    fn end(&mut self, fault: &Fault) -> Result<()> {
        match *fault {
            Fault::Kill(node) | Fault::Wipe(node) => self.start(node),
            Fault::Freeze(node) => {
                let is_gone = self.is_gone(node)?;
                if is_gone {
                    Ok(())
                } else {
                    self.member(node)?.thaw()
                }
            }
            Fault::CutOff(..) | Fault::Cut(..) | Fault::Delay(..) | Fault::Slow(..) => {
                self.change_links();
                Ok(())
            }
            // A node that joins is known to clients when it is ready.
            Fault::Disconnect(..) | Fault::RollingRestart | Fault::Leave(_) | Fault::Join(_) => Ok(()),
            Fault::SyncFails(node) | Fault::DiskFull(node) | Fault::NoRoom(node) => {
                if !self.is_gone(node)? {
                    self.change_inside(node)?;
                }
                self.failing.remove(&node);
                self.start(node)
            }
            Fault::Clock(node, _) => self.change_inside(node),
            Fault::Blackout => self.start_all(),
            Fault::Remove(node) => {
                let change = self.cluster.remove(node)?;
                self.broken.going.insert(node, change);
                forget(self.cluster, self.balancer, node)
            }
        }
    }

    /// One more node.
    fn join(&mut self, node: u64) -> Result<()> {
        let made = self.cluster.add_node()?;
        if made != node {
            return Err(format!("a new node has the number {made}, the plan has {node}").into());
        }
        let starting = self.member(node)?.start()?;
        self.starting.insert(node, starting);
        self.joining.insert(node);
        Ok(())
    }

    /// Starts all nodes at once that do not run and have not left.
    fn start_all(&mut self) -> Result<()> {
        let going: Vec<u64> = self.broken.going.keys().copied().collect();
        for node in &going {
            self.is_gone(*node)?;
        }
        let stay = |member: &&mut Member| !member.is_running() && !going.contains(&member.id);
        let stopped = self.cluster.members.iter_mut().filter(stay);
        let starting: Vec<Starting> = stopped.map(Member::start).collect::<Result<_>>()?;
        for node in starting {
            node.ready()?;
        }
        going.into_iter().try_for_each(|node| self.start(node))?;
        self.wait_for_starting()
    }

    fn lasting(&self) -> impl Iterator<Item = &Fault> {
        let steps = self
            .lasting
            .iter()
            .filter_map(|place| self.plan.steps.get(*place));
        steps.map(|step| &step.fault)
    }

    /// Makes every link what the faults that last make of it.
    fn change_links(&self) {
        let nodes: Vec<u64> = self.cluster.members.iter().map(|member| member.id).collect();
        for from in &nodes {
            for to in nodes.iter().filter(|to| *to != from) {
                let condition = broken::condition(self.lasting(), *from, *to);
                self.links.change(*from, *to, |own| *own = condition);
            }
        }
    }

    /// Makes a node what the faults that last make of it.
    fn change_inside(&mut self, node: u64) -> Result<()> {
        if self.is_gone(node)? {
            return Ok(());
        }
        let inside = broken::inside(self.lasting(), node);
        self.member(node)?.door()?.set(inside)
    }

    /// Waits for the end of a node whose disk has failed, and holds that it comes at once and says why. One that has given away all
    /// that it had has nothing to write.
    fn must_end(&mut self, node: u64) -> Result<()> {
        let is_leaving = self.broken.going.contains_key(&node);
        let member = self.member(node)?;
        let (took, status) = match ended(member, ENDS_WITHIN) {
            Err(_) if is_leaving && has_nothing(member) => {
                self.say(&format!("node {node} has nothing left to write"));
                return Ok(());
            }
            ended => ended?,
        };
        says_why(member, status)?;
        self.say(&format!(
            "node {node} ended {} ms after its disk failed",
            took.as_millis()
        ));
        self.broken.ended_after.push(took);
        Ok(())
    }

    /// Holds that the nodes that should run do.
    fn look_after(&mut self) -> Result<()> {
        self.look_at_starting()?;
        for member in &mut self.cluster.members {
            if !member.is_running() || self.starting.contains_key(&member.id) {
                continue;
            }
            let Some(status) = member.has_ended()? else {
                continue;
            };
            if !self.failing.contains(&member.id) {
                let said = last_lines(&member.stderr());
                return Err(format!("node {} ended by itself ({status}): {said}", member.id).into());
            }
            says_why(member, status)?;
        }
        Ok(())
    }

    /// Restarts one node after the other, as one does for a new version.
    fn restart_all(&mut self) -> Result<()> {
        let nodes: Vec<u64> = self.cluster.members.iter().map(|member| member.id).collect();
        for node in nodes {
            if self.is_gone(node)? {
                continue;
            }
            let status = self.member(node)?.terminate()?;
            if !status.success() {
                return Err(format!("node {node} ended with {status} on SIGTERM").into());
            }
            self.start(node)?;
            self.wait_for_starting()?;
        }
        Ok(())
    }
}

/// Forgets a node that has left or is lost.
pub(super) fn forget(cluster: &mut Cluster, balancer: &Balancer, node: u64) -> Result<()> {
    let address = cluster.forget(node)?;
    balancer.remove(address);
    Ok(())
}

/// Breaks the inside of a node and waits for its end, for those who look at single faults; how long it took.
///
/// # Errors
/// When it goes on, or does not say why it ends.
pub fn fail_disk(member: &mut Member, inside: Inside) -> Result<Duration> {
    member.door()?.set(inside)?;
    let (took, status) = ended(member, ENDS_WITHIN)?;
    says_why(member, status)?;
    Ok(took)
}

/// Whether a node says that it has no replica.
fn has_nothing(member: &Member) -> bool {
    let status = member.status().unwrap_or_default();
    status["groups"].as_array().is_some_and(Vec::is_empty)
}

/// Waits for the end of a process.
fn ended(member: &mut Member, within: Duration) -> Result<(Duration, ExitStatus)> {
    let (begun, mut status) = (clock::now(), None);
    let mut failed = None;
    clock::holds_within(within, || match member.has_ended() {
        Ok(ended) => {
            status = ended;
            status.is_some()
        }
        Err(error) => {
            failed = Some(error);
            true
        }
    });
    match (status, failed) {
        (Some(status), _) => Ok((begun.elapsed(), status)),
        (None, Some(error)) => Err(error),
        (None, None) => {
            let (id, within) = (member.id, within.as_millis());
            Err(format!("node {id} goes on {within} ms after its disk has failed").into())
        }
    }
}

/// Holds that a process ended with an error that names the cause.
fn says_why(member: &Member, status: ExitStatus) -> Result<()> {
    let text = member.stderr();
    let said = text
        .lines()
        .rev()
        .find(|line| line.contains(FAILED))
        .unwrap_or_default();
    let names_cause = said.contains(NO_ROOM) || said.contains(DEVICE_FAILED);
    if status.code() == Some(1) && names_cause {
        return Ok(());
    }
    let said = last_lines(&text);
    Err(format!(
        "node {} ended with {status} and did not say why: {said}",
        member.id
    )
    .into())
}

fn last_lines(text: &str) -> String {
    const LINES: usize = 12;
    let lines: Vec<&str> = text.lines().collect();
    lines
        .get(lines.len().saturating_sub(LINES)..)
        .unwrap_or_default()
        .join("\n")
}
