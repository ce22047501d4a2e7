//! Sealing and opening places of one file with AES-256-GCM (NIST SP 800-38D).
//!
//! Invariant: the nonce is the offset of the place, and a place is sealed at most once under a file's key: files are
//! written forward only, and what is written anew is written to a file with another key. `ring` does the work: three
//! times as fast on blocks as the aes-gcm crate, which wraps the data keys (`keyring.rs`) and checks this one in tests.

use std::fmt;

use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, Tag, UnboundKey};

use super::KEY_BYTES;
use super::keyring::DataKeyId;

/// What sealing adds.
pub(crate) const TAG_BYTES: usize = 16;

/// The bytes that are authenticated beside the contents of every place: file number, offset, data key.
const BOUND_BYTES: usize = 8 + 8 + 4;

/// The most that may be authenticated beyond them.
pub(crate) const CLEAR_BYTES_MAX: usize = 24;

/// What is authenticated but not encrypted.
struct Bound {
    bytes: [u8; BOUND_BYTES + CLEAR_BYTES_MAX],
    length: usize,
}

impl AsRef<[u8]> for Bound {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.length]
    }
}

/// The sealed bytes do not open: they were changed, or belong to another place or file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotAuthentic;

/// The key of one file.
pub(crate) struct FileCipher {
    key: LessSafeKey,
    file: u64,
    data_key: DataKeyId,
}

impl fmt::Debug for FileCipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FileCipher")
            .field("file", &self.file)
            .field("data_key", &self.data_key)
            .finish_non_exhaustive()
    }
}

impl FileCipher {
    /// `None` if the key has a wrong length, which it never has.
    pub(super) fn new(key: &[u8; KEY_BYTES], file: u64, data_key: DataKeyId) -> Option<Self> {
        let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?);
        Some(Self { key, file, data_key })
    }

    #[cfg(test)]
    pub(crate) fn for_test(file: u64) -> Self {
        Self::new(&[7; KEY_BYTES], file, DataKeyId(3)).unwrap()
    }

    /// The data key that the file's key was derived from.
    pub(crate) fn data_key(&self) -> DataKeyId {
        self.data_key
    }

    /// The number of the file.
    pub(crate) fn file_number(&self) -> u64 {
        self.file
    }

    /// What a sealed place is bound to, beside what the nonce and the key bind: the place, and bytes that lie beside it
    /// in clear.
    fn bound(&self, offset: u64, clear: &[u8]) -> Aad<Bound> {
        let mut bytes = [0; BOUND_BYTES + CLEAR_BYTES_MAX];
        bytes[..8].copy_from_slice(&self.file.to_le_bytes());
        bytes[8..16].copy_from_slice(&offset.to_le_bytes());
        bytes[16..BOUND_BYTES].copy_from_slice(&self.data_key.0.to_le_bytes());
        let length = BOUND_BYTES + clear.len();
        bytes[BOUND_BYTES..length].copy_from_slice(clear);
        Aad::from(Bound { bytes, length })
    }

    fn nonce(offset: u64) -> Nonce {
        let mut bytes = [0; NONCE_LEN];
        bytes[..8].copy_from_slice(&offset.to_le_bytes());
        Nonce::assume_unique_for_key(bytes)
    }

    /// Encrypts `contents` where they lie, for the place `offset`, and gives the tag that belongs behind them.
    ///
    /// # Panics
    ///
    /// Beyond 64 GiB, which AES-GCM cannot seal and no block or frame reaches.
    pub(crate) fn seal(&self, offset: u64, contents: &mut [u8]) -> [u8; TAG_BYTES] {
        self.seal_beside(&[], offset, contents)
    }

    /// Like [`FileCipher::seal`]; the tag also vouches for `clear`, which lies in the file beside the contents.
    ///
    /// # Panics
    ///
    /// Also for more than [`CLEAR_BYTES_MAX`] bytes in clear.
    pub(crate) fn seal_beside(&self, clear: &[u8], offset: u64, contents: &mut [u8]) -> [u8; TAG_BYTES] {
        let bound = self.bound(offset, clear);
        let sealed = self
            .key
            .seal_in_place_separate_tag(Self::nonce(offset), bound, contents);
        let mut tag = [0; TAG_BYTES];
        match sealed {
            Ok(sealed) => tag.copy_from_slice(sealed.as_ref()),
            Err(_) => unreachable!("contents are within the limits of AES-GCM"),
        }
        tag
    }

    /// Decrypts `sealed`, contents and tag, where they lie; the contents end where the tag begins.
    pub(crate) fn open(&self, offset: u64, sealed: &mut [u8]) -> Result<(), NotAuthentic> {
        self.open_beside(&[], offset, sealed)
    }

    /// Opens what [`FileCipher::seal_beside`] sealed.
    pub(crate) fn open_beside(
        &self,
        clear: &[u8],
        offset: u64,
        sealed: &mut [u8],
    ) -> Result<(), NotAuthentic> {
        let contents_end = sealed.len().checked_sub(TAG_BYTES).ok_or(NotAuthentic)?;
        let (contents, tag) = sealed.split_at_mut(contents_end);
        let tag = Tag::try_from(&*tag).map_err(|_| NotAuthentic)?;
        let bound = self.bound(offset, clear);
        self.key
            .open_in_place_separate_tag(Self::nonce(offset), bound, tag, contents, 0..)
            .map(|_| ())
            .map_err(|_| NotAuthentic)
    }
}

#[cfg(test)]
mod tests {
    use aes_gcm::aead::AeadInOut as _;
    use aes_gcm::{Aes256Gcm, KeyInit as _};

    use super::*;

    fn cipher(file: u64) -> FileCipher {
        FileCipher::new(&[7; KEY_BYTES], file, DataKeyId(3)).unwrap()
    }

    fn sealed(offset: u64, contents: &[u8]) -> Vec<u8> {
        let mut bytes = contents.to_vec();
        let tag = cipher(5).seal(offset, &mut bytes);
        bytes.extend_from_slice(&tag);
        bytes
    }

    #[test]
    fn a_place_opens_only_as_itself() {
        let contents = b"the contents of a block";
        let mut bytes = sealed(4096, contents);
        assert_ne!(&bytes[..contents.len()], contents);
        cipher(5).open(4096, &mut bytes).unwrap();
        assert_eq!(&bytes[..contents.len()], contents);
        assert_eq!(
            cipher(5).open(8192, &mut sealed(4096, contents)),
            Err(NotAuthentic)
        );
        assert_eq!(
            cipher(6).open(4096, &mut sealed(4096, contents)),
            Err(NotAuthentic)
        );
        assert_eq!(cipher(5).open(0, &mut [0; TAG_BYTES - 1]), Err(NotAuthentic));
    }

    #[test]
    fn what_lies_beside_in_clear_is_vouched_for() {
        let mut bytes = b"contents".to_vec();
        let tag = cipher(5).seal_beside(b"head", 64, &mut bytes);
        bytes.extend_from_slice(&tag);
        for wrong in [&b""[..], b"heat", b"head0"] {
            assert_eq!(
                cipher(5).open_beside(wrong, 64, &mut bytes.clone()),
                Err(NotAuthentic)
            );
        }
        cipher(5).open_beside(b"head", 64, &mut bytes).unwrap();
        assert_eq!(&bytes[..8], b"contents");
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let good = sealed(64, b"0123456789abcdef0");
        for bit in 0..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(cipher(5).open(64, &mut bad), Err(NotAuthentic), "bit {bit}");
        }
    }

    #[test]
    fn another_implementation_of_the_standard_opens_it() {
        let contents: Vec<u8> = (0..=255).cycle().take(5000).collect();
        let bytes = sealed(1 << 40, &contents);
        let (sealed, tag) = bytes.split_at(contents.len());
        let mut opened = sealed.to_vec();
        let mut nonce = [0; 12];
        nonce[..8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
        let mut bound = Vec::new();
        bound.extend_from_slice(&5_u64.to_le_bytes());
        bound.extend_from_slice(&(1_u64 << 40).to_le_bytes());
        bound.extend_from_slice(&3_u32.to_le_bytes());
        Aes256Gcm::new(&[7; KEY_BYTES].into())
            .decrypt_inout_detached(
                &nonce.into(),
                &bound,
                opened.as_mut_slice().into(),
                &<[u8; TAG_BYTES]>::try_from(tag).unwrap().into(),
            )
            .unwrap();
        assert_eq!(opened, contents);
    }
}
