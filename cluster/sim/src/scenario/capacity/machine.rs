//! A node of the cluster on a machine whose processor and disk take their time.
//!
//! Invariant: the node is the one that is served, on the simulated disk, network and clocks. Beside these it is charged: every
//! request of a client and every message of another node waits until the node's one processor is free, and keeps it for as long as
//! [`Costs`] says; the disk does one turn of the engine's work at a time, which the kernel sees to. Not charged: what a node does
//! by its own clock, such as ticks.

use std::num::{NonZeroU8, NonZeroU32};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::{
    Answer, Applier, Cell, Cluster, Commands, Founder, Inbox, MalformedAnswer, MalformedCommand,
    MoveSettings, NodeId, NodeSettings, ScrubSettings, Settings, Task, Timing, Verdict, World,
};
use uuid::Uuid;

use crate::kernel::{Boot, Control};
use crate::scenario::surroundings::surroundings;

/// Replicas of a range.
const REPLICATION: NonZeroU8 = NonZeroU8::new(3).expect("three is not zero");

/// What a node's processor is kept busy with.
#[derive(Clone, Copy, Debug)]
pub struct Costs {
    /// A request of a client.
    pub request: Duration,
    /// A message of another node, however much is in it.
    pub message: Duration,
    /// Each byte of it.
    pub message_byte: Duration,
}

/// A processor that does one thing after the other.
pub(super) struct Processor {
    world: Arc<dyn World>,
    /// When it is free.
    free_at: Mutex<Duration>,
}

impl std::fmt::Debug for Processor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Processor").finish_non_exhaustive()
    }
}

impl Processor {
    /// Is ready when it has done this behind everything else that it was given.
    pub(super) fn spend(&self, cost: Duration) -> Task {
        let now = self.world.now();
        let mut free_at = self.free_at.lock();
        *free_at = (*free_at).max(now) + cost;
        self.world.sleep(free_at.saturating_sub(now))
    }
}

/// Takes messages when the processor has come to them.
#[derive(Debug)]
struct Charged {
    inbox: Arc<dyn Inbox>,
    processor: Arc<Processor>,
    costs: Costs,
}

impl Inbox for Charged {
    fn receive(&self, from: NodeId, message: Bytes) {
        let bytes = u32::try_from(message.len()).unwrap_or(u32::MAX);
        let cost = self.costs.message + self.costs.message_byte * bytes;
        let (done, inbox) = (self.processor.spend(cost), Arc::clone(&self.inbox));
        self.processor.world.spawn(Box::pin(async move {
            done.await;
            inbox.receive(from, message);
        }));
    }
}

/// A node that runs.
pub(super) struct Member {
    pub(super) cluster: Cluster,
    pub(super) processor: Arc<Processor>,
}

impl Drop for Member {
    /// What waits for the engine of a node that has ended keeps the node in memory otherwise.
    fn drop(&mut self) {
        drop(self.cluster.close());
    }
}

/// Opens a node of a cluster that these nodes make.
pub(super) fn open(
    boot: &Boot,
    founders: &[NodeId],
    bits: RangeBits,
    costs: Costs,
    control: &Control,
) -> Result<(Arc<Member>, Arc<dyn Inbox>), String> {
    let network = Arc::clone(&boot.network);
    let settings = settings(boot, founders, bits, control);
    let opened = Cluster::open(settings, surroundings(boot, Arc::new(Puts)), |_, _| Ok(network));
    let cluster = opened.map_err(|error| error.to_string())?;
    let processor = Arc::new(Processor {
        world: Arc::clone(&boot.world),
        free_at: Mutex::default(),
    });
    let inbox = Charged {
        inbox: cluster.inbox(),
        processor: Arc::clone(&processor),
        costs,
    };
    let (own, watched, id) = (cluster.clone(), control.clone(), boot.node);
    boot.world.spawn(Box::pin(async move {
        let cause = own.failed().await;
        watched.fail(format!("node {id} gives up: {cause}"));
    }));
    Ok((Arc::new(Member { cluster, processor }), Arc::new(inbox)))
}

fn settings(boot: &Boot, founders: &[NodeId], bits: RangeBits, control: &Control) -> NodeSettings {
    let founders = founders.iter().map(|node| Founder {
        node: *node,
        address: control.address(*node),
    });
    NodeSettings {
        node: boot.node,
        cluster: Uuid::from_u128(1),
        address: boot.address.clone(),
        // As many zones as replicas, and each node a rack of its own.
        zone: format!("zone {}", boot.node.0 % u64::from(REPLICATION.get())),
        rack: format!("rack {}", boot.node),
        capacity: NonZeroU32::MIN,
        founders: founders.collect(),
        replication: REPLICATION,
        range_bits: bits,
        rejoin: false,
        software: "simulation".to_owned(),
        storage: Settings::default(),
        timing: Timing::default(),
        gossip: GossipSettings::default(),
        moves: MoveSettings::default(),
        scrub: ScrubSettings::default(),
    }
}

/// The cell becomes these bytes.
pub(super) struct Put(pub(super) Bytes);

/// It has.
pub(super) struct Done;

impl Answer for Done {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &Bytes) -> Result<Self, MalformedAnswer> {
        Ok(Self)
    }
}

impl Applier for Put {
    type Answer = Done;

    fn decide(&self, _: Option<&Cell>) -> Verdict<Done> {
        Verdict::Put {
            cell: self.0.clone(),
            answer: Done,
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&self.0);
    }

    fn answer_unseen(&self) -> Option<Done> {
        Some(Done)
    }
}

/// [`Put`] in bytes.
#[derive(Debug)]
struct Puts;

impl Commands for Puts {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Ok(Put(command.clone()).decide(current).map(|_| Vec::new()))
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}
