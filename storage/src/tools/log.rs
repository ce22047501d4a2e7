//! Reading the log of an engine that does not run: to check it, to show it, and for what it knows that is lost
//! elsewhere.
//!
//! Invariant: nothing is cut or removed; a torn end is where reading ends.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::DumpOptions;
use super::dump::{hex, value_shown};
use super::offline::Offline;
use crate::batch::BatchEntries;
use crate::entry::{KeyspaceId, SequenceNumber};
use crate::error::{Error, Result};
use crate::files::{FileName, read_file};
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::version::manifest::State;
use crate::wal::frame::{End, Frame, FrameReader};
use crate::wal::record::{RecordKind, Records, StreamId};
use crate::wal::recovery::{Expected, Recovered, look};
use crate::wal::segment::SegmentContext;

/// Hands the frames of a segment on; gives how it ends.
fn read_segment(offline: &Offline, number: u64, visit: &mut dyn FnMut(&Frame) -> Result<()>) -> Result<End> {
    let path = offline.path(FileName::Log(number));
    let bytes = read_file(offline.vfs(), &path)?;
    if bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
        return Ok(End::Torn(0));
    }
    let header = FileHeader::decode(&path, &bytes, FileKind::Log, number)?;
    let cipher = offline.context.keys.cipher(&path, &header)?;
    let mut reader = FrameReader::new(&path, &bytes, &cipher, header.first_sequence);
    while let Some(frame) = reader.next_frame()? {
        visit(&frame)?;
    }
    reader.end()
}

/// The numbers of the segments that there are.
fn segments(offline: &Offline) -> Result<impl Iterator<Item = u64>> {
    let files = offline.files()?.into_iter();
    Ok(files.filter_map(|file| match file {
        FileName::Log(number) => Some(number),
        _ => None,
    }))
}

/// Where the segments of a directory lie.
fn context(offline: &Offline) -> SegmentContext {
    let context = &offline.context;
    SegmentContext {
        vfs: Arc::clone(&context.vfs),
        keys: Arc::clone(&context.keys),
        directory: context.directory.clone(),
        // None is made.
        segment_bytes: 0,
    }
}

/// What a start would make of the log with this manifest.
fn read_back(offline: &Offline, state: &State) -> Result<Recovered> {
    let expected = Expected {
        log_start: state.log_start,
        last_sequence: state.last_sequence,
    };
    look(&context(offline), expected, &mut |own| {
        own.decode(state.next_keyspace).map(drop)
    })
}

/// Checks the segments that a start would read, as it would; gives their number.
pub(super) fn check(offline: &Offline, state: &State) -> Result<u64> {
    let found = read_back(offline, state)?;
    let directory = offline.directory();
    found.require_beginning(directory, state.log_start)?;
    found.require_streams(directory, state.log_start)?;
    Ok(found.segments.len() as u64)
}

/// The first segment there is, and the sequence number that comes after all that was logged before it.
pub(super) fn beginning(offline: &Offline) -> Result<Option<(u64, SequenceNumber)>> {
    let Some(number) = segments(offline)?.min() else {
        return Ok(None);
    };
    let mut own_next = None;
    read_segment(offline, number, &mut |frame| {
        let first = Records::new(&frame.contents).next();
        if let (None, Some(Ok(record))) = (own_next, first) {
            own_next = Some(record.index);
        }
        Ok(())
    })?;
    Ok(own_next.map(|own_next| (number, own_next)))
}

/// What keeps a start from reading the log.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It cannot be read on from this offset of this segment.
    Bad(u64, u64, Error),
    /// None of it is there, although the manifest says where it begins.
    Missing(Error),
}

/// What keeps a start from reading the log with this manifest; `None` if nothing does.
///
/// # Errors
///
/// [`Error::Corruption`] for a stream that lacks entries, of which nothing can be cut off.
pub(super) fn trouble(offline: &Offline, state: &State) -> Result<Option<Trouble>> {
    match read_back(offline, state) {
        Ok(found) => {
            if let Err(error) = found.require_beginning(offline.directory(), state.log_start) {
                return Ok(Some(Trouble::Missing(error)));
            }
            found.require_streams(offline.directory(), state.log_start)?;
            Ok(None)
        }
        Err(error) => {
            let Error::Corruption { file, offset, .. } = &error else {
                return Err(error);
            };
            let name = file.file_name().and_then(|name| name.to_str());
            match name.and_then(FileName::parse) {
                Some(FileName::Log(number)) => Ok(Some(Trouble::Bad(number, *offset, error))),
                _ => Err(error),
            }
        }
    }
}

/// What is said of a log whose manifest is lost: that it begins with the first segment there is, and that all of it is known.
pub(super) fn state_of_itself(offline: &Offline) -> Result<State> {
    Ok(State {
        log_start: segments(offline)?.min().unwrap_or(1),
        last_sequence: SequenceNumber::MAX - 1,
        ..State::default()
    })
}

/// The keyspaces that the engine's own entries in the log name.
pub(super) fn keyspaces(offline: &Offline) -> Result<BTreeSet<KeyspaceId>> {
    let mut found = BTreeSet::new();
    for number in segments(offline)? {
        read_segment(offline, number, &mut |frame| {
            let own = Records::new(&frame.contents)
                .map_while(std::result::Result::ok)
                .filter(|record| record.stream == StreamId::ENGINE && record.kind == RecordKind::Entry);
            for record in own {
                let entries = BatchEntries::new(record.payload);
                found.extend(
                    entries
                        .map_while(std::result::Result::ok)
                        .map(|entry| entry.keyspace),
                );
            }
            Ok(())
        })?;
    }
    Ok(found)
}

/// Shows a segment.
pub(super) fn dump(
    offline: &Offline,
    number: u64,
    options: DumpOptions,
    print: &mut dyn FnMut(&str) -> Result<()>,
) -> Result<()> {
    let end = read_segment(offline, number, &mut |frame| {
        print(&format!("frame at {}: {} bytes", frame.offset, frame.length))?;
        for record in Records::new(&frame.contents).map_while(std::result::Result::ok) {
            print(&format!(
                "  {:?} {} of stream {}: {} bytes",
                record.kind,
                record.index,
                record.stream,
                record.payload.len()
            ))?;
            let is_own = record.stream == StreamId::ENGINE && record.kind == RecordKind::Entry;
            if !options.entries || !is_own {
                continue;
            }
            let entries = BatchEntries::new(record.payload);
            for entry in entries.map_while(std::result::Result::ok) {
                let (key, value) = entry.data.split_at(entry.key_len as usize);
                print(&format!(
                    "    {:?} in keyspace {}: {}{}",
                    entry.kind,
                    entry.keyspace,
                    hex(key),
                    value_shown(value, options)
                ))?;
            }
        }
        Ok(())
    })?;
    print(&match end {
        End::Exact => "complete".to_owned(),
        End::Torn(offset) => format!("open: nothing that was synced lies behind {offset}"),
    })
}
