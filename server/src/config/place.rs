//! What one node has for itself when many share a configuration file: its number, its address, where it stands.
//!
//! Invariant: what is given here wins over the file, and is checked as if it stood there. Not here: where it comes from, which
//! are the options of `stator serve` and its environment.

use std::path::{Path, PathBuf};

use super::{Config, HostPort};

/// Stands for the node's number in the paths of its certificate and key.
const NODE: &str = "{node}";

/// How far the numbers of nodes are apart that follow each other at one place: more than any cluster has nodes.
pub(crate) const LIFE: u64 = 1000;

/// What wins over a configuration file.
#[derive(Debug, Clone, Default)]
pub(crate) struct Place {
    /// `node.id`
    pub(crate) node: Option<u64>,
    /// `node.address`
    pub(crate) address: Option<HostPort>,
    /// `node.zone`
    pub(crate) zone: Option<String>,
    /// `node.rack`
    pub(crate) rack: Option<String>,
    /// `node.data_dir`
    pub(crate) data_dir: Option<PathBuf>,
}

impl Place {
    /// Puts it into a configuration that was read and not checked yet.
    pub(super) fn apply(&self, config: &mut Config) {
        let node = &mut config.node;
        node.id = self.node.unwrap_or(node.id);
        if let Some(address) = &self.address {
            node.address = address.clone();
        }
        if let Some(zone) = &self.zone {
            node.zone.clone_from(zone);
        }
        if let Some(rack) = &self.rack {
            node.rack.clone_from(rack);
        }
        if let Some(data_dir) = &self.data_dir {
            node.data_dir.clone_from(data_dir);
        }
        let (id, security, http) = (node.id, &mut config.security, &mut config.http);
        let paths = [&mut security.certificate, &mut security.key];
        for path in paths
            .into_iter()
            .chain(&mut http.certificate)
            .chain(&mut http.key)
        {
            *path = of_node(path, id);
        }
    }
}

/// A path with the node's number in it.
fn of_node(path: &Path, id: u64) -> PathBuf {
    match path.to_str() {
        Some(text) => text.replace(NODE, &id.to_string()).into(),
        None => path.to_owned(),
    }
}

/// The number of a node that is named like a pod of a stateful set, whose ordinals begin with 0 while nodes begin with 1.
///
/// # Errors
/// A sentence, when the name does not end with an ordinal.
pub(crate) fn node_of_name(name: &str) -> Result<u64, String> {
    let ordinal = name.rsplit_once('-').map(|(_, ordinal)| ordinal);
    ordinal
        .filter(|ordinal| ordinal.bytes().all(|byte| byte.is_ascii_digit()))
        .and_then(|ordinal| ordinal.parse::<u64>().ok())
        .and_then(|ordinal| ordinal.checked_add(1))
        .ok_or_else(|| format!("`{name}` does not end with `-` and a number, like stator-0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_takes_its_number_from_the_end_of_its_name() {
        assert_eq!(node_of_name("stator-0"), Ok(1));
        assert_eq!(node_of_name("my-stator-12"), Ok(13));
        for wrong in [
            "stator",
            "stator-",
            "stator-x",
            "stator-+1",
            "7",
            "s-18446744073709551615",
        ] {
            assert!(node_of_name(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_path_may_name_the_node() {
        assert_eq!(
            of_node(Path::new("/certs/node-{node}.pem"), 7),
            Path::new("/certs/node-7.pem")
        );
        assert_eq!(of_node(Path::new("node.pem"), 7), Path::new("node.pem"));
    }
}
