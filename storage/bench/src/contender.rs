//! An engine in a process of its own, as the process that compares sees it.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command as Process, Stdio};

use crate::Result;
use crate::protocol::{Answer, Command, Work};
use crate::store::{Kind, Shared};

/// A running engine; its process ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Contender {
    pub(crate) kind: Kind,
    folder: PathBuf,
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    /// What the opening has taken.
    pub(crate) opened: Answer,
}

impl Contender {
    /// Starts a process that opens the store of `folder`.
    pub(crate) fn start(kind: Kind, folder: &Path, shared: Shared, silence_ms: u64) -> Result<Self> {
        let mut child = Process::new(std::env::current_exe()?)
            .arg("serve")
            .args(["--engine", kind.name()])
            .arg("--folder")
            .arg(folder)
            .args(["--silence-ms", &silence_ms.to_string()])
            .args(["--cache-bytes", &shared.cache_bytes.to_string()])
            .args(["--memtable-bytes", &shared.memtable_bytes.to_string()])
            .args(["--block-bytes", &shared.block_bytes.to_string()])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let (Some(input), Some(output)) = (child.stdin.take(), child.stdout.take()) else {
            return Err("a process without pipes".into());
        };
        let mut output = BufReader::new(output);
        match read_answer(kind, &mut output) {
            Ok(opened) => Ok(Self {
                kind,
                folder: folder.to_owned(),
                child,
                input,
                output,
                opened,
            }),
            Err(error) => {
                end(&mut child);
                Err(error)
            }
        }
    }

    /// The process, for tools that look at it from outside.
    pub(crate) fn process(&self) -> u32 {
        self.child.id()
    }

    /// Where the store lies.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Has a command done.
    pub(crate) fn run(&mut self, command: &Command) -> Result<Answer> {
        writeln!(self.input, "{}", serde_json::to_string(command)?)?;
        self.input.flush()?;
        read_answer(self.kind, &mut self.output)
    }

    /// Closes the store in good order and waits for the end of the process.
    pub(crate) fn close(mut self, entries: u64) -> Result<()> {
        let command = Command {
            work: Work::Close,
            entries,
            operations: None,
            seconds: 0.0,
            seed: 0,
        };
        self.run(&command)?;
        let status = self.child.wait()?;
        if status.success() {
            Ok(())
        } else {
            Err(format!("{}: {status} when it was closed", self.kind.name()).into())
        }
    }
}

impl Drop for Contender {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

/// Ends a process as `kill -9` does.
fn end(child: &mut Child) {
    // Both fail only for a process that has ended already.
    child.kill().ok();
    child.wait().ok();
}

fn read_answer(kind: Kind, output: &mut BufReader<ChildStdout>) -> Result<Answer> {
    let mut line = String::new();
    if output.read_line(&mut line)? == 0 {
        return Err(format!("{}: its process has ended", kind.name()).into());
    }
    serde_json::from_str(&line).map_err(|error| format!("{}: {error} in `{line}`", kind.name()).into())
}
