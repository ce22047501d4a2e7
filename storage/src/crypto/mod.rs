//! Encryption of everything the engine writes (`docs/format/encryption.md`).
//!
//! Three kinds of keys: the owner's **master key** wraps **data keys**, which lie wrapped in the file `KEYS`; a **file
//! key** is derived from a data key and the random salt in a file's header, so that no two files share one and a
//! number that is given out again never meets its old key. Invariant: under one file key every place is sealed once,
//! with the place as the nonce. Not here: where master keys come from (the owner's), what is sealed.

mod cipher;
mod keyring;
mod master;

pub(crate) use cipher::{FileCipher, TAG_BYTES};
pub use keyring::DataKeyId;
pub(crate) use keyring::KeyRing;
pub use master::{MasterKey, MasterKeyId, MasterKeys};

use std::fmt;
use std::io;
use std::sync::Arc;

/// The bytes of every key: AES-256.
pub const KEY_BYTES: usize = 32;

type Fill = dyn Fn(&mut [u8]) -> io::Result<()> + Send + Sync;

/// Where the engine takes random bytes from; fills the slice whole or fails.
#[derive(Clone)]
pub struct Random(Arc<Fill>);

impl Random {
    /// A source that calls `fill`. Keys are made of what it gives: outside of simulations it must be the operating
    /// system's generator.
    pub fn new(fill: impl Fn(&mut [u8]) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self(Arc::new(fill))
    }

    /// Random bytes.
    pub(crate) fn bytes<const N: usize>(&self) -> io::Result<[u8; N]> {
        let mut bytes = [0; N];
        (self.0)(&mut bytes)?;
        Ok(bytes)
    }
}

impl fmt::Debug for Random {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}
