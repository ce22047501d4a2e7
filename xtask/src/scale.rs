//! `cargo xtask scale`: what large clusters cost and do, in figures: placement, idle ranges, tables, capacity. docs/scaling.md says
//! what they mean.

use std::process::Command;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

/// The measurements: what is built, as `cargo build` is asked for it, and how it is run.
const MEASUREMENTS: &[Measurement] = &[
    Measurement::example("placement", &[]),
    Measurement::example("ranges", &[]),
    Measurement::example("tables", &[]),
    Measurement {
        kind: "bin",
        name: "stator-sim",
        arguments: &["--scenario", "capacity"],
    },
];

/// What is run, with how it is built.
struct Measurement {
    /// As cargo calls it.
    kind: &'static str,
    name: &'static str,
    arguments: &'static [&'static str],
}

impl Measurement {
    const fn example(name: &'static str, arguments: &'static [&'static str]) -> Self {
        Self {
            kind: "example",
            name,
            arguments,
        }
    }
}

#[derive(Args)]
pub(crate) struct Arguments {
    /// Which of them: placement, ranges, tables or stator-sim; all of them if it is not given.
    #[arg(long)]
    only: Option<String>,
    /// The profile of cargo that they are built in.
    #[arg(long, default_value = "release")]
    profile: String,
}

/// Runs the measurements one after the other, and says whether all have come to their end.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let measurements = chosen(arguments.only.as_deref())?;
    let workspace = Workspace::find()?;
    let words = [
        "--profile",
        &arguments.profile,
        "--package",
        "stator-cluster",
        "--examples",
        "--package",
        "stator-sim",
        "--bins",
    ];
    let built = cargo::build(&workspace, &words)?;
    let mut passed = true;
    for measurement in measurements {
        eprintln!("xtask: {}", measurement.name);
        let mut command = Command::new(built.get(measurement.kind, measurement.name)?);
        passed &= cargo::succeeds(command.args(measurement.arguments))?;
    }
    Ok(passed)
}

/// The measurements of a name, or all.
fn chosen(only: Option<&str>) -> Result<Vec<&'static Measurement>> {
    let fits = |measurement: &&Measurement| only.is_none_or(|only| only == measurement.name);
    let chosen: Vec<_> = MEASUREMENTS.iter().filter(fits).collect();
    if chosen.is_empty() {
        let names: Vec<_> = MEASUREMENTS.iter().map(|measurement| measurement.name).collect();
        return Err(format!("there is no such measurement; there is {}", names.join(", ")).into());
    }
    Ok(chosen)
}

#[cfg(test)]
mod tests {
    use super::{MEASUREMENTS, chosen};

    #[test]
    fn one_measurement_is_chosen_by_its_name_and_all_without_one() {
        let names = |only| -> Vec<_> {
            let chosen = chosen(only).unwrap();
            chosen.iter().map(|measurement| measurement.name).collect()
        };
        assert_eq!(names(Some("ranges")), ["ranges"]);
        assert_eq!(names(None).len(), MEASUREMENTS.len());
        let refused = chosen(Some("nothing")).map(|_| ()).unwrap_err().to_string();
        assert!(
            refused.contains("placement, ranges, tables, stator-sim"),
            "{refused}"
        );
    }
}
