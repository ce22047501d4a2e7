//! The number of a node that is named by its place, like a pod of a stateful set.
//!
//! A number is used once in the life of a cluster, while a place is taken again and again: a node that has left may be followed
//! by another one at its place, with an empty directory. Invariant: the first node of a place has the place's own number, each
//! that follows one that is [`LIFE`] higher; which one it is lies in the data directory, so that it goes with the data. Not here:
//! who says that a node has left (`stator_cluster`).

use std::fs;
use std::io;
use std::path::Path;

use stator_cluster::{NodeId, PosixVfs, identity};

use crate::cli::private_file::{self, Readers};
use crate::config::place::LIFE;
use crate::node;

/// The file, in the data directory.
const FILE: &str = "number";

/// The number of the node at a place, whose first node has this one.
///
/// # Errors
/// When the file cannot be read, or has another place's number in it.
pub(super) fn of_place(data_dir: &Path, first: u64) -> io::Result<u64> {
    let path = data_dir.join(FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(first),
        Err(error) => return Err(error),
    };
    let number = text
        .trim()
        .parse()
        .ok()
        .filter(|number| number % LIFE == first % LIFE);
    number.ok_or_else(|| {
        let path = path.display();
        io::Error::other(format!(
            "{path} is not of node {first}: this is another node's directory"
        ))
    })
}

/// Gives the place a new number, after the cluster has said that the node has left; `None` when the directory holds that node's
/// data, which the operator has to part with.
///
/// # Errors
/// When the directory cannot be read or written to.
pub(super) fn renew(data_dir: &Path, left: NodeId) -> io::Result<Option<u64>> {
    let found = identity::read(&PosixVfs, &node::data_of(data_dir)).map_err(io::Error::other)?;
    if found.is_some() {
        return Ok(None);
    }
    let next = left.0.saturating_add(LIFE);
    let path = data_dir.join(FILE);
    if path.try_exists()? {
        fs::remove_file(&path)?;
    }
    private_file::create(&path, format!("{next}\n").as_bytes(), Readers::All)?;
    private_file::sync_directory(data_dir)?;
    Ok(Some(next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_gets_another_number_when_its_node_has_left() {
        let directory = tempfile::tempdir().unwrap();
        let data_dir = directory.path();
        assert_eq!(of_place(data_dir, 4).unwrap(), 4);
        assert_eq!(renew(data_dir, NodeId(4)).unwrap(), Some(1004));
        assert_eq!(of_place(data_dir, 4).unwrap(), 1004);
        assert_eq!(renew(data_dir, NodeId(1004)).unwrap(), Some(2004));
        assert_eq!(of_place(data_dir, 4).unwrap(), 2004);
        let refused = of_place(data_dir, 5).unwrap_err().to_string();
        assert!(refused.contains("another node's directory"), "{refused}");
    }
}
