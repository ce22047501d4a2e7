//! Principals and their credentials: the access key id and secret that a request is signed with, and the ARN it
//! then acts as.
//!
//! Invariant: a secret is never printed and is overwritten when its last owner drops it. Where credentials are kept,
//! and how they are encrypted there, is the affair of whoever implements [`CredentialStore`].

use std::fmt;
use std::sync::Arc;

use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::sigv4::Timestamp;

/// A secret access key. Clones share one allocation, which is zeroized with the last of them.
#[derive(Clone)]
pub struct SecretKey(Arc<Zeroizing<String>>);

impl SecretKey {
    /// Takes over `secret`; the buffer is not copied, so no second copy is left behind.
    pub fn new(secret: String) -> Self {
        Self(Arc::new(Zeroizing::new(secret)))
    }

    /// The secret itself. Do not store or log what this returns.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// How many share the secret.
    #[cfg(test)]
    pub(crate) fn owners(&self) -> usize {
        Arc::strong_count(&self.0)
    }

    /// Whether both hold the same secret. Takes the same time wherever the first difference lies.
    pub(crate) fn same_as(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.0.as_bytes().ct_eq(other.0.as_bytes()).into()
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey(redacted)")
    }
}

/// What a principal is an identity of. There is no default, so that nobody is root by omission.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identity {
    /// The owner of the account.
    Root,
    /// A user, or a session of one by `GetSessionToken`.
    User {
        /// The user's id, `AIDA...`: it stays when the user is renamed, and is never used again.
        id: String,
    },
    /// A session of a role by `AssumeRole`.
    Role {
        /// The role's id, `AROA...`.
        id: String,
        /// The name of the session.
        session_name: String,
    },
}

/// What a temporary credential says beside its principal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Session {
    /// When it was issued.
    pub issued_at_s: u64,
    /// When it expires.
    pub expires_at_s: u64,
    /// The documents that cut what the session may do: given with the call, and those of managed policies that were named.
    /// `None`: it is not cut.
    pub policies: Option<Vec<String>>,
    /// Tags of the session, `aws:PrincipalTag/...`, which go over those of the role.
    pub tags: Vec<(String, String)>,
    /// The keys of tags that the next role in a chain takes over.
    pub transitive_tag_keys: Vec<String>,
    /// `sts:SourceIdentity`, once set for all sessions of a chain.
    pub source_identity: Option<String>,
}

/// Who a verified request acts as.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Principal {
    /// The access key the request was signed with, e.g. `AKIAIOSFODNN7EXAMPLE`.
    pub access_key_id: String,
    /// The identity behind the key, e.g. `arn:aws:iam::000000000000:root`.
    pub arn: String,
    /// What it is an identity of.
    pub identity: Identity,
    /// What a temporary credential adds; `None` for a long-term key.
    pub session: Option<Arc<Session>>,
}

impl Principal {
    /// The root of an account (12 digits) with an access key.
    pub fn root(access_key_id: &str, account: &str) -> Self {
        Self {
            access_key_id: access_key_id.to_owned(),
            arn: format!("arn:aws:iam::{account}:root"),
            identity: Identity::Root,
            session: None,
        }
    }
}

/// What a store knows about an access key that is active.
#[derive(Debug, Clone)]
pub struct Credential {
    /// The secret of the access key.
    pub secret: SecretKey,
    /// Who the access key belongs to.
    pub principal: Arc<Principal>,
    /// Until when a temporary credential is good.
    pub expires_at: Option<Timestamp>,
}

/// Where credentials are looked up. Called once per verified request, so an implementation answers from memory.
pub trait CredentialStore {
    /// The credential of an active long-term access key; `None` when there is none, or when it is inactive.
    fn credential(&self, access_key_id: &str) -> Option<Credential>;

    /// The temporary credential that a session token was issued with; `None` when the token was not issued, or not with this
    /// access key. One that has expired is there still.
    fn session(&self, access_key_id: &str, token: &str) -> Option<Credential>;

    /// A number that is another one as soon as [`CredentialStore::session`] might answer otherwise for a token that it has
    /// answered for. A verifier keeps answers as long as it stays; `None`: nothing may be kept.
    fn session_epoch(&self) -> Option<u64> {
        None
    }
}

/// A store of exactly one key pair, such as the one `stator dev --auth` prints.
#[derive(Debug, Clone)]
pub struct StaticCredentials(Credential);

impl StaticCredentials {
    /// A store that knows `secret` for `principal.access_key_id` and nothing else.
    pub fn new(principal: Principal, secret: SecretKey) -> Self {
        Self(Credential {
            secret,
            principal: Arc::new(principal),
            expires_at: None,
        })
    }
}

impl CredentialStore for StaticCredentials {
    fn credential(&self, access_key_id: &str) -> Option<Credential> {
        (access_key_id == self.0.principal.access_key_id).then(|| self.0.clone())
    }

    fn session(&self, _: &str, _: &str) -> Option<Credential> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::{Credential, CredentialStore, Principal, SecretKey, StaticCredentials};

    fn principal() -> Principal {
        Principal::root("AKIDEXAMPLE", "000000000000")
    }

    #[test]
    fn debug_output_never_shows_the_secret() {
        let store = StaticCredentials::new(principal(), SecretKey::new("planted-secret".to_owned()));
        let printed = format!("{store:?}");
        assert!(
            printed.contains("redacted") && printed.contains("AKIDEXAMPLE"),
            "{printed}"
        );
        assert!(!printed.contains("planted-secret"), "{printed}");
    }

    #[test]
    fn static_store_knows_one_key_only() {
        let store = StaticCredentials::new(principal(), SecretKey::new("s".to_owned()));
        let Credential {
            secret, principal, ..
        } = store.credential("AKIDEXAMPLE").unwrap();
        assert_eq!(
            (secret.expose(), principal.arn.as_str()),
            ("s", "arn:aws:iam::000000000000:root")
        );
        assert!(store.credential("AKIDEXAMPL").is_none());
        assert!(store.credential("").is_none());
    }

    #[test]
    fn secrets_compare_by_content() {
        let secret = SecretKey::new("abc".to_owned());
        assert!(secret.same_as(&secret.clone()));
        assert!(secret.same_as(&SecretKey::new("abc".to_owned())));
        assert!(!secret.same_as(&SecretKey::new("abd".to_owned())));
        assert!(!secret.same_as(&SecretKey::new("abcd".to_owned())));
    }
}
