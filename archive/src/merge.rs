//! What several runs say together: of each key what the last run that names it says.

use bytes::Bytes;

use crate::archive::Archive;
use crate::error::Error;
use crate::run::{Run, RunReader};
use crate::seal::Kind;

/// What a run says of a key: a value, or that there is none any more.
type Said = (Bytes, Option<Bytes>);

/// An entry with a value.
type Entry = (Bytes, Bytes);

/// Entries of runs in the order of their keys; those without a value are left out.
#[derive(Debug)]
pub(crate) struct Merge {
    /// The oldest first, each with its next entry.
    runs: Vec<(RunReader, Option<Said>)>,
}

impl Merge {
    pub(crate) fn new(
        archive: &Archive,
        kind: Kind,
        runs: &[Run],
        behind: Option<&[u8]>,
    ) -> Result<Self, Error> {
        let open = |run: &Run| {
            let chunks = if kind == Kind::Prints {
                &run.prints
            } else {
                &run.cells
            };
            let mut reader = RunReader::new(archive, kind, chunks, behind);
            let mut head = reader.next()?;
            while let (Some((key, _)), Some(behind)) = (&head, behind)
                && &key[..] <= behind
            {
                head = reader.next()?;
            }
            Ok((reader, head))
        };
        let runs = runs.iter().map(open).collect::<Result<_, Error>>()?;
        Ok(Self { runs })
    }

    pub(crate) fn next(&mut self) -> Result<Option<Entry>, Error> {
        loop {
            let heads = self.runs.iter().filter_map(|(_, head)| head.as_ref());
            let Some(least) = heads.map(|(key, _)| key).min().cloned() else {
                return Ok(None);
            };
            let mut newest = None;
            for (reader, head) in &mut self.runs {
                if let Some((_, value)) = head.take_if(|(key, _)| *key == least) {
                    newest = value;
                    *head = reader.next()?;
                }
            }
            if let Some(value) = newest {
                return Ok(Some((least, value)));
            }
        }
    }
}

/// The cells of a backup in the order of their keys.
#[derive(Debug)]
pub struct Cells {
    pub(crate) cells: Merge,
}

impl Cells {
    /// The next cell with its key; `None` behind the last one.
    ///
    /// # Errors
    /// When a chunk cannot be read, or is not what was written.
    pub fn next_cell(&mut self) -> Result<Option<(Bytes, Bytes)>, Error> {
        self.cells.next()
    }
}
