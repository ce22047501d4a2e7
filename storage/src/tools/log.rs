//! Reading the log of an engine that does not run: to check it, to show it, and for what it knows that is lost
//! elsewhere.
//!
//! Invariant: nothing is cut or removed; a torn end is where reading ends.

use std::collections::BTreeSet;

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

/// Hands the frames of a segment on; gives how it ends, and the number of the frame that would come next.
fn read_segment(
    offline: &Offline,
    number: u64,
    visit: &mut dyn FnMut(&Frame) -> Result<()>,
) -> Result<(End, u64, u64)> {
    let path = offline.path(FileName::Log(number));
    let bytes = read_file(offline.vfs(), &path)?;
    if bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
        return Ok((End::Torn(0), 0, 0));
    }
    let header = FileHeader::decode(&path, &bytes, FileKind::Log, number)?;
    let cipher = offline.context.keys.cipher(&path, &header)?;
    let mut reader = FrameReader::new(&path, &bytes, &cipher, header.first_sequence);
    while let Some(frame) = reader.next_frame()? {
        visit(&frame)?;
    }
    Ok((reader.end()?, header.first_sequence, reader.expected()))
}

/// The segments that a start would read, by number.
fn needed(offline: &Offline, state: &State) -> Result<Vec<u64>> {
    let files = offline.files()?.into_iter();
    let numbers = files.filter_map(|file| match file {
        FileName::Log(number) if number >= state.log_start => Some(number),
        _ => None,
    });
    Ok(numbers.collect())
}

/// Checks the segments that a start would read; gives their number.
pub(super) fn check(offline: &Offline, state: &State) -> Result<u64> {
    let numbers = needed(offline, state)?;
    let mut next = None;
    for (position, &number) in numbers.iter().enumerate() {
        let path = offline.path(FileName::Log(number));
        let bad = |offset: u64, detail: String| Error::corruption(&path, offset, detail);
        if position == 0 && number != state.log_start && state.log_start > 1 {
            return Err(bad(
                0,
                format!("the log begins here, but segment {} is missing", state.log_start),
            ));
        }
        let (end, first_frame, next_frame) = read_segment(offline, number, &mut |frame| {
            for record in Records::new(&frame.contents) {
                let record = record.map_err(|at| {
                    bad(
                        frame.offset,
                        format!("no record begins {at} bytes into the frame"),
                    )
                })?;
                let is_own = record.stream == StreamId::ENGINE && record.kind == RecordKind::Entry;
                if is_own {
                    for entry in BatchEntries::new(record.payload) {
                        entry
                            .map_err(|at| bad(frame.offset, format!("no entry begins at {at} of a batch")))?;
                    }
                }
            }
            Ok(())
        })?;
        let is_last = position + 1 == numbers.len();
        if let (End::Torn(offset), false) = (end, is_last) {
            return Err(bad(
                offset,
                "the frame does not check, but later segments follow".to_owned(),
            ));
        }
        if next.is_some_and(|next| next != first_frame) && end != End::Torn(0) {
            return Err(bad(24, format!("the segment begins with frame {first_frame}")));
        }
        next = Some(next_frame);
    }
    Ok(numbers.len() as u64)
}

/// The first segment there is, and the sequence number that comes after all that was logged before it.
pub(super) fn beginning(offline: &Offline) -> Result<Option<(u64, SequenceNumber)>> {
    let files = offline.files()?.into_iter();
    let first = files.filter_map(|file| match file {
        FileName::Log(number) => Some(number),
        _ => None,
    });
    let Some(number) = first.min() else {
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

/// Where the log cannot be read on: the segment, the offset in it, and what is wrong there; `None` if it is whole.
pub(super) fn damage(offline: &Offline, log_start: u64) -> Result<Option<(u64, u64, Error)>> {
    let files = offline.files()?.into_iter();
    let numbers = files.filter_map(|file| match file {
        FileName::Log(number) if number >= log_start => Some(number),
        _ => None,
    });
    for number in numbers {
        match read_segment(offline, number, &mut |_| Ok(())) {
            Ok(_) => {}
            Err(error) => match error {
                Error::Corruption { offset, .. } => return Ok(Some((number, offset, error))),
                error => return Err(error),
            },
        }
    }
    Ok(None)
}

/// The keyspaces that the engine's own entries in the log name.
pub(super) fn keyspaces(offline: &Offline) -> Result<BTreeSet<KeyspaceId>> {
    let mut found = BTreeSet::new();
    for file in offline.files()? {
        let FileName::Log(number) = file else { continue };
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
    let (end, ..) = read_segment(offline, number, &mut |frame| {
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
