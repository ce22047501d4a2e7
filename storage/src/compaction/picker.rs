//! What to compact next: leveled compaction, driven by a score for each level, or size-tiered.
//!
//! Invariant: pure. The choice depends on the sizes, ages and key ranges of the sstables, on those that are in use by
//! another compaction or set aside, and on the settings only. What lies above an sstable that is set aside stays above it: it may be what makes an
//! older value unreachable. (Level targets and scores as in RocksDB's leveled compaction, the
//! growing windows as in its universal compaction, both described in its wiki.)

use std::collections::BTreeSet;

use crate::settings::{CompactionStrategy, Settings};
use crate::sstable::SstableMeta;
use crate::version::LEVELS;

/// A compaction of one keyspace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Where the inputs lie.
    pub(crate) level: usize,
    /// The numbers of the sstables of `level` that are merged.
    pub(crate) inputs: Vec<u64>,
    /// Where the outputs go: one level further down, or, size-tiered, to the same level.
    pub(crate) output_level: usize,
    /// The numbers of those in the output level that the inputs overlap; none if it is the level of the inputs.
    pub(crate) overlapped: Vec<u64>,
    /// Whether the inputs can be moved down as they are.
    pub(crate) is_move: bool,
    /// Whether nothing older has a key in the range of what is merged.
    pub(crate) bottom: bool,
    /// How urgent it is, in thousandths of the level's target.
    pub(crate) score: u64,
}

/// The sstables that no compaction may touch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Excluded<'a> {
    /// Another one uses them.
    pub(crate) busy: &'a BTreeSet<u64>,
    /// They are damaged.
    pub(crate) aside: &'a BTreeSet<u64>,
}

impl Excluded<'_> {
    fn is_free(self, meta: &SstableMeta) -> bool {
        !self.busy.contains(&meta.number) && !self.aside.contains(&meta.number)
    }
}

/// The most urgent compaction that touches none of the excluded sstables, if any is due.
///
/// `levels` are the sstables of one keyspace: level 0 newest first, the others by key.
pub(crate) fn pick(
    levels: &[Vec<&SstableMeta>],
    strategy: CompactionStrategy,
    settings: &Settings,
    excluded: Excluded<'_>,
) -> Option<Choice> {
    match strategy {
        CompactionStrategy::Leveled => pick_leveled(levels, settings, excluded),
        CompactionStrategy::SizeTiered => pick_tiered(levels, settings, excluded),
    }
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

fn pick_leveled(levels: &[Vec<&SstableMeta>], settings: &Settings, excluded: Excluded<'_>) -> Option<Choice> {
    // The last level has nowhere to go.
    let mut due: Vec<(u64, usize)> = (0..LEVELS - 1)
        .map(|level| (score(level, &levels[level], settings), level))
        .filter(|(score, _)| *score >= 1000)
        .collect();
    due.sort_by_key(|(score, level)| (std::cmp::Reverse(*score), *level));
    due.into_iter().find_map(|(score, level)| {
        if level == 0 && is_level0_blocked(levels, excluded.aside) {
            // So that flushes go on and reads stay quick, until the owner has decided what becomes of the damaged sstable.
            return pick_tiered(levels, settings, excluded);
        }
        descend(levels, level, score, excluded)
    })
}

/// Whether a damaged sstable is in the way of level 0.
fn is_level0_blocked(levels: &[Vec<&SstableMeta>], aside: &BTreeSet<u64>) -> bool {
    let is_aside = |meta: &SstableMeta| aside.contains(&meta.number);
    !aside.is_empty()
        && (levels[0].iter().any(|meta| is_aside(meta))
            || key_range(&levels[0])
                .is_some_and(|(first, last)| overlapping(&levels[1], first, last).any(is_aside)))
}

/// Takes something of `level` one level down.
fn descend(levels: &[Vec<&SstableMeta>], level: usize, score: u64, excluded: Excluded<'_>) -> Option<Choice> {
    let is_free = |meta: &&SstableMeta| excluded.is_free(meta);
    let below = &levels[level + 1];
    let inputs: Vec<&SstableMeta> = if level == 0 {
        // Sstables of level 0 overlap, and a newer one must not go below an older one.
        levels[0].iter().all(is_free).then(|| levels[0].clone())?
    } else {
        // The cheapest one to move: least to rewrite below for what it brings, and tombstones count as bringing more.
        let cost = |meta: &SstableMeta| {
            let rewritten: u64 = overlapping(below, meta, meta).map(|other| other.bytes).sum();
            let brings = meta.bytes.max(1) + meta.bytes * meta.tombstones / meta.entries.max(1);
            (u128::from(rewritten) * 1000 / u128::from(brings), meta.number)
        };
        let free = levels[level]
            .iter()
            .copied()
            .filter(is_free)
            .filter(|meta| overlapping(below, meta, meta).all(|other| is_free(&other)));
        vec![free.min_by_key(|meta| cost(meta))?]
    };
    let (first, last) = key_range(&inputs)?;
    let overlapped: Vec<&SstableMeta> = overlapping(below, first, last).collect();
    if !overlapped.iter().all(is_free) {
        return None;
    }
    // The sstables below reach further than those that go down, and their tombstones are rewritten too.
    let (first, last) = key_range(&[&inputs[..], &overlapped[..]].concat())?;
    let deeper = levels.get(level + 2..).unwrap_or_default();
    let bottom = deeper
        .iter()
        .all(|sstables| overlapping(sstables, first, last).next().is_none());
    // Sstables of level 0 overlap each other, so that only a single one can be moved.
    let is_move = overlapped.is_empty() && inputs.len() == 1;
    Some(Choice {
        level,
        inputs: numbers(&inputs),
        output_level: level + 1,
        overlapped: numbers(&overlapped),
        is_move,
        bottom,
        score,
    })
}

/// Merges neighbours in age of about the same size. Windows grow from the newest on as long as the next one is not
/// larger than all before it together.
fn pick_tiered(levels: &[Vec<&SstableMeta>], settings: &Settings, excluded: Excluded<'_>) -> Option<Choice> {
    let runs = &levels[0];
    let least = settings.level0_sstables_trigger;
    let score = |count: usize| count as u64 * 1000 / least as u64;
    let is_free = |window: &[&SstableMeta]| window.iter().all(|meta| excluded.is_free(meta));
    // A window ends before a damaged sstable; it does not wait for one, as it does for one that is busy.
    let is_aside = |at: usize| excluded.aside.contains(&runs[at].number);
    let bytes = |window: &[&SstableMeta]| window.iter().map(|meta| meta.bytes).sum::<u64>();
    let grown = (0..runs.len()).find_map(|start| {
        let mut end = start + 1;
        while end < runs.len() && !is_aside(end) && runs[end].bytes <= bytes(&runs[start..end]) {
            end += 1;
        }
        (end - start >= least && is_free(&runs[start..end])).then_some(start..end)
    });
    // Too many runs of unlike sizes: the neighbours that are cheapest to merge.
    let window = grown.or_else(|| {
        let too_many = runs.len() >= settings.level0_sstables_slowdown;
        (0..=runs.len().checked_sub(least)?)
            .map(|start| start..start + least)
            .filter(|window| too_many && is_free(&runs[window.clone()]))
            .min_by_key(|window| bytes(&runs[window.clone()]))
    })?;
    let is_oldest = window.end == runs.len() && levels[1..].iter().all(Vec::is_empty);
    Some(Choice {
        level: 0,
        inputs: numbers(&runs[window.clone()]),
        output_level: 0,
        overlapped: Vec::new(),
        is_move: false,
        bottom: is_oldest,
        score: score(window.len().max(runs.len() / 2)),
    })
}

/// Writes one of the sstables in `old` anew where it lies, one without others of them below it first; those of a leveled level
/// 0 go down with the whole level.
pub(crate) fn pick_old(
    levels: &[Vec<&SstableMeta>],
    strategy: CompactionStrategy,
    old: &BTreeSet<u64>,
    excluded: Excluded<'_>,
) -> Option<Choice> {
    let is_old = |meta: &&&SstableMeta| old.contains(&meta.number) && excluded.is_free(meta);
    (0..levels.len()).rev().find_map(|level| {
        let meta = levels[level].iter().rev().find(is_old)?;
        if level == 0 && strategy == CompactionStrategy::Leveled {
            let choice = descend(levels, 0, 0, excluded)?;
            // To be moved as it is would leave it under its key.
            return Some(Choice {
                is_move: false,
                ..choice
            });
        }
        let is_oldest = level > 0
            || levels[0]
                .last()
                .is_some_and(|oldest| oldest.number == meta.number);
        let deeper = levels.get(level + 1..).unwrap_or_default();
        let is_alone = |level: &Vec<&SstableMeta>| overlapping(level, meta, meta).next().is_none();
        Some(Choice {
            level,
            inputs: vec![meta.number],
            output_level: level,
            overlapped: Vec::new(),
            is_move: false,
            bottom: is_oldest && deeper.iter().all(is_alone),
            score: 0,
        })
    })
}

fn numbers(sstables: &[&SstableMeta]) -> Vec<u64> {
    sstables.iter().map(|meta| meta.number).collect()
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
        pick_with(levels, CompactionStrategy::Leveled, &[])
    }

    fn pick_with(levels: &[Vec<SstableMeta>], strategy: CompactionStrategy, busy: &[u64]) -> Option<Choice> {
        pick_excluding(levels, strategy, busy, &[])
    }

    fn pick_excluding(
        levels: &[Vec<SstableMeta>],
        strategy: CompactionStrategy,
        busy: &[u64],
        aside: &[u64],
    ) -> Option<Choice> {
        let settings = Settings {
            level0_sstables_trigger: 2,
            level1_bytes: 100,
            ..Settings::default()
        };
        let mut borrowed: Vec<Vec<&SstableMeta>> =
            levels.iter().map(|level| level.iter().collect()).collect();
        borrowed.resize(LEVELS, Vec::new());
        let set = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<u64>>();
        let (busy, aside) = (&set(busy), &set(aside));
        pick(&borrowed, strategy, &settings, Excluded { busy, aside })
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

    #[test]
    fn what_another_compaction_uses_is_left_alone() {
        let leveled =
            |levels: &[Vec<SstableMeta>], busy: &[u64]| pick_with(levels, CompactionStrategy::Leveled, busy);
        let level_0 = [
            vec![meta(9, 5, "a", "c"), meta(8, 5, "a", "c")],
            vec![meta(7, 5, "c", "k")],
        ];
        assert!(leveled(&level_0, &[]).is_some());
        assert_eq!(leveled(&level_0, &[9]), None);
        assert_eq!(leveled(&level_0, &[7]), None);
        let deeper = [
            vec![],
            vec![meta(1, 60, "a", "b"), meta(2, 60, "f", "g")],
            vec![meta(3, 60, "a", "c")],
        ];
        assert_eq!(leveled(&deeper, &[2]).unwrap().inputs, vec![1]);
        assert_eq!(leveled(&deeper, &[2, 3]), None);
    }

    fn tiered(sizes: &[u64], busy: &[u64]) -> Option<Choice> {
        // Newest first: the newest has the largest number.
        let numbers = (0..sizes.len() as u64).rev();
        let runs = numbers
            .zip(sizes)
            .map(|(number, bytes)| meta(number, *bytes, "a", "z"));
        pick_with(&[runs.collect()], CompactionStrategy::SizeTiered, busy)
    }

    #[test]
    fn runs_of_like_size_are_merged_where_they_are() {
        assert_eq!(tiered(&[10, 900], &[]), None);
        let choice = tiered(&[10, 10, 900], &[]).unwrap();
        assert_eq!(
            (choice.inputs, choice.output_level, choice.bottom),
            (vec![2, 1], 0, false)
        );
        let choice = tiered(&[10, 10, 20, 40], &[]).unwrap();
        assert_eq!((choice.inputs, choice.bottom), (vec![3, 2, 1, 0], true));
        let choice = tiered(&[1, 900, 800, 5000], &[]).unwrap();
        assert_eq!(choice.inputs, vec![2, 1]);
        assert_eq!(tiered(&[10, 10, 900], &[1]), None);
    }

    fn pick_old_from(
        levels: &[Vec<SstableMeta>],
        strategy: CompactionStrategy,
        old: &[u64],
        busy: &[u64],
    ) -> Option<Choice> {
        let mut borrowed: Vec<Vec<&SstableMeta>> =
            levels.iter().map(|level| level.iter().collect()).collect();
        borrowed.resize(LEVELS, Vec::new());
        let set = |numbers: &[u64]| numbers.iter().copied().collect::<BTreeSet<u64>>();
        let (busy, aside) = (&set(busy), &BTreeSet::new());
        pick_old(&borrowed, strategy, &set(old), Excluded { busy, aside })
    }

    #[test]
    fn old_sstables_are_written_anew_where_they_lie_from_the_bottom_up() {
        let levels = [
            vec![meta(9, 5, "a", "c"), meta(8, 5, "a", "c")],
            vec![meta(1, 60, "a", "b"), meta(2, 60, "f", "g")],
            vec![meta(3, 60, "a", "c")],
        ];
        let leveled = |old: &[u64], busy: &[u64]| {
            pick_old_from(&levels, CompactionStrategy::Leveled, old, busy)
                .map(|choice| (choice.level, choice.inputs, choice.output_level, choice.bottom))
        };
        assert_eq!(leveled(&[], &[]), None);
        assert_eq!(leveled(&[1, 2, 3, 8], &[]), Some((2, vec![3], 2, true)));
        assert_eq!(leveled(&[1, 2, 8], &[]), Some((1, vec![2], 1, true)));
        assert_eq!(
            leveled(&[1, 8], &[]),
            Some((1, vec![1], 1, false)),
            "3 is below it"
        );
        assert_eq!(leveled(&[1], &[1]), None);
        let down = pick_old_from(&levels, CompactionStrategy::Leveled, &[8], &[]).unwrap();
        assert_eq!(
            (down.inputs, down.output_level, down.overlapped),
            (vec![9, 8], 1, vec![1])
        );
        let single = [vec![meta(9, 5, "a", "c")]];
        let down = pick_old_from(&single, CompactionStrategy::Leveled, &[9], &[]).unwrap();
        assert!(!down.is_move && down.output_level == 1, "{down:?}");
        let runs = [vec![
            meta(9, 5, "a", "c"),
            meta(8, 5, "a", "c"),
            meta(7, 5, "a", "c"),
        ]];
        let tiered = |old: &[u64]| {
            pick_old_from(&runs, CompactionStrategy::SizeTiered, old, &[])
                .map(|choice| (choice.inputs, choice.output_level, choice.bottom))
        };
        assert_eq!(tiered(&[9, 7]), Some((vec![7], 0, true)));
        assert_eq!(tiered(&[9]), Some((vec![9], 0, false)));
    }

    #[test]
    fn compactions_go_around_what_is_set_aside() {
        let around = |levels: &[Vec<SstableMeta>], aside: &[u64]| {
            pick_excluding(levels, CompactionStrategy::Leveled, &[], aside)
                .map(|choice| (choice.inputs, choice.output_level, choice.bottom))
        };
        let level_0 = |numbers: &[u64]| numbers.iter().map(|number| meta(*number, 5, "a", "c")).collect();
        // Below: what comes from above is merged where it is, and its tombstones stay.
        let below = [level_0(&[9, 8]), vec![meta(7, 5, "c", "k")]];
        assert_eq!(around(&below, &[7]), Some((vec![9, 8], 0, false)));
        assert_eq!(
            around(&below, &[6]),
            Some((vec![9, 8], 1, true)),
            "6 is somewhere else"
        );
        // Beside: newer ones stay above it, older ones below.
        let beside = [level_0(&[9, 8, 7, 6, 5])];
        assert_eq!(around(&beside, &[7]), Some((vec![9, 8], 0, false)));
        assert_eq!(around(&beside, &[9]), Some((vec![8, 7, 6, 5], 0, true)));
        assert_eq!(around(&beside, &[8, 6]), None);
        assert_eq!(around(&beside, &[5]), Some((vec![9, 8, 7, 6], 0, false)));
        // Deeper: others go down in its place.
        let deeper = [
            vec![],
            vec![meta(1, 60, "a", "b"), meta(2, 60, "f", "g")],
            vec![meta(3, 60, "a", "c")],
        ];
        assert_eq!(around(&deeper, &[2]), Some((vec![1], 2, true)));
        assert_eq!(around(&deeper, &[2, 3]), None);
        let tiered = |aside: &[u64]| pick_excluding(&beside, CompactionStrategy::SizeTiered, &[], aside);
        assert_eq!(tiered(&[7]).unwrap().inputs, vec![9, 8]);
    }

    #[test]
    fn too_many_runs_of_unlike_sizes_are_merged_all_the_same() {
        let sizes: Vec<u64> = (0..12).map(|power| 3 << (2 * power)).collect();
        let choice = tiered(&sizes, &[]).unwrap();
        assert_eq!(choice.inputs, vec![11, 10]);
    }
}
