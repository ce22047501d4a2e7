//! Frames: the framing that log segments and manifests share (`docs/format/log.md`, "Frames").
//!
//! Invariant: a frame is bound to its bytes, its place in the order, its offset and its file, by a checksum that says
//! cheaply what is bad and by a tag that cannot be forged; whatever does not check is never handed on. Not here: what
//! the contents of a frame mean.

use std::ops::Range;
use std::path::Path;

use bytes::Bytes;
use crc32fast::Hasher;

use crate::crypto::{FileCipher, TAG_BYTES};
use crate::error::{Error, Result};
use crate::header::{HEADER_BYTES, u32_at, u64_at};

/// The bytes of a frame before its sealed contents.
pub(crate) const FRAME_HEADER_BYTES: usize = 24;

/// The part of the header that the checksum covers, and the tag too.
const COVERED: Range<usize> = 4..FRAME_HEADER_BYTES;

/// Where in a header the durable offset is, and those of its bytes that no offset of a segment reaches.
const DURABLE_AT: usize = 16;
const HIGH_BYTES_AT: usize = 22;

/// Where a frame goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// From the beginning of the file.
    pub(crate) offset: u64,
    /// One more than that of the frame before.
    pub(crate) number: u64,
    /// Everything in the file before this offset had been synced when the frame was made.
    pub(crate) durable: u64,
}

/// Begins a frame in `buffer`: contents are appended behind the room for the header.
pub(crate) fn begin(buffer: &mut Vec<u8>) {
    buffer.clear();
    buffer.resize(FRAME_HEADER_BYTES, 0);
}

/// Encrypts the contents where they lie, fills in the header and appends the tag.
///
/// The contents must not be empty: a frame of zeros is the end of a preallocated file.
pub(crate) fn seal(frame: &mut Vec<u8>, cipher: &FileCipher, place: Place) {
    assert!(frame.len() > FRAME_HEADER_BYTES, "a frame has contents");
    let length = u32::try_from(frame.len() - FRAME_HEADER_BYTES + TAG_BYTES).unwrap_or(u32::MAX);
    let (header, contents) = frame.split_at_mut(FRAME_HEADER_BYTES);
    header[4..8].copy_from_slice(&length.to_le_bytes());
    header[8..16].copy_from_slice(&place.number.to_le_bytes());
    header[16..24].copy_from_slice(&place.durable.to_le_bytes());
    let tag = cipher.seal_beside(&header[COVERED], place.offset, contents);
    frame.extend_from_slice(&tag);
    let crc = checksum(&frame[COVERED.start..], cipher.file_number());
    frame[..4].copy_from_slice(&crc.to_le_bytes());
}

fn checksum(covered: &[u8], file_number: u64) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(covered);
    hasher.update(&file_number.to_le_bytes());
    hasher.finalize()
}

/// Checks and decrypts `frame`, which was read from `offset` of `file`, and gives its contents.
///
/// # Errors
///
/// [`Error::Corruption`] if it is not exactly one valid frame.
pub(crate) fn open(file: &Path, cipher: &FileCipher, offset: u64, mut frame: Vec<u8>) -> Result<Bytes> {
    let checks =
        checked(&frame, 0, cipher.file_number()).is_some_and(|(_, sealed)| sealed.end == frame.len());
    if !checks {
        return Err(Error::corruption(
            file,
            offset,
            "the checksum of the frame does not match",
        ));
    }
    let (header, sealed) = frame.split_at_mut(FRAME_HEADER_BYTES);
    cipher
        .open_beside(&header[COVERED], offset, sealed)
        .map_err(|_| not_authentic(file, offset))?;
    let end = frame.len() - TAG_BYTES;
    Ok(Bytes::from(frame).slice(FRAME_HEADER_BYTES..end))
}

fn not_authentic(file: &Path, offset: u64) -> Error {
    let detail = "the frame has the right checksum but is not authentic: it was changed on purpose";
    Error::corruption(file, offset, detail)
}

/// The number and the place of the sealed contents of the frame at `at`, if its checksum is right.
fn checked(bytes: &[u8], at: usize, file_number: u64) -> Option<(u64, Range<usize>)> {
    let start = at.checked_add(FRAME_HEADER_BYTES)?;
    let header = bytes.get(at..start)?;
    let length = u32_at(header, 4)? as usize;
    let end = start.checked_add(length)?;
    if length <= TAG_BYTES || end > bytes.len() {
        return None;
    }
    if checksum(&bytes[at + COVERED.start..end], file_number) != u32_at(header, 0)? {
        return None;
    }
    Some((u64_at(header, 8)?, start..end))
}

/// A frame as it lies in a file.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) offset: u64,
    /// Its bytes in the file.
    pub(crate) length: usize,
    pub(crate) contents: Bytes,
}

/// How the frames of a file end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// With the last byte of the file.
    Exact,
    /// With bytes from this offset on that were never synced (or were preallocated).
    Torn(u64),
}

/// Walks the frames of a file that has been read whole.
#[derive(Debug)]
pub(crate) struct FrameReader<'a> {
    file: &'a Path,
    bytes: &'a [u8],
    cipher: &'a FileCipher,
    at: usize,
    /// The number the next frame must have.
    expected: u64,
    /// What the frames so far say of their file: everything before this offset had been synced.
    synced: u64,
}

impl<'a> FrameReader<'a> {
    /// Reads from behind the header on; the first frame must have the number `expected`.
    pub(crate) fn new(file: &'a Path, bytes: &'a [u8], cipher: &'a FileCipher, expected: u64) -> Self {
        Self {
            file,
            bytes,
            cipher,
            at: HEADER_BYTES,
            expected,
            synced: 0,
        }
    }

    /// The next frame, or `None` at the first one that is not valid; then [`FrameReader::end`] says what that means.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if a frame with the right checksum has the wrong number or is not authentic.
    pub(crate) fn next_frame(&mut self) -> Result<Option<Frame>> {
        let Some((number, sealed)) = checked(self.bytes, self.at, self.cipher.file_number()) else {
            return Ok(None);
        };
        let offset = self.at as u64;
        if number != self.expected {
            let detail = format!("the frame has number {number} where {} follows", self.expected);
            return Err(Error::corruption(self.file, offset, detail));
        }
        let header = &self.bytes[self.at..sealed.start];
        let mut contents = self.bytes[sealed.clone()].to_vec();
        self.cipher
            .open_beside(&header[COVERED], offset, &mut contents)
            .map_err(|_| not_authentic(self.file, offset))?;
        contents.truncate(contents.len() - TAG_BYTES);
        let length = sealed.end - self.at;
        self.synced = self.synced.max(u64_at(header, DURABLE_AT).unwrap_or_default());
        self.at = sealed.end;
        self.expected += 1;
        Ok(Some(Frame {
            offset,
            length,
            contents: Bytes::from(contents),
        }))
    }

    /// The number the next frame would have.
    pub(crate) fn expected(&self) -> u64 {
        self.expected
    }

    /// Everything before this offset had been synced when the last frame so far was made.
    pub(crate) fn synced(&self) -> u64 {
        self.synced
    }

    /// Decides what the first frame that is not valid means.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if a later frame shows that the bad one had been synced.
    pub(crate) fn end(&self) -> Result<End> {
        let bad = self.at as u64;
        if self.at >= self.bytes.len() {
            return Ok(End::Exact);
        }
        refuse_if_synced(self.file, self.bytes, self.cipher.file_number(), self.at)?;
        Ok(End::Torn(bad))
    }
}

/// Refuses to take bytes for an end that was never synced when a later frame shows that they were.
///
/// # Errors
///
/// [`Error::Corruption`].
pub(crate) fn refuse_if_synced(file: &Path, bytes: &[u8], number: u64, bad: usize) -> Result<()> {
    // Evidence is a frame whose durable offset lies between the bad frame and the frame itself. Only where an offset could be is
    // looked at closely: its upper bytes are zeros, but not all of it.
    let high_bytes = memchr::memmem::Finder::new(&[0; 2]);
    let mut at = bad + 1;
    while let Some(skipped) = bytes
        .get(at + HIGH_BYTES_AT..)
        .and_then(|rest| high_bytes.find(rest))
    {
        at += skipped;
        let durable = u64_at(bytes, at + DURABLE_AT).unwrap_or_default();
        if durable > bad as u64 && durable <= at as u64 && checked(bytes, at, number).is_some() {
            let detail = format!("the frame does not check, but the frame at {at} shows that it was synced");
            return Err(Error::corruption(file, bad as u64, detail));
        }
        at += 1;
        if durable == 0 {
            let end = at + DURABLE_AT + zeros_at(&bytes[at + DURABLE_AT..]);
            at = at.max(end.saturating_sub(HIGH_BYTES_AT + 1));
        }
    }
    Ok(())
}

/// At least so many zeros come first.
fn zeros_at(bytes: &[u8]) -> usize {
    const STEP: usize = 256;
    // Without an early end, so that it is done on many bytes at a time.
    let is_zero = |step: &&[u8]| step.iter().fold(0, |all, byte| all | byte) == 0;
    bytes.chunks(STEP).take_while(is_zero).map(<[u8]>::len).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: u64 = 7;
    const START: u64 = HEADER_BYTES as u64;

    fn frame(contents: &[u8], offset: u64, number: u64, durable: u64) -> Vec<u8> {
        let mut bytes = Vec::new();
        begin(&mut bytes);
        bytes.extend_from_slice(contents);
        let place = Place {
            offset,
            number,
            durable,
        };
        seal(&mut bytes, &FileCipher::for_test(FILE), place);
        bytes
    }

    /// Two frames of ten bytes; `synced` tells whether the first had been synced when the second was made.
    fn file(synced: bool) -> Vec<u8> {
        let first = frame(b"0123456789", START, 1, START);
        let second_at = START + first.len() as u64;
        let durable = if synced { second_at } else { START };
        let second = frame(b"abcdefghij", second_at, 2, durable);
        [vec![0; HEADER_BYTES], first, second].concat()
    }

    fn read(bytes: &[u8], file: u64) -> Result<(Vec<Bytes>, End)> {
        let cipher = FileCipher::for_test(file);
        let mut reader = FrameReader::new(Path::new("f"), bytes, &cipher, 1);
        let mut contents = Vec::new();
        while let Some(frame) = reader.next_frame()? {
            contents.push(frame.contents);
        }
        Ok((contents, reader.end()?))
    }

    #[test]
    fn frames_come_back_and_zeros_end_them() {
        let mut bytes = file(true);
        let (contents, end) = read(&bytes, FILE).unwrap();
        assert_eq!(
            (&contents[0][..], &contents[1][..]),
            (&b"0123456789"[..], &b"abcdefghij"[..])
        );
        assert_eq!(end, End::Exact);
        let length = bytes.len();
        bytes.resize(4096, 0);
        assert_eq!(read(&bytes, FILE).unwrap(), (contents, End::Torn(length as u64)));
    }

    #[test]
    fn every_flipped_bit_of_a_synced_frame_is_corruption() {
        let good = file(true);
        let second_at = HEADER_BYTES + (good.len() - HEADER_BYTES) / 2;
        for bit in HEADER_BYTES * 8..second_at * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let error = read(&bad, FILE).unwrap_err();
            assert!(
                matches!(error, Error::Corruption { offset: START, .. }),
                "bit {bit}: {error}"
            );
        }
    }

    #[test]
    fn every_flipped_bit_of_an_unsynced_frame_is_a_torn_end() {
        let good = file(false);
        for bit in HEADER_BYTES * 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let (contents, end) = read(&bad, FILE).unwrap();
            let End::Torn(offset) = end else {
                unreachable!("bit {bit} is not noticed")
            };
            assert!(contents.len() < 2 && offset <= bit as u64 / 8, "bit {bit}");
        }
    }

    #[test]
    fn a_frame_is_not_valid_in_another_file_at_another_place_or_in_another_order() {
        assert_eq!(read(&file(true), FILE + 1).unwrap().0.len(), 0);
        let (first, second) = (frame(b"one", START, 1, 0), frame(b"one", START, 2, 0));
        let swapped = [&vec![0; HEADER_BYTES][..], &second].concat();
        assert!(matches!(read(&swapped, FILE), Err(Error::Corruption { .. })));
        // The checksum does not know the offset, but the tag does.
        let twice = frame(b"one", START, 2, 0);
        let moved = [&vec![0; HEADER_BYTES][..], &first, &twice].concat();
        let error = read(&moved, FILE).unwrap_err().to_string();
        assert!(error.contains("not authentic"), "{error}");
    }

    #[test]
    fn a_forged_checksum_does_not_help() {
        let mut bytes = file(true);
        let second_at = HEADER_BYTES + (bytes.len() - HEADER_BYTES) / 2;
        for at in [HEADER_BYTES + 16, HEADER_BYTES + FRAME_HEADER_BYTES] {
            bytes[at] ^= 1;
            let crc = checksum(&bytes[HEADER_BYTES + COVERED.start..second_at], FILE);
            bytes[HEADER_BYTES..HEADER_BYTES + 4].copy_from_slice(&crc.to_le_bytes());
            let error = read(&bytes, FILE).unwrap_err().to_string();
            assert!(error.contains("not authentic"), "{error}");
            bytes[at] ^= 1;
        }
    }

    #[test]
    fn one_frame_opens_by_itself() {
        let bytes = frame(b"one", START, 1, 0);
        let cipher = FileCipher::for_test(FILE);
        let opened = open(Path::new("f"), &cipher, START, bytes.clone()).unwrap();
        assert_eq!(&opened[..], b"one");
        for (offset, bytes) in [(START + 1, bytes.clone()), (START, [&bytes[..], &[0]].concat())] {
            assert!(open(Path::new("f"), &cipher, offset, bytes).is_err());
        }
    }
}
