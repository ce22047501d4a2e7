//! `cargo xtask chaos`: a cluster whose nodes, links, disks and clocks break by a plan, under clients in Rust and boto3, for as
//! long as is asked for. Half a minute of it is in `cargo xtask test`.

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};
use crate::test::python;

/// A server that can be broken from inside is built in a profile of its own: what lies in `target/release` never can.
const BREAKABLE: &[&str] = &[
    "--profile",
    "chaos",
    "--package",
    "stator",
    "--bin",
    "stator",
    "--features",
    "fault-injection",
];

#[derive(Args)]
pub(crate) struct Arguments {
    /// How long it goes on: a round a minute.
    #[arg(long, default_value_t = 30, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Draws what breaks when, and what clients ask; another one each time unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Nodes.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(3..=7))]
    nodes: u64,
}

/// Runs it, and says whether clients were told nothing but the truth, and nothing was left behind.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let stator = cargo::build(&workspace, BREAKABLE)?.get("bin", "stator")?;
    let python = python::client_environment(&workspace)?;
    let mut command = cargo::cargo();
    command
        .args([
            "test",
            "--package",
            "compat-tests",
            "--test",
            "chaos",
            "--",
            "--nocapture",
        ])
        .env("STATOR_BIN", stator)
        .env("STATOR_PYTHON", python)
        .env("STATOR_CHAOS_MINUTES", arguments.minutes.to_string())
        .env("STATOR_CHAOS_NODES", arguments.nodes.to_string())
        .current_dir(&workspace.root);
    if let Some(seed) = arguments.seed {
        command.env("STATOR_CHAOS_SEED", seed.to_string());
    }
    cargo::succeeds(&mut command)
}
