//! What to compact next: leveled compaction, driven by a score for each level.
//!
//! Invariant: pure. The choice depends on the sizes and key ranges of the sstables and on the settings only. (Level
//! targets and scores as in RocksDB's leveled compaction, whose wiki describes them.)

use crate::settings::Settings;
use crate::sstable::SstableMeta;
use crate::version::LEVELS;

/// A compaction of one keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Where the inputs lie.
    pub(crate) level: usize,
    /// The numbers of the sstables of `level` that go down.
    pub(crate) inputs: Vec<u64>,
    /// The numbers of those in the level below that they overlap.
    pub(crate) overlapped: Vec<u64>,
    /// Whether the inputs can be moved down as they are.
    pub(crate) is_move: bool,
    /// Whether no deeper level has anything in the key range.
    pub(crate) bottom: bool,
    /// How urgent it is, in thousandths of the level's target.
    pub(crate) score: u64,
}

/// How many thousandths of its target a level has.
fn score(level: usize, sstables: &[&SstableMeta], settings: &Settings) -> u64 {
    if level == 0 {
        return sstables.len() as u64 * 1000 / settings.level0_sstables_trigger as u64;
    }
    let bytes: u64 = sstables.iter().map(|meta| meta.bytes).sum();
    let factor = (1..level).fold(1_u64, |factor, _| {
        factor.saturating_mul(settings.level_size_ratio)
    });
    let target = settings.level1_bytes.saturating_mul(factor);
    u64::try_from(u128::from(bytes) * 1000 / u128::from(target)).unwrap_or(u64::MAX)
}

/// The most urgent compaction, if any level has reached its target.
///
/// `levels` are the sstables of one keyspace: level 0 newest first, the others by key.
pub(crate) fn pick(levels: &[Vec<&SstableMeta>], settings: &Settings) -> Option<Choice> {
    // The last level has nowhere to go.
    let (level, score) = (0..LEVELS - 1)
        .map(|level| (level, score(level, &levels[level], settings)))
        .filter(|(_, score)| *score >= 1000)
        .max_by_key(|(level, score)| (*score, LEVELS - level))?;
    let below = &levels[level + 1];
    let inputs: Vec<&SstableMeta> = if level == 0 {
        levels[0].clone()
    } else {
        // The cheapest one to move: least to rewrite below for what it brings.
        let cost = |meta: &SstableMeta| {
            let rewritten: u64 = overlapping(below, meta, meta).map(|other| other.bytes).sum();
            (
                u128::from(rewritten) * 1000 / u128::from(meta.bytes.max(1)),
                meta.number,
            )
        };
        levels[level]
            .iter()
            .copied()
            .min_by_key(|meta| cost(meta))
            .into_iter()
            .collect()
    };
    let (first, last) = key_range(&inputs)?;
    let overlapped: Vec<&SstableMeta> = overlapping(below, first, last).collect();
    // The sstables below reach further than those that go down, and their tombstones are rewritten too.
    let (first, last) = key_range(&[&inputs[..], &overlapped[..]].concat())?;
    let deeper = levels.get(level + 2..).unwrap_or_default();
    let bottom = deeper
        .iter()
        .all(|sstables| overlapping(sstables, first, last).next().is_none());
    // Sstables of level 0 overlap each other, so that only a single one can be moved.
    let is_move = overlapped.is_empty() && inputs.len() == 1;
    let numbers = |sstables: &[&SstableMeta]| sstables.iter().map(|meta| meta.number).collect();
    let (inputs, overlapped) = (numbers(&inputs), numbers(&overlapped));
    Some(Choice {
        level,
        inputs,
        overlapped,
        is_move,
        bottom,
        score,
    })
}

/// The sstables with the first and with the last key of all.
fn key_range<'a>(sstables: &[&'a SstableMeta]) -> Option<(&'a SstableMeta, &'a SstableMeta)> {
    let first = sstables
        .iter()
        .copied()
        .min_by(|left, right| left.first_key.cmp(&right.first_key))?;
    let last = sstables
        .iter()
        .copied()
        .max_by(|left, right| left.last_key.cmp(&right.last_key))?;
    Some((first, last))
}

/// Those of `sstables` with a key between the first key of `first` and the last key of `last`.
fn overlapping<'a>(
    sstables: &'a [&'a SstableMeta],
    first: &'a SstableMeta,
    last: &'a SstableMeta,
) -> impl Iterator<Item = &'a SstableMeta> {
    sstables
        .iter()
        .copied()
        .filter(|meta| meta.overlaps(&first.first_key, &last.last_key))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn meta(number: u64, bytes: u64, first: &'static str, last: &'static str) -> SstableMeta {
        SstableMeta {
            number,
            bytes,
            entries: 1,
            tombstones: 0,
            smallest_sequence: 1,
            largest_sequence: 1,
            first_key: Bytes::from_static(first.as_bytes()),
            last_key: Bytes::from_static(last.as_bytes()),
        }
    }

    fn pick_from(levels: &[Vec<SstableMeta>]) -> Option<Choice> {
        let settings = Settings {
            level0_sstables_trigger: 2,
            level1_bytes: 100,
            ..Settings::default()
        };
        let mut borrowed: Vec<Vec<&SstableMeta>> =
            levels.iter().map(|level| level.iter().collect()).collect();
        borrowed.resize(LEVELS, Vec::new());
        pick(&borrowed, &settings)
    }

    #[test]
    fn nothing_is_picked_below_the_targets() {
        assert_eq!(
            pick_from(&[vec![meta(1, 9, "a", "z")], vec![meta(2, 99, "a", "z")]]),
            None
        );
    }

    #[test]
    fn level_0_goes_down_whole_with_what_it_overlaps() {
        let choice = pick_from(&[
            vec![meta(9, 5, "k", "m"), meta(8, 5, "c", "d")],
            vec![meta(1, 5, "a", "b"), meta(2, 5, "d", "e"), meta(3, 5, "n", "o")],
        ])
        .unwrap();
        assert_eq!(
            (choice.level, choice.inputs, choice.overlapped),
            (0, vec![9, 8], vec![2])
        );
        assert!(choice.bottom && !choice.is_move);
    }

    #[test]
    fn a_full_level_gives_its_cheapest_sstable() {
        let choice = pick_from(&[
            vec![],
            vec![meta(1, 60, "a", "b"), meta(2, 60, "f", "g")],
            vec![meta(3, 60, "a", "c")],
        ])
        .unwrap();
        assert_eq!(
            (choice.level, choice.inputs.clone(), choice.is_move),
            (1, vec![2], true)
        );
    }

    #[test]
    fn a_deeper_overlap_means_not_the_bottom() {
        let choice = pick_from(&[
            vec![meta(9, 5, "a", "c"), meta(8, 5, "a", "c")],
            vec![],
            vec![meta(1, 5, "b", "b")],
        ])
        .unwrap();
        assert!(!choice.bottom);
    }

    #[test]
    fn a_deeper_overlap_with_what_is_rewritten_means_not_the_bottom() {
        let choice = pick_from(&[
            vec![meta(9, 5, "a", "c"), meta(8, 5, "a", "c")],
            vec![meta(7, 5, "c", "k")],
            vec![meta(1, 5, "i", "j")],
        ])
        .unwrap();
        assert_eq!(choice.overlapped, vec![7]);
        assert!(!choice.bottom);
    }
}
