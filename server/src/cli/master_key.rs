//! Master keys: that of a development node is made once and kept beside its data; those of a cluster come from where its
//! configuration says (`fetch.rs`).
//!
//! Invariant: a key is never made for data that is encrypted already; losing the file loses the data, and says so.

pub(crate) mod fetch;
pub(crate) mod vault;

use std::fs;
use std::io;
use std::path::Path;

use stator_cluster::{Cluster, MASTER_KEY_BYTES, MasterKey};
use zeroize::Zeroizing;

use super::private_file;

/// File in the data directory.
pub(crate) const FILE: &str = "master.key";

/// The master key of a data directory whose encrypted files lie in `data`, made with `random` when there are none yet.
///
/// # Errors
/// When the file cannot be read, written or understood, or is missing beside encrypted data.
pub(crate) fn load_or_make(
    directory: &Path,
    data: &Path,
    random: impl Fn(&mut [u8]) -> io::Result<()>,
) -> io::Result<MasterKey> {
    let path = directory.join(FILE);
    match fs::read_to_string(&path) {
        Ok(text) => text
            .parse()
            .map_err(|error| io::Error::other(format!("{}: {error}", path.display()))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            if Cluster::is_encrypted(data) {
                return Err(io::Error::other(format!(
                    "the data is encrypted, but {} is missing; put it back, or choose another data directory",
                    path.display()
                )));
            }
            let key = make(random)?;
            private_file::write(&path, to_text(&key).as_bytes())?;
            Ok(key)
        }
        Err(error) => Err(error),
    }
}

/// A new key.
///
/// # Errors
/// When `random` fails.
pub(super) fn make(random: impl Fn(&mut [u8]) -> io::Result<()>) -> io::Result<MasterKey> {
    let mut bytes = Zeroizing::new([0; MASTER_KEY_BYTES]);
    random(&mut bytes[..])?;
    Ok(MasterKey::new(*bytes))
}

/// What the file of a key says.
pub(super) fn to_text(key: &MasterKey) -> Zeroizing<String> {
    let mut text = key.to_hex();
    text.push('\n');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_key_stays_the_same() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let first = load_or_make(directory.path(), &data, crate::random::fill).unwrap();
        let again = load_or_make(directory.path(), &data, |_| {
            Err(io::Error::other("not asked again"))
        })
        .unwrap();
        assert_eq!(first.id(), again.id());
    }

    #[test]
    fn no_key_is_made_for_data_that_is_encrypted_already() {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        fs::create_dir(&data).unwrap();
        fs::write(data.join("KEYS"), "").unwrap();
        let error = load_or_make(directory.path(), &data, crate::random::fill).unwrap_err();
        assert!(error.to_string().contains("master.key is missing"), "{error}");
        fs::write(directory.path().join(FILE), "no key").unwrap();
        assert!(load_or_make(directory.path(), &data, crate::random::fill).is_err());
    }
}
