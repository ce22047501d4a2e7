//! Writing what is left of an sstable that was given up.
//!
//! Invariant: everything that can still be read is in the new file, in the same level and at the same place in the order of ages;
//! the damaged one goes with the version edit that names the new one. Not here: who may give a file up (`damage.rs`).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::job::{Steady, install};
use super::picker::Choice;
use crate::core::Core;
use crate::error::{Error, Result};
use crate::output::{Output, discard, open_all};
use crate::sstable::Sstable;
use crate::version::KeyspaceVersion;

/// An sstable of the keyspace that was given up and that no compaction has in use, as one to be written anew where it lies.
pub(super) fn choose_given_up(keyspace: &Arc<KeyspaceVersion>, busy: &BTreeSet<u64>) -> Option<Choice> {
    let (level, sstable) = keyspace.given_up(|number| busy.contains(&number))?;
    Some(Choice {
        level,
        inputs: vec![sstable.meta.number],
        output_level: level,
        overlapped: Vec::new(),
        is_move: false,
        bottom: false,
        score: u64::MAX,
    })
}

/// Puts what can be read of the sstable that was chosen into its place. `false` if the engine stops meanwhile.
pub(super) fn mend(
    core: &Core,
    keyspace: &KeyspaceVersion,
    choice: &Choice,
    damaged: &Arc<Sstable>,
) -> Result<bool> {
    let mut output = Output::new(core, keyspace, u64::MAX, core.settings.compression);
    let mut steady = Steady::new(core);
    let salvaged = damaged.salvage(&mut |key, sequence, kind, value| {
        output.push(key, sequence, kind, value)?;
        if !steady.goes_on(&output)? {
            return Err(Error::Closed);
        }
        Ok(())
    });
    let lost = match salvaged {
        Err(Error::Closed) => return Ok(false),
        salvaged => salvaged?,
    };
    let mut offsets = BTreeSet::new();
    for error in lost {
        match error {
            Error::Corruption { offset, .. } => offsets.insert(offset),
            // A disk that does not answer may answer after a start.
            error => return Err(error),
        };
    }
    if !damaged.damage().is_some_and(|damage| damage.may_lose(&offsets)) {
        tracing::warn!(file = %damaged.path().display(), "more of a damaged sstable cannot be read than was known");
        output.give_up()?;
        return Ok(true);
    }
    let metas = output.finish()?;
    let outputs = open_all(core, &metas)?;
    if install(core, keyspace.id, choice, &[Arc::clone(damaged)], &outputs)? {
        let entries: u64 = metas.iter().map(|meta| meta.entries).sum();
        let lost_entries = damaged.meta.entries.saturating_sub(entries);
        tracing::warn!(
            file = %damaged.path().display(),
            lost_entries,
            lost_blocks = offsets.len(),
            "what could be read of a damaged sstable is in a new one"
        );
        damaged.mark_obsolete();
    } else {
        discard(core, &metas)?;
    }
    core.look_for_unused_keys();
    Ok(true)
}
