//! Whose data a directory holds: the file `NODE`, and the rules by which a node starts under its old identity or not.
//!
//! Invariant: an incarnation is durable before anything is sent under it, and is never used twice; a node that lost
//! data it may have voted on never starts as if it had not. The rules ([`decide`]) are a pure function; [`start`]
//! carries them out. The format is described in `docs/format/node.md`. Not here: who remembers what the cluster knows.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use uuid::Uuid;

use crate::world::NodeId;
use stator_storage::vfs::Vfs;

/// The file's name, in the directory of the engine.
pub const FILE_NAME: &str = "NODE";
/// What is written before it takes the file's place. The engine removes files of this extension when it opens.
const TEMPORARY_NAME: &str = "NODE.tmp";
const MAGIC: &[u8; 8] = b"STATORND";
/// The only version of the format.
const FORMAT_VERSION: u32 = 1;
/// Magic, version and checksum, the same in all versions.
const HEAD_BYTES: usize = 16;
const BODY_BYTES: usize = 33;
const FILE_BYTES: usize = HEAD_BYTES + BODY_BYTES;

/// Whether the replicas that the cluster counts for this node are those of its directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// They are: the node votes.
    Member,
    /// They are not, because the directory was lost or is out of date: the node has no vote under any replica id from
    /// before, until it has been given new ones ([`finish_rejoin`]).
    Rejoining,
}

/// Whose data a directory holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeIdentity {
    /// The cluster.
    pub cluster: Uuid,
    /// The node.
    pub node: NodeId,
    /// How often the node was started.
    pub incarnation: u64,
    /// Whether it may vote as what it was before.
    pub standing: Standing,
}

/// What the configuration says about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Expected {
    /// The cluster that the node belongs to.
    pub cluster: Uuid,
    /// The node.
    pub node: NodeId,
    /// The operator agrees that a directory restored from an old copy is given up and filled again by the cluster.
    pub rejoin: bool,
}

/// What the cluster knows about a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Known {
    /// The node.
    pub node: NodeId,
    /// The highest incarnation that was seen of it.
    pub incarnation: u64,
    /// Its replicas have lost their vote, because it lost its directory, and have not all been replaced yet.
    pub wiped: bool,
}

/// What came of asking the cluster about a node. It is asked before the node starts: afterwards the answer may already
/// contain the incarnation that just began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Nobody could be asked.
    Nobody,
    /// The cluster has never seen the node. Also the answer for the node that makes a new cluster.
    Unknown,
    /// What the cluster knows.
    Known(Known),
}

/// Why a node does not start. Each says what to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The directory belongs to another cluster.
    #[error(
        "this directory belongs to cluster {found}, not to {expected}: correct the cluster id or the data directory in \
         the configuration; to give the data up, empty the directory"
    )]
    OtherCluster {
        /// The cluster in the file.
        found: Uuid,
        /// The cluster of the configuration.
        expected: Uuid,
    },
    /// The directory belongs to another node.
    #[error(
        "this directory belongs to node {found}, not to node {expected}: correct the node id or the data directory in \
         the configuration; a copy of another node's directory must be emptied, the cluster fills it again"
    )]
    OtherNode {
        /// The node in the file.
        found: NodeId,
        /// The node of the configuration.
        expected: NodeId,
    },
    /// The cluster has seen later starts of the node than the directory has.
    #[error(
        "this directory was restored from an old copy: it was last started as incarnation {found}, the cluster has \
         seen incarnation {known} of this node. What it voted for and acknowledged since is missing. Bring back the \
         latest directory, or let the node rejoin: empty the directory or allow `rejoin`, and the cluster fills it again"
    )]
    OldCopy {
        /// The incarnation in the file.
        found: u64,
        /// The one that the cluster has seen.
        known: u64,
    },
    /// The directory is empty, and nobody could say whether it always was.
    #[error(
        "this directory has no identity, and no node of cluster {cluster} could be asked whether it knows node {node}: \
         check the addresses to join and start the other nodes first; a node that makes a new cluster has to be told so"
    )]
    NobodyToAsk {
        /// The cluster of the configuration.
        cluster: Uuid,
        /// The node of the configuration.
        node: NodeId,
    },
    /// What was asked of the cluster is about another node.
    #[error("the cluster answered about node {answered}, not about node {expected}: ask again for this node")]
    OtherAnswer {
        /// The node of the answer.
        answered: NodeId,
        /// The node of the configuration.
        expected: NodeId,
    },
    /// There is no further incarnation.
    #[error("node {node} has used all incarnations: give the node a new id")]
    NoIncarnationLeft {
        /// The node.
        node: NodeId,
    },
}

/// Errors of reading, writing and checking the file.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The disk failed.
    #[error("cannot {action} {path}: {source}; check the disk and the rights of the directory")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are not what was written.
    #[error(
        "{path} is damaged ({cause}): restore it from the same state of this directory, or empty the directory, and the \
         cluster fills it again"
    )]
    Corruption {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        cause: &'static str,
    },
    /// The file was written by a later program.
    #[error(
        "{path} has format version {found}, this program knows version {FORMAT_VERSION}: start it with the program \
         that wrote it or a later one"
    )]
    UnknownVersion {
        /// The file.
        path: PathBuf,
        /// The version in the file.
        found: u32,
    },
    /// The rules do not let the node start.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

impl Error {
    fn io<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + 'a {
        move |source| Self::Io {
            action,
            path: path.to_owned(),
            source,
        }
    }
}

impl fmt::Display for NodeIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "node {} of cluster {}, incarnation {}",
            self.node, self.cluster, self.incarnation
        )
    }
}

/// Decides under which identity a node starts, from what its directory holds, what the configuration says and what
/// the cluster answered.
///
/// A directory without an identity is that of a new node only if the cluster says that it does not know the node. If it
/// does, the directory was wiped, and the node rejoins. The identity that is returned is to be made durable before
/// anything is sent.
///
/// # Errors
///
/// The reason not to start, which says what to do.
pub fn decide(
    found: Option<&NodeIdentity>,
    expected: &Expected,
    answer: &Answer,
) -> Result<NodeIdentity, Refusal> {
    let known = match answer {
        Answer::Known(known) => Some(known),
        Answer::Nobody | Answer::Unknown => None,
    };
    check_owner(found, expected, known)?;
    let seen = known.map_or(0, |known| known.incarnation);
    let wiped = known.is_some_and(|known| known.wiped);
    let (last, standing) = match found {
        None if *answer == Answer::Nobody => {
            return Err(Refusal::NobodyToAsk {
                cluster: expected.cluster,
                node: expected.node,
            });
        }
        None if known.is_none() => (0, Standing::Member),
        // Nobody may have heard of the last starts from the directory that is gone.
        None => (seen.saturating_add(UNHEARD_STARTS), Standing::Rejoining),
        Some(found) if found.incarnation < seen && !expected.rejoin => {
            return Err(Refusal::OldCopy {
                found: found.incarnation,
                known: seen,
            });
        }
        Some(found) if found.incarnation < seen || wiped => {
            (found.incarnation.max(seen), Standing::Rejoining)
        }
        Some(found) => (found.incarnation, found.standing),
    };
    let incarnation = last
        .checked_add(1)
        .ok_or(Refusal::NoIncarnationLeft { node: expected.node })?;
    Ok(NodeIdentity {
        cluster: expected.cluster,
        node: expected.node,
        incarnation,
        standing,
    })
}

/// So many starts of a node may there have been since the last one that another node knows of, when its directory is lost.
const UNHEARD_STARTS: u64 = 16;

/// Whether directory, configuration and answer speak of the same node.
fn check_owner(
    found: Option<&NodeIdentity>,
    expected: &Expected,
    known: Option<&Known>,
) -> Result<(), Refusal> {
    if let Some(answer) = known.filter(|known| known.node != expected.node) {
        return Err(Refusal::OtherAnswer {
            answered: answer.node,
            expected: expected.node,
        });
    }
    match found {
        Some(found) if found.cluster != expected.cluster => Err(Refusal::OtherCluster {
            found: found.cluster,
            expected: expected.cluster,
        }),
        Some(found) if found.node != expected.node => Err(Refusal::OtherNode {
            found: found.node,
            expected: expected.node,
        }),
        _ => Ok(()),
    }
}

/// Starts a node in a directory: reads its identity, decides, and makes the raised incarnation durable. The engine's
/// lock on the directory has to be held, so that no other process does the same.
///
/// # Errors
///
/// Those of the disk, a damaged file, or the reason not to start.
pub fn start(
    vfs: &dyn Vfs,
    directory: &Path,
    expected: &Expected,
    answer: &Answer,
) -> Result<NodeIdentity, Error> {
    let found = read(vfs, directory)?;
    let identity = decide(found.as_ref(), expected, answer)?;
    write(vfs, directory, &identity)?;
    Ok(identity)
}

/// Notes durably that a node which rejoined has been given new replicas for all that it had before, so that it votes
/// again. No effect on a node that did not rejoin.
///
/// # Errors
///
/// Those of the disk, or a damaged or missing file.
pub fn finish_rejoin(vfs: &dyn Vfs, directory: &Path) -> Result<NodeIdentity, Error> {
    let found = read(vfs, directory)?.ok_or_else(|| {
        let missing = io::Error::from(io::ErrorKind::NotFound);
        Error::io("open", &directory.join(FILE_NAME))(missing)
    })?;
    if found.standing == Standing::Member {
        return Ok(found);
    }
    let identity = NodeIdentity {
        standing: Standing::Member,
        ..found
    };
    write(vfs, directory, &identity)?;
    Ok(identity)
}

/// Reads the identity of a directory; `None` if it has none.
///
/// # Errors
///
/// Those of the disk, and a file that is damaged or of a later version.
pub fn read(vfs: &dyn Vfs, directory: &Path) -> Result<Option<NodeIdentity>, Error> {
    let path = directory.join(FILE_NAME);
    let file = match vfs.open(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(Error::io("open", &path))?,
    };
    let size = file.size().map_err(Error::io("measure", &path))?;
    // A later version may have a longer body; nothing sensible is longer than a sector.
    let size = usize::try_from(size)
        .ok()
        .filter(|size| *size <= 512)
        .ok_or_else(|| Error::Corruption {
            path: path.clone(),
            cause: "it is too long",
        })?;
    let mut bytes = vec![0; size];
    file.read_exact_at(&mut bytes, 0)
        .map_err(Error::io("read", &path))?;
    decode(&bytes, &path).map(Some)
}

/// Gives the directory an identity in one step: a crash leaves the old one or the new one. Durable on return.
fn write(vfs: &dyn Vfs, directory: &Path, identity: &NodeIdentity) -> Result<(), Error> {
    let path = directory.join(FILE_NAME);
    let temporary = directory.join(TEMPORARY_NAME);
    match vfs.remove(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            return Err(Error::io("remove", &temporary)(error));
        }
        _ => {}
    }
    let file = vfs.create(&temporary).map_err(Error::io("create", &temporary))?;
    file.write_all_at(&encode(identity), 0)
        .map_err(Error::io("write", &temporary))?;
    file.sync_data().map_err(Error::io("sync", &temporary))?;
    vfs.rename(&temporary, &path)
        .map_err(Error::io("rename", &temporary))?;
    vfs.sync_dir(directory).map_err(Error::io("sync", directory))
}

fn checksum(head: &[u8], body: &[u8]) -> u32 {
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(head);
    hasher.update(body);
    hasher.finalize()
}

fn encode(identity: &NodeIdentity) -> Vec<u8> {
    let mut head = Vec::with_capacity(FILE_BYTES);
    head.extend_from_slice(MAGIC);
    head.extend_from_slice(&FORMAT_VERSION.to_le_bytes());
    let mut body = Vec::with_capacity(BODY_BYTES);
    body.extend_from_slice(identity.cluster.as_bytes());
    body.extend_from_slice(&identity.node.0.to_le_bytes());
    body.extend_from_slice(&identity.incarnation.to_le_bytes());
    body.push(match identity.standing {
        Standing::Member => 0,
        Standing::Rejoining => 1,
    });
    let sum = checksum(&head, &body);
    head.extend_from_slice(&sum.to_le_bytes());
    head.extend_from_slice(&body);
    head
}

fn decode(bytes: &[u8], path: &Path) -> Result<NodeIdentity, Error> {
    let corruption = |cause| Error::Corruption {
        path: path.to_owned(),
        cause,
    };
    let short = || corruption("it is cut short");
    let (head, rest) = bytes.split_first_chunk::<12>().ok_or_else(short)?;
    let (sum, body) = rest.split_first_chunk::<4>().ok_or_else(short)?;
    let (magic, version) = head.split_first_chunk::<8>().ok_or_else(short)?;
    if magic != MAGIC {
        return Err(corruption("it does not begin with STATORND"));
    }
    if checksum(head, body) != u32::from_le_bytes(*sum) {
        return Err(corruption("its checksum does not fit"));
    }
    let version = u32::from_le_bytes(*version.first_chunk::<4>().ok_or_else(short)?);
    if version != FORMAT_VERSION {
        return Err(Error::UnknownVersion {
            path: path.to_owned(),
            found: version,
        });
    }
    let (cluster, rest) = body.split_first_chunk::<16>().ok_or_else(short)?;
    let (node, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let (incarnation, rest) = rest.split_first_chunk::<8>().ok_or_else(short)?;
    let standing = match rest {
        [0] => Standing::Member,
        [1] => Standing::Rejoining,
        [] => return Err(short()),
        _ => return Err(corruption("its standing is none of those that there are")),
    };
    Ok(NodeIdentity {
        cluster: Uuid::from_bytes(*cluster),
        node: NodeId(u64::from_le_bytes(*node)),
        incarnation: u64::from_le_bytes(*incarnation),
        standing,
    })
}

#[cfg(test)]
mod tests;
