//! Nodes that come and go: files for one more node, a node that leaves, one that is gone for good; as an operator does it,
//! with the commands that `docs/operations.md` names.
//!
//! Invariant: the number of a node is used once. A command is asked of a node that runs, whoever that is then. Not here: how a
//! node is started and stopped (`member.rs`), what the cluster makes of it (`moves.rs`).

use std::net::SocketAddr;
use std::process::{Child, Stdio};

use crate::cluster::serve;
use crate::node::stator;
use crate::{Cluster, Result, ports};

/// A command that waits until the cluster has done what it asks for. Dropping it interrupts the command, not the cluster.
#[derive(Debug)]
pub struct Change(Child);

impl Change {
    /// Whether it is done.
    ///
    /// # Errors
    /// What the command says when it is refused.
    pub fn is_done(&mut self) -> Result<bool> {
        match self.0.try_wait()? {
            None => Ok(false),
            Some(status) if status.success() => Ok(true),
            Some(status) => {
                let mut said = String::new();
                if let Some(stderr) = &mut self.0.stderr {
                    std::io::Read::read_to_string(stderr, &mut said)?;
                }
                Err(format!("{status}: {said}").into())
            }
        }
    }
}

impl Drop for Change {
    fn drop(&mut self) {
        // Both fail only for a process that has ended and been waited for.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

impl Cluster {
    /// Makes the files of one more node, and gives its number. It is not started.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn add_node(&mut self) -> Result<u64> {
        ports::with_free(3, |first| self.node_at(first)).map(|member| {
            let id = member.id;
            self.made = self.made.max(id);
            self.members.push(member);
            id
        })
    }

    /// With three ports from the first on; `None` if somebody has taken one.
    fn node_at(&self, first: u16) -> Result<Option<crate::Member>> {
        let (client, known, own) = (first, first + 1, first + 2);
        let id = u16::try_from(self.made + 1)?;
        let directory = self.files().join(format!("node-{id}"));
        if directory.exists() {
            // The one who has made it for other ports was too late for them.
            std::fs::remove_dir_all(&directory)?;
        }
        let output = stator()?
            .args(["init", "--add-node", "--node-id", &id.to_string()])
            .args(["--address", &format!("127.0.0.1:{known}")])
            .args(["--listen", &format!("127.0.0.1:{client}"), "--directory"])
            .arg(self.files())
            .stdin(Stdio::null())
            .output()?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
        }
        let mut member = serve(&self.files(), id, client, self.shape.durability)?;
        // Nodes that share a host are given ports behind the one that is asked for, which may be somebody else's.
        member.serve_clients_at(client)?;
        self.shape.dress(member, known, own)
    }

    /// The node with this number.
    ///
    /// # Errors
    /// When there is none.
    pub fn node(&mut self, id: u64) -> Result<&mut crate::Member> {
        let found = self.members.iter_mut().find(|member| member.id == id);
        found.ok_or_else(|| format!("there is no node {id}").into())
    }

    /// Has a node give up its data to the others and leave: `stator drain`.
    ///
    /// # Errors
    /// When no node runs, or the command cannot be started.
    pub fn drain(&self, id: u64) -> Result<Change> {
        self.command("drain", &[&id.to_string()])
    }

    /// Waits until a node that was started has its share of the data: `stator join`.
    ///
    /// # Errors
    /// As [`Cluster::drain`].
    pub fn join(&self, id: u64) -> Result<Change> {
        self.command("join", &[&id.to_string()])
    }

    /// Has a node leave in whose place another one has come: `stator replace`.
    ///
    /// # Errors
    /// As [`Cluster::drain`].
    pub fn replace(&self, id: u64, by: u64) -> Result<Change> {
        self.command("replace", &[&id.to_string(), "--by", &by.to_string()])
    }

    /// Has a node that is gone replaced by others: `stator remove`.
    ///
    /// # Errors
    /// As [`Cluster::drain`].
    pub fn remove(&self, id: u64) -> Result<Change> {
        self.command("remove", &[&id.to_string()])
    }

    /// Asks any node but the one that it is about.
    pub(crate) fn command(&self, name: &str, arguments: &[&str]) -> Result<Change> {
        let about = arguments.first().copied().unwrap_or_default();
        let mut others = self
            .members
            .iter()
            .filter(|member| member.is_running() && member.id.to_string() != about);
        let config = others.find_map(|member| member.config.as_ref());
        let child = stator()?
            .arg(name)
            .args(arguments)
            .arg("--config")
            .arg(config.ok_or("no other node runs")?)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()?;
        Ok(Change(child))
    }

    /// Forgets a node that has left or is gone. One that runs is ended as an operator does. Gives where it served clients.
    ///
    /// # Errors
    /// When there is none, or it does not end well.
    pub fn forget(&mut self, id: u64) -> Result<SocketAddr> {
        let member = self.node(id)?;
        let address = member.address;
        if member.is_running() {
            // A frozen one would not hear it.
            member.thaw()?;
            let status = member.terminate()?;
            if !status.success() {
                return Err(format!("node {id} ended with {status} on SIGTERM").into());
            }
        }
        self.members.retain(|member| member.id != id);
        Ok(address)
    }
}
