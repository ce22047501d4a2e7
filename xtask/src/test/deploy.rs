//! What ships beside the program: the chart in `helm/`, the image and the compose files in `docker/`.
//!
//! Helm is built from its Go module, once, below the target folder. What is looked at is `compat-tests/deploy`'s business.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::{python, tools};
use crate::Result;
use crate::cargo::{self, Workspace};

/// What looks, from the root of the workspace.
const PROGRAM: &str = "compat-tests/deploy/run.py";
/// What it installs.
const REQUIREMENTS: &str = "compat-tests/deploy/requirements.txt";
/// The Go module that names Helm.
const TOOLS: &str = "compat-tests/deploy/tools";
/// Helm's package in it.
const HELM: &str = "helm.sh/helm/v3/cmd/helm";
/// Beside the binary: what it was made from. Written last, so that a folder without it is unfinished.
const STAMP: &str = "made-from.txt";

/// Runs it, with these arguments for the program; true when nothing is wrong.
pub(super) fn run(workspace: &Workspace, stator: &Path, arguments: &[OsString]) -> Result<bool> {
    let helm = helm(workspace)?;
    tools::PROMTOOL.require()?;
    let folder = workspace.target.join("deploy-venv");
    let python = python::environment_in(&folder, &workspace.root.join(REQUIREMENTS))?;
    cargo::succeeds(
        Command::new(python)
            .arg(workspace.root.join(PROGRAM))
            .arg("--helm")
            .arg(helm)
            .args(["--promtool", "promtool"])
            .arg("--stator")
            .arg(stator)
            .args(arguments)
            // The servers under test are on this machine, whatever proxy leads out of it.
            .env("NO_PROXY", "*")
            .env("no_proxy", "*"),
    )
}

/// Helm's binary; builds it if it is not there yet.
fn helm(workspace: &Workspace) -> Result<PathBuf> {
    let module = workspace.root.join(TOOLS);
    let folder = workspace.target.join("deploy-tools");
    let (binary, stamp) = (folder.join("helm"), folder.join(STAMP));
    let wanted = std::fs::read_to_string(module.join("go.mod"))?;
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(binary);
    }
    tools::GO.require()?;
    eprintln!("xtask: building Helm into {}", folder.display());
    std::fs::create_dir_all(&folder)?;
    cargo::require(
        Command::new("go")
            .arg("build")
            .arg("-o")
            .arg(&binary)
            .arg(HELM)
            .current_dir(module),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(binary)
}
