//! The client tests in Python: a virtual environment made once below the target folder, and pytest in it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::tools;
use crate::Result;
use crate::cargo::{self, Workspace};
use crate::dataset;

/// Where the tests are, from the root of the workspace.
const TESTS: &str = "compat-tests/python";
/// In the environment: what it was made from. Written last, so that an environment without it is unfinished.
const STAMP: &str = "made-from.txt";

/// Runs pytest against the server `stator`, and says whether it was content. With the folder of the `consumer` that
/// `crate::kcl` builds, the tests of the Kinesis Client Library run, too.
pub(crate) fn run(
    workspace: &Workspace,
    stator: &Path,
    arguments: &[OsString],
    consumer: Option<&Path>,
) -> Result<bool> {
    let tests = workspace.root.join(TESTS);
    let python = client_environment(workspace)?;
    let films = dataset::get(workspace, dataset::FILMS)?;
    let mut command = Command::new(python);
    match consumer {
        Some(folder) => command.env("STATOR_KCL", folder),
        None => command.env_remove("STATOR_KCL"),
    };
    cargo::succeeds(
        command
            .args(["-m", "pytest"])
            .args(arguments)
            .current_dir(tests)
            .env("STATOR_BIN", stator)
            .env("STATOR_MOVIES_JSON", films)
            // The servers under test are on this machine, whatever proxy leads out of it.
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
            // These would name some other server, or other keys than the server prints.
            .env_remove("STATOR_ENDPOINT")
            .env_remove("STATOR_TARGET")
            .env_remove("AWS_PROFILE")
            .env_remove("AWS_ENDPOINT_URL")
            .env_remove("AWS_ENDPOINT_URL_DYNAMODB"),
    )
}

/// The interpreter of the client tests' environment, which has boto3.
pub(crate) fn client_environment(workspace: &Workspace) -> Result<PathBuf> {
    let tests = workspace.root.join(TESTS);
    environment(workspace, &tests.join("requirements.txt"))
}

/// The interpreter of an environment that holds these requirements, made anew when they or the system's Python have
/// changed.
pub(crate) fn environment(workspace: &Workspace, requirements: &Path) -> Result<PathBuf> {
    environment_in(&workspace.target.join("compat-venv"), requirements)
}

/// The same, in that folder.
pub(super) fn environment_in(folder: &Path, requirements: &Path) -> Result<PathBuf> {
    let python = folder.join("bin").join("python");
    let stamp = folder.join(STAMP);
    tools::PYTHON.require()?;
    let wanted = stamp_text(requirements)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(python);
    }
    eprintln!("xtask: making the Python environment {}", folder.display());
    cargo::output(
        Command::new("python3")
            .args(["-m", "venv", "--clear"])
            .arg(folder),
    )?;
    cargo::output(
        Command::new(&python)
            .args([
                "-m",
                "pip",
                "install",
                "--quiet",
                "--no-input",
                "--disable-pip-version-check",
            ])
            .arg("--requirement")
            .arg(requirements),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(python)
}

/// All that an environment depends on: which Python, and the requirements themselves.
fn stamp_text(requirements: &Path) -> Result<String> {
    let python = cargo::output(
        Command::new("python3").args(["-c", "import sys; print(sys.executable, sys.version)"]),
    )?;
    let requirements = std::fs::read_to_string(requirements)
        .map_err(|error| format!("{}: {error}", requirements.display()))?;
    Ok(format!("{}\n{requirements}", String::from_utf8(python)?))
}
