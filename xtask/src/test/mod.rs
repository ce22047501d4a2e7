//! `cargo xtask test`: every test there is, first those of the crates and some seeds of the simulation,
//! then those that use a running server as a client, and samples of the oracle tests and of those of the OpenAPI documents, which
//! `--oracle` and `--openapi` run whole.
//!
//! Nothing has to be prepared: what the client tests need is made below the target folder by `python`, `dataset` and
//! `tools`. `--sdks`, `--libraries` and `--deploy` are run by themselves: what they fetch and build takes minutes the first time. One part failing does not keep the other from running, and the last lines are the test runners' own.

mod deploy;
mod libraries;
mod lossy;
mod openapi;
mod oracle;
pub(crate) mod python;
mod sdks;
pub(crate) mod tools;

use std::ffi::OsString;
use std::path::Path;

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
    /// Send thousands of requests that are made from the OpenAPI documents, and run nothing else.
    #[arg(long, conflicts_with_all = ["rust", "python", "oracle", "sdks", "libraries"])]
    openapi: bool,
    /// Render and check the chart, and look at the image and the compose files, and run nothing else.
    #[arg(long, conflicts_with_all = ["rust", "python", "oracle", "sdks", "libraries", "openapi"])]
    deploy: bool,
    /// Arguments for pytest or for `run.py` of `compat-tests/oracle`, `openapi` or `deploy`, or the names of suites or libraries.
    #[arg(last = true)]
    pytest: Vec<OsString>,
}

/// A part that is run by itself: against this server, with these arguments.
type Part = fn(&Workspace, &Path, &[OsString]) -> Result<bool>;

/// Runs the tests, and says whether all have passed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let alone: [(bool, Part); 5] = [
        (arguments.oracle, oracle::run),
        (arguments.sdks, sdks::run),
        (arguments.libraries, libraries::run),
        (arguments.openapi, openapi::run),
        (arguments.deploy, deploy::run),
    ];
    if let Some((_, part)) = alone.into_iter().find(|(is_asked_for, _)| *is_asked_for) {
        let stator = cargo::build(&workspace, SERVER)?.get("bin", "stator")?;
        return part(&workspace, &stator, &arguments.pytest);
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
        passed &= crate::openapi::check(&workspace)?;
        passed &= openapi::sample(&workspace, &stator)?;
    }
    Ok(passed)
}
