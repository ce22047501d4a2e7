//! A node of a cluster of real processes: started, stopped, killed, frozen, robbed of its data, and broken from inside.
//!
//! Invariant: a process that was ended has been waited for. What it writes to standard error is kept in a file. Not here:
//! which nodes there are (`cluster.rs`).

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{Receiver, TryRecvError, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::door::Door;
use crate::node::stator;
use crate::{Links, Result};

/// A node that is not ready after so long never will be.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
/// How much of a node's standard error a failing test shows, in lines.
const SHOWN_LINES: usize = 40;

/// A node: how it is started, and its process while it runs.
#[derive(Debug)]
pub struct Member {
    /// Its id in the cluster.
    pub id: u64,
    /// Where it serves clients.
    pub address: SocketAddr,
    /// Whether its processes run something else than [`stator`] from their next start on.
    pub program: Option<PathBuf>,
    pub(crate) arguments: Vec<OsString>,
    pub(crate) config: Option<PathBuf>,
    pub(crate) data_dir: PathBuf,
    pub(crate) stderr: PathBuf,
    pub(crate) child: Option<Child>,
    pub(crate) links: Option<Links>,
    pub(crate) door: Option<Door>,
}

/// A process that has been started and has not said yet that it is ready.
#[derive(Debug)]
#[must_use = "a node that is not waited for may not be ready"]
pub struct Starting {
    id: u64,
    pid: u32,
    door: Option<Door>,
    line: Receiver<std::io::Result<String>>,
}

impl Starting {
    /// Waits until the node says that it is ready, and returns what it says.
    ///
    /// # Errors
    /// When it ends before, or takes too long.
    pub fn ready(self) -> Result<Value> {
        let id = self.id;
        let line = self
            .line
            .recv_timeout(READY_TIMEOUT)
            .map_err(|_| format!("node {id} is not ready after {} s", READY_TIMEOUT.as_secs()))??;
        self.said(&line)
    }

    /// Whether the node has said that it is ready. It says so once, and is not asked again then.
    ///
    /// # Errors
    /// When it has ended before.
    pub fn is_ready(&self) -> Result<bool> {
        match self.line.try_recv() {
            Ok(line) => self.said(&line?).map(|_| true),
            Err(TryRecvError::Empty) => Ok(false),
            Err(TryRecvError::Disconnected) => Err(format!("node {} was asked before", self.id).into()),
        }
    }

    fn said(&self, line: &str) -> Result<Value> {
        let id = self.id;
        let said = serde_json::from_str(line)
            .map_err(|error| format!("node {id} ended or did not say that it is ready: {error}"))?;
        self.door
            .as_ref()
            .map_or(Ok(()), |door| door.is_open_to(self.pid))?;
        Ok(said)
    }
}

impl Member {
    /// Starts the process.
    ///
    /// # Errors
    /// When it runs already or cannot be started.
    pub fn start(&mut self) -> Result<Starting> {
        if self.child.is_some() {
            return Err(format!("node {} runs already", self.id).into());
        }
        let stderr = OpenOptions::new().create(true).append(true).open(&self.stderr)?;
        let mut command = self
            .program
            .as_ref()
            .map_or_else(stator, |program| Ok(Command::new(program)))?;
        if let Some(door) = &self.door {
            door.name_to(&mut command);
        }
        let mut child = command
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()?;
        if let Some(links) = &self.links {
            links.runs(self.id, child.id());
        }
        let stdout = child.stdout.take().ok_or("no standard output")?;
        let pid = child.id();
        self.child = Some(child);
        let (sender, line) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody may be waiting any more.
            sender.send(read.map(|_| line)).unwrap_or_default();
        });
        Ok(Starting {
            id: self.id,
            pid,
            door: self.door.clone(),
            line,
        })
    }

    /// Ends it with `kill -9` and waits for its end.
    ///
    /// # Errors
    /// When it does not run.
    pub fn kill(&mut self) -> Result<()> {
        let mut child = self.child.take().ok_or("the node does not run")?;
        child.kill()?;
        child.wait()?;
        Ok(())
    }

    /// Ends it as an operator does and waits for its end.
    ///
    /// # Errors
    /// When it does not run.
    pub fn terminate(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM)?;
        let mut child = self.child.take().ok_or("the node does not run")?;
        Ok(child.wait()?)
    }

    /// Freezes the process with SIGSTOP: its connections stay, and nothing is answered.
    ///
    /// # Errors
    /// When it does not run.
    pub fn freeze(&self) -> Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets a frozen process go on.
    ///
    /// # Errors
    /// When it does not run.
    pub fn thaw(&self) -> Result<()> {
        self.signal(Signal::CONT)
    }

    /// Removes all data of a node that does not run, as the loss of its disk would.
    ///
    /// # Errors
    /// When it runs.
    pub fn wipe(&mut self) -> Result<()> {
        if self.child.is_some() {
            return Err(format!("node {} runs; end it before its data", self.id).into());
        }
        Ok(fs::remove_dir_all(&self.data_dir)?)
    }

    /// How its process has ended by itself, if it has; it can be started again then.
    ///
    /// # Errors
    /// When it does not run.
    pub fn has_ended(&mut self) -> Result<Option<ExitStatus>> {
        let child = self.child.as_mut().ok_or("the node does not run")?;
        let ended = child.try_wait()?;
        if ended.is_some() {
            self.child = None;
        }
        Ok(ended)
    }

    /// The number of its process.
    pub fn pid(&self) -> Option<u32> {
        self.child.as_ref().map(Child::id)
    }

    /// Where it is broken from inside, if it was made so.
    ///
    /// # Errors
    /// When it was not.
    pub fn door(&self) -> Result<&Door> {
        self.door
            .as_ref()
            .ok_or_else(|| "the node was made without a door for faults".into())
    }

    /// What all its processes have written to standard error.
    pub fn stderr(&self) -> String {
        fs::read_to_string(&self.stderr).unwrap_or_default()
    }

    /// Whether it was started and has not been ended.
    pub fn is_running(&self) -> bool {
        self.child.is_some()
    }

    /// What `stator status --json` says when it asks this node.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn status(&self) -> Result<Value> {
        self.status_probe()?.ask()
    }

    /// Asks for the same while the cluster is somebody else's to break.
    ///
    /// # Errors
    /// For a node that has no status.
    pub fn status_probe(&self) -> Result<StatusProbe> {
        let config = self.config.clone();
        Ok(StatusProbe {
            config: config.ok_or("a node of `stator dev` has no configuration")?,
        })
    }

    /// Lets other nodes reach it through a relay at the port that they know, and listens at another one itself.
    pub(crate) fn stand_behind(&mut self, links: &Links, known: u16, own: u16) -> Result<()> {
        let config = self.config.as_ref().ok_or("a node without configuration")?;
        let text = fs::read_to_string(config)?;
        let listen = |port: u16| format!("listen = \"127.0.0.1:{port}\"");
        if !text.contains(&listen(known)) {
            return Err(format!("{}: it does not listen at {known}", config.display()).into());
        }
        fs::write(config, text.replace(&listen(known), &listen(own)))?;
        links.lead_to(self.id, known, SocketAddr::from(([127, 0, 0, 1], own)))?;
        self.links = Some(links.clone());
        Ok(())
    }

    /// Has it serve clients at a port.
    pub(crate) fn serve_clients_at(&mut self, port: u16) -> Result<()> {
        let config = self.config.as_ref().ok_or("a node without configuration")?;
        let text = fs::read_to_string(config)?;
        let mut is_http = false;
        let lines = text.lines().map(|line| {
            is_http = if line.starts_with('[') {
                line == "[http]"
            } else {
                is_http
            };
            if is_http && line.starts_with("listen = ") {
                format!("listen = \"127.0.0.1:{port}\"\n")
            } else {
                format!("{line}\n")
            }
        });
        let text: String = lines.collect();
        if !text.contains(&format!("\"127.0.0.1:{port}\"")) {
            return Err(format!("{}: it serves no clients", config.display()).into());
        }
        self.address = SocketAddr::from(([127, 0, 0, 1], port));
        Ok(fs::write(config, text)?)
    }

    /// Adds to its configuration.
    pub(crate) fn configure(&mut self, more: &str) -> Result<()> {
        let config = self.config.as_ref().ok_or("a node without configuration")?;
        let mut text = fs::read_to_string(config)?;
        text.push_str(more);
        Ok(fs::write(config, text)?)
    }

    /// Lets it be broken from inside.
    pub(crate) fn open_door(&mut self) -> Result<()> {
        let config = self.config.as_ref().ok_or("a node without configuration")?;
        self.door = Some(Door::beside(config));
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        let pid = pid.and_then(Pid::from_raw).ok_or("the node does not run")?;
        Ok(kill_process(pid, signal)?)
    }

    /// Writes what it says of itself beside what it has written to standard error.
    pub(crate) fn write_status(&self) {
        let written = self.status().and_then(|status| {
            Ok(fs::write(
                self.stderr.with_file_name("status.json"),
                status.to_string(),
            )?)
        });
        if let Err(error) = written {
            eprintln!("node {} does not say how it is: {error}", self.id);
        }
    }

    pub(crate) fn show_stderr(&self) {
        let text = self.stderr();
        let lines: Vec<&str> = text.lines().collect();
        let hidden = lines.len().saturating_sub(SHOWN_LINES);
        eprintln!(
            "--- node {}, standard error, {hidden} lines before these:",
            self.id
        );
        for line in lines.iter().skip(hidden) {
            eprintln!("{line}");
        }
    }
}

/// Asks a node how it is.
#[derive(Debug, Clone)]
pub struct StatusProbe {
    config: PathBuf,
}

impl StatusProbe {
    /// What `stator status --json` says.
    ///
    /// # Errors
    /// When the node does not answer.
    pub fn ask(&self) -> Result<Value> {
        let output = stator()?
            .args(["status", "--json", "--config"])
            .arg(&self.config)
            .stdin(Stdio::null())
            .output()?;
        if output.status.success() {
            Ok(serde_json::from_slice(&output.stdout)?)
        } else {
            Err(String::from_utf8_lossy(&output.stderr).into_owned().into())
        }
    }
}
