//! Identities that go into a backup of the cluster, and come out of one in another cluster.
//!
//! Rows go as they are: secrets in them are sealed. The keys that they are sealed with go along, wrapped under a key that whoever can open
//! the archive has. Where rows come out, each secret is opened and sealed anew with the keys of that cluster, which stay what they are:
//! sessions of that cluster go on. Invariant: a secret is in clear nowhere but in the memory of the node that seals it anew. Root has no row,
//! so that the root credentials of a cluster never change.

use bytes::Bytes;
use stator_iam::directory::sealing::{NONCE_BYTES, Purpose, SealingKeys, WrappingKey};
use stator_iam::directory::{Kind, Record, Row};

use super::{Identities, PREFIX, RING, Shown, row_key, row_of};
use crate::compare_and_set;
use crate::identity::error::IdentityError;

/// The name of the wrap under the archive's key.
pub(crate) const ARCHIVE: &str = "archive";

/// Rows of a moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Carried {
    /// Names, without the prefix of all rows, and cells, in the order of their names.
    pub(crate) rows: Vec<(Bytes, Bytes)>,
    ring: Option<Bytes>,
}

/// What has come of rows that were to come out of a backup.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    /// How many are there now.
    pub(crate) made: u64,
    /// Those whose name something else has, such as `user ann`.
    pub(crate) skipped: Vec<String>,
}

impl Identities {
    /// All rows of users, groups, roles and managed policies that any node has acknowledged.
    ///
    /// # Errors
    /// When the cluster cannot say what there is.
    pub(crate) async fn carried(&self) -> Result<Carried, IdentityError> {
        self.catch_up().await?;
        let shown = self.shown();
        let name = |row: &Row| Bytes::from(row_key(row).split_off(PREFIX.len()));
        let rows = shown.cells.iter().map(|(row, cell)| (name(row), cell.clone()));
        let mut rows: Vec<_> = rows.collect();
        rows.sort();
        let ring = shown.ring.clone();
        Ok(Carried { rows, ring })
    }

    /// The row of the sealing keys, wrapped with one more key; `None` if nothing was ever sealed.
    ///
    /// # Errors
    /// When this node cannot open the sealing keys.
    pub(crate) fn wrapped_for(
        &self,
        carried: &Carried,
        wrapping: &WrappingKey,
    ) -> Result<Option<(Bytes, Bytes)>, IdentityError> {
        let Some(ring) = &carried.ring else {
            return Ok(None);
        };
        let internal =
            |error: stator_iam::directory::sealing::RingError| IdentityError::Internal(error.to_string());
        let keys = SealingKeys::open(ring, &self.wrapping.load()).map_err(internal)?;
        let nonce = || {
            let nonce = self.random::<NONCE_BYTES>();
            nonce.map(|nonce| *nonce).map_err(|error| error.to_string())
        };
        let wrapped = keys.wrap_also(ring, wrapping, nonce).map_err(internal)?;
        let wrapped = wrapped.map_or_else(|| ring.clone(), Bytes::from);
        Ok(Some((Bytes::from_static(RING), wrapped)))
    }

    /// Those of the rows of a backup whose names are taken here, such as `user ann`.
    ///
    /// # Errors
    /// When the rows cannot be read.
    pub(crate) async fn taken(&self, rows: &[(Bytes, Bytes)]) -> Result<Vec<String>, IdentityError> {
        let shown = self.latest().await?;
        let rows = rows.iter().filter_map(|(name, _)| row_of(name));
        Ok(rows
            .filter(|row| shown.cells.contains_key(row))
            .map(|row| words(&row))
            .collect())
    }

    /// Adds the rows of a backup. Those that are there already, from a try before, stay; so do others that have their names.
    /// Users come last, so that none is there without its policies and groups.
    ///
    /// # Errors
    /// Failures of the cluster; rows or secrets that cannot be read. It may be tried again.
    pub(crate) async fn bring(
        &self,
        rows: &[(Bytes, Bytes)],
        wrapping: &WrappingKey,
    ) -> Result<Brought, IdentityError> {
        let theirs = rows.iter().find(|(name, _)| name == RING);
        let theirs = theirs.map(|(_, ring)| SealingKeys::open(ring, std::slice::from_ref(wrapping)));
        let theirs = theirs.transpose();
        let theirs = theirs.map_err(|error| IdentityError::Internal(error.to_string()))?;
        let shown = self.latest().await?;
        let mut brought = Brought::default();
        for kind in [Kind::Policy, Kind::Group, Kind::Role, Kind::User] {
            let of_kind = rows.iter().filter_map(|(name, cell)| Some((row_of(name)?, cell)));
            for (row, cell) in of_kind.filter(|(row, _)| row.kind == kind) {
                let record = Record::from_bytes(kind, cell).map_err(IdentityError::Internal)?;
                match self.bring_one(&shown, &row, record, theirs.as_ref()).await? {
                    Some(true) => brought.made += 1,
                    Some(false) => brought.skipped.push(words(&row)),
                    None => {}
                }
            }
        }
        if let Err(error) = self.catch_up().await {
            tracing::warn!(%error, "restored identities are shown later");
        }
        Ok(brought)
    }

    /// Whether a row is there now; `None` if it stands for nobody.
    async fn bring_one(
        &self,
        shown: &Shown,
        row: &Row,
        mut record: Record,
        theirs: Option<&SealingKeys>,
    ) -> Result<Option<bool>, IdentityError> {
        if is_obstacle(&record) {
            return Ok(None);
        }
        if let Some(there) = shown.cells.get(row) {
            let there = Record::from_bytes(row.kind, there).map_err(IdentityError::Internal)?;
            return Ok(Some(there.id() == record.id()));
        }
        if let Record::User(user) = &mut record {
            for key in &mut user.keys {
                let opened =
                    theirs.and_then(|keys| keys.unseal(Purpose::AccessKey, &key.id, &key.sealed_secret));
                let opened = opened.ok_or_else(|| {
                    IdentityError::Internal(format!("the secret of access key {} does not open", key.id))
                })?;
                let nonce = self.random::<NONCE_BYTES>()?;
                let own = self.sealing().await?;
                key.sealed_secret = own.seal(Purpose::AccessKey, &key.id, *nonce, &opened);
            }
        }
        let cell = Some(Bytes::from(record.to_bytes()));
        let key = row_key(row);
        Ok(Some(
            compare_and_set::install(&self.cluster, &key, None, cell).await?,
        ))
    }
}

/// Whether a row only keeps others from being moved to it.
fn is_obstacle(record: &Record) -> bool {
    match record {
        Record::User(user) => user.blocks,
        Record::Group(group) => group.blocks,
        Record::Role(_) | Record::Policy(_) => false,
    }
}

fn words(row: &Row) -> String {
    format!("{} {}", row.kind.word(), row.name)
}
