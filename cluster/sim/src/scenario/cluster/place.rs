//! Where the clients' cells are: keyspaces by name, keys by number, and spans of keys.
//!
//! Invariant: a place means the same cell on every node, whatever ids their engines have given out; a keyspace that is
//! made again under its old name is another place.

use std::fmt;
use std::ops::Bound;

use stator_cluster::Bounds;
use xxhash_rust::xxh3::xxh3_64;

/// The name under which the cluster's own keyspace of metadata is meant.
const METADATA: &str = "(metadata)";

/// The name of a keyspace, and which of those that had the name one after the other it is.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct KeyspaceName {
    /// The name.
    pub(super) name: String,
    /// How many there were before it.
    pub(super) generation: u32,
}

impl KeyspaceName {
    /// The first keyspace of a name.
    pub(super) fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            generation: 0,
        }
    }

    /// The metadata keyspace, which is always there.
    pub(super) fn metadata() -> Self {
        Self::new(METADATA)
    }

    /// Whether it is the metadata keyspace.
    pub(super) fn is_metadata(&self) -> bool {
        self.name == METADATA
    }
}

impl fmt::Display for KeyspaceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.name)?;
        if self.generation > 0 {
            write!(f, " ({})", self.generation + 1)?;
        }
        Ok(())
    }
}

/// A cell's place.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Place {
    /// The keyspace.
    pub(super) keyspace: KeyspaceName,
    /// The key.
    pub(super) key: u64,
}

impl Place {
    /// The key bytes: token first, as the cluster wants them.
    pub(super) fn key_bytes(&self) -> Vec<u8> {
        key_bytes(&self.keyspace, self.key)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.keyspace, self.key)
    }
}

/// Metadata has no tokens, but keys that begin with zero are the cluster's own.
fn key_bytes(keyspace: &KeyspaceName, key: u64) -> Vec<u8> {
    let number = key.to_be_bytes();
    let head: &[u8] = if keyspace.is_metadata() { &[1] } else { &[] };
    [head, &xxh3_64(&number).to_be_bytes(), &number].concat()
}

/// A span of a keyspace: the keys from one to another, both included, in the order of their bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// The keyspace.
    pub(super) keyspace: KeyspaceName,
    /// The key at the lower end; `None` is no end.
    pub(super) from: Option<u64>,
    /// The key at the upper end; `None` is no end.
    pub(super) to: Option<u64>,
}

impl Span {
    /// All of a keyspace.
    pub(super) fn all(keyspace: KeyspaceName) -> Self {
        Self {
            keyspace,
            from: None,
            to: None,
        }
    }

    /// The span in key bytes.
    pub(super) fn bounds(&self) -> Bounds {
        let bound = |end: Option<u64>| {
            end.map_or(Bound::Unbounded, |key| {
                Bound::Included(key_bytes(&self.keyspace, key))
            })
        };
        Bounds {
            start: bound(self.from),
            end: bound(self.to),
        }
    }

    /// Whether key bytes lie in it.
    pub(super) fn holds(&self, key: &[u8]) -> bool {
        self.from
            .is_none_or(|from| key_bytes(&self.keyspace, from).as_slice() <= key)
            && self
                .to
                .is_none_or(|to| key <= key_bytes(&self.keyspace, to).as_slice())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_holds_what_lies_between_its_ends() {
        let mut keys: Vec<u64> = (0..10).collect();
        let key_bytes = |key| key_bytes(&KeyspaceName::new("main"), key);
        keys.sort_by_key(|key| key_bytes(*key));
        let span = Span {
            keyspace: KeyspaceName::new("main"),
            from: Some(keys[2]),
            to: Some(keys[5]),
        };
        let held: Vec<u64> = keys
            .iter()
            .copied()
            .filter(|key| span.holds(&key_bytes(*key)))
            .collect();
        assert_eq!(held, keys[2..=5]);
        assert!(Span::all(KeyspaceName::new("main")).holds(&key_bytes(3)));
    }

    #[test]
    fn a_keyspace_that_is_made_again_is_another_place() {
        let first = KeyspaceName::new("a");
        let second = KeyspaceName {
            generation: 1,
            ..first.clone()
        };
        assert_ne!(first, second);
        assert_eq!(
            (first.to_string(), second.to_string()),
            ("a".into(), "a (2)".into())
        );
        assert!(KeyspaceName::metadata().is_metadata() && !first.is_metadata());
    }
}
