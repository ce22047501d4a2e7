//! `cargo xtask audit`: breaks rules of the cluster on purpose, one at a time, and sees whether the simulation notices.
//!
//! Invariant: the workspace itself is never changed, but for seeds that `--note-seeds` writes into patches; breaks go into a copy
//! below the target folder. A break counts as noticed only if the seed that fails passes without it. What a patch looks like is said in `cluster/sim/audit/README.md`.

mod copy;
mod patch;
mod table;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use clap::Args;

use self::copy::Copy;
use self::patch::Patch;
use self::table::{Outcome, Row};
use crate::Result;
use crate::cargo::{self, Workspace};

/// Where the breaks lie, from the root of the workspace.
const FOLDER: &str = "cluster/sim/audit";

#[derive(Args)]
pub(crate) struct Arguments {
    /// How many seeds may pass before a break counts as not noticed, unless its patch says so itself.
    #[arg(long, default_value_t = 1_000, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// Only the breaks whose file names contain this, or one of these with commas between them.
    #[arg(long, value_delimiter = ',')]
    only: Vec<String>,
    /// Write into each patch with which seed it was noticed, which is tried first the next time.
    #[arg(long)]
    note_seeds: bool,
}

/// Carries out the audit, and says whether every break was noticed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let mut patches = patch::read_all(&workspace.root.join(FOLDER))?;
    if !arguments.only.is_empty() {
        let is_wanted = |patch: &Patch| arguments.only.iter().any(|only| patch.name.contains(only));
        patches.retain(is_wanted);
    }
    if patches.is_empty() {
        return Err(format!("there is no such break in {FOLDER}").into());
    }
    let audit = Audit::begin(&workspace)?;
    let mut is_fine = true;
    let mut rows = Vec::new();
    for patch in &patches {
        eprintln!("audit: {}: {}", patch.name, patch.rule);
        let seeds = patch.seeds.unwrap_or(arguments.seeds);
        let outcome = audit.with_break(patch, seeds)?;
        eprintln!("audit: {}: {outcome}", patch.name);
        match outcome {
            Outcome::Noticed { seed, .. } if arguments.note_seeds && patch.seed != Some(seed) => {
                patch::note(&patch.path, seed)?;
            }
            Outcome::Noticed { .. } => {}
            _ => is_fine = false,
        }
        rows.push(Row { patch, outcome });
    }
    print(&table::render(&rows))?;
    Ok(is_fine)
}

fn print(text: &str) -> Result<()> {
    use std::io::Write;
    Ok(std::io::stdout().lock().write_all(text.as_bytes())?)
}

struct Audit {
    copy: Copy,
    build: PathBuf,
    /// The simulation of the workspace as it is.
    unbroken: PathBuf,
}

impl Audit {
    fn begin(workspace: &Workspace) -> Result<Self> {
        let folder = workspace.target.join("audit");
        let audit = Self {
            copy: Copy::make(workspace)?,
            build: folder.join("build"),
            unbroken: folder.join("stator-sim-unbroken"),
        };
        let built = audit.build()?;
        let built = built.ok_or("the workspace does not build without any break")?;
        fs::copy(built, &audit.unbroken)?;
        Ok(audit)
    }

    fn with_break(&self, patch: &Patch, seeds: u64) -> Result<Outcome> {
        if !self.copy.apply(&patch.path)? {
            self.copy.restore(patch)?;
            return Ok(Outcome::DoesNotApply);
        }
        let built = self.build();
        self.copy.restore(patch)?;
        let Some(simulation) = built? else {
            return Ok(Outcome::DoesNotBuild);
        };
        if let Some(seed) = patch.seed {
            let outcome = self.look(&simulation, patch, (seed, 1))?;
            if !matches!(outcome, Outcome::NotNoticed(_)) {
                return Ok(outcome);
            }
        }
        self.look(&simulation, patch, (1, seeds))
    }

    /// What so many seeds from a first one on make of a break.
    fn look(&self, simulation: &Path, patch: &Patch, (first, seeds): (u64, u64)) -> Result<Outcome> {
        let outcome = simulate(simulation, &patch.scenario, first, seeds)?;
        if let Outcome::Noticed { seed, .. } = outcome
            && let Outcome::Noticed { invariant, seed } = simulate(&self.unbroken, &patch.scenario, seed, 1)?
        {
            return Ok(Outcome::FailsAnyway { invariant, seed });
        }
        Ok(outcome)
    }

    /// Builds the simulation of the copy; `None` when it does not compile. Built in pieces, and what breaks change without much
    /// optimization, so that the next break costs seconds instead of minutes: most are noticed within a few seeds.
    fn build(&self) -> Result<Option<PathBuf>> {
        let is_built = cargo::succeeds(
            cargo::cargo()
                .args(["build", "--release", "--quiet", "--package", "stator-sim"])
                .args(["--config", "profile.release.package.stator-cluster.opt-level=1"])
                .args(["--config", "profile.release.package.stator-sim.opt-level=1"])
                .arg("--target-dir")
                .arg(&self.build)
                .env("CARGO_PROFILE_RELEASE_LTO", "off")
                .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
                .env("CARGO_PROFILE_RELEASE_INCREMENTAL", "true")
                .env("CARGO_PROFILE_RELEASE_DEBUG", "false")
                .current_dir(self.copy.root()),
        )?;
        Ok(is_built.then(|| self.build.join("release").join("stator-sim")))
    }
}

/// Runs seeds from `first` on until one fails.
fn simulate(simulation: &Path, scenario: &str, first: u64, seeds: u64) -> Result<Outcome> {
    let mut command = Command::new(simulation);
    command
        .args(["--scenario", scenario, "--failures-max", "1", "--no-shrink"])
        .args(["--first-seed", &first.to_string(), "--seeds", &seeds.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null());
    let output = command
        .output()
        .map_err(|error| format!("{}: {error}", simulation.display()))?;
    match output.status.code() {
        Some(0 | 1) => table::verdict(&String::from_utf8(output.stdout)?, seeds),
        _ => Err(format!(
            "{} of {scenario} has ended with {}",
            simulation.display(),
            output.status
        )
        .into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A break that does not apply notices nothing, and an audit is not run with every change.
    #[test]
    fn every_break_fits_the_code_as_it_is() {
        let workspace = Workspace::find().unwrap();
        let patches = patch::read_all(&workspace.root.join(FOLDER)).unwrap();
        assert!(!patches.is_empty());
        for patch in patches {
            let mut check = Command::new("git");
            check.args(["apply", "--check"]).arg(&patch.path);
            let fits = cargo::succeeds(check.current_dir(&workspace.root)).unwrap();
            assert!(fits, "{} has to be written anew", patch.name);
        }
    }
}
