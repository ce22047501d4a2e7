//! The key pair of a development node: made once, kept beside its data, so that a restart keeps clients working.

use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};
use stator_iam::SecretKey;

use super::private_file;

/// File in the data directory.
const FILE: &str = "dev-credentials.json";
/// Characters after the prefix of an access key id.
const ID_CHARACTERS: usize = 16;
const SECRET_CHARACTERS: usize = 40;

/// An access key and its secret.
#[derive(Debug, Clone)]
pub(crate) struct KeyPair {
    pub(crate) access_key_id: String,
    pub(crate) secret: SecretKey,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    access_key_id: String,
    secret_access_key: String,
}

/// The key pair of a data directory, made with `random` when it has none.
///
/// # Errors
/// When the file cannot be read, written or understood.
pub(crate) fn load_or_make(
    directory: &Path,
    random: impl Fn(&mut [u8]) -> io::Result<()>,
) -> io::Result<KeyPair> {
    let path = directory.join(FILE);
    let stored = match fs::read(&path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map_err(|error| {
            io::Error::other(format!(
                "{} cannot be read ({error}); remove it to get a new key pair",
                path.display()
            ))
        })?,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let stored = make(random)?;
            private_file::write(&path, &serde_json::to_vec(&stored)?)?;
            stored
        }
        Err(error) => return Err(error),
    };
    Ok(stored.into())
}

impl From<Stored> for KeyPair {
    fn from(stored: Stored) -> Self {
        Self {
            access_key_id: stored.access_key_id,
            secret: SecretKey::new(stored.secret_access_key),
        }
    }
}

/// A new key pair.
///
/// # Errors
/// When `random` fails.
pub(super) fn make_pair(random: impl Fn(&mut [u8]) -> io::Result<()>) -> io::Result<KeyPair> {
    make(random).map(KeyPair::from)
}

fn make(random: impl Fn(&mut [u8]) -> io::Result<()>) -> io::Result<Stored> {
    const ID: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    // Sixty-four characters, so that six random bits choose one; no character needs quoting in a shell.
    const SECRET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut bytes = [0; ID_CHARACTERS + SECRET_CHARACTERS];
    random(&mut bytes)?;
    let (id, secret) = bytes.split_at(ID_CHARACTERS);
    let pick = |alphabet: &[u8], byte: &u8| char::from(alphabet[usize::from(*byte) % alphabet.len()]);
    Ok(Stored {
        access_key_id: format!("AKIA{}", id.iter().map(|byte| pick(ID, byte)).collect::<String>()),
        secret_access_key: secret.iter().map(|byte| pick(SECRET, byte)).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_pair_stays_the_same_and_is_private() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let first = load_or_make(directory.path(), crate::random::fill).unwrap();
        let second = load_or_make(directory.path(), |_| Err(io::Error::other("not asked again"))).unwrap();
        assert_eq!(first.access_key_id, second.access_key_id);
        assert_eq!(first.secret.expose(), second.secret.expose());
        assert_eq!((first.access_key_id.len(), first.secret.expose().len()), (20, 40));
        let mode = fs::metadata(directory.path().join(FILE))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600);
    }
}
