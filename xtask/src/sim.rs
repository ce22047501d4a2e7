//! `cargo xtask sim`: whole clusters in one thread each, under as many seeds as are asked for. A few of them are in
//! `cargo xtask test`. What can be asked for is `stator-sim`'s to say.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
#[command(disable_help_flag = true)]
pub(crate) struct Arguments {
    /// For `stator-sim`: `--seeds N`, `--first-seed K`, and what `--help` shows
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

/// Runs the seeds, and says whether none has failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    cargo::succeeds(
        cargo::cargo()
            .args(["run", "--release", "--package", "stator-sim", "--"])
            .args(&arguments.words)
            .current_dir(&workspace.root),
    )
}

/// The scenarios of `cargo xtask test`, and how many seeds of each: those that a change has to pass.
const TESTED: &[(&str, u32)] = &[
    ("cluster", 200),
    ("cluster-blackout", 20),
    ("cluster-voters", 20),
    ("cluster-late", 20),
    ("cluster-interval", 50),
    ("cluster-tail", 20),
    ("cluster-derived", 40),
    ("cluster-transact", 60),
    ("cluster-all", 20),
    ("cluster-long", 3),
    ("cluster-drowsy", 20),
    ("cluster-rolling", 20),
    ("cluster-minority", 10),
    ("cluster-wiped", 10),
    ("cluster-moves", 20),
    ("cluster-rot", 60),
    ("cluster-away", 20),
];

/// Runs the seeds that belong to the tests with a simulation that is built, and says whether none has failed.
pub(crate) fn test(simulation: &Path) -> Result<bool> {
    let mut passed = true;
    for (scenario, seeds) in TESTED {
        let mut command = Command::new(simulation);
        command.args(["--scenario", scenario, "--seeds", &seeds.to_string()]);
        passed &= cargo::succeeds(&mut command)?;
    }
    Ok(passed)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::Arguments;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        arguments: Arguments,
    }

    #[test]
    fn what_is_said_is_passed_on() {
        for given in [
            &["sim"][..],
            &["sim", "--seeds", "2", "--first-seed=3", "--trace", "--help"],
        ] {
            let command = Command::try_parse_from(given).unwrap();
            assert_eq!(command.arguments.words, given[1..]);
        }
    }
}
