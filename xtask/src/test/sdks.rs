//! `cargo xtask test --sdks`: the client suites in other languages than Python, each with its own AWS SDK.
//!
//! A suite is a folder below `compat-tests`, brought and run by its language's ordinary tools. Each gets a server of its own,
//! which checks signatures, and a relay before it that loses answers. Where a tool is missing that cannot be installed
//! without asking, one line says so and the suite counts as skipped. What the suites show is their business.

use std::ffi::{OsStr, OsString};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::lossy::Lossy;
use super::tools::{self, Tool};
use crate::Result;
use crate::bench::process::ServerProcess;
use crate::cargo::{self, Workspace};

/// Beside what has been installed: what it was made from. Written last, so that a folder without it is unfinished.
const STAMP: &str = "made-from.txt";

/// The tests of one language.
struct Suite {
    /// What it is called on the command line.
    name: &'static str,
    /// Without which it is skipped.
    tool: Option<&'static Tool>,
    /// Brings what it needs, and returns the command that runs it.
    prepare: fn(&Workspace) -> Result<Command>,
}

const SUITES: &[Suite] = &[
    Suite {
        name: "javascript",
        tool: Some(&tools::NODE),
        prepare: javascript,
    },
    Suite {
        name: "java-v2",
        tool: Some(&tools::MAVEN),
        prepare: |workspace| Ok(maven(workspace, "sdk-v2")),
    },
    Suite {
        name: "java-v1",
        tool: Some(&tools::MAVEN),
        prepare: |workspace| Ok(maven(workspace, "sdk-v1")),
    },
    Suite {
        name: "go",
        tool: Some(&tools::GO),
        prepare: |workspace| Ok(go(&folder(workspace, "go"))),
    },
    Suite {
        name: "rust",
        tool: None,
        prepare: |workspace| Ok(rust(workspace, "rust")),
    },
];

/// Runs the suites of these names, or all, and says whether none has failed.
pub(super) fn run(workspace: &Workspace, stator: &Path, names: &[OsString]) -> Result<bool> {
    if let Some(name) = names
        .iter()
        .find(|name| SUITES.iter().all(|suite| suite.name != **name))
    {
        let known: Vec<_> = SUITES.iter().map(|suite| suite.name).collect();
        return Err(format!("no suite {}: there are {}", name.display(), known.join(", ")).into());
    }
    let (mut passed, mut failed, mut skipped) = (Vec::new(), Vec::new(), Vec::new());
    for suite in SUITES {
        if !names.is_empty() && !names.iter().any(|name| *name == suite.name) {
            continue;
        }
        if let Some(Err(error)) = suite.tool.map(Tool::require) {
            eprintln!("sdks: {}: skipped: {error}", suite.name);
            skipped.push(suite.name);
            continue;
        }
        eprintln!("sdks: {}", suite.name);
        let mut command = (suite.prepare)(workspace)?;
        let server = TestServer::start(stator, true)?;
        if cargo::succeeds(server.named_in(&mut command))? {
            passed.push(suite.name);
        } else {
            failed.push(suite.name);
        }
    }
    let mut out = std::io::stdout().lock();
    for (what, suites) in [("passed", &passed), ("failed", &failed), ("skipped", &skipped)] {
        if !suites.is_empty() {
            writeln!(out, "sdks {what}: {}", suites.join(", "))?;
        }
    }
    writeln!(
        out,
        "sdks: {} passed, {} failed, {} skipped",
        passed.len(),
        failed.len(),
        skipped.len()
    )?;
    Ok(failed.is_empty())
}

/// A server, and a relay that loses the answer of every second request to it.
pub(super) struct TestServer {
    process: ServerProcess,
    lossy: Lossy,
}

impl TestServer {
    /// Starts both on free ports. The server checks signatures if `is_signed`.
    pub(super) fn start(stator: &Path, is_signed: bool) -> Result<Self> {
        let mut arguments = vec!["dev", "--ephemeral", "--port", "0", "--json"];
        if is_signed {
            arguments.push("--auth");
        }
        let process = ServerProcess::start(stator, &arguments)?;
        let lossy = Lossy::start(process.ready.address()?)?;
        Ok(Self { process, lossy })
    }

    /// Where the server listens.
    pub(super) fn endpoint(&self) -> &str {
        &self.process.ready.endpoint
    }

    /// The region that it has.
    pub(super) fn region(&self) -> &str {
        &self.process.ready.region
    }

    /// Names the server in a command's environment, and nothing else that an SDK would look for there.
    pub(super) fn named_in<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        let ready = &self.process.ready;
        for other in [
            "AWS_PROFILE",
            "AWS_SESSION_TOKEN",
            "AWS_ENDPOINT_URL",
            "AWS_ENDPOINT_URL_DYNAMODB",
        ] {
            command.env_remove(other);
        }
        command
            .env("STATOR_ENDPOINT", &ready.endpoint)
            .env("STATOR_LOSSY_ENDPOINT", self.lossy.endpoint())
            .env("AWS_REGION", &ready.region)
            .env("AWS_DEFAULT_REGION", &ready.region)
            .env("AWS_ACCESS_KEY_ID", &ready.access_key_id)
            .env("AWS_SECRET_ACCESS_KEY", &ready.secret_access_key)
            .env("AWS_EC2_METADATA_DISABLED", "true")
            // The servers under test are on this machine, whatever proxy leads out of it.
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
    }
}

/// Where a suite lies.
pub(super) fn folder(workspace: &Workspace, suite: &str) -> PathBuf {
    workspace.root.join("compat-tests").join(suite)
}

/// Where something is built or installed for it.
pub(super) fn output_folder(workspace: &Workspace, name: &str) -> PathBuf {
    workspace.target.join("compat-tests").join(name)
}

/// A copy of the suite below the target folder, since npm installs packages beside what imports them.
fn javascript(workspace: &Workspace) -> Result<Command> {
    let sources = folder(workspace, "javascript");
    let output = output_folder(workspace, "javascript");
    std::fs::create_dir_all(&output)?;
    remove_scripts(&output)?;
    for entry in std::fs::read_dir(&sources)? {
        let entry = entry?;
        if entry.file_type()?.is_file() {
            std::fs::copy(entry.path(), output.join(entry.file_name()))?;
        }
    }
    install_once(&output, &sources.join("package-lock.json"), || {
        cargo::require(Command::new("npm").arg("ci").current_dir(&output))
    })?;
    let mut command = Command::new("npm");
    command.args(["--silent", "test"]).current_dir(output);
    Ok(command)
}

/// Removes the scripts of an earlier copy, of which some may be gone.
fn remove_scripts(output: &Path) -> Result<()> {
    for entry in std::fs::read_dir(output)? {
        let path = entry?.path();
        if path.extension() == Some(OsStr::new("js")) {
            std::fs::remove_file(path)?;
        }
    }
    Ok(())
}

/// Installs unless that was done for the same lock file.
pub(super) fn install_once(output: &Path, lock: &Path, install: impl FnOnce() -> Result<()>) -> Result<()> {
    let wanted = std::fs::read_to_string(lock).map_err(|error| format!("{}: {error}", lock.display()))?;
    let stamp = output.join(STAMP);
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(());
    }
    // What is half installed must not look whole.
    std::fs::remove_file(&stamp).ok();
    eprintln!("xtask: installing {} in {}", lock.display(), output.display());
    install()?;
    std::fs::write(&stamp, wanted)?;
    Ok(())
}

fn maven(workspace: &Workspace, project: &str) -> Command {
    let mut output = OsString::from("-Dstator.output=");
    output.push(output_folder(workspace, project));
    let mut command = Command::new("mvn");
    command
        .args(["--batch-mode", "--no-transfer-progress"])
        .arg(output)
        .arg("test")
        .current_dir(folder(workspace, "java").join(project));
    command
}

/// Every test by name: without, Go prints no count.
pub(super) fn go(module: &Path) -> Command {
    let mut command = Command::new("go");
    command
        .args(["test", "-count=1", "-v", "./..."])
        .current_dir(module);
    command
}

/// A crate with a workspace and a lock file of its own.
pub(super) fn rust(workspace: &Workspace, suite: &str) -> Command {
    let mut command = cargo::cargo();
    command
        .args(["test", "--locked", "--target-dir"])
        .arg(output_folder(workspace, suite))
        .current_dir(folder(workspace, suite));
    command
}

#[cfg(test)]
mod tests {
    use super::install_once;

    #[test]
    fn what_is_locked_is_installed_once() {
        let folder = tempfile::tempdir().unwrap();
        let lock = folder.path().join("lock");
        let mut count = 0;
        let mut install = |text: &str, works: bool| {
            std::fs::write(&lock, text).unwrap();
            let outcome = install_once(folder.path(), &lock, || {
                count += 1;
                if works { Ok(()) } else { Err("no network".into()) }
            });
            (outcome.is_ok(), count)
        };
        assert_eq!(install("one", true), (true, 1));
        assert_eq!(install("one", true), (true, 1));
        assert_eq!(install("two", false), (false, 2));
        assert_eq!(install("one", true), (true, 3), "the failed one has left nothing");
        assert_eq!(install("one", true), (true, 3));
    }
}
