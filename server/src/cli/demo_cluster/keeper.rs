//! Keeps one node: starts its process, notices its end, starts it again if that is wanted, and stops it.

use std::fmt;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use serde::Deserialize;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;
use tokio::task::{JoinError, JoinHandle};

/// How long a node may take to end when it is told to.
const STOP_TIMEOUT: Duration = Duration::from_secs(30);
/// The pause before a node is started again that has ended before it was ready.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
/// How much of its log is shown of a node that has not started.
const LOG_LINES: usize = 5;

/// What `stator serve --json` says when it is ready.
#[derive(Debug, Deserialize)]
pub(super) struct Ready {
    pub(super) node: u64,
    pub(super) endpoint: String,
    pub(super) pid: u32,
    pub(super) data_dir: PathBuf,
}

/// How a node has ended.
#[derive(Debug)]
pub(crate) enum Ended {
    /// Its process has.
    Process(ExitStatus),
    /// It could not be started, waited for or stopped.
    Failed(io::Error),
}

impl fmt::Display for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Process(status) => status.fmt(f),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl From<io::Result<ExitStatus>> for Ended {
    fn from(result: io::Result<ExitStatus>) -> Self {
        result.map_or_else(Self::Failed, Self::Process)
    }
}

/// One node that is to be kept.
#[derive(Debug)]
pub(super) struct Keeper {
    pub(super) node: u64,
    pub(super) program: PathBuf,
    pub(super) config: PathBuf,
    /// Where its standard error goes.
    pub(super) log: PathBuf,
    pub(super) restart: bool,
}

/// A node that is being kept. Dropping it stops the node without waiting.
#[derive(Debug)]
pub(super) struct Kept {
    stop: Option<oneshot::Sender<()>>,
    keeping: JoinHandle<Ended>,
    /// How it has ended, once that has been seen.
    ended: Option<Ended>,
}

impl Kept {
    /// Is ready when the node has ended and is not started again.
    pub(super) async fn ended(&mut self) {
        if self.ended.is_none() {
            let joined = (&mut self.keeping).await;
            self.ended = Some(how(joined));
        }
    }

    /// Stops the node and says how it has ended.
    pub(super) async fn stop(mut self) -> Ended {
        drop(self.stop.take());
        match self.ended {
            Some(ended) => ended,
            None => how(self.keeping.await),
        }
    }
}

fn how(joined: Result<Ended, JoinError>) -> Ended {
    joined.unwrap_or_else(|error| Ended::Failed(io::Error::other(error)))
}

/// The process of a node, with the ends of its pipes.
struct Process {
    child: Child,
    /// The node stops when this is dropped.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Keeper {
    /// Starts the node; `ready` gets what it says when it is ready for the first time, or is dropped when it ends before.
    pub(super) fn start(self, ready: oneshot::Sender<Ready>) -> Kept {
        let (stop, stopped) = oneshot::channel();
        Kept {
            stop: Some(stop),
            keeping: tokio::spawn(self.keep(ready, stopped)),
            ended: None,
        }
    }

    async fn keep(self, ready: oneshot::Sender<Ready>, mut stopped: oneshot::Receiver<()>) -> Ended {
        let mut first = Some(ready);
        loop {
            let mut process = match self.spawn() {
                Ok(process) => process,
                Err(error) => return Ended::Failed(error),
            };
            let (mut listening, mut was_ready) = (true, false);
            let ended = loop {
                let Process { child, output, .. } = &mut process;
                tokio::select! {
                    line = ready_line(output), if listening => {
                        listening = false;
                        // Without a line it ends, which is waited for next.
                        let Some(said) = line else { continue };
                        was_ready = true;
                        if let Some(ready) = first.take() {
                            // Nobody listens when the cluster is being stopped.
                            drop(ready.send(said));
                        } else {
                            tracing::info!(node = self.node, pid = said.pid, "the node is back");
                        }
                    }
                    ended = child.wait() => break Ended::from(ended),
                    _ = &mut stopped => return process.stop().await,
                }
            };
            if first.is_some() || !self.restart {
                tracing::warn!(node = self.node, "the node has ended: {ended}");
                return ended;
            }
            tracing::warn!(
                node = self.node,
                "the node has ended: {ended}; it is started again"
            );
            if !was_ready {
                tokio::select! {
                    () = tokio::time::sleep(RESTART_PAUSE) => {}
                    _ = &mut stopped => return ended,
                }
            }
        }
    }

    fn spawn(&self) -> io::Result<Process> {
        let log = OpenOptions::new().create(true).append(true).open(&self.log)?;
        let mut child = Command::new(&self.program)
            .args(["serve", "--json", "--until-stdin-ends", "--config"])
            .arg(&self.config)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(log)
            // Ctrl-C is for the keeper, which stops its nodes in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()?;
        let missing = || io::Error::other("a pipe of the process is missing");
        Ok(Process {
            input: Some(child.stdin.take().ok_or_else(missing)?),
            output: BufReader::new(child.stdout.take().ok_or_else(missing)?),
            child,
        })
    }
}

/// What the node says when it is ready; `None` when it ends, or says something else.
async fn ready_line(output: &mut BufReader<ChildStdout>) -> Option<Ready> {
    let mut line = String::new();
    output.read_line(&mut line).await.ok()?;
    serde_json::from_str(&line).ok()
}

impl Process {
    async fn stop(mut self) -> Ended {
        drop(self.input.take());
        match tokio::time::timeout(STOP_TIMEOUT, self.child.wait()).await {
            Ok(ended) => ended.into(),
            Err(_) => match self.child.kill().await {
                Ok(()) => self.child.wait().await.into(),
                Err(error) => Ended::Failed(error),
            },
        }
    }
}

/// The last lines of a log.
pub(super) fn tail(log: &Path) -> String {
    let text = fs::read_to_string(log).unwrap_or_default();
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LOG_LINES);
    lines.get(from..).unwrap_or_default().join("\n")
}
