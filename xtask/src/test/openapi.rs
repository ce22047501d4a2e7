//! The OpenAPI documents against a running server: schemathesis makes requests from them, in an environment of its own.
//!
//! What is asked and what counts as wrong is `compat-tests/openapi`'s business.

use std::ffi::OsString;
use std::path::Path;
use std::process::Command;

use super::python;
use crate::Result;
use crate::cargo::{self, Workspace};

/// What makes the requests, from the root of the workspace.
const PROGRAM: &str = "compat-tests/openapi/run.py";
/// What it installs.
const REQUIREMENTS: &str = "compat-tests/openapi/requirements.txt";
/// How many requests a whole run sends at least, if it is not told otherwise.
const REQUESTS: &str = "20000";

/// Runs all of it, with these arguments for the program; true when nothing is wrong.
pub(super) fn run(workspace: &Workspace, stator: &Path, arguments: &[OsString]) -> Result<bool> {
    let mut all = vec![OsString::from("--requests"), OsString::from(REQUESTS)];
    all.extend_from_slice(arguments);
    attack(workspace, stator, &all)
}

/// Sends some requests only; true when nothing is wrong.
pub(super) fn sample(workspace: &Workspace, stator: &Path) -> Result<bool> {
    attack(workspace, stator, &[])
}

fn attack(workspace: &Workspace, stator: &Path, arguments: &[OsString]) -> Result<bool> {
    let folder = workspace.target.join("openapi-venv");
    let python = python::environment_in(&folder, &workspace.root.join(REQUIREMENTS))?;
    cargo::succeeds(
        Command::new(python)
            .arg(workspace.root.join(PROGRAM))
            .arg("--stator")
            .arg(stator)
            .args(arguments),
    )
}
