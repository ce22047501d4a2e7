//! The way of a replica's entries into the commit log.
//!
//! Invariant: what the core hands out is appended in its order, and the core hears of it in the same order, because one
//! thread at a time empties the queue and the engine completes appends in the order in which they were made. What must not
//! be said before it is durable is sent then. Not here: records (`journal.rs`), syncing (the engine).

use std::sync::Arc;

use stator_storage::{Durability, LogBatch};

use super::journal::{Journal, JournalReader};
use super::note::Note;
use super::replica::{Replica, State, Todo};
use crate::level::ConsistencyLevel;
use crate::raft::{Fetch, Kept, Persist, RaftMessage};
use crate::seldom::Queue;

/// How often the head of a log is looked at.
pub(super) const TEND_EVERY_TICKS: u64 = 10;

/// A leader says after so many looks up to where everybody has the log, however few entries that are, so that no member
/// keeps them for long; sooner when they are in its own way. A group that rests has said it with that.
const FLOOR_EVERY_LOOKS: u64 = 30;

/// It says so once more after so many looks when nothing has come but the entry that has said it last. A group that is read all the
/// time does not rest, and would keep that entry, and with it the log of each member's node, for as long as nobody writes. A leader
/// does not know how fast the others' logs grow.
const FLOOR_ANEW_LOOKS: u64 = 60;

/// Something for the log.
#[derive(Debug)]
enum Work {
    Persist(Persist),
    /// The log begins with this entry from now on; the state says so, and what the note is then, if that changes.
    Cut(u64, Kept, Option<Note>),
    /// The members have changed.
    State(Kept),
    /// The replica is under suspicion, or is not any more.
    Standing(bool, Kept),
}

/// Appended, and not known to be durable yet.
#[derive(Debug, Default)]
struct Written {
    /// The last number to be handed back to the core.
    number: Option<u64>,
    last_index: Option<u64>,
    then_send: Vec<RaftMessage>,
}

impl Written {
    fn take(&mut self, persist: Persist) {
        self.number = Some(persist.number);
        if let Some(last) = persist.entries.last() {
            self.last_index = Some(last.index);
        }
        self.then_send.extend(persist.then_send);
    }

    fn absorb(&mut self, later: Self) {
        self.number = later.number.or(self.number);
        self.last_index = later.last_index.or(self.last_index);
        self.then_send.extend(later.then_send);
    }
}

/// See the head of the file.
#[derive(Debug)]
pub(super) struct LogQueue {
    journal: Journal,
    waiting: Queue<Work>,
    in_flight: Queue<Written>,
    is_draining: bool,
    /// Whether a note of requests is being made.
    is_noting: bool,
}

impl LogQueue {
    pub(super) fn new(journal: Journal) -> Self {
        Self {
            journal,
            waiting: Queue::default(),
            in_flight: Queue::default(),
            is_draining: false,
            is_noting: false,
        }
    }

    pub(super) fn push(&mut self, persist: Persist) {
        self.waiting.push_back(Work::Persist(persist));
    }

    pub(super) fn push_state(&mut self, kept: Kept) {
        self.waiting.push_back(Work::State(kept));
    }

    pub(super) fn push_standing(&mut self, is_suspect: bool, kept: Kept) {
        self.waiting.push_back(Work::Standing(is_suspect, kept));
    }

    /// Whether nothing is waiting or under way, so that what has nothing to write is as good as written.
    pub(super) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.in_flight.is_empty()
    }

    /// Lets go of the memory that its queues do not use.
    pub(super) fn shed(&mut self) {
        self.waiting.shed();
        self.in_flight.shed();
    }

    /// The making of a note has ended.
    pub(super) fn noted(&mut self) {
        self.is_noting = false;
    }

    /// What reads the log without holding the queue.
    pub(super) fn reader(&self) -> JournalReader {
        self.journal.reader()
    }

    /// Takes all that waits as one batch. A vote is synced whatever the node's durability is.
    fn take(&mut self, usual: Durability) -> (LogBatch, Written, Durability) {
        let bytes = self.waiting.iter().map(|work| match work {
            Work::Persist(persist) => Journal::bytes_of(persist),
            Work::Cut(..) | Work::State(_) | Work::Standing(..) => 0,
        });
        let mut batch = LogBatch::with_capacity(bytes.sum());
        let mut written = Written::default();
        let mut durability = usual;
        while let Some(work) = self.waiting.pop_front() {
            match work {
                Work::Persist(persist) => {
                    self.journal.persist(&persist, &mut batch);
                    if persist.must_sync {
                        durability = Durability::Sync;
                    }
                    written.take(persist);
                }
                Work::Cut(first, state, note) => {
                    self.journal.cut_head(first, &state, &mut batch);
                    if let Some(note) = note {
                        self.journal.note(&note, &mut batch);
                    }
                }
                Work::State(kept) => self.journal.set_state(&kept, &mut batch),
                Work::Standing(is_suspect, kept) => {
                    self.journal.set_suspect(is_suspect);
                    self.journal.set_state(&kept, &mut batch);
                    // What is given up because of it must not be served after a power cut.
                    durability = Durability::Sync;
                }
            }
        }
        (batch, written, durability)
    }
}

impl Replica {
    /// Appends what waits, unless another thread does already.
    pub(super) fn drain_log(self: &Arc<Self>) {
        let mut queue = self.log.lock();
        if queue.is_draining {
            return;
        }
        while !queue.waiting.is_empty() {
            let (batch, written, durability) = queue.take(self.host.durability);
            if batch.is_empty() {
                if let Some(before) = queue.in_flight.back_mut() {
                    before.absorb(written);
                } else {
                    queue.is_draining = true;
                    drop(queue);
                    self.finish(&written);
                    queue = self.log.lock();
                    queue.is_draining = false;
                }
                continue;
            }
            queue.in_flight.push_back(written);
            queue.is_draining = true;
            drop(queue);
            let replica = Arc::clone(self);
            self.host
                .engine
                .append(batch, durability, move |result| replica.logged(result));
            queue = self.log.lock();
            queue.is_draining = false;
        }
    }

    /// The oldest append that was under way has ended.
    fn logged(self: &Arc<Self>, result: Result<(), stator_storage::Error>) {
        let written = self.log.lock().in_flight.pop_front();
        match (result, written) {
            (Ok(()), Some(written)) => {
                self.finish(&written);
                self.host.outbox.flush();
            }
            // A node that closes refuses what comes too late; whoever waits for it is told when the replica goes.
            (Ok(()), None) | (Err(stator_storage::Error::Closed), _) => {}
            (Err(error), _) => self.host.fail(&error.to_string()),
        }
    }

    fn finish(self: &Arc<Self>, written: &Written) {
        self.send(&written.then_send);
        let mut state = self.state.lock();
        let mut todo = Todo::default();
        if let Some(number) = written.number {
            state.core.persisted(number);
        }
        if let Some(last) = written.last_index {
            state.watched.logged(state.logged, last);
            state.logged = last;
            state.wake_logged(&mut todo);
        }
        self.advance_with(state, todo);
    }

    /// Reads old entries for a member that lags, beside everything else.
    pub(super) fn fetch(self: &Arc<Self>, fetch: Fetch) {
        let replica = Arc::clone(self);
        self.host.world.spawn(Box::pin(async move {
            let read = replica.log.lock().reader();
            let entries = match read.fetch(&fetch) {
                Ok(entries) => entries,
                // They were cut meanwhile, as nobody else needs them: whoever wanted them is told.
                Err(_) if !read.extent().contains(&fetch.from) => Vec::new(),
                Err(error) => return replica.fail(&error),
            };
            let mut state = replica.state.lock();
            state.core.fetched(fetch, entries);
            replica.advance(state);
            replica.host.outbox.flush();
        }));
    }

    /// Lets members know up to where nobody will ask for entries any more, and cuts the head of the log.
    pub(super) fn tend_log(self: &Arc<Self>, state: &mut State) {
        if state.leads() && state.ticks.is_multiple_of(TEND_EVERY_TICKS) {
            self.give_up_the_absent(state);
            let everywhere = state.not_needed().min(state.applied);
            if state.core.is_alone() {
                state.floor = everywhere;
            } else if everywhere >= state.floor + self.host.settings.cut_entries
                || self.is_time_for_floor(state, everywhere)
            {
                // It is applied like any entry; until then the old floor holds.
                state.core.propose(super::effect::Record::floor(everywhere));
            }
        }
        if state.ticks.is_multiple_of(TEND_EVERY_TICKS) {
            self.cut_log(state);
        }
    }

    /// Who is away, or says nothing, has the log kept until it takes too much room. Everything that is cut is committed, so that
    /// nothing is lost by it: he gets all of it when he is back, in a snapshot.
    fn give_up_the_absent(&self, state: &mut State) {
        let kept = self.host.engine.log_bytes_since(Journal::stream_of(self.group));
        if kept < self.host.settings.away_log_bytes {
            return;
        }
        let given_up = state.others.give_up_the_absent();
        if given_up > 0 {
            tracing::debug!(
                group = self.group,
                given_up,
                kept_bytes = kept,
                "the log is not kept any more for members that are away or silent; they are filled anew when they are back"
            );
        }
    }

    /// Whether a floor is due for few entries, of which the one that said the last floor is one. The groups of a node take
    /// turns.
    fn is_time_for_floor(&self, state: &State, everywhere: u64) -> bool {
        let look = state.ticks / TEND_EVERY_TICKS + u64::from(self.group);
        let is_held = || self.host.engine.holds_log(Journal::stream_of(self.group));
        match everywhere.saturating_sub(state.floor) {
            0 => false,
            // What holds it may be something else than the floor.
            1 => {
                look.is_multiple_of(FLOOR_ANEW_LOOKS) || (self.first_needed(state) > state.floor && is_held())
            }
            _ => look.is_multiple_of(FLOOR_EVERY_LOOKS) || is_held(),
        }
    }

    /// Cuts the head of the log where nobody needs it any more: by and by, and at once when it holds back segments of the
    /// node's log. Then requests that are remembered are no reason to keep it, but are noted.
    pub(super) fn cut_log(self: &Arc<Self>, state: &mut State) {
        let (engine, stream) = (&self.host.engine, Journal::stream_of(self.group));
        let is_held = engine.holds_log(stream);
        let remembered = state.invocations.oldest_entry().unwrap_or(u64::MAX);
        let needed = self.first_needed(state);
        if is_held && needed == engine.flushed_index(stream) + 1 {
            engine.flush_behind_rotation(stream);
        }
        if (is_held && remembered < needed) || engine.holds_log(Journal::note_stream_of(self.group)) {
            if !std::mem::replace(&mut self.log.lock().is_noting, true) {
                let replica = Arc::clone(self);
                let noting = async move { replica.note_requests() };
                self.host.world.spawn(Box::pin(noting));
            }
            return;
        }
        let first = needed.min(remembered);
        let least = if is_held {
            1
        } else {
            self.host.settings.cut_entries
        };
        if first >= state.cut + least {
            self.cut_at(state, first, None);
        }
    }

    /// Puts the note in the place of the one before, and cuts the log up to where it was made.
    pub(super) fn cut_behind_note(&self, state: &mut State, note: Note) {
        let first = self.first_needed(state).min(note.upto + 1).max(state.cut);
        state.invocations.is_noted(note.upto);
        self.cut_at(state, first, Some(note));
    }

    /// The first entry that is needed for something else than for the requests that are remembered.
    fn first_needed(&self, state: &State) -> u64 {
        let flushed = self.host.engine.flushed_index(Journal::stream_of(self.group));
        let open = state.forwarding.first_open().unwrap_or(u64::MAX);
        let floor = if self.goes_without_floor(state) {
            state.applied
        } else {
            state.floor
        };
        (floor + 1).min(flushed + 1).min(open)
    }

    /// Whether a member that does not lead keeps so much that it does not wait for its leader, whose own log may be short: somebody
    /// is away, or silent, which only the leader knows. What it has applied is committed; should it come to lead, it has whoever
    /// lacks it filled.
    fn goes_without_floor(&self, state: &State) -> bool {
        let (engine, max) = (&self.host.engine, self.host.settings.away_log_bytes);
        !state.leads() && engine.log_bytes_since(Journal::stream_of(self.group)) / 2 >= max
    }

    fn cut_at(&self, state: &mut State, first: u64, note: Option<Note>) {
        state.cut = first;
        state.core.cut_head(first);
        let work = Work::Cut(first, state.core.state(), note);
        self.log.lock().waiting.push_back(work);
    }
}

impl State {
    /// Wakes the writes at ONE that this node's own log has.
    fn wake_logged(&mut self, todo: &mut Todo) {
        let logged = self.logged;
        while let Some(pending) = self.unlogged.pop_front_if(|pending| pending.index <= logged) {
            debug_assert_eq!(pending.level, ConsistencyLevel::One, "only they wait for the log");
            todo.wake(pending.wake, Ok(()));
        }
    }
}
