//! Reading blocks of a file one after the other with few calls of the operating system.
//!
//! Invariant: what is handed on are the bytes of the block that was asked for. A walk that reads a second block next to
//! the first begins to read ahead, in windows that double up to a limit; a single read stays single.

use std::path::Path;

use super::Handle;
use crate::error::{Error, Result};
use crate::iter::Direction;
use crate::vfs::File;

const WINDOW_FIRST: usize = 16 << 10;
const WINDOW_MAX: usize = 256 << 10;

/// What a walk has read beyond what it was asked for.
#[derive(Debug)]
pub(super) struct ReadAhead {
    direction: Direction,
    /// The bytes of the file from `start` on.
    bytes: Vec<u8>,
    start: u64,
    window: usize,
    /// Where the block before ended or, walking backward, began.
    neighbour: u64,
}

impl ReadAhead {
    /// `whole`: the walk will read everything, so that it begins with the largest window.
    pub(super) fn new(direction: Direction, whole: bool) -> Self {
        Self {
            direction,
            bytes: Vec::new(),
            start: 0,
            window: if whole { WINDOW_MAX } else { 0 },
            neighbour: u64::MAX,
        }
    }

    /// Reads a block; `end` is the size of the file.
    pub(super) fn read(&mut self, file: &dyn File, path: &Path, handle: Handle, end: u64) -> Result<Vec<u8>> {
        let length = handle.length as usize;
        let is_neighbour = match self.direction {
            Direction::Forward => handle.offset == self.neighbour,
            Direction::Backward => handle.offset + u64::from(handle.length) == self.neighbour,
        };
        self.neighbour = match self.direction {
            Direction::Forward => handle.offset + u64::from(handle.length),
            Direction::Backward => handle.offset,
        };
        if let Some(block) = self.buffered(handle) {
            return Ok(block.to_vec());
        }
        if is_neighbour {
            self.window = (self.window * 2).clamp(WINDOW_FIRST, WINDOW_MAX);
        } else if self.window < WINDOW_MAX {
            self.window = 0;
        }
        if self.window <= length {
            let mut block = vec![0; length];
            file.read_exact_at(&mut block, handle.offset)
                .map_err(Error::io("read", path))?;
            return Ok(block);
        }
        let block_end = handle.offset + u64::from(handle.length);
        let (from, to) = match self.direction {
            Direction::Forward => (handle.offset, end.min(handle.offset + self.window as u64)),
            Direction::Backward => (block_end.saturating_sub(self.window as u64), block_end),
        };
        let bytes = usize::try_from(to - from).unwrap_or(length);
        self.bytes.resize(bytes, 0);
        file.read_exact_at(&mut self.bytes, from)
            .map_err(Error::io("read", path))?;
        self.start = from;
        self.buffered(handle)
            .map(<[u8]>::to_vec)
            .ok_or_else(|| Error::corruption(path, handle.offset, "a block handle points behind the blocks"))
    }

    fn buffered(&self, handle: Handle) -> Option<&[u8]> {
        let from = usize::try_from(handle.offset.checked_sub(self.start)?).ok()?;
        self.bytes.get(from..from.checked_add(handle.length as usize)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::Vfs as _;
    use crate::vfs::mem::MemVfs;

    #[test]
    fn every_block_comes_as_it_lies_in_the_file() {
        let disk = MemVfs::new();
        let path = Path::new("/f");
        let file = disk.create(path).unwrap();
        let contents: Vec<u8> = (0..=255).cycle().take(600_000).collect();
        file.write_all_at(&contents, 0).unwrap();
        let mut blocks = Vec::new();
        let mut offset = 0;
        while offset + 40_000 < contents.len() {
            let length = [300, 4000, 17_000, 40_000][offset % 4];
            blocks.push(Handle {
                offset: offset as u64,
                length,
            });
            offset += length as usize + offset % 3;
        }
        for whole in [false, true] {
            for direction in [Direction::Forward, Direction::Backward] {
                let mut ahead = ReadAhead::new(direction, whole);
                let mut order = blocks.clone();
                if direction == Direction::Backward {
                    order.reverse();
                }
                // A jump back in the middle.
                let (head, tail) = order.split_at(order.len() / 2);
                for handle in [head, tail, head].concat() {
                    let read = ahead.read(&*file, path, handle, contents.len() as u64).unwrap();
                    let from = usize::try_from(handle.offset).unwrap();
                    assert_eq!(read, contents[from..from + handle.length as usize]);
                }
            }
        }
    }
}
