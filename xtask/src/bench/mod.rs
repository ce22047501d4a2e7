//! `cargo xtask bench`: what Stator costs, always beside a peer that is measured in the same minutes.
//!
//! Absolute figures belong to the machine and to the hour; what is compared between runs is the ratio. A bench is one
//! module. One that measures over HTTP returns `report::Row`s; how they are made (`process`, `sign`, `load`, `rounds`) and
//! shown (`report`) is shared. One that has to know a crate of ours is a program beside that crate, started here.

mod api;
mod backup;
mod cluster;
mod engine;
mod foreground;
mod http;
mod import;
mod load;
mod log;
pub(crate) mod process;
mod query;
mod report;
mod rounds;
mod sign;
mod ttl;

use std::io::Write;
use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::Result;
use crate::cargo::Workspace;
use cluster::Comparison;
use rounds::Effort;

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    bench: Bench,
    /// Fewer and shorter rounds: less than a minute once everything is built.
    #[arg(long, global = true)]
    quick: bool,
    /// Write the rows to this file as well, one JSON object a line.
    #[arg(long, global = true, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Subcommand)]
enum Bench {
    /// Signed PutItem and GetItem over HTTP, beside a handler that only verifies the signature.
    Api,
    /// Three nodes on this machine: puts and conditional updates at QUORUM, beside etcd with three nodes.
    Cluster(cluster::Arguments),
    /// Transactions of 2, 10 and 100 items, in one token range and across them, on one node and on three, beside as many
    /// single conditional writes.
    Transact(cluster::Arguments),
    /// What rides on the log: the cost of an index and of a stream per write, and how far they are behind under load.
    Log,
    /// Reads and writes at a fixed rate while many items fall due at once and are deleted, beside the same before that.
    Ttl(ttl::Arguments),
    /// A backup of a table beside a copy of the node's files, what clients notice of both, and what a second backup writes.
    Backup(backup::Arguments),
    /// ImportTable of 200,000 flights from CSV and DynamoDB JSON, beside clients that put the same items in batches, and how busy the
    /// machine is meanwhile.
    Import,
    /// The storage engine: loads, reads, scans, synced writes, reopening, beside RocksDB, fjall and redb.
    Engine(engine::Arguments),
}

fn with_etcd_or_alone(
    workspace: &Workspace,
    comparison: Comparison,
    more: &cluster::Arguments,
    arguments: &Arguments,
) -> Result<bool> {
    cluster::run(
        workspace,
        comparison,
        more,
        arguments.quick,
        arguments.json.as_deref(),
    )?;
    Ok(true)
}

/// Runs a bench and prints its table. A slow result is a result: only a bench that could not be run is a failure.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let rows = match &arguments.bench {
        Bench::Api => api::run(&workspace, effort)?,
        Bench::Log => log::run(&workspace, effort)?,
        Bench::Backup(more) => backup::run(&workspace, more, effort)?,
        Bench::Import => import::run(&workspace)?,
        Bench::Ttl(more) => ttl::run(&workspace, more, effort)?,
        Bench::Cluster(more) => {
            return with_etcd_or_alone(&workspace, Comparison::Etcd, more, arguments);
        }
        Bench::Transact(more) => {
            return with_etcd_or_alone(&workspace, Comparison::Transactions, more, arguments);
        }
        Bench::Engine(more) => {
            engine::run(&workspace, more, arguments.quick, arguments.json.as_deref())?;
            return Ok(true);
        }
    };
    let mut out = std::io::stdout().lock();
    write!(out, "{}", report::table(&rows))?;
    if let Some(path) = &arguments.json {
        let text = report::json_lines(&rows)?;
        std::fs::write(path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(true)
}
