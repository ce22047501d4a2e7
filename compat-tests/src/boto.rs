//! A boto3 client in a process of its own, which does what it is told (`python/boto_client.py`): connections, errors and
//! retries are boto3's.
//!
//! Invariant: one call at a time; dropping the client ends the process. Which Python has boto3 is said by the environment, or
//! is the one that `cargo xtask test` has made below the target folder.

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::sdk::{Caller, Failure};
use crate::{Access, Answer, Result};

/// Names the interpreter.
const VARIABLE: &str = "STATOR_PYTHON";
const SCRIPT: &str = "python/boto_client.py";
/// boto3's `retries={"mode": "standard", "total_max_attempts": 3}`, the default of most SDKs.
const MODE: &str = "standard";
const ATTEMPTS: u32 = 3;

/// See the head of the file.
#[derive(Debug)]
pub struct Boto {
    child: Child,
    requests: ChildStdin,
    answers: BufReader<ChildStdout>,
    retries: u64,
}

/// A line of the process.
#[derive(Debug, Deserialize)]
struct Line {
    #[serde(default)]
    status: u16,
    #[serde(default)]
    body: Value,
    failure: Option<String>,
    attempts: u32,
}

/// A Python that has boto3, if there is one.
pub fn python() -> Option<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Some(named.into());
    }
    // target/debug/deps/<test> -> target/compat-venv/bin/python
    let test = std::env::current_exe().ok()?;
    let target = test.ancestors().nth(3)?;
    let python = target.join("compat-venv").join("bin").join("python");
    python.exists().then_some(python)
}

impl Boto {
    /// Starts a client of what listens at `address`.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub fn start(python: &Path, access: &Access, address: SocketAddr) -> Result<Self> {
        let (key, secret) = access.keys();
        let scheme = if access.tls().is_some() { "https" } else { "http" };
        let mut child = Command::new(python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(SCRIPT))
            .args([&format!("{scheme}://{address}"), access.region()])
            .arg(access.ca_file().unwrap_or(Path::new("-")))
            .args([MODE, &ATTEMPTS.to_string()])
            .env("AWS_ACCESS_KEY_ID", key)
            .env("AWS_SECRET_ACCESS_KEY", secret)
            // The server is on this machine, whatever proxy leads out of it.
            .env("NO_PROXY", "127.0.0.1,localhost")
            .env("no_proxy", "127.0.0.1,localhost")
            .env_remove("AWS_PROFILE")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let requests = child.stdin.take().ok_or("no standard input")?;
        let answers = BufReader::new(child.stdout.take().ok_or("no standard output")?);
        Ok(Self {
            child,
            requests,
            answers,
            retries: 0,
        })
    }

    fn tell(&mut self, operation: &str, body: &Value) -> Result<Line> {
        let line = json!({ "operation": operation, "request": body });
        writeln!(self.requests, "{line}")?;
        self.requests.flush()?;
        let mut line = String::new();
        self.answers.read_line(&mut line)?;
        Ok(
            serde_json::from_str(&line)
                .map_err(|error| format!("the boto3 client said {line:?}: {error}"))?,
        )
    }
}

impl Caller for Boto {
    fn call(&mut self, operation: &str, body: &Value) -> std::result::Result<Answer, Failure> {
        let gave_up = |attempts, last| Failure::GaveUp { attempts, last };
        let line = self.tell(operation, body);
        let line = line.map_err(|error| gave_up(1, error.to_string()))?;
        self.retries += u64::from(line.attempts.saturating_sub(1));
        match line.failure {
            Some(failure) => Err(gave_up(ATTEMPTS, failure)),
            None if line.status >= 500 => {
                let last = format!("{} {}", line.status, line.body);
                Err(gave_up(line.attempts, last))
            }
            None => Ok(Answer {
                status: line.status,
                body: line.body,
            }),
        }
    }

    fn disconnect(&mut self) {}

    fn retries(&self) -> u64 {
        self.retries
    }
}

impl Drop for Boto {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
