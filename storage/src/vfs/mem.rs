//! A simulated disk that knows what was synced.
//!
//! Invariant: it keeps, for every file and every directory, what would survive a power cut and what was done since.
//! [`MemVfs::cut_power_after`] stops it after any operation, [`MemVfs::after_power_cut`] gives the disk as a new start
//! would find it: with what was not synced lost, kept, or torn. The same seed tears in the same way.

use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{File, LockGuard, Vfs};

/// What is written in one piece by a disk.
const SECTOR_BYTES: usize = 512;

/// What becomes of data that was not synced when the power went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsynced {
    /// It is gone.
    Lost,
    /// It is all there.
    Kept,
    /// Of each write some sectors are there; of the changes of a directory the first few, in order.
    Torn {
        /// Decides which.
        seed: u64,
    },
}

#[derive(Clone, Debug)]
enum Change {
    Write { offset: u64, bytes: Vec<u8> },
    Truncate(u64),
}

#[derive(Clone, Debug)]
enum NameChange {
    /// A new name for an inode, which keeps those it has.
    Link(PathBuf, usize),
    /// A name takes the place of another one in one step.
    Rename(PathBuf, PathBuf, usize),
    Remove(PathBuf),
}

#[derive(Clone, Debug, Default)]
struct Inode {
    durable: Vec<u8>,
    volatile: Vec<u8>,
    pending: Vec<Change>,
}

#[derive(Clone, Debug, Default)]
struct Disk {
    inodes: Vec<Inode>,
    durable_names: BTreeMap<PathBuf, usize>,
    names: BTreeMap<PathBuf, usize>,
    pending_names: Vec<NameChange>,
    locks: Vec<PathBuf>,
    operations: u64,
    /// Digests all of them, and all reads.
    history: u64,
    power_cut_after: Option<u64>,
    /// So many syncs of files succeed before the one that fails.
    syncs_until_failure: Option<u64>,
}

impl Disk {
    /// Counts an operation that changes something, of this name and with these arguments; refuses it when the power is
    /// gone.
    fn operate(&mut self, name: &str, arguments: &[&[u8]]) -> io::Result<()> {
        if self.power_cut_after.is_some_and(|last| self.operations >= last) {
            return Err(io::Error::other("the power is cut"));
        }
        self.operations += 1;
        self.note(name, arguments);
        Ok(())
    }

    /// Adds something that was done to the history.
    fn note(&mut self, name: &str, arguments: &[&[u8]]) {
        for part in [name.as_bytes()].iter().chain(arguments) {
            // The seed is what was before; the length keeps parts apart.
            self.history = xxh3_64_with_seed(part, self.history.wrapping_add(part.len() as u64));
        }
    }

    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names
            .get(path)
            .copied()
            .ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn rename(&mut self, change: NameChange) {
        apply_name(&mut self.names, &change);
        self.pending_names.push(change);
    }
}

fn apply_name(names: &mut BTreeMap<PathBuf, usize>, change: &NameChange) {
    match change {
        NameChange::Rename(from, to, inode) => {
            names.remove(from);
            names.insert(to.clone(), *inode);
        }
        NameChange::Link(path, inode) => {
            names.insert(path.clone(), *inode);
        }
        NameChange::Remove(path) => {
            names.remove(path);
        }
    }
}

fn apply(contents: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Write { offset, bytes } => {
            let start = size_of_file(*offset);
            if contents.len() < start + bytes.len() {
                contents.resize(start + bytes.len(), 0);
            }
            contents[start..start + bytes.len()].copy_from_slice(bytes);
        }
        Change::Truncate(bytes) => contents.resize(size_of_file(*bytes), 0),
    }
}

fn bytes_of(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

/// Sizes of simulated files fit into memory.
fn size_of_file(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

/// SplitMix64 (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn next_random(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The simulated disk. Clones share it.
#[derive(Clone, Default)]
pub struct MemVfs(Arc<Mutex<Disk>>);

impl fmt::Debug for MemVfs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemVfs")
            .field("operations", &self.operations())
            .finish_non_exhaustive()
    }
}

impl MemVfs {
    /// An empty disk.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many operations have changed something so far: creations, writes, syncs, renames, removals, truncations.
    pub fn operations(&self) -> u64 {
        self.0.lock().operations
    }

    /// A digest of these operations and of reads: of their kinds, files, places and bytes, in their order. Equal as long as
    /// the same was done to an empty disk, or to one [after a power cut](Self::after_power_cut).
    pub fn history_digest(&self) -> u64 {
        self.0.lock().history
    }

    /// Lets so many operations happen (counted from the making of the disk) and refuses every one after.
    pub fn cut_power_after(&self, operations: u64) {
        self.0.lock().power_cut_after = Some(operations);
    }

    /// Lets so many syncs of files succeed and the next one fail, as Linux does it: the error is told once, what was to be
    /// written is still read, held for written, and never is (Rebello et al., "Can Applications Recover from fsync Failures?",
    /// 2020).
    pub fn fail_sync_after(&self, syncs: u64) {
        self.0.lock().syncs_until_failure = Some(syncs);
    }

    /// The disk as the next start finds it, with the power back.
    #[must_use]
    pub fn after_power_cut(&self, unsynced: Unsynced) -> Self {
        let disk = self.0.lock();
        let mut names = disk.durable_names.clone();
        let mut seed = match unsynced {
            Unsynced::Torn { seed } => seed,
            Unsynced::Lost | Unsynced::Kept => 0,
        };
        let kept = match unsynced {
            Unsynced::Lost => 0,
            Unsynced::Kept => disk.pending_names.len(),
            Unsynced::Torn { .. } => {
                size_of_file(next_random(&mut seed) % (disk.pending_names.len() as u64 + 1))
            }
        };
        disk.pending_names
            .iter()
            .take(kept)
            .for_each(|change| apply_name(&mut names, change));
        let inodes = disk.inodes.iter().map(|inode| {
            let contents = match unsynced {
                Unsynced::Lost => inode.durable.clone(),
                Unsynced::Kept => inode.volatile.clone(),
                Unsynced::Torn { .. } => tear(inode, &mut seed),
            };
            Inode {
                durable: contents.clone(),
                volatile: contents,
                pending: Vec::new(),
            }
        });
        let inodes = inodes.collect();
        Self(Arc::new(Mutex::new(Disk {
            inodes,
            durable_names: names.clone(),
            names,
            ..Disk::default()
        })))
    }

    /// Changes one byte of a file, as a bad disk would.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] without the file, [`io::ErrorKind::UnexpectedEof`] behind its end.
    pub fn flip_bit(&self, path: &Path, offset: u64, bit: u8) -> io::Result<()> {
        let mut disk = self.0.lock();
        let inode = disk.find(path)?;
        let inode = &mut disk.inodes[inode];
        for contents in [&mut inode.volatile, &mut inode.durable] {
            let byte = contents
                .get_mut(size_of_file(offset))
                .ok_or(io::ErrorKind::UnexpectedEof)?;
            *byte ^= 1 << (bit % 8);
        }
        Ok(())
    }
}

/// What is left of a file of which some sectors were written.
fn tear(inode: &Inode, seed: &mut u64) -> Vec<u8> {
    let mut contents = inode.durable.clone();
    for change in &inode.pending {
        match change {
            Change::Truncate(_) => {
                if next_random(seed).is_multiple_of(2) {
                    apply(&mut contents, change);
                }
            }
            Change::Write { offset, bytes } => {
                let mut at = 0;
                while at < bytes.len() {
                    let start = offset + at as u64;
                    let in_sector = SECTOR_BYTES - size_of_file(start % SECTOR_BYTES as u64);
                    let end = (at + in_sector).min(bytes.len());
                    if next_random(seed).is_multiple_of(2) {
                        let part = Change::Write {
                            offset: start,
                            bytes: bytes[at..end].to_vec(),
                        };
                        apply(&mut contents, &part);
                    }
                    at = end;
                }
            }
        }
    }
    contents
}

#[derive(Debug)]
struct MemFile {
    disk: MemVfs,
    inode: usize,
}

impl MemFile {
    fn change(&self, change: Change) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        let file = (self.inode as u64).to_le_bytes();
        match &change {
            Change::Write { offset, bytes } => {
                disk.operate("write", &[&file, &offset.to_le_bytes(), bytes])?;
            }
            Change::Truncate(bytes) => disk.operate("truncate", &[&file, &bytes.to_le_bytes()])?,
        }
        let inode = &mut disk.inodes[self.inode];
        apply(&mut inode.volatile, &change);
        inode.pending.push(change);
        Ok(())
    }
}

#[derive(Debug)]
struct MemLock {
    disk: MemVfs,
    path: PathBuf,
}

impl LockGuard for MemLock {}

impl Drop for MemLock {
    fn drop(&mut self) {
        self.disk.0.lock().locks.retain(|path| *path != self.path);
    }
}

impl Vfs for MemVfs {
    fn create_dir_all(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.0.lock();
        if disk.names.contains_key(path) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.operate("create", &[bytes_of(path)])?;
        let inode = disk.inodes.len();
        disk.inodes.push(Inode::default());
        disk.rename(NameChange::Link(path.to_path_buf(), inode));
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let mut disk = self.0.lock();
        disk.note("open", &[bytes_of(path)]);
        let inode = disk.find(path)?;
        Ok(Arc::new(MemFile {
            disk: self.clone(),
            inode,
        }))
    }

    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let inode = disk.find(existing)?;
        if disk.names.contains_key(name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        disk.operate("link", &[bytes_of(existing), bytes_of(name)])?;
        disk.rename(NameChange::Link(name.to_path_buf(), inode));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.find(path)?;
        disk.operate("remove", &[bytes_of(path)])?;
        disk.rename(NameChange::Remove(path.to_path_buf()));
        Ok(())
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        let inode = disk.find(from)?;
        disk.operate("rename", &[bytes_of(from), bytes_of(to)])?;
        disk.rename(NameChange::Rename(from.to_path_buf(), to.to_path_buf(), inode));
        Ok(())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<String>> {
        let mut disk = self.0.lock();
        disk.note("list", &[bytes_of(directory)]);
        let names = disk.names.keys().filter(|path| path.parent() == Some(directory));
        Ok(names
            .filter_map(|path| path.file_name()?.to_str().map(str::to_owned))
            .collect())
    }

    fn sync_dir(&self, directory: &Path) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.operate("sync directory", &[bytes_of(directory)])?;
        disk.durable_names = disk.names.clone();
        disk.pending_names.clear();
        Ok(())
    }

    fn free_bytes(&self, _directory: &Path) -> io::Result<u64> {
        Ok(u64::MAX)
    }

    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>> {
        let mut disk = self.0.lock();
        if disk.locks.iter().any(|locked| locked == path) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        disk.locks.push(path.to_path_buf());
        Ok(Box::new(MemLock {
            disk: self.clone(),
            path: path.to_path_buf(),
        }))
    }
}

impl File for MemFile {
    fn size(&self) -> io::Result<u64> {
        Ok(self.disk.0.lock().inodes[self.inode].volatile.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        let (file, length) = (self.inode as u64, buffer.len() as u64);
        let arguments = [file, offset, length].map(u64::to_le_bytes);
        disk.note("read", &arguments.each_ref().map(|argument| &argument[..]));
        let start = size_of_file(offset);
        let end = start
            .checked_add(buffer.len())
            .ok_or(io::ErrorKind::UnexpectedEof)?;
        let contents = disk.inodes[self.inode].volatile.get(start..end);
        buffer.copy_from_slice(contents.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()> {
        self.change(Change::Write {
            offset,
            bytes: buffer.to_vec(),
        })
    }

    fn preallocate(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::Truncate(bytes))?;
        self.sync_data()
    }

    fn truncate(&self, bytes: u64) -> io::Result<()> {
        self.change(Change::Truncate(bytes))
    }

    fn sync_data(&self) -> io::Result<()> {
        let mut disk = self.disk.0.lock();
        disk.operate("sync", &[&(self.inode as u64).to_le_bytes()])?;
        let left = disk.syncs_until_failure.map(|left| left.checked_sub(1));
        disk.syncs_until_failure = left.flatten();
        if left == Some(None) {
            disk.inodes[self.inode].pending.clear();
            return Err(io::Error::other("the disk has failed"));
        }
        let inode = &mut disk.inodes[self.inode];
        for change in std::mem::take(&mut inode.pending) {
            apply(&mut inode.durable, &change);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn contents(disk: &MemVfs, path: &str) -> Option<Vec<u8>> {
        let file = disk.open(Path::new(path)).ok()?;
        let mut bytes = vec![0; size_of_file(file.size().unwrap())];
        file.read_exact_at(&mut bytes, 0).unwrap();
        Some(bytes)
    }

    #[test]
    fn only_synced_bytes_under_synced_names_survive_a_power_cut() {
        let disk = MemVfs::new();
        let file = disk.create(Path::new("/d/a")).unwrap();
        file.write_all_at(b"synced", 0).unwrap();
        file.sync_data().unwrap();
        assert_eq!(contents(&disk.after_power_cut(Unsynced::Lost), "/d/a"), None);
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(b"S", 0).unwrap();
        assert_eq!(
            contents(&disk.after_power_cut(Unsynced::Lost), "/d/a"),
            Some(b"synced".to_vec())
        );
        assert_eq!(
            contents(&disk.after_power_cut(Unsynced::Kept), "/d/a"),
            Some(b"Synced".to_vec())
        );
    }

    #[test]
    fn a_torn_write_keeps_some_sectors() {
        let disk = MemVfs::new();
        let file = disk.create(Path::new("/d/a")).unwrap();
        file.preallocate(8192).unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(&[1; 8192], 0).unwrap();
        let torn = contents(&disk.after_power_cut(Unsynced::Torn { seed: 1 }), "/d/a").unwrap();
        let written = torn.chunks(SECTOR_BYTES).filter(|sector| sector[0] == 1).count();
        assert!(
            torn.chunks(SECTOR_BYTES)
                .all(|sector| sector.iter().all(|byte| *byte == sector[0]))
        );
        assert!((1..16).contains(&written));
    }

    #[test]
    fn the_digest_tells_operations_by_kind_place_bytes_and_order() {
        type Work<'a> = &'a dyn Fn(&dyn File);
        let digest = |work: Work<'_>| {
            let disk = MemVfs::new();
            let file = disk.create(Path::new("/d/a")).unwrap();
            work(&*file);
            disk.history_digest()
        };
        let works: [Work<'_>; 6] = [
            &|_| {},
            &|file| file.write_all_at(b"a", 0).unwrap(),
            &|file| file.write_all_at(b"a", 1).unwrap(),
            &|file| file.write_all_at(b"b", 0).unwrap(),
            &|file| {
                file.write_all_at(b"a", 0).unwrap();
                file.sync_data().unwrap();
            },
            &|file| {
                file.sync_data().unwrap();
                file.write_all_at(b"a", 0).unwrap();
            },
        ];
        let digests: std::collections::BTreeSet<u64> = works.iter().map(|work| digest(work)).collect();
        assert_eq!(digests.len(), works.len());
        assert!(works.iter().all(|work| digest(work) == digest(work)));
    }

    #[test]
    fn what_a_failed_sync_was_to_write_is_read_and_not_on_the_disk() {
        let disk = MemVfs::new();
        let file = disk.create(Path::new("/d/a")).unwrap();
        file.write_all_at(b"ab", 0).unwrap();
        file.sync_data().unwrap();
        disk.sync_dir(Path::new("/d")).unwrap();
        file.write_all_at(b"c", 0).unwrap();
        disk.fail_sync_after(0);
        assert!(file.sync_data().is_err());
        file.write_all_at(b"d", 1).unwrap();
        file.sync_data().unwrap();
        assert_eq!(contents(&disk, "/d/a").unwrap(), b"cd");
        for unsynced in [Unsynced::Lost, Unsynced::Torn { seed: 1 }] {
            let after = disk.after_power_cut(unsynced);
            assert_eq!(contents(&after, "/d/a").unwrap(), b"ad", "{unsynced:?}");
        }
    }

    #[test]
    fn nothing_happens_after_the_power_cut() {
        let disk = MemVfs::new();
        let file = disk.create(Path::new("/d/a")).unwrap();
        disk.cut_power_after(2);
        file.write_all_at(b"a", 0).unwrap();
        assert!(file.write_all_at(b"b", 0).is_err());
        assert!(disk.sync_dir(Path::new("/d")).is_err());
        assert_eq!(disk.operations(), 2);
    }
}
