//! Carrying out a compaction.
//!
//! Invariant: inputs stay until the version edit that replaces them is durable; a job that is given up leaves nothing
//! but files that the next start deletes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::mend::{choose_given_up, mend};
use super::picker::{Choice, Excluded, pick, pick_old};
use super::retention::{Decision, Retention};
use crate::cache::Caching;
use crate::core::Core;
use crate::entry::{EntryKind, KeyspaceId};
use crate::error::Result;
use crate::iter::Direction;
use crate::iter::merge::MergeCursor;
use crate::output::{Output, discard, open_all};
use crate::settings::CompactionStrategy;
use crate::sstable::{Sstable, SstableMeta};
use crate::statistics::add;
use crate::version::KeyspaceVersion;
use crate::version::edit::Change;

/// A stop is noticed, and the limit of bytes a second kept, after this many entries.
const ENTRIES_BETWEEN_CHECKS: u32 = 1024;

/// Does the most urgent compaction of all keyspaces that no other thread does; `false` if there is none.
pub(crate) fn compact_one(core: &Core) -> Result<bool> {
    let _writing = core.writing.read();
    let numbers = |(_, choice): &(Arc<KeyspaceVersion>, Choice)| {
        let (inputs, overlapped) = (&choice.inputs, &choice.overlapped);
        inputs.iter().chain(overlapped).copied().collect()
    };
    let reserved = core.compactions.reserve(
        |busy| {
            // Under the lock: what another compaction has just replaced is not in this version any more.
            let version = Arc::clone(&core.views.load().version);
            let aside = version.set_aside().map(|sstable| sstable.meta.number).collect();
            let excluded = Excluded { busy, aside: &aside };
            let chosen = version
                .all_live()
                .filter_map(|keyspace| choose(core, keyspace, excluded))
                .max_by_key(|(_, choice)| choice.score);
            // Nothing is due by itself: files of old keys have time.
            chosen.or_else(|| {
                let mut keyspaces = version.all_live();
                keyspaces.find_map(|keyspace| choose_old(core, keyspace, excluded))
            })
        },
        numbers,
    );
    let Some(((keyspace, choice), _reservation)) = reserved else {
        return Ok(false);
    };
    // There may be more to do beside this.
    core.compaction_signal.notify();
    let inputs = find(&keyspace, choice.level, &choice.inputs);
    let overlapped = find(&keyspace, choice.output_level, &choice.overlapped);
    if choice.is_move {
        install(core, keyspace.id, &choice, &inputs, &inputs)?;
        add(&core.counters.moves, 1);
        return Ok(true);
    }
    if let [damaged] = &inputs[..]
        && damaged.damage().is_some()
    {
        return mend(core, &keyspace, &choice, damaged);
    }
    let metas = match merge(core, &keyspace, &choice, &inputs, &overlapped)? {
        Merged::Into(metas) => metas,
        Merged::Stopped => return Ok(false),
        Merged::SetAside => return Ok(true),
    };
    let outputs = open_all(core, &metas)?;
    let replaced: Vec<_> = inputs.iter().chain(&overlapped).cloned().collect();
    if install(core, keyspace.id, &choice, &replaced, &outputs)? {
        for sstable in &replaced {
            sstable.mark_obsolete();
        }
    } else {
        discard(core, &metas)?;
    }
    let bytes = |sstables: &[Arc<Sstable>]| sstables.iter().map(|sstable| sstable.meta.bytes).sum();
    core.look_for_unused_keys();
    add(&core.counters.compactions, 1);
    add(&core.counters.compaction_read_bytes, bytes(&replaced));
    add(
        &core.counters.compacted_bytes[choice.output_level],
        bytes(&outputs),
    );
    Ok(true)
}

type Chosen = (Arc<KeyspaceVersion>, Choice);

fn levels(keyspace: &KeyspaceVersion) -> Vec<Vec<&SstableMeta>> {
    let levels = keyspace.levels.iter();
    levels
        .map(|level| level.iter().map(|sstable| &sstable.meta).collect())
        .collect()
}

/// The most urgent compaction of a keyspace. Nothing goes before what is left of a damaged sstable.
fn choose(core: &Core, keyspace: &Arc<KeyspaceVersion>, excluded: Excluded<'_>) -> Option<Chosen> {
    let strategy = keyspace.options.compaction;
    let choice = choose_given_up(keyspace, excluded.busy)
        .or_else(|| pick(&levels(keyspace), strategy, &core.settings, excluded))?;
    Some((Arc::clone(keyspace), choice))
}

/// A compaction that writes sstables of old data keys anew, if that is wanted.
fn choose_old(core: &Core, keyspace: &Arc<KeyspaceVersion>, excluded: Excluded<'_>) -> Option<Chosen> {
    let old: BTreeSet<u64> = keyspace
        .sstables()
        .filter(|sstable| {
            let key = sstable.data_key();
            key.is_some_and(|key| core.is_to_be_rewritten(key))
        })
        .map(|sstable| sstable.meta.number)
        .collect();
    if old.is_empty() {
        return None;
    }
    let choice = pick_old(&levels(keyspace), keyspace.options.compaction, &old, excluded)?;
    Some((Arc::clone(keyspace), choice))
}

fn find(keyspace: &KeyspaceVersion, level: usize, numbers: &[u64]) -> Vec<Arc<Sstable>> {
    keyspace.levels[level]
        .iter()
        .filter(|sstable| numbers.contains(&sstable.meta.number))
        .cloned()
        .collect()
}

/// Keeps a job that writes to the limit of bytes a second, and notices a stop.
pub(super) struct Steady<'a> {
    core: &'a Core,
    until_check: u32,
    /// For how many bytes of the output the pace was kept.
    paced: u64,
}

impl<'a> Steady<'a> {
    pub(super) fn new(core: &'a Core) -> Self {
        Self {
            core,
            until_check: ENTRIES_BETWEEN_CHECKS,
            paced: 0,
        }
    }

    /// To be asked after each entry: whether the job goes on. It does not when the engine stops.
    ///
    /// # Errors
    /// When the engine has failed.
    pub(super) fn goes_on(&mut self, output: &Output<'_>) -> Result<bool> {
        self.until_check -= 1;
        if self.until_check > 0 {
            return Ok(true);
        }
        self.until_check = ENTRIES_BETWEEN_CHECKS;
        self.core.check()?;
        let written = output.bytes();
        self.core.keep_pace(written - self.paced);
        self.paced = written;
        Ok(!self.core.is_stopping())
    }
}

/// How a merge ended.
enum Merged {
    /// With these sstables.
    Into(Vec<SstableMeta>),
    /// The engine stops.
    Stopped,
    /// One of the sstables that were read is damaged. Nothing is left of the merge.
    SetAside,
}

/// Writes the merged entries.
fn merge(
    core: &Core,
    keyspace: &KeyspaceVersion,
    choice: &Choice,
    inputs: &[Arc<Sstable>],
    overlapped: &[Arc<Sstable>],
) -> Result<Merged> {
    let mut output = output(core, keyspace, choice);
    match merge_into(&mut output, core, keyspace, choice, inputs, overlapped) {
        Ok(Some(paced)) => {
            let metas = output.finish()?;
            let written: u64 = metas.iter().map(|meta| meta.bytes).sum();
            core.keep_pace(written.saturating_sub(paced));
            Ok(Merged::Into(metas))
        }
        Ok(None) => Ok(Merged::Stopped),
        Err(error) if core.set_aside(&error) => {
            output.give_up()?;
            Ok(Merged::SetAside)
        }
        Err(error) => Err(error),
    }
}

/// Merges into `output`; gives for how many bytes of it the pace was kept, `None` if the engine stops meanwhile.
fn merge_into(
    output: &mut Output<'_>,
    core: &Core,
    keyspace: &KeyspaceVersion,
    choice: &Choice,
    inputs: &[Arc<Sstable>],
    overlapped: &[Arc<Sstable>],
) -> Result<Option<u64>> {
    let mut cursor = MergeCursor::new(Direction::Forward);
    if choice.level == 0 {
        for sstable in inputs {
            cursor.add_level(vec![Arc::clone(sstable)], Caching::Look);
        }
    } else {
        cursor.add_level(inputs.to_vec(), Caching::Look);
    }
    cursor.add_level(overlapped.to_vec(), Caching::Look);
    cursor.seek(None)?;
    let rules = core.filter.rules();
    let boundaries = core.snapshots.boundaries(|| core.published());
    let mut retention = Retention::new(keyspace.id, &*rules, boundaries, choice.bottom);
    let mut steady = Steady::new(core);
    while let Some((key, sequence, kind)) = cursor.place() {
        match retention.decide(key, sequence, kind, cursor.value()) {
            Decision::Keep => output.push(key, sequence, kind, cursor.value())?,
            Decision::Bury => {
                output.push(key, sequence, EntryKind::Delete, &[])?;
                add(&core.counters.expired, 1);
            }
            Decision::Expire => add(&core.counters.expired, 1),
            Decision::Purge => add(&core.counters.purged, 1),
            Decision::Hidden => {}
        }
        cursor.step()?;
        if !steady.goes_on(output)? {
            return Ok(None);
        }
    }
    Ok(Some(steady.paced))
}

fn output<'a>(core: &'a Core, keyspace: &KeyspaceVersion, choice: &Choice) -> Output<'a> {
    let (settings, strategy) = (&core.settings, keyspace.options.compaction);
    // A run is one sstable: those of size-tiered keyspaces, and what is merged above a damaged one.
    let sstable_bytes = match strategy {
        CompactionStrategy::Leveled if choice.output_level > 0 => settings.sstable_bytes,
        CompactionStrategy::Leveled | CompactionStrategy::SizeTiered => u64::MAX,
    };
    // The first merge of a young keyspace is at the bottom too, but will be merged again soon.
    let is_deep = choice.bottom && (choice.level > 0 || strategy == CompactionStrategy::SizeTiered);
    let compression = if is_deep {
        settings.compression_bottom
    } else {
        settings.compression
    };
    Output::new(core, keyspace, sstable_bytes, compression)
}

/// Replaces sstables by others; `false` if the keyspace has gone meanwhile.
pub(super) fn install(
    core: &Core,
    id: KeyspaceId,
    choice: &Choice,
    replaced: &[Arc<Sstable>],
    outputs: &[Arc<Sstable>],
) -> Result<bool> {
    let mut manifest = core.manifest.lock();
    if !core.views.load().version.keyspaces.contains_key(&id) {
        return Ok(false);
    }
    let level_of = |sstable: &Sstable| {
        let from_above = choice.inputs.contains(&sstable.meta.number);
        if from_above {
            choice.level
        } else {
            choice.output_level
        }
    };
    let removed = replaced.iter().map(|sstable| Change::SstableRemoved {
        keyspace: id,
        level: level_of(sstable),
        number: sstable.meta.number,
    });
    let added = outputs.iter().map(|sstable| Change::SstableAdded {
        keyspace: id,
        level: choice.output_level,
        meta: sstable.meta.clone(),
    });
    manifest.commit(removed.chain(added).collect())?;
    core.update_view(|view| {
        let version = Arc::make_mut(&mut view.version);
        if let Some(keyspace) = version.keyspaces.get_mut(&id) {
            let keyspace = Arc::make_mut(keyspace);
            for sstable in replaced {
                keyspace.remove(level_of(sstable), sstable.meta.number);
            }
            for sstable in outputs {
                keyspace.add(choice.output_level, Arc::clone(sstable));
            }
        }
    });
    Ok(true)
}
