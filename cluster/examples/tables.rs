//! What many tables cost group 0: `cargo run --release -p stator-cluster --example tables -- [TABLES]`.
//!
//! A table is a keyspace and a definition, a cell of the metadata; the definitions here are as long as those of a table with an
//! index. Invariant: a restart is over when the node serves and knows every keyspace again. Not here: the API's view of them, and
//! nodes that join, to which the metadata travels as a snapshot of the size that is printed.

use std::io::Write as _;
use std::num::{NonZeroU8, NonZeroU32};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::{
    Alone, Answer, Applier, Cell, Cluster, Commands, Founder, MASTER_KEY_BYTES, MalformedAnswer,
    MalformedCommand, MasterKey, MasterKeys, MoveSettings, NodeId, NodeSettings, PosixVfs, Random,
    ScrubSettings, Settings, Surroundings, Timing, TokioWorld, Verdict, World as _, WriteOptions,
};
use tempfile::TempDir;
use tokio::runtime::Handle;
use uuid::Uuid;

/// Tables if nothing else is said.
const USUAL: u64 = 10_000;

/// Bytes of a definition.
const DEFINITION_BYTES: usize = 400;

/// So many lines are printed while tables are made.
const STEPS: u64 = 5;

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// The cell becomes a definition.
struct Define;

struct Done;

impl Answer for Done {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(_: &Bytes) -> Result<Self, MalformedAnswer> {
        Ok(Self)
    }
}

impl Applier for Define {
    type Answer = Done;

    fn decide(&self, _: Option<&Cell>) -> Verdict<Done> {
        Verdict::Put {
            cell: vec![7; DEFINITION_BYTES].into(),
            answer: Done,
        }
    }

    fn encode(&self, _: &mut Vec<u8>) {}

    fn answer_unseen(&self) -> Option<Done> {
        Some(Done)
    }
}

/// No command is ever sent.
#[derive(Debug)]
struct NoCommands;

impl Commands for NoCommands {
    fn decide(&self, command: &Bytes, _: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Err(MalformedCommand {
            detail: format!("{} bytes that nobody has sent", command.len()),
        })
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

fn open(directory: &Path) -> Result<Cluster, Failure> {
    let founder = Founder {
        node: NodeId(1),
        address: "node1:7000".to_owned(),
    };
    let settings = NodeSettings {
        node: founder.node,
        cluster: Uuid::from_u128(1),
        address: founder.address.clone(),
        zone: "zone".to_owned(),
        rack: "rack".to_owned(),
        capacity: NonZeroU32::MIN,
        founders: vec![founder],
        replication: NonZeroU8::MIN,
        range_bits: RangeBits::default(),
        rejoin: false,
        software: "example".to_owned(),
        storage: Settings::default(),
        timing: Timing::default(),
        gossip: GossipSettings::default(),
        moves: MoveSettings::default(),
        scrub: ScrubSettings::default(),
    };
    let surroundings = Surroundings {
        world: Arc::new(TokioWorld::new(Handle::current())?),
        disk: Arc::new(PosixVfs),
        directory: directory.to_owned(),
        random: Random::new(|bytes| {
            getrandom::fill(bytes).map_err(|error| std::io::Error::other(error.to_string()))
        }),
        master_keys: MasterKeys::new(MasterKey::new([3; MASTER_KEY_BYTES])),
        clock: None,
        driven: false,
        commands: Arc::new(NoCommands),
    };
    Ok(Cluster::open(settings, surroundings, |_, _| Ok(Arc::new(Alone)))?)
}

/// Bytes of the process that are in memory.
fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kibibytes: u64 = kibibytes.ok_or("no VmRSS")?.trim().parse()?;
    Ok(kibibytes << 10)
}

fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}

async fn run(tables: u64) -> Result<(), Failure> {
    let world = TokioWorld::new(Handle::current())?;
    let directory = TempDir::new()?;
    let cluster = open(directory.path())?;
    cluster.ready().await?;
    let before = resident_bytes()?;
    let each = (tables / STEPS).max(1);
    let mut begun = world.now();
    for table in 0..tables {
        let key = format!("table/name-of-table-{table}");
        let metadata = cluster.metadata();
        cluster
            .write(metadata, key.as_bytes(), WriteOptions::default(), &Define)
            .await?;
        cluster.create_keyspace(&key).await?;
        if (table + 1).is_multiple_of(each) {
            say(&format!(
                "{each} tables, {} in all: {}",
                table + 1,
                seconds(world.now().saturating_sub(begun))
            ))?;
            begun = world.now();
        }
    }
    let resident = resident_bytes()?.saturating_sub(before);
    say(&format!(
        "memory: {} bytes a table are resident",
        resident / tables.max(1)
    ))?;
    let rows = cluster.local_rows(cluster.metadata())?;
    let bytes: usize = rows.iter().map(|(key, cell)| key.len() + cell.len()).sum();
    say(&format!("snapshot: {} rows, {} KiB", rows.len(), bytes >> 10))?;
    drop(rows);
    cluster.close()?;
    drop(cluster);
    let begun = world.now();
    let cluster = open(directory.path())?;
    let opened = world.now().saturating_sub(begun);
    cluster.ready().await?;
    let known = u64::try_from(cluster.keyspaces().len())?;
    say(&format!(
        "restart: opened after {}, ready after {} with {known} keyspaces",
        seconds(opened),
        seconds(world.now().saturating_sub(begun))
    ))?;
    if known != tables {
        return Err("not every keyspace has come back".into());
    }
    Ok(cluster.close()?)
}

fn main() -> Result<(), Failure> {
    let tables = std::env::args().nth(1);
    let tables = tables.map_or(Ok(USUAL), |word| word.parse())?;
    tokio::runtime::Runtime::new()?.block_on(run(tables))
}
