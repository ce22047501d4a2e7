//! Carrying out a compaction.
//!
//! Invariant: inputs stay until the version edit that replaces them is durable; a job that is given up leaves nothing
//! but files that the next start deletes.

use std::sync::Arc;

use super::picker::{Choice, pick};
use super::retention::Retention;
use crate::core::Core;
use crate::entry::KeyspaceId;
use crate::error::Result;
use crate::iter::Direction;
use crate::iter::merge::MergeCursor;
use crate::output::{Output, discard, open_all};
use crate::sstable::{Sstable, SstableMeta};
use crate::version::KeyspaceVersion;
use crate::version::edit::Change;

/// A stop is noticed after this many entries.
const ENTRIES_BETWEEN_CHECKS: u32 = 1024;

/// Does the most urgent compaction of all keyspaces; `false` if there is none.
pub(crate) fn compact_one(core: &Core) -> Result<bool> {
    let version = Arc::clone(&core.views.load().version);
    let choice = version
        .all_live()
        .filter_map(|keyspace| {
            let levels: Vec<Vec<&SstableMeta>> = keyspace
                .levels
                .iter()
                .map(|level| level.iter().map(|sstable| &sstable.meta).collect())
                .collect();
            Some((Arc::clone(keyspace), pick(&levels, &core.settings)?))
        })
        .max_by_key(|(_, choice)| choice.score);
    let Some((keyspace, choice)) = choice else {
        return Ok(false);
    };
    let inputs = find(&keyspace, choice.level, &choice.inputs);
    let overlapped = find(&keyspace, choice.level + 1, &choice.overlapped);
    if choice.is_move {
        install(core, keyspace.id, &choice, &inputs, &inputs)?;
        return Ok(true);
    }
    let Some(metas) = merge(core, &choice, &inputs, &overlapped)? else {
        return Ok(false);
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
    Ok(true)
}

fn find(keyspace: &KeyspaceVersion, level: usize, numbers: &[u64]) -> Vec<Arc<Sstable>> {
    keyspace.levels[level]
        .iter()
        .filter(|sstable| numbers.contains(&sstable.meta.number))
        .cloned()
        .collect()
}

/// Writes the merged entries; `None` if the engine stops meanwhile.
fn merge(
    core: &Core,
    choice: &Choice,
    inputs: &[Arc<Sstable>],
    overlapped: &[Arc<Sstable>],
) -> Result<Option<Vec<SstableMeta>>> {
    let mut cursor = MergeCursor::new(Direction::Forward);
    if choice.level == 0 {
        for sstable in inputs {
            cursor.add_level(vec![Arc::clone(sstable)], false);
        }
    } else {
        cursor.add_level(inputs.to_vec(), false);
    }
    cursor.add_level(overlapped.to_vec(), false);
    cursor.seek(None)?;
    let boundaries = core.snapshots.boundaries(|| core.published());
    let mut retention = Retention::new(boundaries, choice.bottom);
    let compression = if choice.bottom && choice.level > 0 {
        core.settings.compression_bottom
    } else {
        core.settings.compression
    };
    let mut output = Output::new(core, core.settings.sstable_bytes, compression);
    let mut until_check = ENTRIES_BETWEEN_CHECKS;
    while let Some((key, sequence, kind)) = cursor.place() {
        if retention.keep(key, sequence, kind) {
            output.push(key, sequence, kind, cursor.value())?;
        }
        cursor.step()?;
        until_check -= 1;
        if until_check == 0 {
            until_check = ENTRIES_BETWEEN_CHECKS;
            core.check()?;
            if core.is_stopping() {
                return Ok(None);
            }
        }
    }
    output.finish().map(Some)
}

/// Replaces sstables by others one level further down; `false` if the keyspace has gone meanwhile.
fn install(
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
            choice.level + 1
        }
    };
    let removed = replaced.iter().map(|sstable| Change::SstableRemoved {
        keyspace: id,
        level: level_of(sstable),
        number: sstable.meta.number,
    });
    let added = outputs.iter().map(|sstable| Change::SstableAdded {
        keyspace: id,
        level: choice.level + 1,
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
                keyspace.add(choice.level + 1, Arc::clone(sstable));
            }
        }
    });
    Ok(true)
}
