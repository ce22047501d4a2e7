//! `cargo xtask kill`: many rounds of `kill -9` against the engine on real files. A few of them are in `cargo xtask test`.

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
pub(crate) struct Arguments {
    /// How often a writing process is killed.
    #[arg(long, default_value_t = 200)]
    rounds: u64,
    /// Decides when in each round.
    #[arg(long, default_value_t = 1)]
    seed: u64,
}

/// Runs the rounds, and says whether every acknowledged write was there after each.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    cargo::succeeds(
        cargo::cargo()
            .args([
                "test",
                "--release",
                "--package",
                "stator-storage",
                "--test",
                "kill",
            ])
            .env("STATOR_KILL_ROUNDS", arguments.rounds.to_string())
            .env("STATOR_KILL_SEED", arguments.seed.to_string())
            .current_dir(&workspace.root),
    )
}
