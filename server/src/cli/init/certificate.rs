//! The certificates of nodes: under which names clients reach one, and new certificates in the place of those that expire.
//!
//! Invariant: a new certificate has all names of the one before it, so that clients go on verifying the node. Not here: issuing
//! (`stator_cluster::transport::certificate`), taking new certificates into use (`serve.rs`).

use std::fs;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use stator_cluster::NodeId;
use stator_cluster::transport::certificate::Validity;
use x509_parser::prelude::GeneralName;

use super::{Common, InitError, NODE, NODE_KEY, Options, known_nodes};
use crate::cli::private_file::{self, Readers};
use crate::config::NodeAddress;

/// The names under which clients may reach a node.
pub(super) fn hosts(node: &NodeAddress, listen: SocketAddr) -> Vec<String> {
    let mut hosts = vec![node.address.host().to_owned()];
    let ip: IpAddr = listen.ip();
    if !ip.is_unspecified() {
        hosts.push(ip.to_string());
    }
    if ip.is_unspecified() || ip.is_loopback() {
        hosts.extend(["localhost".to_owned(), Ipv4Addr::LOCALHOST.to_string()]);
        if ip.is_ipv6() {
            hosts.push(Ipv6Addr::LOCALHOST.to_string());
        }
    }
    hosts.sort();
    hosts.dedup();
    hosts
}

/// Makes new certificates and says where.
///
/// # Errors
/// As [`renew`].
pub(super) fn run(options: &Options, now_ms: u64, out: &mut impl io::Write) -> Result<(), InitError> {
    for (node, folder) in renew(options, now_ms)? {
        writeln!(
            out,
            "node {node} has a new certificate: copy {NODE} and {NODE_KEY} of {} to where its configuration names them; it takes \
             them into use within a minute, or at once on SIGHUP",
            folder.display()
        )?;
    }
    Ok(out.flush()?)
}

/// Puts new certificates, with new keys, in the place of those of the nodes that are in the directory, or of the one that the
/// options name. Gives the nodes with their folders.
///
/// # Errors
/// [`InitError`]; nothing is replaced unless all of them could be made.
pub(super) fn renew(options: &Options, now_ms: u64) -> Result<Vec<(u64, PathBuf)>, InitError> {
    let directory = &options.directory;
    let common = Common::load(directory)?;
    let validity = Validity::days_from(now_ms, options.days);
    let mut made = Vec::new();
    for (node, config) in known_nodes(directory, common.authority.cluster())? {
        if options.node_id.is_some_and(|wanted| wanted != node.id) {
            continue;
        }
        let folder = config.parent().unwrap_or(directory).to_owned();
        let mut hosts = names(&folder.join(NODE))?;
        hosts.extend(options.hosts.iter().cloned());
        hosts.sort();
        hosts.dedup();
        let certified = common.authority.issue(NodeId(node.id), &hosts, validity)?;
        made.push((node.id, folder, certified));
    }
    if made.is_empty() {
        return Err(InitError::NoNode {
            path: directory.clone(),
        });
    }
    let mut renewed = Vec::new();
    for (node, folder, certified) in made {
        replace(
            &folder.join(NODE_KEY),
            certified.key_pem.as_bytes(),
            Readers::Owner,
        )?;
        replace(
            &folder.join(NODE),
            certified.certificate_pem.as_bytes(),
            Readers::All,
        )?;
        renewed.push((node, folder));
    }
    Ok(renewed)
}

fn replace(path: &Path, bytes: &[u8], readers: Readers) -> Result<(), InitError> {
    private_file::replace(path, bytes, readers).map_err(|source| InitError::Write {
        path: path.to_owned(),
        source,
    })
}

/// The names and addresses of hosts in a certificate.
fn names(path: &Path) -> Result<Vec<String>, InitError> {
    let unusable = |cause: String| InitError::Missing {
        path: path.to_owned(),
        cause,
    };
    let text = fs::read(path).map_err(|error| unusable(error.to_string()))?;
    let (_, pem) = x509_parser::pem::parse_x509_pem(&text).map_err(|error| unusable(error.to_string()))?;
    let certificate = pem.parse_x509().map_err(|error| unusable(error.to_string()))?;
    let alternatives = certificate
        .subject_alternative_name()
        .map_err(|error| unusable(error.to_string()))?;
    let mut hosts = Vec::new();
    if let Some(alternatives) = alternatives {
        for name in &alternatives.value.general_names {
            match name {
                GeneralName::DNSName(name) => hosts.push((*name).to_owned()),
                GeneralName::IPAddress(bytes) => {
                    hosts.extend(address(bytes).map(|address| address.to_string()));
                }
                // The URI says which node it is, and follows from its number.
                _ => {}
            }
        }
    }
    Ok(hosts)
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(bytes) = <[u8; 4]>::try_from(bytes) {
        return Some(bytes.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
