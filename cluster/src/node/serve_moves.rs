//! What a node answers when others ask it for replicas, and for the members of groups.
//!
//! Invariant: as in `serve.rs`. Not here: what is done (`replicas.rs`, `snapshots.rs`, `group/members.rs`).

use std::sync::Arc;

use super::Node;
use super::message::moves::GroupStatusMessage;
use super::message::{Ask, Tell};
use super::serve::malformed;
use crate::coordinator::Cluster;
use crate::group::replica::Refused;

impl Node {
    pub(super) async fn carry_out_move(self: &Arc<Self>, ask: Ask) -> Result<Tell, Refused> {
        let done = Tell::Index(0);
        match ask {
            Ask::Host(of) => self.host_replica(of).map(|()| done),
            Ask::Discard(of) => self.discard(of).map(|()| done),
            Ask::Inventory(_) => Ok(Tell::Inventory(self.inventory()?)),
            Ask::GroupStatus(group) => {
                let status = self.asked(group)?.group_status().await?;
                Ok(Tell::GroupStatus(GroupStatusMessage::new(&status)))
            }
            Ask::ChangeMembers(change) => {
                let wanted = change.change();
                let wanted = wanted.ok_or_else(|| malformed("its change of members is unknown"))?;
                self.asked(change.group)?.change_members(&wanted)?;
                Ok(done)
            }
            Ask::HandOver(group) => {
                if self.asked(group)?.hand_over() {
                    return Ok(done);
                }
                Err(Refused::NotNow("there is nobody to hand over to".to_owned()))
            }
            Ask::Snapshot(of) => self.serve_snapshot(of).await.map(Tell::SnapshotHead),
            Ask::SnapshotPage(from) => self.serve_snapshot_page(from).map(Tell::SnapshotPart),
            Ask::SnapshotEnd(end) => {
                self.end_snapshot(end);
                Ok(done)
            }
            Ask::Join(joining) => {
                let cluster = Cluster::of(Arc::clone(self));
                cluster.take_in(&joining).await?;
                Ok(done)
            }
            ask => self.carry_out_scrub(ask).await,
        }
    }
}
