//! Master keys: the owner's secret, named by an identity that says nothing about it.
//!
//! Invariant: a key's bytes are wiped when it is dropped and never printed.

use std::fmt;
use std::str::FromStr;

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use super::KEY_BYTES;
use crate::error::Error;

/// Names a master key: the first 8 bytes of SHA-256 over `stator master key` and the key. Printed as 16 hexadecimal
/// digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MasterKeyId(pub(super) [u8; 8]);

impl fmt::Display for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for MasterKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A key that wraps the data keys of an engine.
#[derive(Clone)]
pub struct MasterKey {
    id: MasterKeyId,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

impl MasterKey {
    /// The key with these bytes, which must come from a cryptographic random generator.
    pub fn new(bytes: [u8; KEY_BYTES]) -> Self {
        let bytes = Zeroizing::new(bytes);
        let digest = Sha256::new()
            .chain_update(b"stator master key")
            .chain_update(&bytes[..])
            .finalize();
        let mut id = [0; 8];
        id.copy_from_slice(&digest[..8]);
        Self {
            id: MasterKeyId(id),
            bytes,
        }
    }

    /// The name of the key.
    pub fn id(&self) -> MasterKeyId {
        self.id
    }

    pub(super) fn bytes(&self) -> &[u8; KEY_BYTES] {
        &self.bytes
    }

    /// The key as it is kept in a file: 64 hexadecimal digits, without a newline.
    pub fn to_hex(&self) -> Zeroizing<String> {
        use fmt::Write as _;
        let mut text = Zeroizing::new(String::with_capacity(2 * KEY_BYTES));
        for byte in self.bytes.iter() {
            // Writing to a String cannot fail.
            write!(text, "{byte:02x}").ok();
        }
        text
    }
}

impl FromStr for MasterKey {
    type Err = Error;

    /// Reads 64 hexadecimal digits; white space around them is ignored.
    fn from_str(text: &str) -> Result<Self, Error> {
        let invalid = || Error::Invalid {
            what: "master key",
            detail: format!("must be {} hexadecimal digits", 2 * KEY_BYTES),
        };
        let digits = text.trim().as_bytes();
        if digits.len() != 2 * KEY_BYTES {
            return Err(invalid());
        }
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or_else(invalid);
            *byte = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| invalid())?;
        }
        Ok(Self::new(*bytes))
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// The master keys an engine may use: one that wraps, and older ones that it can still unwrap with.
#[derive(Clone, Debug)]
pub struct MasterKeys {
    current: MasterKey,
    older: Vec<MasterKey>,
}

impl MasterKeys {
    /// Only this one.
    pub fn new(current: MasterKey) -> Self {
        Self {
            current,
            older: Vec::new(),
        }
    }

    /// Also one that was current before: what it wraps is wrapped anew with the current one when the engine opens.
    #[must_use]
    pub fn with_older(mut self, older: MasterKey) -> Self {
        self.older.push(older);
        self
    }

    pub(super) fn current(&self) -> &MasterKey {
        &self.current
    }

    pub(super) fn find(&self, id: MasterKeyId) -> Option<&MasterKey> {
        self.all().find(|key| key.id == id)
    }

    /// All of them, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &MasterKey> {
        std::iter::once(&self.current).chain(&self.older)
    }

    /// The names of all of them, the current one first.
    pub fn ids(&self) -> Vec<MasterKeyId> {
        self.all().map(MasterKey::id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_comes_back_from_its_digits_and_is_never_printed() {
        let key = MasterKey::new([0xA5; KEY_BYTES]);
        let again: MasterKey = format!(" {}\n", &*key.to_hex()).parse().unwrap();
        assert_eq!(again.id(), key.id());
        assert_eq!(again.bytes(), key.bytes());
        let shown = format!("{key:?} {:?}", MasterKeys::new(key.clone()));
        assert!(!shown.contains("a5a5") && !shown.contains("165"), "{shown}");
    }

    #[test]
    fn what_is_no_key_is_refused() {
        for text in ["", "00", &"g".repeat(64), &"0".repeat(65)] {
            assert!(matches!(text.parse::<MasterKey>(), Err(Error::Invalid { .. })));
        }
    }
}
