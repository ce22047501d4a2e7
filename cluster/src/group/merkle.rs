//! Digests of the cells of a group, and who of its replicas is wrong when they differ.
//!
//! Cells are spread over leaves by the token of their key, so that the keys of a leaf are one run; what lies beside them, the marks of the group and
//! the rows of group 0, is the last leaf. A leaf digests its cells whatever their order; leaves are digested by the piece. So two
//! replicas find what they have differently with two questions (Merkle, "A Digital Signature Based on a Conventional Encryption Function",
//! 1987). Invariant: pure; equal cells give equal digests on every machine and in every version. Not here: which cells a group has (`scrub.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;

use xxhash_rust::xxh3::{xxh3_128, xxh3_128_with_seed};

use super::snapshot::KeySpan;
use crate::metadata::keyspaces::{METADATA, OWN_MARKS};
use crate::ring::RangeBits;
use crate::world::NodeId;

/// How many bits of a token, behind those of the range, choose the leaf.
const LEAF_BITS: u32 = 12;

/// The leaf of what has no token.
const OTHERS: usize = 1 << LEAF_BITS;

/// Leaves of a piece.
pub(crate) const PIECE: usize = 64;

/// The leaves of a tree.
pub(crate) const LEAVES: usize = OTHERS + 1;

/// A digest.
pub(crate) type Digest = u128;

/// The digests of all cells of a group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tree {
    leaves: Vec<Digest>,
}

impl Default for Tree {
    fn default() -> Self {
        Self {
            leaves: vec![0; LEAVES],
        }
    }
}

impl Tree {
    /// Adds a cell of the group of a range.
    pub(crate) fn add(&mut self, bits: RangeBits, keyspace: u32, key: &[u8], cell: &[u8]) {
        let leaf = leaf_of(bits, keyspace, key);
        let digest = digest_of(keyspace, key, cell);
        if let Some(sum) = self.leaves.get_mut(leaf) {
            *sum = sum.wrapping_add(digest);
        }
    }

    /// The digests of the leaves of a piece.
    pub(crate) fn piece(&self, piece: usize) -> &[Digest] {
        self.leaves.chunks(PIECE).nth(piece).unwrap_or_default()
    }

    /// The digests of the pieces.
    pub(crate) fn pieces(&self) -> Vec<Digest> {
        self.leaves.chunks(PIECE).map(digest_all).collect()
    }
}

fn digest_all(digests: &[Digest]) -> Digest {
    let bytes: Vec<u8> = digests.iter().flat_map(|digest| digest.to_le_bytes()).collect();
    xxh3_128(&bytes)
}

/// The digest of a cell: of its value, seeded with that of its key. No cell has the digest of none.
fn digest_of(keyspace: u32, key: &[u8], cell: &[u8]) -> Digest {
    let of_key = xxh3_128_with_seed(key, u64::from(keyspace));
    let bytes = [&of_key.to_le_bytes()[..], &xxh3_128(cell).to_le_bytes()].concat();
    xxh3_128(&bytes).max(1)
}

/// Whether keys of a keyspace begin with a token.
fn has_tokens(keyspace: u32) -> bool {
    keyspace != METADATA && keyspace != OWN_MARKS
}

fn leaf_of(bits: RangeBits, keyspace: u32, key: &[u8]) -> usize {
    if !has_tokens(keyspace) {
        return OTHERS;
    }
    let mut token = [0; 8];
    for (to, from) in token.iter_mut().zip(key) {
        *to = *from;
    }
    let within = u64::from_be_bytes(token)
        .checked_shl(u32::from(bits.get()))
        .unwrap_or_default();
    usize::try_from(within >> (u64::BITS - LEAF_BITS)).unwrap_or(OTHERS)
}

/// The keys of a leaf, of the range that `span` is all keys of; `None` if the leaf has none of the keyspace.
pub(crate) fn span_of_leaf(bits: RangeBits, keyspace: u32, span: &KeySpan, leaf: usize) -> Option<KeySpan> {
    if has_tokens(keyspace) == (leaf == OTHERS) {
        return None;
    }
    if leaf == OTHERS {
        return Some(span.clone());
    }
    let (start, end) = span;
    let first = match start {
        Bound::Included(key) | Bound::Excluded(key) => {
            let mut token = [0; 8];
            token.iter_mut().zip(key).for_each(|(to, from)| *to = *from);
            u64::from_be_bytes(token)
        }
        Bound::Unbounded => 0,
    };
    let width_bits = u64::BITS - LEAF_BITS - u32::from(bits.get());
    let begins = |leaf: usize| first | (leaf as u64) << width_bits;
    let key = |leaf: usize| begins(leaf).to_be_bytes().to_vec();
    let from = Bound::Included(key(leaf));
    let to = if leaf + 1 == OTHERS {
        end.clone()
    } else {
        Bound::Excluded(key(leaf + 1))
    };
    Some((from, to))
}

/// A digest as a replica has it, and whether it is believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Voice {
    pub(crate) digest: Digest,
    /// Whether the replica is under suspicion already, so that it says nothing about what is right.
    pub(crate) is_suspect: bool,
}

/// Who is wrong about one leaf.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    /// Who has something else than most of those that are believed; nobody, if all have the same.
    Wrong(BTreeSet<NodeId>),
    /// Those that are believed differ, and no digest has more than half of them.
    Undecided,
}

/// Judges the digests that replicas have of one leaf.
pub(crate) fn judge(voices: &BTreeMap<NodeId, Voice>) -> Judgement {
    let believed = || voices.values().filter(|voice| !voice.is_suspect);
    let all = believed().count();
    let right = believed().map(|voice| voice.digest).find(|digest| {
        let same = believed().filter(|voice| voice.digest == *digest).count();
        same * 2 > all
    });
    let Some(right) = right else {
        return Judgement::Undecided;
    };
    let wrong = voices.iter().filter(|(_, voice)| voice.digest != right);
    Judgement::Wrong(wrong.map(|(node, _)| *node).collect())
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::ring::RangeId;

    fn voices(of: &[(u64, Digest, bool)]) -> BTreeMap<NodeId, Voice> {
        of.iter()
            .map(|(node, digest, is_suspect)| {
                let voice = Voice {
                    digest: *digest,
                    is_suspect: *is_suspect,
                };
                (NodeId(*node), voice)
            })
            .collect()
    }

    fn wrong(of: &[(u64, Digest, bool)]) -> Option<Vec<u64>> {
        match judge(&voices(of)) {
            Judgement::Wrong(nodes) => Some(nodes.into_iter().map(|node| node.0).collect()),
            Judgement::Undecided => None,
        }
    }

    #[test]
    fn most_of_those_that_are_believed_say_what_is_right() {
        assert_eq!(
            wrong(&[(1, 7, false), (2, 7, false), (3, 7, false)]),
            Some(vec![])
        );
        assert_eq!(
            wrong(&[(1, 7, false), (2, 8, false), (3, 7, false)]),
            Some(vec![2])
        );
        assert_eq!(wrong(&[(1, 7, false), (2, 8, false), (3, 9, false)]), None);
        assert_eq!(
            wrong(&[(1, 7, false), (2, 8, false)]),
            None,
            "of two, nobody knows"
        );
        // Who is suspected has no voice, however many they are.
        assert_eq!(wrong(&[(1, 7, true), (2, 8, false)]), Some(vec![1]));
        assert_eq!(
            wrong(&[(1, 7, true), (2, 8, false), (3, 7, true)]),
            Some(vec![1, 3])
        );
        assert_eq!(wrong(&[(1, 7, true)]), None);
    }

    proptest! {
        #[test]
        fn every_token_lies_in_the_span_of_its_leaf_and_in_no_other(token: u64, rest in vec(any::<u8>(), 0..4), bits in 1_u8..=16) {
            let bits = RangeBits::new(bits).unwrap();
            let key = [&token.to_be_bytes()[..], &rest].concat();
            let range = bits.range_of_key(&key);
            let span = crate::node::key_span(bits, crate::node::group_of(range));
            let leaf = leaf_of(bits, 5, &key);
            let holds = |leaf| {
                let (start, end) = span_of_leaf(bits, 5, &span, leaf).unwrap();
                let after = match start { Bound::Included(start) => start <= key, _ => false };
                let before = match end { Bound::Excluded(end) => key < end, _ => true };
                after && before
            };
            prop_assert!(holds(leaf));
            prop_assert!(leaf == 0 || !holds(leaf - 1));
            prop_assert!(leaf + 1 == OTHERS || !holds(leaf + 1));
            prop_assert_eq!(span_of_leaf(bits, 5, &span, OTHERS), None);
            prop_assert_eq!(span_of_leaf(bits, METADATA, &span, leaf), None);
            prop_assert_eq!(span_of_leaf(bits, METADATA, &span, OTHERS), Some(span));
            prop_assert!(range <= RangeId(bits.range_count() - 1));
        }

        #[test]
        fn a_change_of_one_cell_shows_in_one_leaf(cells in vec((any::<u64>(), 0_u32..3), 1..40), changed: prop::sample::Index) {
            let bits = RangeBits::new(3).unwrap();
            let build = |change: Option<usize>| {
                let mut tree = Tree::default();
                for (at, (token, keyspace)) in cells.iter().enumerate() {
                    let cell = if change == Some(at) { &b"rot"[..] } else { b"cell" };
                    tree.add(bits, *keyspace, &token.to_be_bytes(), cell);
                }
                tree
            };
            let (right, other) = (build(None), build(Some(changed.index(cells.len()))));
            prop_assert_ne!(&right, &other);
            let differ = |left: Vec<Digest>, right: Vec<Digest>| left.iter().zip(&right).filter(|(left, right)| left != right).count();
            prop_assert_eq!(differ(right.pieces(), other.pieces()), 1);
            prop_assert_eq!(differ(right.leaves, other.leaves), 1);
        }
    }
}
