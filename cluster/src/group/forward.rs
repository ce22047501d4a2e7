//! The way of derived rows to the ranges that they belong to.
//!
//! The leader of the source sends the rows of applied entries, in the order of its log: one batch at a time, to all ranges
//! that it has rows for, and the next one when all of them have taken it. Which entries are done is logged now and then, so
//! that the next leader begins there; what it sends a second time is known to the ranges by the source's entry
//! (`accept.rs`). Invariant: a range gets the rows of a source in the order of the source's log, without a gap; the log of
//! the source is kept from the first entry on whose rows are not known to be taken. Not here: what rows follow from.

use std::collections::{BTreeMap, VecDeque};
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;

use super::effect::{Accept, Record};
use super::journal::JournalError;
use super::replica::{Replica, State};
use super::rows::Sent;
use crate::derive::Route;
use crate::metadata::keyspaces::Lookup;
use crate::raft::Entry;
use crate::seldom::Queue;

/// Bytes of rows that wait in memory; what comes behind is read from the log later.
const QUEUE_BYTES_MAX: usize = 4 << 20;
/// Bytes of rows of one batch, in memory or as entries of the log. A single entry may have more. All are of one term.
const BATCH_BYTES: usize = 256 << 10;
/// Entries that are read from the log at once, if they are no more bytes than a batch has.
const READ_ENTRIES: u64 = 256;
/// How many entries are done before that is logged.
const MARK_ENTRIES: usize = 256;
/// A leader whose rows are so many entries behind takes no write until they have caught up.
const BEHIND_ENTRIES: usize = 2048;
/// The same, as soon as they are so many, for rows that have waited too long.
const LATE_ENTRIES: usize = 64;
/// How long is too long, in milliseconds.
const LATE_MS: u64 = 500;
/// How long to wait before another try.
const PAUSE: Duration = Duration::from_millis(20);
/// How often a write that waits looks again, and how often at most.
const BEHIND_LOOK: Duration = Duration::from_millis(5);
const BEHIND_LOOKS: u32 = 100;

/// An applied entry whose rows wait.
#[derive(Clone, Debug)]
struct Waiting {
    index: u64,
    term: u64,
    record: Record,
    bytes: usize,
}

impl Waiting {
    fn new((index, term): (u64, u64), record: Record) -> Self {
        let rows = record.rows().iter().map(|row| row.key.len() + row.head.len());
        let cell = record.effect().and_then(|effect| effect.cell.as_ref());
        let bytes = rows.sum::<usize>() + cell.map_or(0, Bytes::len);
        Self {
            index,
            term,
            record,
            bytes,
        }
    }
}

/// What is to be done next.
#[derive(Debug)]
enum Work {
    /// Send the rows of these.
    Rows(Vec<Waiting>),
    /// Read these entries from the log first.
    Read(RangeInclusive<u64>),
    Nothing,
}

/// How far the rows of a group are.
#[derive(Debug, Default)]
pub(super) struct Forwarding {
    /// Applied entries with rows that are not logged as done, with their times. Every replica knows them.
    open: Queue<(u64, u64)>,
    /// Entries that are to be read from the log before what is in the queue.
    gap: Option<(u64, u64)>,
    queue: Queue<Waiting>,
    queue_bytes: usize,
    /// The first entry that found no room in the queue.
    overflow: Option<u64>,
    /// The rows of all entries up to this one were taken.
    done: u64,
    /// The same, as far as it was logged, or read at the start.
    logged: u64,
    /// The term in which somebody sends.
    runs_in: Option<u64>,
    /// The last mark that has a place in the log.
    marked: u64,
}

impl Forwarding {
    /// With the entries that a start has found, of which those up to `logged` are done.
    pub(super) fn new(mut open: VecDeque<(u64, u64)>, logged: u64) -> Self {
        open.retain(|(index, _)| *index > logged);
        Self {
            open: open.into(),
            done: logged,
            logged,
            ..Self::default()
        }
    }

    /// An entry of a term was applied.
    pub(super) fn applied(&mut self, (index, term): (u64, u64), record: &Record, leads: bool) {
        if !record.is_forwarded() {
            return;
        }
        self.open.push_back((index, record.at_ms()));
        if !leads || self.overflow.is_some() {
            return;
        }
        let waiting = Waiting::new((index, term), record.clone());
        if self.queue_bytes + waiting.bytes > QUEUE_BYTES_MAX {
            self.overflow = Some(index);
            return;
        }
        self.queue_bytes += waiting.bytes;
        self.queue.push_back(waiting);
    }

    /// It is logged that entries up to `index` are done.
    pub(super) fn logged(&mut self, index: u64) {
        while self.open.pop_front_if(|(open, _)| *open <= index).is_some() {}
        self.done = self.done.max(index);
        self.logged = self.logged.max(index);
    }

    /// Whether entries behind this one are held for done by what was logged, or read at the start.
    pub(super) fn is_logged_beyond(&self, index: u64) -> bool {
        self.logged > index
    }

    /// The mark was read again; with what is open behind it, if the one that was known before went too far. This replica does not
    /// lead: what it is to send is settled when it does.
    pub(super) fn read_again(&mut self, index: u64, open: Option<VecDeque<(u64, u64)>>) {
        if let Some(open) = open {
            *self = Self::new(open, index);
        }
        self.logged(index);
    }

    /// The replica leads from now on; everything up to `applied` is applied.
    pub(super) fn begin(&mut self, applied: u64) {
        self.end();
        self.gap = self.open.front().map(|(first, _)| (*first, applied));
        self.done = self.gap.map_or(applied, |(first, _)| first - 1);
        self.marked = 0;
    }

    /// The replica leads no longer.
    pub(super) fn end(&mut self) {
        self.gap = None;
        self.queue.clear();
        self.queue_bytes = 0;
        self.overflow = None;
        self.runs_in = None;
    }

    /// Lets go of the memory that it does not use.
    pub(super) fn shed(&mut self) {
        self.open.shed();
        self.queue.shed();
    }

    /// The first entry that a later leader may have to send from.
    pub(super) fn first_open(&self) -> Option<u64> {
        self.open.front().map(|(index, _)| *index)
    }

    /// Whether everything is done and logged.
    pub(super) fn is_settled(&self) -> bool {
        self.open.is_empty()
    }

    /// Up to where rows were taken, of a leader that has applied entries up to `applied`.
    pub(super) fn taken(&self, applied: u64) -> u64 {
        if self.has_work() || self.runs_in.is_some() {
            self.done
        } else {
            applied
        }
    }

    /// How many entries have rows that are not known to be taken.
    pub(super) fn behind(&self) -> usize {
        self.open.len() - self.open.partition_point(|(index, _)| *index <= self.done)
    }

    fn is_behind(&self, now_ms: u64) -> bool {
        let first = self.open.partition_point(|(index, _)| *index <= self.done);
        let behind = self.open.len() - first;
        behind >= BEHIND_ENTRIES
            || (behind >= LATE_ENTRIES
                && self
                    .open
                    .get(first)
                    .is_some_and(|(_, at_ms)| at_ms.saturating_add(LATE_MS) < now_ms))
    }

    fn has_work(&self) -> bool {
        self.gap.is_some() || !self.queue.is_empty() || self.overflow.is_some()
    }

    fn next(&mut self, applied: u64) -> Work {
        if self.gap.is_none() && self.queue.is_empty() {
            self.gap = self.overflow.take().map(|first| (first, applied));
        }
        if let Some((first, last)) = self.gap {
            return Work::Read(first..=last.min(first + READ_ENTRIES - 1));
        }
        let (mut batch, mut bytes) = (Vec::new(), 0);
        let term = self.queue.front().map(|waiting| waiting.term);
        let fits = |next: &Waiting, bytes| bytes == 0 || bytes + next.bytes <= BATCH_BYTES;
        while let Some(waiting) =
            (self.queue).pop_front_if(|next| Some(next.term) == term && fits(next, bytes))
        {
            bytes += waiting.bytes;
            batch.push(waiting);
        }
        self.queue_bytes -= bytes;
        if batch.is_empty() {
            Work::Nothing
        } else {
            Work::Rows(batch)
        }
    }

    /// All up to `index` are done; so much of the gap is closed.
    fn sent(&mut self, index: u64, was_gap: bool) {
        self.done = self.done.max(index);
        if was_gap {
            self.gap = self
                .gap
                .and_then(|(_, last)| (index < last).then_some((index + 1, last)));
        }
    }

    /// Has the mark be logged, if it is time. One that finds no place, as while leadership is handed over, is tried again.
    fn mark(&mut self, at_least: usize, propose: impl FnOnce(Bytes) -> Option<(u64, u64)>) {
        let done = self.open.partition_point(|(index, _)| *index <= self.done);
        let is_time = done >= at_least.max(1) && self.done > self.marked;
        if is_time && propose(Record::forwarded(self.done)).is_some() {
            self.marked = self.done;
        }
    }
}

impl State {
    fn mark_forwarded(&mut self, at_least: usize) {
        let core = &mut self.core;
        self.forwarding.mark(at_least, |record| core.propose(record));
    }
}

/// Reads the first of some entries, as many as make a batch: what a range is to take at once has to fit a message on its way
/// there, and another one as an entry of that range, which names one term. Gives those that have rows, and the last entry
/// that was read.
fn first_waiting(
    entries: &RangeInclusive<u64>,
    read: impl FnOnce(Range<u64>, usize) -> Result<Vec<Entry>, JournalError>,
) -> Result<(Vec<Waiting>, u64), String> {
    let range = *entries.start()..entries.end() + 1;
    let mut read = read(range, BATCH_BYTES).map_err(|error| error.to_string())?;
    let Some(term) = read.first().map(|entry| entry.term) else {
        return Err(format!("entry {} is missing", entries.start()));
    };
    read.truncate(read.partition_point(|entry| entry.term == term));
    let last = read.last().map_or(*entries.start(), |entry| entry.index);
    let mut waiting = Vec::new();
    for entry in read {
        if let Some(record) = Record::of_entry(&entry)
            && record.is_forwarded()
        {
            waiting.push(Waiting::new((entry.index, term), record));
        }
    }
    Ok((waiting, last))
}

impl Replica {
    /// Begins to send if there is something and nobody does. The caller holds the state.
    pub(super) fn look_at_forwarding(self: &Arc<Self>, state: &mut State) {
        let now_ms = self.host.world.unix_ms();
        let is_behind =
            state.leads() && !state.forwarding.open.is_empty() && state.forwarding.is_behind(now_ms);
        self.is_behind.store(is_behind, Ordering::Release);
        let term = state.core.term();
        if !state.leads() || !state.forwarding.has_work() || state.forwarding.runs_in == Some(term) {
            return;
        }
        state.forwarding.runs_in = Some(term);
        let replica = Arc::clone(self);
        self.host
            .world
            .spawn(Box::pin(async move { replica.forward(term).await }));
    }

    /// Waits until the rows of this group have caught up.
    pub(super) async fn wait_for_rows(&self) -> Result<(), super::replica::Refused> {
        for _ in 0..BEHIND_LOOKS {
            if !self.is_behind.load(Ordering::Acquire) {
                return Ok(());
            }
            self.host.world.sleep(BEHIND_LOOK).await;
        }
        let cause = "indexes or streams are behind with the writes that came before".to_owned();
        Err(super::replica::Refused::NotNow(cause))
    }

    /// Sends as long as there is something and this replica leads in the term.
    async fn forward(self: Arc<Self>, term: u64) {
        loop {
            let work = {
                let mut state = self.state.lock();
                if !state.leads() || state.core.term() != term {
                    return;
                }
                let applied = state.applied;
                match state.forwarding.next(applied) {
                    Work::Nothing => {
                        state.forwarding.runs_in = None;
                        self.look_at_forwarding(&mut state);
                        return;
                    }
                    work => work,
                }
            };
            let (batch, last, was_gap) = match work {
                Work::Rows(batch) => {
                    let last = batch.last().map_or(0, |waiting| waiting.index);
                    (batch, last, false)
                }
                Work::Read(entries) => match self.read_waiting(&entries) {
                    Ok((batch, last)) => (batch, last, true),
                    Err(cause) => {
                        // Its end may not be written yet.
                        tracing::debug!(group = self.group, cause, "rows to be sent cannot be read yet");
                        self.host.world.sleep(PAUSE).await;
                        continue;
                    }
                },
                Work::Nothing => return,
            };
            if !self.send_rows(term, &batch).await {
                return;
            }
            let mut state = self.state.lock();
            if !state.leads() || state.core.term() != term {
                return;
            }
            state.forwarding.sent(last, was_gap);
            state.mark_forwarded(MARK_ENTRIES);
            self.look_at_forwarding(&mut state);
            self.advance(state);
            self.host.outbox.flush();
        }
    }

    /// The first of these entries that have rows, and the last entry that was looked at.
    fn read_waiting(&self, entries: &RangeInclusive<u64>) -> Result<(Vec<Waiting>, u64), String> {
        let reader = self.log.lock().reader();
        first_waiting(entries, |range, bytes_max| reader.read(range, bytes_max))
    }

    /// Has the ranges take the rows of a batch; `false` when this replica leads no longer.
    async fn send_rows(&self, term: u64, batch: &[Waiting]) -> bool {
        let mut rows = loop {
            if let Some(rows) = self.rows_by_range(batch) {
                break rows;
            }
            if !self.leads_in(term) {
                return false;
            }
            self.host.world.sleep(PAUSE).await;
        };
        while !rows.is_empty() {
            let Some(courier) = self.host.courier() else {
                return false;
            };
            let deliveries = rows.iter().map(|(group, record)| {
                let delivery = courier.deliver(*group, record.clone());
                async move { (*group, delivery.await) }
            });
            let outcomes = futures_util::future::join_all(deliveries).await;
            for (group, outcome) in outcomes {
                match outcome {
                    Ok(()) => drop(rows.remove(&group)),
                    Err(error) => {
                        tracing::debug!(from = self.group, to = group, %error, "rows are not taken yet");
                    }
                }
            }
            if !rows.is_empty() {
                if !self.leads_in(term) {
                    return false;
                }
                self.host.world.sleep(PAUSE).await;
            }
        }
        true
    }

    fn leads_in(&self, term: u64) -> bool {
        let state = self.state.lock();
        state.leads() && state.core.term() == term
    }

    /// The records that the ranges are to put into their logs; `None` while this node knows no layout.
    fn rows_by_range(&self, batch: &[Waiting]) -> Option<BTreeMap<u32, Bytes>> {
        let courier = self.host.courier()?;
        let term = batch.first().map(|waiting| waiting.term);
        let term = term.filter(|_| self.host.names_terms());
        let mut by_range = BTreeMap::<u32, Vec<Sent>>::new();
        for waiting in batch {
            let cell = waiting.record.effect().and_then(|effect| effect.cell.as_ref());
            let rows = waiting.record.rows().iter();
            for row in rows.filter(|row| row.route == Route::Forward) {
                // What was dropped is not missed.
                if self.host.keyspaces.find(row.keyspace) == Lookup::Gone {
                    continue;
                }
                let group = courier.group_of(&row.key)?;
                let sent = Sent::of(row, (waiting.index, waiting.record.at_ms()), cell);
                by_range.entry(group).or_default().push(sent);
            }
        }
        let source = self.group;
        let records = by_range.into_iter();
        Some(
            records
                .map(|(group, rows)| (group, Accept { source, term, rows }.encode()))
                .collect(),
        )
    }

    /// Logs how far rows are, when nothing else has done it for a while. The caller holds the state.
    pub(super) fn tend_forwarding(state: &mut State) {
        if state.leads() && state.core.may_serve() {
            state.mark_forwarded(1);
        }
    }

    /// Up to which entry the rows of this group have been taken, as the leader knows it.
    pub(crate) fn taken(self: &Arc<Self>) -> Result<u64, super::replica::Refused> {
        let state = self.state.lock();
        if !state.core.may_serve() {
            return Err(self.is_not_leader(state));
        }
        Ok(state.forwarding.taken(state.applied))
    }
}

#[cfg(test)]
mod tests {
    use super::super::effect::{Change, Fill};
    use super::super::rows::{Row, RowKind};
    use super::*;
    use crate::raft::EntryKind;

    fn record(head: usize) -> Record {
        let row = Row {
            keyspace: 1,
            route: Route::Forward,
            kind: RowKind::Put,
            with_cell: false,
            change: Change::default(),
            is_found: false,
            key: Bytes::from_static(b"12345678"),
            head: vec![0; head].into(),
        };
        let rows = vec![row];
        Record::Fill(Fill { at_ms: 1, rows })
    }

    fn indices(work: &Work) -> Vec<u64> {
        match work {
            Work::Rows(batch) => batch.iter().map(|waiting| waiting.index).collect(),
            Work::Read(entries) => entries.clone().collect(),
            Work::Nothing => Vec::new(),
        }
    }

    fn is_of_one_term(batch: &[Waiting]) -> bool {
        batch
            .iter()
            .all(|waiting| waiting.term == batch.first().map_or(0, |first| first.term))
    }

    /// The marks that are proposed at a look, and find this place.
    fn marks(forwarding: &mut Forwarding, place: Option<(u64, u64)>) -> Vec<u64> {
        let mut marks = Vec::new();
        forwarding.mark(1, |record| {
            let Ok(Record::Forwarded { index }) = Record::decode(record) else {
                unreachable!("it is a mark")
            };
            marks.push(index);
            place
        });
        marks
    }

    #[test]
    fn a_new_leader_sends_what_is_not_logged_as_taken_and_then_what_is_applied() {
        let mut forwarding = Forwarding::new([(3, 1), (5, 1)].into(), 3);
        forwarding.begin(6);
        assert_eq!(forwarding.taken(6), 4);
        forwarding.applied((7, 1), &record(1), true);
        assert_eq!(indices(&forwarding.next(7)), [5, 6]);
        forwarding.sent(6, true);
        assert_eq!(indices(&forwarding.next(7)), [7]);
        assert_eq!(forwarding.behind(), 1);
        forwarding.sent(7, false);
        assert!(matches!(forwarding.next(7), Work::Nothing));
        assert_eq!((forwarding.taken(9), forwarding.behind()), (9, 0));
        assert_eq!(marks(&mut forwarding, None), [7], "there is no place for it");
        assert_eq!(marks(&mut forwarding, Some((9, 1))), [7], "so it is tried again");
        assert!(marks(&mut forwarding, Some((10, 1))).is_empty());
        assert_eq!(forwarding.first_open(), Some(5));
        forwarding.logged(7);
        assert!(forwarding.is_settled());
    }

    #[test]
    fn a_mark_that_a_start_has_read_wrong_is_put_right() {
        let mut too_little = Forwarding::new([(3, 1), (5, 1)].into(), 0);
        assert!(!too_little.is_logged_beyond(3));
        too_little.read_again(3, None);
        let mut too_far = Forwarding::new([(3, 1), (5, 1)].into(), 9);
        assert!(too_far.is_settled() && too_far.is_logged_beyond(3));
        too_far.read_again(3, Some([(5, 1)].into()));
        for mut forwarding in [too_little, too_far] {
            assert_eq!(forwarding.first_open(), Some(5));
            forwarding.begin(6);
            assert_eq!(indices(&forwarding.next(6)), [5, 6]);
        }
    }

    #[test]
    fn what_finds_no_room_is_read_from_the_log_when_its_turn_has_come() {
        let mut forwarding = Forwarding::default();
        forwarding.begin(0);
        forwarding.applied((1, 1), &record(QUEUE_BYTES_MAX - 100), true);
        for index in [2, 4] {
            forwarding.applied((index, 1), &record(100), true);
        }
        assert_eq!(indices(&forwarding.next(4)), [1]);
        forwarding.sent(1, false);
        assert_eq!(indices(&forwarding.next(5)), [2, 3, 4, 5]);
        forwarding.applied((6, 1), &record(100), true);
        forwarding.sent(5, true);
        assert_eq!(indices(&forwarding.next(6)), [6]);
    }

    #[test]
    fn what_is_read_from_the_log_is_no_more_than_a_message_has_room_for() {
        let encoded = |head| {
            let Record::Fill(fill) = record(head) else {
                unreachable!("it is a fill")
            };
            fill.encode().freeze()
        };
        let entry = |index| Entry {
            index,
            term: index / 10,
            kind: EntryKind::Command,
            data: if index == 2 {
                Bytes::new()
            } else {
                encoded(100 << 10)
            },
        };
        // As a log does.
        let read = |range: Range<u64>, bytes_max: usize| -> Result<Vec<Entry>, JournalError> {
            let mut bytes = 0;
            let entries = range.map(entry).take_while(|entry| {
                bytes += entry.data.len();
                bytes == entry.data.len() || bytes <= bytes_max
            });
            Ok(entries.collect())
        };
        let mut forwarding = Forwarding::new((1..=60).map(|index| (index, 1)).collect(), 0);
        forwarding.begin(60);
        let mut sent = Vec::new();
        while let Work::Read(entries) = forwarding.next(60) {
            let (batch, last) = first_waiting(&entries, read).unwrap();
            let bytes: usize = batch.iter().map(|waiting| waiting.bytes).sum();
            assert!(bytes <= BATCH_BYTES, "{bytes} bytes at once");
            assert!(is_of_one_term(&batch), "{batch:?}");
            sent.extend(batch.iter().map(|waiting| waiting.index));
            forwarding.sent(last, true);
        }
        let all: Vec<u64> = (1..=60).filter(|index| *index != 2).collect();
        assert_eq!(sent, all, "each once");
        assert_eq!(forwarding.taken(60), 60);
        let missing = first_waiting(&(61..=62), |_, _| Ok(Vec::new()));
        assert!(missing.is_err(), "it is not written yet");
    }

    #[test]
    fn a_batch_has_entries_of_one_term() {
        let mut forwarding = Forwarding::default();
        forwarding.begin(0);
        for place in [(1, 3), (2, 3), (4, 5), (5, 5), (6, 6)] {
            forwarding.applied(place, &record(1), true);
        }
        let mut sent = Vec::new();
        while let Work::Rows(batch) = forwarding.next(6) {
            assert!(is_of_one_term(&batch), "{batch:?}");
            sent.push(indices(&Work::Rows(batch)));
        }
        assert_eq!(sent, [vec![1, 2], vec![4, 5], vec![6]]);
    }

    #[test]
    fn many_rows_or_late_ones_hold_writes_up() {
        let mut forwarding = Forwarding::default();
        forwarding.begin(0);
        for index in 1..=64 {
            assert!(!forwarding.is_behind(10_000));
            forwarding.applied((index, 1), &record(1), true);
        }
        assert!(forwarding.is_behind(10_000) && !forwarding.is_behind(100));
        forwarding.sent(1, false);
        assert!(!forwarding.is_behind(10_000));
    }
}
