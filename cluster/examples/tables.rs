//! What many tables cost group 0: `cargo run --release -p stator-cluster --example tables -- [TABLES]`.
//!
//! A table is a keyspace and a definition, a cell of the metadata; the definitions here are as long as those of a table with an
//! index. Invariant: a restart is over when the node serves and knows every keyspace again. Not here: the API's view of them, and
//! nodes that join, to which the metadata travels as a snapshot of the size that is printed.

mod shared;

use std::num::{NonZeroU8, NonZeroU32};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::gossip::GossipSettings;
use stator_cluster::ring::RangeBits;
use stator_cluster::{
    Alone, Answer, Applier, Cell, Cluster, Founder, MalformedAnswer, MoveSettings, NodeId, NodeSettings,
    ScrubSettings, Settings, Timing, TokioWorld, Verdict, World as _, WriteOptions,
};
use tempfile::TempDir;
use tokio::runtime::Handle;
use uuid::Uuid;

use shared::{Failure, resident_bytes, say, surroundings};

/// Tables if nothing else is said.
const USUAL: u64 = 10_000;

/// Bytes of a definition.
const DEFINITION_BYTES: usize = 400;

/// So many lines are printed while tables are made.
const STEPS: u64 = 5;

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
    let surroundings = surroundings(directory.to_owned())?;
    Ok(Cluster::open(settings, surroundings, |_, _| Ok(Arc::new(Alone)))?)
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
