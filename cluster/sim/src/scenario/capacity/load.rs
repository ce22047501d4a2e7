//! Clients that do one operation after the other, and how many of them are answered.
//!
//! Invariant: a client has one operation under way; its node is charged for it like for any request. Not here: when is counted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use stator_cluster::{ConsistencyLevel, Error, NodeId, WriteOptions};
use tokio::sync::oneshot;

use super::machine::{Member, Put};
use super::{Members, Sizes};
use crate::kernel::Control;

/// Where the cells are.
pub(super) const KEYSPACE: &str = "cells";

/// What clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// They write at QUORUM.
    Write,
    /// They read at QUORUM.
    Read,
}

#[derive(Debug, Default)]
struct Counts {
    done: AtomicU64,
    failed: AtomicU64,
    busy: AtomicU64,
    is_over: AtomicBool,
}

/// Clients at work.
#[derive(Debug)]
pub(super) struct Load(Arc<Counts>);

/// As a number of operations is divided.
#[expect(
    clippy::cast_precision_loss,
    reason = "a count of operations is far below the numbers that a double is exact for"
)]
pub(super) fn count(count: u64) -> f64 {
    count as f64
}

impl Load {
    pub(super) fn begin(
        control: &Control,
        members: &Members,
        nodes: &[NodeId],
        work: Work,
        sizes: &Sizes,
    ) -> Self {
        let counts = Arc::new(Counts::default());
        for number in 0..sizes.clients * nodes.len() as u64 {
            counts.busy.fetch_add(1, Ordering::SeqCst);
            let client = Client {
                control: control.clone(),
                members: Arc::clone(members),
                nodes: nodes.to_vec(),
                work,
                sizes: *sizes,
                counts: Arc::clone(&counts),
            };
            control.spawn(Box::pin(client.operate(number)));
        }
        Self(counts)
    }

    /// Operations that were answered so far.
    pub(super) fn done(&self) -> u64 {
        self.0.done.load(Ordering::SeqCst)
    }

    /// Operations that ended with an error.
    pub(super) fn failed(&self) -> u64 {
        self.0.failed.load(Ordering::SeqCst)
    }

    /// No client begins another operation.
    pub(super) fn end(&self) {
        self.0.is_over.store(true, Ordering::SeqCst);
    }

    /// Whether operations are under way.
    pub(super) fn is_busy(&self) -> bool {
        self.0.busy.load(Ordering::SeqCst) > 0
    }
}

struct Client {
    control: Control,
    members: Members,
    nodes: Vec<NodeId>,
    work: Work,
    sizes: Sizes,
    counts: Arc<Counts>,
}

impl Client {
    async fn operate(self, number: u64) {
        let mut stream = self.control.stream("client", number);
        while !self.counts.is_over.load(Ordering::SeqCst) {
            let node = stream.pick(&self.nodes).copied().unwrap_or(NodeId(1));
            // The token is what a key begins with.
            let key = stream.next_u64().to_be_bytes();
            let Some(member) = self.members.lock().get(&node).cloned() else {
                break;
            };
            let (answer, answered) = oneshot::channel();
            let (work, sizes) = (self.work, self.sizes);
            self.control.spawn_on(
                node,
                Box::pin(async move {
                    // Whoever waits has not left.
                    drop(answer.send(perform(&member, work, &key, &sizes).await));
                }),
            );
            let outcome = match answered.await {
                Ok(Ok(())) => &self.counts.done,
                Ok(Err(_)) | Err(_) => &self.counts.failed,
            };
            outcome.fetch_add(1, Ordering::SeqCst);
        }
        self.counts.busy.fetch_sub(1, Ordering::SeqCst);
    }
}

async fn perform(member: &Member, work: Work, key: &[u8], sizes: &Sizes) -> Result<(), Error> {
    member.processor.spend(sizes.costs.request).await;
    let keyspace = member.cluster.keyspace(KEYSPACE).ok_or(Error::NoSuchKeyspace)?;
    match work {
        Work::Write => {
            let put = Put(Bytes::from(vec![7; sizes.cell_bytes]));
            let options = WriteOptions::default();
            member
                .cluster
                .write(keyspace, key, options, &put)
                .await
                .map(|_| ())
        }
        Work::Read => {
            let level = ConsistencyLevel::Quorum;
            member.cluster.read(keyspace, key, level).await.map(|_| ())
        }
    }
}
