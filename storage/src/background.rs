//! The engine's background threads: flush, and compaction.
//!
//! Invariant: a failure in the background stops the engine, because what the disk holds is then not known. Not here:
//! the log thread (`commit.rs`).

use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::compaction::job::compact_one;
use crate::core::{Core, IDLE_WAIT};
use crate::error::Result;
use crate::flush::{flush_one, free_segments};
use crate::version::edit::Change;
use crate::wal::segment::prepare_spare;

/// Compactions get about a third of a core that others want whole.
const COMPACTION_NICENESS: i32 = 5;

/// Flushes memtables, prepares log segments and purges keyspaces until the engine stops.
pub(crate) fn run_flush_thread(core: &Core) {
    run(
        core,
        || core.flush_signal.wait(IDLE_WAIT),
        || {
            let flushed = flush_one(core)?;
            if !flushed && core.spare_wanted.load(Ordering::Acquire) {
                prepare_spare(&core.log.context)?;
                core.spare_wanted.store(false, Ordering::Release);
            }
            if core.free_due.swap(false, Ordering::AcqRel) {
                free_segments(core)?;
            }
            if core.purge_waits.load(Ordering::Acquire) {
                purge_dropped(core)?;
            }
            Ok(flushed)
        },
    );
}

/// Compacts until the engine stops.
pub(crate) fn run_compaction_thread(core: &Core) {
    yield_to_foreground();
    run(
        core,
        || core.compaction_signal.wait(IDLE_WAIT),
        || compact_one(core),
    );
}

/// Lets the threads that serve go first when there are not cores enough for all. On Linux niceness belongs to a thread
/// (setpriority(2), "C library/kernel differences"); where it cannot be set, nothing is lost but that.
fn yield_to_foreground() {
    if let Err(error) = rustix::process::nice(COMPACTION_NICENESS) {
        tracing::debug!(%error, "compactions run with the priority of all threads");
    }
}

/// Calls `work` as long as it finds something to do, and waits when it does not.
fn run(core: &Core, wait: impl Fn(), work: impl Fn() -> Result<bool>) {
    while !core.is_stopping() && core.check().is_ok() {
        match work() {
            Ok(true) => {}
            Ok(false) => wait(),
            Err(error) => core.poison(&error),
        }
    }
}

/// Removes dropped keyspaces that no snapshot sees any more, with their sstables.
pub(crate) fn purge_dropped(core: &Core) -> Result<()> {
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
    Ok(())
}
