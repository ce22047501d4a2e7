//! A cluster of Stator under measurement: `stator demo-cluster`, and clients of its API.

use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::channel;
use std::time::Duration;

use compat_tests::{Access, Mode, Random, Result, Sdk, address, holds_within};
use rustix::process::{Pid, Signal, kill_process};
use serde::Deserialize;
use serde_json::json;

use crate::http1::{self, INVOCATION, Request};
use crate::items::TABLE;
use crate::load::{Connection, Write};
use crate::{stream, text};

const READY_TIMEOUT: Duration = Duration::from_secs(60);
const STOP_TIMEOUT: Duration = Duration::from_secs(20);

/// What `stator demo-cluster --json` says when all nodes answer.
#[derive(Debug, Deserialize)]
struct Ready {
    ca_file: Option<PathBuf>,
    access_key_id: String,
    secret_access_key: String,
    region: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
struct Node {
    endpoint: String,
    pid: u32,
}

/// The running cluster; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Stator {
    child: Child,
    ready: Ready,
    addresses: Vec<SocketAddr>,
}

impl Stator {
    /// Starts nodes that sync each write before they answer it.
    pub(crate) fn start(program: &Path, folder: &Path, nodes: u16) -> Result<Self> {
        let nodes = nodes.to_string();
        let mut child = Command::new(program)
            .args([
                "demo-cluster",
                "--nodes",
                &nodes,
                "--durability",
                "sync",
                "--json",
            ])
            .args(["--dir", text(folder)?])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{}: {error}", program.display()))?;
        match read_ready(&mut child) {
            Ok((ready, addresses)) => Ok(Self {
                child,
                ready,
                addresses,
            }),
            Err(error) => {
                end(&mut child);
                Err(format!("stator demo-cluster is not ready: {error}").into())
            }
        }
    }

    /// Whether its API is HTTPS.
    pub(crate) fn is_encrypted(&self) -> bool {
        self.ready
            .nodes
            .iter()
            .all(|node| node.endpoint.starts_with("https:"))
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.ready.nodes.iter().map(|node| node.pid).collect()
    }

    pub(crate) fn access(&self) -> Result<Access> {
        let ca_file = self.ready.ca_file.as_deref().filter(|_| self.is_encrypted());
        Access::new(
            &self.ready.region,
            &self.ready.access_key_id,
            &self.ready.secret_access_key,
            ca_file,
        )
    }

    /// Makes the table, with a sort key that is a number if one is named, and waits until every node has it.
    pub(crate) fn create_table(&self, access: &Access, sort_key: Option<&str>) -> Result<()> {
        let names = [("id", "S", "HASH")].into_iter();
        let names = names.chain(sort_key.map(|name| (name, "N", "RANGE")));
        let (attributes, keys): (Vec<_>, Vec<_>) = names
            .map(|(name, of, role)| {
                (
                    json!({ "AttributeName": name, "AttributeType": of }),
                    json!({ "AttributeName": name, "KeyType": role }),
                )
            })
            .unzip();
        let request = json!({
            "TableName": TABLE,
            "AttributeDefinitions": attributes,
            "KeySchema": keys,
            "BillingMode": "PAY_PER_REQUEST",
        });
        let sdk = |address| Sdk::new(access.clone(), address, Mode::Standard, Random::new(1, 1));
        let first = *self.addresses.first().ok_or("no nodes")?;
        sdk(first).ok("CreateTable", &request)?;
        let describe = json!({ "TableName": TABLE });
        for address in &self.addresses {
            let is_active = holds_within(READY_TIMEOUT, || {
                let said = sdk(*address).ok("DescribeTable", &describe);
                said.is_ok_and(|said| said["Table"]["TableStatus"] == json!("ACTIVE"))
            });
            if !is_active {
                return Err(format!("the table is still not active on {address}").into());
            }
        }
        Ok(())
    }

    /// Connections, spread evenly over the nodes.
    pub(crate) async fn connect(&self, access: &Access, count: usize) -> Result<Vec<Connection>> {
        // The API has no other protocol to agree on.
        let tls = access.tls();
        let mut connections = Vec::new();
        for address in self.addresses.iter().cycle().take(count) {
            let stream = stream::open(*address, tls.as_ref()).await?;
            connections.push(Connection::Stator(http1::Connection::new(stream)));
        }
        Ok(connections)
    }
}

impl Drop for Stator {
    fn drop(&mut self) {
        let pid = i32::try_from(self.child.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let child = &mut self.child;
        if !asked
            || !holds_within(STOP_TIMEOUT, || {
                child.try_wait().is_ok_and(|ended| ended.is_some())
            })
        {
            end(child);
        }
    }
}

fn end(child: &mut Child) {
    // Both fail only for a process that has ended already.
    child.kill().unwrap_or_default();
    child.wait().map(drop).unwrap_or_default();
}

fn read_ready(child: &mut Child) -> Result<(Ready, Vec<SocketAddr>)> {
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = BufReader::new(stdout).read_line(&mut line).map(|_| line);
        // Nobody waits any more after the timeout.
        sender.send(read).unwrap_or_default();
    });
    let line = receiver
        .recv_timeout(READY_TIMEOUT)
        .map_err(|_| format!("nothing said for {} s", READY_TIMEOUT.as_secs()))??;
    let ready: Ready = serde_json::from_str(&line)?;
    let addresses = ready.nodes.iter().map(|node| address(&node.endpoint));
    let addresses = addresses.collect::<Result<_>>()?;
    Ok((ready, addresses))
}

/// Requests of an operation at the default level, QUORUM, signed now, with the headers of an SDK.
pub(crate) fn requests(access: &Access, operation: &str, bodies: &[String]) -> Result<Vec<Write>> {
    /// What all requests name as their host, whichever node they go to.
    const HOST: &str = "127.0.0.1";
    let more = [
        ("user-agent", "aws-sdk-rust/1.3.3 os/linux lang/rust/1.95.0"),
        ("amz-sdk-invocation-id", INVOCATION),
        ("amz-sdk-request", "attempt=1; max=3"),
        ("accept-encoding", "identity"),
    ];
    let signed = bodies.iter().map(|body| {
        let bytes = access.request(HOST, operation, body, &more)?;
        Request::new(bytes).map(Write::Stator)
    });
    signed.collect()
}
