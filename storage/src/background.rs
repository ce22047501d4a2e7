//! The engine's background work, flush and compaction, and the threads that do it.
//!
//! Invariant: a failure in the background stops the engine, because what the disk holds is then not known. An engine
//! without threads does the same pieces when it is driven (`drive.rs`). Not here: the log thread (`log_thread.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compaction::job::compact_one;
use crate::core::{Core, IDLE_WAIT, Signal};
use crate::error::Result;
use crate::flush::{flush_one, free_segments};
use crate::version::edit::Change;
use crate::wal::segment::prepare_spare;

/// Compactions get about a third of a core that others want whole.
const COMPACTION_NICENESS: i32 = 5;

/// Flushes memtables, prepares log segments and purges keyspaces until the engine stops.
pub(crate) fn run_flush_thread(core: &Core) {
    run(core, tend, &core.flush_signal);
}

/// Does one piece of all that is not a compaction; `false` if there is none.
pub(crate) fn tend(core: &Core) -> Result<bool> {
    if core.free_due.swap(false, Ordering::AcqRel) {
        free_segments(core)?;
        return Ok(true);
    }
    if core.purge_waits.load(Ordering::Acquire) && purge_dropped(core)? {
        return Ok(true);
    }
    if flush_one(core)? {
        return Ok(true);
    }
    if core.spare_wanted.load(Ordering::Acquire) {
        prepare_spare(&core.log.context)?;
        core.spare_wanted.store(false, Ordering::Release);
        return Ok(true);
    }
    if core.forget_due.swap(false, Ordering::AcqRel) {
        core.forget_unused_keys()?;
    }
    Ok(false)
}

/// Compacts until the engine stops.
pub(crate) fn run_compaction_thread(core: &Core) {
    yield_to_foreground();
    run(core, compact_one, &core.compaction_signal);
}

/// Lets the threads that serve go first when there are not cores enough for all. On Linux niceness belongs to a thread
/// (setpriority(2), "C library/kernel differences"); where it cannot be set, nothing is lost but that.
fn yield_to_foreground() {
    if let Err(error) = rustix::process::nice(COMPACTION_NICENESS) {
        tracing::debug!(%error, "compactions run with the priority of all threads");
    }
}

/// A kind of background work: does one piece of it; `false` if there is none.
type Work = fn(&Core) -> Result<bool>;

/// Does `work` as long as it finds something to do, and waits when it does not.
fn run(core: &Core, work: Work, signal: &Signal) {
    while is_at_work(core) {
        if !step(core, work) {
            signal.wait(IDLE_WAIT);
        }
    }
}

fn is_at_work(core: &Core) -> bool {
    !core.is_stopping() && core.check().is_ok()
}

/// Does one piece of `work`; `false` if there is none, or nothing is done any more. A failure stops the engine.
pub(crate) fn step(core: &Core, work: Work) -> bool {
    is_at_work(core)
        && work(core).unwrap_or_else(|error| {
            core.poison(&error);
            true
        })
}

/// Removes dropped keyspaces that no snapshot sees any more, with their sstables; `false` if there is none.
fn purge_dropped(core: &Core) -> Result<bool> {
    core.purge_waits.store(false, Ordering::Release);
    let mut manifest = core.manifest.lock();
    let view = core.views.load_full();
    let oldest = core.snapshots.oldest();
    let (purgeable, waiting): (Vec<_>, Vec<_>) = view
        .version
        .keyspaces
        .values()
        .filter_map(|keyspace| Some((keyspace, keyspace.dropped_at?)))
        .partition(|(_, dropped_at)| oldest.is_none_or(|oldest| oldest >= *dropped_at));
    if !purgeable.is_empty() {
        manifest.commit(
            purgeable
                .iter()
                .map(|(keyspace, _)| Change::KeyspacePurged { id: keyspace.id })
                .collect(),
        )?;
        core.update_view(|view| {
            let version = Arc::make_mut(&mut view.version);
            for (keyspace, _) in &purgeable {
                version.keyspaces.remove(&keyspace.id);
            }
        });
        purgeable
            .iter()
            .flat_map(|(keyspace, _)| keyspace.sstables())
            .for_each(|sstable| sstable.mark_obsolete());
    }
    if !waiting.is_empty() {
        core.purge_waits.store(true, Ordering::Release);
    }
    Ok(!purgeable.is_empty())
}
