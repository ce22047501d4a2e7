//! Record frames: the framing that log segments and manifests share (`docs/format/log.md`).
//!
//! Invariant: a frame is bound to its bytes, its place in the order and its file; whatever does not check is never
//! handed on. Not here: what a payload means.

use std::path::Path;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::entry::SequenceNumber;
use crate::error::{Error, Result};
use crate::header::{HEADER_BYTES, u32_at, u64_at};

/// The bytes of a frame before its payload.
pub(crate) const FRAME_BYTES: usize = 24;

/// The part of a record's checksum that can be made before its place in the order is known.
#[derive(Clone, Debug)]
pub(crate) struct PayloadChecksum(Hasher);

impl PayloadChecksum {
    /// Over the payload of `record`, which has room for the frame in front.
    pub(crate) fn new(record: &[u8]) -> Self {
        let mut hasher = Hasher::new();
        hasher.update(&record[FRAME_BYTES..]);
        Self(hasher)
    }
}

/// Fills in the frame at the front of `record`.
///
/// The payload must not be empty: a frame of zeros is the end of a preallocated file.
pub(crate) fn seal(
    record: &mut [u8],
    checksum: PayloadChecksum,
    sequence: SequenceNumber,
    durable: u64,
    file_number: u64,
) {
    assert!(record.len() > FRAME_BYTES, "a record has a payload");
    let length = u32::try_from(record.len() - FRAME_BYTES).unwrap_or(u32::MAX);
    record[4..8].copy_from_slice(&length.to_le_bytes());
    record[8..16].copy_from_slice(&sequence.to_le_bytes());
    record[16..24].copy_from_slice(&durable.to_le_bytes());
    let crc = frame_crc(checksum.0, &record[4..FRAME_BYTES], file_number);
    record[..4].copy_from_slice(&crc.to_le_bytes());
}

fn frame_crc(mut hasher: Hasher, frame: &[u8], file_number: u64) -> u32 {
    hasher.update(frame);
    hasher.update(&file_number.to_le_bytes());
    hasher.finalize()
}

/// A record as it lies in a file.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) offset: u64,
    pub(crate) sequence: SequenceNumber,
    pub(crate) payload: Bytes,
}

/// How the records of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the last byte of the file.
    Exact,
    /// With bytes from this offset on that were never synced (or preallocated zeros).
    Torn(u64),
}

/// Walks the records of a file that has been read whole.
#[derive(Debug)]
pub(crate) struct RecordReader<'a> {
    file: &'a Path,
    bytes: Bytes,
    number: u64,
    at: usize,
    /// The sequence number the next record must have.
    expected: SequenceNumber,
}

impl<'a> RecordReader<'a> {
    /// Reads from behind the header on; the first record must have the sequence number `expected`.
    pub(crate) fn new(file: &'a Path, bytes: Bytes, number: u64, expected: SequenceNumber) -> Self {
        Self {
            file,
            bytes,
            number,
            at: HEADER_BYTES,
            expected,
        }
    }

    /// The next record, or `None` at the first frame that is not valid; then [`RecordReader::end`] says what that means.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if a valid record has the wrong sequence number.
    pub(crate) fn next_record(&mut self) -> Result<Option<Record>> {
        let Some((sequence, _, payload)) = self.valid_at(self.at) else {
            return Ok(None);
        };
        let offset = self.at as u64;
        if sequence != self.expected {
            let detail = format!(
                "the record has sequence number {sequence} where {} follows",
                self.expected
            );
            return Err(Error::corruption(self.file, offset, detail));
        }
        self.at += FRAME_BYTES + payload.len();
        self.expected += 1;
        Ok(Some(Record {
            offset,
            sequence,
            payload,
        }))
    }

    /// The sequence number the next record would have.
    pub(crate) fn expected(&self) -> SequenceNumber {
        self.expected
    }

    /// Decides what the first frame that is not valid means.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if a later record shows that the bad one had been synced.
    pub(crate) fn end(&self) -> Result<End> {
        let bad = self.at as u64;
        if self.at >= self.bytes.len() {
            return Ok(End::Exact);
        }
        for at in self.at + 1..self.bytes.len() {
            // The durable offset of a record lies between the bad frame and the record itself only if this is evidence:
            // a cheap test that nearly all other bytes fail.
            let durable = u64_at(&self.bytes, at + 16).unwrap_or_default();
            if durable > bad && durable <= at as u64 && self.valid_at(at).is_some() {
                let detail =
                    format!("the record does not check, but the record at {at} shows that it was synced");
                return Err(Error::corruption(self.file, bad, detail));
            }
        }
        Ok(End::Torn(bad))
    }

    /// The sequence number, durable offset and payload of the record at `at`, if there is a valid one.
    fn valid_at(&self, at: usize) -> Option<(SequenceNumber, u64, Bytes)> {
        let frame = self.bytes.get(at..at.checked_add(FRAME_BYTES)?)?;
        let length = u32_at(frame, 4)? as usize;
        let start = at + FRAME_BYTES;
        let end = start.checked_add(length)?;
        if length == 0 || end > self.bytes.len() {
            return None;
        }
        let mut hasher = Hasher::new();
        hasher.update(&self.bytes[start..end]);
        if frame_crc(hasher, &frame[4..], self.number) != u32_at(frame, 0)? {
            return None;
        }
        Some((
            u64_at(frame, 8)?,
            u64_at(frame, 16)?,
            self.bytes.slice(start..end),
        ))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(payload: &[u8], sequence: u64, durable: u64) -> Vec<u8> {
        let mut bytes = vec![0; FRAME_BYTES];
        bytes.extend_from_slice(payload);
        let checksum = PayloadChecksum::new(&bytes);
        seal(&mut bytes, checksum, sequence, durable, 7);
        bytes
    }

    fn file(records: &[Vec<u8>]) -> Vec<u8> {
        [vec![0; HEADER_BYTES], records.concat()].concat()
    }

    fn read(bytes: Vec<u8>) -> (usize, Result<End>) {
        let mut reader = RecordReader::new(Path::new("f"), Bytes::from(bytes), 7, 1);
        let mut records = 0;
        while reader.next_record().unwrap().is_some() {
            records += 1;
        }
        (records, reader.end())
    }

    #[test]
    fn records_come_back_and_zeros_end_them() {
        let mut bytes = file(&[record(b"one", 1, 0), record(b"two", 2, 0)]);
        assert_eq!(read(bytes.clone()).1.unwrap(), End::Exact);
        let end = bytes.len() as u64;
        bytes.resize(4096, 0);
        let (records, read_end) = read(bytes);
        assert_eq!((records, read_end.unwrap()), (2, End::Torn(end)));
    }

    #[test]
    fn a_bad_record_before_one_of_the_same_unsynced_write_is_torn() {
        let mut bytes = file(&[record(b"one", 1, 64), record(b"two", 2, 64)]);
        bytes[64 + FRAME_BYTES] ^= 1;
        let (records, end) = read(bytes);
        assert_eq!((records, end.unwrap()), (0, End::Torn(64)));
    }

    #[test]
    fn a_bad_record_that_was_synced_before_a_later_one_is_corruption() {
        let first = record(b"one", 1, 64);
        let synced = 64 + first.len() as u64;
        let mut bytes = file(&[first, record(b"two", 2, synced)]);
        bytes[64 + FRAME_BYTES] ^= 1;
        assert!(matches!(read(bytes).1, Err(Error::Corruption { offset: 64, .. })));
    }

    #[test]
    fn a_record_of_another_file_is_not_valid() {
        let bytes = file(&[record(b"one", 1, 0)]);
        let mut reader = RecordReader::new(Path::new("f"), Bytes::from(bytes), 8, 1);
        assert!(reader.next_record().unwrap().is_none());
    }
}
