//! `cargo xtask bench engine`: Stator's engine beside RocksDB, fjall and redb.
//!
//! Each engine lives in a process of its own (`serve`), so that its CPU time, its memory and what it writes are its own;
//! the process that compares (`compare`) sends them the same rows in turn. Not here: what a row means to an engine
//! (`store/`), and the build (`xtask`).

mod clock;
mod compare;
mod contender;
mod data;
mod meter;
mod process;
mod protocol;
mod report;
mod serve;
mod store;
mod syncs;
mod work;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand, ValueEnum};

use compare::{Comparison, Plan};
use store::{Kind, MEMTABLES, Shared};

/// The allocator of the product, for all engines here.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Any failure of the bench.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error + Send + Sync>>;

#[derive(Parser)]
#[command(name = "engine-bench", about = "Compares storage engines")]
struct Arguments {
    #[command(subcommand)]
    command: Subcommands,
}

#[derive(Subcommand)]
enum Subcommands {
    /// Compare the engines and print a table.
    Run(RunArguments),
    /// Hold one engine and do what standard input says; `run` starts this.
    #[command(hide = true)]
    Serve(serve::Arguments),
}

#[derive(Debug, clap::Args)]
struct RunArguments {
    /// 100,000 entries and short rounds: less than a minute for all engines.
    #[arg(long)]
    quick: bool,
    /// Write the rows to this file as well, one JSON object a line.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Only these engines, with commas between.
    #[arg(long, value_delimiter = ',')]
    engines: Vec<Kind>,
    /// Only rows whose name contains one of these words, with commas between.
    #[arg(long, value_delimiter = ',')]
    rows: Vec<String>,
    /// How many entries.
    #[arg(long)]
    entries: Option<u64>,
    /// Length of a round.
    #[arg(long)]
    seconds: Option<f64>,
    /// Rounds on each engine.
    #[arg(long)]
    rounds: Option<u64>,
    /// Only this size of the cache, instead of one for everything and one for a quarter.
    #[arg(long, value_name = "MIB")]
    cache_mib: Option<usize>,
    /// Size of a memtable.
    #[arg(long, value_name = "MIB")]
    memtable_mib: Option<usize>,
    /// Size of a block of Stator and RocksDB.
    #[arg(long, value_name = "KIB", default_value_t = 4)]
    block_kib: usize,
    /// Where the stores are made for the run: on a disk, since a sync of memory costs nothing. By default beside this
    /// executable.
    #[arg(long)]
    folder: Option<PathBuf>,
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Subcommands::Run(arguments) => run(&arguments),
        Subcommands::Serve(arguments) => serve::run(&arguments),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("engine-bench: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &RunArguments) -> Result<()> {
    let quick = arguments.quick;
    let plan = Plan {
        engines: if arguments.engines.is_empty() {
            Kind::value_variants().to_vec()
        } else {
            arguments.engines.clone()
        },
        entries: arguments
            .entries
            .unwrap_or(if quick { 100_000 } else { 2_000_000 }),
        seconds: arguments.seconds.unwrap_or(if quick { 0.1 } else { 1.5 }),
        rounds: arguments.rounds.unwrap_or(if quick { 1 } else { 3 }),
        silence_ms: if quick { 100 } else { 500 },
        rows: arguments.rows.clone(),
    };
    if plan.entries < 1000 || plan.entries > u64::from(u32::MAX) {
        return Err("--entries must be 1000 to 4294967295".into());
    }
    let folder = match &arguments.folder {
        Some(folder) => folder.clone(),
        None => std::env::current_exe()?.with_file_name(""),
    };
    let memtable_bytes = arguments.memtable_mib.unwrap_or(if quick { 8 } else { 64 }) << 20;
    let shared = |cache_bytes| Shared {
        cache_bytes,
        memtable_bytes,
        block_bytes: arguments.block_kib << 10,
    };
    let quarter = usize::try_from(compare::live_bytes(plan.entries) / 4)?;
    let sizes = match arguments.cache_mib {
        Some(mib) => vec![(format!("cache {mib} MiB"), mib << 20)],
        None => vec![
            ("all cached".to_owned(), 1 << 30),
            ("a quarter cached".to_owned(), quarter),
        ],
    };
    let mut out = std::io::stdout().lock();
    write!(out, "{}", settings(&plan, shared(0), quarter))?;
    let mut rows = Vec::new();
    for (label, cache_bytes) in sizes {
        let folder = tempfile::Builder::new()
            .prefix("engine-bench-")
            .tempdir_in(&folder)?;
        rows.extend(Comparison::start(&plan, shared(cache_bytes), &label, folder.path())?.run()?);
    }
    write!(out, "{}", report::table(&rows, &plan.engines))?;
    if let Some(path) = &arguments.json {
        std::fs::write(path, report::json_lines(&rows)?)
            .map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// What the figures were made with.
fn settings(plan: &Plan, shared: Shared, quarter: usize) -> String {
    const MIB: usize = 1 << 20;
    let mut text = format!(
        "{} entries: keys of 16 to 40 bytes, values of {} bytes of which half can be compressed away.\n\
         Cache 1024 MiB (all cached) or {} MiB (a quarter cached); {MEMTABLES} memtables of {} MiB; blocks of {} KiB; LZ4; \
         bloom filters of 10 bits a key;\n\
         2 background threads; allocator mimalloc. Files of all engines may be in the page cache, except at an open.\n",
        plan.entries,
        data::VALUE_BYTES,
        quarter / MIB,
        shared.memtable_bytes / MIB,
        shared.block_bytes >> 10,
    );
    for kind in &plan.engines {
        let version = version(kind.package());
        text.push_str(kind.name());
        text.push_str(&[" ", version, ": ", kind.remark(), ".\n"].concat());
    }
    text
}

/// The version of a package by the lock file.
fn version(package: &str) -> &'static str {
    let lock = include_str!("../../../Cargo.lock");
    let name = format!("name = \"{package}\"\nversion = \"");
    lock.split_once(&name)
        .and_then(|(_, rest)| rest.split_once('"'))
        .map_or("of unknown version", |(version, _)| version)
}
