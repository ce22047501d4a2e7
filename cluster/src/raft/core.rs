//! The decisions of one replica of one group.
//!
//! Invariant: whatever a call decides comes out of the next [`Core::step`], and steps are carried out in the order in
//! which they came: what is to be persisted before what came after it. Commits and reads come out as soon as a majority
//! of the group's own members stands behind them. Not here: carrying a step out.

mod filling;

use std::fmt;

use bytes::Bytes;
use raft::eraftpb::{Entry as RaftEntry, EntryType, Message, MessageType};
use raft::{Config, RawNode, StateRole};

pub(crate) use self::filling::LogNeed;
use super::codec::RaftMessage;
use super::logger::logger;
use super::members::{self, MemberChange, Members};
use super::proof::{self, Proof};
use super::store::{Fetch, Recovered, Store, from_raft_entry};
use super::{Entry, Kept, ReplicaId};

/// The state is kept at least every so many committed entries.
const COMMITS_PER_STATE: u64 = 256;

/// How a core behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CoreSettings {
    /// For the log only.
    pub(crate) group: u32,
    /// Whose decisions these are.
    pub(crate) replica: ReplicaId,
    /// A follower that hears nothing for so many ticks, up to twice as many, asks for votes.
    pub(crate) election_ticks: usize,
    /// A leader speaks up at least every so many ticks.
    pub(crate) heartbeat_ticks: usize,
    /// Entries of one message.
    pub(crate) message_bytes_max: u64,
    /// Messages with entries that are under way to a follower.
    pub(crate) messages_in_flight_max: usize,
}

/// What a replica is in its term.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// It takes what the leader sends.
    Follower,
    /// It asks whether it would get votes, or for them.
    Candidate,
    /// It proposes.
    Leader,
}

/// What the owner tells a read from others by. Never used twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct ReadContext(pub u64);

/// What is to become durable, in the order of the steps.
#[derive(Debug, PartialEq)]
pub(crate) struct Persist {
    /// Handed to [`Core::persisted`] when it is durable.
    pub(crate) number: u64,
    /// To be appended; what the log has from the first one's index on goes before.
    pub(crate) entries: Vec<Entry>,
    /// The state, if it has changed, or if many entries were committed since it was last handed out.
    pub(crate) state: Option<Kept>,
    /// Whether it has a vote or a term in it, which must survive a power cut whatever may be lost of the entries.
    pub(crate) must_sync: bool,
    /// Only to be sent when it is durable: others rely on it.
    pub(crate) then_send: Vec<RaftMessage>,
}

impl Persist {
    /// Whether there is nothing to write or to send, so that only its place in the order counts.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && self.state.is_none() && self.then_send.is_empty()
    }
}

/// What the owner has to do.
#[derive(Debug, Default)]
pub(crate) struct Step {
    /// To be sent at once.
    pub(crate) messages: Vec<RaftMessage>,
    /// To become durable.
    pub(crate) persist: Option<Persist>,
    /// Committed: to be applied in this order.
    pub(crate) committed: Vec<Entry>,
    /// Reads that may be served when everything up to the index is applied.
    pub(crate) reads: Vec<(ReadContext, u64)>,
    /// Entries that are wanted from the log.
    pub(crate) fetches: Vec<Fetch>,
}

impl Step {
    fn is_empty(&self) -> bool {
        self.messages.is_empty()
            && self.persist.is_none()
            && self.committed.is_empty()
            && self.reads.is_empty()
            && self.fetches.is_empty()
    }
}

/// How far a member is, as the leader knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Progress {
    /// The member.
    pub(crate) replica: ReplicaId,
    /// It has everything up to here, durably.
    pub(crate) matched: u64,
    /// Whether it was heard of since the last look for a quorum.
    pub(crate) is_active: bool,
    /// From where on the log is needed for it.
    pub(crate) need: LogNeed,
}

impl Progress {
    /// Whether it tells this leader nothing of what it has: it is not there, it waits to be filled, or it is diverged. That it
    /// is only late shows soon.
    pub(crate) fn says_nothing(&self) -> bool {
        !self.is_active || self.need == LogNeed::Untold
    }
}

/// Numbers that nobody can foresee.
pub(crate) type Draw<'a> = &'a mut dyn FnMut() -> u64;

/// What a core needs of its settings when the crate has them. A node has thousands of cores.
#[derive(Clone, Copy, Debug)]
struct Own {
    group: u32,
    replica: ReplicaId,
    election_ticks: usize,
}

/// See the head of the file.
pub(crate) struct Core {
    node: RawNode<Store>,
    settings: Own,
    /// Term and role when the election timeout was last drawn.
    drawn_for: (u64, StateRole),
    /// What is on its way to the disk or there: term and vote.
    persisted_state: (u64, u64),
    /// And up to where entries are known there to be committed.
    persisted_commit: u64,
    /// Since the start, a leader has shown that the log is as its own up to here.
    confirmed: u64,
    /// Where the leader has another entry than this replica, which holds its own for committed.
    diverged_at: Option<u64>,
    /// Whether it has nothing of what its group has, and takes no entries before it was filled.
    is_unfilled: bool,
    /// Whether a leader has said that the log does not have any more what this replica needs.
    is_outdated: bool,
    /// Whether nothing is decided here any more.
    is_retired: bool,
    /// Whether it must not lead.
    is_suspect: bool,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("settings", &self.settings)
            .field("term", &self.term())
            .field("role", &self.role())
            .finish_non_exhaustive()
    }
}

impl Core {
    /// A replica that has come back with what it had; a new one has members and nothing else.
    ///
    /// # Errors
    ///
    /// What the crate finds wrong with the settings.
    pub(crate) fn new(settings: CoreSettings, recovered: Recovered, draw: Draw<'_>) -> Result<Self, String> {
        let applied = recovered.last - recovered.unapplied.len() as u64;
        let persisted_state = (recovered.hard_state.term, recovered.hard_state.vote);
        let persisted_commit = recovered.hard_state.commit;
        let is_unfilled = recovered.is_unfilled;
        let config = Config {
            id: settings.replica.0,
            election_tick: settings.election_ticks,
            heartbeat_tick: settings.heartbeat_ticks,
            applied,
            max_size_per_msg: settings.message_bytes_max,
            max_inflight_msgs: settings.messages_in_flight_max,
            check_quorum: true,
            pre_vote: true,
            ..Config::default()
        };
        let logger = logger(settings.group);
        let node =
            RawNode::new(&config, Store::new(recovered), &logger).map_err(|error| error.to_string())?;
        let mut core = Self {
            node,
            settings: Own {
                group: settings.group,
                replica: settings.replica,
                election_ticks: settings.election_ticks,
            },
            // No term, so that the first call draws.
            drawn_for: (u64::MAX, StateRole::Follower),
            persisted_state,
            persisted_commit,
            confirmed: 0,
            diverged_at: None,
            is_unfilled,
            is_outdated: false,
            is_retired: false,
            is_suspect: false,
        };
        core.draw_timeout(draw);
        core.shed();
        Ok(core)
    }

    /// Lets go of memory that a group with nothing to do does not need: the crate keeps room for all messages that may be under way
    /// to each member.
    pub(crate) fn shed(&mut self) {
        self.node.raft.maybe_free_inflight_buffers();
        let raft = &mut self.node.raft;
        raft.msgs.shrink_to_fit();
        raft.raft_log.unstable.entries.shrink_to_fit();
        self.node.mut_store().shed();
    }

    /// The crate draws its timeouts from the thread's generator; they are drawn anew from the owner's.
    fn draw_timeout(&mut self, draw: Draw<'_>) {
        let raft = &mut self.node.raft;
        let now = (raft.term, raft.state);
        if now != self.drawn_for {
            self.drawn_for = now;
            let ticks = self.settings.election_ticks;
            let more = usize::try_from(draw() % ticks as u64).unwrap_or_default();
            raft.set_randomized_election_timeout(ticks + more);
        }
    }

    /// Time goes on by a tick.
    pub(crate) fn tick(&mut self, draw: Draw<'_>) {
        if self.diverged_at.is_some() {
            return;
        }
        if self.is_unfilled {
            // It never stands for election; but when its leader has been silent for long enough, it votes for another one.
            let raft = &mut self.node.raft;
            raft.election_elapsed = (raft.election_elapsed + 1).min(self.settings.election_ticks);
            return;
        }
        let has_timed_out = {
            let raft = &self.node.raft;
            raft.state != StateRole::Leader && raft.election_elapsed + 1 >= raft.randomized_election_timeout()
        };
        if has_timed_out && self.is_suspect {
            // It goes on waiting, as somebody who would vote for another one.
            self.node.raft.election_elapsed = self.settings.election_ticks;
            return;
        }
        self.node.tick();
        if has_timed_out {
            // The next try in the same term and role waits for another time.
            self.drawn_for = (u64::MAX, StateRole::Follower);
        }
        self.draw_timeout(draw);
    }

    /// Asks for votes at once.
    pub(crate) fn campaign(&mut self, draw: Draw<'_>) {
        if self.diverged_at.is_some() || self.is_unfilled || self.is_suspect {
            return;
        }
        // It refuses to when it leads already, or while a change of members waits; both are fine.
        if let Err(error) = self.node.campaign() {
            tracing::debug!(%error, group = self.settings.group, "no election was begun");
        }
        self.draw_timeout(draw);
    }

    /// Takes a message of another member.
    pub(crate) fn receive(&mut self, message: RaftMessage, draw: Draw<'_>) {
        let kind = message.message().get_msg_type();
        if kind == MessageType::MsgPropose || kind == MessageType::MsgReadIndex {
            // Nobody of ours sends them: writes and reads are forwarded before they get here.
            tracing::warn!(group = self.settings.group, ?kind, "a message was refused");
            return;
        }
        let mut message = message.into_message();
        if self.diverged_at.is_some() {
            // Whatever it said would be said of a log that nobody else has.
            return;
        }
        if kind == MessageType::MsgSnapshot || (self.is_unfilled && kind == MessageType::MsgAppend) {
            // Nothing is taken of either; whoever has sent it leads all the same.
            // One that is unfilled gets what it needs already.
            if kind == MessageType::MsgSnapshot && !self.is_unfilled && message.term >= self.node.raft.term {
                self.hear_notice((message.index, message.log_term));
            }
            self.hear_leader(&message);
            // An answer would be answered by the same again, without a pause.
            let messages = &mut self.node.raft.msgs;
            messages.pop_if(|answer| answer.get_msg_type() == MessageType::MsgHeartbeatResponse);
            return self.draw_timeout(draw);
        }
        if (self.is_unfilled || self.is_suspect) && kind == MessageType::MsgTimeoutNow {
            return;
        }
        if kind == MessageType::MsgAppend && !self.examine(&mut message) {
            return self.draw_timeout(draw);
        }
        let shown = (kind == MessageType::MsgAppend).then(|| {
            let before = (message.index, message.log_term);
            let last = message.entries.last();
            (message.term, last.map_or(before, |last| (last.index, last.term)))
        });
        if kind == MessageType::MsgHeartbeat {
            // The leader goes by what this replica had before it started; a power cut may have taken the end of it along.
            message.commit = message.commit.min(self.confirmed);
        }
        let heard = (kind == MessageType::MsgHeartbeatResponse).then_some((message.from, message.commit));
        // What does not fit any more is refused, which is no harm.
        if let Err(error) = self.node.step(message) {
            tracing::debug!(%error, group = self.settings.group, "a message was refused");
        }
        if let Some((member, committed)) = heard {
            self.see_filled(ReplicaId(member), committed);
            self.tell_again(member, committed);
        }
        if let Some((term, (index, entry_term))) = shown {
            let raft = &self.node.raft;
            if raft.term == term && raft.raft_log.match_term(index, entry_term) {
                self.confirmed = self.confirmed.max(index);
            }
        }
        self.draw_timeout(draw);
    }

    /// Whether an append can be given to the crate; otherwise it is answered here with what it shows and no more.
    fn examine(&mut self, message: &mut Message) -> bool {
        let raft = &self.node.raft;
        if message.term < raft.term {
            return true;
        }
        let committed = raft.raft_log.committed;
        let proof = proof::examine(message, committed, |index| {
            raft.raft_log.term(index).ok().filter(|term| *term > 0)
        });
        if proof == Proof::Take {
            return true;
        }
        self.hear_leader(message);
        match proof {
            Proof::Take => {}
            Proof::SameUpTo(index) => {
                let mut answer = Message::default();
                answer.set_msg_type(MessageType::MsgAppendResponse);
                (answer.from, answer.to) = (message.to, message.from);
                (answer.term, answer.index, answer.commit) = (self.node.raft.term, index, committed);
                self.node.raft.msgs.push(answer);
            }
            Proof::Differs(index) => self.diverged_at = Some(index),
        }
        false
    }

    /// Takes of a leader's message that it leads, and no more.
    fn hear_leader(&mut self, message: &Message) {
        let mut heartbeat = Message::default();
        heartbeat.set_msg_type(MessageType::MsgHeartbeat);
        (heartbeat.from, heartbeat.to, heartbeat.term) = (message.from, message.to, message.term);
        if let Err(error) = self.node.step(heartbeat) {
            tracing::debug!(%error, group = self.settings.group, "a message was refused");
        }
    }

    /// Whether the log of the group does not have any more what this replica needs, as a leader has said.
    pub(crate) fn is_outdated(&self) -> bool {
        self.is_outdated
    }

    /// Whether it may lead; one that leads and may not, ceases to.
    pub(crate) fn set_suspect(&mut self, is_suspect: bool) {
        self.is_suspect = is_suspect;
        if is_suspect && self.node.raft.state != StateRole::Follower {
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, 0);
        }
    }

    /// Nothing is decided here any more: another core goes on with what this one has handed out.
    pub(crate) fn retire(&mut self) {
        self.is_retired = true;
    }

    /// The first entry that a leader was seen to have otherwise although it is committed here: a majority has lost the end
    /// of its log, and this replica has what nobody else has. It takes no part any more.
    pub(crate) fn diverged_at(&self) -> Option<u64> {
        self.diverged_at
    }

    /// Puts a change of the members behind the other entries; `None` if this replica does not lead, or if a change is
    /// under way that has to be over first.
    pub(crate) fn propose_members(&mut self, change: &MemberChange) -> Option<(u64, u64)> {
        let raft = &self.node.raft;
        let leaves = *change == MemberChange::Leave;
        if raft.has_pending_conf() || raft.lead_transferee.is_some() || self.members().is_joint() != leaves {
            return None;
        }
        self.propose_entry(EntryType::EntryConfChangeV2, change.encode())
    }

    /// An entry that changes the members is applied: from now on they are what it says.
    ///
    /// # Errors
    /// What cannot be understood.
    pub(crate) fn apply_members(&mut self, index: u64, data: &Bytes) -> Result<(), String> {
        if index <= self.members().since {
            // A start begins with the members that it has kept, and is handed entries from before.
            return Ok(());
        }
        let (change, added) = members::decode(data)?;
        let me = self.settings.replica;
        let members = self.members();
        let goes = members.is_joint() && !members.voters.contains(&me) && !members.learners.contains(&me);
        if change.leave_joint() && goes && self.node.raft.state == StateRole::Leader {
            // The crate has no leaders that are no members. Another one was to hand over before, but leads no longer.
            let term = self.node.raft.term;
            self.node.raft.become_follower(term, 0);
        }
        let members = match self.node.apply_conf_change(&change) {
            Ok(conf_state) => self.members().changed(&conf_state, &added, index),
            Err(error) => {
                // All members find the same.
                tracing::warn!(%error, group = self.settings.group, index, "a change of members changes nothing");
                Members {
                    since: index,
                    ..self.members().clone()
                }
            }
        };
        self.node.mut_store().set_members(members);
        Ok(())
    }

    /// Puts an entry behind the others; `None` if this replica does not lead, or is about to hand over.
    pub(crate) fn propose(&mut self, data: Bytes) -> Option<(u64, u64)> {
        self.propose_entry(EntryType::EntryNormal, data)
    }

    fn propose_entry(&mut self, kind: EntryType, data: Bytes) -> Option<(u64, u64)> {
        if self.role() != Role::Leader {
            return None;
        }
        let mut entry = RaftEntry::default();
        entry.set_entry_type(kind);
        entry.set_data(data);
        let mut message = Message::default();
        message.set_msg_type(MessageType::MsgPropose);
        message.set_from(self.settings.replica.0);
        message.set_entries(vec![entry].into());
        self.node.raft.step(message).ok()?;
        let raft = &self.node.raft;
        Some((raft.raft_log.last_index(), raft.term))
    }

    /// Asks up to where a read that begins now must see; the answer comes out of a step, unless this replica ceases to
    /// lead. `false` if it cannot say because it does not lead, or has not committed anything in its term yet.
    pub(crate) fn read_index(&mut self, context: ReadContext) -> bool {
        if self.role() != Role::Leader || !self.node.raft.commit_to_current_term() {
            return false;
        }
        self.node.read_index(context.0.to_le_bytes().to_vec());
        true
    }

    /// What was handed out under `number`, and all before it, is durable.
    pub(crate) fn persisted(&mut self, number: u64) {
        self.node.on_persist_ready(number);
    }

    /// Entries that were asked for have come; if there are fewer, the rest is asked for again.
    pub(crate) fn fetched(&mut self, fetch: Fetch, entries: Vec<Entry>) {
        self.node.mut_store().set_fetched(entries);
        self.node.on_entries_fetched(fetch.into_context());
    }

    /// Everything up to `index` is applied.
    pub(crate) fn applied(&mut self, index: u64) {
        self.node.advance_apply_to(index);
        self.node.mut_store().set_applied(index);
    }

    /// The log begins with entry `first` from now on.
    pub(crate) fn cut_head(&mut self, first: u64) {
        self.node.mut_store().cut_head(first);
    }

    /// Hands leadership over to a member; until that has happened, or an election timeout has passed, nothing is taken.
    pub(crate) fn transfer_leadership(&mut self, to: ReplicaId) {
        self.node.transfer_leader(to.0);
    }

    /// Whether leadership is being handed over.
    pub(crate) fn is_handing_over(&self) -> bool {
        self.node.raft.lead_transferee.is_some()
    }

    /// What there is to do; `None` if there is nothing.
    pub(crate) fn step(&mut self) -> Option<Step> {
        let mut step = Step {
            fetches: self.node.mut_store().take_wanted(),
            ..Step::default()
        };
        if self.node.has_ready() {
            self.gather(&mut step);
        }
        for behind in self.node.mut_store().take_behind() {
            step.messages.push(self.notice(behind));
        }
        (!step.is_empty()).then_some(step)
    }

    fn gather(&mut self, step: &mut Step) {
        let mut ready = self.node.ready();
        let messages = ready.take_messages();
        step.messages = messages.into_iter().map(RaftMessage::new).collect();
        step.committed = ready
            .take_committed_entries()
            .iter()
            .map(from_raft_entry)
            .collect();
        step.reads = ready
            .take_read_states()
            .into_iter()
            .filter_map(|read| {
                let context = u64::from_le_bytes(read.request_ctx.try_into().ok()?);
                Some((ReadContext(context), read.index))
            })
            .collect();
        let entries = ready.take_entries();
        let then_send = ready.take_persisted_messages();
        let store = self.node.mut_store();
        store.append(&entries);
        let (mut state, mut must_sync) = (None, false);
        if let Some(hard_state) = ready.hs() {
            let kept: (u64, u64) = (hard_state.term, hard_state.vote);
            let commit = hard_state.commit;
            store.set_hard_state(hard_state);
            // How far entries are committed is learned anew after a start, so that it is kept now and then only: a start
            // then need not hold all that is not applied in memory until a leader has spoken.
            if kept != self.persisted_state || commit >= self.persisted_commit + COMMITS_PER_STATE {
                must_sync = kept != self.persisted_state;
                self.persisted_state = kept;
                self.persisted_commit = commit;
                state = Some(store.state());
            }
        }
        // Whoever has the entry that leaves a joint configuration has to know, also after a start, that the entry which
        // entered it is committed: it would otherwise hold the old voters for the only ones, and they might elect it while
        // the new ones have a leader of theirs. The message with the entry says it, because that is proposed when the other
        // one is applied.
        if entries
            .iter()
            .any(|entry| entry.entry_type != EntryType::EntryNormal)
        {
            let kept = store.state();
            self.persisted_commit = kept.hard_state.commit;
            state = Some(kept);
        }
        // Every ready is acknowledged, the empty ones as well: they have an order.
        step.persist = Some(Persist {
            number: ready.number(),
            entries: entries.iter().map(from_raft_entry).collect(),
            state,
            must_sync,
            then_send: then_send.into_iter().map(RaftMessage::new).collect(),
        });
        self.node.advance_append_async(ready);
    }

    /// What this replica is in its term.
    pub(crate) fn role(&self) -> Role {
        if self.diverged_at.is_some() || self.is_retired {
            return Role::Follower;
        }
        match self.node.raft.state {
            StateRole::Follower => Role::Follower,
            StateRole::Candidate | StateRole::PreCandidate => Role::Candidate,
            StateRole::Leader => Role::Leader,
        }
    }

    /// The latest term that it knows of.
    pub(crate) fn term(&self) -> u64 {
        self.node.raft.term
    }

    /// Whom this replica takes for the leader.
    pub(crate) fn leader(&self) -> Option<ReplicaId> {
        Some(self.node.raft.leader_id)
            .filter(|id| *id != 0)
            .map(ReplicaId)
    }

    /// Whether this replica leads and has applied an entry of its term, so that it knows all that was ever committed.
    pub(crate) fn may_serve(&self) -> bool {
        self.role() == Role::Leader && self.node.raft.apply_to_current_term()
    }

    /// The last entry that is known to be committed.
    pub(crate) fn committed(&self) -> u64 {
        self.node.raft.raft_log.committed
    }

    /// The last entry.
    pub(crate) fn last(&self) -> u64 {
        self.node.raft.raft_log.last_index()
    }

    /// The first entry that the log still has.
    #[cfg(test)]
    pub(crate) fn first(&self) -> u64 {
        self.node.store().first()
    }

    /// Whether this is the only voter, so that nobody else need be asked.
    pub(crate) fn is_alone(&self) -> bool {
        self.node.raft.prs().is_singleton()
    }

    /// The members.
    pub(crate) fn members(&self) -> &Members {
        self.node.store().members()
    }

    /// The state to be kept with the log.
    pub(crate) fn state(&self) -> Kept {
        self.node.store().state()
    }

    /// The term of an entry; `None` if the log does not have it, nor the one behind it.
    pub(crate) fn term_of(&self, index: u64) -> Option<u64> {
        self.node.raft.raft_log.term(index).ok()
    }

    /// How far the members are; only a leader knows.
    pub(crate) fn progress(&self) -> impl Iterator<Item = Progress> {
        let (before, _) = self.node.store().before();
        self.node.raft.prs().iter().map(move |(id, progress)| Progress {
            replica: ReplicaId(*id),
            matched: progress.matched,
            is_active: progress.recent_active,
            need: LogNeed::of(progress, before),
        })
    }
}
