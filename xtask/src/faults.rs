//! `cargo xtask faults`: real clusters whose nodes are killed and frozen under load for as long as is asked for. A few seconds
//! of it are in `cargo xtask test`.

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
pub(crate) struct Arguments {
    /// How long each kind of fault goes on.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..))]
    minutes: u64,
    /// Decides which node fails when, and what clients ask; another one each time unless it is given.
    #[arg(long)]
    seed: Option<u64>,
    /// Only tests whose names contain this, such as `kill_9`.
    filter: Option<String>,
}

/// Runs the tests, and says whether clients saw nothing that must not be.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    // An optimized server, and the tests as they always are.
    let stator = cargo::build(
        &workspace,
        &["--release", "--package", "stator", "--bin", "stator"],
    )?
    .get("bin", "stator")?;
    let mut command = cargo::cargo();
    command
        .args([
            "test",
            "--package",
            "compat-tests",
            "--test",
            "cluster_faults",
            "--test",
            "derived_faults",
            "--test",
            "bank_faults",
            "--test",
            "grow_and_shrink",
            "--",
        ])
        .arg("--nocapture")
        .args(&arguments.filter)
        .env("STATOR_BIN", stator)
        .env("STATOR_FAULT_MINUTES", arguments.minutes.to_string())
        .current_dir(&workspace.root);
    if let Some(seed) = arguments.seed {
        command.env("STATOR_FAULT_SEED", seed.to_string());
    }
    cargo::succeeds(&mut command)
}
