//! An archive in a directory, of one machine or shared by several.
//!
//! Invariant: an object is written beside its place, synced and then renamed, so that it is there as a whole or not at all;
//! the directory is synced before that counts as done. What a crash leaves half written has a name that is no object's.

use std::collections::HashSet;
use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::Store;

/// What the names of files begin with that are being written.
const PARTIAL: &str = ".partial-";

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
        let number = self.written.fetch_add(1, Ordering::Relaxed);
        let partial = folder.join(format!("{PARTIAL}{}-{number}", std::process::id()));
        let written = (|| {
            let mut file = OpenOptions::new()
                .write(true)
                .create(true)
                .truncate(true)
                .open(&partial)?;
            file.write_all(bytes)?;
            file.sync_all()
        })();
        if let Err(error) = written {
            fs::remove_file(&partial).ok();
            return Err(error);
        }
        Ok((folder, partial))
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
        match fs::remove_file(self.path(name)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}

#[cfg(test)]
mod tests {
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
    fn what_a_crash_has_left_is_no_object() {
        let directory = tempfile::tempdir().unwrap();
        let store = DirectoryStore::new(directory.path());
        store.write_partial("chunks/a", b"half").unwrap();
        assert_eq!(store.list("chunks").unwrap(), Vec::<String>::new());
    }
}
