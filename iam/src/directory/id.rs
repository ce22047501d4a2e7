//! Ids of entities, access key ids and secrets, made of random bytes.
//!
//! Source of the forms: AWS IAM User Guide, "IAM identifiers" (unique ids). Invariant: an id is never used twice; that is
//! the affair of the random bytes, of which there are enough.

use zeroize::Zeroizing;

use crate::principal::SecretKey;

/// Random bytes that an id of an entity takes.
pub const ENTITY_RANDOM_BYTES: usize = 17;
/// Random bytes that an access key takes: its id, then its secret.
pub const KEY_RANDOM_BYTES: usize = 16 + 40;

/// Of an id of an access key that belongs to a user.
pub const USER_KEY: &str = "AKIA";
/// Of an id of an access key that belongs to a session.
pub const SESSION_KEY: &str = "ASIA";

/// RFC 4648, as AWS's ids use it.
const BASE32: &[u8; 32] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
/// Sixty-four characters, so that six random bits choose one; no character needs quoting in a shell.
const SECRET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

/// The id of a new entity, such as `AIDACKCEVSQ6C2EXAMPLE`.
pub(super) fn entity(prefix: &str, random: &[u8; ENTITY_RANDOM_BYTES]) -> String {
    format!(
        "{prefix}{}",
        random.iter().copied().map(base32).collect::<String>()
    )
}

/// Id and secret of a new access key, `AKIA...` or `ASIA...`.
pub fn access_key(prefix: &str, random: &Zeroizing<[u8; KEY_RANDOM_BYTES]>) -> (String, SecretKey) {
    let (id, secret) = random.split_at(16);
    let id = format!("{prefix}{}", id.iter().copied().map(base32).collect::<String>());
    // Allocated whole, so that no part of the secret is left behind in a buffer that was too small.
    let mut text = String::with_capacity(secret.len());
    text.extend(
        secret
            .iter()
            .map(|byte| char::from(SECRET[usize::from(*byte % 64)])),
    );
    (id, SecretKey::new(text))
}

fn base32(byte: u8) -> char {
    char::from(BASE32[usize::from(byte % 32)])
}

#[cfg(test)]
mod tests {
    use super::{ENTITY_RANDOM_BYTES, KEY_RANDOM_BYTES, USER_KEY, access_key, entity};
    use zeroize::Zeroizing;

    #[test]
    fn ids_have_aws_forms() {
        let mut random = [0; ENTITY_RANDOM_BYTES];
        random[0] = 25;
        random[16] = 255;
        assert_eq!(entity("AIDA", &random), "AIDAZAAAAAAAAAAAAAAA7");
        let mut random = [1; KEY_RANDOM_BYTES];
        random[55] = 191;
        let (id, secret) = access_key(USER_KEY, &Zeroizing::new(random));
        assert_eq!(id, "AKIABBBBBBBBBBBBBBBB");
        assert_eq!(secret.expose(), format!("{}/", "B".repeat(39)));
    }
}
