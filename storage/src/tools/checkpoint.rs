//! A checkpoint: a second directory with the same contents, made of hard links, that opens like any other.
//!
//! Invariant: what was published before the call is in it. It has no log: everything is in sstables first. `KEYS` comes
//! last, so that a half-made checkpoint does not open, and no file of it needs a key that is not there.

use std::path::Path;
use std::sync::Arc;

use crate::core::Core;
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::files::{FileName, KEYS, read_file, replace_file};
use crate::version::manifest::Manifest;
use crate::vfs::Vfs;

/// What a checkpoint holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Every batch up to this one is in it.
    pub sequence: SequenceNumber,
    /// Sstables.
    pub sstables: u64,
    /// Their bytes, which are shared with the engine's directory until one of the two lets go of them.
    pub bytes: u64,
}

/// Makes a checkpoint of what is in sstables in `target`, which must be empty or not exist, on the same file system.
pub(crate) fn checkpoint(core: &Core, target: &Path) -> Result<Checkpoint> {
    let vfs: &dyn Vfs = &*core.context.vfs;
    vfs.create_dir_all(target).map_err(Error::io("create", target))?;
    let names = vfs.list(target).map_err(Error::io("list", target))?;
    if let Some(name) = names.first() {
        return Err(Error::Invalid {
            what: "target of the checkpoint",
            detail: format!("{} is not empty: it holds {name}", target.display()),
        });
    }
    // No key of them is forgotten meanwhile.
    let _writing = core.writing.read();
    // The version keeps its sstables from being deleted; the state is that of the same moment.
    let (version, mut state) = {
        let manifest = core.manifest.lock();
        (Arc::clone(&core.views.load().version), manifest.state().clone())
    };
    let mut made = Checkpoint {
        sequence: state.last_sequence,
        sstables: 0,
        bytes: 0,
    };
    for sstable in version
        .keyspaces
        .values()
        .flat_map(|keyspace| keyspace.sstables())
    {
        let name = FileName::Sstable(sstable.meta.number);
        let path = name.in_directory(target);
        vfs.hard_link(&name.in_directory(&core.context.directory), &path)
            .map_err(Error::io("link", &path))?;
        made.sstables += 1;
        made.bytes += sstable.meta.bytes;
    }
    state
        .keyspaces
        .retain(|_, keyspace| keyspace.dropped_at.is_none());
    state.forget_log();
    Manifest::create(
        Arc::clone(&core.context.vfs),
        Arc::clone(&core.context.keys),
        target,
        state,
    )?;
    let keys = read_file(vfs, &core.context.directory.join(KEYS))?;
    replace_file(vfs, &target.join(KEYS), &keys)?;
    Ok(made)
}
