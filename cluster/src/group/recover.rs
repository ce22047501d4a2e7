//! How a replica comes to be: new, or from what its node has of it.
//!
//! Invariant: a replica begins with the same memory of requests and times that it had, because its log is kept from the
//! oldest request on that is remembered and not in its note; what is known to be committed is applied before it says a
//! word, but for what has to wait for a keyspace. Not here: who is a member.

use std::collections::BTreeMap;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;

use stator_storage::{Durability, Engine, LogBatch, WriteBatch};

use super::apply::{Done, METADATA_GROUP};
use super::effect::Record;
use super::host::Host;
use super::invocations::Invocations;
use super::journal::{Journal, JournalError, JournalReader};
use super::own::{Own, OwnError};
use super::replica::{Birth, Remembered, Replica};
use crate::error::Error;
use crate::metadata::keyspaces::{Fate, Keyspaces};
use crate::raft::{Entry, HardState, Kept, Members, Recovered, ReplicaId};

/// A replica that has never been. It may begin when the batch is durable.
///
/// # Errors
/// [`Error::Group`].
pub(crate) fn found(
    host: &Arc<Host>,
    birth: Birth,
    members: &Members,
) -> Result<(Arc<Replica>, LogBatch), Error> {
    let (journal, batch) = Journal::create(host.engine.clone(), birth.group, birth.id, members);
    let recovered = Recovered {
        members: members.clone(),
        ..Recovered::default()
    };
    let replica = Replica::new(Arc::clone(host), birth, journal, recovered, Remembered::default())?;
    Ok((replica, batch))
}

/// A replica that has nothing of what its group has, in the place of whatever there is of the group. It may begin when the
/// batch is durable.
///
/// # Errors
/// [`Error::Group`].
pub(crate) fn unfilled(
    host: &Arc<Host>,
    birth: Birth,
    promised: (HardState, Members),
) -> Result<(Arc<Replica>, LogBatch), Error> {
    let (engine, group, id) = (host.engine.clone(), birth.group, birth.id);
    let (journal, batch) = Journal::create_unfilled(engine, group, id, promised.clone());
    let (hard_state, members) = promised;
    let recovered = Recovered::unfilled(Kept {
        hard_state,
        members,
        before: (0, 0),
    });
    let replica = Replica::new(Arc::clone(host), birth, journal, recovered, Remembered::default())?;
    Ok((replica, batch))
}

/// The replica that this node has of a group; `None` if it has none. The layout prefers a member to lead.
///
/// # Errors
/// [`Error::Journal`] and [`Error::Group`].
pub(crate) fn recover(
    host: &Arc<Host>,
    group: u32,
    preferred: Option<ReplicaId>,
) -> Result<Option<Arc<Replica>>, Error> {
    let Some((standing, kept)) = Journal::kept(&host.engine, group)? else {
        return Ok(None);
    };
    if standing.is_gone {
        return Ok(None);
    }
    let birth = Birth {
        group,
        id: standing.id,
        preferred,
    };
    let stream = Journal::stream_of(group);
    let flushed = host.engine.flushed_index(stream);
    let reader = Journal::reader_of(host.engine.clone(), group);
    if standing.is_unfilled {
        let found = Journal::recover(host.engine.clone(), group, 0, &mut |_| Ok(ControlFlow::Break(())))?;
        let replica = found.map(|(journal, recovered)| {
            Replica::new(Arc::clone(host), birth, journal, recovered, Remembered::default())
        });
        return replica.transpose();
    }
    let note = reader.note()?.unwrap_or_default();
    let mut remembered = Remembered {
        invocations: Invocations::of_note(&note),
        last_at_ms: note.at_ms,
        ..Remembered::default()
    };
    let extent = reader.extent();
    if extent.start > note.upto + 1 {
        remembered.invocations.begin_late();
    }
    reader.each(extent.start..(flushed + 1).min(extent.end), &mut |entry| {
        remembered
            .take_entry(entry)
            .map_err(|cause| JournalError::Replay { group, cause })
    })?;
    if group == METADATA_GROUP {
        let committed = extent.start.max(flushed + 1)..extent.end.min(kept.hard_state.commit + 1);
        take_keyspaces(&host.keyspaces, &reader, committed)?;
    }
    let mut replay = |entry| {
        Ok(if Replica::replay(host, group, entry, &mut remembered)? {
            ControlFlow::Continue(())
        } else {
            ControlFlow::Break(())
        })
    };
    let found = Journal::recover(host.engine.clone(), group, flushed, &mut replay)?;
    let Some((mut journal, recovered)) = found else {
        return Ok(None);
    };
    remembered.own = read_own(host, group, &kept, &mut journal)?;
    // What a power cut of all nodes has left may be sent before anything is heard of them.
    let mut unapplied = recovered.unapplied.iter();
    let names_term = |entry| Record::of_entry(entry).is_some_and(|record| record.names_term());
    if !host.names_terms() && (remembered.own.names_terms() || unapplied.any(names_term)) {
        host.name_terms();
    }
    let last_at_ms = remembered.last_at_ms.max(remembered.own.closed_at_ms);
    remembered.invocations.begin_at(last_at_ms);
    Replica::new(Arc::clone(host), birth, journal, recovered, remembered).map(Some)
}

/// What a group keeps about itself. A replica of which that is damaged comes under suspicion, if there are others.
fn read_own(host: &Host, group: u32, kept: &Kept, journal: &mut Journal) -> Result<Own, Error> {
    match Own::read(&host.engine, host.keyspaces.marks(), group) {
        Ok(own) => Ok(own),
        Err(OwnError::Storage(error @ stator_storage::Error::Corruption { .. }))
            if kept.members.has_other_voter(journal.standing().id) =>
        {
            // It does not lead before it has them from another replica, and needs none of them until then.
            tracing::error!(group, %error, "what a group knows of itself is damaged; its replica is under suspicion");
            let mut batch = LogBatch::new();
            journal.set_suspect(true);
            journal.set_state(kept, &mut batch);
            host.engine
                .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
            Ok(Own::default())
        }
        Err(error) => {
            let cause = error.to_string();
            Err(Error::Group { group, cause })
        }
    }
}

/// What entries of group 0 say of keyspaces: the power may have gone between the log and what follows from it. Of those of
/// one name the last one counts, so that tables that came and went cost nothing.
fn take_keyspaces(keyspaces: &Keyspaces, reader: &JournalReader, entries: Range<u64>) -> Result<(), Error> {
    let mut fates = BTreeMap::<String, (u64, Fate)>::new();
    each_of_metadata(reader, entries, |done| {
        if let Some((name, fate)) = done.fate_of_keyspace() {
            fates.insert(name.to_owned(), (done.index, fate));
        }
    })?;
    for (name, (index, fate)) in fates {
        keyspaces.take(index, &name, fate)?;
    }
    Ok(())
}

/// Whether the log of group 0 on this node has a layout, be it applied or not.
///
/// # Errors
/// [`Error::Journal`].
pub(crate) fn has_logged_layout(engine: &Engine) -> Result<bool, Error> {
    let reader = Journal::reader_of(engine.clone(), METADATA_GROUP);
    let mut is_there = false;
    each_of_metadata(&reader, reader.extent(), |done| is_there |= done.is_layout())?;
    Ok(is_there)
}

fn each_of_metadata(
    reader: &JournalReader,
    entries: Range<u64>,
    mut visit: impl FnMut(&Done),
) -> Result<(), JournalError> {
    reader.each(entries, &mut |entry| {
        let group = METADATA_GROUP;
        let done = Done::of(entry).map_err(|cause| JournalError::Replay { group, cause })?;
        visit(&done);
        Ok(())
    })
}

impl Remembered {
    /// Takes note of an entry that was applied before the start.
    pub(crate) fn take_entry(&mut self, entry: Entry) -> Result<(), String> {
        self.take(&Done::of(entry)?);
        Ok(())
    }

    pub(super) fn take(&mut self, done: &Done) {
        match &done.record {
            // The note says it.
            Some(Record::Effect(_) | Record::Answered(_)) if done.index <= self.invocations.noted() => {}
            Some(record @ (Record::Effect(_) | Record::Answered(_))) => {
                let at_ms = record.at_ms();
                self.last_at_ms = self.last_at_ms.max(at_ms);
                if let Some((request, answer)) = record.answered() {
                    self.invocations
                        .remember(request, (done.index, at_ms), (done.bytes, answer));
                }
                self.invocations.forget_before(at_ms);
            }
            Some(Record::Floor { index }) => self.floor = self.floor.max(*index),
            Some(Record::Fill(fill)) => self.last_at_ms = self.last_at_ms.max(fill.at_ms),
            Some(Record::Commit(commit)) => {
                self.last_at_ms = self.last_at_ms.max(commit.at_ms);
                self.invocations.forget_before(commit.at_ms);
            }
            // What they leave behind is read from the engine when all entries are in it.
            Some(
                Record::Accept(_)
                | Record::Require { .. }
                | Record::Forwarded { .. }
                | Record::Prepare(_)
                | Record::Release { .. }
                | Record::Scrub { .. }
                | Record::Scrubbed { .. }
                | Record::Close { .. },
            )
            | None => {}
        }
        if let Some(data) = &done.members {
            self.changes.push((done.index, data.clone()));
        }
        if let Some(record) = done.record.as_ref().filter(|record| record.is_forwarded()) {
            self.open.push_back((done.index, record.at_ms()));
        }
    }
}
