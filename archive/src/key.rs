//! The key of an archive, which master keys wrap.
//!
//! It is made once, with the archive, and lies in its key ring, wrapped under each master key that has opened it; so a new
//! master key means one more wrap and nothing is sealed anew. Invariant: keys are wiped when they are dropped and never
//! printed.

use std::fmt;

use prost::Message;
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::hmac;
use zeroize::Zeroizing;

use crate::error::Error;
use crate::hands::{STEP_BYTES, give_way};

/// Bytes of a key.
pub const KEY_BYTES: usize = 32;

/// The name of the key ring.
pub(crate) const KEY_RING: &str = "keyring";

const VERSION: u8 = 1;
const WRAPPING: &[u8] = b"stator archive: wrap the key of an archive";
const NAMING: &[u8] = b"stator archive: name objects";
const SEALING: &[u8] = b"stator archive: seal objects";
const DERIVING: &[u8] = b"stator archive: derive a key";

/// HMAC-SHA-256 of some parts in a row.
fn keyed(key: &[u8], parts: &[&[u8]]) -> Zeroizing<[u8; KEY_BYTES]> {
    let mut context = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key));
    for part in parts {
        context.update(part);
    }
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    bytes.copy_from_slice(context.sign().as_ref());
    bytes
}

/// A master key as far as archives need it: its public name, and a key derived from it.
#[derive(Clone)]
pub struct WrappingKey {
    name: String,
    key: Zeroizing<[u8; KEY_BYTES]>,
}

impl fmt::Debug for WrappingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WrappingKey")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl WrappingKey {
    /// Derives it from the bytes of a master key with a public name.
    pub fn derive(name: String, master_key: &[u8]) -> Self {
        let key = keyed(master_key, &[WRAPPING]);
        Self { name, key }
    }
}

#[derive(Clone, PartialEq, Message)]
struct Ring {
    #[prost(message, repeated, tag = "1")]
    wraps: Vec<Wrap>,
}

#[derive(Clone, PartialEq, Message)]
struct Wrap {
    /// Names the master key.
    #[prost(string, tag = "1")]
    master_key: String,
    #[prost(bytes = "vec", tag = "2")]
    nonce: Vec<u8>,
    /// The key, then the tag.
    #[prost(bytes = "vec", tag = "3")]
    wrapped: Vec<u8>,
}

/// The key that everything in an archive is sealed with.
pub(crate) struct ArchiveKey {
    bytes: Zeroizing<[u8; KEY_BYTES]>,
    naming: hmac::Key,
}

impl fmt::Debug for ArchiveKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ArchiveKey").finish_non_exhaustive()
    }
}

fn cipher(key: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
    Some(LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).ok()?))
}

impl ArchiveKey {
    pub(crate) fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let naming = keyed(&bytes[..], &[NAMING]);
        Self {
            naming: hmac::Key::new(hmac::HMAC_SHA256, &naming[..]),
            bytes,
        }
    }

    /// Whether it is the same key.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }

    /// What tells contents of a kind from all others.
    pub(crate) fn name(&self, kind: u8, contents: &[u8]) -> [u8; KEY_BYTES] {
        let mut context = hmac::Context::with_key(&self.naming);
        context.update(&[kind]);
        for step in contents.chunks(STEP_BYTES) {
            context.update(step);
            give_way();
        }
        let mut name = [0; KEY_BYTES];
        name.copy_from_slice(context.sign().as_ref());
        name
    }

    /// The cipher of the object with this name, which is used for these contents only; `None` for keys of a wrong length,
    /// which there are none of.
    pub(crate) fn cipher(&self, name: &[u8; KEY_BYTES]) -> Option<LessSafeKey> {
        cipher(&keyed(&self.bytes[..], &[SEALING, name]))
    }

    /// A key for what is sealed before it comes into the archive; another one for each purpose.
    pub(crate) fn derive(&self, purpose: &[u8]) -> Zeroizing<[u8; KEY_BYTES]> {
        keyed(&self.bytes[..], &[DERIVING, purpose])
    }

    /// Reads a key ring with one of some master keys; says also whether the first of them has wrapped the key.
    pub(crate) fn open(ring: &[u8], keys: &[WrappingKey]) -> Result<(Self, bool), Error> {
        let ring = read(ring)?;
        let is_current = |wrap: &Wrap| keys.first().is_some_and(|key| key.name == wrap.master_key);
        let has_current = ring.wraps.iter().any(is_current);
        for key in keys {
            if let Some(wrap) = ring.wraps.iter().find(|wrap| wrap.master_key == key.name) {
                let opened = unwrap(key, wrap);
                let opened = opened.ok_or_else(|| Error::damaged(KEY_RING, "a key in it does not open"))?;
                return Ok((Self::new(opened), has_current));
            }
        }
        let names = |names: Vec<&str>| names.join(", ");
        Err(Error::OtherMasterKey {
            wanted: names(ring.wraps.iter().map(|wrap| wrap.master_key.as_str()).collect()),
            given: names(keys.iter().map(|key| key.name.as_str()).collect()),
        })
    }

    /// A key ring with the wraps of another one, and one more of this key. `nonce` is used for nothing else.
    pub(crate) fn wrap(
        &self,
        ring: Option<&[u8]>,
        key: &WrappingKey,
        nonce: [u8; NONCE_LEN],
    ) -> Result<Vec<u8>, Error> {
        let mut ring = ring.map(read).transpose()?.unwrap_or_default();
        let mut wrapped = self.bytes.to_vec();
        let sealed = cipher(&key.key).and_then(|cipher| {
            let nonce = Nonce::assume_unique_for_key(nonce);
            cipher
                .seal_in_place_append_tag(nonce, Aad::from(key.name.as_bytes()), &mut wrapped)
                .ok()
        });
        sealed.ok_or_else(|| Error::damaged(KEY_RING, "the key cannot be wrapped"))?;
        ring.wraps.push(Wrap {
            master_key: key.name.clone(),
            nonce: nonce.to_vec(),
            wrapped,
        });
        let mut bytes = vec![VERSION];
        bytes.extend(ring.encode_to_vec());
        Ok(bytes)
    }
}

fn read(ring: &[u8]) -> Result<Ring, Error> {
    match ring {
        [VERSION, ring @ ..] => {
            Ring::decode(ring).map_err(|error| Error::damaged(KEY_RING, error.to_string()))
        }
        [found, ..] => Err(Error::Version {
            name: KEY_RING.to_owned(),
            found: *found,
            known: VERSION,
        }),
        [] => Err(Error::damaged(KEY_RING, "it is empty")),
    }
}

fn unwrap(key: &WrappingKey, wrap: &Wrap) -> Option<[u8; KEY_BYTES]> {
    let nonce = Nonce::try_assume_unique_for_key(&wrap.nonce).ok()?;
    let mut bytes = Zeroizing::new(wrap.wrapped.clone());
    let cipher = cipher(&key.key)?;
    let opened = cipher.open_in_place(nonce, Aad::from(key.name.as_bytes()), &mut bytes);
    (&*opened.ok()?).try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapping(name: &str) -> WrappingKey {
        WrappingKey::derive(name.to_owned(), name.as_bytes())
    }

    #[test]
    fn each_purpose_has_a_key_of_its_own_in_each_archive() {
        let (one, other) = (ArchiveKey::new([7; KEY_BYTES]), ArchiveKey::new([8; KEY_BYTES]));
        assert_eq!(one.derive(b"a"), one.derive(b"a"));
        assert_ne!(one.derive(b"a"), one.derive(b"b"));
        assert_ne!(one.derive(b"a"), other.derive(b"a"));
    }

    #[test]
    fn every_master_key_that_has_wrapped_it_opens_a_key_and_no_other() {
        let key = ArchiveKey::new([7; KEY_BYTES]);
        let ring = key.wrap(None, &wrapping("old"), [1; NONCE_LEN]).unwrap();
        let ring = key.wrap(Some(&ring), &wrapping("new"), [2; NONCE_LEN]).unwrap();
        for (names, has_current) in [
            (&["old"][..], true),
            (&["new"], true),
            (&["newest", "old"], false),
        ] {
            let keys: Vec<_> = names.iter().map(|name| wrapping(name)).collect();
            let (opened, current) = ArchiveKey::open(&ring, &keys).unwrap();
            assert_eq!((opened.name(1, b"x"), current), (key.name(1, b"x"), has_current));
        }
        let refused = ArchiveKey::open(&ring, &[wrapping("other")]).unwrap_err();
        assert_eq!(
            refused.to_string(),
            "the archive is encrypted under the master keys old, new; this node has other"
        );
        let forged = WrappingKey::derive("old".to_owned(), b"not the old one");
        assert!(matches!(
            ArchiveKey::open(&ring, &[forged]),
            Err(Error::Damaged { .. })
        ));
    }
}
