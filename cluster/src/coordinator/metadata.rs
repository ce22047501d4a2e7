//! Keyspaces and the cells of group 0, from any node.
//!
//! Invariant: what returns has taken effect on this node. Not here: what group 0 is (`metadata/`).

use tokio::sync::watch;

use super::route::Place;
use super::{Cluster, Keyspace};
use crate::command::WriteOptions;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::metadata::keyspaces::{Lookup, METADATA};
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::node::message::{Ask, Tell};
use stator_storage::KeyspaceId;

impl Cluster {
    /// The keyspace in which callers keep what the whole cluster has to agree on. Its key bytes are free, but do not begin
    /// with byte 0.
    ///
    /// # Errors
    /// [`Error::Unavailable`] before the node is ready.
    pub fn metadata(&self) -> Result<Keyspace, Error> {
        match self.node.host()?.keyspaces.find(METADATA) {
            Lookup::Here(id) => Ok(Keyspace { number: METADATA, id }),
            Lookup::Gone | Lookup::NotYet => Err(Error::NoSuchKeyspace),
        }
    }

    /// The keyspace with a name, as far as this node knows.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        let (number, id) = self.node.host().ok()?.keyspaces.named(name)?;
        Some(Keyspace { number, id })
    }

    /// All keyspaces with their names, as far as this node knows.
    pub fn keyspaces(&self) -> Vec<(Keyspace, String)> {
        let all = self.node.host().map(|host| host.keyspaces.all());
        let all = all.unwrap_or_default().into_iter();
        all.map(|(number, id, name): (u32, KeyspaceId, _)| (Keyspace { number, id }, name.to_string()))
            .collect()
    }

    /// Makes a keyspace, or finds the one that is there.
    ///
    /// # Errors
    /// As [`Cluster::write`].
    pub async fn create_keyspace(&self, name: &str) -> Result<Keyspace, Error> {
        let row = OwnRow::Keyspace(name);
        self.write_own(&row, &OwnCommand::MakeKeyspace).await?;
        self.keyspace(name).ok_or(Error::NoSuchKeyspace)
    }

    /// Drops a keyspace and all of its cells. One that is gone is no error.
    ///
    /// # Errors
    /// As [`Cluster::write`].
    pub async fn drop_keyspace(&self, keyspace: Keyspace) -> Result<(), Error> {
        let name = self.node.host()?.keyspaces.name(keyspace.number);
        let Some(name) = name.filter(|_| keyspace.number != METADATA) else {
            return Ok(());
        };
        self.write_own(&OwnRow::Keyspace(&name), &OwnCommand::Remove).await
    }

    async fn write_own(&self, row: &OwnRow<'_>, command: &OwnCommand) -> Result<(), Error> {
        let metadata = self.metadata()?;
        self.write_row(metadata, &row.key(), WriteOptions::default(), command)
            .await?;
        self.catch_up_metadata().await
    }

    /// Rises whenever something in group 0 has changed on this node.
    ///
    /// # Errors
    /// [`Error::Unavailable`] before the node is ready.
    pub fn metadata_changes(&self) -> Result<watch::Receiver<u64>, Error> {
        Ok(self.node.host()?.keyspaces.changes())
    }

    /// Waits until this node has applied everything in group 0 that was acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn catch_up_metadata(&self) -> Result<(), Error> {
        let group = METADATA_GROUP;
        let index = self.route(group, true, async |place, patience| match place {
            Place::Here(replica) => replica.read_index().await,
            Place::There(node) => match self.ask(node, Ask::ReadIndex(group), patience).await? {
                Tell::Index(index) => Ok(index),
                _ => Err(super::route::unexpected(node)),
            },
        });
        let index = index.await.map_err(nothing_changed)?;
        let replica = self.node.replica(group).ok_or_else(|| Error::Unavailable {
            cause: "this node has no replica of the metadata".to_owned(),
        })?;
        let patience = self.node.settings.timing.patience();
        let world = &self.node.surroundings.world;
        let caught_up = super::route::within(world, patience, replica.wait_applied(index)).await;
        match caught_up {
            Some(Ok(())) => Ok(()),
            Some(Err(_)) | None => Err(Error::Unavailable {
                cause: "this node is behind with the metadata".to_owned(),
            }),
        }
    }
}

/// A read whose answer did not come has changed nothing.
pub(super) fn nothing_changed(error: Error) -> Error {
    match error {
        Error::OutcomeUnknown { cause } => Error::Unavailable { cause },
        error => error,
    }
}
