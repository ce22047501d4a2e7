//! Sealing secrets: the cluster's sealing keys, which a master key wraps, and what they seal.
//!
//! A sealing key is made once for the cluster and kept beside the users, wrapped with each master key that nodes have
//! (`docs/format/identity.md`); so a new master key means one more wrap, and no secret is sealed anew. Invariants: a key is
//! wiped when it is dropped and never printed; what is sealed for one purpose and context opens for no other. Nonces are
//! random: 96 bits, and far fewer than 2^32 seals under one key (NIST SP 800-38D, section 8.3).

use std::fmt;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use hmac::{Hmac, Mac};
use prost::Message;
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

/// Bytes of a sealing key, and of the key that wraps it.
pub const KEY_BYTES: usize = 32;
/// Bytes of a nonce.
pub const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;
/// Bytes before what is sealed: version, number of the key, nonce.
const HEAD_BYTES: usize = 1 + 4 + NONCE_BYTES;

const FORMAT_VERSION: u8 = 1;
/// What the key that wraps is derived for.
const WRAPPING: &[u8] = b"stator identity: wrap sealing keys";

/// What something is sealed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// The secret of an access key; the context is the access key's id.
    AccessKey,
    /// A session token; it has no context.
    SessionToken,
}

impl Purpose {
    fn name(self) -> &'static [u8] {
        match self {
            Self::AccessKey => b"stator access key",
            Self::SessionToken => b"stator session token",
        }
    }
}

/// A master key as far as identity needs it: its name, and a key derived from it that wraps sealing keys.
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
        let mut hmac = keyed(master_key);
        hmac.update(WRAPPING);
        let mut key = Zeroizing::new([0; KEY_BYTES]);
        key.copy_from_slice(&hmac.finalize().into_bytes());
        Self { name, key }
    }

    /// The public name of the master key.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// HMAC takes a key of any length (RFC 2104, section 2), so there is no error to pass on.
#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
fn keyed(key: &[u8]) -> Hmac<Sha256> {
    Hmac::<Sha256>::new_from_slice(key).expect("HMAC takes keys of every length")
}

/// The row of the sealing keys.
#[derive(Clone, PartialEq, Eq, Message)]
struct Ring {
    #[prost(message, repeated, tag = "1")]
    keys: Vec<RingKey>,
}

/// A sealing key, wrapped with each master key.
#[derive(Clone, PartialEq, Eq, Message)]
struct RingKey {
    #[prost(uint32, tag = "1")]
    number: u32,
    #[prost(message, repeated, tag = "2")]
    wraps: Vec<Wrap>,
}

#[derive(Clone, PartialEq, Eq, Message)]
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

/// A sealing key.
#[derive(Clone)]
struct SealingKey {
    number: u32,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The sealing keys of a cluster, opened.
#[derive(Clone)]
pub struct SealingKeys {
    /// By number; the last one seals.
    keys: Vec<SealingKey>,
    epoch: u64,
}

impl fmt::Debug for SealingKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let numbers: Vec<u32> = self.keys.iter().map(|key| key.number).collect();
        f.debug_tuple("SealingKeys").field(&numbers).finish()
    }
}

/// The row of the sealing keys is of no use to this node.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RingError {
    /// It is no such row.
    #[error("the sealing keys cannot be read: {0}")]
    Malformed(String),
    /// None of the master keys of this node has wrapped a key.
    #[error("the sealing keys are wrapped with the master keys {wanted}; this node has {given}")]
    OtherMasterKey {
        /// Names of the master keys that would do.
        wanted: String,
        /// Names of those that are there.
        given: String,
    },
}

impl SealingKeys {
    /// The row of a cluster's first sealing key, made of random bytes and wrapped with `wrapping`.
    pub fn make(
        wrapping: &WrappingKey,
        key: &Zeroizing<[u8; KEY_BYTES]>,
        nonce: [u8; NONCE_BYTES],
    ) -> Vec<u8> {
        let key = RingKey {
            number: 1,
            wraps: vec![wrap(1, key, wrapping, nonce)],
        };
        ring_bytes(&Ring { keys: vec![key] })
    }

    /// Opens a row with whichever of the master keys has wrapped it.
    ///
    /// # Errors
    /// [`RingError`].
    pub fn open(row: &[u8], wrapping: &[WrappingKey]) -> Result<Self, RingError> {
        let ring = read_ring(row)?;
        let mut keys = Vec::with_capacity(ring.keys.len());
        for key in &ring.keys {
            let mut opened = None;
            for wrap in &key.wraps {
                if let Some(with) = wrapping.iter().find(|with| with.name == wrap.master_key) {
                    opened = Some(unwrap(key.number, wrap, with)?);
                    break;
                }
            }
            let bytes = opened.ok_or_else(|| RingError::OtherMasterKey {
                wanted: key
                    .wraps
                    .iter()
                    .map(|wrap| &*wrap.master_key)
                    .collect::<Vec<_>>()
                    .join(", "),
                given: wrapping
                    .iter()
                    .map(|with| &*with.name)
                    .collect::<Vec<_>>()
                    .join(", "),
            })?;
            keys.push(SealingKey {
                number: key.number,
                bytes,
            });
        }
        keys.sort_by_key(|key| key.number);
        if keys.is_empty() {
            return Err(RingError::Malformed("there are none".to_owned()));
        }
        let epoch = epoch_of(&keys);
        Ok(Self { keys, epoch })
    }

    /// Tells these keys from others: what one has opened opens with all of the same epoch. Says nothing of the keys.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The row with one more wrap of each key that `wrapping` has not wrapped yet; `None` when there is none to add. A
    /// nonce is asked for each.
    ///
    /// # Errors
    /// [`RingError`], or what `nonce` failed with as [`RingError::Malformed`].
    pub fn wrap_also(
        &self,
        row: &[u8],
        wrapping: &WrappingKey,
        mut nonce: impl FnMut() -> Result<[u8; NONCE_BYTES], String>,
    ) -> Result<Option<Vec<u8>>, RingError> {
        let mut ring = read_ring(row)?;
        let mut added = false;
        for key in &mut ring.keys {
            if key.wraps.iter().any(|wrap| wrap.master_key == wrapping.name) {
                continue;
            }
            let Some(opened) = self.keys.iter().find(|opened| opened.number == key.number) else {
                continue;
            };
            let nonce = nonce().map_err(RingError::Malformed)?;
            key.wraps.push(wrap(key.number, &opened.bytes, wrapping, nonce));
            added = true;
        }
        Ok(added.then(|| ring_bytes(&ring)))
    }

    /// Seals with the newest key.
    pub fn seal(&self, purpose: Purpose, context: &str, nonce: [u8; NONCE_BYTES], plain: &[u8]) -> Vec<u8> {
        let Some(key) = self.keys.last() else {
            unreachable!("`open` makes none without a key")
        };
        let mut sealed = Vec::with_capacity(HEAD_BYTES + plain.len() + TAG_BYTES);
        sealed.push(FORMAT_VERSION);
        sealed.extend_from_slice(&key.number.to_le_bytes());
        sealed.extend_from_slice(&nonce);
        sealed.extend_from_slice(plain);
        let tag = Aes256Gcm::new((&*key.bytes).into())
            .encrypt_inout_detached(
                &nonce.into(),
                &bound(purpose, context),
                (&mut sealed[HEAD_BYTES..]).into(),
            )
            .unwrap_or_else(|_| unreachable!("what is sealed is within the limits of AES-GCM"));
        sealed.extend_from_slice(&tag[..]);
        sealed
    }

    /// Opens what was sealed for the same purpose and context; `None` for anything else.
    pub fn unseal(&self, purpose: Purpose, context: &str, sealed: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
        let (version, rest) = sealed.split_first()?;
        let (number, rest) = rest.split_first_chunk::<4>()?;
        let (nonce, rest) = rest.split_first_chunk::<NONCE_BYTES>()?;
        let (body, tag) = rest.split_last_chunk::<TAG_BYTES>()?;
        if *version != FORMAT_VERSION {
            return None;
        }
        let number = u32::from_le_bytes(*number);
        let key = self.keys.iter().find(|key| key.number == number)?;
        let mut plain = Zeroizing::new(body.to_vec());
        Aes256Gcm::new((&*key.bytes).into())
            .decrypt_inout_detached(
                &(*nonce).into(),
                &bound(purpose, context),
                plain.as_mut_slice().into(),
                &(*tag).into(),
            )
            .ok()?;
        Some(plain)
    }
}

/// Eight bytes of a hash of keys that are random: enough to tell them apart, of no use to anybody else.
fn epoch_of(keys: &[SealingKey]) -> u64 {
    let mut hasher = Sha256::new();
    for key in keys {
        hasher.update(key.number.to_le_bytes());
        hasher.update(&key.bytes[..]);
    }
    let hash = hasher.finalize();
    hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

/// What is authenticated beside the sealed bytes.
fn bound(purpose: Purpose, context: &str) -> Vec<u8> {
    [purpose.name(), &[0], context.as_bytes()].concat()
}

/// What is authenticated beside a wrapped key.
fn wrap_bound(number: u32, master_key: &str) -> Vec<u8> {
    [
        b"stator sealing key".as_slice(),
        &number.to_le_bytes(),
        master_key.as_bytes(),
    ]
    .concat()
}

fn wrap(number: u32, key: &Zeroizing<[u8; KEY_BYTES]>, with: &WrappingKey, nonce: [u8; NONCE_BYTES]) -> Wrap {
    let mut wrapped = Zeroizing::new(**key);
    let tag = Aes256Gcm::new((&*with.key).into())
        .encrypt_inout_detached(
            &nonce.into(),
            &wrap_bound(number, &with.name),
            wrapped.as_mut_slice().into(),
        )
        .unwrap_or_else(|_| unreachable!("32 bytes are within the limits of AES-GCM"));
    Wrap {
        master_key: with.name.clone(),
        nonce: nonce.to_vec(),
        wrapped: [&wrapped[..], &tag[..]].concat(),
    }
}

fn unwrap(number: u32, wrap: &Wrap, with: &WrappingKey) -> Result<Zeroizing<[u8; KEY_BYTES]>, RingError> {
    let malformed = |what: &str| RingError::Malformed(what.to_owned());
    let (bytes, tag) = wrap
        .wrapped
        .split_last_chunk::<TAG_BYTES>()
        .ok_or_else(|| malformed("a wrapped key is too short"))?;
    let mut key = Zeroizing::new(
        <[u8; KEY_BYTES]>::try_from(bytes).map_err(|_| malformed("a wrapped key has the wrong length"))?,
    );
    let nonce = <[u8; NONCE_BYTES]>::try_from(&*wrap.nonce)
        .map_err(|_| malformed("the nonce of a wrapped key has the wrong length"))?;
    Aes256Gcm::new((&*with.key).into())
        .decrypt_inout_detached(
            &nonce.into(),
            &wrap_bound(number, &with.name),
            key.as_mut_slice().into(),
            &(*tag).into(),
        )
        .map_err(|_| malformed("a key does not unwrap with the master key that it names"))?;
    Ok(key)
}

fn ring_bytes(ring: &Ring) -> Vec<u8> {
    let mut bytes = vec![FORMAT_VERSION];
    bytes.extend(ring.encode_to_vec());
    bytes
}

fn read_ring(row: &[u8]) -> Result<Ring, RingError> {
    match row.split_first() {
        Some((&FORMAT_VERSION, message)) => {
            Ring::decode(message).map_err(|error| RingError::Malformed(error.to_string()))
        }
        _ => Err(RingError::Malformed("they are of another version".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrapping(byte: u8) -> WrappingKey {
        WrappingKey::derive(format!("master-{byte}"), &[byte; 32])
    }

    fn keys() -> SealingKeys {
        let row = SealingKeys::make(&wrapping(1), &Zeroizing::new([7; KEY_BYTES]), [3; NONCE_BYTES]);
        SealingKeys::open(&row, &[wrapping(1)]).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_for_its_purpose_and_context_only() {
        let keys = keys();
        let sealed = keys.seal(Purpose::AccessKey, "AKIA1", [9; NONCE_BYTES], b"planted-secret");
        assert!(!sealed.windows(7).any(|window| window == b"planted"));
        let open = |purpose, context| keys.unseal(purpose, context, &sealed).map(|plain| plain.to_vec());
        assert_eq!(
            open(Purpose::AccessKey, "AKIA1").as_deref(),
            Some(&b"planted-secret"[..])
        );
        assert_eq!(open(Purpose::AccessKey, "AKIA2"), None);
        assert_eq!(open(Purpose::SessionToken, "AKIA1"), None);
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(
                keys.unseal(Purpose::AccessKey, "AKIA1", &altered).is_none(),
                "{at}"
            );
            assert!(
                keys.unseal(Purpose::AccessKey, "AKIA1", &sealed[..at]).is_none(),
                "{at}"
            );
        }
    }

    #[test]
    fn another_master_key_opens_only_what_it_has_wrapped() {
        let (first, second) = (wrapping(1), wrapping(2));
        let row = SealingKeys::make(&first, &Zeroizing::new([7; KEY_BYTES]), [3; NONCE_BYTES]);
        assert_eq!(
            SealingKeys::open(&row, std::slice::from_ref(&second)).unwrap_err(),
            RingError::OtherMasterKey {
                wanted: "master-1".to_owned(),
                given: "master-2".to_owned(),
            }
        );
        let keys = SealingKeys::open(&row, std::slice::from_ref(&first)).unwrap();
        let both = keys
            .wrap_also(&row, &second, || Ok([4; NONCE_BYTES]))
            .unwrap()
            .unwrap();
        assert_eq!(keys.wrap_also(&both, &second, || Ok([5; NONCE_BYTES])), Ok(None));
        // One more wrap makes no other keys; other keys do.
        let same = SealingKeys::open(&both, std::slice::from_ref(&second)).unwrap();
        assert_eq!(same.epoch(), keys.epoch());
        let row = SealingKeys::make(&first, &Zeroizing::new([8; KEY_BYTES]), [3; NONCE_BYTES]);
        let others = SealingKeys::open(&row, std::slice::from_ref(&first)).unwrap();
        assert_ne!(others.epoch(), keys.epoch());
        let row = SealingKeys::make(&first, &Zeroizing::new([7; KEY_BYTES]), [3; NONCE_BYTES]);
        let sealed = keys.seal(Purpose::SessionToken, "", [1; NONCE_BYTES], b"x");
        let again = SealingKeys::open(&both, &[second]).unwrap();
        assert_eq!(
            again.unseal(Purpose::SessionToken, "", &sealed).unwrap().to_vec(),
            b"x"
        );
        // A key under the name of another one is told from it.
        let forged = WrappingKey::derive("master-1".to_owned(), &[9; 32]);
        assert!(matches!(
            SealingKeys::open(&row, &[forged]),
            Err(RingError::Malformed(_))
        ));
    }

    #[test]
    fn debug_output_shows_no_key() {
        let shown = format!("{:?} {:?}", keys(), wrapping(1));
        assert!(!shown.contains("7, 7") && shown.contains("master-1"), "{shown}");
    }
}
