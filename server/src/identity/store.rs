//! The directory of a cluster on this node: rows of the cluster's metadata, shown as one [`Directory`] and changed by
//! compare-and-set.
//!
//! Readers take one atomic load and no lock; the directory is read anew whenever the metadata has changed on this node, and
//! before a change. Invariants: an older directory never replaces a newer one; a row is changed only from what was read.
//! Format: `docs/format/identity.md`.

pub(crate) mod carry;

use std::collections::HashMap;
use std::ops::{Bound, ControlFlow};
use std::sync::{Arc, Weak};
use std::time::Duration;

use arc_swap::{ArcSwap, Guard};
use bytes::Bytes;
use stator_cluster::{Bounds, Cluster, ConsistencyLevel, Direction};
use stator_iam::directory::sealing::{KEY_BYTES, NONCE_BYTES, RingError, SealingKeys, WrappingKey};
use stator_iam::directory::{Changes, Directory, DirectoryError, Edit, Kind, Row, Use};
use tokio::sync::{Mutex, watch};
use zeroize::Zeroizing;

use super::error::IdentityError;
use crate::arn;
use crate::clock::Clock;
use crate::compare_and_set::{self, TRIES};
use crate::random::Fill;

/// Prefix of all rows of the directory in the metadata.
const PREFIX: &[u8] = b"iam/";
/// The first key after all with that prefix.
const END: &[u8] = b"iam0";
/// The row of the sealing keys, after the prefix.
const RING: &[u8] = b"sealing-keys";
/// Of the rows of last uses; the access key's id follows.
const USED: &[u8] = b"used/";

/// How often it is looked whether access keys were used.
const USES_INTERVAL: Duration = Duration::from_secs(60);
/// A use is kept when the one that is kept is so much older, in seconds.
const USE_AGE_S: u64 = 15 * 60;

/// What identity works with.
#[derive(Debug, Clone)]
pub(crate) struct IdentitySettings {
    /// The master keys of this node, the current one first, as they are when it begins.
    pub(crate) wrapping: Vec<WrappingKey>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Fill,
}

/// The rows of a moment.
#[derive(Debug)]
pub(crate) struct Shown {
    directory: Directory,
    cells: HashMap<Row, Bytes>,
    ring: Option<Bytes>,
    used: HashMap<String, Use>,
}

impl Shown {
    pub(crate) fn directory(&self) -> &Directory {
        &self.directory
    }

    /// When an access key was used last, as far as any node has kept it or this one has seen it.
    pub(crate) fn last_used(&self, access_key_id: &str) -> Option<Use> {
        let seen = self.directory.key(access_key_id).and_then(|(_, used)| used.get());
        let kept = self.used.get(access_key_id).copied();
        seen.into_iter().chain(kept).max_by_key(|used| used.at_s)
    }
}

/// The directory of a node.
#[derive(Debug)]
pub(crate) struct Identities {
    cluster: Cluster,
    settings: IdentitySettings,
    /// The master keys of this node, the current one first.
    wrapping: ArcSwap<Vec<WrappingKey>>,
    shown: ArcSwap<Shown>,
    /// The change of the metadata up to which the rows are shown. Held while they are read.
    read_at: Mutex<Option<u64>>,
    changes: watch::Receiver<u64>,
}

impl Identities {
    /// Reads the rows as this node has them.
    ///
    /// # Errors
    /// When the metadata cannot be read, or its rows are of no use.
    pub(crate) async fn open(
        cluster: Cluster,
        settings: IdentitySettings,
    ) -> Result<Arc<Self>, IdentityError> {
        let shown = Shown {
            directory: Directory::empty(arn::ACCOUNT),
            cells: HashMap::new(),
            ring: None,
            used: HashMap::new(),
        };
        let identities = Self {
            changes: cluster.metadata_changes(),
            cluster,
            wrapping: ArcSwap::from_pointee(settings.wrapping.clone()),
            settings,
            shown: ArcSwap::from_pointee(shown),
            read_at: Mutex::new(None),
        };
        identities.refresh().await?;
        let identities = Arc::new(identities);
        tokio::spawn(Self::follow(Arc::downgrade(&identities)));
        tokio::spawn(Self::keep_uses(Arc::downgrade(&identities)));
        Ok(identities)
    }

    /// The rows as they are shown now.
    pub(crate) fn shown(&self) -> Guard<Arc<Shown>> {
        self.shown.load()
    }

    /// Now, in milliseconds since the Unix epoch.
    pub(crate) fn now_ms(&self) -> i64 {
        self.settings.clock.now_ms()
    }

    /// Random bytes.
    ///
    /// # Errors
    /// When the operating system has none to give.
    pub(crate) fn random<const N: usize>(&self) -> Result<Zeroizing<[u8; N]>, IdentityError> {
        let mut bytes = Zeroizing::new([0; N]);
        (self.settings.random)(&mut bytes[..]).map_err(|error| IdentityError::Internal(error.to_string()))?;
        Ok(bytes)
    }

    /// The rows with all changes that any node has acknowledged. When others cannot be asked, as they are known here.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) async fn latest(&self) -> Result<Arc<Shown>, IdentityError> {
        match self.catch_up().await {
            Err(IdentityError::Unavailable(_)) | Ok(()) => Ok(self.shown.load_full()),
            Err(error) => Err(error),
        }
    }

    async fn catch_up(&self) -> Result<(), IdentityError> {
        self.cluster.catch_up_metadata().await?;
        self.refresh().await
    }

    /// Changes rows. `change` is asked again when one has become another meanwhile. Returns what there is afterwards.
    ///
    /// # Errors
    /// What `change` refuses with, [`IdentityError::Contended`], failures of the cluster.
    pub(crate) async fn change(
        &self,
        change: impl Fn(Changes<'_>) -> Result<Vec<Edit>, DirectoryError>,
    ) -> Result<Arc<Shown>, IdentityError> {
        for _ in 0..TRIES {
            self.catch_up().await?;
            let shown = self.shown.load_full();
            let edits = change(Changes::new(shown.directory(), self.now_ms()))?;
            if self.install(&shown, edits).await? {
                if let Err(error) = self.catch_up().await {
                    tracing::warn!(%error, "a change of the directory is shown later");
                }
                return Ok(self.shown.load_full());
            }
        }
        Err(IdentityError::Contended)
    }

    /// Installs edits one after the other; `false` when a row was not as it was shown.
    async fn install(&self, shown: &Shown, edits: Vec<Edit>) -> Result<bool, IdentityError> {
        let mut installed: HashMap<Row, Option<Bytes>> = HashMap::new();
        for edit in edits {
            let expected = match installed.get(&edit.row) {
                Some(cell) => cell.clone(),
                None => shown.cells.get(&edit.row).cloned(),
            };
            let cell = edit.record.map(|record| Bytes::from(record.to_bytes()));
            let key = row_key(&edit.row);
            let fits = compare_and_set::install(&self.cluster, &key, expected, cell.clone()).await?;
            if !fits && !edit.is_tidying {
                return Ok(false);
            }
            installed.insert(edit.row, cell);
        }
        Ok(true)
    }

    /// What secrets are sealed with; made when there is nothing yet.
    ///
    /// # Errors
    /// Failures of the cluster, and a row that the master keys of this node do not open.
    pub(crate) async fn sealing(&self) -> Result<SealingKeys, IdentityError> {
        for _ in 0..TRIES {
            if let Some(keys) = self.shown().directory().sealing() {
                return Ok(keys.clone());
            }
            self.catch_up().await?;
            let shown = self.shown.load_full();
            if shown.directory().sealing().is_some() {
                continue;
            }
            if let Some(ring) = &shown.ring {
                let error = SealingKeys::open(ring, &self.wrapping.load()).err();
                let error = error.map_or_else(String::new, |error| error.to_string());
                return Err(IdentityError::Internal(error));
            }
            let wrapping = self.wrapping.load_full();
            let Some(wrapping) = wrapping.first() else {
                return Err(IdentityError::Internal("the node has no master key".to_owned()));
            };
            let (key, nonce) = (self.random::<KEY_BYTES>()?, self.random::<NONCE_BYTES>()?);
            let ring = SealingKeys::make(wrapping, &key, *nonce);
            let key = [PREFIX, RING].concat();
            compare_and_set::install(&self.cluster, &key, None, Some(ring.into())).await?;
        }
        Err(IdentityError::Contended)
    }

    /// Reads the rows anew, unless nothing has changed since they were read.
    async fn refresh(&self) -> Result<(), IdentityError> {
        let mut read_at = self.read_at.lock().await;
        // Looked at before the rows are read: what changes meanwhile is seen at the next time, at the latest.
        let change = *self.changes.borrow();
        if *read_at == Some(change) {
            return Ok(());
        }
        let rows = self.rows().await?;
        let before = self.shown.load();
        let unchanged = rows.cells == before.cells && rows.ring == before.ring;
        if !unchanged || rows.used != before.used || read_at.is_none() {
            let sealing = rows.ring.as_ref().and_then(|ring| self.open_ring(ring));
            let cells = rows.cells.iter().map(|(row, cell)| (row.clone(), &cell[..]));
            let directory = Directory::build(arn::ACCOUNT, cells, sealing, before.directory())?;
            self.shown.store(Arc::new(Shown {
                directory,
                cells: rows.cells,
                ring: rows.ring,
                used: rows.used,
            }));
        }
        *read_at = Some(change);
        Ok(())
    }

    fn open_ring(&self, ring: &[u8]) -> Option<SealingKeys> {
        match SealingKeys::open(ring, &self.wrapping.load()) {
            Ok(keys) => Some(keys),
            Err(error @ (RingError::Malformed(_) | RingError::OtherMasterKey { .. })) => {
                tracing::error!(%error, "access keys of users and sessions are refused by this node");
                None
            }
        }
    }

    async fn rows(&self) -> Result<Rows, IdentityError> {
        let bounds = Bounds {
            start: Bound::Included(PREFIX.to_vec()),
            end: Bound::Excluded(END.to_vec()),
        };
        let mut rows = Rows::default();
        let metadata = self.cluster.metadata();
        self.cluster
            .range(
                metadata,
                &bounds,
                Direction::Forward,
                ConsistencyLevel::One,
                |row| {
                    if let Some(name) = row.key().strip_prefix(PREFIX) {
                        rows.take(name, row.cell());
                    }
                    ControlFlow::Continue(())
                },
            )
            .await?;
        Ok(rows)
    }

    /// Keeps the directory current for as long as there is one.
    async fn follow(identities: Weak<Self>) {
        let Some(mut changes) = identities.upgrade().map(|identities| identities.changes.clone()) else {
            return;
        };
        while changes.changed().await.is_ok() {
            let Some(identities) = identities.upgrade() else {
                return;
            };
            if let Err(error) = identities.refresh().await {
                tracing::error!(%error, "the directory could not be read anew");
            }
            if let Err(error) = identities.wrap_ring().await {
                tracing::warn!(%error, "the sealing keys are wrapped with the new master key later");
            }
        }
    }

    /// Goes over to other master keys, the current one first, and answers when the current one has wrapped the sealing keys.
    /// Those of before open them as long as this process runs.
    ///
    /// # Errors
    /// Failures of the cluster; then it may be tried again, and the older master keys have to be kept.
    pub(crate) async fn learn(&self, mut wrapping: Vec<WrappingKey>) -> Result<(), IdentityError> {
        for before in self.wrapping.load().iter() {
            if !wrapping.iter().any(|key| key.name() == before.name()) {
                wrapping.push(before.clone());
            }
        }
        self.wrapping.store(Arc::new(wrapping));
        for _ in 0..TRIES {
            self.catch_up().await?;
            if self.wrap_ring().await? {
                return Ok(());
            }
        }
        Err(IdentityError::Contended)
    }

    /// Wraps the sealing keys with the current master key, if it has not wrapped them yet. `false` if somebody else has changed
    /// them meanwhile.
    async fn wrap_ring(&self) -> Result<bool, IdentityError> {
        let (shown, wrapping) = (self.shown.load_full(), self.wrapping.load_full());
        let (Some(ring), Some(keys), Some(current)) =
            (&shown.ring, shown.directory().sealing(), wrapping.first())
        else {
            return Ok(true);
        };
        let nonce = || {
            let nonce = self.random::<NONCE_BYTES>();
            nonce.map(|nonce| *nonce).map_err(|error| error.to_string())
        };
        let wrapped = keys
            .wrap_also(ring, current, nonce)
            .map_err(|error| IdentityError::Internal(error.to_string()))?;
        let Some(wrapped) = wrapped else { return Ok(true) };
        let key = [PREFIX, RING].concat();
        let before = Some(ring.clone());
        Ok(compare_and_set::install(&self.cluster, &key, before, Some(wrapped.into())).await?)
    }

    /// Keeps the last uses of access keys now and then, for as long as there is a directory.
    async fn keep_uses(identities: Weak<Self>) {
        loop {
            tokio::time::sleep(USES_INTERVAL).await;
            let Some(identities) = identities.upgrade() else {
                return;
            };
            let shown = identities.shown.load_full();
            for (id, seen) in shown.directory().keys() {
                let (Some(seen), kept) = (seen.get(), shown.used.get(id)) else {
                    continue;
                };
                if kept.is_some_and(|kept| seen.at_s < kept.at_s.saturating_add(USE_AGE_S)) {
                    continue;
                }
                let key = [PREFIX, USED, id.as_bytes()].concat();
                let expected = kept.map(|kept| kept.to_bytes().into());
                let cell = Some(seen.to_bytes().into());
                if let Err(error) = compare_and_set::install(&identities.cluster, &key, expected, cell).await
                {
                    tracing::debug!(%error, "the last use of an access key is kept later");
                    break;
                }
            }
        }
    }

    /// Forgets when an access key was used, which is gone.
    pub(crate) async fn forget_use(&self, access_key_id: &str) {
        let Some(kept) = self.shown().used.get(access_key_id).copied() else {
            return;
        };
        let key = [PREFIX, USED, access_key_id.as_bytes()].concat();
        let expected = Some(kept.to_bytes().into());
        if let Err(error) = compare_and_set::install(&self.cluster, &key, expected, None).await {
            tracing::debug!(%error, "the last use of a deleted access key stays");
        }
    }
}

/// Rows as they were read.
#[derive(Default)]
struct Rows {
    cells: HashMap<Row, Bytes>,
    ring: Option<Bytes>,
    used: HashMap<String, Use>,
}

impl Rows {
    /// Takes the row of a name. Others are left alone, so that later versions can keep other things here.
    fn take(&mut self, name: &[u8], cell: &[u8]) {
        if name == RING {
            self.ring = Some(Bytes::copy_from_slice(cell));
        } else if let Some(id) = name.strip_prefix(USED) {
            if let Some(used) = Use::from_bytes(cell) {
                self.used.insert(String::from_utf8_lossy(id).into_owned(), used);
            }
        } else if let Some(row) = row_of(name) {
            // Copied, because the directory outlives by far the memory of the engine that it would hold.
            self.cells.insert(row, Bytes::copy_from_slice(cell));
        }
    }
}

/// `user/<name in lower case>`, and so on.
fn row_of(name: &[u8]) -> Option<Row> {
    let text = std::str::from_utf8(name).ok()?;
    let (word, name) = text.split_once('/')?;
    let kind = Kind::ALL.into_iter().find(|kind| kind.word() == word)?;
    Some(Row::new(kind, name))
}

fn row_key(row: &Row) -> Vec<u8> {
    [PREFIX, row.kind.word().as_bytes(), b"/", row.name.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_have_keys_and_others_are_left_alone() {
        for kind in Kind::ALL {
            let row = Row::new(kind, "Some.Name@x");
            let key = row_key(&row);
            assert!(key.starts_with(PREFIX) && &key[..] < END);
            assert_eq!(row_of(&key[PREFIX.len()..]), Some(row));
        }
        for name in [&b"sealing-keys"[..], b"used/AKIA", b"other/x", b"\xff/x", b"user"] {
            assert_eq!(row_of(name), None);
        }
    }
}
