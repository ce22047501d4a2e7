//! A `stator dev` process: found or built, started, stopped and killed.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;

use crate::{Access, Result};

/// What `stator dev --json` says when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ready {
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
    pub(crate) data_dir: PathBuf,
}

/// A running `stator dev` on a free port. Dropping it kills the process.
#[derive(Debug)]
pub struct Node {
    child: Child,
    pub(crate) ready: Ready,
}

/// A command for the binary under test: that of `STATOR_BIN`, or the workspace's own, built once.
///
/// # Errors
/// When it cannot be built.
pub fn stator() -> Result<Command> {
    static BINARY: OnceLock<std::result::Result<PathBuf, String>> = OnceLock::new();
    let binary = BINARY.get_or_init(|| match std::env::var_os("STATOR_BIN") {
        Some(binary) => Ok(binary.into()),
        None => build().map_err(|error| error.to_string()),
    });
    Ok(Command::new(binary.as_ref().map_err(Clone::clone)?))
}

/// Builds the binary as the tests are built and finds it beside them.
fn build() -> Result<PathBuf> {
    let status = Command::new(env!("CARGO"))
        .args(["build", "--package", "stator", "--features", "fault-injection"])
        .status()?;
    if !status.success() {
        return Err("cargo build --package stator failed".into());
    }
    // target/debug/deps/<test> -> target/debug/stator
    let test = std::env::current_exe()?;
    let directory = test
        .parent()
        .and_then(std::path::Path::parent)
        .ok_or("no target directory")?;
    Ok(directory.join("stator"))
}

/// The address in an endpoint such as `https://127.0.0.1:8000`.
///
/// # Errors
/// When there is none.
pub fn address(endpoint: &str) -> Result<SocketAddr> {
    let host = endpoint.split_once("://").map(|(_, host)| host);
    host.and_then(|host| host.trim_end_matches('/').parse().ok())
        .ok_or_else(|| format!("no address in the endpoint {endpoint}").into())
}

impl Node {
    /// Starts `stator dev --port 0 --json` with further arguments and waits until it says that it is ready.
    ///
    /// # Errors
    /// When it ends before it is ready.
    pub fn start<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Result<Self> {
        let mut child = stator()?
            .args(["dev", "--port", "0", "--json"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        let stdout = child.stdout.take().ok_or("no standard output")?;
        BufReader::new(stdout).read_line(&mut line)?;
        match serde_json::from_str(&line) {
            Ok(ready) => Ok(Self { child, ready }),
            Err(error) => {
                let status = child.wait()?;
                Err(format!("stator ended ({status}) before it was ready: {error}").into())
            }
        }
    }

    /// The key pair that it has printed.
    ///
    /// # Errors
    /// None for a node that speaks HTTP in clear, as `stator dev` does.
    pub fn access(&self) -> Result<Access> {
        let ready = &self.ready;
        Access::new(
            &ready.region,
            &ready.access_key_id,
            &ready.secret_access_key,
            None,
        )
    }

    /// Where it serves clients.
    ///
    /// # Errors
    /// When it has printed no address.
    pub fn address(&self) -> Result<SocketAddr> {
        address(&self.ready.endpoint)
    }

    /// Where its data lies.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.ready.data_dir
    }

    /// Ends it with ctrl-C and waits.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn interrupt(mut self) -> Result<ExitStatus> {
        let pid = i32::try_from(self.child.id())
            .ok()
            .and_then(Pid::from_raw)
            .ok_or("no process")?;
        kill_process(pid, Signal::INT)?;
        Ok(self.child.wait()?)
    }

    /// Ends it with `kill -9` and waits.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
