//! Session tokens that were opened lately: what they say, so that the next request of a session opens nothing.
//!
//! Opening a token means decoding, decrypting and reading it, which costs more than the rest of a verification. What is kept
//! is found by the SHA-256 of token, access key and epoch of the store ([`CredentialStore::session_epoch`]), so that an entry
//! serves exactly the question that it answered. Invariants: a session that has expired is never served; there are never
//! more entries than the bound. Not here: when expired ones are swept out (`verify.rs`), and whether the session's user or
//! role is still there, which a token does not know.
//!
//! [`CredentialStore::session_epoch`]: crate::CredentialStore::session_epoch

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use sha2::{Digest, Sha256};

use super::Timestamp;
use crate::principal::Credential;

const SHARDS: usize = 16;

/// Names an opened token.
pub(super) type SessionKey = [u8; 32];

type Shard = HashMap<SessionKey, Credential>;

/// See the head of the file. Sharded, so that connections rarely meet.
pub(super) struct SessionCache {
    shards: [RwLock<Shard>; SHARDS],
    shard_entries_max: usize,
}

/// The key of a token that comes with an access key, under an epoch of the store.
pub(super) fn session_key(epoch: u64, access_key_id: &str, token: &str) -> SessionKey {
    let length = u64::try_from(access_key_id.len()).unwrap_or(u64::MAX);
    let mut hasher = Sha256::new();
    hasher.update(epoch.to_le_bytes());
    hasher.update(length.to_le_bytes());
    hasher.update(access_key_id);
    hasher.update(token);
    hasher.finalize().into()
}

/// Whether a credential is good at a time, as far as both are known.
fn is_good(credential: &Credential, now: Option<Timestamp>) -> bool {
    match (credential.expires_at, now) {
        (Some(expires_at), Some(now)) => now < expires_at,
        _ => true,
    }
}

impl SessionCache {
    /// A cache of at most `entries_max` sessions, rounded up to a multiple of the number of shards.
    pub(super) fn new(entries_max: usize) -> Self {
        Self {
            shards: std::array::from_fn(|_| RwLock::default()),
            shard_entries_max: entries_max.div_ceil(SHARDS).max(1),
        }
    }

    /// What a token says, if it was opened before and the session has not expired.
    pub(super) fn get(&self, key: &SessionKey, now: Option<Timestamp>) -> Option<Credential> {
        let shard = self.shard(key).read().unwrap_or_else(PoisonError::into_inner);
        shard
            .get(key)
            .filter(|credential| is_good(credential, now))
            .cloned()
    }

    /// Keeps what a token says until the session expires.
    pub(super) fn keep(&self, key: SessionKey, credential: &Credential, now: Option<Timestamp>) {
        if !is_good(credential, now) {
            return;
        }
        let mut shard = self.shard(&key).write().unwrap_or_else(PoisonError::into_inner);
        if shard.len() >= self.shard_entries_max && !shard.contains_key(&key) {
            shard.retain(|_, credential| is_good(credential, now));
            if shard.len() >= self.shard_entries_max
                && let Some(victim) = shard.keys().next().copied()
            {
                shard.remove(&victim);
            }
        }
        shard.insert(key, credential.clone());
    }

    /// Lets go of the sessions that have expired, and so of their secrets.
    pub(super) fn forget_expired(&self, now: Timestamp) {
        for shard in &self.shards {
            let mut shard = shard.write().unwrap_or_else(PoisonError::into_inner);
            shard.retain(|_, credential| is_good(credential, Some(now)));
        }
    }

    fn shard(&self, key: &SessionKey) -> &RwLock<Shard> {
        &self.shards[usize::from(key[0]) % SHARDS]
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::principal::{Principal, SecretKey};

    fn credential(expires_at_s: u64) -> Credential {
        Credential {
            secret: SecretKey::new("s".to_owned()),
            principal: Arc::new(Principal::root("ASIA1", "000000000000")),
            expires_at: Some(at(expires_at_s)),
        }
    }

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_unix_s(seconds)
    }

    fn held(cache: &SessionCache) -> usize {
        cache.shards.iter().map(|shard| shard.read().unwrap().len()).sum()
    }

    #[test]
    fn a_session_is_served_until_it_expires_and_no_longer() {
        let cache = SessionCache::new(100);
        let key = session_key(1, "ASIA1", "token");
        assert!(cache.get(&key, Some(at(0))).is_none());
        cache.keep(key, &credential(100), Some(at(0)));
        assert!(cache.get(&key, Some(at(99))).is_some());
        assert!(cache.get(&key, Some(at(100))).is_none());
        // One that has expired is not taken in.
        cache.forget_expired(at(100));
        cache.keep(key, &credential(100), Some(at(100)));
        assert_eq!(held(&cache), 0);
    }

    #[test]
    fn each_part_of_the_question_makes_another_key() {
        let mut keys = vec![
            session_key(1, "ASIA1", "token"),
            session_key(2, "ASIA1", "token"),
            session_key(1, "ASIA2", "token"),
            session_key(1, "ASIA1", "tokem"),
            session_key(1, "ASIA1t", "oken"),
        ];
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), 5);
    }

    #[test]
    fn the_secret_of_a_session_goes_with_it() {
        let cache = SessionCache::new(100);
        let (short, long) = (credential(10), credential(20));
        cache.keep(session_key(1, "ASIA1", "a"), &short, Some(at(0)));
        cache.keep(session_key(1, "ASIA1", "b"), &long, Some(at(0)));
        assert_eq!(short.secret.owners(), 2);
        cache.forget_expired(at(10));
        // The last owner wipes it.
        assert_eq!((short.secret.owners(), long.secret.owners()), (1, 2));
    }

    #[test]
    fn the_bound_holds_and_expired_sessions_go_first() {
        let cache = SessionCache::new(SHARDS * 2);
        let key = |number: u32| session_key(1, "ASIA1", &number.to_string());
        for number in 0..500 {
            cache.keep(key(number), &credential(10), Some(at(0)));
        }
        assert_eq!(held(&cache), SHARDS * 2);
        for number in 0..500 {
            cache.keep(key(number), &credential(20), Some(at(15)));
        }
        assert_eq!(held(&cache), SHARDS * 2);
        cache.forget_expired(at(15));
        assert_eq!(held(&cache), SHARDS * 2, "all that had expired made room first");
        let served = (0..500).filter(|number| cache.get(&key(*number), Some(at(16))).is_some());
        assert_eq!(served.count(), SHARDS * 2);
    }
}
