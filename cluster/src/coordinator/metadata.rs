//! Keyspaces and the cells of group 0, from any node.
//!
//! Invariant: what returns has taken effect on this node. Not here: what group 0 is (`metadata/`).

use std::sync::Weak;
use std::time::Duration;

use tokio::sync::watch;

use super::route::{Place, Route};
use super::{Cluster, Keyspace};
use crate::command::WriteOptions;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::Refused;
use crate::metadata::keyspaces::METADATA;
use crate::metadata::rows::{OwnCommand, OwnRow};
use crate::node::Node;
use crate::node::message::{Ask, Metadata, Tell};
use stator_storage::KeyspaceId;

impl Cluster {
    /// The keyspace in which callers keep what the whole cluster has to agree on. Its key bytes are free, but do not begin
    /// with byte 0.
    pub fn metadata(&self) -> Keyspace {
        Keyspace {
            number: METADATA,
            id: self.node.host.keyspaces.metadata(),
        }
    }

    /// The keyspace with a name, as far as this node knows.
    pub fn keyspace(&self, name: &str) -> Option<Keyspace> {
        let (number, id) = self.node.host.keyspaces.named(name)?;
        Some(Keyspace { number, id })
    }

    /// All keyspaces with their names, as far as this node knows.
    pub fn keyspaces(&self) -> Vec<(Keyspace, String)> {
        let all = self.node.host.keyspaces.all().into_iter();
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
        let name = self.node.host.keyspaces.name(keyspace.number);
        let Some(name) = name.filter(|_| keyspace.number != METADATA) else {
            return Ok(());
        };
        self.write_own(&OwnRow::Keyspace(&name), &OwnCommand::Remove)
            .await
    }

    async fn write_own(&self, row: &OwnRow<'_>, command: &OwnCommand) -> Result<(), Error> {
        let metadata = self.metadata();
        self.write_row(metadata, &row.key(), WriteOptions::default(), command)
            .await?;
        self.catch_up_metadata().await
    }

    /// Rises whenever something in group 0 has changed on this node.
    pub fn metadata_changes(&self) -> watch::Receiver<u64> {
        self.node.host.keyspaces.changes()
    }

    /// Waits until this node has applied everything in group 0 that was acknowledged before the call.
    ///
    /// # Errors
    /// [`Error::Unavailable`].
    pub async fn catch_up_metadata(&self) -> Result<(), Error> {
        self.catch_up_with_metadata().await.map(drop)
    }
}

impl Cluster {
    /// The same as [`Cluster::catch_up_metadata`]. Gives what others have said if this node goes by that: its engine has nothing of
    /// group 0 then, or what was there once.
    pub(super) async fn catch_up_with_metadata(&self) -> Result<Option<Metadata>, Error> {
        let group = METADATA_GROUP;
        let Some(replica) = self.node.readable(group) else {
            // What comes from elsewhere would keep a node that has replicas from beginning them.
            if self.node.is_mirroring() || self.node.replica(group).is_some() {
                return self.mirror_metadata().await.map(Some);
            }
            return Err(Error::Unavailable {
                cause: "the node is starting and has no metadata yet".to_owned(),
            });
        };
        let index = self.read_index(group).await?;
        let patience = self.node.settings.timing.patience();
        let world = &self.node.surroundings.world;
        let caught_up = super::route::within(world, patience, replica.wait_applied(index)).await;
        match caught_up {
            Some(Ok(())) => Ok(None),
            Some(Err(_)) | None => Err(Error::Unavailable {
                cause: "this node is behind with the metadata".to_owned(),
            }),
        }
    }

    /// Up to which entry a group has to be applied to see everything that was acknowledged before the call.
    pub(super) async fn read_index(&self, group: u32) -> Result<u64, Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await.map_err(nothing_changed)?;
            let outcome = route.attempt(left, self.read_index_at(place, left, group)).await;
            if let Some(index) = route.settle(outcome)? {
                return Ok(index);
            }
        }
    }

    async fn read_index_at(&self, place: Place, patience: Duration, group: u32) -> Result<u64, Refused> {
        match place {
            Place::Here(replica) => replica.read_index().await,
            Place::There(node) => match self.ask(node, Ask::ReadIndex(group), patience).await? {
                Tell::Index(index) => Ok(index),
                _ => Err(super::route::unexpected(node)),
            },
        }
    }
}

impl Cluster {
    /// Fetches what a node without a replica of group 0 has to know.
    async fn mirror_metadata(&self) -> Result<Metadata, Error> {
        let mut route = Route::new(self, METADATA_GROUP, true);
        let metadata = loop {
            let (place, left) = route.next().await.map_err(nothing_changed)?;
            let outcome = route.attempt(left, self.metadata_at(place, left)).await;
            if let Some(metadata) = route.settle(outcome)? {
                break metadata;
            }
        };
        self.node.mirror(&metadata)?;
        Ok(metadata)
    }

    async fn metadata_at(&self, place: Place, patience: Duration) -> Result<Metadata, Refused> {
        let Place::There(node) = place else {
            return Err(Refused::NotLeader(None));
        };
        match self.ask(node, Ask::Metadata(true), patience).await? {
            Tell::Metadata(metadata) => Ok(metadata),
            _ => Err(super::route::unexpected(node)),
        }
    }

    /// Fetches it again and again, as long as the node is there and has no replica of group 0 of its own.
    pub(crate) async fn follow_metadata_of_others(node: Weak<Node>) {
        loop {
            let sleep = {
                let Some(node) = node.upgrade() else { return };
                node.surroundings.world.sleep(MIRROR_EVERY)
            };
            sleep.await;
            let Some(node) = node.upgrade() else { return };
            if node.readable(METADATA_GROUP).is_some() {
                return;
            }
            if let Err(error) = (Self { node }).mirror_metadata().await {
                tracing::debug!(%error, "the metadata of other nodes could not be fetched");
            }
        }
    }
}

/// How often a node without a replica of group 0 looks at it.
const MIRROR_EVERY: Duration = Duration::from_millis(500);

/// A read whose answer did not come has changed nothing.
pub(super) fn nothing_changed(error: Error) -> Error {
    match error {
        Error::OutcomeUnknown { cause } => Error::Unavailable { cause },
        error => error,
    }
}
