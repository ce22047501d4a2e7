//! `cargo xtask rot`: bits of a real cluster's files change, at as many places as are asked for. A few of them are in `cargo xtask test`.

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
pub(crate) struct Arguments {
    /// At how many places.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..))]
    places: u64,
    /// Decides at which, and what clients ask; the same each time unless it is given.
    #[arg(long)]
    seed: Option<u64>,
}

/// Runs the test, and says whether every change was noticed or gone, and clients saw nothing that must not be.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
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
            "rotting_disk",
            "--",
        ])
        .arg("--nocapture")
        .env("STATOR_BIN", stator)
        .env("STATOR_ROT_PLACES", arguments.places.to_string())
        .current_dir(&workspace.root);
    if let Some(seed) = arguments.seed {
        command.env("STATOR_ROT_SEED", seed.to_string());
    }
    cargo::succeeds(&mut command)
}
