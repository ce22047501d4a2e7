//! One replica of one group: what it knows, and how the pieces of its work hang together.
//!
//! Everything that happens to a replica takes its short lock, tells the core, and takes out what is to be done
//! ([`Replica::advance`]); the doing is outside of the lock. Entries go to the log through one queue and are applied
//! through another ([`super::log`], [`super::apply`]), each emptied by one thread at a time in the order in which the core
//! handed them out, by whoever comes first. Invariant: no lock is held over I/O; nobody is answered before what the answer
//! rests on is committed and applied. Not here: decisions on cells (`write.rs`), reads (`read.rs`).

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use arc_swap::{ArcSwap, ArcSwapOption};
use bytes::Bytes;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::oneshot;

use super::accept::{Accepting, Upto};
use super::apply::ApplyQueue;
use super::balance::{Balance, BalanceSettings};
use super::forward::Forwarding;
use super::hold::Holds;
use super::host::Host;
use super::invocations::{Invocations, RequestHash};
use super::journal::{Journal, JournalError};
use super::locks::Locks;
use super::log::LogQueue;
use super::overlay::Overlay;
use super::own::Own;
use super::quiet::{Quiet, QuietMessage, Reason};
use super::read::Reads;
use super::rest::Others;
use super::scrub::Scrub;
use super::settings::GroupSettings;
use super::watched::Watched;
use crate::error::Error;
use crate::level::ConsistencyLevel;
use crate::raft::{Core, CoreSettings, Fetch, Places, RaftMessage, Recovered, ReplicaId, Role};
use crate::seldom::{Queue, Seldom};
use crate::world::NodeId;

/// Why a replica does not do what it was asked.
#[derive(Debug)]
pub(crate) enum Refused {
    /// It does not lead; perhaps this node does. Nothing was changed.
    NotLeader(Option<NodeId>),
    /// Nothing was changed; another try may succeed.
    NotNow(String),
    /// The write may stand or not.
    Unknown(String),
    /// Another try fails as well.
    Finally(Error),
}

impl Refused {
    /// The error of what may be tried again whatever has become of it, because a second time changes nothing.
    pub(crate) fn of_what_repeats(self) -> Error {
        match self {
            Self::Finally(error) => error,
            Self::NotNow(cause) | Self::Unknown(cause) => Error::Unavailable { cause },
            Self::NotLeader(_) => Error::Unavailable {
                cause: "the range has no leader".to_owned(),
            },
        }
    }
}

impl From<Error> for Refused {
    fn from(error: Error) -> Self {
        match error {
            Error::Storage(error) => error.into(),
            error => Self::Finally(error),
        }
    }
}

impl From<stator_storage::Error> for Refused {
    fn from(error: stator_storage::Error) -> Self {
        match error {
            // Its node has set it aside already; another one may have it.
            error @ stator_storage::Error::Corruption { .. } => Self::NotNow(error.to_string()),
            // The keyspace was dropped between two looks.
            stator_storage::Error::NoSuchKeyspace { .. } => Self::Finally(Error::NoSuchKeyspace),
            error => Self::Finally(error.into()),
        }
    }
}

/// Gets the outcome of a proposal.
pub(super) type Wake = oneshot::Sender<Result<(), Refused>>;

/// A proposal whose outcome somebody waits for.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) index: u64,
    pub(super) level: ConsistencyLevel,
    pub(super) wake: Wake,
}

/// See the head of the file.
pub(crate) struct Replica {
    pub(super) host: Arc<Host>,
    pub(super) group: u32,
    pub(super) id: ReplicaId,
    /// Where the members are. Read without the lock.
    pub(super) nodes: ArcSwap<Places>,
    /// Where others are who have said something, as members that this replica has not heard of yet may.
    pub(super) met: ArcSwapOption<BTreeMap<ReplicaId, NodeId>>,
    /// The member whom the layout prefers to lead; 0 for nobody.
    pub(super) preferred: AtomicU64,
    /// Whether it has nothing of what its group has, and waits for somebody to fill it.
    pub(super) is_unfilled: bool,
    pub(super) state: Mutex<State>,
    pub(super) log: Mutex<LogQueue>,
    pub(super) apply: Mutex<ApplyQueue>,
    /// The node of the leader, as far as this replica knows; 0 for nobody. Read without the lock.
    pub(super) leader: AtomicU64,
    /// Whether this replica is the only voter and may answer reads from its engine alone.
    pub(super) serves_alone: AtomicBool,
    /// Whether it holds what the majority has lost, so that it serves nothing.
    is_diverged: AtomicBool,
    /// Whether a leader has said that the group's log does not have any more what this replica needs.
    pub(super) is_outdated: AtomicBool,
    /// Whether it has applied that it is no member any more.
    pub(super) is_dismissed: AtomicBool,
    /// Whether another replica object takes its place, so that nothing happens to it any more. Changed under the lock.
    pub(super) is_retired: AtomicBool,
    /// Whether it leads and derived rows are so far behind that writes have to wait. Read without the lock.
    pub(super) is_behind: AtomicBool,
    /// Whether nothing is to be believed of what it has.
    pub(super) is_suspect: AtomicBool,
    /// The comparison that was begun last.
    pub(super) scrub: Mutex<Option<Arc<Scrub>>>,
    /// How often something was put right since it began.
    pub(super) healed: AtomicU64,
}

impl fmt::Debug for Replica {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Replica")
            .field("group", &self.group)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// What is under the lock. A node has thousands of them, of which most rest: what is empty then takes nothing.
pub(super) struct State {
    pub(super) core: Core,
    /// Term and whether this replica led in it, when that was last looked at.
    pub(super) leadership: (u64, bool),
    pub(super) overlay: Overlay,
    /// Requests that were proposed and are not applied yet, with their entries.
    pub(super) proposed: BTreeMap<RequestHash, u64>,
    /// Writes that wait until their entry is applied, in the order of the entries.
    pub(super) pending: Queue<Pending>,
    /// Writes that wait until this node's own log has them, in the order of the entries.
    pub(super) unlogged: Queue<Pending>,
    /// Writes that are applied and wait until every voter has them, in the order of the entries.
    pub(super) spreading: Queue<Pending>,
    /// Entries of requests that are traced, until they are applied.
    pub(super) watched: Watched,
    pub(super) reads: Seldom<Reads>,
    /// The context of the last round of reads.
    pub(super) read_context: u64,
    pub(super) invocations: Invocations,
    /// The last entry whose effect is in the engine.
    pub(super) applied: u64,
    /// This replica's own log has everything up to here durably, as long as it leads.
    pub(super) logged: u64,
    /// The time of the last entry that was proposed or applied.
    pub(super) last_at_ms: u64,
    /// What is applied says that nothing of an earlier time comes any more.
    pub(super) closed_at_ms: u64,
    /// Every member for whom the log is kept has everything up to here.
    pub(super) floor: u64,
    /// What the log was last cut at.
    pub(super) cut: u64,
    pub(super) tallies: BTreeMap<u32, (i64, i64)>,
    /// The rows that follow from this group's entries and belong elsewhere.
    pub(super) forwarding: Forwarding,
    /// By the group of the source: up to which entry of it all rows are applied here.
    pub(super) accepted: BTreeMap<u32, Upto>,
    /// The same for what this leadership has proposed.
    pub(super) accepting: BTreeMap<u32, Accepting>,
    /// The metadata that a leader has to know: as applied, and as proposed by this leadership.
    pub(super) required: u64,
    pub(super) requiring: u64,
    /// When all voters were compared last, in milliseconds since the Unix epoch.
    pub(super) scrubbed_at_ms: u64,
    /// What transactions have locked.
    pub(super) locks: Seldom<Locks>,
    pub(super) holds: Seldom<Holds>,
    pub(super) ticks: u64,
    pub(super) others: Others,
    pub(super) quiet: Quiet,
    pub(super) balance: Balance,
}

impl State {
    /// After a start: what is applied, what is in the log, and where that begins.
    fn new(
        core: Core,
        (applied, logged, cut): (u64, u64, u64),
        remembered: Remembered,
        quiet_ticks: u32,
    ) -> Self {
        Self {
            core,
            leadership: (0, false),
            overlay: Overlay::default(),
            proposed: BTreeMap::new(),
            pending: Queue::default(),
            unlogged: Queue::default(),
            spreading: Queue::default(),
            watched: Watched::default(),
            reads: Seldom::default(),
            read_context: 0,
            invocations: remembered.invocations,
            applied,
            logged,
            last_at_ms: remembered.last_at_ms.max(remembered.own.closed_at_ms),
            closed_at_ms: remembered.own.closed_at_ms,
            floor: remembered.floor,
            cut,
            tallies: BTreeMap::new(),
            forwarding: Forwarding::new(remembered.open, remembered.own.forwarded),
            accepted: remembered.own.accepted,
            accepting: BTreeMap::new(),
            required: remembered.own.required,
            requiring: 0,
            scrubbed_at_ms: remembered.own.scrubbed_at_ms,
            locks: Locks::new(remembered.own.prepared, 0),
            ticks: 0,
            others: Others::default(),
            quiet: Quiet::new(quiet_ticks),
            balance: Balance::new(BalanceSettings::default()),
            holds: Seldom::default(),
        }
    }

    pub(super) fn leads(&self) -> bool {
        self.leadership.1
    }

    /// Whether anything is under way.
    pub(super) fn is_busy(&self) -> bool {
        !self.pending.is_empty()
            || !self.unlogged.is_empty()
            || !self.spreading.is_empty()
            || self.reads.are_under_way()
            || self.core.is_handing_over()
            || (self.leads() && (!self.forwarding.is_settled() || !self.locks.is_empty()))
    }
}

/// What a start of a replica needs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Birth {
    pub(crate) group: u32,
    pub(crate) id: ReplicaId,
    /// The member whom the layout prefers to lead.
    pub(crate) preferred: Option<ReplicaId>,
}

/// What is to be done once the lock is free.
#[derive(Default)]
pub(super) struct Todo {
    messages: Vec<RaftMessage>,
    fetches: Vec<Fetch>,
    wakes: Vec<(Wake, Result<(), Refused>)>,
    reads: Vec<(super::read::Waiter, Result<u64, Refused>)>,
    rests: Vec<QuietMessage>,
}

impl Todo {
    pub(super) fn wake(&mut self, wake: Wake, outcome: Result<(), Refused>) {
        self.wakes.push((wake, outcome));
    }

    pub(super) fn rest(&mut self, message: QuietMessage) {
        self.rests.push(message);
    }

    pub(super) fn answer(&mut self, waiter: super::read::Waiter, outcome: Result<u64, Refused>) {
        self.reads.push((waiter, outcome));
    }
}

impl Replica {
    /// A replica that is to begin with what its log says. Nothing happens before it is told to go on.
    ///
    /// # Errors
    /// [`Error::Group`] for a log that cannot be.
    pub(crate) fn new(
        host: Arc<Host>,
        birth: Birth,
        journal: Journal,
        recovered: Recovered,
        remembered: Remembered,
    ) -> Result<Arc<Self>, Error> {
        let GroupSettings {
            timing,
            message_bytes_max,
            messages_in_flight_max,
            ..
        } = host.settings;
        let settings = CoreSettings {
            group: birth.group,
            replica: birth.id,
            election_ticks: usize::try_from(timing.election_ticks).unwrap_or(usize::MAX),
            heartbeat_ticks: usize::try_from(timing.heartbeat_ticks).unwrap_or(usize::MAX),
            message_bytes_max,
            messages_in_flight_max,
        };
        let applied = recovered.last - recovered.unapplied.len() as u64;
        let is_unfilled = recovered.is_unfilled;
        let (logged, cut) = (recovered.last, recovered.before.0 + 1);
        let group = birth.group;
        let failed = |cause| Error::Group { group, cause };
        let mut core = Core::new(settings, recovered, &mut || host.world.random_u64()).map_err(failed)?;
        for (index, data) in &remembered.changes {
            core.apply_members(*index, data).map_err(failed)?;
        }
        let nodes = Arc::clone(&core.members().nodes);
        let is_suspect = journal.standing().is_suspect;
        core.set_suspect(is_suspect);
        let is_dismissed = !is_unfilled && !core.members().contains(birth.id);
        let state = State::new(core, (applied, logged, cut), remembered, timing.quiet_ticks);
        host.resting.set(group, false);
        Ok(Arc::new(Self {
            host,
            group: birth.group,
            id: birth.id,
            nodes: ArcSwap::from(nodes),
            met: ArcSwapOption::empty(),
            preferred: AtomicU64::new(birth.preferred.map_or(0, |preferred| preferred.0)),
            is_unfilled,
            state: Mutex::new(state),
            log: Mutex::new(LogQueue::new(journal)),
            apply: Mutex::new(ApplyQueue::default()),
            leader: AtomicU64::new(0),
            serves_alone: AtomicBool::new(false),
            is_diverged: AtomicBool::new(false),
            is_outdated: AtomicBool::new(false),
            is_dismissed: AtomicBool::new(is_dismissed),
            is_retired: AtomicBool::new(false),
            is_behind: AtomicBool::new(false),
            is_suspect: AtomicBool::new(is_suspect),
            scrub: Mutex::default(),
            healed: AtomicU64::new(0),
        }))
    }

    pub(crate) fn group(&self) -> u32 {
        self.group
    }

    /// The node that leads, as far as this replica knows.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        Some(self.leader.load(Ordering::Acquire))
            .filter(|node| *node != 0)
            .map(NodeId)
    }

    /// Whether this replica leads.
    pub(crate) fn is_leader(&self) -> bool {
        self.leader() == Some(self.host.node)
    }

    /// Whether this replica is the only voter and may answer reads from its engine.
    pub(crate) fn serves_alone(&self) -> bool {
        self.serves_alone.load(Ordering::Acquire)
    }

    /// Asks for votes at once.
    pub(crate) fn campaign(self: &Arc<Self>) {
        let mut state = self.state.lock();
        let world = &self.host.world;
        state.core.campaign(&mut || world.random_u64());
        self.look_again();
        self.advance(state);
        self.host.outbox.flush();
    }

    /// Takes a message of another member. Messages are put into the outbox and not flushed.
    pub(crate) fn receive(self: &Arc<Self>, from: NodeId, message: RaftMessage) {
        // What was meant for a replica that has been given up goes to nobody.
        if message.to() != self.id || !self.is_from(message.from(), from) {
            return;
        }
        if message.is_bulk() && self.host.is_full() {
            // The leader sends it again; until then the engine catches up.
            return;
        }
        let mut state = self.state.lock();
        if self.is_retired() {
            return;
        }
        let mut todo = Todo::default();
        self.wake(&mut state, Reason::Message, &mut todo);
        let world = &self.host.world;
        state.core.receive(message, &mut || world.random_u64());
        self.look_at_divergence(&state);
        if state.core.is_outdated() {
            self.is_outdated.store(true, Ordering::Release);
        }
        self.advance_with(state, todo);
    }

    /// Says once that this replica takes no part any more.
    fn look_at_divergence(&self, state: &State) {
        if let Some(index) = state.core.diverged_at()
            && !self.is_diverged.swap(true, Ordering::AcqRel)
        {
            tracing::error!(
                group = self.group,
                index,
                "this replica holds entries that the majority has lost in a power cut (durability interval); it serves \
                 nothing and does not vote until it is filled anew"
            );
        }
    }

    /// Whether this replica holds what the majority has lost: nothing may be read from it.
    pub(crate) fn is_diverged(&self) -> bool {
        self.is_diverged.load(Ordering::Acquire)
    }

    /// Takes out all that the core wants done, and does it without the lock.
    pub(super) fn advance(self: &Arc<Self>, state: MutexGuard<'_, State>) {
        self.advance_with(state, Todo::default());
    }

    pub(super) fn advance_with(self: &Arc<Self>, mut state: MutexGuard<'_, State>, mut todo: Todo) {
        if self.is_retired() {
            drop(state);
            return self.carry_out(todo);
        }
        self.look_at_leadership(&mut state, &mut todo);
        while let Some(step) = state.core.step() {
            todo.messages.extend(step.messages);
            todo.fetches.extend(step.fetches);
            // Both queues are filled under the lock, so that their order is that of the steps.
            if let Some(persist) = step.persist {
                let mut log = self.log.lock();
                if persist.is_empty() && log.is_idle() {
                    state.core.persisted(persist.number);
                } else {
                    log.push(persist);
                }
            }
            if let (Some(first), Some(last)) = (step.committed.first(), step.committed.last()) {
                state.watched.committed(first.index, last.index);
                self.apply.lock().push(step.committed);
            }
            for (context, index) in step.reads {
                state.read_may_see(context, index, &mut todo);
            }
            self.look_at_leadership(&mut state, &mut todo);
        }
        state.look_at_spreading(&mut todo);
        self.look_at_forwarding(&mut state);
        if let Some(context) = state.begin_reads(&mut todo) {
            tracing::trace!(group = self.group, ?context, "a read begins");
            return self.advance_with(state, todo);
        }
        drop(state);
        self.carry_out(todo);
    }

    pub(super) fn carry_out(self: &Arc<Self>, todo: Todo) {
        for (wake, outcome) in todo.wakes {
            // Whoever waited may have left.
            drop(wake.send(outcome));
        }
        for (waiter, outcome) in todo.reads {
            drop(waiter.send(outcome));
        }
        self.send(&todo.messages);
        for message in &todo.rests {
            if let Some(node) = self.node_of(message.to) {
                self.host.outbox.send_quiet(node, self.group, message);
            }
        }
        self.drain_log();
        self.drain_apply();
        for fetch in todo.fetches {
            self.fetch(fetch);
        }
    }

    pub(super) fn send(&self, messages: &[RaftMessage]) {
        for message in messages {
            if let Some(node) = self.node_of(message.to()) {
                self.host.outbox.send_raft(node, self.group, message);
            }
        }
    }

    pub(super) fn fail(&self, error: &JournalError) {
        self.host.fail(&error.to_string());
    }

    /// Notices when this replica has begun or ceased to lead, and what follows.
    fn look_at_leadership(&self, state: &mut State, todo: &mut Todo) {
        let leads = state.core.role() == Role::Leader;
        let now = (state.core.term(), leads);
        if state.leadership != now {
            let led = state.leadership.1;
            state.leadership = now;
            if led {
                state.end_leadership(todo);
            }
            if leads {
                state.logged = state.logged.min(state.core.last());
                let applied = state.applied;
                state.forwarding.begin(applied);
                let ticks = state.ticks;
                state.locks.begin_leadership(ticks);
            }
        }
        let leader = state.core.leader().and_then(|replica| self.node_of(replica));
        self.leader
            .store(leader.map_or(0, |node| node.0), Ordering::Release);
        let alone = leads && state.core.is_alone() && state.core.may_serve();
        self.serves_alone.store(alone, Ordering::Release);
    }
}

impl State {
    /// What was decided in this leadership may be overruled now: who waits for it cannot be told how it ends.
    pub(super) fn end_leadership(&mut self, todo: &mut Todo) {
        self.overlay.clear();
        self.watched.clear();
        self.proposed.clear();
        self.forwarding.end();
        self.accepting.clear();
        self.requiring = 0;
        self.locks.end_leadership();
        self.holds.end();
        let waiting = self.pending.drain(..).chain(self.unlogged.drain(..));
        for pending in waiting {
            let cause = "leadership changed while the write was under way".to_owned();
            todo.wake(pending.wake, Err(Refused::Unknown(cause)));
        }
        for pending in self.spreading.drain(..) {
            todo.wake(pending.wake, Err(Refused::Unknown(ONLY_QUORUM.to_owned())));
        }
        self.end_reads(todo);
    }

    /// Every voter may have what the writes at ALL wait for.
    fn look_at_spreading(&mut self, todo: &mut Todo) {
        let Some(first) = self.spreading.front() else {
            return;
        };
        let everywhere = self.at_every_voter();
        if first.index > everywhere {
            return;
        }
        while let Some(pending) = self.spreading.pop_front_if(|pending| pending.index <= everywhere) {
            todo.wake(pending.wake, Ok(()));
        }
    }

    /// Up to where every member has the log durably, as the leader knows it.
    pub(super) fn everywhere(&self) -> u64 {
        let matched = self.core.progress().map(|progress| progress.matched);
        matched.min().unwrap_or_default()
    }

    /// Up to where nobody needs the log for whom it is kept.
    pub(super) fn not_needed(&self) -> u64 {
        let progress = self.core.progress();
        let kept_for = progress.filter(|progress| !self.others.is_given_up(progress.replica));
        let needed = kept_for.filter_map(|progress| progress.need.behind());
        needed.min().unwrap_or_default()
    }

    /// Up to where the members that have a vote have the log.
    pub(super) fn at_every_voter(&self) -> u64 {
        let members = self.core.members();
        let voters = self
            .core
            .progress()
            .filter(|progress| members.votes(progress.replica));
        voters.map(|progress| progress.matched).min().unwrap_or_default()
    }
}

/// What a write at ALL is told that has reached a majority and not everybody.
pub(super) const ONLY_QUORUM: &str =
    "the write stands at a majority, but not every replica has acknowledged it";

/// What a start learns from the entries of the log.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) invocations: Invocations,
    pub(crate) last_at_ms: u64,
    pub(crate) floor: u64,
    /// Entries with rows for other ranges, and their times.
    pub(crate) open: VecDeque<(u64, u64)>,
    /// Entries that change the members, with their data.
    pub(crate) changes: Vec<(u64, Bytes)>,
    /// What the replica keeps about its group.
    pub(crate) own: Own,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_replica_takes_little_room() {
        let sizes = [
            ("a replica", size_of::<Replica>(), 2048),
            ("what is under its lock", size_of::<State>(), 1776),
            ("its core", size_of::<Core>(), 1168),
            ("its way into the log", size_of::<LogQueue>(), 88),
            ("its way into the engine", size_of::<ApplyQueue>(), 80),
        ];
        for (what, bytes, bytes_max) in sizes {
            assert!(
                bytes <= bytes_max,
                "{what} takes {bytes} bytes and was to take {bytes_max} at most: a node has thousands of replicas that rest. \
                 Keep what is empty then in a `Seldom`, or say in docs/scaling.md, \"Idle ranges\", what it costs"
            );
        }
    }
}
