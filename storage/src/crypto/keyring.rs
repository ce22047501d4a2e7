//! The key ring: data keys, wrapped by master keys, in the file `KEYS`; file keys are derived from them.
//!
//! Invariant: a data key is durable in `KEYS` before a file names it, and stays there as long as one does. `KEYS` is
//! replaced as a whole (written aside, synced, renamed, directory synced).

use std::collections::BTreeSet;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use aes_gcm::aead::AeadInOut as _;
use aes_gcm::{Aes256Gcm, KeyInit as _};
use parking_lot::RwLock;
use ring::hkdf;
use zeroize::Zeroizing;

use super::cipher::{FileCipher, TAG_BYTES};
use super::master::{MasterKey, MasterKeyId, MasterKeys};
use super::{KEY_BYTES, Random};
use crate::error::{Error, Result};
use crate::files::{KEYS, replace_file};
use crate::header::{FileHeader, FileKind, SALT_BYTES, u32_at, u64_at};
use crate::vfs::Vfs;

const MAGIC: &[u8; 8] = b"STATORKY";
const VERSION: u32 = 1;
/// Magic, version, number of keys.
const HEAD_BYTES: usize = 8 + 4 + 4;
const NONCE_BYTES: usize = 12;
/// Identity, time of making, master key, nonce, wrapped key, tag.
const ENTRY_BYTES: usize = 4 + 8 + 8 + NONCE_BYTES + KEY_BYTES + TAG_BYTES;
const CRC_BYTES: usize = 4;

/// Names a data key within one key ring. Counts up from 1; never given out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DataKeyId(pub(crate) u32);

impl DataKeyId {
    /// Its number within the key ring.
    pub fn number(self) -> u32 {
        self.0
    }
}

impl fmt::Display for DataKeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

#[derive(Clone)]
struct DataKey {
    id: DataKeyId,
    /// Milliseconds since the Unix epoch, by the owner's clock.
    created_ms: u64,
    bytes: Zeroizing<[u8; KEY_BYTES]>,
}

/// The data keys of an open engine, ascending; the last one is current.
pub(crate) struct KeyRing {
    vfs: Arc<dyn Vfs>,
    path: PathBuf,
    random: Random,
    /// Locked after `keys`.
    master_keys: RwLock<MasterKeys>,
    keys: RwLock<Vec<DataKey>>,
}

impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyRing")
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

impl KeyRing {
    /// Makes a ring with one new data key and makes it durable.
    pub(crate) fn create(
        vfs: Arc<dyn Vfs>,
        directory: &Path,
        random: Random,
        master_keys: MasterKeys,
        now_ms: u64,
    ) -> Result<Self> {
        let ring = Self {
            vfs,
            path: directory.join(KEYS),
            random,
            master_keys: RwLock::new(master_keys),
            keys: RwLock::default(),
        };
        ring.add_key(now_ms)?;
        Ok(ring)
    }

    /// Unwraps the data keys of `directory`. Those that an older master key had wrapped are wrapped anew.
    ///
    /// # Errors
    ///
    /// [`Error::WrongMasterKey`] names the key that is missing; [`Error::Corruption`], [`Error::UnsupportedFormat`].
    pub(crate) fn open(
        vfs: Arc<dyn Vfs>,
        directory: &Path,
        random: Random,
        master_keys: MasterKeys,
    ) -> Result<Self> {
        let path = directory.join(KEYS);
        let bytes = crate::files::read_file(&*vfs, &path)?;
        let (keys, rewrap) = decode(&path, &bytes, &master_keys)?;
        let ring = Self {
            vfs,
            path,
            random,
            master_keys: RwLock::new(master_keys),
            keys: RwLock::new(keys),
        };
        if rewrap {
            ring.write(&ring.keys.read(), ring.master_keys.read().current())?;
        }
        Ok(ring)
    }

    #[cfg(test)]
    pub(crate) fn for_test(vfs: Arc<dyn Vfs>, directory: &Path) -> Self {
        let random = Random::new(|bytes| {
            bytes.fill(9);
            Ok(())
        });
        let keys = MasterKeys::new(MasterKey::new([1; KEY_BYTES]));
        Self::create(vfs, directory, random, keys, 0).unwrap()
    }

    /// Makes a new data key the current one; durable on return.
    pub(crate) fn add_key(&self, now_ms: u64) -> Result<DataKeyId> {
        let bytes = Zeroizing::new(self.random()?);
        let mut keys = self.keys.write();
        let id = DataKeyId(keys.last().map_or(1, |key| key.id.0 + 1));
        let mut next = keys.clone();
        next.push(DataKey {
            id,
            created_ms: now_ms,
            bytes,
        });
        self.write(&next, self.master_keys.read().current())?;
        *keys = next;
        Ok(id)
    }

    /// Wraps all data keys anew; durable on return. After an error the old master key or the new one opens the ring.
    pub(crate) fn rewrap(&self, master_keys: MasterKeys) -> Result<()> {
        let keys = self.keys.write();
        self.write(&keys, master_keys.current())?;
        *self.master_keys.write() = master_keys;
        Ok(())
    }

    /// The master key that wraps the data keys.
    pub(crate) fn master(&self) -> MasterKeyId {
        self.master_keys.read().current().id()
    }

    /// The data keys, ascending, with the times at which they were made; the last one is current.
    pub(crate) fn list(&self) -> Vec<(DataKeyId, u64)> {
        let keys = self.keys.read();
        keys.iter().map(|key| (key.id, key.created_ms)).collect()
    }

    /// The master keys that the data keys of `directory` are wrapped by; none if it has no key ring.
    ///
    /// # Errors
    ///
    /// [`Error::Io`], [`Error::Corruption`], [`Error::UnsupportedFormat`].
    pub(crate) fn wanted(vfs: &dyn Vfs, directory: &Path) -> Result<Vec<MasterKeyId>> {
        let names = vfs.list(directory).map_err(Error::io("list", directory))?;
        if !names.iter().any(|name| name == KEYS) {
            return Ok(Vec::new());
        }
        let path = directory.join(KEYS);
        let bytes = crate::files::read_file(vfs, &path)?;
        let mut wanted: Vec<MasterKeyId> = entries(&path, &bytes)?
            .chunks_exact(ENTRY_BYTES)
            .filter_map(|entry| Some(MasterKeyId(entry.get(12..20)?.try_into().ok()?)))
            .collect();
        wanted.sort_unstable();
        wanted.dedup();
        Ok(wanted)
    }

    /// Forgets the data keys that are not in `used`, except the current one.
    pub(crate) fn retain(&self, used: &BTreeSet<DataKeyId>) -> Result<()> {
        let mut keys = self.keys.write();
        let current = keys.last().map(|key| key.id);
        let next: Vec<_> = keys
            .iter()
            .filter(|key| Some(key.id) == current || used.contains(&key.id))
            .cloned()
            .collect();
        if next.len() < keys.len() {
            self.write(&next, self.master_keys.read().current())?;
            *keys = next;
        }
        Ok(())
    }

    /// The data key that new files use, and when it was made, in milliseconds since the Unix epoch.
    pub(crate) fn current(&self) -> (DataKeyId, u64) {
        self.keys
            .read()
            .last()
            .map_or((DataKeyId(0), 0), |key| (key.id, key.created_ms))
    }

    /// The header of a new file, with a salt of its own, and the key that comes of it.
    pub(crate) fn new_file(
        &self,
        kind: FileKind,
        number: u64,
        first_sequence: u64,
    ) -> Result<(FileHeader, FileCipher)> {
        let header = FileHeader {
            kind,
            number,
            first_sequence,
            data_key: self.current().0,
            salt: self.random()?,
        };
        Ok((header, self.cipher(&self.path, &header)?))
    }

    /// The key of the file at `path` that begins with `header`.
    pub(crate) fn cipher(&self, path: &Path, header: &FileHeader) -> Result<FileCipher> {
        let keys = self.keys.read();
        let key = keys.iter().find(|key| key.id == header.data_key).ok_or_else(|| {
            let detail = format!("data key {} is not in the key ring", header.data_key);
            Error::corruption(path, crate::header::DATA_KEY_OFFSET, detail)
        })?;
        derive(&key.bytes, header)
            .ok_or_else(|| Error::corruption(path, 0, "no key can be derived for the file"))
    }

    fn random<const N: usize>(&self) -> Result<[u8; N]> {
        self.random
            .bytes()
            .map_err(Error::io("take random bytes for", &self.path))
    }

    fn write(&self, keys: &[DataKey], master: &MasterKey) -> Result<()> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend_from_slice(&VERSION.to_le_bytes());
        bytes.extend_from_slice(&u32::try_from(keys.len()).unwrap_or(u32::MAX).to_le_bytes());
        for key in keys {
            let nonce = self.random()?;
            bytes.extend_from_slice(&wrap(key, master, nonce));
        }
        let crc = crc32fast::hash(&bytes);
        bytes.extend_from_slice(&crc.to_le_bytes());
        replace_file(&*self.vfs, &self.path, &bytes)
    }
}

/// HKDF-SHA256 (RFC 5869) of the data key, with the file's salt; kind and number are the context.
fn derive(data_key: &[u8; KEY_BYTES], header: &FileHeader) -> Option<FileCipher> {
    let number = header.number.to_le_bytes();
    let context = [&header.kind.magic()[..], &number];
    let mut key = Zeroizing::new([0; KEY_BYTES]);
    hkdf::Salt::new(hkdf::HKDF_SHA256, &header.salt)
        .extract(data_key)
        .expand(&context, hkdf::HKDF_SHA256)
        .and_then(|expanded| expanded.fill(&mut key[..]))
        .ok()?;
    FileCipher::new(&key, header.number, header.data_key)
}

/// What a wrapped key is bound to.
fn bound(id: DataKeyId, created_ms: u64, master: MasterKeyId) -> [u8; 28] {
    let mut bytes = [0; 28];
    bytes[..8].copy_from_slice(MAGIC);
    bytes[8..12].copy_from_slice(&id.0.to_le_bytes());
    bytes[12..20].copy_from_slice(&created_ms.to_le_bytes());
    bytes[20..].copy_from_slice(&master.0);
    bytes
}

fn wrap(key: &DataKey, master: &MasterKey, nonce: [u8; NONCE_BYTES]) -> Vec<u8> {
    let mut wrapped = Zeroizing::new(*key.bytes);
    let tag = Aes256Gcm::new(master.bytes().into())
        .encrypt_inout_detached(
            &nonce.into(),
            &bound(key.id, key.created_ms, master.id()),
            wrapped.as_mut_slice().into(),
        )
        .unwrap_or_else(|_| unreachable!("32 bytes are within the limits of AES-GCM"));
    [
        &key.id.0.to_le_bytes()[..],
        &key.created_ms.to_le_bytes(),
        &master.id().0,
        &nonce,
        &wrapped[..],
        &tag,
    ]
    .concat()
}

/// The entries of a key ring, after a look at everything around them.
fn entries<'a>(path: &Path, bytes: &'a [u8]) -> Result<&'a [u8]> {
    let bad = |offset: usize, detail: &str| Error::corruption(path, offset as u64, detail);
    let crc_at = bytes
        .len()
        .checked_sub(CRC_BYTES)
        .filter(|at| *at >= HEAD_BYTES)
        .ok_or_else(|| bad(0, "the key ring is cut"))?;
    if u32_at(bytes, crc_at) != Some(crc32fast::hash(&bytes[..crc_at])) || &bytes[..8] != MAGIC {
        return Err(bad(0, "the checksum of the key ring does not match"));
    }
    let found = u32_at(bytes, 8).unwrap_or_default();
    if found != VERSION {
        return Err(Error::UnsupportedFormat {
            file: path.to_path_buf(),
            found,
            supported: VERSION,
        });
    }
    let entries = &bytes[HEAD_BYTES..crc_at];
    let count = u32_at(bytes, 12).unwrap_or_default() as usize;
    if count == 0 || count.checked_mul(ENTRY_BYTES) != Some(entries.len()) {
        return Err(bad(12, "the number of keys does not fit the file"));
    }
    Ok(entries)
}

/// The keys in `bytes`, and whether some of them are not wrapped by the current master key.
fn decode(path: &Path, bytes: &[u8], master_keys: &MasterKeys) -> Result<(Vec<DataKey>, bool)> {
    let bad = |offset: usize, detail: &str| Error::corruption(path, offset as u64, detail);
    let entries = entries(path, bytes)?;
    let mut keys: Vec<DataKey> = Vec::new();
    let mut rewrap = false;
    for (position, entry) in entries.chunks_exact(ENTRY_BYTES).enumerate() {
        let offset = HEAD_BYTES + position * ENTRY_BYTES;
        let (key, master) = unwrap(path, offset, entry, master_keys)?;
        if keys.last().is_some_and(|last| last.id >= key.id) {
            return Err(bad(offset, "the data keys are not in order"));
        }
        rewrap |= master != master_keys.current().id();
        keys.push(key);
    }
    Ok((keys, rewrap))
}

fn unwrap(
    path: &Path,
    offset: usize,
    entry: &[u8],
    master_keys: &MasterKeys,
) -> Result<(DataKey, MasterKeyId)> {
    let bad = |detail: &str| Error::corruption(path, offset as u64, detail);
    let cut = || bad("the entry of a data key is cut");
    let id = DataKeyId(u32_at(entry, 0).ok_or_else(cut)?);
    let created_ms = u64_at(entry, 4).ok_or_else(cut)?;
    let part = |from: usize, to: usize| entry.get(from..to).ok_or_else(cut);
    let master = MasterKeyId(part(12, 20)?.try_into().map_err(|_| cut())?);
    let nonce: [u8; NONCE_BYTES] = part(20, 32)?.try_into().map_err(|_| cut())?;
    let mut bytes: Zeroizing<[u8; KEY_BYTES]> = Zeroizing::new(part(32, 64)?.try_into().map_err(|_| cut())?);
    let tag: [u8; TAG_BYTES] = part(64, 80)?.try_into().map_err(|_| cut())?;
    let key = master_keys.find(master).ok_or_else(|| Error::WrongMasterKey {
        file: path.to_path_buf(),
        wanted: master,
        given: master_keys.ids(),
    })?;
    Aes256Gcm::new(key.bytes().into())
        .decrypt_inout_detached(
            &nonce.into(),
            &bound(id, created_ms, master),
            bytes.as_mut_slice().into(),
            &tag.into(),
        )
        .map_err(|_| bad("a data key does not unwrap with the master key that it names"))?;
    Ok((
        DataKey {
            id,
            created_ms,
            bytes,
        },
        master,
    ))
}

const _: () = assert!(SALT_BYTES >= 16, "salts of different files never meet");

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU8, Ordering};

    use super::*;
    use crate::vfs::mem::MemVfs;

    fn random() -> Random {
        let next = AtomicU8::new(1);
        Random::new(move |bytes| {
            bytes.fill(next.fetch_add(1, Ordering::Relaxed));
            Ok(())
        })
    }

    fn master(byte: u8) -> MasterKey {
        MasterKey::new([byte; KEY_BYTES])
    }

    fn directory() -> &'static Path {
        Path::new("/d")
    }

    fn open(vfs: &Arc<MemVfs>, keys: MasterKeys) -> Result<KeyRing> {
        KeyRing::open(Arc::clone(vfs) as _, directory(), random(), keys)
    }

    fn created() -> (Arc<MemVfs>, KeyRing) {
        let vfs = Arc::new(MemVfs::new());
        vfs.create_dir_all(directory()).unwrap();
        let keys = MasterKeys::new(master(1));
        let ring = KeyRing::create(Arc::clone(&vfs) as _, directory(), random(), keys, 77).unwrap();
        (vfs, ring)
    }

    fn sealed(ring: &KeyRing) -> (FileHeader, Vec<u8>) {
        let (header, cipher) = ring.new_file(FileKind::Sstable, 9, 0).unwrap();
        let mut bytes = b"contents".to_vec();
        let tag = cipher.seal(64, &mut bytes);
        bytes.extend_from_slice(&tag);
        (header, bytes)
    }

    #[test]
    fn files_open_after_a_restart_and_after_both_rotations() {
        let (vfs, ring) = created();
        let (header, bytes) = sealed(&ring);
        let second = ring.add_key(78).unwrap();
        assert_eq!(ring.current(), (second, 78));
        let (later, _) = sealed(&ring);
        assert_eq!((header.data_key, later.data_key), (DataKeyId(1), second));
        drop(ring);
        let rotated = MasterKeys::new(master(2)).with_older(master(1));
        open(&vfs, rotated).unwrap();
        // The old master key is not needed any more.
        let ring = open(&vfs, MasterKeys::new(master(2))).unwrap();
        let mut bytes = bytes;
        ring.cipher(Path::new("f"), &header)
            .unwrap()
            .open(64, &mut bytes)
            .unwrap();
        assert_eq!(&bytes[..8], b"contents");
        ring.retain(&BTreeSet::new()).unwrap();
        assert!(ring.cipher(Path::new("f"), &header).is_err());
        assert!(ring.cipher(Path::new("f"), &later).is_ok());
    }

    #[test]
    fn a_master_key_is_replaced_while_the_ring_is_in_use() {
        let (vfs, ring) = created();
        let (header, _) = sealed(&ring);
        assert_eq!(KeyRing::wanted(&*vfs, directory()).unwrap(), [master(1).id()]);
        ring.rewrap(MasterKeys::new(master(2))).unwrap();
        assert_eq!(ring.master(), master(2).id());
        assert_eq!(KeyRing::wanted(&*vfs, directory()).unwrap(), [master(2).id()]);
        // What comes later is wrapped by the new one as well.
        let second = ring.add_key(79).unwrap();
        assert_eq!(ring.list(), [(DataKeyId(1), 77), (second, 79)]);
        drop(ring);
        assert!(open(&vfs, MasterKeys::new(master(1))).is_err());
        let ring = open(&vfs, MasterKeys::new(master(2))).unwrap();
        assert!(ring.cipher(Path::new("f"), &header).is_ok());
        assert_eq!(KeyRing::wanted(&*vfs, Path::new("/d")).unwrap().len(), 1);
    }

    #[test]
    fn a_wrong_master_key_is_refused_by_name() {
        let (vfs, _) = created();
        let error = open(&vfs, MasterKeys::new(master(3))).unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&master(1).id().to_string()), "{text}");
        assert!(text.contains(&master(3).id().to_string()), "{text}");
    }

    #[test]
    fn no_two_files_have_the_same_key() {
        let (_, ring) = created();
        assert_ne!(sealed(&ring).1, sealed(&ring).1);
    }

    #[test]
    fn a_bad_byte_anywhere_is_corruption_or_another_key_wanted() {
        let (vfs, _) = created();
        let path = directory().join(KEYS);
        let size = vfs.open(&path).unwrap().size().unwrap();
        for offset in 0..size {
            vfs.flip_bit(&path, offset, 5).unwrap();
            let error = open(&vfs, MasterKeys::new(master(1))).unwrap_err();
            assert!(matches!(error, Error::Corruption { .. }), "{offset}: {error}");
            vfs.flip_bit(&path, offset, 5).unwrap();
        }
    }
}
