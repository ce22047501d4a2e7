//! Fills a replica that has nothing from the leader of its group.
//!
//! The replica stands in the log as unfilled until everything is on disk, and is not read from, takes no entries and asks for no
//! votes; a start in between begins again. What it has promised before stays: it keeps its term and its vote, because it is
//! filled only when it has no part in any majority that it could forget (`docs/replication.md`, "Filling a replica").
//! Invariant: cells that are not in the snapshot are gone before the first one of it is there; the mark that says up to which
//! entry the engine has everything is durable before the replica is filled. Not here: what a snapshot is
//! (`group/snapshot.rs`).

use std::ops::Bound;
use std::sync::{Arc, Weak};
use std::time::Duration;

use stator_storage::{Direction, Durability, KeyspaceId, LogBatch, StreamId, WriteBatch};

use super::Node;
use super::message::moves::{ReplicaOf, SnapshotEnd, SnapshotFrom, SnapshotHead};
use super::message::{Ask, Tell};
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::journal::{Journal, Standing};
use crate::group::recover::recover;
use crate::group::replica::{Refused, Replica};
use crate::group::snapshot::{SnapshotCell, SnapshotPage, span_of};
use crate::metadata::keyspaces::{Lookup, METADATA, OWN_MARKS};
use crate::raft::{Entry, HardState, Kept};
use crate::world::NodeId;

/// How often what is waited for is looked at again.
pub(super) const LOOK: Duration = Duration::from_millis(20);

/// How long to wait before a filling that has failed begins again.
const PAUSE: Duration = Duration::from_millis(200);

/// How long a page may take.
const PAGE_PATIENCE: Duration = Duration::from_secs(10);

/// Marks of what is written to the engine while a replica is filled or removed are those of a stream of its own, so much
/// greater than that of the group's log.
const FILLING_STREAMS: u64 = 1 << 34;

/// So much is removed in one batch.
const REMOVED_AT_A_TIME: u32 = 1000;

impl Node {
    /// Fills a replica beside everything else, unless somebody does.
    pub(super) fn begin_install(self: &Arc<Self>, group: u32) {
        if !self.installing.lock().insert(group) {
            return;
        }
        let installing = Self::install(Arc::downgrade(self), group);
        self.surroundings.world.spawn(Box::pin(installing));
    }

    async fn install(node: Weak<Self>, group: u32) {
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                let Some(replica) = node.next_to_fill(group) else {
                    return;
                };
                match node.fill(&replica).await {
                    // It is filled, or another one has taken its place, which waits to be.
                    Ok(()) => continue,
                    Err(error) => tracing::debug!(group, %error, "a replica could not be filled yet"),
                }
                node.surroundings.world.sleep(PAUSE)
            };
            pause.await;
        }
    }

    /// The replica that is to be filled; when there is none, nobody fills the group's from now on. Whoever puts an unfilled one
    /// into its place and asks for it to be filled afterwards is sure that it will be.
    fn next_to_fill(&self, group: u32) -> Option<Arc<Replica>> {
        let mut installing = self.installing.lock();
        let waiting = self
            .replica(group)
            .filter(|replica| replica.is_unfilled() && !replica.is_retired());
        if waiting.is_none() {
            installing.remove(&group);
        }
        waiting
    }

    async fn fill(self: &Arc<Self>, replica: &Arc<Replica>) -> Result<(), Error> {
        let group = replica.group();
        let _turn = self.filling.acquire().await.map_err(|_| Error::Unavailable {
            cause: "the node was closed".to_owned(),
        })?;
        let cluster = Cluster::of(Arc::clone(self));
        let of = ReplicaOf::new(group, replica.id());
        let (source, head) = cluster.begin_snapshot(of).await?;
        tracing::info!(
            group,
            replica = replica.id().0,
            source = source.0,
            index = head.at().0,
            "a replica is filled"
        );
        let mut writer = Writer::begin(self, group).await?;
        writer.clear().await?;
        let mut entries = Vec::new();
        let mut place = None;
        loop {
            let page = cluster.snapshot_page(source, head.session, place).await?;
            let SnapshotPage {
                entries: more,
                cells,
                next,
            } = page;
            entries.extend(more);
            writer.put(cells).await?;
            if replica.is_retired() {
                return Ok(());
            }
            match next {
                Some(next) => place = Some(next),
                None => break,
            }
        }
        if group == METADATA_GROUP {
            // A start finds them in the engine, and those that entries behind the snapshot are about in the log.
            let names = head.names.iter().map(String::as_str);
            let named: Vec<_> = head.keyspaces.iter().copied().zip(names).collect();
            self.host.keyspaces.mirror(head.at().0, &named)?;
        }
        let finished = writer.finish(&head, &entries, replica).await;
        let mut begun = finished.and_then(|sums| self.begin_filled(replica, sums));
        if group == METADATA_GROUP {
            // Perhaps nothing comes behind the snapshot for which its plan would be looked at.
            begun = begun.and_then(|()| self.look_at_layout());
        }
        if let Err(error) = begun {
            // It has given up what it was and is not what it is to be: a start begins again.
            self.host.fail(&error.to_string());
            return Err(error);
        }
        cluster
            .end_snapshot(
                source,
                SnapshotEnd {
                    session: head.session,
                    group,
                    replica: replica.id().0,
                },
            )
            .await;
        tracing::info!(
            group,
            replica = replica.id().0,
            index = head.at().0,
            "a replica has been filled"
        );
        Ok(())
    }

    /// The replica goes on from its log as after a start.
    fn begin_filled(
        self: &Arc<Self>,
        unfilled: &Arc<Replica>,
        sums: std::collections::BTreeMap<u32, (i64, i64)>,
    ) -> Result<(), Error> {
        let group = unfilled.group();
        let _beginning = self.beginning.lock();
        let replica = recover(&self.host, group, self.preferred_in(group))?.ok_or_else(|| Error::Group {
            group,
            cause: "the log of a replica that was filled is not there".to_owned(),
        })?;
        for (keyspace, sum) in sums {
            replica.add_to_tally(keyspace, sum);
        }
        self.add_replica(replica);
        Ok(())
    }
}

/// Writes the cells of a group to the engine, whatever its log says.
pub(super) struct Writer {
    node: Arc<Node>,
    group: u32,
    /// The last mark of what was written.
    mark: u64,
    sums: std::collections::BTreeMap<u32, (i64, i64)>,
    /// By number: the rows of a keyspace that a page may be for.
    begun: Duration,
    bytes: u64,
}

impl Writer {
    /// Begins, when it is known which keys the group has: what is known of how far the engine has its log is forgotten.
    pub(super) async fn begin(node: &Arc<Node>, group: u32) -> Result<Self, Error> {
        while node.layout().is_none() {
            node.surroundings.world.sleep(LOOK).await;
        }
        node.engine.forget_applied(Journal::stream_of(group))?;
        node.engine.forget_applied(stream_of(group))?;
        Ok(Self {
            node: Arc::clone(node),
            group,
            mark: 0,
            sums: std::collections::BTreeMap::new(),
            begun: node.surroundings.world.now(),
            bytes: 0,
        })
    }

    fn write(&mut self, batch: WriteBatch) -> Result<(), Error> {
        self.mark += 1;
        match self
            .node
            .engine
            .apply_now(batch, stream_of(self.group), self.mark)
        {
            // Dropped since the look: its cells are gone with it.
            Err(stator_storage::Error::NoSuchKeyspace { .. }) => Ok(()),
            written => Ok(written.map(drop)?),
        }
    }

    /// Removes all cells of the group.
    pub(super) async fn clear(&mut self) -> Result<(), Error> {
        let mut keyspaces: Vec<(u32, KeyspaceId)> = vec![(OWN_MARKS, self.node.host.keyspaces.marks())];
        if self.group == METADATA_GROUP {
            keyspaces.push((METADATA, self.node.host.keyspaces.metadata()));
        } else {
            let all = self.node.host.keyspaces.all();
            keyspaces.extend(all.into_iter().map(|(number, id, _)| (number, id)));
        }
        let span = self.node.span_of_group(self.group)?;
        for (number, id) in keyspaces {
            let (mut start, end) = span_of(self.group, number, &span);
            loop {
                self.node.host.admit(0).await;
                let bounds = (start.as_ref().map(Vec::as_slice), end.as_ref().map(Vec::as_slice));
                let mut rows = match self.node.engine.snapshot().range(id, bounds, Direction::Forward) {
                    Err(stator_storage::Error::NoSuchKeyspace { .. }) => break,
                    rows => rows?,
                };
                let (mut batch, mut count, mut last) = (WriteBatch::new(), 0, None);
                while count < REMOVED_AT_A_TIME && rows.advance()? {
                    batch.delete(id, rows.key());
                    last = Some(rows.key().to_vec());
                    count += 1;
                }
                let Some(last) = last else { break };
                self.write(batch)?;
                start = Bound::Excluded(last);
            }
        }
        Ok(())
    }

    async fn put(&mut self, cells: Vec<SnapshotCell>) -> Result<(), Error> {
        let bytes: usize = cells.iter().map(|cell| cell.key.len() + cell.cell.len()).sum();
        self.node.host.admit(bytes).await;
        let mut batch = WriteBatch::with_capacity(bytes);
        for SnapshotCell { keyspace, key, cell } in &cells {
            let id = loop {
                match self.node.host.keyspaces.find(*keyspace) {
                    Lookup::Here(id) => break Some(id),
                    Lookup::Gone => break None,
                    // Group 0 says so soon, or has said so where the snapshot comes from.
                    Lookup::NotYet => self.node.surroundings.world.sleep(LOOK).await,
                }
            };
            let Some(id) = id else { continue };
            batch.put(id, key, cell);
            if *keyspace != OWN_MARKS {
                let weight = self.node.surroundings.commands.weigh(cell);
                let sum = self.sums.entry(*keyspace).or_default();
                sum.0 += 1;
                sum.1 = sum.1.saturating_add(i64::try_from(weight).unwrap_or(i64::MAX));
            }
        }
        if !cells.is_empty() {
            self.write(batch)?;
        }
        self.pace(bytes).await;
        Ok(())
    }

    /// Holds the rate that moves may have of a node.
    async fn pace(&mut self, bytes: usize) {
        let world = &self.node.surroundings.world;
        self.bytes += bytes as u64;
        let rate = self.node.settings.moves.bytes_per_second.get();
        let due = Duration::from_millis(self.bytes.saturating_mul(1000) / rate);
        let spent = world.now().saturating_sub(self.begun);
        if let Some(ahead) = due.checked_sub(spent).filter(|ahead| !ahead.is_zero()) {
            world.sleep(ahead).await;
        }
    }

    /// Waits until what was applied of a stream is in sstables, and with it all that was written before.
    async fn flushed(&self, stream: StreamId, index: u64) -> Result<(), Error> {
        self.node.engine.begin_flush()?;
        while self.node.engine.flushed_index(stream) < index {
            self.node.surroundings.world.sleep(LOOK).await;
        }
        Ok(())
    }

    /// Makes durable what was written, and nothing else.
    pub(super) async fn end(mut self) -> Result<(), Error> {
        let stream = stream_of(self.group);
        // Should nothing have been written, there is a mark all the same.
        self.write(WriteBatch::new())?;
        self.flushed(stream, self.mark).await?;
        Ok(self.node.engine.forget_applied(stream)?)
    }

    /// Makes everything durable, and last that the replica is filled. It is retired then.
    async fn finish(
        self,
        head: &SnapshotHead,
        entries: &[Entry],
        replica: &Arc<Replica>,
    ) -> Result<std::collections::BTreeMap<u32, (i64, i64)>, Error> {
        let (group, id) = (self.group, replica.id());
        let note = head.note().ok_or_else(|| Error::Group {
            group,
            cause: "the memory of requests does not decode".to_owned(),
        })?;
        let stream = Journal::stream_of(group);
        // Nobody promises anything under this id from here on, until what it has promised is in the log again.
        replica.retire();
        let promised = loop {
            match replica.kept() {
                (kept, true) => break kept.hard_state,
                (_, false) => self.node.surroundings.world.sleep(LOOK).await,
            }
        };
        let (index, term) = head.at();
        let newer = promised.term >= term;
        let kept = Kept {
            hard_state: HardState {
                term: promised.term.max(term),
                vote: if newer { promised.vote } else { 0 },
                commit: index,
            },
            members: head.members(),
            before: head.before(),
        };
        let mut batch = LogBatch::new();
        Journal::fill(group, Standing::unfilled(id), &kept, entries, &mut batch);
        self.node
            .engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        self.node.engine.apply_now(WriteBatch::new(), stream, index)?;
        self.flushed(stream, index).await?;
        let mut batch = LogBatch::new();
        Journal::filled(group, id, &kept, &note, &mut batch);
        self.node
            .engine
            .append_and_write(batch, WriteBatch::new(), Durability::Sync)?;
        self.node.engine.forget_applied(stream_of(group))?;
        Ok(self.sums)
    }
}

/// The stream of the marks while a replica is filled or removed.
fn stream_of(group: u32) -> StreamId {
    StreamId(FILLING_STREAMS + u64::from(group))
}

impl Cluster {
    /// Has the leader of a group begin to hand it out; says which node that is.
    async fn begin_snapshot(&self, of: ReplicaOf) -> Result<(NodeId, SnapshotHead), Error> {
        self.ask_leader(
            of.group,
            || Ask::Snapshot(of),
            |tell| match tell {
                Tell::SnapshotHead(head) => Some(head),
                _ => None,
            },
        )
        .await
    }

    async fn snapshot_page(
        &self,
        source: NodeId,
        session: u64,
        place: Option<bytes::Bytes>,
    ) -> Result<SnapshotPage, Error> {
        let ask = Ask::SnapshotPage(SnapshotFrom { session, place });
        match self
            .ask(source, ask, PAGE_PATIENCE)
            .await
            .map_err(Refused::of_what_repeats)?
        {
            Tell::SnapshotPart(part) => Ok(part.read()),
            _ => Err(Error::Unavailable {
                cause: format!("node {source} has answered something else"),
            }),
        }
    }

    /// Tells the source that it is not needed any more. Should it not hear, it forgets the snapshot by itself, and finds out by
    /// the answers of the member.
    async fn end_snapshot(&self, source: NodeId, end: SnapshotEnd) {
        if let Err(error) = self.ask(source, Ask::SnapshotEnd(end), PAGE_PATIENCE).await {
            tracing::debug!(
                ?error,
                node = source.0,
                "the source of a snapshot was not told that it is over"
            );
        }
    }
}
