//! Reads that ask every replica, and what is done when they differ.
//!
//! Invariant: all replicas answer with everything applied up to an index that the leader has confirmed. Later writes may
//! make answers differ for a moment; replicas are suspected when each of them gives the same answer twice, and the answers
//! still differ. Then the cell that most of them have takes the place of the others through the log of the group, which
//! every replica applies (read repair), if that log proves that nobody has written the cell meanwhile. Not here: why replicas would differ: bits that rot, or a mistake of ours.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::route::{Place, Route, unexpected, within};
use super::{Cluster, Keyspace};
use crate::command::{Cell, WriteOptions};
use crate::error::Error;
use crate::follow;
use crate::group::replica::Refused;
use crate::group::restore::Restore;
use crate::group::write::Target;
use crate::level::ConsistencyLevel;
use crate::node::message::{Ask, At, Repair, Tell};
use crate::world::NodeId;

/// Of so many reads at QUORUM, one is checked against all replicas.
const CHECKED_OF: u64 = 1024;

/// How often answers are compared before they are held to differ for good.
const COMPARISONS_MAX: u32 = 10;

/// The cell as each node has it.
type Answers = BTreeMap<NodeId, Option<Cell>>;

impl Cluster {
    /// Reads a cell from every replica, and repairs it if they differ.
    pub(super) async fn read_all(
        &self,
        group: u32,
        keyspace: Keyspace,
        key: &[u8],
    ) -> Result<Option<Cell>, Error> {
        let mut before: Option<Answers> = None;
        for _ in 0..COMPARISONS_MAX {
            let index = self.read_index(group).await?;
            let answers = self.ask_all(group, index, keyspace, key).await?;
            let mut cells = answers.values();
            let first = cells.next().cloned().flatten();
            if cells.all(|cell| *cell == first) {
                self.node.repairs.checked.fetch_add(1, Ordering::Relaxed);
                return Ok(first);
            }
            if before.as_ref() == Some(&answers) {
                let repaired = self.repair((group, index), keyspace, key, &answers).await?;
                if let Some(cell) = repaired {
                    self.node.repairs.checked.fetch_add(1, Ordering::Relaxed);
                    return Ok(cell);
                }
            }
            before = Some(answers);
        }
        Err(Error::Unavailable {
            cause: "the cell is written too often for all replicas to be compared".to_owned(),
        })
    }

    /// Checks a cell beside a read at QUORUM, now and then.
    pub(super) fn check_sometimes(&self, group: u32, keyspace: Keyspace, key: &[u8]) {
        if self.nodes_of(group).len() < 2 {
            return;
        }
        let reads = self.node.repairs.reads.fetch_add(1, Ordering::Relaxed);
        if !reads.is_multiple_of(CHECKED_OF) {
            return;
        }
        let (cluster, key) = (self.clone(), key.to_vec());
        self.node
            .surroundings
            .world
            .spawn(Box::pin(follow::carried(async move {
                if let Err(error) = cluster.read_all(group, keyspace, &key).await {
                    tracing::debug!(group, %error, "a cell could not be compared");
                }
            })));
    }

    async fn ask_all(
        &self,
        group: u32,
        index: u64,
        keyspace: Keyspace,
        key: &[u8],
    ) -> Result<Answers, Error> {
        let patience = self.node.settings.timing.patience();
        let world = &self.node.surroundings.world;
        let nodes = self.nodes_of(group);
        let asked = nodes.iter().map(async |node| {
            let answer = self.ask_at(*node, (group, index), keyspace, key, patience);
            (*node, within(world, patience, answer).await)
        });
        let mut answers = Answers::new();
        for (node, answer) in join_all(asked).await {
            let cell = match answer {
                Some(Ok(cell)) => cell,
                Some(Err(Refused::Finally(error))) => return Err(error),
                Some(Err(_)) | None => {
                    return Err(Error::Unavailable {
                        cause: format!("node {node} has not answered, and ALL needs every replica"),
                    });
                }
            };
            answers.insert(node, cell);
        }
        Ok(answers)
    }

    async fn ask_at(
        &self,
        node: NodeId,
        (group, index): (u32, u64),
        keyspace: Keyspace,
        key: &[u8],
        patience: Duration,
    ) -> Result<Option<Cell>, Refused> {
        if node == self.node.settings.node {
            let replica = self.node.replica(group).ok_or(Refused::NotLeader(None))?;
            replica.require_readable()?;
            replica.wait_applied(index).await?;
            let cell = self.get(keyspace, key)?;
            // It may have come under suspicion meanwhile, before what it had lost was gone.
            replica.require_readable()?;
            return Ok(cell);
        }
        let at = At {
            group,
            keyspace: keyspace.number,
            key: Bytes::copy_from_slice(key),
            index,
        };
        match self.ask(node, Ask::ReadAt(at), patience).await? {
            Tell::Cell(cell) => Ok(cell.cell),
            _ => Err(unexpected(node)),
        }
    }

    /// Puts the cell that most replicas have in the place of the others; `None` if it was written meanwhile.
    async fn repair(
        &self,
        (group, since): (u32, u64),
        keyspace: Keyspace,
        key: &[u8],
        answers: &Answers,
    ) -> Result<Option<Option<Cell>>, Error> {
        let count = |cell: &Option<Cell>| answers.values().filter(|other| *other == cell).count();
        // Of equally many, the greatest bytes: every coordinator comes to the same.
        let right = answers.values().max_by_key(|cell| (count(cell), (*cell).clone()));
        let right = right.cloned().flatten();
        let restore = Restore {
            since,
            seen: answers.values().cloned().collect(),
            right: right.clone(),
        };
        let options = self.with_invocation(WriteOptions {
            level: ConsistencyLevel::Quorum,
            invocation: None,
        });
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = self.restore_at(place, left, (group, keyspace), key, &options, &restore);
            let outcome = route.attempt(left, attempt).await;
            match route.settle(outcome)? {
                Some(true) => {
                    tracing::error!(group, nodes = ?answers.keys(), "replicas differed; they have now what most of them had");
                    self.node.repairs.repaired.fetch_add(1, Ordering::Relaxed);
                    return Ok(Some(right));
                }
                Some(false) => return Ok(None),
                None => {}
            }
        }
    }

    async fn restore_at(
        &self,
        place: Place,
        patience: Duration,
        (group, keyspace): (u32, Keyspace),
        key: &[u8],
        options: &WriteOptions,
        restore: &Restore,
    ) -> Result<bool, Refused> {
        match place {
            Place::Here(replica) => {
                let target = Target {
                    keyspace: keyspace.number,
                    key,
                };
                replica.restore(target, options, restore).await
            }
            Place::There(node) => {
                let repair = Repair::new((group, keyspace.number), key, options, restore);
                match self.ask(node, Ask::Repair(repair), patience).await? {
                    Tell::Written(answer) => Ok(!answer.is_empty()),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::FutureExt as _;

    use super::*;
    use crate::coordinator::tests::three::{Hub, retried, three_with};
    use crate::coordinator::tests::{Appends, Set};

    const KEY: &[u8] = b"key";

    /// So many writes later is what the reads wait for. Fewer entries than that are of something else.
    const WRITES: u8 = 30;

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_replica_that_comes_under_suspicion_while_a_read_waits_for_it_is_not_believed() {
        let three = three_with(3, &Hub::default(), Arc::new(Appends)).await;
        let mut keyspaces = Vec::new();
        for node in &three.nodes {
            keyspaces.push(retried(async || node.create_keyspace("k").await).await);
        }
        let (writer, reader) = (&three.nodes[0], &three.nodes[2]);
        let group = reader.group_of(keyspaces[2], KEY).unwrap();
        let replica = reader.node.replica(group).unwrap();
        let at = At {
            group,
            keyspace: keyspaces[2].number,
            key: Bytes::from_static(KEY),
            index: replica.standing().applied + u64::from(WRITES),
        };
        let patience = Duration::from_secs(60);
        let here = reader.node.settings.node;
        let mut own = Box::pin(reader.ask_at(here, (group, at.index), keyspaces[2], KEY, patience));
        let mut of_others = Box::pin(reader.node.carry_out(Ask::ReadAt(at)));
        assert!(own.as_mut().now_or_never().is_none());
        assert!(of_others.as_mut().now_or_never().is_none());

        // No comparison ends the suspicion before it was looked at.
        let scrubbing = &reader.node.scrubbing;
        scrubbing.given_up.lock().insert(u64::MAX, [group].into());
        replica.set_suspect(true).await;
        let options = WriteOptions {
            level: ConsistencyLevel::Quorum,
            invocation: None,
        };
        for number in 0..WRITES {
            retried(async || {
                let command = Set(number);
                writer.write(keyspaces[0], KEY, options, &command).await
            })
            .await;
        }
        let refused = tokio::time::timeout(patience, own).await.unwrap().unwrap_err();
        assert!(matches!(refused, Refused::NotNow(_)), "{refused:?}");
        let refused = tokio::time::timeout(patience, of_others).await;
        let refused = refused.unwrap().unwrap_err();
        assert!(matches!(refused, Refused::NotNow(_)), "{refused:?}");
        three.close();
    }
}
