//! Where an archive lies: objects by name.

mod directory;

use std::fmt::Debug;
use std::io;
use std::time::SystemTime;

pub use directory::DirectoryStore;

/// A place for objects. Names are ASCII letters, digits and `-_.`, in folders that `/` separates.
pub trait Store: Send + Sync + Debug {
    /// The object of a name; `None` if there is none.
    ///
    /// # Errors
    /// What the place says.
    fn get(&self, name: &str) -> io::Result<Option<Vec<u8>>>;

    /// Whether there is an object of a name.
    ///
    /// # Errors
    /// What the place says.
    fn contains(&self, name: &str) -> io::Result<bool>;

    /// Puts an object, in the place of one that is there. It is durable when this returns, and never seen in part.
    ///
    /// # Errors
    /// What the place says.
    fn put(&self, name: &str, bytes: &[u8]) -> io::Result<()>;

    /// Puts an object if there is none of the name; `false` if there is one. Of many who do so at once, one succeeds.
    ///
    /// # Errors
    /// What the place says.
    fn put_new(&self, name: &str, bytes: &[u8]) -> io::Result<bool>;

    /// The names of all objects below a folder, in no order.
    ///
    /// # Errors
    /// What the place says.
    fn list(&self, folder: &str) -> io::Result<Vec<String>>;

    /// Removes an object, durably; one that is not there is no error.
    ///
    /// # Errors
    /// What the place says.
    fn delete(&self, name: &str) -> io::Result<()>;

    /// Removes an object that may come back after a power cut; one that is not there is no error.
    ///
    /// # Errors
    /// What the place says.
    fn discard(&self, name: &str) -> io::Result<()>;

    /// Removes what was written in part before a moment, by somebody who has not come back; gives how many there were.
    ///
    /// # Errors
    /// What the place says.
    fn tidy(&self, before: SystemTime) -> io::Result<u64>;
}
