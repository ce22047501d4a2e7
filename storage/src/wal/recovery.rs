//! Reading the log back after a start.
//!
//! Invariant: every record handed on is valid and follows the one before; what was never synced is cut off the last
//! segment, and the cut is durable before a new segment begins. Not here: what the records do to the memtable.

use std::path::Path;

use super::record::{End, Record, RecordReader};
use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::files::{FileName, read_open_file};
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::vfs::Vfs;

/// What the log held.
#[derive(Debug)]
pub(crate) struct Recovered {
    /// The segment that comes next.
    pub(crate) next_segment: u64,
    /// The sequence number that comes next.
    pub(crate) next_sequence: SequenceNumber,
}

/// Where the header of a segment has its first sequence number.
const FIRST_SEQUENCE_OFFSET: u64 = 24;

/// Replays the segments from `log_start` on. `replay` gets each record with its segment, and, with `None`, the end of
/// every segment.
///
/// # Errors
///
/// [`Error::Corruption`] for a gap in the segments, a bad record before the end, or whatever `replay` refuses.
pub(crate) fn recover(
    vfs: &dyn Vfs,
    directory: &Path,
    log_start: u64,
    last_sequence: SequenceNumber,
    mut replay: impl FnMut(&Path, u64, Option<Record>) -> Result<()>,
) -> Result<Recovered> {
    let segments = segments(vfs, directory, log_start)?;
    if segments.is_empty() && log_start > 1 {
        let path = FileName::Log(log_start).in_directory(directory);
        return Err(Error::corruption(
            &path,
            0,
            "the manifest says that the log begins here, but it is missing",
        ));
    }
    let mut next_sequence: Option<SequenceNumber> = None;
    let mut next_segment = log_start;
    for (position, &number) in segments.iter().enumerate() {
        let is_last = position + 1 == segments.len();
        let path = FileName::Log(number).in_directory(directory);
        if number != next_segment {
            let detail = format!("the log continues here, but segment {next_segment} is missing");
            return Err(Error::corruption(&path, 0, detail));
        }
        let file = vfs.open(&path).map_err(Error::io("open", &path))?;
        let bytes = read_open_file(&*file, &path)?;
        if is_last && bytes.iter().take(HEADER_BYTES).all(|byte| *byte == 0) {
            vfs.remove(&path).map_err(Error::io("remove", &path))?;
            vfs.sync_dir(directory).map_err(Error::io("sync", directory))?;
            break;
        }
        let header = FileHeader::decode(&path, &bytes, FileKind::Log, number)?;
        let expected = first_sequence(&path, header.first_sequence, next_sequence, last_sequence)?;
        let mut reader = RecordReader::new(&path, bytes, number, expected);
        while let Some(record) = reader.next_record()? {
            replay(&path, number, Some(record))?;
        }
        match reader.end()? {
            End::Exact => {}
            End::Torn(offset) if is_last => {
                file.truncate(offset).map_err(Error::io("truncate", &path))?;
                file.sync_data().map_err(Error::io("sync", &path))?;
            }
            End::Torn(offset) => {
                let detail = "the record does not check, but later segments follow";
                return Err(Error::corruption(&path, offset, detail));
            }
        }
        next_sequence = Some(reader.expected());
        next_segment = number + 1;
        replay(&path, number, None)?;
    }
    let next_sequence = next_sequence.unwrap_or(0).max(last_sequence + 1);
    Ok(Recovered {
        next_segment,
        next_sequence,
    })
}

/// The sequence number with which a segment begins, checked against the segment before it or, for the first one, against
/// what the sstables hold.
fn first_sequence(
    path: &Path,
    first: SequenceNumber,
    next: Option<SequenceNumber>,
    last_in_sstables: SequenceNumber,
) -> Result<SequenceNumber> {
    let detail = match next {
        Some(next) if first != next => format!("the segment begins with sequence {first}, not {next}"),
        None if first > last_in_sstables + 1 => {
            format!("the log begins with sequence {first}, the sstables end with {last_in_sstables}")
        }
        _ => return Ok(first),
    };
    Err(Error::corruption(path, FIRST_SEQUENCE_OFFSET, detail))
}

/// The numbers of the segments that count, ascending.
fn segments(vfs: &dyn Vfs, directory: &Path, log_start: u64) -> Result<Vec<u64>> {
    let names = vfs.list(directory).map_err(Error::io("list", directory))?;
    let mut numbers: Vec<u64> = names
        .iter()
        .filter_map(|name| match FileName::parse(name) {
            Some(FileName::Log(number)) if number >= log_start => Some(number),
            _ => None,
        })
        .collect();
    numbers.sort_unstable();
    Ok(numbers)
}
