//! The first words on a connection: who speaks, and which versions of the protocol both know.
//!
//! Invariant: these messages are understood by every version of the program, so that two that do not understand each
//! other can say so. Fields are added, never changed; a reader skips those it does not know. Pure.

use super::identity::CertifiedNode;

/// The versions of the protocol behind the hello that this program speaks. The format is `docs/format/transport.md`.
pub(super) const VERSIONS: &[u32] = &[1];

/// No hello or reply is longer.
pub(super) const HELLO_BYTES_MAX: usize = 16 << 10;

/// What each side says about itself.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Hello {
    /// The protocol versions that it speaks.
    #[prost(uint32, repeated, tag = "1")]
    pub(super) versions: Vec<u32>,
    /// Its cluster.
    #[prost(string, tag = "2")]
    pub(super) cluster: String,
    /// Its node id.
    #[prost(uint64, tag = "3")]
    pub(super) node: u64,
    /// The incarnation of its data directory.
    #[prost(uint64, tag = "4")]
    pub(super) incarnation: u64,
    /// The version of its program, for people.
    #[prost(string, tag = "5")]
    pub(super) program: String,
}

/// The answer to a hello.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Reply {
    /// The hello of the node that answers.
    #[prost(message, optional, tag = "1")]
    pub(super) hello: Option<Hello>,
    /// The version to go on with; 0 when it refuses.
    #[prost(uint32, tag = "2")]
    pub(super) version: u32,
    /// Why it refuses, for people.
    #[prost(string, tag = "3")]
    pub(super) refusal: String,
}

/// Why two nodes do not go on after the hello.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum HelloError {
    #[error(
        "no common protocol version: {ours} speaks {our_versions}, {theirs} speaks {their_versions}; upgrade the older \
         program one release at a time"
    )]
    Versions {
        ours: String,
        our_versions: String,
        theirs: String,
        their_versions: String,
    },
    #[error(
        "says that it is {said}, but has the certificate of {certificate}; give it the files made for it"
    )]
    Identity { said: String, certificate: String },
    #[error(
        "{theirs} is of another cluster than {ours}; give it this cluster's address, or its own certificate"
    )]
    Cluster { ours: String, theirs: String },
    #[error("answered with protocol version {version}, which was not offered")]
    NotOffered { version: u32 },
}

/// The highest version that both know.
fn agree(ours: &[u32], theirs: &[u32]) -> Option<u32> {
    ours.iter()
        .copied()
        .filter(|version| *version != 0 && theirs.contains(version))
        .max()
}

/// Whether a peer is who its certificate says, of our cluster, and understood; the version to go on with.
pub(super) fn judge(
    ours: &CertifiedNode,
    our_versions: &[u32],
    certificate: &CertifiedNode,
    theirs: &Hello,
) -> Result<u32, HelloError> {
    if theirs.cluster != certificate.cluster.as_ref() || theirs.node != certificate.node.0 {
        return Err(HelloError::Identity {
            said: format!("node {} of cluster {}", theirs.node, theirs.cluster),
            certificate: certificate.to_string(),
        });
    }
    if certificate.cluster != ours.cluster {
        return Err(HelloError::Cluster {
            ours: ours.to_string(),
            theirs: certificate.to_string(),
        });
    }
    agree(our_versions, &theirs.versions).ok_or_else(|| HelloError::Versions {
        ours: format!("node {}", ours.node),
        our_versions: listed(our_versions),
        theirs: format!("node {}", certificate.node),
        their_versions: listed(&theirs.versions),
    })
}

fn listed(versions: &[u32]) -> String {
    if versions.is_empty() {
        return "none".to_owned();
    }
    let versions: Vec<String> = versions.iter().take(16).map(u32::to_string).collect();
    versions.join(", ")
}

#[cfg(test)]
mod tests {
    use prost::Message as _;

    use super::*;
    use crate::world::NodeId;

    fn identity(cluster: &str, node: u64) -> CertifiedNode {
        CertifiedNode {
            cluster: cluster.parse().unwrap(),
            node: NodeId(node),
        }
    }

    fn hello(cluster: &str, node: u64, versions: &[u32]) -> Hello {
        Hello {
            versions: versions.to_vec(),
            cluster: cluster.to_owned(),
            node,
            incarnation: 3,
            program: "0.1.0".to_owned(),
        }
    }

    #[test]
    fn the_highest_common_version_is_taken() {
        let (ours, theirs) = (identity("blue", 1), identity("blue", 2));
        let judged = |versions: &[u32]| judge(&ours, &[1, 2, 3], &theirs, &hello("blue", 2, versions));
        assert_eq!(judged(&[2, 3, 4]), Ok(3));
        assert_eq!(judged(&[2, 1]), Ok(2));
        let error = judged(&[4, 5]).unwrap_err().to_string();
        assert!(
            error.contains("node 1 speaks 1, 2, 3, node 2 speaks 4, 5"),
            "{error}"
        );
        assert!(
            judged(&[])
                .unwrap_err()
                .to_string()
                .contains("node 2 speaks none")
        );
        assert!(judge(&ours, &[0], &theirs, &hello("blue", 2, &[0])).is_err());
    }

    #[test]
    fn a_node_that_is_not_what_its_certificate_says_is_refused() {
        let ours = identity("blue", 1);
        let error = judge(&ours, &[1], &identity("blue", 3), &hello("blue", 2, &[1])).unwrap_err();
        assert!(matches!(error, HelloError::Identity { .. }), "{error}");
        let error = judge(&ours, &[1], &identity("red", 2), &hello("red", 2, &[1])).unwrap_err();
        assert!(matches!(error, HelloError::Cluster { .. }), "{error}");
    }

    #[test]
    fn fields_of_later_versions_are_skipped() {
        let mut bytes = hello("blue", 2, &[1]).encode_to_vec();
        // Field 99, a string.
        bytes.extend_from_slice(&[0x9a, 0x06, 0x02, b'h', b'i']);
        assert_eq!(Hello::decode(bytes.as_slice()), Ok(hello("blue", 2, &[1])));
    }
}
