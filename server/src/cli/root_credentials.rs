//! The key pair of a cluster's root principal in a file, in the form of the AWS command line's shared credentials, so that
//! `AWS_SHARED_CREDENTIALS_FILE` can name it.

use stator_iam::SecretKey;
use zeroize::Zeroizing;

use super::credentials::KeyPair;

/// File in a node's directory.
pub(super) const FILE: &str = "root-credentials";

const PROFILE: &str = "[default]";
const ID: &str = "aws_access_key_id";
const SECRET: &str = "aws_secret_access_key";

/// What the file of a key pair says.
pub(super) fn to_text(keys: &KeyPair) -> Zeroizing<String> {
    Zeroizing::new(format!(
        "{PROFILE}\n{ID} = {}\n{SECRET} = {}\n",
        keys.access_key_id,
        keys.secret.expose()
    ))
}

/// Reads what [`to_text`] has written; comments and empty lines are skipped.
///
/// # Errors
/// A sentence that says which line is not understood, or what is missing.
pub(super) fn parse(text: &str) -> Result<KeyPair, String> {
    let (mut id, mut secret) = (None, None);
    for line in text.lines().map(str::trim) {
        if line.is_empty() || line.starts_with('#') || line == PROFILE {
            continue;
        }
        let slot = match line
            .split_once('=')
            .map(|(name, value)| (name.trim(), value.trim()))
        {
            Some((ID, value)) if !value.is_empty() => id.replace(value),
            Some((SECRET, value)) if !value.is_empty() => secret.replace(value),
            _ => return Err(format!("a line is neither {PROFILE}, {ID} = … nor {SECRET} = …")),
        };
        if slot.is_some() {
            return Err("a value is given twice".to_owned());
        }
    }
    match (id, secret) {
        (Some(id), Some(secret)) => Ok(KeyPair {
            access_key_id: id.to_owned(),
            secret: SecretKey::new(secret.to_owned()),
        }),
        (None, _) => Err(format!("{ID} is missing")),
        (_, None) => Err(format!("{SECRET} is missing")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::credentials;

    #[test]
    fn what_is_written_is_read_back() {
        let keys = credentials::make_pair(crate::random::fill).unwrap();
        let again = parse(&format!("# root\n\n{}", &*to_text(&keys))).unwrap();
        assert_eq!(again.access_key_id, keys.access_key_id);
        assert_eq!(again.secret.expose(), keys.secret.expose());
    }

    #[test]
    fn what_is_wrong_is_named_without_the_secret() {
        assert_eq!(
            parse("aws_access_key_id = A").unwrap_err(),
            "aws_secret_access_key is missing"
        );
        assert!(
            parse("[default]")
                .unwrap_err()
                .contains("aws_access_key_id is missing")
        );
        let error = parse("aws_secret_key = hush").unwrap_err();
        assert!(!error.contains("hush"), "{error}");
        assert!(
            parse("aws_access_key_id = A\naws_access_key_id = B")
                .unwrap_err()
                .contains("twice")
        );
    }
}
