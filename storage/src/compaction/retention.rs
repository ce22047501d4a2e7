//! Which versions must be kept when entries are written anew.
//!
//! Invariant: a read at any boundary, or at a sequence number newer than all of them, gives the same answer before and
//! after, except that a value which the owner calls expired may read as absent to readers of the present. Boundaries are
//! the sequence numbers that snapshots hold and the one that is published.

use super::filter::CompactionRules;
use crate::entry::{EntryKind, KeyspaceId, SequenceNumber};

/// What becomes of a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    /// It is written again.
    Keep,
    /// It goes: a newer one hides it from every reader.
    Hidden,
    /// The value has expired: a tombstone is written in its place.
    Bury,
    /// The value has expired, and nothing older is left that a tombstone would hide.
    Expire,
    /// The tombstone goes: nothing older is left that it would hide.
    Purge,
}

/// Sees the versions of one keyspace in order and says which of them to keep.
#[derive(Debug)]
pub(crate) struct Retention<'a> {
    keyspace: KeyspaceId,
    rules: &'a dyn CompactionRules,
    /// Ascending; the last one is for readers of the present, those before it are held by snapshots.
    boundaries: Vec<SequenceNumber>,
    /// Nothing older than the input exists for these keys, so that a tombstone hides nothing.
    bottom: bool,
    key: Vec<u8>,
    key_is_set: bool,
    /// The boundary that the version before, of the same key, answers for.
    answered: Option<usize>,
}

impl<'a> Retention<'a> {
    pub(crate) fn new(
        keyspace: KeyspaceId,
        rules: &'a dyn CompactionRules,
        boundaries: Vec<SequenceNumber>,
        bottom: bool,
    ) -> Self {
        Self {
            keyspace,
            rules,
            boundaries,
            bottom,
            key: Vec::new(),
            key_is_set: false,
            answered: None,
        }
    }

    /// What becomes of this version. Versions come in order: by key, newest first.
    pub(crate) fn decide(
        &mut self,
        key: &[u8],
        sequence: SequenceNumber,
        kind: EntryKind,
        value: &[u8],
    ) -> Decision {
        if !self.key_is_set || self.key != key {
            self.key.clear();
            self.key.extend_from_slice(key);
            self.key_is_set = true;
            self.answered = None;
        }
        // The oldest boundary that sees this version; versions newer than all boundaries are kept for those to come.
        let boundary = self.boundaries.partition_point(|boundary| *boundary < sequence);
        if boundary == self.boundaries.len() {
            return Decision::Keep;
        }
        if self.answered.replace(boundary) == Some(boundary) {
            return Decision::Hidden;
        }
        let hides_nothing = self.bottom && boundary == 0;
        match kind {
            EntryKind::Delete if hides_nothing && self.rules.may_purge(self.keyspace, key, sequence) => {
                Decision::Purge
            }
            // Only readers of the present see it, at the last boundary.
            EntryKind::Put
                if boundary + 1 == self.boundaries.len()
                    && self.rules.is_expired(self.keyspace, key, value) =>
            {
                if hides_nothing {
                    Decision::Expire
                } else {
                    Decision::Bury
                }
            }
            EntryKind::Put | EntryKind::Delete => Decision::Keep,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::{btree_set, vec};
    use proptest::prelude::*;

    use super::*;
    use crate::compaction::filter::KeepAll;

    const KEYSPACE: KeyspaceId = KeyspaceId(1);

    /// Values that begin with a 0 have expired; tombstones go when their number is even.
    #[derive(Debug)]
    struct Rule;

    impl CompactionRules for Rule {
        fn is_expired(&self, _keyspace: KeyspaceId, _key: &[u8], value: &[u8]) -> bool {
            value.starts_with(b"0")
        }

        fn may_purge(&self, _keyspace: KeyspaceId, _key: &[u8], sequence: SequenceNumber) -> bool {
            sequence.is_multiple_of(2)
        }
    }

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
            let mut retention = Retention::new(KEYSPACE, &KeepAll, boundaries.clone(), bottom);
            let kept: Vec<_> =
                versions.iter().copied().filter(|(sequence, kind)| retention.decide(b"k", *sequence, *kind, b"") == Decision::Keep).collect();
            let newest = boundaries.last().copied().unwrap();
            for sequence in boundaries.into_iter().chain(newest..30) {
                prop_assert_eq!(read(&kept, sequence), read(&versions, sequence));
            }
        }
    }

    #[test]
    fn overwritten_versions_and_bottom_tombstones_go() {
        use EntryKind::{Delete, Put};
        let mut retention = Retention::new(KEYSPACE, &KeepAll, vec![10], true);
        let mut decide = |key: &[u8], sequence, kind| retention.decide(key, sequence, kind, b"");
        assert_eq!(decide(b"a", 9, Put), Decision::Keep);
        assert_eq!(decide(b"a", 8, Put), Decision::Hidden);
        assert_eq!(decide(b"b", 9, Delete), Decision::Purge);
        assert_eq!(decide(b"b", 3, Put), Decision::Hidden);
        assert_eq!(decide(b"c", 11, Delete), Decision::Keep);
        let mut above = Retention::new(KEYSPACE, &KeepAll, vec![10], false);
        assert_eq!(above.decide(b"b", 9, Delete, b""), Decision::Keep);
    }

    #[test]
    fn the_owner_says_what_expires_and_which_tombstones_go() {
        use EntryKind::{Delete, Put};
        let decide = |boundaries: &[u64], bottom, sequence, kind, value: &[u8]| {
            Retention::new(KEYSPACE, &Rule, boundaries.to_vec(), bottom).decide(b"k", sequence, kind, value)
        };
        assert_eq!(decide(&[10], true, 5, Put, b"0"), Decision::Expire);
        assert_eq!(decide(&[10], false, 5, Put, b"0"), Decision::Bury);
        assert_eq!(decide(&[10], true, 5, Put, b"1"), Decision::Keep);
        // A snapshot sees the value.
        assert_eq!(decide(&[7, 10], true, 5, Put, b"0"), Decision::Keep);
        assert_eq!(decide(&[10, 10], true, 5, Put, b"0"), Decision::Keep);
        // A snapshot sees what is older.
        assert_eq!(decide(&[3, 10], true, 5, Put, b"0"), Decision::Bury);
        assert_eq!(decide(&[10], true, 4, Delete, b""), Decision::Purge);
        assert_eq!(decide(&[10], true, 5, Delete, b""), Decision::Keep);
    }
}
