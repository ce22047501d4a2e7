//! A backup that is being made.
//!
//! Cells come in the order of their keys. If there is a backup to build on, they are compared with its fingerprints, and only
//! what differs is written: a run that says what has changed. Invariant: until the manifest is written, everything else is
//! without consequence; it is not written if others have given this backup up, because they may have removed its chunks.

use std::sync::Arc;

use bytes::Bytes;
use ring::digest;

use crate::archive::Archive;
use crate::error::Error;
use crate::hands::{Hands, OneByOne, Own, STEP_BYTES, give_way};
use crate::manifest::{Description, Manifest};
use crate::merge::Merge;
use crate::run::{Run, RunWriter};
use crate::seal::Kind;

/// A backup that is made of so many runs is not built on: to read it takes as many readers.
const RUNS_MAX: usize = 8;
/// Bytes of a fingerprint.
const PRINT_BYTES: usize = 16;

/// What is under a key, in short. Not secret: it is sealed.
pub(crate) fn print_of(key: &[u8], cell: &[u8]) -> [u8; PRINT_BYTES] {
    let mut context = digest::Context::new(&digest::SHA256);
    context.update(&(key.len() as u64).to_le_bytes());
    context.update(key);
    context.update(cell);
    let mut print = [0; PRINT_BYTES];
    print.copy_from_slice(&context.finish().as_ref()[..PRINT_BYTES]);
    print
}

/// The backup that another one builds on.
#[derive(Debug)]
struct Base {
    runs: Vec<Run>,
    prints: Merge,
    head: Option<(Bytes, Bytes)>,
}

impl Base {
    fn advance(&mut self) -> Result<(), Error> {
        self.head = self.prints.next()?;
        Ok(())
    }
}

/// See the head of the file.
#[derive(Debug)]
pub struct Backup {
    archive: Archive,
    id: String,
    base: Option<Base>,
    cells: RunWriter,
    prints: RunWriter,
    has_changes: bool,
    last: Option<Bytes>,
    /// Cells and their bytes.
    tally: (u64, u64),
}

impl Backup {
    pub(crate) fn new(archive: &Archive, id: &str, base: Option<&Manifest>) -> Result<Self, Error> {
        let base = match base.filter(|base| is_worth_it(base.runs())) {
            Some(base) => {
                let mut prints = Merge::new(archive, Kind::Prints, base.runs(), None)?;
                let head = prints.next()?;
                Some(Base {
                    runs: base.runs().to_vec(),
                    prints,
                    head,
                })
            }
            None => None,
        };
        let own: Arc<dyn Hands> = Arc::new(Own);
        Ok(Self {
            archive: archive.clone(),
            id: id.to_owned(),
            base,
            cells: RunWriter::new(Kind::Cells, &own),
            prints: RunWriter::new(Kind::Prints, &own),
            has_changes: false,
            last: None,
            tally: (0, 0),
        })
    }

    /// Has others seal and put its chunks from now on, while the next cells come. What the chunks are does not depend on who does.
    #[must_use]
    pub fn helped_by(mut self, hands: &Arc<dyn Hands>) -> Self {
        self.cells.give_to(hands);
        // There are few of them unless cells are small.
        let one_by_one: Arc<dyn Hands> = Arc::new(OneByOne(Arc::clone(hands)));
        self.prints.give_to(&one_by_one);
        self
    }

    /// Reads chunks that are there already, and replaces those that are damaged: for an archive in which something was found to be.
    /// Backups that need them as well are whole again then.
    #[must_use]
    pub fn comparing(mut self) -> Self {
        self.cells.compare();
        self.prints.compare();
        self
    }

    /// Adds the next cell.
    ///
    /// # Errors
    /// [`Error::Order`] when its key is not behind that of the last one; when the archive cannot be written, or what this
    /// builds on cannot be read.
    pub fn push(&mut self, key: &Bytes, cell: &[u8]) -> Result<(), Error> {
        if self.last.as_ref().is_some_and(|last| last >= key) {
            return Err(Error::Order);
        }
        self.last = Some(key.clone());
        self.tally.0 += 1;
        let before = self.tally.1;
        self.tally.1 += (key.len() + cell.len()) as u64;
        if before / STEP_BYTES as u64 != self.tally.1 / STEP_BYTES as u64 {
            give_way();
        }
        self.remove_up_to(Some(key))?;
        let print = print_of(key, cell);
        if let Some(base) = &mut self.base
            && let Some((_, before)) = base.head.take_if(|(there, _)| *there == *key)
        {
            base.advance()?;
            if before[..] == print[..] {
                return Ok(());
            }
        }
        self.put(key, Some((cell, &print)))
    }

    /// What the base has before a key, and was not pushed, is gone.
    fn remove_up_to(&mut self, key: Option<&Bytes>) -> Result<(), Error> {
        while let Some(base) = &mut self.base {
            let is_before = |(there, _): &mut (Bytes, Bytes)| key.is_none_or(|key| *there < *key);
            let Some((gone, _)) = base.head.take_if(is_before) else {
                return Ok(());
            };
            base.advance()?;
            self.put(&gone, None)?;
        }
        Ok(())
    }

    fn put(&mut self, key: &[u8], what: Option<(&[u8], &[u8])>) -> Result<(), Error> {
        self.has_changes = true;
        self.cells.push(&self.archive, key, what.map(|(cell, _)| cell))?;
        self.prints.push(&self.archive, key, what.map(|(_, print)| print))
    }

    /// Says that this backup is still being made; to be called every few minutes.
    ///
    /// # Errors
    /// [`Error::GivenUp`] when it must be begun anew; when the archive cannot be written.
    pub fn is_alive(&self, now_ms: u64) -> Result<(), Error> {
        if !self.archive.has_intent(&self.id)? {
            return Err(Error::GivenUp);
        }
        self.archive.put_intent(&self.id, now_ms)
    }

    /// Writes the manifest, with which the backup is there.
    ///
    /// # Errors
    /// [`Error::GivenUp`] when it must be begun anew; when the archive cannot be written.
    pub fn finish(mut self, about: Bytes) -> Result<Manifest, Error> {
        if !self.archive.has_intent(&self.id)? {
            return Err(Error::GivenUp);
        }
        self.remove_up_to(None)?;
        let (cells, copied) = self.cells.finish(&self.archive)?;
        let (prints, more) = self.prints.finish(&self.archive)?;
        let mut runs = self.base.map(|base| base.runs).unwrap_or_default();
        if self.has_changes {
            runs.push(Run { cells, prints });
        }
        if !self.archive.has_intent(&self.id)? {
            return Err(Error::GivenUp);
        }
        let description = Description { id: self.id, about };
        let (cells, bytes) = self.tally;
        let manifest = Manifest::new(description, (cells, bytes, copied + more), runs);
        manifest.put(&self.archive)?;
        self.archive.remove_intent(manifest.id())?;
        Ok(manifest)
    }
}

/// Whether another run may be put onto these: not when they are many already, or when what has changed is about as much
/// as what there was at first.
fn is_worth_it(runs: &[Run]) -> bool {
    let Some((first, changes)) = runs.split_first() else {
        return false;
    };
    let changes: u64 = changes.iter().map(Run::bytes).sum();
    runs.len() < RUNS_MAX && changes <= first.bytes() / 2
}
