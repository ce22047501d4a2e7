//! An index that is made while clients write and nodes break, and nodes that learn of it at different times.
//!
//! Invariant: the order is that of every online change: definition, requirement, fill range by range, settled. From then on
//! the index has every cell that nobody touches. Not here: what follows from a cell (`deriving.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use stator_cluster::{ConsistencyLevel, NodeId};

use super::command::encode_cell;
use super::deriving::{Deriving, LATE, SOURCE, index_key};
use super::everyone::{Attempt, Everyone, Sending};
use super::invariant::Invariant;
use super::node::{Answering, Node};
use super::place::{KeyspaceName, Place};
use super::work::Numbers;
use crate::check::cell::{Input, Stored};
use crate::history::Client;
use crate::random::Stream;

/// Who makes the index.
const MAKER: Client = Client(902);
/// Cells from here on are written once, before there is an index.
const FIRST_STILL: u64 = 5_000;
const STILL: u64 = 40;

/// Has every node learn, now and then, what its metadata says.
pub(super) fn teach(everyone: &Everyone) {
    for id in everyone.nodes.iter().copied() {
        let own = everyone.clone();
        let mut stream = everyone.control.stream("teacher", id.0);
        everyone.control.spawn(Box::pin(async move {
            loop {
                if let Some(node) = own.node(id) {
                    node.learn();
                }
                let pause = stream.between(20, 400);
                own.pause(pause).await;
            }
        }));
    }
}

/// The keys of cells that are written once.
pub(super) fn still() -> impl Iterator<Item = u64> {
    FIRST_STILL..FIRST_STILL + STILL
}

/// See the head of the file.
pub(super) struct Maker {
    everyone: Everyone,
    deriving: Arc<Deriving>,
    stream: Stream,
    still: Vec<(Place, Stored)>,
}

impl Maker {
    pub(super) fn new(everyone: Everyone, deriving: Arc<Deriving>) -> Self {
        Self {
            stream: everyone.control.stream("maker", 0),
            everyone,
            deriving,
            still: Vec::new(),
        }
    }

    /// Makes the index, however long it takes.
    pub(super) async fn work(mut self) {
        self.write_still().await;
        let pause = self.stream.between(0, 4_000);
        self.everyone.pause(pause).await;
        let name = KeyspaceName::new(LATE);
        let made = move |node: Arc<dyn Node>| -> Answering<'static, u64> {
            let name = name.clone();
            Box::pin(async move {
                node.create_keyspace(&name).await?;
                // Who has answered is another node, perhaps: this one has to have it too.
                node.has_keyspace(&name).await?;
                Ok(node.metadata_index())
            })
        };
        let from = self.insist("define the index", made).await;
        let require = move |node: Arc<dyn Node>| -> Answering<'static, ()> {
            Box::pin(async move { node.require(from).await })
        };
        self.insist("require the index", require).await;
        let ranges = move |node: Arc<dyn Node>| -> Answering<'static, Vec<u32>> {
            Box::pin(async move { node.ranges() })
        };
        let ranges = self.insist("name the ranges", ranges).await;
        for range in ranges {
            self.fill(range, from).await;
        }
        let settled =
            |node: Arc<dyn Node>| -> Answering<'static, ()> { Box::pin(async move { node.settled().await }) };
        self.insist("settle", settled).await;
        self.deriving.is_complete.store(true, Ordering::SeqCst);
        self.look().await;
    }

    async fn write_still(&mut self) {
        let mut numbers = Numbers::new(MAKER);
        let sending = Sending {
            level: ConsistencyLevel::Quorum,
            is_repeated: true,
        };
        for key in still() {
            let place = Place {
                keyspace: KeyspaceName::new(SOURCE),
                key,
            };
            let cell = numbers.cell();
            let (everyone, stream) = (&self.everyone, &mut self.stream);
            let input = Input::Put(cell);
            let written = everyone.write(MAKER, stream, &place, input, sending).await;
            if written.answered.is_some() {
                self.still.push((place, cell));
            }
        }
    }

    /// Fills a range part by part; who is interrupted begins again, or goes on where it was.
    async fn fill(&mut self, range: u32, required: u64) {
        let mut behind = None;
        loop {
            let (node, from) = (self.any_node(), behind.clone());
            let count = u32::try_from(self.stream.between(1, 8)).unwrap_or(1);
            let what = format!("fill range {range} behind {behind:02x?}");
            let attempt = self.everyone.ask(node, what, move |node| {
                Box::pin(async move { node.fill(range, from, required, count).await })
            });
            match attempt.await {
                Attempt::Answered(None) => return,
                Attempt::Answered(last) => behind = last,
                _ if self.stream.chance(300_000) => behind = None,
                _ => {}
            }
            let pause = self.stream.between(1, 60);
            self.everyone.pause(pause).await;
        }
    }

    /// Every cell that nobody touches is in the index as soon as it is complete.
    async fn look(&mut self) {
        let rows = |node: Arc<dyn Node>| -> Answering<'static, BTreeSet<Vec<u8>>> {
            Box::pin(async move { node.keys(LATE).await })
        };
        let found = self.insist("list the index", rows).await;
        for (place, cell) in &self.still {
            let key = index_key(&place.key_bytes(), &encode_cell(*cell));
            if !found.contains(&key[..]) {
                let what = format_args!("the index is complete without {place}");
                return self.everyone.breaks(Invariant::Indexed, what);
            }
        }
    }

    fn any_node(&mut self) -> NodeId {
        self.everyone.any_node(&mut self.stream)
    }

    async fn insist<T: Send + 'static>(
        &mut self,
        what: &str,
        call: impl Fn(Arc<dyn Node>) -> Answering<'static, T> + Clone + Send + 'static,
    ) -> T {
        self.everyone.insist(&mut self.stream, what, call).await
    }
}
