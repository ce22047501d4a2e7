//! Flush: the oldest full memtable becomes sstables in level 0, one for each keyspace.
//!
//! Invariant: the version edit that names the new files also moves the log start, and only then are log segments
//! deleted. Readers see the entries in the memtable or in the files, never in neither.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compaction::filter::KeepAll;
use crate::compaction::retention::{Decision, Retention};
use crate::core::Core;
use crate::entry::KeyspaceId;
use crate::error::{Error, Result};
use crate::files::FileName;
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
    let outputs = write(core, &view, memtable)?;
    let metas: Vec<SstableMeta> = outputs.iter().map(|(_, meta)| meta.clone()).collect();
    let sstables = open_all(core, &metas)?;
    install(core, memtable, &outputs, &sstables)?;
    add(&core.counters.flushes, 1);
    add(
        &core.counters.flushed_bytes,
        metas.iter().map(|meta| meta.bytes).sum(),
    );
    core.flushed.fetch_max(memtable.last_sequence(), Ordering::AcqRel);
    core.progress.1.notify_all();
    delete_old_segments(core)?;
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
            if !view.version.keyspaces.contains_key(&entry.keyspace) {
                continue;
            }
            let retention = Retention::new(entry.keyspace, &KeepAll, boundaries.clone(), false);
            open = Some((
                entry.keyspace,
                Output::new(core, u64::MAX, core.settings.compression),
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
    let log_start = view.waiting.get(1).unwrap_or(&view.active).first_segment();
    let mut changes = vec![
        Change::LogStart(log_start),
        Change::LastSequence(memtable.last_sequence()),
    ];
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

/// Deletes the log segments that recovery does not need.
pub(crate) fn delete_old_segments(core: &Core) -> Result<()> {
    let log_start = core.manifest.lock().state().log_start;
    let (vfs, directory) = (&core.context.vfs, &core.context.directory);
    for name in vfs.list(directory).map_err(Error::io("list", directory))? {
        if let Some(segment @ FileName::Log(number)) = FileName::parse(&name)
            && number < log_start
        {
            let path = segment.in_directory(directory);
            vfs.remove(&path).map_err(Error::io("remove", &path))?;
        }
    }
    Ok(())
}
