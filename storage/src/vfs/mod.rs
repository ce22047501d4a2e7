//! The disk as an argument: what the engine asks of a file system.
//!
//! Invariant: the engine reaches a disk through these two traits only, so that a simulated disk ([`mem`]) can cut the
//! power after any operation and a faulty one ([`fault`]) can refuse any. Not here: what is written.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

pub mod fault;
pub mod mem;
pub mod posix;
pub mod watched;

/// A file system. Paths are taken as they are; the engine passes paths below its own directory only.
pub trait Vfs: Send + Sync + fmt::Debug {
    /// Creates a directory and those above it; it is no error if they exist. Durable on return.
    ///
    /// # Errors
    ///
    /// Those of `mkdir(2)`, except `EEXIST`.
    fn create_dir_all(&self, path: &Path) -> io::Result<()>;

    /// Creates an empty file for reading and writing. Its name is durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if there is a file of this name; otherwise those of `open(2)`.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Opens a file that exists for reading and writing.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::NotFound`] if there is none; otherwise those of `open(2)`.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;

    /// Gives a file a second name. Durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] if there is a file of the new name; [`io::ErrorKind::CrossesDevices`] if the two
    /// lie on different file systems; otherwise those of `link(2)`.
    fn hard_link(&self, existing: &Path, name: &Path) -> io::Result<()>;

    /// Removes a file's name.
    ///
    /// # Errors
    ///
    /// Those of `unlink(2)`.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Renames a file, replacing what has the new name. Durable only after [`Vfs::sync_dir`].
    ///
    /// # Errors
    ///
    /// Those of `rename(2)`.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// The names of the files in a directory, in no particular order.
    ///
    /// # Errors
    ///
    /// Those of `readdir(3)`.
    fn list(&self, directory: &Path) -> io::Result<Vec<String>>;

    /// Makes creations, renames and removals in a directory durable.
    ///
    /// # Errors
    ///
    /// Those of `fsync(2)`.
    fn sync_dir(&self, directory: &Path) -> io::Result<()>;

    /// Bytes that files may still get on the disk of a directory; [`u64::MAX`] if nothing bounds them.
    ///
    /// # Errors
    ///
    /// Those of `statvfs(3)`.
    fn free_bytes(&self, directory: &Path) -> io::Result<u64>;

    /// Takes an exclusive lock on a file, creating it if need be, until the returned guard is dropped or the process
    /// ends.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::WouldBlock`] if it is locked already; otherwise those of `open(2)` and `flock(2)`.
    fn lock(&self, path: &Path) -> io::Result<Box<dyn LockGuard>>;
}

/// An open file. Reads and writes name their offset, so that a file can be shared between threads.
pub trait File: Send + Sync + fmt::Debug {
    /// The size in bytes.
    ///
    /// # Errors
    ///
    /// Those of `fstat(2)`.
    fn size(&self) -> io::Result<u64>;

    /// Fills `buffer` from `offset` on.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::UnexpectedEof`] if the file ends before; otherwise those of `pread(2)`.
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()>;

    /// Writes all of `buffer` at `offset`, growing the file if need be. Not durable before [`File::sync_data`].
    ///
    /// # Errors
    ///
    /// Those of `pwrite(2)`; some of the bytes may have been written.
    fn write_all_at(&self, buffer: &[u8], offset: u64) -> io::Result<()>;

    /// Makes the file `bytes` long, filled with zeros that really lie on the disk, so that a later sync of data written
    /// into it needs no change of metadata. Only for a file that was just created.
    ///
    /// # Errors
    ///
    /// Those of `fallocate(2)`, `pwrite(2)` and `fdatasync(2)`.
    fn preallocate(&self, bytes: u64) -> io::Result<()>;

    /// Cuts the file to `bytes`. Durable after [`File::sync_data`].
    ///
    /// # Errors
    ///
    /// Those of `ftruncate(2)`.
    fn truncate(&self, bytes: u64) -> io::Result<()>;

    /// Makes everything written so far durable, with the size of the file.
    ///
    /// # Errors
    ///
    /// Those of `fdatasync(2)`. After an error nobody knows what the disk holds; calling again proves nothing.
    fn sync_data(&self) -> io::Result<()>;
}

/// Holds the lock of a directory until it is dropped.
pub trait LockGuard: Send + Sync + fmt::Debug {}
