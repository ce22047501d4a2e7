//! The header that every numbered file begins with (`docs/format/README.md`, "File header").
//!
//! Invariant: the first 32 bytes have the same shape in all format versions, so that any version can name the version
//! of any file. Not here: what follows the header.

use std::path::Path;

use crc32fast::Hasher;

use crate::crypto::DataKeyId;
use crate::error::{Error, Result};

/// The bytes of a header.
pub(crate) const HEADER_BYTES: usize = 64;

/// The part whose shape never changes.
const FIXED_BYTES: usize = 32;

pub(crate) const DATA_KEY_OFFSET: u64 = 32;

/// The random bytes that make a file's key its own.
pub(crate) const SALT_BYTES: usize = 24;

/// The kinds of files, by their magic and the format version this code reads and writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FileKind {
    Log,
    Sstable,
    Manifest,
}

impl FileKind {
    pub(crate) fn magic(self) -> &'static [u8; 8] {
        match self {
            Self::Log => b"STATORLG",
            Self::Sstable => b"STATORST",
            Self::Manifest => b"STATORMF",
        }
    }

    /// The version of the format that this code reads and writes.
    pub(crate) fn version(self) -> u32 {
        match self {
            Self::Log | Self::Sstable | Self::Manifest => 2,
        }
    }
}

/// The header of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FileHeader {
    pub(crate) kind: FileKind,
    pub(crate) number: u64,
    /// Log: the number of the first frame. Other files: 0.
    pub(crate) first_sequence: u64,
    /// What the file's key is derived from, with the salt.
    pub(crate) data_key: DataKeyId,
    pub(crate) salt: [u8; SALT_BYTES],
}

impl FileHeader {
    pub(crate) fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(self.kind.magic());
        bytes[8..12].copy_from_slice(&self.kind.version().to_le_bytes());
        bytes[16..24].copy_from_slice(&self.number.to_le_bytes());
        bytes[24..32].copy_from_slice(&self.first_sequence.to_le_bytes());
        bytes[32..36].copy_from_slice(&self.data_key.0.to_le_bytes());
        bytes[40..].copy_from_slice(&self.salt);
        let crc = fixed_crc(&bytes[..FIXED_BYTES]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        let crc = key_crc(&bytes);
        bytes[36..40].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Reads the header of `file`, which must be of this kind and have this number.
    ///
    /// # Errors
    ///
    /// [`Error::UnsupportedFormat`] for another format version, [`Error::Corruption`] for anything else.
    pub(crate) fn decode(file: &Path, bytes: &[u8], kind: FileKind, number: u64) -> Result<Self> {
        let bad = |at: u64, detail: &str| Error::corruption(file, at, detail);
        let fixed = bytes
            .get(..FIXED_BYTES)
            .ok_or_else(|| bad(0, "the header is cut"))?;
        if u32_at(fixed, 12) != Some(fixed_crc(fixed)) {
            return Err(bad(0, "the checksum of the header does not match"));
        }
        if &fixed[..8] != kind.magic() {
            return Err(bad(
                0,
                "the magic at the beginning is not that of this kind of file",
            ));
        }
        let found = u32_at(fixed, 8).unwrap_or_default();
        if found != kind.version() {
            return Err(Error::UnsupportedFormat {
                file: file.to_path_buf(),
                found,
                supported: kind.version(),
            });
        }
        if u64_at(fixed, 16) != Some(number) {
            return Err(bad(16, "the file number in the header is not that of the name"));
        }
        let bytes: &[u8; HEADER_BYTES] = bytes
            .get(..HEADER_BYTES)
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| bad(FIXED_BYTES as u64, "the header is cut"))?;
        if u32_at(bytes, 36) != Some(key_crc(bytes)) {
            return Err(bad(
                DATA_KEY_OFFSET,
                "the checksum of the header's key part does not match",
            ));
        }
        let mut salt = [0; SALT_BYTES];
        salt.copy_from_slice(&bytes[40..]);
        Ok(Self {
            kind,
            number,
            first_sequence: u64_at(bytes, 24).unwrap_or_default(),
            data_key: DataKeyId(u32_at(bytes, 32).unwrap_or_default()),
            salt,
        })
    }
}

fn fixed_crc(bytes: &[u8]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[..12]);
    hasher.update(&bytes[16..FIXED_BYTES]);
    hasher.finalize()
}

fn key_crc(bytes: &[u8; HEADER_BYTES]) -> u32 {
    let mut hasher = Hasher::new();
    hasher.update(&bytes[FIXED_BYTES..36]);
    hasher.update(&bytes[40..]);
    hasher.finalize()
}

/// The little-endian number at `at`, if the bytes reach that far.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(
        bytes.get(at..at.checked_add(4)?)?.try_into().ok()?,
    ))
}

/// The little-endian number at `at`, if the bytes reach that far.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(
        bytes.get(at..at.checked_add(8)?)?.try_into().ok()?,
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn header() -> FileHeader {
        FileHeader {
            kind: FileKind::Log,
            number: 7,
            first_sequence: 9,
            data_key: DataKeyId(3),
            salt: [5; SALT_BYTES],
        }
    }

    fn decode(bytes: &[u8]) -> Result<FileHeader> {
        FileHeader::decode(Path::new("f"), bytes, FileKind::Log, 7)
    }

    #[test]
    fn a_header_comes_back_and_no_flipped_bit_passes() {
        let bytes = header().encode();
        assert_eq!(decode(&bytes).unwrap(), header());
        for bit in 0..HEADER_BYTES * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(matches!(decode(&bad), Err(Error::Corruption { .. })), "bit {bit}");
        }
        assert!(decode(&bytes[..HEADER_BYTES - 1]).is_err());
    }

    #[test]
    fn the_first_format_version_is_refused_with_both_versions() {
        // A header of version 1 has 32 bytes; records follow.
        let mut bytes = header().encode();
        bytes[8] = 1;
        let crc = fixed_crc(&bytes[..FIXED_BYTES]);
        bytes[12..16].copy_from_slice(&crc.to_le_bytes());
        for length in [FIXED_BYTES, HEADER_BYTES] {
            let error = decode(&bytes[..length]).unwrap_err().to_string();
            assert!(
                error.contains("format version 1, this version of the engine reads version 2"),
                "{error}"
            );
        }
    }
}
