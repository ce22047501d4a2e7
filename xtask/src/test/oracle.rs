//! The oracle tests: Stator beside DynamoDB Local, which Maven fetches once into the target folder.
//!
//! What is compared is `compat-tests/oracle`'s business. Where Java or Maven cannot be had, one line says so and nothing
//! fails: the oracle is a second opinion, the tests that hold Stator to what is documented are the others.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{python, tools};
use crate::Result;
use crate::cargo::{self, Workspace};

/// What is fetched, from the root of the workspace.
const PROJECT: &str = "compat-tests/java/dynamodb-local";
/// What compares the two, from the root of the workspace.
const PROGRAM: &str = "compat-tests/oracle/run.py";
/// What both Python parts install.
const REQUIREMENTS: &str = "compat-tests/python/requirements.txt";
/// Beside the jars: what they were fetched for. Written last, so that a folder without it is unfinished.
const STAMP: &str = "made-from.txt";
/// What `cargo xtask test` runs of it. A sample has no use for every judgement.
const SAMPLE: &[&str] = &["--generated", "300", "--partial"];

/// Runs all of it, with these arguments for the program; true when nothing differs, and when it is skipped.
pub(super) fn run(workspace: &Workspace, stator: &Path, arguments: &[OsString]) -> Result<bool> {
    match local(workspace) {
        Ok(folder) => compare(workspace, stator, &folder, arguments),
        Err(error) => {
            eprintln!("oracle: skipped: {error}");
            Ok(true)
        }
    }
}

/// Runs a small part of it; true when nothing differs, and when it is skipped.
pub(super) fn sample(workspace: &Workspace, stator: &Path) -> Result<bool> {
    let arguments: Vec<OsString> = SAMPLE.iter().map(OsString::from).collect();
    run(workspace, stator, &arguments)
}

fn compare(workspace: &Workspace, stator: &Path, local: &Path, arguments: &[OsString]) -> Result<bool> {
    let python = python::environment(workspace, &workspace.root.join(REQUIREMENTS))?;
    cargo::succeeds(
        Command::new(python)
            .arg(workspace.root.join(PROGRAM))
            .arg("--stator")
            .arg(stator)
            .arg("--dynamodb-local")
            .arg(local)
            .args(arguments),
    )
}

/// The folder with DynamoDB Local's jars and its native library; fetches them if they are not there yet.
fn local(workspace: &Workspace) -> Result<PathBuf> {
    let project = workspace.root.join(PROJECT).join("pom.xml");
    let folder = workspace.target.join("compat-tests").join("dynamodb-local");
    let stamp = folder.join(STAMP);
    let wanted =
        std::fs::read_to_string(&project).map_err(|error| format!("{}: {error}", project.display()))?;
    tools::MAVEN.require()?;
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(folder);
    }
    eprintln!("xtask: fetching DynamoDB Local into {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut output = OsString::from("-DoutputDirectory=");
    output.push(&folder);
    cargo::require(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode", "--file"])
            .arg(&project)
            .args(["dependency:copy-dependencies", "-DincludeScope=runtime"])
            .arg(output),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(folder)
}
