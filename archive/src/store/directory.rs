//! An archive in a directory, of one machine or shared by several.
//!
//! Invariant: an object is written beside its place, synced and then renamed, so that it is there as a whole or not at all;
//! the directory is synced before that counts as done. What a crash leaves half written has a name that is no object's. Large
//! objects are written past the page cache: nobody reads them soon, there they would take the place of what clients read, and to
//! fill fresh pages takes a processor about as long as to seal what is in them.

use std::collections::HashSet;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};

use super::Store;
use crate::hands::give_way;

/// What the names of files begin with that are being written.
const PARTIAL: &str = ".partial-";

/// An object of so many bytes is large, and is written in steps of as many.
const STEP_BYTES: usize = 1 << 20;

/// Where what goes past the page cache begins and ends, in memory and in the file: at multiples of the blocks of disks, none of
/// which are larger.
const ALIGNMENT: usize = 4096;

/// See the head of the file.
#[derive(Debug)]
pub struct DirectoryStore {
    root: PathBuf,
    written: AtomicU64,
    /// Folders that are durable. One that is there may not be: somebody else may just have made it.
    durable: Mutex<HashSet<PathBuf>>,
}

impl DirectoryStore {
    /// The objects below a directory, which is made when something is put there.
    pub fn new(root: impl Into<PathBuf>) -> Self {
        Self {
            root: root.into(),
            written: AtomicU64::new(0),
            durable: Mutex::default(),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.root.join(name)
    }

    /// Makes a folder and those above it, durably.
    fn make_folder(&self, folder: &Path) -> io::Result<()> {
        let durable = || self.durable.lock().unwrap_or_else(PoisonError::into_inner);
        if durable().contains(folder) {
            return Ok(());
        }
        if let Some(parent) = folder.parent() {
            match fs::create_dir(folder) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    self.make_folder(parent)?;
                    return self.make_folder(folder);
                }
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                made => made?,
            }
            sync_folder(parent)?;
        }
        durable().insert(folder.to_owned());
        Ok(())
    }

    /// Writes an object beside its place; gives its folder and where it is.
    fn write_partial(&self, name: &str, bytes: &[u8]) -> io::Result<(PathBuf, PathBuf)> {
        let path = self.path(name);
        let folder = path.parent().unwrap_or(&self.root).to_owned();
        self.make_folder(&folder)?;
        let (partial, file) = self.create_partial(&folder)?;
        if let Err(error) = fill(&file, bytes) {
            fs::remove_file(&partial).ok();
            return Err(error);
        }
        Ok((folder, partial))
    }

    /// A new file. Others may have the same number: processes in containers all have number 1, and one that has crashed has left its
    /// files.
    fn create_partial(&self, folder: &Path) -> io::Result<(PathBuf, File)> {
        loop {
            let number = self.written.fetch_add(1, Ordering::Relaxed);
            let partial = folder.join(format!("{PARTIAL}{}-{number}", std::process::id()));
            match OpenOptions::new().write(true).create_new(true).open(&partial) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                file => return Ok((partial, file?)),
            }
        }
    }

    /// Removes the files of a folder and those below that were begun before a moment and not completed.
    fn tidy_folder(folder: &Path, before: SystemTime) -> io::Result<u64> {
        let mut removed = 0;
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(0),
            entries => entries?,
        };
        for entry in entries {
            let entry = entry?;
            if entry.file_type()?.is_dir() {
                removed += Self::tidy_folder(&entry.path(), before)?;
            } else if entry.file_name().to_string_lossy().starts_with(PARTIAL)
                && entry
                    .metadata()
                    .and_then(|file| file.modified())
                    .is_ok_and(|at| at < before)
            {
                remove(&entry.path())?;
                removed += 1;
            }
        }
        Ok(removed)
    }

    fn collect(&self, folder: &Path, into: &mut Vec<String>) -> io::Result<()> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let (entry, is_folder) = {
                let entry = entry?;
                let kind = entry.file_type()?;
                (entry.path(), kind.is_dir())
            };
            if is_folder {
                self.collect(&entry, into)?;
                continue;
            }
            let name = entry.strip_prefix(&self.root).ok().and_then(Path::to_str);
            if let Some(name) = name
                && !name.contains(PARTIAL)
            {
                into.push(name.to_owned());
            }
        }
        Ok(())
    }
}

/// Writes a new file, durably.
fn fill(file: &File, bytes: &[u8]) -> io::Result<()> {
    let written = fill_past_cache(file, bytes)?;
    file.write_all_at(&bytes[written..], written as u64)?;
    file.sync_all()
}

/// Writes the beginning of a large object past the page cache; says how many bytes of it. None where a file system does not do
/// so, and never all of them if they do not end with a block.
fn fill_past_cache(file: &File, bytes: &[u8]) -> io::Result<usize> {
    if bytes.len() < STEP_BYTES {
        return Ok(0);
    }
    let flags = fcntl_getfl(file)?;
    if fcntl_setfl(file, flags | OFlags::DIRECT).is_err() {
        return Ok(0);
    }
    let mut room = vec![0_u8; STEP_BYTES + ALIGNMENT];
    let from = room.as_ptr().align_offset(ALIGNMENT).min(ALIGNMENT);
    let mut written = 0;
    for step in bytes.chunks(STEP_BYTES) {
        let whole = step.len() / ALIGNMENT * ALIGNMENT;
        let aligned = &mut room[from..from + whole];
        aligned.copy_from_slice(&step[..whole]);
        // The cache may take what is refused here; an error that has another cause comes again there.
        if file.write_all_at(aligned, written as u64).is_err() {
            break;
        }
        written += whole;
        give_way();
    }
    fcntl_setfl(file, flags)?;
    Ok(written)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = if folder.as_os_str().is_empty() {
        Path::new(".")
    } else {
        folder
    };
    OpenOptions::new().read(true).open(folder)?.sync_all()
}

impl Store for DirectoryStore {
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        match fs::read(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            bytes => bytes.map(Some),
        }
    }

    fn contains(&self, name: &str) -> io::Result<bool> {
        self.path(name).try_exists()
    }

    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        let (folder, partial) = self.write_partial(name, bytes)?;
        fs::rename(partial, self.path(name))?;
        sync_folder(&folder)
    }

    fn put_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool> {
        let (folder, partial) = self.write_partial(name, bytes)?;
        // Unlike a rename, a link does not take the place of what is there.
        let linked = fs::hard_link(&partial, self.path(name));
        fs::remove_file(&partial)?;
        let is_new = match linked {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => false,
            linked => linked.map(|()| true)?,
        };
        sync_folder(&folder)?;
        Ok(is_new)
    }

    fn list(&self, folder: &str) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        self.collect(&self.path(folder), &mut names)?;
        Ok(names)
    }

    fn delete(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        if remove(&path)? {
            sync_folder(path.parent().unwrap_or(&self.root))?;
        }
        Ok(())
    }

    fn discard(&self, name: &str) -> io::Result<()> {
        remove(&self.path(name)).map(drop)
    }

    fn tidy(&self, before: SystemTime) -> io::Result<u64> {
        Self::tidy_folder(&self.root, before)
    }
}

/// Whether there was such a file.
fn remove(path: &Path) -> io::Result<bool> {
    match fs::remove_file(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        removed => removed.map(|()| true),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn objects_are_put_read_listed_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(directory.path().join("not/there/yet"));
        assert_eq!(store.list("chunks").unwrap(), Vec::<String>::new());
        assert_eq!(store.get("chunks/ab/c").unwrap(), None);
        store.put("chunks/ab/c", b"1").unwrap();
        store.put("chunks/ab/c", b"2").unwrap();
        assert_eq!(store.get("chunks/ab/c").unwrap(), Some(b"2".to_vec()));
        assert!(!store.put_new("chunks/ab/c", b"3").unwrap());
        assert!(store.put_new("chunks/d", b"4").unwrap());
        assert!(store.contains("chunks/d").unwrap() && !store.contains("d").unwrap());
        let mut names = store.list("chunks").unwrap();
        names.sort();
        assert_eq!(names, ["chunks/ab/c", "chunks/d"]);
        store.delete("chunks/d").unwrap();
        store.delete("chunks/d").unwrap();
        assert_eq!(store.list("").unwrap(), ["chunks/ab/c"]);
    }

    #[test]
    fn objects_of_any_length_come_back() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(directory.path());
        let bytes: Vec<u8> = (0..=250).cycle().take(4 * STEP_BYTES).collect();
        let around = |length: usize| [length - 1, length, length + 1];
        let lengths = [1, ALIGNMENT, STEP_BYTES, STEP_BYTES + ALIGNMENT, 3 * STEP_BYTES];
        for length in lengths.into_iter().flat_map(around) {
            // Wherever it lies in memory.
            for from in [0, 1, 4095] {
                let object = &bytes[from..from + length];
                store.put("chunks/a", object).unwrap();
                let found = store.get("chunks/a").unwrap().unwrap();
                assert!(found == object, "{length} bytes from {from}");
            }
        }
    }

    #[test]
    fn a_disk_that_takes_nothing_is_an_error_whatever_the_length() {
        for length in [1, STEP_BYTES + 1] {
            let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
            let error = fill(&full, &vec![1; length]).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::StorageFull);
        }
    }

    #[test]
    fn what_a_crash_has_left_is_no_object() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(directory.path());
        let (_, partial) = store.write_partial("chunks/a", b"half").unwrap();
        assert_eq!(store.list("chunks").unwrap(), Vec::<String>::new());
        let written = fs::metadata(partial).unwrap().modified().unwrap();
        assert_eq!(store.tidy(written).unwrap(), 0, "somebody may be writing it");
        let later = written + Duration::from_secs(1);
        assert_eq!((store.tidy(later).unwrap(), store.tidy(later).unwrap()), (1, 0));
    }

    #[test]
    fn a_file_that_another_process_writes_is_not_written_over() {
        let directory = tempfile::tempdir().unwrap();
        // Of two machines, on which both processes have the same number.
        let (one, other) = (
            DirectoryStore::new(directory.path()),
            DirectoryStore::new(directory.path()),
        );
        let (_, first) = one.write_partial("chunks/a", b"first").unwrap();
        let (_, second) = other.write_partial("chunks/a", b"second").unwrap();
        assert_eq!(
            (fs::read(first).unwrap(), fs::read(second).unwrap()),
            (b"first".to_vec(), b"second".to_vec())
        );
    }
}
