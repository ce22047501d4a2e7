//! The keys of a node's data while it serves: replaced when an operator says so, and when they are old.
//!
//! Invariant: a rotation that fails or is cut short leaves a node that serves on, and data that opens with the keys that the
//! messages name. Not here: where master keys come from (`cli/master_key/`), how files are encrypted.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use stator_cluster::{Cluster, DataKeyId, KeyStatus, MasterKeyId, MasterKeys};

use crate::backup::{Backups, archive_keys};
use crate::clock::Clock;
use crate::config::Rotation;
use crate::identity::store::Identities;
use crate::node::wrapping_keys;

/// How often it is looked whether a data key is too old.
const LOOK: Duration = Duration::from_secs(600);
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// What is to become of a call that takes time.
type Later<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Fetches the master keys anew from where they come from.
pub(crate) type FetchMasterKeys = Arc<dyn Fn() -> Later<Result<MasterKeys, String>> + Send + Sync>;

/// Why keys were not replaced.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RotationError {
    /// It cannot be had, or is the one in use.
    #[error("{0}")]
    MasterKey(String),
    /// The engine has refused.
    #[error(transparent)]
    Cluster(#[from] stator_cluster::Error),
    /// The process ends.
    #[error("the rotation was not carried out: {0}")]
    Ended(#[from] tokio::task::JoinError),
}

/// See the head of the file. Clones share it.
#[derive(Clone)]
pub(crate) struct Keys {
    cluster: Cluster,
    clock: Arc<dyn Clock>,
    fetch: Option<FetchMasterKeys>,
    /// Whose secrets follow from the master key, too.
    identities: Option<Arc<Identities>>,
    /// The same of the archive.
    backups: Option<Arc<Backups>>,
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").finish_non_exhaustive()
    }
}

impl Keys {
    /// The keys of a node; without `fetch` its master key stays what it is.
    pub(crate) fn new(cluster: Cluster, clock: Arc<dyn Clock>, fetch: Option<FetchMasterKeys>) -> Self {
        Self {
            cluster,
            clock,
            fetch,
            identities: None,
            backups: None,
        }
    }

    /// Wraps what secrets of users are sealed with as well, and the key of the archive.
    pub(crate) fn wrapping(mut self, identities: &Arc<Identities>, backups: Option<Arc<Backups>>) -> Self {
        self.backups = backups;
        self.identities = Some(Arc::clone(identities));
        self
    }

    /// The keys, and the files that need them.
    pub(crate) fn status(&self) -> KeyStatus {
        self.cluster.key_status()
    }

    /// Makes a new data key; with `rewrite` the files of older ones are written anew.
    ///
    /// # Errors
    /// [`RotationError::Cluster`] when the disk refuses.
    pub(crate) async fn rotate_data_key(&self, rewrite: bool) -> Result<DataKeyId, RotationError> {
        let cluster = self.cluster.clone();
        let now_ms = self.now_ms();
        let rotate = move || {
            let key = cluster.rotate_data_key(now_ms)?;
            if rewrite {
                cluster.rewrite_old_files()?;
            }
            Ok::<_, stator_cluster::Error>(key)
        };
        let key = tokio::task::spawn_blocking(rotate).await??;
        tracing::info!(data_key = %key, rewrite, "a new data key is in use");
        Ok(key)
    }

    /// Fetches the master key anew and wraps the data keys with it.
    ///
    /// # Errors
    /// [`RotationError::MasterKey`] when there is none or it is the one in use, [`RotationError::Cluster`] when the disk refuses.
    pub(crate) async fn rotate_master_key(&self) -> Result<MasterKeyId, RotationError> {
        let Some(fetch) = &self.fetch else {
            let sentence = "the master key of a development node is made once and stays".to_owned();
            return Err(RotationError::MasterKey(sentence));
        };
        let keys = fetch().await.map_err(RotationError::MasterKey)?;
        let before = self.status().master_key;
        let current = keys.ids().first().copied().unwrap_or(before);
        if current == before {
            return Err(RotationError::MasterKey(format!(
                "the master key is still {before}; put the new one where security.master_key says, keep the old one until \
                 this is done, and try again"
            )));
        }
        if let Some(identities) = &self.identities {
            // First of all: once the data keys are wrapped anew, the old master key may be taken away.
            let learnt = identities.learn(wrapping_keys(&keys)).await;
            learnt.map_err(|error| {
                RotationError::MasterKey(format!(
                    "the keys that secrets of users are sealed with cannot be wrapped now: {error}; keep the old master key and try again"
                ))
            })?;
        }
        if let Some(backups) = &self.backups {
            let learnt = backups.learn(archive_keys(&keys)).await;
            learnt.map_err(|error| {
                RotationError::MasterKey(format!(
                    "the key of the archive cannot be wrapped now: {error}; keep the old master key and try again"
                ))
            })?;
        }
        let cluster = self.cluster.clone();
        tokio::task::spawn_blocking(move || cluster.rotate_master_key(keys)).await??;
        tracing::info!(master_key = %current, %before, "the data keys are wrapped by a new master key");
        Ok(current)
    }

    /// Replaces data keys that are too old, for as long as the node runs.
    pub(crate) async fn keep(self, rotation: Rotation) {
        if rotation.rewrite_files && self.status().data_keys.len() > 1 {
            // A rewriting does not outlive the process that has begun it.
            let cluster = self.cluster.clone();
            let begun = tokio::task::spawn_blocking(move || cluster.rewrite_old_files()).await;
            if let Ok(Err(error)) = begun {
                tracing::warn!(%error, "files of old data keys are not written anew");
            }
        }
        loop {
            let status = self.status();
            let created_ms = status.data_keys.last().map_or(0, |key| key.created_ms);
            if is_due(created_ms, self.now_ms(), rotation.data_key_days)
                && let Err(error) = self.rotate_data_key(rotation.rewrite_files).await
            {
                tracing::warn!(%error, "a data key that is too old stays in use");
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.clock.now_ms()).unwrap_or(0)
    }
}

/// Whether a key that was made then is too old; never if it may have any age.
fn is_due(created_ms: u64, now_ms: u64, days: u32) -> bool {
    days > 0 && now_ms.saturating_sub(created_ms) >= u64::from(days) * DAY_MS
}

#[cfg(test)]
mod tests {
    use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};

    use super::*;
    use crate::clock::SystemClock;
    use crate::limits::Limits;
    use crate::node;

    /// A clock at the end of time.
    #[derive(Debug)]
    struct Late;

    impl Clock for Late {
        fn now_ms(&self) -> i64 {
            i64::MAX
        }
    }

    fn master(byte: u8) -> MasterKey {
        MasterKey::new([byte; MASTER_KEY_BYTES])
    }

    #[test]
    fn a_key_is_due_when_it_is_old_enough_and_not_by_a_clock_that_was_set_back() {
        assert!(!is_due(0, 90 * DAY_MS - 1, 90));
        assert!(is_due(0, 90 * DAY_MS, 90));
        assert!(!is_due(5, 0, 1));
        assert!(!is_due(0, u64::MAX, 0));
    }

    #[tokio::test]
    async fn keys_are_replaced_while_a_node_serves() {
        let directory = tempfile::tempdir().unwrap();
        let opened = node::open_alone(
            Durability::Interval,
            directory.path(),
            master(3),
            Limits::default(),
        );
        let cluster = opened.unwrap().cluster;
        cluster.ready().await.unwrap();
        let fetched = |byte: u8| -> FetchMasterKeys {
            Arc::new(move || Box::pin(async move { Ok(MasterKeys::new(master(byte))) }))
        };
        let keys = |fetch| Keys::new(cluster.clone(), Arc::new(SystemClock), fetch);
        assert_eq!(keys(None).status().master_key, master(3).id());
        let error = keys(None).rotate_master_key().await.unwrap_err();
        assert!(error.to_string().contains("stays"), "{error}");
        let error = keys(Some(fetched(3))).rotate_master_key().await.unwrap_err();
        assert!(
            error
                .to_string()
                .contains(&format!("is still {}", master(3).id())),
            "{error}"
        );
        let replaced = keys(Some(fetched(4))).rotate_master_key().await.unwrap();
        assert_eq!(
            (replaced, keys(None).status().master_key),
            (master(4).id(), master(4).id())
        );
        let second = keys(None).rotate_data_key(false).await.unwrap();
        let status = keys(None).status();
        assert_eq!(status.data_keys.last().unwrap().id, second);
        // However young a key is, it is too old at the end of time.
        let late = Keys::new(cluster.clone(), Arc::new(Late), None);
        let rotation = Rotation {
            data_key_days: 1,
            rewrite_files: true,
        };
        let keeping = tokio::spawn(late.keep(rotation));
        while keys(None).status().data_keys.last().unwrap().id == second {
            tokio::task::yield_now().await;
        }
        keeping.abort();
        cluster.close().unwrap();
        assert_eq!(
            Cluster::wanted_master_keys(&node::data_of(directory.path())).unwrap(),
            [master(4).id()]
        );
    }
}
