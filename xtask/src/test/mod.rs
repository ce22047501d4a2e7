//! `cargo xtask test`: every test there is, first those of the crates and some seeds of the simulation,
//! then those that use a running server as a client, and a sample of the oracle tests, which `--oracle` runs whole.
//!
//! Nothing has to be prepared: what the client tests need is made below the target folder by `python`, `films` and
//! `tools`. `--sdks` and `--libraries` are run by themselves: what they fetch and build takes minutes the first time. One part failing does not keep the other from running, and the last lines are the test runners' own.

mod films;
mod libraries;
mod lossy;
mod oracle;
pub(crate) mod python;
mod sdks;
pub(crate) mod tools;

use std::ffi::OsString;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};
use crate::sim;

/// What `cargo test` has built.
const EVERYTHING: &[&str] = &["--workspace", "--all-targets", BREAKABLE[0], BREAKABLE[1]];
/// Lets tests break servers from inside; nothing is broken unless a test says so.
const BREAKABLE: &[&str] = &["--features", "stator/fault-injection"];
/// The server alone.
const SERVER: &[&str] = &["--package", "stator", "--bin", "stator"];

#[derive(Args)]
pub(crate) struct Arguments {
    /// Run the tests of the crates; both parts run if neither is named.
    #[arg(long)]
    rust: bool,
    /// Run the client tests in Python; both parts run if neither is named.
    #[arg(long)]
    python: bool,
    /// Compare Stator with DynamoDB Local, request by request, and run nothing else.
    #[arg(long, conflicts_with_all = ["rust", "python"])]
    oracle: bool,
    /// Run the client suites in JavaScript, Java, Go and Rust, and nothing else.
    #[arg(long, conflicts_with_all = ["rust", "python", "oracle"])]
    sdks: bool,
    /// Run the integration tests that other libraries for DynamoDB publish, and nothing else.
    #[arg(long, conflicts_with_all = ["rust", "python", "oracle", "sdks"])]
    libraries: bool,
    /// Arguments for pytest or for `compat-tests/oracle/run.py`, or the names of suites or libraries.
    #[arg(last = true)]
    pytest: Vec<OsString>,
}

/// Runs the tests, and says whether all have passed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    if arguments.oracle {
        let stator = cargo::build(&workspace, SERVER)?.get("bin", "stator")?;
        return oracle::run(&workspace, &stator, &arguments.pytest);
    }
    if arguments.sdks {
        let stator = cargo::build(&workspace, SERVER)?.get("bin", "stator")?;
        return sdks::run(&workspace, &stator, &arguments.pytest);
    }
    if arguments.libraries {
        let stator = cargo::build(&workspace, SERVER)?.get("bin", "stator")?;
        return libraries::run(&workspace, &stator, &arguments.pytest);
    }
    let both = arguments.rust == arguments.python;
    let mut passed = true;
    if both || arguments.rust {
        // Built as a whole first: tests that start servers would otherwise build one themselves, with the features of that
        // package alone, and nearly everything a second time.
        let built = cargo::build(&workspace, EVERYTHING)?;
        let mut command = cargo::cargo();
        command
            .args(["test", "--workspace", "--no-fail-fast"])
            .args(BREAKABLE)
            .env("STATOR_BIN", built.get("bin", "stator")?)
            .current_dir(&workspace.root);
        match python::client_environment(&workspace) {
            Ok(python) => drop(command.env("STATOR_PYTHON", python)),
            // Tests that would have clients in boto3 do without, and say so.
            Err(error) => eprintln!("xtask: no Python for the tests of the crates: {error}"),
        }
        passed &= cargo::succeeds(&mut command)?;
        passed &= sim::test(&built.get("bin", "stator-sim")?)?;
    }
    if both || arguments.python {
        // The dev profile: its dependencies are those that `cargo test` has built, so that only the last link is new;
        // its assertions and overflow checks are on while real clients use it; and dependencies are optimized, so that
        // the Python side is the slow one. `--all-targets` makes cargo pick the features that it picks for `cargo
        // test`; otherwise much would be compiled twice.
        let selection = if both { EVERYTHING } else { SERVER };
        let stator = cargo::build(&workspace, selection)?.get("bin", "stator")?;
        passed &= python::run(&workspace, &stator, &arguments.pytest, None)?;
        passed &= oracle::sample(&workspace, &stator)?;
    }
    Ok(passed)
}
