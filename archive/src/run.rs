//! Runs: entries in the order of their keys, in chunks.
//!
//! Invariant: whoever reads a run gets every entry that was put into it, each once and in order, or an error.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use prost::Message;

use crate::archive::Archive;
use crate::block::{get_entry, put_entry};
use crate::chunk::ChunkRef;
use crate::error::Error;
use crate::hands::{Hands, InHands};
use crate::seal::Kind;

/// A chunk ends when it has so many bytes.
const CHUNK_BYTES: usize = 4 << 20;

/// Entries, and the same keys with fingerprints of what is under them.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Run {
    #[prost(message, repeated, tag = "1")]
    pub(crate) cells: Vec<ChunkRef>,
    #[prost(message, repeated, tag = "2")]
    pub(crate) prints: Vec<ChunkRef>,
}

impl Run {
    /// The bytes of its objects.
    pub(crate) fn bytes(&self) -> u64 {
        self.chunks().map(|chunk| chunk.bytes).sum()
    }

    pub(crate) fn chunks(&self) -> impl Iterator<Item = &ChunkRef> {
        self.cells.iter().chain(&self.prints)
    }
}

/// Writes a run.
#[derive(Debug)]
pub(crate) struct RunWriter {
    kind: Kind,
    /// Whether chunks that are there are read, and replaced if they are damaged.
    compares: bool,
    block: Vec<u8>,
    entries: u64,
    last: Vec<u8>,
    chunks: Vec<ChunkRef>,
    in_hands: InHands,
    /// Bytes of objects that were not there before.
    copied: u64,
}

impl RunWriter {
    pub(crate) fn new(kind: Kind, hands: &Arc<dyn Hands>) -> Self {
        Self {
            kind,
            compares: false,
            block: Vec::new(),
            entries: 0,
            last: Vec::new(),
            chunks: Vec::new(),
            in_hands: InHands::new(hands),
            copied: 0,
        }
    }

    /// Has others put the chunks that are still to be cut.
    pub(crate) fn give_to(&mut self, hands: &Arc<dyn Hands>) {
        self.in_hands.give_to(hands);
    }

    /// Looks at chunks that are there from now on.
    pub(crate) fn compare(&mut self) {
        self.compares = true;
    }

    /// Adds an entry behind all others.
    pub(crate) fn push(&mut self, archive: &Archive, key: &[u8], value: Option<&[u8]>) -> Result<(), Error> {
        put_entry(&mut self.block, key, value);
        self.entries += 1;
        self.last.clear();
        self.last.extend_from_slice(key);
        if self.block.len() >= CHUNK_BYTES {
            self.cut(archive)?;
        }
        Ok(())
    }

    fn cut(&mut self, archive: &Archive) -> Result<(), Error> {
        let mut next = Vec::new();
        if self.in_hands.are_full() {
            next = self.wait()?.unwrap_or_default();
            next.clear();
        }
        let block = std::mem::replace(&mut self.block, next);
        let about = (std::mem::take(&mut self.entries), self.last.clone());
        let how = (self.kind, self.compares);
        self.in_hands.give(archive, how, block, about);
        Ok(())
    }

    /// Waits for the first chunk that is in somebody's hands; gives its buffer, or `None` if there is no such chunk.
    fn wait(&mut self) -> Result<Option<Vec<u8>>, Error> {
        let Some((put, buffer)) = self.in_hands.wait() else {
            return Ok(None);
        };
        let (chunk, copied) = put?;
        self.chunks.push(chunk);
        self.copied += copied;
        Ok(Some(buffer))
    }

    /// The chunks of all entries, and how many bytes had to be written for them. All are durable.
    pub(crate) fn finish(mut self, archive: &Archive) -> Result<(Vec<ChunkRef>, u64), Error> {
        if self.entries > 0 {
            self.cut(archive)?;
        }
        while self.wait()?.is_some() {}
        Ok((self.chunks, self.copied))
    }
}

/// Reads a run, a chunk at a time.
#[derive(Debug)]
pub(crate) struct RunReader {
    archive: Archive,
    kind: Kind,
    chunks: VecDeque<ChunkRef>,
    /// The chunk that is being read: its name, what is left of it, how many entries that has to be.
    block: Option<(String, Bytes, u64)>,
    last: Option<Bytes>,
}

impl RunReader {
    /// From the first key behind one on, or from the beginning.
    pub(crate) fn new(archive: &Archive, kind: Kind, chunks: &[ChunkRef], behind: Option<&[u8]>) -> Self {
        let is_behind = |chunk: &&ChunkRef| behind.is_none_or(|behind| &chunk.last[..] > behind);
        Self {
            archive: archive.clone(),
            kind,
            chunks: chunks.iter().filter(is_behind).cloned().collect(),
            block: None,
            last: None,
        }
    }

    /// The next entry.
    pub(crate) fn next(&mut self) -> Result<Option<(Bytes, Option<Bytes>)>, Error> {
        loop {
            if let Some((name, block, entries)) = &mut self.block {
                if *entries == 0 {
                    if !block.is_empty() {
                        return Err(Error::damaged(name, "it has more entries than its manifest says"));
                    }
                    self.block = None;
                    continue;
                }
                let entry =
                    get_entry(block).ok_or_else(|| Error::damaged(name, "an entry does not decode"))?;
                *entries -= 1;
                if self.last.as_ref().is_some_and(|last| *last >= entry.0) {
                    return Err(Error::damaged(name, "its keys are not in order"));
                }
                self.last = Some(entry.0.clone());
                return Ok(Some(entry));
            }
            let Some(chunk) = self.chunks.pop_front() else {
                return Ok(None);
            };
            let contents = chunk.get(&self.archive, self.kind)?;
            self.block = Some((chunk.object()?, contents.into(), chunk.entries));
        }
    }
}
