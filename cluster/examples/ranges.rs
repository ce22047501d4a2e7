//! What idle token ranges cost a node: memory, processor time, and the time of a restart: `cargo run --release -p
//! stator-cluster --example ranges -- [BITS] [NODES]`.
//!
//! It opens a cluster of real nodes in one process, on a disk, with the messages between them handed over in memory; every range
//! has a replica on three of them. Invariant: figures are taken when every range has a leader and rests, which is waited for and
//! not assumed. Not here: what ranges with work cost (`cargo xtask bench`).

mod shared;

use std::alloc::{GlobalAlloc, Layout, System};
use std::collections::BTreeMap;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use rustix::time::{ClockId, clock_gettime};
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::{
    Cluster, Founder, Inbox, MoveSettings, Network, NodeId, NodeSettings, Priority, ScrubSettings, Settings,
    Timing, TokioWorld, World as _,
};
use tempfile::TempDir;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use uuid::Uuid;

use shared::{Failure, resident_bytes, say, surroundings};

/// The system's allocator, and how many bytes it has given out that were not given back.
struct Counting;

static GIVEN_OUT: AtomicUsize = AtomicUsize::new(0);

/// The same in pieces: how many of each size there are, larger ones left out.
static PIECES: [AtomicUsize; PIECE_BYTES_MAX] = [const { AtomicUsize::new(0) }; PIECE_BYTES_MAX];

const PIECE_BYTES_MAX: usize = 8192;

/// So many sizes are told.
const SIZES_TOLD: usize = 24;

#[expect(
    unsafe_code,
    reason = "an allocator cannot be written without; this one only counts"
)]
// SAFETY: every call is handed on as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        GIVEN_OUT.fetch_add(layout.size(), Ordering::Relaxed);
        if let Some(pieces) = PIECES.get(layout.size()) {
            pieces.fetch_add(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, memory: *mut u8, layout: Layout) {
        GIVEN_OUT.fetch_sub(layout.size(), Ordering::Relaxed);
        if let Some(pieces) = PIECES.get(layout.size()) {
            pieces.fetch_sub(1, Ordering::Relaxed);
        }
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(memory, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Ranges and nodes if nothing else is said: a node of a large cluster.
const USUAL: [u64; 2] = [14, 3];

/// For so long the processor time of a cluster that does nothing is taken.
const IDLE: Duration = Duration::from_secs(10);

/// How often what is waited for is looked at.
const LOOK: Duration = Duration::from_millis(200);

/// What is waited for comes within this time, or never.
const PATIENCE: Duration = Duration::from_secs(600);

type Letters = mpsc::UnboundedSender<(NodeId, Bytes)>;

/// Hands messages over, in order, to whoever is at the other end now.
#[derive(Clone, Debug, Default)]
struct Lan(Arc<Mutex<BTreeMap<NodeId, Letters>>>);

impl Lan {
    /// From now on messages for `node` go to this inbox.
    fn plug_in(&self, node: NodeId, inbox: Arc<dyn Inbox>, runtime: &Handle) {
        let (letters, mut arrived) = mpsc::unbounded_channel();
        self.0.lock().insert(node, letters);
        runtime.spawn(async move {
            while let Some((from, message)) = arrived.recv().await {
                inbox.receive(from, message);
            }
        });
    }

    fn unplug(&self, node: NodeId) {
        self.0.lock().remove(&node);
    }
}

/// One node's end of it.
#[derive(Debug)]
struct Port {
    node: NodeId,
    lan: Lan,
}

impl Network for Port {
    fn send(&self, to: NodeId, _: Priority, message: Bytes) {
        let letters = self.lan.0.lock().get(&to).cloned();
        if let Some(letters) = letters {
            // Whoever has ended does not mind.
            drop(letters.send((self.node, message)));
        }
    }

    fn introduce(&self, _: NodeId, _: &str) {}
}

/// A cluster of one process.
struct Cloud {
    directory: TempDir,
    lan: Lan,
    bits: RangeBits,
    count: u64,
    nodes: BTreeMap<NodeId, Cluster>,
}

impl Cloud {
    async fn make(bits: RangeBits, count: u64) -> Result<Self, Failure> {
        let mut cloud = Self {
            directory: TempDir::new()?,
            lan: Lan::default(),
            bits,
            count,
            nodes: BTreeMap::new(),
        };
        for node in (1..=count).map(NodeId) {
            cloud.open(node)?;
        }
        for cluster in cloud.nodes.values() {
            cluster.ready().await?;
        }
        Ok(cloud)
    }

    fn open(&mut self, node: NodeId) -> Result<(), Failure> {
        let founders = (1..=self.count).map(|number| Founder {
            node: NodeId(number),
            address: format!("node{number}:7000"),
        });
        let settings = NodeSettings {
            node,
            cluster: Uuid::from_u128(u128::from(self.bits.get())),
            address: format!("node{node}:7000"),
            zone: "zone".to_owned(),
            rack: format!("rack{node}"),
            capacity: NonZeroU32::MIN,
            founders: founders.collect(),
            replication: NonZeroU8::new(3).ok_or("no replicas")?,
            range_bits: self.bits,
            rejoin: false,
            software: "example".to_owned(),
            storage: Settings::default(),
            timing: Timing::default(),
            gossip: GossipSettings::default(),
            moves: MoveSettings::default(),
            scrub: ScrubSettings::default(),
        };
        let runtime = Handle::current();
        let surroundings = surroundings(self.directory.path().join(node.to_string()))?;
        let lan = self.lan.clone();
        let cluster = Cluster::open(settings, surroundings, |inbox, _| {
            lan.plug_in(node, inbox, &runtime);
            Ok(Arc::new(Port {
                node,
                lan: lan.clone(),
            }))
        })?;
        self.nodes.insert(node, cluster);
        Ok(())
    }

    fn close(&mut self, node: NodeId) -> Result<(), Failure> {
        self.lan.unplug(node);
        if let Some(cluster) = self.nodes.remove(&node) {
            cluster.close()?;
        }
        Ok(())
    }

    fn node(&self, node: NodeId) -> Result<&Cluster, Failure> {
        Ok(self.nodes.get(&node).ok_or("there is no such node")?)
    }

    /// Waits until every range that a node has a replica of has a leader, and gives how many these are.
    async fn led(&self, node: NodeId) -> Result<usize, Failure> {
        self.wait(|| {
            let groups = self.node(node)?.status().groups;
            let is_led = groups.len() > self.wanted() && groups.iter().all(|group| group.leader.is_some());
            Ok(is_led.then_some(groups.len()))
        })
        .await
    }

    /// How many replicas of ranges a node is to have.
    fn wanted(&self) -> usize {
        let all = u64::from(self.bits.range_count()) * self.count.min(3);
        usize::try_from(all / self.count).unwrap_or(usize::MAX)
    }

    /// Waits until every range of every node rests. Group 0 does not: the steward asks it.
    async fn rests(&self) -> Result<(), Failure> {
        self.wait(|| {
            let all = self.nodes.values().flat_map(|cluster| cluster.status().groups);
            let ranges: Vec<_> = all.filter(|group| group.range.is_some()).collect();
            let is_all = ranges.len() == self.wanted() * self.nodes.len();
            Ok((is_all && ranges.iter().all(|range| range.quiet)).then_some(()))
        })
        .await
    }

    async fn wait<T>(&self, mut look: impl FnMut() -> Result<Option<T>, Failure>) -> Result<T, Failure> {
        let world = TokioWorld::new(Handle::current())?;
        let begun = world.now();
        loop {
            if let Some(found) = look()? {
                return Ok(found);
            }
            if world.now().saturating_sub(begun) > PATIENCE {
                return Err("what was waited for has not come".into());
            }
            world.sleep(LOOK).await;
        }
    }
}

/// Processor time of the process.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The sizes of pieces that take the most memory, a replica, and how many of them a replica has.
fn sizes(replicas: u64) -> String {
    let pieces = PIECES.iter().map(|pieces| pieces.load(Ordering::Relaxed) as u64);
    let mut sizes: Vec<_> = (0..)
        .zip(pieces)
        .map(|(size, many): (u64, u64)| (size * many, size, many))
        .collect();
    sizes.sort_unstable_by(|one, other| other.cmp(one));
    let told = sizes.into_iter().take(SIZES_TOLD).map(|(bytes, size, many)| {
        let (bytes, tenths) = (bytes / replicas, many * 10 / replicas);
        format!("{bytes} in {}.{} of {size}", tenths / 10, tenths % 10)
    });
    told.collect::<Vec<_>>().join(", ")
}

/// Bytes of the files in a directory.
fn bytes_on_disk(directory: &Path) -> Result<u64, Failure> {
    let mut sum = 0;
    for entry in std::fs::read_dir(directory)? {
        let entry = entry?;
        let metadata = entry.metadata()?;
        sum += if metadata.is_dir() {
            bytes_on_disk(&entry.path())?
        } else {
            metadata.len()
        };
    }
    Ok(sum)
}

async fn run(bits: u8, count: u64) -> Result<(), Failure> {
    let world = TokioWorld::new(Handle::current())?;
    // What a node costs whatever it holds is in both.
    let (before, given_before) = (resident_bytes()?, GIVEN_OUT.load(Ordering::Relaxed));
    let small = Cloud::make(RangeBits::new(1).ok_or("no such number of ranges")?, count).await?;
    small.rests().await?;
    let base = resident_bytes()?.saturating_sub(before);
    let given_base = GIVEN_OUT.load(Ordering::Relaxed).saturating_sub(given_before);

    let begun = world.now();
    let mut cloud = Cloud::make(RangeBits::new(bits).ok_or("no such number of ranges")?, count).await?;
    for node in (1..=count).map(NodeId) {
        cloud.led(node).await?;
    }
    let replicas = u64::try_from(cloud.wanted())? * count;
    say(&format!(
        "{} ranges, {} replicas on each of {count} nodes: made and led after {:.1} s",
        cloud.bits.range_count(),
        cloud.wanted(),
        world.now().saturating_sub(begun).as_secs_f64()
    ))?;
    cloud.rests().await?;
    say(&format!(
        "all rest after {:.1} s",
        world.now().saturating_sub(begun).as_secs_f64()
    ))?;

    let (used, begun) = (processor_time(), world.now());
    world.sleep(IDLE).await;
    let (used, passed) = (
        processor_time().saturating_sub(used),
        world.now().saturating_sub(begun),
    );
    say(&format!(
        "idle: {:.1} ms of processor time a second and node",
        used.as_secs_f64() * 1000.0 / passed.as_secs_f64() / f64::from(u32::try_from(count)?)
    ))?;
    let resident = resident_bytes()?.saturating_sub(before + 2 * base);
    let given_out = GIVEN_OUT
        .load(Ordering::Relaxed)
        .saturating_sub(given_before + 2 * given_base);
    say(&format!(
        "memory: {} bytes a replica, beside {} KiB a node; {} bytes a replica are resident",
        u64::try_from(given_out)? / replicas,
        (u64::try_from(given_base)? / count) >> 10,
        resident / replicas
    ))?;
    say(&format!("of it: {}", sizes(replicas)))?;
    let stored = bytes_on_disk(cloud.directory.path())?;
    say(&format!("disk: {} bytes a replica", stored / replicas))?;

    let first = NodeId(1);
    cloud.close(first)?;
    let begun = world.now();
    cloud.open(first)?;
    let opened = world.now().saturating_sub(begun);
    cloud.node(first)?.ready().await?;
    let ready = world.now().saturating_sub(begun);
    let groups = cloud.led(first).await?;
    let led = world.now().saturating_sub(begun);
    say(&format!(
        "restart: {groups} groups; opened after {:.2} s, ready after {:.2} s, a leader for each after {:.2} s",
        opened.as_secs_f64(),
        ready.as_secs_f64(),
        led.as_secs_f64()
    ))?;
    cloud.rests().await?;
    say(&format!(
        "all rest {:.1} s after it",
        world.now().saturating_sub(begun).as_secs_f64()
    ))?;
    for node in (1..=count).map(NodeId) {
        cloud.close(node)?;
    }
    drop(small);
    Ok(())
}

fn main() -> Result<(), Failure> {
    let mut sizes = USUAL;
    for (size, word) in sizes.iter_mut().zip(std::env::args().skip(1)) {
        *size = word.parse().map_err(|error| format!("{word}: {error}"))?;
    }
    let [bits, nodes] = sizes;
    let runtime = tokio::runtime::Runtime::new()?;
    runtime.block_on(run(u8::try_from(bits)?, nodes))
}
