//! A cluster of real processes: files made by `stator init`, a `stator serve` for each node, started, stopped, killed,
//! frozen and robbed of their data one by one.
//!
//! Invariant: dropping a cluster ends all its processes, frozen ones too. What they write to standard error is kept in a
//! file for each node, and shown when a test fails.

use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::access::{self, Access};
use crate::node::stator;
use crate::{Client, Error, Links, Random, Result, clock};

/// A node that is not ready after so long never will be.
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const REGION: &str = "us-east-1";
/// How much of a node's standard error a failing test shows, in lines.
const SHOWN_LINES: usize = 40;

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a power cut.
    Sync,
    /// When it survives a `kill -9`.
    Interval,
}

/// A node: how it is started, and its process while it runs.
#[derive(Debug)]
pub struct Member {
    /// Its id in the cluster.
    pub id: u64,
    /// Where it serves clients.
    pub address: SocketAddr,
    arguments: Vec<OsString>,
    config: Option<PathBuf>,
    data_dir: PathBuf,
    stderr: PathBuf,
    child: Option<Child>,
    links: Option<Links>,
}

/// A process that has been started and has not said yet that it is ready.
#[derive(Debug)]
#[must_use = "a node that is not waited for may not be ready"]
pub struct Starting {
    id: u64,
    line: Receiver<std::io::Result<String>>,
}

/// Nodes that belong together.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, by id.
    pub members: Vec<Member>,
    access: Access,
    /// Ends after the processes that use it.
    _directory: TempDir,
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
        serde_json::from_str(&line)
            .map_err(|error| format!("node {id} ended or did not say that it is ready: {error}").into())
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
        let mut child = stator()?
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(stderr)
            .spawn()?;
        if let Some(links) = &self.links {
            links.runs(self.id, child.id());
        }
        let stdout = child.stdout.take().ok_or("no standard output")?;
        self.child = Some(child);
        let (sender, line) = channel();
        thread::spawn(move || {
            let mut line = String::new();
            let read = BufReader::new(stdout).read_line(&mut line);
            // Nobody may be waiting any more.
            sender.send(read.map(|_| line)).unwrap_or_default();
        });
        Ok(Starting { id: self.id, line })
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
    pub fn terminate(&mut self) -> Result<()> {
        self.signal(Signal::TERM)?;
        let mut child = self.child.take().ok_or("the node does not run")?;
        child.wait()?;
        Ok(())
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
    fn stand_behind(&mut self, links: &Links, known: u16, own: u16) -> Result<()> {
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

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self
            .child
            .as_ref()
            .and_then(|child| i32::try_from(child.id()).ok());
        let pid = pid.and_then(Pid::from_raw).ok_or("the node does not run")?;
        Ok(kill_process(pid, signal)?)
    }

    fn show_stderr(&self) {
        let text = fs::read_to_string(&self.stderr).unwrap_or_default();
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

impl Cluster {
    /// Makes a cluster of so many nodes on free ports, starts all of them and waits until they are ready.
    ///
    /// # Errors
    /// When files cannot be made or a node does not become ready.
    pub fn start(nodes: u16, durability: Durability) -> Result<Self> {
        Self::make(nodes, durability, None)
    }

    /// The same, with links between the nodes that can be cut.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn with_links(nodes: u16, durability: Durability) -> Result<(Self, Links)> {
        let links = Links::new();
        let cluster = Self::make(nodes, durability, Some(&links))?;
        Ok((cluster, links))
    }

    fn make(nodes: u16, durability: Durability, links: Option<&Links>) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let files = directory.path().join("cluster");
        let clients = free_ports(nodes * 3)?;
        let (between, behind) = (clients + nodes, clients + nodes * 2);
        let list: Vec<String> = (0..nodes)
            .map(|index| format!("{}=127.0.0.1:{}", index + 1, between + index))
            .collect();
        let output = stator()?
            .args(["init", "--region", REGION, "--nodes", &list.join(",")])
            .args(["--listen", &format!("127.0.0.1:{clients}"), "--directory"])
            .arg(&files)
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut members = Vec::new();
        for index in 0..nodes {
            let mut member = serve(&files, index + 1, clients + index, durability)?;
            if let Some(links) = links {
                member.stand_behind(links, between + index, behind + index)?;
            }
            members.push(member);
        }
        let (key, secret) = access::key_pair(&files.join("node-1").join("root-credentials"))?;
        let access = Access::new(REGION, &key, &secret, Some(&access::ca_file(&files)))?;
        let mut cluster = Self {
            members,
            access,
            _directory: directory,
        };
        cluster.start_all()?;
        Ok(cluster)
    }

    /// A single `stator dev` in the place of a cluster: what is not about more than one node can be tried on it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn of_one_dev_node(durability: Durability) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let port = free_ports(1)?;
        let data_dir = directory.path().join("data");
        let durability = durability.name();
        let mut arguments: Vec<OsString> = ["dev", "--json", "--durability", durability, "--port"]
            .map(OsString::from)
            .into();
        arguments.extend([
            port.to_string().into(),
            "--data-dir".into(),
            data_dir.clone().into(),
        ]);
        let mut member = Member {
            id: 1,
            address: SocketAddr::from(([127, 0, 0, 1], port)),
            arguments,
            config: None,
            data_dir,
            stderr: directory.path().join("stderr.txt"),
            child: None,
            links: None,
        };
        let ready = member.start()?.ready()?;
        let said = |name: &str| ready[name].as_str().unwrap_or_default();
        let access = Access::new(
            said("region"),
            said("access_key_id"),
            said("secret_access_key"),
            None,
        )?;
        Ok(Self {
            members: vec![member],
            access,
            _directory: directory,
        })
    }

    /// Starts all nodes that do not run, at once since they may wait for each other, and waits until they are ready.
    ///
    /// # Errors
    /// When one does not become ready.
    pub fn start_all(&mut self) -> Result<()> {
        let stopped = self.members.iter_mut().filter(|member| !member.is_running());
        let starting: Vec<Starting> = stopped.map(Member::start).collect::<Result<_>>()?;
        starting.into_iter().try_for_each(|node| node.ready().map(drop))
    }

    /// The root principal's key pair, for any of the nodes.
    pub fn access(&self) -> Access {
        self.access.clone()
    }

    /// Where the nodes serve clients.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(|member| member.address).collect()
    }

    /// What a balancer asks a node before it sends clients to it.
    pub fn health_check(&self) -> impl Fn(SocketAddr) -> bool + Send + Sync + 'static {
        /// A node that takes longer does not serve clients.
        const WITHIN: Duration = Duration::from_millis(500);
        let access = self.access();
        move |address| Client::is_healthy(access.clone(), address, WITHIN)
    }

    /// The node with this place in the list; an error names it.
    ///
    /// # Errors
    /// When there is none.
    pub fn member(&mut self, place: usize) -> Result<&mut Member> {
        self.members
            .get_mut(place)
            .ok_or_else(|| Error::from(format!("no node at place {place}")))
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        for member in &mut self.members {
            if member.is_running() {
                member.kill().unwrap_or_default();
            }
        }
        if thread::panicking() {
            self.members.iter().for_each(Member::show_stderr);
        }
    }
}

impl Durability {
    fn name(self) -> &'static str {
        match self {
            Self::Sync => "sync",
            Self::Interval => "interval",
        }
    }
}

/// A node of the files that `stator init` has made.
fn serve(files: &Path, id: u16, port: u16, durability: Durability) -> Result<Member> {
    let folder = files.join(format!("node-{id}"));
    let config = folder.join("stator.toml");
    let text = fs::read_to_string(&config)?;
    let setting = |durability: Durability| format!("durability = \"{}\"", durability.name());
    if !text.contains(&setting(Durability::Sync)) {
        return Err(format!("{}: no durability to change", config.display()).into());
    }
    fs::write(
        &config,
        text.replace(&setting(Durability::Sync), &setting(durability)),
    )?;
    let arguments = ["serve", "--json", "--config"].map(OsString::from);
    Ok(Member {
        id: id.into(),
        address: SocketAddr::from(([127, 0, 0, 1], port)),
        arguments: arguments.into_iter().chain([config.clone().into()]).collect(),
        config: Some(config),
        data_dir: folder.join("data"),
        stderr: folder.join("stderr.txt"),
        child: None,
        links: None,
    })
}

/// The first of so many free ports in a row, below those that the system gives to connections.
fn free_ports(count: u16) -> Result<u16> {
    const LOWEST: u64 = 20_000;
    const WIDTH: u64 = 12_000;
    const TRIES: usize = 100;
    let now = clock::time_of_day().duration_since(std::time::UNIX_EPOCH)?;
    let mut random = Random::new(u64::from(now.subsec_nanos()), std::process::id().into());
    for _ in 0..TRIES {
        let first = u16::try_from(LOWEST + random.below(WIDTH))?;
        let row = first..first.saturating_add(count);
        // All at once, so that none is counted twice.
        let bound: Vec<_> = row.map(|port| TcpListener::bind(("127.0.0.1", port))).collect();
        if bound.iter().all(std::result::Result::is_ok) {
            return Ok(first);
        }
    }
    Err(format!("no {count} free ports in a row").into())
}
