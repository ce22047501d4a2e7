//! Everything at once: clients in Rust and boto3, single items and transactions, on a cluster that a plan breaks, heals and
//! breaks again; what clients saw is judged, and what is left is looked at.
//!
//! Invariant: whatever a client was told is true, under any plan. `plan.rs` draws what befalls whom, `broken.rs` and
//! `nemesis.rs` do it, `settle.rs` and `usage.rs` look at what is left; `figures.rs` is what is printed.

mod broken;
pub mod figures;
mod nemesis;
pub mod plan;
mod settle;
mod usage;

use std::path::PathBuf;
use std::time::Duration;

use crate::load::bank::Bank;
use crate::load::{self, Load};
use crate::{Balancer, Cluster, Durability, Links, Mode, Result, clock};
use figures::Figures;
use nemesis::Nemesis;
pub use nemesis::fail_disk;
use plan::{Nodes, Plan};
pub use settle::{Agreed, alike, wait_until_whole};
pub use usage::Usage;

/// A small engine: files come and go, so that a disk without room is noticed, and what leaks shows.
pub const SMALL_ENGINE: &str = "
[storage.engine]
memtable_bytes_max = 1048576
log_segment_bytes = 524288
block_cache_bytes = 8388608
sstable_bytes = 1048576
level1_bytes = 4194304
";
/// Clients of single items, and those of the bank.
const CLIENTS: u64 = 12;
const BOTO_CLIENTS: u64 = 2;
const BANK_CLIENTS: u64 = 4;

/// How a run is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Draws the plans and what clients ask.
    pub seed: u64,
    /// Nodes.
    pub nodes: u16,
    /// How often everything is broken, healed and looked at.
    pub rounds: u64,
    /// For how long faults begin in each round.
    pub length: Duration,
    /// Whether a run that fails leaves its cluster's files behind.
    pub keeps_what_failed: bool,
    /// A Python that has boto3; without it there are no clients of boto3.
    pub python: Option<PathBuf>,
}

/// Runs all rounds; the figures of each are printed as soon as it is judged.
///
/// # Errors
/// Anything that must not be, in words.
pub fn run(settings: &Settings) -> Result<Figures> {
    let (mut cluster, links) = Cluster::breakable(settings.nodes, Durability::Sync, SMALL_ENGINE)?;
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check())?;
    let mut all = Figures::default();
    let mut first = settle::Usages::new();
    let mut nodes = Nodes::first(settings.nodes.into());
    for round in 0..settings.rounds {
        let seed = settings.seed.wrapping_add(round);
        let plan = Plan::new(seed, &mut nodes, settings.length);
        nodes.leaving.clear();
        eprintln!(
            "--- round {} of {} of `--seed {} --nodes {}`:\n{plan}---",
            round + 1,
            settings.rounds,
            settings.seed,
            settings.nodes
        );
        let figures = one(&mut cluster, &links, &balancer, settings, (seed, &plan));
        let mut figures = figures.inspect_err(|_| {
            cluster.show();
            if settings.keeps_what_failed {
                cluster.keep();
            }
        })?;
        // A process that has served for a round is as large as it gets.
        for (node, usage) in settle::usage(&cluster)? {
            first.entry(node).or_insert(usage);
        }
        figures.usage = settle::nothing_leaked(&cluster, &first)?.into_values().collect();
        eprintln!("{figures}");
        all.add(figures);
    }
    Ok(all)
}

/// One round.
fn one(
    cluster: &mut Cluster,
    links: &Links,
    balancer: &Balancer,
    settings: &Settings,
    (seed, plan): (u64, &Plan),
) -> Result<Figures> {
    let begun = clock::now();
    let (table, bank_name) = (format!("chaos-{seed}"), format!("bank-{seed}"));
    let bank = Bank::open(
        cluster.access(),
        balancer.address(),
        &bank_name,
        seed,
        BANK_CLIENTS,
    )?;
    // Whatever keeps them from it must be over with the faults: `settle` holds that nothing is locked then.
    let bank = bank.with_patience(settings.length * 4);
    let load = Load::new(
        load::Settings {
            clients: CLIENTS,
            modes: vec![Mode::Standard, Mode::Standard2026],
            boto: (BOTO_CLIENTS, settings.python.clone()),
            operations_of_an_item_set: 4_000,
            ..load::Settings::usual(&table, seed)
        },
        cluster.access(),
        balancer.address(),
    )?;
    let (mut broken, mut items) = (None, None);
    let transfers = bank.run(|| {
        let report = load.run(|| {
            let mut done = Nemesis::new(cluster, (links, balancer), plan).run()?;
            settle::wait_until_gone(cluster, balancer, std::mem::take(&mut done.going))?;
            broken = Some(done);
            settle::wait_until_whole(cluster)?;
            settle::wait_until_even(cluster)
        })?;
        items = Some(report);
        Ok(())
    })?;
    settle::wait_until_idle(cluster)?;
    let agreed = settle::agree(cluster, &[vec![table], bank.tables()].concat())?;
    let mut figures = Figures::of(&items.ok_or("no load")?, &transfers);
    figures.take_broken(broken.ok_or("no nemesis")?);
    figures.agreed = agreed;
    figures.length = begun.elapsed();
    Ok(figures)
}
