//! `dump`: what a file of an engine says, in lines for people.
//!
//! Invariant: it changes nothing. Keys are shown in hexadecimal, values by their length: a dump is for questions about the
//! engine, not for reading the owner's data, unless it is asked for.

use std::fmt::Write as _;
use std::io;
use std::path::Path;
use std::sync::Arc;

use super::log;
use super::offline::Offline;
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::{CURRENT, FileName};
use crate::sstable::Sstable;
use crate::version::edit::Change;
use crate::version::manifest::Manifest;

/// How much of a file is shown.
#[derive(Clone, Copy, Debug, Default)]
pub struct DumpOptions {
    /// Every entry of an sstable and of the log, not only their figures.
    pub entries: bool,
    /// The values themselves, in hexadecimal.
    pub values: bool,
}

/// Writes what the file named `name` in the directory of an engine that is not running says; for `CURRENT` that is the
/// manifest in force.
///
/// # Errors
///
/// [`Error::Invalid`] for a name that is none of the engine's, [`Error::Corruption`] at the first thing that cannot be
/// read, and those of [`super::verify`].
pub fn dump(
    environment: Environment,
    directory: &Path,
    name: &str,
    options: DumpOptions,
    out: &mut dyn io::Write,
) -> Result<()> {
    let offline = Offline::open(environment, directory)?;
    let path = directory.join(name);
    let mut print = |line: &str| writeln!(out, "{line}").map_err(Error::io("print", &path));
    match FileName::parse(name) {
        Some(FileName::Sstable(number)) => sstable(&offline, number, options, &mut print),
        Some(FileName::Manifest(number)) => {
            let edits = Manifest::edits(offline.vfs(), &offline.context.keys, directory, number)?;
            for (number, changes) in (1..).zip(edits) {
                print(&format!("edit {number}"))?;
                changes.iter().try_for_each(|change| print(&shown(change)))?;
            }
            Ok(())
        }
        Some(FileName::Log(number)) => log::dump(&offline, number, options, &mut print),
        None if name == CURRENT => {
            let state = Manifest::read(offline.vfs(), &offline.context.keys, directory)?.unwrap_or_default();
            state
                .to_changes()
                .iter()
                .try_for_each(|change| print(&shown(change)))
        }
        None => Err(Error::Invalid {
            what: "file",
            detail: format!("{name} is neither {CURRENT} nor a manifest, a log segment or an sstable"),
        }),
    }
}

fn sstable(
    offline: &Offline,
    number: u64,
    options: DumpOptions,
    print: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let sstable = Arc::new(Sstable::open_file(&offline.context, number)?);
    let properties = sstable.properties()?;
    for (what, figure) in [
        ("bytes", sstable.meta.bytes),
        ("data key", sstable.data_key().map_or(0, |key| u64::from(key.0))),
        ("entries", properties.entries),
        ("tombstones", properties.tombstones),
        ("partitions", properties.partitions),
        ("bytes of keys and values", properties.raw_bytes),
        ("smallest sequence", properties.smallest_sequence),
        ("largest sequence", properties.largest_sequence),
    ] {
        print(&format!("{what}: {figure}"))?;
    }
    print(&format!("first key: {}", hex(&properties.first_key)))?;
    print(&format!("last key: {}", hex(&properties.last_key)))?;
    for partition in &properties.largest_partitions {
        print(&format!(
            "large partition: {} with {} entries, {} bytes",
            hex(&partition.prefix),
            partition.entries,
            partition.bytes
        ))?;
    }
    if !options.entries {
        return Ok(());
    }
    let lost = sstable.salvage(&mut |key, sequence, kind, value| {
        print(&format!(
            "{:?} {} at {sequence}{}",
            kind,
            hex(key),
            value_shown(value, options)
        ))
    })?;
    lost.into_iter().next().map_or(Ok(()), Err)
}

/// The value of an entry as the options ask.
pub(super) fn value_shown(value: &[u8], options: DumpOptions) -> String {
    if options.values {
        format!(" = {}", hex(value))
    } else {
        format!(", {} bytes", value.len())
    }
}

/// Bytes as hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

fn shown(change: &Change) -> String {
    match change {
        Change::SstableAdded {
            keyspace,
            level,
            meta,
        } => format!(
            "  sstable {} in level {level} of keyspace {keyspace}: {} bytes, {} entries ({} tombstones), sequences {} to \
             {}, keys {} to {}",
            meta.number,
            meta.bytes,
            meta.entries,
            meta.tombstones,
            meta.smallest_sequence,
            meta.largest_sequence,
            hex(&meta.first_key),
            hex(&meta.last_key)
        ),
        other => format!("  {other:?}"),
    }
}
