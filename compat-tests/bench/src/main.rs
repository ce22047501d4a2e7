//! Compares a cluster of Stator with a cluster of etcd: three nodes each on this machine, on one disk, with TLS to clients
//! and between nodes, under the same closed loop of writes of 1 KB. Started by `cargo xtask bench cluster`.
//!
//! Invariant: both clusters run all the time and are measured in turn in short rounds, of which medians are taken; all
//! connections come from one thread, spread evenly over the nodes of either; a write that is not answered with success
//! ends the bench. One JSON object a row goes to standard output. `stator.rs` and `etcd.rs` are the two clusters with their
//! clients, `load.rs` is the loop, `rounds.rs` the comparison, `items.rs` what is written. `transact.rs` compares
//! transactions with single writes, on clusters of Stator alone.

mod cpu;
mod etcd;
mod grpc;
mod http1;
mod items;
mod load;
mod rounds;
mod stator;
mod stream;
mod transact;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::time::Duration;

use clap::Parser;
use serde::Serialize;
use tokio::task::LocalSet;

use compat_tests::{Access, Result};
use load::Pool;
use rounds::{Effort, Side};
use stator::Stator;

/// Nodes of either cluster that are compared with each other.
const NODES: u16 = 3;

#[derive(Debug, Parser)]
struct Arguments {
    /// The program `stator`
    #[arg(long)]
    stator: PathBuf,
    /// The program `etcd`
    #[arg(long, required_unless_present = "transact")]
    etcd: Option<PathBuf>,
    /// Where both keep their data; on a disk, since a sync to memory costs nothing
    #[arg(long)]
    folder: PathBuf,
    /// Numbers of connections
    #[arg(long, value_delimiter = ',', default_values_t = [1, 32, 128])]
    connections: Vec<usize>,
    /// Transactions beside single writes, in the place of the comparison with etcd
    #[arg(long, conflicts_with = "connections")]
    transact: bool,
    /// Fewer and shorter rounds
    #[arg(long)]
    quick: bool,
}

/// One figure beside the peer's.
#[derive(Debug, Serialize)]
struct Row {
    bench: &'static str,
    #[serde(rename = "row")]
    name: String,
    ours: f64,
    peer: &'static str,
    theirs: f64,
    unit: &'static str,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let outcome = runtime
        .map_err(Into::into)
        .and_then(|runtime| LocalSet::new().block_on(&runtime, run(&arguments)));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("cluster-bench: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(arguments: &Arguments) -> Result<()> {
    let folder = tempfile::Builder::new()
        .prefix("bench-cluster-")
        .tempdir_in(&arguments.folder)?;
    let effort = if arguments.quick {
        Effort::QUICK
    } else {
        Effort::FULL
    };
    let Some(etcd) = arguments.etcd.as_ref().filter(|_| !arguments.transact) else {
        return transact::run(arguments, folder.path(), effort).await;
    };
    let stator = Stator::start(&arguments.stator, &folder.path().join("stator"), NODES)?;
    let etcd = etcd::Etcd::start(&arguments.stator, etcd, folder.path(), stator.is_encrypted())?;
    etcd.ready().await?;
    let access = stator.access()?;
    stator.create_table(&access, None)?;
    let puts: Pool = Rc::new(items::puts().map(|(key, value)| etcd::put(key, value)).collect());
    // Updates need items, and the first writes of an empty store are cheaper than the others.
    load_items(&access, &stator, &etcd, &puts).await?;
    let mut out = std::io::stdout().lock();
    for (name, operation, bodies) in [
        ("put_item quorum", "PutItem", items::put_bodies()),
        (
            "update_item quorum, conditional",
            "UpdateItem",
            items::update_bodies(),
        ),
    ] {
        for connections in &arguments.connections {
            eprintln!("bench cluster: {name} c{connections}");
            // Signed anew for each row: a signature is good for 15 minutes.
            let requests: Pool = Rc::new(stator::requests(&access, operation, &bodies)?);
            let sides = [
                Side::new(
                    stator.pids(),
                    stator.connect(&access, *connections).await?,
                    requests,
                ),
                Side::new(etcd.pids(), etcd.connect(*connections).await?, Rc::clone(&puts)),
            ];
            for (unit, ours, theirs) in rounds::compare(sides, effort).await? {
                let row = Row {
                    bench: "cluster",
                    name: format!("{name} c{connections}"),
                    ours,
                    peer: "etcd put",
                    theirs,
                    unit,
                };
                writeln!(out, "{}", serde_json::to_string(&row)?)?;
            }
        }
    }
    Ok(())
}

async fn load_items(access: &Access, stator: &Stator, etcd: &etcd::Etcd, puts: &Pool) -> Result<()> {
    const CONNECTIONS: usize = 32;
    const ROUND: Duration = Duration::from_secs(1);
    let requests: Pool = Rc::new(stator::requests(access, "PutItem", &items::put_bodies())?);
    let mut ours = Side::new(
        stator.pids(),
        stator.connect(access, CONNECTIONS).await?,
        requests,
    );
    let mut theirs = Side::new(etcd.pids(), etcd.connect(CONNECTIONS).await?, Rc::clone(puts));
    while ours.sent() < items::COUNT || theirs.sent() < items::COUNT {
        ours.run(ROUND).await?;
        theirs.run(ROUND).await?;
    }
    Ok(())
}

/// A path as an argument of a program.
fn text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| format!("{}: not UTF-8", path.display()).into())
}
