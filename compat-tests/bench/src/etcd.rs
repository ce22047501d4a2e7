//! A cluster of etcd under measurement: three processes with etcd's own defaults, and clients of its gRPC API.
//!
//! Puts are linearizable: each goes through Raft and is answered when a majority has synced it and it is applied.

use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use compat_tests::{Result, now};
use prost::Message;
use rustls::ClientConfig;

use crate::load::{Connection, Write};
use crate::{grpc, stream, text};

/// The method of a put: etcd, `api/etcdserverpb/rpc.proto`.
pub(crate) const PUT: &str = "/etcdserverpb.KV/Put";
const NODES: u16 = 3;
const READY_TIMEOUT: Duration = Duration::from_secs(60);
const BETWEEN_TRIES: Duration = Duration::from_millis(100);
/// Enough for all revisions of a bench, which etcd keeps: the default of 2 GiB could be reached.
const QUOTA_BYTES: &str = "8589934592";

/// `PutRequest` of `rpc.proto`, as far as it is used.
#[derive(Clone, PartialEq, Message)]
struct PutRequest {
    #[prost(bytes = "vec", tag = "1")]
    key: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    value: Vec<u8>,
}

/// The running cluster; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Etcd {
    children: Vec<Child>,
    addresses: Vec<SocketAddr>,
    tls: Option<Arc<ClientConfig>>,
}

/// A put, ready to be sent.
pub(crate) fn put(key: String, value: String) -> Write {
    Write::Etcd(grpc::encode(&PutRequest {
        key: key.into_bytes(),
        value: value.into_bytes(),
    }))
}

/// What a node is told.
struct Plan {
    clients: Vec<SocketAddr>,
    peers: Vec<SocketAddr>,
    scheme: &'static str,
    /// Where certificates are.
    certificates: Option<PathBuf>,
    folder: PathBuf,
}

impl Plan {
    fn name(index: usize) -> String {
        format!("node-{}", index + 1)
    }

    /// The arguments of a node.
    fn arguments(&self, index: usize) -> Result<Vec<String>> {
        let url = |address: &SocketAddr| format!("{}://{address}", self.scheme);
        let (Some(client), Some(peer)) = (self.clients.get(index), self.peers.get(index)) else {
            return Err("no such node".into());
        };
        let name = Self::name(index);
        let all = self.peers.iter().enumerate();
        let all = all.map(|(index, peer)| format!("{}={}", Self::name(index), url(peer)));
        let data_dir = self.folder.join("etcd").join(&name);
        let mut arguments = vec![
            ("--name", name.clone()),
            ("--data-dir", text(&data_dir)?.to_owned()),
            ("--listen-client-urls", url(client)),
            ("--advertise-client-urls", url(client)),
            ("--listen-peer-urls", url(peer)),
            ("--initial-advertise-peer-urls", url(peer)),
            ("--initial-cluster", all.collect::<Vec<_>>().join(",")),
            ("--quota-backend-bytes", QUOTA_BYTES.to_owned()),
            ("--logger", "zap".to_owned()),
            ("--log-level", "error".to_owned()),
        ];
        if let Some(certificates) = &self.certificates {
            let folder = certificates.join(&name);
            let [certificate, key, ca] = ["node.pem", "node-key.pem", "ca.pem"].map(|name| folder.join(name));
            for (argument, path) in [
                ("--cert-file", &certificate),
                ("--key-file", &key),
                ("--peer-cert-file", &certificate),
                ("--peer-key-file", &key),
                ("--peer-trusted-ca-file", &ca),
            ] {
                arguments.push((argument, text(path)?.to_owned()));
            }
            // As Stator's nodes do, each asks the other for its certificate.
            arguments.push(("--peer-client-cert-auth", "true".to_owned()));
        }
        Ok(arguments
            .into_iter()
            .map(|(name, value)| format!("{name}={value}"))
            .collect())
    }
}

impl Etcd {
    /// Starts three nodes on one disk with the other cluster; with TLS as it has, under certificates of the same kind, which
    /// `stator init` makes.
    pub(crate) fn start(stator: &Path, program: &Path, folder: &Path, is_encrypted: bool) -> Result<Self> {
        let mut clients = free_addresses(NODES * 2)?;
        let plan = Plan {
            peers: clients.split_off(usize::from(NODES)),
            clients,
            scheme: if is_encrypted { "https" } else { "http" },
            certificates: is_encrypted.then(|| folder.join("etcd-certificates")),
            folder: folder.to_owned(),
        };
        let tls = match &plan.certificates {
            Some(certificates) => {
                make_certificates(stator, certificates, &plan.peers)?;
                Some(stream::tls(&certificates.join("ca.pem"), b"h2")?)
            }
            None => None,
        };
        let mut etcd = Self {
            children: Vec::new(),
            addresses: plan.clients.clone(),
            tls,
        };
        for index in 0..plan.clients.len() {
            let child = Command::new(program)
                .args(plan.arguments(index)?)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .spawn()
                .map_err(|error| format!("{}: {error}", program.display()))?;
            etcd.children.push(child);
        }
        Ok(etcd)
    }

    /// Waits until every node takes a put.
    pub(crate) async fn ready(&self) -> Result<()> {
        let begun = now();
        for address in &self.addresses {
            while let Err(error) = self.try_put(*address).await {
                if begun.elapsed() > READY_TIMEOUT {
                    return Err(format!("etcd on {address} is not ready: {error}").into());
                }
                tokio::time::sleep(BETWEEN_TRIES).await;
            }
        }
        Ok(())
    }

    async fn try_put(&self, address: SocketAddr) -> Result<()> {
        let message = grpc::encode(&PutRequest {
            key: b"ready".to_vec(),
            value: b"ready".to_vec(),
        });
        self.open(address).await?.call(PUT, &message).await
    }

    async fn open(&self, address: SocketAddr) -> Result<grpc::Connection> {
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let stream = stream::open(address, self.tls.as_ref()).await?;
        grpc::Connection::open(stream, format!("{scheme}://{address}")).await
    }

    pub(crate) fn pids(&self) -> Vec<u32> {
        self.children.iter().map(Child::id).collect()
    }

    /// Connections, spread evenly over the nodes.
    pub(crate) async fn connect(&self, count: usize) -> Result<Vec<Connection>> {
        let mut connections = Vec::new();
        for address in self.addresses.iter().cycle().take(count) {
            connections.push(Connection::Etcd(self.open(*address).await?));
        }
        Ok(connections)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        for child in &mut self.children {
            // Both fail only for a process that has ended already.
            child.kill().unwrap_or_default();
            child.wait().map(drop).unwrap_or_default();
        }
    }
}

fn make_certificates(stator: &Path, folder: &Path, peers: &[SocketAddr]) -> Result<()> {
    let nodes = peers.iter().enumerate();
    let nodes: Vec<String> = nodes
        .map(|(index, peer)| format!("{}={peer}", index + 1))
        .collect();
    let output = Command::new(stator)
        .args(["init", "--nodes", &nodes.join(","), "--directory", text(folder)?])
        .stdin(Stdio::null())
        .output()?;
    if output.status.success() {
        Ok(())
    } else {
        Err(format!("stator init: {}", String::from_utf8_lossy(&output.stderr)).into())
    }
}

/// So many free addresses of this machine.
fn free_addresses(count: u16) -> Result<Vec<SocketAddr>> {
    let listeners = (0..count).map(|_| TcpListener::bind("127.0.0.1:0"));
    // All at once, so that no port is given twice.
    let listeners = listeners.collect::<std::io::Result<Vec<_>>>()?;
    let addresses = listeners.iter().map(TcpListener::local_addr);
    Ok(addresses.collect::<std::io::Result<_>>()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_know_each_other_and_ask_for_certificates_where_there_are_some() {
        let addresses = |first: u16| {
            (first..first + 3)
                .map(|port| ([127, 0, 0, 1], port).into())
                .collect()
        };
        let mut plan = Plan {
            clients: addresses(10),
            peers: addresses(20),
            scheme: "https",
            certificates: Some("c".into()),
            folder: "d".into(),
        };
        let arguments = plan.arguments(1).unwrap();
        for argument in [
            "--name=node-2",
            "--listen-client-urls=https://127.0.0.1:11",
            "--initial-cluster=node-1=https://127.0.0.1:20,node-2=https://127.0.0.1:21,node-3=https://127.0.0.1:22",
            "--peer-trusted-ca-file=c/node-2/ca.pem",
        ] {
            assert!(
                arguments.iter().any(|own| own == argument),
                "{argument} in {arguments:?}"
            );
        }
        plan.certificates = None;
        let arguments = plan.arguments(1).unwrap();
        assert!(!arguments.iter().any(|own| own.contains("cert")), "{arguments:?}");
        assert!(plan.arguments(3).is_err());
    }

    #[test]
    fn a_put_has_the_fields_of_etcd() {
        let Write::Etcd(bytes) = put("k".to_owned(), "v".to_owned()) else {
            panic!("not a put");
        };
        assert_eq!(bytes.as_ref(), b"\0\0\0\0\x06\x0a\x01k\x12\x01v");
    }
}
