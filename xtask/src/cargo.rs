//! Calling cargo from a chore: where the workspace is, what a build has produced, whether a command succeeded.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::Result;

/// Where the workspace lies.
#[derive(Debug, Deserialize)]
pub(crate) struct Workspace {
    /// The folder of the root manifest.
    #[serde(rename = "workspace_root")]
    pub(crate) root: PathBuf,
    /// Where cargo builds, `target/` unless the environment says otherwise. A chore keeps its own files there too.
    #[serde(rename = "target_directory")]
    pub(crate) target: PathBuf,
}

impl Workspace {
    /// Asks `cargo metadata`.
    pub(crate) fn find() -> Result<Self> {
        let mut command = cargo();
        command.args(["metadata", "--no-deps", "--format-version", "1"]);
        Ok(serde_json::from_slice(&output(&mut command)?)?)
    }
}

/// One line of `cargo build --message-format json`, as far as it concerns executables.
#[derive(Debug, Deserialize)]
struct Message {
    target: Option<Target>,
    executable: Option<PathBuf>,
    profile: Option<Profile>,
}

#[derive(Debug, Deserialize)]
struct Profile {
    /// True for the test harness of a target, which has the target's own kind and name.
    test: bool,
}

#[derive(Debug, Deserialize)]
struct Target {
    kind: Vec<String>,
    name: String,
}

/// Where a build has put its executables.
#[derive(Debug)]
pub(crate) struct Executables(Vec<(Target, PathBuf)>);

impl Executables {
    fn parse(messages: &str) -> Result<Self> {
        let mut found = Vec::new();
        for line in messages.lines().filter(|line| line.starts_with('{')) {
            let message: Message = serde_json::from_str(line)?;
            let harness = message.profile.is_some_and(|profile| profile.test);
            if let (Some(target), Some(executable), false) = (message.target, message.executable, harness) {
                found.push((target, executable));
            }
        }
        Ok(Self(found))
    }

    /// The executable of that kind (`bin`, `example`) and name.
    pub(crate) fn get(&self, kind: &str, name: &str) -> Result<PathBuf> {
        self.0
            .iter()
            .find(|(target, _)| target.name == name && target.kind.iter().any(|own| own == kind))
            .map(|(_, path)| path.clone())
            .ok_or_else(|| format!("cargo built no {kind} `{name}`").into())
    }
}

/// Runs `cargo build` with these arguments in the workspace; cargo's own messages go to standard error.
pub(crate) fn build(workspace: &Workspace, arguments: &[&str]) -> Result<Executables> {
    let mut command = cargo();
    command
        .args(["build", "--message-format", "json-render-diagnostics"])
        .args(arguments)
        .current_dir(&workspace.root);
    Executables::parse(&String::from_utf8(output(&mut command)?)?)
}

/// The cargo that runs this chore.
pub(crate) fn cargo() -> Command {
    Command::new(std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo")))
}

/// The standard output of a command that must succeed. It reads nothing and complains on our standard error.
pub(crate) fn output(command: &mut Command) -> Result<Vec<u8>> {
    let output = command
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    if output.status.success() {
        Ok(output.stdout)
    } else {
        Err(format!("{}: {}", shown(command), output.status).into())
    }
}

/// Runs a command that must succeed and has no result. It reads nothing, and all that it says goes to our standard error:
/// Maven complains on its standard output.
pub(crate) fn require(command: &mut Command) -> Result<()> {
    if succeeds(command.stdout(std::io::stderr()))? {
        Ok(())
    } else {
        Err(format!("{} failed, see above", shown(command)).into())
    }
}

/// Whether a command that shares our output has succeeded. It reads nothing.
pub(crate) fn succeeds(command: &mut Command) -> Result<bool> {
    let status = command
        .stdin(Stdio::null())
        .status()
        .map_err(|error| format!("{}: {error}", shown(command)))?;
    Ok(status.success())
}

/// A command as one would type it, without its arguments' quotes.
fn shown(command: &Command) -> String {
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::process::Command;

    use super::{Executables, output, require, succeeds};

    #[test]
    fn executables_are_found_by_kind_and_name() {
        let messages = concat!(
            r#"{"reason":"compiler-artifact","target":{"kind":["lib"],"name":"stator"},"executable":null}"#,
            "\n",
            r#"{"target":{"kind":["bin"],"name":"stator"},"profile":{"test":true},"executable":"/t/harness"}"#,
            "\n",
            r#"{"target":{"kind":["bin"],"name":"stator"},"profile":{"test":false},"executable":"/t/stator"}"#,
            "\nnot JSON, as a build script may print\n",
            r#"{"reason":"build-finished","success":true}"#,
        );
        let executables = Executables::parse(messages).unwrap();
        assert_eq!(executables.get("bin", "stator").unwrap(), Path::new("/t/stator"));
        let missing = executables.get("example", "stator").unwrap_err();
        assert_eq!(missing.to_string(), "cargo built no example `stator`");
    }

    #[test]
    fn a_command_that_fails_is_named() {
        assert_eq!(output(Command::new("printf").arg("a\nb")).unwrap(), b"a\nb");
        let failed = output(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert!(
            failed.to_string().starts_with("sh -c exit 3: exit status: 3"),
            "{failed}"
        );
        assert!(!succeeds(&mut Command::new("false")).unwrap());
        require(&mut Command::new("true")).unwrap();
        let failed = require(Command::new("sh").args(["-c", "exit 3"])).unwrap_err();
        assert_eq!(failed.to_string(), "sh -c exit 3 failed, see above");
        let missing = succeeds(&mut Command::new("no-such-tool-of-stator")).unwrap_err();
        assert!(
            missing.to_string().starts_with("no-such-tool-of-stator: "),
            "{missing}"
        );
    }
}
