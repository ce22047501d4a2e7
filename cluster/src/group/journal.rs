//! The log of one replica: a stream of the node's commit log (`docs/format/group.md`).
//!
//! Invariant: what a core hands out to be persisted becomes records of one log batch, so that entries and state are there
//! after a crash together or not at all; the indices of the stream are those of the group's log. So do a cut and the note
//! of what went with it. Not here: reading it (`journal/reader.rs`), when a batch is written, and what entries
//! mean.

mod entry;
mod reader;
mod state;

use std::ops::ControlFlow;

use stator_storage::{Engine, LogBatch, StreamId};

use self::entry::{ENTRY_HEADER_BYTES, append};
pub(crate) use self::reader::JournalReader;
pub(crate) use self::state::Standing;
use self::state::{decode_state, encode_state};
use super::note::Note;
use crate::raft::{Entry, HardState, Kept, Members, Persist, Recovered, ReplicaId};

/// The number of a note's stream is so much greater than that of the log's; there are no more groups.
const NOTE_STREAMS: u64 = 1 << 33;

/// Why a log could not be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// The engine refused or failed.
    #[error(transparent)]
    Storage(#[from] stator_storage::Error),
    /// What the engine has of the group is of another version or of nobody's making.
    #[error(
        "the log of group {group} cannot be read: {detail}; remove the node from the cluster and let it join again, or \
         restore its directory from a backup"
    )]
    Malformed {
        /// The group.
        group: u32,
        /// What is wrong.
        detail: String,
    },
    /// Whoever replays the log has failed.
    #[error("the log of group {group} could not be replayed: {cause}")]
    Replay {
        /// The group.
        group: u32,
        /// What it said.
        cause: String,
    },
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Journal {
    reader: JournalReader,
    standing: Standing,
    /// The index that the next entry gets, when everything handed out is written.
    next: u64,
    /// The same for the stream of the note.
    next_note: u64,
}

impl Journal {
    /// The stream of a group. Stream 0 is the engine's own.
    pub(crate) fn stream_of(group: u32) -> StreamId {
        StreamId(u64::from(group) + 1)
    }

    /// The stream of a group's note.
    pub(crate) fn note_stream_of(group: u32) -> StreamId {
        StreamId(NOTE_STREAMS + u64::from(group))
    }

    /// The log of a replica of a new group, and the batch that makes it.
    pub(crate) fn create(engine: Engine, group: u32, id: ReplicaId, members: &Members) -> (Self, LogBatch) {
        let kept = Kept {
            members: members.clone(),
            ..Kept::default()
        };
        let standing = Standing::full(id);
        let mut batch = LogBatch::new();
        batch.set_state(Self::stream_of(group), &encode_state(standing, &kept));
        (Self::empty(engine, group, standing, 1), batch)
    }

    /// The log of a replica that is to be filled, in the place of whatever log there is, and the batch that makes it. It
    /// does not forget what it has promised.
    pub(crate) fn create_unfilled(
        engine: Engine,
        group: u32,
        id: ReplicaId,
        (hard_state, members): (HardState, Members),
    ) -> (Self, LogBatch) {
        let standing = Standing::unfilled(id);
        let kept = Kept {
            hard_state: HardState {
                commit: 0,
                ..hard_state
            },
            members,
            before: (0, 0),
        };
        let mut batch = LogBatch::new();
        let stream = Self::stream_of(group);
        batch.drop_stream(stream);
        batch.drop_stream(Self::note_stream_of(group));
        batch.set_state(stream, &encode_state(standing, &kept));
        (Self::empty(engine, group, standing, 1), batch)
    }

    /// Adds to a batch the first entries of a log that is being filled. What is there of it goes.
    pub(crate) fn fill(group: u32, standing: Standing, kept: &Kept, entries: &[Entry], batch: &mut LogBatch) {
        let stream = Self::stream_of(group);
        batch.drop_stream(stream);
        batch.set_state(stream, &encode_state(standing, kept));
        for entry in entries {
            append(stream, entry, batch);
        }
    }

    /// Adds to a batch that the replica is filled: it is what `kept` says, and remembers what the note says.
    pub(crate) fn filled(group: u32, id: ReplicaId, kept: &Kept, note: &Note, batch: &mut LogBatch) {
        batch.set_state(Self::stream_of(group), &encode_state(Standing::full(id), kept));
        let notes = Self::note_stream_of(group);
        batch.drop_stream(notes);
        if !note.requests.is_empty() {
            batch.append(notes, 1, &note.encode());
        }
    }

    /// Adds to a batch that a replica was given up.
    pub(crate) fn gone(group: u32, id: ReplicaId, batch: &mut LogBatch) {
        let standing = Standing {
            is_gone: true,
            ..Standing::full(id)
        };
        let stream = Self::stream_of(group);
        batch.drop_stream(stream);
        batch.drop_stream(Self::note_stream_of(group));
        batch.set_state(stream, &encode_state(standing, &Kept::default()));
    }

    fn empty(engine: Engine, group: u32, standing: Standing, next: u64) -> Self {
        let stream = Self::stream_of(group);
        let reader = JournalReader {
            engine,
            group,
            stream,
        };
        Self {
            reader,
            standing,
            next,
            next_note: 1,
        }
    }

    /// What is kept of a replica on this node; `None` if there is none.
    ///
    /// # Errors
    ///
    /// [`JournalError::Malformed`].
    pub(crate) fn kept(engine: &Engine, group: u32) -> Result<Option<(Standing, Kept)>, JournalError> {
        let Some(info) = engine.stream(Self::stream_of(group)) else {
            return Ok(None);
        };
        let kept = decode_state(&info.state).ok_or_else(|| JournalError::Malformed {
            group,
            detail: "its state does not decode".to_owned(),
        })?;
        Ok(Some(kept))
    }

    /// The groups of which this node has a replica.
    pub(crate) fn groups(engine: &Engine) -> Vec<u32> {
        let streams = engine.streams().into_iter();
        streams
            .filter_map(|(stream, _)| {
                let group = stream.0.checked_sub(1)?;
                u32::try_from(group).ok()
            })
            .collect()
    }

    /// The log of a replica as it is on this node, and what its core begins with; `None` if there is none. Entries behind
    /// `applied` that are known to be committed are handed to `replay`, in order, and count as applied then. With
    /// [`ControlFlow::Break`] it says that it has not applied the entry and takes no more: that one and all behind it are
    /// for the core, which hands those that are committed out again.
    ///
    /// # Errors
    ///
    /// [`JournalError`]; what `replay` fails with is in [`JournalError::Replay`].
    pub(crate) fn recover(
        engine: Engine,
        group: u32,
        applied: u64,
        replay: &mut dyn FnMut(Entry) -> Result<ControlFlow<()>, String>,
    ) -> Result<Option<(Self, Recovered)>, JournalError> {
        let stream = Self::stream_of(group);
        let Some(info) = engine.stream(stream) else {
            return Ok(None);
        };
        let malformed = |detail: String| JournalError::Malformed { group, detail };
        let (standing, kept) =
            decode_state(&info.state).ok_or_else(|| malformed("its state does not decode".to_owned()))?;
        if standing.is_gone {
            return Ok(None);
        }
        if standing.is_unfilled {
            let recovered = Recovered::unfilled(kept);
            return Ok(Some((Self::empty(engine, group, standing, 1), recovered)));
        }
        let Kept {
            mut hard_state,
            members,
            mut before,
        } = kept;
        // A stream that never had an entry begins behind what the state says.
        let next = if info.next == 0 { before.0 + 1 } else { info.next };
        let first = if info.next == 0 { next } else { info.head };
        let reader = JournalReader {
            engine,
            group,
            stream,
        };
        let last = next - 1;
        let commit = hard_state.commit.max(applied).min(last);
        if applied > last || first > applied + 1 {
            return Err(malformed(format!(
                "entries up to {applied} are applied, but the log has {first} to {last}"
            )));
        }
        if first > before.0 + 1 {
            // The head was cut after the state was written; the entry before the first one is gone with its term, which
            // the batch that cut it has noted.
            return Err(malformed(format!(
                "it begins with entry {first}, its state says {}",
                before.0 + 1
            )));
        }
        // The cut itself may be missing: the state is newer than the head.
        let first = first.max(before.0 + 1);
        before.0 = first - 1;
        hard_state.commit = commit;
        let unapplied = reader.replay(applied + 1..next, commit, replay)?;
        let recovered = Recovered {
            hard_state,
            members,
            before,
            terms: reader.terms(first, last)?,
            last,
            unapplied,
            is_unfilled: false,
        };
        let notes = reader.engine.stream(Self::note_stream_of(group));
        let next_note = notes.map_or(1, |info| info.next.max(1));
        let journal = Self {
            reader,
            standing,
            next,
            next_note,
        };
        Ok(Some((journal, recovered)))
    }

    /// What reads the log of a group, whether there is one or not.
    pub(crate) fn reader_of(engine: Engine, group: u32) -> JournalReader {
        let stream = Self::stream_of(group);
        JournalReader {
            engine,
            group,
            stream,
        }
    }

    /// What reads the log.
    pub(crate) fn reader(&self) -> JournalReader {
        self.reader.clone()
    }

    /// How many bytes [`Journal::persist`] adds for the entries.
    pub(crate) fn bytes_of(persist: &Persist) -> usize {
        let bytes = |entry: &Entry| LogBatch::RECORD_BYTES + ENTRY_HEADER_BYTES + entry.data.len();
        persist.entries.iter().map(bytes).sum()
    }

    /// Adds the records that make durable what a core has handed out. Batches are written in the order of the calls.
    pub(crate) fn persist(&mut self, persist: &Persist, batch: &mut LogBatch) {
        if let Some(first) = persist.entries.first() {
            if first.index < self.next {
                batch.cut_tail(self.reader.stream, first.index);
            }
            for entry in &persist.entries {
                append(self.reader.stream, entry, batch);
                self.next = entry.index + 1;
            }
        }
        if let Some(kept) = &persist.state {
            self.set_state(kept, batch);
        }
    }

    /// How the replica stands.
    pub(crate) fn standing(&self) -> Standing {
        self.standing
    }

    /// Whether the replica is under suspicion, in what is written from then on.
    pub(crate) fn set_suspect(&mut self, is_suspect: bool) {
        self.standing.is_suspect = is_suspect;
    }

    /// Adds what is kept of the replica from then on.
    pub(crate) fn set_state(&self, kept: &Kept, batch: &mut LogBatch) {
        batch.set_state(self.reader.stream, &encode_state(self.standing, kept));
    }

    /// Adds the records with which the log begins with entry `first` from then on. `kept` is that of a core whose head was
    /// cut at the same entry.
    pub(crate) fn cut_head(&self, first: u64, kept: &Kept, batch: &mut LogBatch) {
        batch.cut_head(self.reader.stream, first);
        self.set_state(kept, batch);
    }

    /// Adds the records with which there is this note and no other; an empty one is none.
    pub(crate) fn note(&mut self, note: &Note, batch: &mut LogBatch) {
        let stream = Self::note_stream_of(self.reader.group);
        if note.requests.is_empty() {
            batch.cut_head(stream, self.next_note);
        } else {
            batch.append(stream, self.next_note, &note.encode());
            batch.cut_head(stream, self.next_note);
            self.next_note += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use bytes::Bytes;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use stator_storage::vfs::mem::{MemVfs, Unsynced};
    use stator_storage::{
        Durability, Environment, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Settings, WriteBatch,
    };

    use super::entry::decode_entry;
    use super::*;
    use crate::raft::EntryKind;
    use crate::world::NodeId;

    const GROUP: u32 = 6;

    fn open(disk: &MemVfs) -> Engine {
        let random = Random::new(|bytes| {
            bytes.fill(7);
            Ok(())
        });
        let master_keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
        let environment = Environment::new(Arc::new(disk.clone()), random, master_keys, 0);
        let settings = Settings {
            log_segment_bytes: 4096,
            memtable_bytes_max: 4096,
            ..Settings::default()
        };
        Engine::open_driven(environment, Path::new("/d"), settings).unwrap()
    }

    fn write(engine: &Engine, batch: LogBatch) {
        engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)
            .unwrap();
    }

    fn members() -> Members {
        let ids = |ids: &[u64]| ids.iter().copied().map(ReplicaId).collect::<Vec<_>>();
        Members {
            voters: ids(&[1, 4, 9]),
            learners: ids(&[11]),
            outgoing: ids(&[1, 3]),
            nodes: std::sync::Arc::new(
                (ids(&[1, 3, 4, 9, 11]).into_iter())
                    .map(|id| (id, NodeId(id.0 + 20)))
                    .collect(),
            ),
            since: 0,
        }
    }

    /// What a log should be.
    #[derive(Clone, Debug, Default)]
    struct Model {
        entries: Vec<Entry>,
        before: (u64, u64),
        hard_state: HardState,
    }

    impl Model {
        fn kept(&self) -> Kept {
            Kept {
                hard_state: self.hard_state.clone(),
                members: members(),
                before: self.before,
            }
        }

        fn last(&self) -> u64 {
            self.before.0 + self.entries.len() as u64
        }

        /// What is replayed when nothing from `stop` on is taken, and what the core gets.
        fn recovered(&self, applied: u64, stop: u64) -> (Vec<Entry>, Recovered) {
            let commit = self.hard_state.commit.max(applied);
            let replayed = commit.min(stop - 1).max(applied);
            let mut terms: Vec<(u64, u64)> = Vec::new();
            for entry in &self.entries {
                if terms.last().is_none_or(|(_, term)| *term != entry.term) {
                    terms.push((entry.index, entry.term));
                }
            }
            let behind = |from: u64, to: u64| -> Vec<Entry> {
                let entries = self.entries.iter();
                entries
                    .filter(|entry| entry.index > from && entry.index <= to)
                    .cloned()
                    .collect()
            };
            let recovered = Recovered {
                hard_state: HardState {
                    commit,
                    ..self.hard_state.clone()
                },
                members: members(),
                before: self.before,
                terms,
                last: self.last(),
                unapplied: behind(replayed, u64::MAX),
                is_unfilled: false,
            };
            (behind(applied, replayed), recovered)
        }
    }

    #[derive(Clone, Debug)]
    enum Step {
        /// So many entries behind the last one but `overruled`, in a term that rises by `rise`.
        Append {
            overruled: u64,
            count: u64,
            rise: u64,
            length: usize,
        },
        Vote {
            vote: u64,
        },
        Commit {
            share: u64,
        },
        CutHead {
            keep: u64,
        },
        /// After the start so many entries are replayed.
        PowerCut {
            replayed: u64,
        },
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            6 => (0_u64..4, 1_u64..5, 0_u64..3, 0_usize..600)
                .prop_map(|(overruled, count, rise, length)| Step::Append { overruled, count, rise, length }),
            2 => (0_u64..12).prop_map(|vote| Step::Vote { vote }),
            2 => (0_u64..5).prop_map(|share| Step::Commit { share }),
            2 => (0_u64..6).prop_map(|keep| Step::CutHead { keep }),
            2 => (0_u64..6).prop_map(|replayed| Step::PowerCut { replayed }),
        ]
    }

    /// What a core would hand out for a step, after which the model is what the log must be.
    fn make(step: &Step, model: &mut Model, number: u64) -> Persist {
        let mut persist = Persist {
            number,
            entries: Vec::new(),
            state: None,
            must_sync: false,
            then_send: Vec::new(),
        };
        match *step {
            Step::Append {
                overruled,
                count,
                rise,
                length,
            } => {
                let least = model.hard_state.commit.max(model.before.0);
                let from = (model.last() + 1).saturating_sub(overruled).max(least + 1);
                model.entries.retain(|entry| entry.index < from);
                model.hard_state.term += rise;
                for index in from..from + count {
                    let entry = Entry {
                        index,
                        term: model.hard_state.term,
                        kind: if index.is_multiple_of(5) {
                            EntryKind::Membership
                        } else {
                            EntryKind::Command
                        },
                        data: vec![index.to_le_bytes()[0]; length].into(),
                    };
                    model.entries.push(entry.clone());
                    persist.entries.push(entry);
                }
            }
            Step::Vote { vote } => model.hard_state.vote = vote,
            Step::Commit { share } => {
                let commit = model.hard_state.commit;
                model.hard_state.commit = commit + (model.last() - commit) * share / 4;
            }
            Step::CutHead { .. } | Step::PowerCut { .. } => {}
        }
        persist.state = Some(model.kept());
        persist
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

        #[test]
        fn a_log_comes_back_as_it_was_handed_out(steps in vec(step(), 1..40)) {
            let mut disk = MemVfs::new();
            let mut engine = open(&disk);
            let (mut journal, batch) = Journal::create(engine.clone(), GROUP, ReplicaId(4), &members());
            write(&engine, batch);
            let mut model = Model::default();
            for (number, step) in (1..).zip(&steps) {
                match *step {
                    Step::CutHead { keep } => {
                        let first = (model.hard_state.commit + 1).saturating_sub(keep).max(model.before.0 + 1);
                        if let Some(last) = model.entries.iter().rfind(|entry| entry.index < first) {
                            model.before = (last.index, last.term);
                        }
                        model.entries.retain(|entry| entry.index >= first);
                        let state = model.kept();
                        let mut batch = LogBatch::new();
                        journal.cut_head(first, &state, &mut batch);
                        write(&engine, batch);
                    }
                    Step::PowerCut { replayed: count } => {
                        disk = disk.after_power_cut(Unsynced::Lost);
                        engine = open(&disk);
                        let applied = model.before.0 + model.hard_state.commit.saturating_sub(model.before.0) / 2;
                        let stop = applied + 1 + count;
                        let (mut replayed, mut refused) = (Vec::new(), 0);
                        let found = Journal::recover(engine.clone(), GROUP, applied, &mut |entry| {
                            if entry.index >= stop {
                                refused += 1;
                                return Ok(ControlFlow::Break(()));
                            }
                            replayed.push(entry);
                            Ok(ControlFlow::Continue(()))
                        });
                        let (opened, recovered) = found.unwrap().unwrap();
                        prop_assert!(refused <= 1, "asked again after it had taken no more");
                        prop_assert_eq!((replayed, recovered), model.recovered(applied, stop));
                        journal = opened;
                    }
                    ref step => {
                        let persist = make(step, &mut model, number);
                        let mut batch = LogBatch::with_capacity(Journal::bytes_of(&persist));
                        journal.persist(&persist, &mut batch);
                        write(&engine, batch);
                    }
                }
            }
        }

        #[test]
        fn arbitrary_states_and_entries_never_panic(bytes in vec(0_u8..4, 0..80)) {
            if let Some((standing, kept)) = decode_state(&bytes) {
                prop_assert_eq!(encode_state(standing, &kept), bytes.clone());
            }
            decode_entry(1, Bytes::from(bytes));
        }
    }

    #[test]
    fn a_group_that_is_not_there_is_nobodys() {
        let engine = open(&MemVfs::new());
        let found = Journal::recover(engine, GROUP, 0, &mut |_| Ok(ControlFlow::Continue(())));
        assert!(found.unwrap().is_none());
    }

    #[test]
    fn a_log_that_ends_before_what_was_applied_is_refused() {
        let disk = MemVfs::new();
        let engine = open(&disk);
        let (_, batch) = Journal::create(engine.clone(), GROUP, ReplicaId(4), &members());
        write(&engine, batch);
        let error = Journal::recover(engine, GROUP, 3, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert!(
            error.to_string().contains("entries up to 3 are applied"),
            "{error}"
        );
    }

    #[test]
    fn a_state_of_another_version_is_refused() {
        let engine = open(&MemVfs::new());
        let mut batch = LogBatch::new();
        batch.set_state(Journal::stream_of(GROUP), &[99; 60]);
        write(&engine, batch);
        let error = Journal::recover(engine, GROUP, 0, &mut |_| Ok(ControlFlow::Continue(()))).unwrap_err();
        assert!(
            matches!(error, JournalError::Malformed { group: GROUP, .. }),
            "{error}"
        );
    }
}
