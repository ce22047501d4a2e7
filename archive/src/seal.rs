//! Objects of an archive as bytes: compressed, then sealed, each with a key of its own.
//!
//! The key is derived from what the object contains, so that the same contents become the same bytes and no nonce is ever
//! used for two. Invariant: what opens is what was sealed: the seal holds the bytes, and the name in front of them holds the
//! contents.

use std::io::Cursor;

use ring::aead::{Aad, MAX_TAG_LEN, NONCE_LEN, Nonce};
use zstd::bulk::Compressor;
use zstd::zstd_safe::compress_bound;

use crate::error::Error;
use crate::key::{ArchiveKey, KEY_BYTES};

const MAGIC: &[u8; 4] = b"STAR";
const VERSION: u8 = 1;
/// Magic, version, kind, name.
const HEAD_BYTES: usize = 4 + 1 + 1 + KEY_BYTES;
/// How hard is compressed: about as fast as disks write.
const LEVEL: i32 = 1;

/// What an object is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Kind {
    /// Cells of a run.
    Cells = 1,
    /// Fingerprints of the cells of a run.
    Prints = 2,
    /// What a backup is made of.
    Manifest = 3,
}

impl Kind {
    /// No object is longer before it is compressed, in bytes. A manifest names chunks of some megabytes with their last keys: this
    /// much is a backup of a hundred terabytes, or of two if each key is as long as keys may be.
    const fn contents_max(self) -> usize {
        match self {
            Self::Cells | Self::Prints => 64 << 20,
            Self::Manifest => 1 << 30,
        }
    }
}

/// Seals contents; gives also what they are named after.
pub(crate) fn seal(
    key: &ArchiveKey,
    kind: Kind,
    contents: &[u8],
) -> Result<([u8; KEY_BYTES], Vec<u8>), Error> {
    if contents.len() > kind.contents_max() {
        return Err(Error::TooLarge {
            bytes: contents.len(),
            bytes_max: kind.contents_max(),
        });
    }
    let name = key.name(kind as u8, contents);
    let failed = |detail: &str| Error::damaged("a new object", detail);
    let mut head = [0; HEAD_BYTES];
    head[..MAGIC.len()].copy_from_slice(MAGIC);
    head[MAGIC.len()..HEAD_BYTES - KEY_BYTES].copy_from_slice(&[VERSION, kind as u8]);
    head[HEAD_BYTES - KEY_BYTES..].copy_from_slice(&name);
    // One buffer from the beginning, which is not set to zero before it is filled: an object is some megabytes.
    let mut sealed = Vec::with_capacity(HEAD_BYTES + compress_bound(contents.len()) + MAX_TAG_LEN);
    sealed.extend_from_slice(&head);
    let mut behind_head = Cursor::new(sealed);
    behind_head.set_position(HEAD_BYTES as u64);
    Compressor::new(LEVEL)
        .and_then(|mut compressor| compressor.compress_to_buffer(contents, &mut behind_head))
        .map_err(|error| failed(&error.to_string()))?;
    let mut sealed = behind_head.into_inner();
    let cipher = key.cipher(&name).ok_or_else(|| failed("it has no key"))?;
    let tag = cipher
        .seal_in_place_separate_tag(nonce(), Aad::from(&head), &mut sealed[HEAD_BYTES..])
        .map_err(|_| failed("it cannot be sealed"))?;
    sealed.extend_from_slice(tag.as_ref());
    Ok((name, sealed))
}

/// Opens an object of a kind; `object` is what errors call it. Gives also what it is named after.
pub(crate) fn open(
    key: &ArchiveKey,
    kind: Kind,
    object: &str,
    mut sealed: Vec<u8>,
) -> Result<([u8; KEY_BYTES], Vec<u8>), Error> {
    let damaged = |detail: &str| Error::damaged(object, detail);
    if sealed.len() < HEAD_BYTES || &sealed[..MAGIC.len()] != MAGIC {
        return Err(damaged("it does not begin as objects do"));
    }
    let (version, found) = (sealed[4], sealed[5]);
    if version != VERSION {
        return Err(Error::Version {
            name: object.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    if found != kind as u8 {
        return Err(damaged("it is of another kind"));
    }
    let mut body = sealed.split_off(HEAD_BYTES);
    let mut name = [0; KEY_BYTES];
    name.copy_from_slice(&sealed[HEAD_BYTES - KEY_BYTES..]);
    let cipher = key.cipher(&name).ok_or_else(|| damaged("it has no key"))?;
    let opened = cipher
        .open_in_place(nonce(), Aad::from(&sealed[..]), &mut body)
        .map_err(|_| damaged("its bytes are not those that were sealed"))?;
    // Not more memory than it takes: whoever has sealed it has said how long it is.
    let length = zstd::zstd_safe::get_frame_content_size(opened).ok().flatten();
    let length = length.and_then(|length| usize::try_from(length).ok());
    let length = length
        .filter(|length| *length <= kind.contents_max())
        .ok_or_else(|| damaged("it does not say how long it is, or is too long"))?;
    let contents = zstd::bulk::decompress(opened, length);
    let contents = contents.map_err(|error| damaged(&error.to_string()))?;
    if key.name(kind as u8, &contents) != name {
        return Err(damaged("its contents are not those that it is named after"));
    }
    Ok((name, contents))
}

/// Each key seals one thing, so that one nonce does: contents decide it, and how they are compressed. Whoever has another
/// [`LEVEL`], or a Zstandard that compresses otherwise, raises [`VERSION`] and has the keys depend on it.
fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; NONCE_LEN])
}

/// A name as it is written: 64 hexadecimal digits.
pub(crate) fn hex(name: &[u8; KEY_BYTES]) -> String {
    use std::fmt::Write as _;
    let mut text = String::with_capacity(2 * KEY_BYTES);
    for byte in name {
        // Writing to a String cannot fail.
        write!(text, "{byte:02x}").ok();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_sealed_opens_and_the_same_is_the_same() {
        let key = ArchiveKey::new([1; KEY_BYTES]);
        let (name, sealed) = seal(&key, Kind::Cells, b"contents").unwrap();
        assert_eq!(
            seal(&key, Kind::Cells, b"contents").unwrap(),
            (name, sealed.clone())
        );
        let opened = open(&key, Kind::Cells, "it", sealed.clone()).unwrap();
        assert_eq!(opened, (name, b"contents".to_vec()));
        assert!(open(&key, Kind::Prints, "it", sealed.clone()).is_err());
        let other = ArchiveKey::new([2; KEY_BYTES]);
        assert!(open(&other, Kind::Cells, "it", sealed).is_err());
        assert!(
            !seal(&key, Kind::Cells, b"a secret")
                .unwrap()
                .1
                .windows(8)
                .any(|some| some == b"a secret")
        );
    }

    #[test]
    fn contents_are_sealed_as_they_always_were() {
        // See `nonce`: under the same key there must not be another text.
        let items = (0..20_000).fold(String::new(), |items, n| {
            items + &format!(r#"{{"id":{{"S":"item#{n}"}},"rest":{{"N":"{}"}}}}"#, n * n % 7919)
        });
        let noise = (0..500_000_u64).map(|n| (n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40).to_le_bytes()[0]);
        let key = ArchiveKey::new([1; KEY_BYTES]);
        let digests = [
            "6d5eb229e03bca9a2793b7a12873ba4226640bd8efe27ff4e6ec6ee5ac3fa998",
            "3582744bbb673736208bfcecfb45ff27ab71bbae27c613fc8ae8568259b222f8",
        ];
        for (contents, digest) in [items.into_bytes(), noise.collect()].into_iter().zip(digests) {
            let (_, sealed) = seal(&key, Kind::Cells, &contents).unwrap();
            let found = ring::digest::digest(&ring::digest::SHA256, &sealed);
            assert_eq!(hex(found.as_ref().try_into().unwrap()), digest);
        }
    }

    #[test]
    fn what_would_be_too_long_to_open_is_not_sealed() {
        let key = ArchiveKey::new([1; KEY_BYTES]);
        let most = vec![0; Kind::Cells.contents_max()];
        let (_, sealed) = seal(&key, Kind::Cells, &most).unwrap();
        assert_eq!(open(&key, Kind::Cells, "it", sealed).unwrap().1.len(), most.len());
        let more = vec![0; most.len() + 1];
        assert!(matches!(
            seal(&key, Kind::Cells, &more),
            Err(Error::TooLarge { .. })
        ));
        let (_, sealed) = seal(&key, Kind::Manifest, &more).unwrap();
        assert_eq!(
            open(&key, Kind::Manifest, "it", sealed).unwrap().1.len(),
            more.len()
        );
    }

    #[test]
    fn any_byte_that_was_changed_or_is_missing_is_noticed() {
        let key = ArchiveKey::new([1; KEY_BYTES]);
        let (_, sealed) = seal(&key, Kind::Manifest, b"some contents").unwrap();
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert!(open(&key, Kind::Manifest, "it", changed).is_err(), "byte {at}");
            assert!(
                open(&key, Kind::Manifest, "it", sealed[..at].to_vec()).is_err(),
                "{at} bytes"
            );
        }
    }
}
