//! Which versions must be kept when entries are written anew.
//!
//! Invariant: a read at any boundary, or at a sequence number newer than all of them, gives the same answer before and
//! after. Boundaries are the sequence numbers that snapshots hold and the one that is published.

use crate::entry::{EntryKind, SequenceNumber};

/// Sees the versions of one keyspace in order and says which of them to keep.
#[derive(Debug)]
pub(crate) struct Retention {
    /// Ascending.
    boundaries: Vec<SequenceNumber>,
    /// Nothing older than the input exists for these keys, so that a tombstone hides nothing.
    bottom: bool,
    key: Vec<u8>,
    key_is_set: bool,
    /// The boundary that the version before, of the same key, answers for.
    answered: Option<usize>,
}

impl Retention {
    pub(crate) fn new(boundaries: Vec<SequenceNumber>, bottom: bool) -> Self {
        Self {
            boundaries,
            bottom,
            key: Vec::new(),
            key_is_set: false,
            answered: None,
        }
    }

    /// Whether to keep this version. Versions come in order: by key, newest first.
    pub(crate) fn keep(&mut self, key: &[u8], sequence: SequenceNumber, kind: EntryKind) -> bool {
        if !self.key_is_set || self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.key_is_set = true;
            self.answered = None;
        }
        // The oldest boundary that sees this version; versions newer than all boundaries are kept for those to come.
        let boundary = self.boundaries.partition_point(|boundary| *boundary < sequence);
        if boundary == self.boundaries.len() {
            return true;
        }
        if self.answered.replace(boundary) == Some(boundary) {
            return false;
        }
        !(kind == EntryKind::Delete && self.bottom && boundary == 0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;

    /// What a read at `sequence` finds among versions that come newest first.
    fn read(versions: &[(u64, EntryKind)], sequence: u64) -> Option<u64> {
        let newest = versions.iter().find(|version| version.0 <= sequence)?;
        (newest.1 == EntryKind::Put).then_some(newest.0)
    }

    proptest! {
        #[test]
        fn every_boundary_reads_the_same_before_and_after(
            kinds in vec(any::<bool>(), 1..20),
            boundaries in btree_set(0_u64..25, 1..5),
            bottom in any::<bool>(),
        ) {
            let versions: Vec<(u64, EntryKind)> = kinds
                .iter()
                .enumerate()
                .map(|(at, put)| (at as u64 + 1, if *put { EntryKind::Put } else { EntryKind::Delete }))
                .rev()
                .collect();
            let boundaries: Vec<u64> = boundaries.into_iter().collect();
            let mut retention = Retention::new(boundaries.clone(), bottom);
            let kept: Vec<_> =
                versions.iter().copied().filter(|(sequence, kind)| retention.keep(b"k", *sequence, *kind)).collect();
            let newest = boundaries.last().copied().unwrap();
            for sequence in boundaries.into_iter().chain(newest..30) {
                prop_assert_eq!(read(&kept, sequence), read(&versions, sequence));
            }
        }
    }

    #[test]
    fn overwritten_versions_and_bottom_tombstones_go() {
        let mut retention = Retention::new(vec![10], true);
        assert!(retention.keep(b"a", 9, EntryKind::Put));
        assert!(!retention.keep(b"a", 8, EntryKind::Put));
        assert!(!retention.keep(b"b", 9, EntryKind::Delete));
        assert!(!retention.keep(b"b", 3, EntryKind::Put));
        assert!(retention.keep(b"c", 11, EntryKind::Delete));
        assert!(Retention::new(vec![10], false).keep(b"b", 9, EntryKind::Delete));
    }
}
