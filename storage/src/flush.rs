//! Flush: the oldest full memtable becomes sstables in level 0, one for each keyspace.
//!
//! Invariant: segments of the log are freed only when what they hold is named by a durable version edit or cut off by a
//! durable record, and after the edit that moves the log start. What an edit says to be flushed of a stream is durable in the
//! log before the edit is, so that a stream never ends before its mark. Readers see the entries in the memtable or in the files, never in neither.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compaction::filter::KeepAll;
use crate::compaction::retention::{Decision, Retention};
use crate::core::Core;
use crate::entry::KeyspaceId;
use crate::error::Result;
use crate::memtable::Memtable;
use crate::output::{Output, open_all};
use crate::sstable::{Sstable, SstableMeta};
use crate::statistics::add;
use crate::version::KeyspaceVersion;
use crate::version::edit::Change;
use crate::view::View;

/// Flushes the oldest waiting memtable; `false` if none waits.
pub(crate) fn flush_one(core: &Core) -> Result<bool> {
    let view = core.views.load_full();
    let Some(memtable) = view.waiting.first() else {
        return Ok(false);
    };
    // What was applied to the memtable was written before. By the time the sstables are, most of the time it is synced.
    let log_end = core.log.end();
    let writing = core.writing.read();
    let outputs = write(core, &view, memtable)?;
    let metas: Vec<SstableMeta> = outputs.iter().map(|(_, meta)| meta.clone()).collect();
    let sstables = open_all(core, &metas)?;
    // Nothing of a batch is durable before what came before it in the log: records of a stream that were appended with it, or before.
    core.log.sync_up_to(log_end)?;
    // A sync that failed on another thread may be the one that had to make this durable.
    core.check()?;
    install(core, memtable, &outputs, &sstables)?;
    drop(writing);
    add(&core.counters.flushes, 1);
    add(
        &core.counters.flushed_bytes,
        metas.iter().map(|meta| meta.bytes).sum(),
    );
    core.flushed.fetch_max(memtable.last_sequence(), Ordering::AcqRel);
    core.progress.1.notify_all();
    free_segments(core)?;
    core.compaction_signal.notify();
    Ok(true)
}

/// Writes the entries of the keyspaces that exist.
fn write(core: &Core, view: &View, memtable: &Memtable) -> Result<Vec<(KeyspaceId, SstableMeta)>> {
    let boundaries = core.snapshots.boundaries(|| core.published());
    let mut outputs = Vec::new();
    let mut open: Option<(KeyspaceId, Output<'_>, Retention<'_>)> = None;
    for entry in memtable.iter() {
        if open
            .as_ref()
            .is_none_or(|(keyspace, ..)| *keyspace != entry.keyspace)
        {
            finish(&mut open, &mut outputs)?;
            let Some(keyspace) = view.version.keyspaces.get(&entry.keyspace) else {
                continue;
            };
            let retention = Retention::new(entry.keyspace, &KeepAll, boundaries.clone(), false);
            open = Some((
                entry.keyspace,
                Output::new(core, keyspace, u64::MAX, core.settings.compression),
                retention,
            ));
        }
        if let Some((_, output, retention)) = &mut open
            && retention.decide(entry.key(), entry.sequence, entry.kind, entry.value()) == Decision::Keep
        {
            output.push(entry.key(), entry.sequence, entry.kind, entry.value())?;
        }
    }
    finish(&mut open, &mut outputs)?;
    Ok(outputs)
}

fn finish(
    open: &mut Option<(KeyspaceId, Output<'_>, Retention<'_>)>,
    outputs: &mut Vec<(KeyspaceId, SstableMeta)>,
) -> Result<()> {
    if let Some((keyspace, output, _)) = open.take() {
        outputs.extend(output.finish()?.into_iter().map(|meta| (keyspace, meta)));
    }
    Ok(())
}

fn install(
    core: &Core,
    memtable: &Arc<Memtable>,
    outputs: &[(KeyspaceId, SstableMeta)],
    sstables: &[Arc<Sstable>],
) -> Result<()> {
    let mut manifest = core.manifest.lock();
    let view = core.views.load_full();
    let last_sequence = memtable.last_sequence().max(manifest.state().last_sequence);
    let mut changes = vec![Change::LastSequence(last_sequence)];
    changes.extend(core.applied.flush_changes());
    // A keyspace may have been purged while its file was written; the file is then of no use.
    let (used, unused): (Vec<_>, Vec<_>) = outputs
        .iter()
        .zip(sstables)
        .partition(|((keyspace, _), _)| view.version.keyspaces.contains_key(keyspace));
    changes.extend(used.iter().map(|((keyspace, meta), _)| Change::SstableAdded {
        keyspace: *keyspace,
        level: 0,
        meta: meta.clone(),
    }));
    manifest.commit(changes)?;
    core.applied.flushed();
    for (_, sstable) in unused {
        sstable.mark_obsolete();
    }
    core.update_view(|view| {
        view.waiting.retain(|waiting| !Arc::ptr_eq(waiting, memtable));
        let version = Arc::make_mut(&mut view.version);
        for ((keyspace, _), sstable) in used {
            if let Some(keyspace) = version.keyspaces.get_mut(keyspace) {
                KeyspaceVersion::add(Arc::make_mut(keyspace), 0, Arc::clone(sstable));
            }
        }
    });
    Ok(())
}

/// Frees the log segments that no stream needs, the engine's own included.
pub(crate) fn free_segments(core: &Core) -> Result<()> {
    let flushed = core.flushed.load(Ordering::Acquire);
    let (first, _) = core.log.first_needed(flushed);
    if first > core.manifest.lock().state().log_start {
        // The cuts that make the segments unneeded must be durable before the segments go.
        core.log.sync()?;
    }
    let mut manifest = core.manifest.lock();
    if first > manifest.state().log_start {
        manifest.commit(vec![Change::LogStart(first)])?;
    }
    drop(manifest);
    for segment in core.log.take_before(first) {
        segment.free(&core.log.context)?;
    }
    core.look_for_unused_keys();
    Ok(())
}
