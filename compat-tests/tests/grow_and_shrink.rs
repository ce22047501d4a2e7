//! Three nodes become five and three again while clients work, and nodes are killed in the middle of it.
//!
//! `cargo xtask faults three_nodes` runs it with an optimized server. `STATOR_GROW_ITEMS` says how many items of 4 KiB there are,
//! `STATOR_GROW_SEED` draws what clients ask.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::{Duration, Instant};

use compat_tests::load::bulk::Bulk;
use compat_tests::load::{Load, Settings, create_table};
use compat_tests::moves::{Placed, pending, placed};
use compat_tests::{
    Balancer, Change, Cluster, Durability, Mode, Random, Result, Sdk, holds_within, now, pause,
};

/// How many nodes an item lies on.
const REPLICAS: usize = 3;
/// Items that are there beforehand, and their size in bytes.
const ITEMS: u64 = 2_000;
const ITEM_BYTES: usize = 4_096;
/// Before anything is done, so that it is known what is usual.
const BEFORE: Duration = Duration::from_secs(5);
/// How long a killed node is away.
const AWAY: Duration = Duration::from_secs(2);
/// Within which time moves begin, and end.
const BEGUN_WITHIN: Duration = Duration::from_secs(60);
const ENDED_WITHIN: Duration = Duration::from_secs(600);
/// The longest time with less than half of what is usual.
const SLOW_MAX: Duration = Duration::from_secs(2);
/// What is on all disks may be so much more than before, in hundredths, when old copies are gone: logs are not empty.
const BYTES_MAX_PERCENT: u64 = 160;
const BYTES_WITHIN: Duration = Duration::from_secs(90);
/// Nodes whose engines are small, so that what is on disk follows what is stored.
const CONFIGURATION: &str = "
[storage.engine]
memtable_bytes_max = 1048576
log_segment_bytes = 1048576
sstable_bytes = 1048576
level1_bytes = 4194304
";

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

/// A cluster whose nodes come, go and fail, and what was done when.
struct Story {
    cluster: Cluster,
    balancer: Balancer,
    begun: Instant,
    marks: Vec<(Duration, String)>,
}

impl Story {
    fn mark(&mut self, what: String) {
        let at = self.begun.elapsed();
        eprintln!("{:8.3} s  {what}", at.as_secs_f64());
        self.marks.push((at, what));
    }

    fn join(&mut self) -> Result<u64> {
        let id = self.cluster.add_node()?;
        self.mark(format!("node {id} joins"));
        let member = self.cluster.node(id)?;
        member.start()?.ready()?;
        let address = member.address;
        self.balancer.add(address);
        Ok(id)
    }

    /// Kills a node when a part of the moves that have begun is done, and starts it again.
    fn kill_amid(&mut self, id: u64) -> Result<()> {
        let mut most = 0;
        let is_amid = holds_within(BEGUN_WITHIN, || {
            let left = pending(&self.cluster).unwrap_or_default();
            most = most.max(left);
            most > 1 && left > 0 && left < most
        });
        if !is_amid {
            return Err(format!("no moves have begun and gone on; {most} were to be done").into());
        }
        self.mark(format!("node {id} is killed"));
        self.cluster.node(id)?.kill()?;
        pause(AWAY);
        self.mark(format!("node {id} is started"));
        self.cluster.node(id)?.start()?.ready().map(drop)
    }

    /// Waits until nothing moves and all is where it is to be.
    fn settle(&mut self) -> Result<Placed> {
        let mut last = String::new();
        let mut found = Placed::default();
        let is_settled = holds_within(ENDED_WITHIN, || {
            let looked = placed(&self.cluster).and_then(|placed| {
                placed.is_even(REPLICAS)?;
                Ok(placed)
            });
            match (looked, pending(&self.cluster)) {
                (Ok(placed), Some(0)) => {
                    found = placed;
                    true
                }
                (Ok(_), left) => {
                    last = format!("{left:?} replicas have to move");
                    false
                }
                (Err(error), _) => {
                    last = error.to_string();
                    false
                }
            }
        });
        if !is_settled {
            return Err(format!("{} s later: {last}", ENDED_WITHIN.as_secs()).into());
        }
        let nodes = self.cluster.members.len();
        self.mark(format!("{nodes} nodes have even shares"));
        Ok(found)
    }

    /// Waits until old copies are gone from disks: all of them together have about as many bytes as before.
    fn old_copies_go(&mut self, before: &Placed) -> Result<Placed> {
        let bound = before.all_bytes() * BYTES_MAX_PERCENT / 100;
        let mut now = Placed::default();
        let is_gone = holds_within(BYTES_WITHIN, || {
            now = placed(&self.cluster).unwrap_or_default();
            !now.bytes.is_empty() && now.all_bytes() <= bound
        });
        if is_gone {
            return Ok(now);
        }
        Err(format!("disks have {:?}, {:?} before", now.bytes, before.bytes).into())
    }

    /// Has a node leave, kills another one or the same meanwhile, and waits until it has left.
    fn leave(&mut self, id: u64, killed: u64, change: Change) -> Result<()> {
        self.mark(format!("node {id} leaves"));
        self.kill_amid(killed)?;
        end(change).map_err(|error| format!("node {id} is still there: {error}"))?;
        let address = self.cluster.forget(id)?;
        self.balancer.remove(address);
        self.mark(format!("node {id} has left"));
        Ok(())
    }

    fn go(&mut self) -> Result<()> {
        pause(BEFORE);
        let before = self.settle()?;
        let (fourth, fifth) = (self.join()?, self.join()?);
        self.kill_amid(fourth)?;
        self.kill_amid(1).or_else(|error| {
            // All may be done before; the shrinking kills a node that stays, too.
            eprintln!("node 1 was not killed: {error}");
            Ok::<(), compat_tests::Error>(())
        })?;
        self.settle()?;
        let amid = self.old_copies_go(&before)?;
        for id in [fourth, fifth] {
            end(self.cluster.join(id)?)?;
        }
        self.leave(fifth, fifth, self.cluster.drain(fifth)?)?;
        self.leave(fourth, 2, self.cluster.replace(fourth, 1)?)?;
        self.settle()?;
        let after = self.old_copies_go(&before)?;
        eprintln!(
            "bytes by node: {:?}, then {:?}, then {:?}",
            before.bytes, amid.bytes, after.bytes
        );
        Ok(())
    }
}

/// Waits until a command has ended well.
fn end(mut change: Change) -> Result<()> {
    let mut outcome = Ok(false);
    let is_over = holds_within(ENDED_WITHIN, || {
        outcome = change.is_done();
        !matches!(outcome, Ok(false))
    });
    if is_over {
        outcome.map(drop)
    } else {
        Err("the command waits and waits".into())
    }
}

#[test]
fn three_nodes_become_five_and_three_again_and_clients_hardly_notice() {
    let seed = number("STATOR_GROW_SEED").unwrap_or(5);
    let items = number("STATOR_GROW_ITEMS").unwrap_or(ITEMS);
    let cluster = Cluster::configured(3, Durability::Sync, CONFIGURATION).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let (access, address) = (cluster.access(), balancer.address());
    let bulk = Bulk {
        table: "bulk".to_owned(),
        items,
        bytes: ITEM_BYTES,
    };
    let mut sdk = Sdk::new(access.clone(), address, Mode::Standard, Random::new(seed, 0));
    create_table(&mut sdk, &bulk.table).unwrap();
    bulk.write(&access, address).unwrap();
    let settings = Settings {
        clients: 16,
        modes: vec![Mode::Standard],
        pause: Duration::from_millis(30),
        ..Settings::usual("grow", seed)
    };
    let load = Load::new(settings, access.clone(), address).unwrap();
    let begun = load.begun();
    let mut story = Story {
        cluster,
        balancer,
        begun,
        marks: Vec::new(),
    };
    let from = now().duration_since(begun);
    let report = load.run(|| story.go().inspect_err(|_| story.cluster.show()));
    let report = report
        .inspect_err(|error| eprintln!("grow and shrink: {error}"))
        .unwrap();
    bulk.check(&access, address).unwrap();
    let usual = report.throughput.usual(from + BEFORE / 5, from + BEFORE);
    let slow = report.throughput.longest_below(usual / 2.0, from + BEFORE);
    eprintln!("{}", report.throughput.chart(&story.marks));
    eprintln!("grow and shrink: {report}");
    eprintln!("usual: {usual:.0} answers per second; longest time below half of it: {slow}");
    for failure in &report.failures {
        eprintln!("{failure}");
    }
    assert_eq!(report.failures, [], "clients saw errors");
    assert!(report.writes > 500, "hardly a load");
    assert!(slow.length <= SLOW_MAX, "clients were slowed down: {slow}");
}
