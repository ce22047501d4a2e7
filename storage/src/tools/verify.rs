//! `verify`: every byte of a directory is read and checked against everything that is said about it.
//!
//! Invariant: it changes nothing, and goes on behind what it finds.

use std::collections::BTreeSet;
use std::path::Path;

use super::offline::Offline;
use super::{Progress, log};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::FileName;
use crate::sstable::Sstable;
use crate::version::manifest::Manifest;

/// What a verification has read, and what is wrong.
#[derive(Debug, Default)]
pub struct Verification {
    /// Sstables that were read.
    pub sstables: u64,
    /// Entries in them.
    pub entries: u64,
    /// Log segments that were read.
    pub log_segments: u64,
    /// Bytes of all of these.
    pub bytes: u64,
    /// Files that nothing needs any more, left by a crash; the next start deletes them.
    pub unneeded: Vec<String>,
    /// What is wrong, in the order of the files.
    pub problems: Vec<Error>,
}

/// Reads the directory of an engine that is not running from end to end.
///
/// # Errors
///
/// [`Error::Locked`] if it is running, [`Error::WrongMasterKey`], [`Error::UnsupportedFormat`], or that the directory
/// cannot be read at all. What is wrong with its contents is not an error but in [`Verification::problems`].
pub fn verify(environment: Environment, directory: &Path, progress: Progress<'_>) -> Result<Verification> {
    let offline = Offline::open(environment, directory)?;
    let mut found = Verification::default();
    let files = offline.files()?;
    let total: u64 = files.iter().map(|file| offline.size(*file)).sum();
    let state = match Manifest::read(offline.vfs(), &offline.context.keys, directory) {
        Ok(state) => state,
        Err(error) => {
            found.problems.push(error);
            None
        }
    };
    let named: Option<BTreeSet<u64>> = state.as_ref().map(|state| state.sstable_numbers().collect());
    for file in files {
        let size = offline.size(file);
        match file {
            FileName::Sstable(number) if named.as_ref().is_some_and(|named| !named.contains(&number)) => {
                found.unneeded.push(file.name());
            }
            FileName::Sstable(number) => sstable(&offline, number, &mut found, total, progress),
            FileName::Log(_) | FileName::Manifest(_) => {}
        }
        found.bytes += size;
        progress(found.bytes, total);
    }
    if let Some(named) = named {
        for number in named {
            let path = offline.path(FileName::Sstable(number));
            if offline.vfs().open(&path).is_err() {
                let detail = "the file is missing, although the manifest names it";
                found.problems.push(Error::corruption(&path, 0, detail));
            }
        }
    }
    if let Some(state) = state {
        match log::check(&offline, &state) {
            Ok(segments) => found.log_segments = segments,
            Err(error) => found.problems.push(error),
        }
    }
    Ok(found)
}

fn sstable(offline: &Offline, number: u64, found: &mut Verification, total: u64, progress: Progress<'_>) {
    found.sstables += 1;
    match Sstable::open_file(&offline.context, number) {
        Ok(sstable) => {
            found.entries += sstable.meta.entries;
            let mut done = found.bytes;
            let problems = sstable.check(&mut |bytes| {
                done += bytes;
                progress(done, total);
            });
            found.problems.extend(problems);
        }
        Err(error) => found.problems.push(error),
    }
}
