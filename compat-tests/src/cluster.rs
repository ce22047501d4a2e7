//! A cluster of real processes: files made by `stator init`, a `stator serve` for each node.
//!
//! Invariant: dropping a cluster ends all its processes, frozen ones too. What they write to standard error is kept in a
//! file for each node, and shown when a test fails.

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use tempfile::TempDir;

use crate::access::{self, Access};
use crate::member::{Member, Starting};
use crate::node::stator;
use crate::{Client, Error, Links, Result, ports};

const REGION: &str = "us-east-1";
/// Where the files of all nodes are, in the cluster's directory.
const FILES: &str = "cluster";

/// When a write is answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// When it survives a power cut.
    Sync,
    /// When it survives a `kill -9`.
    Interval,
}

/// Nodes that belong together.
#[derive(Debug)]
pub struct Cluster {
    /// The nodes, by id.
    pub members: Vec<Member>,
    /// The highest number that a node has had.
    pub(crate) made: u64,
    pub(crate) shape: Shape,
    access: Access,
    /// Ends after the processes that use it.
    directory: TempDir,
}

/// What the nodes of a cluster have in common.
#[derive(Debug, Clone)]
pub(crate) struct Shape {
    pub(crate) durability: Durability,
    /// What leads from node to node, if it can be cut.
    links: Option<Links>,
    /// Whether nodes can be broken from inside.
    has_door: bool,
    /// What it is made with, and what its nodes run, if it is not [`stator`].
    program: Option<PathBuf>,
    /// What every configuration ends with.
    configuration: String,
}

impl Shape {
    fn new(durability: Durability, configuration: &str) -> Self {
        Self {
            durability,
            links: None,
            has_door: false,
            program: None,
            configuration: configuration.to_owned(),
        }
    }

    /// A node as all are: other nodes know it at one port, and it listens at another one if there are links. `None` if somebody
    /// has taken the port.
    pub(crate) fn dress(&self, mut member: Member, known: u16, own: u16) -> Result<Option<Member>> {
        if let Some(links) = &self.links {
            match member.stand_behind(links, known, own) {
                Err(error) if ports::is_in_use(&error) => return Ok(None),
                stands => stands?,
            }
        }
        member.program.clone_from(&self.program);
        member.configure(&self.configuration)?;
        if self.has_door {
            member.open_door()?;
        }
        Ok(Some(member))
    }
}

impl Cluster {
    /// Makes a cluster of so many nodes on free ports, starts all of them and waits until they are ready.
    ///
    /// # Errors
    /// When files cannot be made or a node does not become ready.
    pub fn start(nodes: u16, durability: Durability) -> Result<Self> {
        Self::configured(nodes, durability, "")
    }

    /// The same, with nodes whose configuration ends with `configuration`.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn configured(nodes: u16, durability: Durability, configuration: &str) -> Result<Self> {
        Self::make(nodes, &Shape::new(durability, configuration))
    }

    /// The same as [`Cluster::start`], with links between the nodes that can be cut.
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn with_links(nodes: u16, durability: Durability) -> Result<(Self, Links)> {
        let links = Links::new();
        let shape = Shape {
            links: Some(links.clone()),
            ..Shape::new(durability, "")
        };
        Ok((Self::make(nodes, &shape)?, links))
    }

    /// The same, with nodes that can be broken from inside, and whose configuration ends with `configuration`. The binary
    /// has to be built with the feature `fault-injection`.
    ///
    /// # Errors
    /// As [`Cluster::start`]; for a binary without the feature.
    pub fn breakable(nodes: u16, durability: Durability, configuration: &str) -> Result<(Self, Links)> {
        let links = Links::new();
        let shape = Shape {
            links: Some(links.clone()),
            has_door: true,
            ..Shape::new(durability, configuration)
        };
        Ok((Self::make(nodes, &shape)?, links))
    }

    /// The same as [`Cluster::start`], made and run by another program than [`stator`].
    ///
    /// # Errors
    /// As [`Cluster::start`].
    pub fn of_program(nodes: u16, durability: Durability, program: &Path) -> Result<Self> {
        let shape = Shape {
            program: Some(program.to_owned()),
            ..Shape::new(durability, "")
        };
        Self::make(nodes, &shape)
    }

    fn make(nodes: u16, shape: &Shape) -> Result<Self> {
        ports::with_free(nodes * 3, |clients| Self::make_at(clients, nodes, shape))
    }

    /// With ports from `clients` on; `None` if somebody has taken one of them.
    fn make_at(clients: u16, nodes: u16, shape: &Shape) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let files = directory.path().join(FILES);
        let (between, behind) = (clients + nodes, clients + nodes * 2);
        let list: Vec<String> = (0..nodes)
            .map(|index| format!("{}=127.0.0.1:{}", index + 1, between + index))
            .collect();
        let output = shape
            .program
            .as_ref()
            .map_or_else(stator, |program| Ok(Command::new(program)))?
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
            let member = serve(&files, index + 1, clients + index, shape.durability)?;
            let Some(member) = shape.dress(member, between + index, behind + index)? else {
                return Ok(None);
            };
            members.push(member);
        }
        let (key, secret) = access::key_pair(&files.join("node-1").join("root-credentials"))?;
        let access = Access::new(REGION, &key, &secret, Some(&access::ca_file(&files)))?;
        let cluster = Self {
            members,
            made: nodes.into(),
            shape: shape.clone(),
            access,
            directory,
        };
        cluster.start_first()
    }

    /// Starts all nodes; `None` if one has ended because somebody has taken its port.
    fn start_first(mut self) -> Result<Option<Self>> {
        match self.start_all() {
            Err(_) if self.members.iter().any(|node| ports::is_taken(&node.stderr())) => Ok(None),
            started => started.map(|()| Some(self)),
        }
    }

    /// A single `stator dev` in the place of a cluster: what is not about more than one node can be tried on it.
    ///
    /// # Errors
    /// When it does not become ready.
    pub fn of_one_dev_node(durability: Durability) -> Result<Self> {
        ports::with_free(1, |port| Self::of_one_dev_node_at(port, durability))
    }

    /// At this port; `None` if somebody has taken it.
    fn of_one_dev_node_at(port: u16, durability: Durability) -> Result<Option<Self>> {
        let directory = tempfile::tempdir()?;
        let data_dir = directory.path().join("data");
        let mut arguments: Vec<OsString> = ["dev", "--json", "--durability", durability.name(), "--port"]
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
            program: None,
            arguments,
            config: None,
            data_dir,
            stderr: directory.path().join("stderr.txt"),
            child: None,
            links: None,
            door: None,
        };
        let ready = match member.start()?.ready() {
            Err(_) if ports::is_taken(&member.stderr()) => {
                member.kill()?;
                return Ok(None);
            }
            ready => ready?,
        };
        let said = |name: &str| ready[name].as_str().unwrap_or_default();
        let access = Access::new(
            said("region"),
            said("access_key_id"),
            said("secret_access_key"),
            None,
        )?;
        Ok(Some(Self {
            members: vec![member],
            made: 1,
            shape: Shape::new(durability, ""),
            access,
            directory,
        }))
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

    /// What `stator init` has made.
    pub(crate) fn files(&self) -> PathBuf {
        self.directory.path().join(FILES)
    }

    /// Shows the end of what each node has written to standard error.
    pub fn show(&self) {
        self.members.iter().for_each(Member::show_stderr);
    }

    /// Has the files of all nodes outlive them, beside what each of them says of itself now.
    pub fn keep(&mut self) {
        self.members.iter().for_each(Member::write_status);
        self.directory.disable_cleanup(true);
        eprintln!(
            "what the nodes have written stays in {}",
            self.directory.path().display()
        );
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
            self.show();
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
pub(crate) fn serve(files: &Path, id: u16, port: u16, durability: Durability) -> Result<Member> {
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
        program: None,
        arguments: arguments.into_iter().chain([config.clone().into()]).collect(),
        config: Some(config),
        data_dir: folder.join("data"),
        stderr: folder.join("stderr.txt"),
        child: None,
        links: None,
        door: None,
    })
}
