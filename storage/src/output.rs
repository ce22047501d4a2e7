//! Writing entries out: what flush and compaction have in common.
//!
//! Invariant: files are complete and their contents durable when [`Output::finish`] returns them; until a version edit
//! names them they mean nothing. All versions of a key go to one file.

use std::sync::Arc;

use bytes::Bytes;

use crate::core::Core;
use crate::entry::{EntryKind, SequenceNumber};
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::settings::Compression;
use crate::sstable::{Sstable, SstableMeta, SstableWriter};
use crate::version::KeyspaceVersion;

/// Sstables that are being written from ordered entries.
pub(crate) struct Output<'a> {
    core: &'a Core,
    /// A new file begins at the next key after this many bytes.
    sstable_bytes: u64,
    compression: Compression,
    keyspace: Bytes,
    writer: Option<SstableWriter>,
    finished: Vec<SstableMeta>,
    /// Of all files that were begun.
    numbers: Vec<u64>,
}

impl<'a> Output<'a> {
    pub(crate) fn new(
        core: &'a Core,
        keyspace: &KeyspaceVersion,
        sstable_bytes: u64,
        compression: Compression,
    ) -> Self {
        Self {
            core,
            sstable_bytes,
            compression,
            keyspace: keyspace.encode(),
            writer: None,
            finished: Vec::new(),
            numbers: Vec::new(),
        }
    }

    pub(crate) fn push(
        &mut self,
        key: &[u8],
        sequence: SequenceNumber,
        kind: EntryKind,
        value: &[u8],
    ) -> Result<()> {
        let full = self
            .writer
            .take_if(|writer| writer.bytes() >= self.sstable_bytes && writer.last_key() != key);
        if let Some(writer) = full {
            self.finished.push(writer.finish()?);
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => {
                let number = self.core.manifest.lock().take_file_number();
                self.numbers.push(number);
                let context = &self.core.context;
                let writer = SstableWriter::create(
                    context,
                    number,
                    &self.core.settings,
                    self.compression,
                    self.keyspace.clone(),
                )?;
                none.insert(writer)
            }
        };
        writer.push(key, sequence, kind, value)
    }

    /// The size of all files so far.
    pub(crate) fn bytes(&self) -> u64 {
        let finished: u64 = self.finished.iter().map(|meta| meta.bytes).sum();
        finished + self.writer.as_ref().map_or(0, SstableWriter::bytes)
    }

    /// Completes the last file.
    pub(crate) fn finish(mut self) -> Result<Vec<SstableMeta>> {
        if let Some(writer) = self.writer.take() {
            self.finished.push(writer.finish()?);
        }
        Ok(self.finished)
    }
}

impl Output<'_> {
    /// Deletes what was written.
    pub(crate) fn give_up(self) -> Result<()> {
        drop(self.writer);
        remove(self.core, self.numbers.into_iter())
    }
}

/// Makes the names of new files durable and opens them.
pub(crate) fn open_all(core: &Core, metas: &[SstableMeta]) -> Result<Vec<Arc<Sstable>>> {
    if metas.is_empty() {
        return Ok(Vec::new());
    }
    let context = &core.context;
    context
        .vfs
        .sync_dir(&context.directory)
        .map_err(Error::io("sync", &context.directory))?;
    metas.iter().map(|meta| Sstable::open(context, meta)).collect()
}

/// Deletes files that no version edit names.
pub(crate) fn discard(core: &Core, metas: &[SstableMeta]) -> Result<()> {
    remove(core, metas.iter().map(|meta| meta.number))
}

fn remove(core: &Core, numbers: impl Iterator<Item = u64>) -> Result<()> {
    for number in numbers {
        let path = FileName::Sstable(number).in_directory(&core.context.directory);
        core.context
            .vfs
            .remove(&path)
            .map_err(Error::io("remove", &path))?;
    }
    Ok(())
}
