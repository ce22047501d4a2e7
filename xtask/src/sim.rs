//! `cargo xtask sim`: whole clusters in one thread each, under as many seeds as are asked for. A few of them are in
//! `cargo xtask test`.

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds of each scenario are run.
    #[arg(long, default_value_t = 100)]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// The scenario; all of them if it is not given.
    #[arg(long)]
    scenario: Option<String>,
    /// Lets only these faults of a seed's schedule happen, such as `0,3`, or `none`.
    #[arg(long)]
    keep_faults: Option<String>,
    /// Seeds at once; as many as the machine has cores if it is not given.
    #[arg(long)]
    threads: Option<usize>,
    /// Prints everything that happens to standard error.
    #[arg(long)]
    trace: bool,
    /// Runs every seed twice, and fails it if the two differ.
    #[arg(long)]
    twice: bool,
}

impl Arguments {
    /// What `stator-sim` is called with.
    fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--seeds={}", self.seeds),
            format!("--first-seed={}", self.first_seed),
        ];
        words.extend(self.scenario.as_ref().map(|name| format!("--scenario={name}")));
        words.extend(
            self.keep_faults
                .as_ref()
                .map(|places| format!("--keep-faults={places}")),
        );
        words.extend(self.threads.map(|threads| format!("--threads={threads}")));
        words.extend(self.trace.then(|| "--trace".to_owned()));
        words.extend(self.twice.then(|| "--twice".to_owned()));
        words
    }
}

/// Runs the seeds, and says whether none has failed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    cargo::succeeds(
        cargo::cargo()
            .args(["run", "--release", "--package", "stator-sim", "--"])
            .args(arguments.words())
            .current_dir(&workspace.root),
    )
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
        let words = |given: &[&str]| {
            let command = Command::try_parse_from(std::iter::once(&"sim").chain(given)).unwrap();
            command.arguments.words()
        };
        assert_eq!(words(&[]), ["--seeds=100", "--first-seed=1"]);
        let all = [
            "--seeds=2",
            "--first-seed=3",
            "--scenario=register",
            "--keep-faults=none",
            "--threads=1",
            "--trace",
            "--twice",
        ];
        assert_eq!(words(&all), all);
    }
}
