//! Signing keys: derived from a secret for one day, region and service, and cached in their ready-keyed HMAC form.
//!
//! Deriving costs four HMACs (ten SHA-256 blocks and more), the cached form one clone. Invariants of the cache: it
//! never serves a key that was derived from another secret than the present one, never holds more than its bound, and keeps
//! keys of sessions no longer than told to (`forget_expired`).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{PoisonError, RwLock};

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use zeroize::Zeroizing;

use super::{Authorization, TERMINATOR, Timestamp};
use crate::principal::{Credential, SecretKey};

/// HMAC-SHA256 with its key already absorbed. Zeroized on drop by the `zeroize` feature of `hmac`.
pub(super) type KeyedHmac = Hmac<Sha256>;

const SHARDS: usize = 16;

/// Derives the signing key. Source: AWS IAM User Guide, "Create a signed AWS API request", step 4.
fn derive(secret: &SecretKey, day: &str, region: &str, service: &str) -> KeyedHmac {
    let secret = secret.expose().as_bytes();
    let mut first = Zeroizing::new(Vec::with_capacity(4 + secret.len()));
    first.extend_from_slice(b"AWS4");
    first.extend_from_slice(secret);
    let mut hmac = keyed(&first);
    for message in [day, region, service, TERMINATOR] {
        hmac.update(message.as_bytes());
        let mut key = Zeroizing::new([0u8; 32]);
        key.copy_from_slice(&hmac.finalize().into_bytes());
        hmac = keyed(&*key);
    }
    hmac
}

/// HMAC takes a key of any length (RFC 2104, section 2), so there is no error to pass on.
#[expect(clippy::expect_used, reason = "HMAC is defined for keys of every length")]
fn keyed(key: &[u8]) -> KeyedHmac {
    KeyedHmac::new_from_slice(key).expect("HMAC takes keys of every length")
}

struct Entry {
    secret: SecretKey,
    key: KeyedHmac,
    /// Of a session.
    expires_at: Option<Timestamp>,
}

/// Signing keys by credential (`keyid/day/region/service/aws4_request`). Sharded, so that connections rarely meet.
pub(super) struct SigningKeyCache {
    shards: [RwLock<HashMap<Box<str>, Entry>>; SHARDS],
    hasher: RandomState,
    shard_entries_max: usize,
}

impl SigningKeyCache {
    /// A cache of at most `entries_max` keys, rounded up to a multiple of the number of shards.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            hasher: RandomState::new(),
            shard_entries_max: entries_max.div_ceil(SHARDS).max(1),
        }
    }

    /// The signing key for the scope of `authorization` under the secret of `credential`, cached or derived now.
    pub(super) fn get(&self, authorization: &Authorization<'_>, credential: &Credential) -> KeyedHmac {
        let secret = &credential.secret;
        let shard = self.shard(&authorization.credential);
        {
            let entries = shard.read().unwrap_or_else(PoisonError::into_inner);
            if let Some(entry) = entries.get(&*authorization.credential)
                && entry.secret.same_as(secret)
            {
                return entry.key.clone();
            }
        }
        let key = derive(
            secret,
            authorization.day(),
            authorization.region(),
            authorization.service(),
        );
        let entry = Entry {
            secret: secret.clone(),
            key: key.clone(),
            expires_at: credential.expires_at,
        };
        let mut entries = shard.write().unwrap_or_else(PoisonError::into_inner);
        if entries.len() >= self.shard_entries_max && !entries.contains_key(&*authorization.credential) {
            make_room(&mut entries, authorization.day(), self.shard_entries_max);
        }
        entries.insert((&*authorization.credential).into(), entry);
        key
    }

    /// Lets go of the keys of sessions that have expired.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut entries = shard.write().unwrap_or_else(PoisonError::into_inner);
            entries.retain(|_, entry| entry.expires_at.is_none_or(|expires_at| now < expires_at));
        }
    }

    fn shard(&self, credential: &str) -> &RwLock<HashMap<Box<str>, Entry>> {
        let hash = self.hasher.hash_one(credential).to_le_bytes();
        &self.shards[usize::from(hash[0]) % SHARDS]
    }
}

/// Drops the keys of other days, which are of no more use, and failing that any one.
fn make_room(entries: &mut HashMap<Box<str>, Entry>, day: &str, entries_max: usize) {
    entries.retain(|credential, _| credential.split('/').nth(1) == Some(day));
    if entries.len() >= entries_max
        && let Some(victim) = entries.keys().next().cloned()
    {
        entries.remove(&victim);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use hmac::Mac;

    use super::{KeyedHmac, SHARDS, SigningKeyCache, derive};
    use crate::principal::{Credential, Principal, SecretKey};
    use crate::sigv4::{Authorization, Timestamp};

    fn secret(text: &str) -> Credential {
        Credential {
            secret: SecretKey::new(text.to_owned()),
            principal: Arc::new(Principal::root("AKID", "000000000000")),
            expires_at: None,
        }
    }

    fn authorization(credential: &str) -> Authorization<'_> {
        Authorization::of_credential(credential)
    }

    fn tag(key: &KeyedHmac) -> Vec<u8> {
        key.clone()
            .chain_update(b"message")
            .finalize()
            .into_bytes()
            .to_vec()
    }

    fn held(cache: &SigningKeyCache) -> usize {
        cache.shards.iter().map(|shard| shard.read().unwrap().len()).sum()
    }

    #[test]
    fn a_key_is_derived_once_and_then_served_from_the_cache() {
        let cache = SigningKeyCache::new(100);
        let (credential, secret) = ("AKID/20150830/us-east-1/dynamodb/aws4_request", secret("s"));
        let derived = tag(&derive(&secret.secret, "20150830", "us-east-1", "dynamodb"));
        for _ in 0..3 {
            assert_eq!(tag(&cache.get(&authorization(credential), &secret)), derived);
            assert_eq!(held(&cache), 1);
        }
    }

    #[test]
    fn each_part_of_the_scope_makes_another_key() {
        let cache = SigningKeyCache::new(100);
        let secret = secret("s");
        let mut tags: Vec<_> = [
            "AKID/20150830/us-east-1/dynamodb/aws4_request",
            "AKID/20150831/us-east-1/dynamodb/aws4_request",
            "AKID/20150830/us-east-2/dynamodb/aws4_request",
            "AKID/20150830/us-east-1/iam/aws4_request",
        ]
        .iter()
        .map(|credential| tag(&cache.get(&authorization(credential), &secret)))
        .collect();
        tags.sort();
        tags.dedup();
        assert_eq!((tags.len(), held(&cache)), (4, 4));
    }

    #[test]
    fn a_changed_secret_is_not_served_the_old_key() {
        let cache = SigningKeyCache::new(100);
        let authorization = authorization("AKID/20150830/us-east-1/dynamodb/aws4_request");
        let old = tag(&cache.get(&authorization, &secret("old")));
        let new = tag(&cache.get(&authorization, &secret("new")));
        assert_ne!(old, new);
        assert_eq!(
            new,
            tag(&derive(
                &secret("new").secret,
                "20150830",
                "us-east-1",
                "dynamodb"
            ))
        );
        assert_eq!(held(&cache), 1);
    }

    #[test]
    fn the_bound_holds_and_old_days_go_first() {
        let cache = SigningKeyCache::new(SHARDS);
        let secret = secret("s");
        for key in 0..200 {
            cache.get(
                &authorization(&format!("AKID{key}/20150830/r/dynamodb/aws4_request")),
                &secret,
            );
        }
        assert_eq!(held(&cache), SHARDS);
        for key in 0..200 {
            cache.get(
                &authorization(&format!("AKID{key}/20150831/r/dynamodb/aws4_request")),
                &secret,
            );
        }
        assert_eq!(held(&cache), SHARDS);
        let old = cache
            .shards
            .iter()
            .flat_map(|shard| shard.read().unwrap().keys().cloned().collect::<Vec<_>>());
        assert_eq!(
            old.filter(|credential| credential.contains("/20150830/")).count(),
            0
        );
    }

    #[test]
    fn keys_of_sessions_go_when_they_have_expired() {
        let cache = SigningKeyCache::new(100);
        let session = Credential {
            expires_at: Some(Timestamp::from_unix_s(100)),
            ..secret("s")
        };
        cache.get(&authorization("ASIA/20150830/r/dynamodb/aws4_request"), &session);
        cache.get(
            &authorization("AKID/20150830/r/dynamodb/aws4_request"),
            &secret("t"),
        );
        cache.forget_expired(Timestamp::from_unix_s(99));
        assert_eq!((held(&cache), session.secret.owners()), (2, 2));
        cache.forget_expired(Timestamp::from_unix_s(100));
        assert_eq!((held(&cache), session.secret.owners()), (1, 1));
    }
}
