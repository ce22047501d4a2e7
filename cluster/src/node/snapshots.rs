//! The snapshots that this node hands out.
//!
//! Invariant: only a leader hands out one of its group, and only to a member, so that the log is kept from there on; there are few at
//! a time, and one that nobody asks about any more goes, because each of them keeps files of the engine. Not here: what is
//! in one (`group/snapshot.rs`), who writes it down (`install.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::Node;
use super::message::moves::{ReplicaOf, SnapshotEnd, SnapshotFrom, SnapshotHead, SnapshotPart};
use crate::error::Error;
use crate::group::replica::Refused;
use crate::group::snapshot::{GroupSnapshot, KeySpan};
use crate::raft::ReplicaId;

/// So many are handed out at a time.
const SNAPSHOTS_MAX: usize = 4;

/// One that nobody has asked about for so long is forgotten.
const IDLE_MAX: Duration = Duration::from_secs(60);

/// What a page holds, about.
const PAGE_BYTES: usize = 1 << 20;

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Snapshots(Mutex<BTreeMap<u64, HandedOut>>);

#[derive(Debug)]
struct HandedOut {
    /// Who is filled with it.
    to: (u32, ReplicaId),
    snapshot: Arc<GroupSnapshot>,
    /// When it was last asked about.
    asked_at: Duration,
}

impl Node {
    /// Begins to hand out the group of this node to a member that waits to be filled.
    pub(super) async fn serve_snapshot(self: &Arc<Self>, of: ReplicaOf) -> Result<SnapshotHead, Refused> {
        {
            let mut snapshots = self.snapshots.0.lock();
            // Who begins anew needs nothing any more of what it had begun.
            snapshots.retain(|_, handed| handed.to != (of.group, of.id()));
            if snapshots.len() >= SNAPSHOTS_MAX {
                let cause = "this node hands out as many snapshots as it may; try again".to_owned();
                return Err(Refused::NotNow(cause));
            }
        }
        let replica = self.asked(of.group)?;
        replica.filling_barrier().await?;
        if !replica.has_member(of.id()) {
            let cause = "the replica is no member of its group yet".to_owned();
            return Err(Refused::NotNow(cause));
        }
        let snapshot = replica.snapshot().await?;
        replica.is_filling(of.id(), snapshot.at.0);
        let session = self.surroundings.world.random_u64();
        let head = SnapshotHead::new(session, &snapshot);
        let handed_out = HandedOut {
            to: (of.group, of.id()),
            snapshot: Arc::new(snapshot),
            asked_at: self.surroundings.world.now(),
        };
        self.snapshots.0.lock().insert(session, handed_out);
        Ok(head)
    }

    /// A page of one that was begun.
    pub(super) fn serve_snapshot_page(&self, from: SnapshotFrom) -> Result<SnapshotPart, Refused> {
        let snapshot = {
            let mut snapshots = self.snapshots.0.lock();
            let handed_out = snapshots
                .get_mut(&from.session)
                .ok_or_else(|| Refused::NotNow("the snapshot was forgotten; begin anew".to_owned()))?;
            handed_out.asked_at = self.surroundings.world.now();
            Arc::clone(&handed_out.snapshot)
        };
        let span = self
            .span_of_group(snapshot.group())
            .map_err(|error| Refused::NotNow(error.to_string()))?;
        let page = snapshot.page(from.place, &span, PAGE_BYTES)?;
        Ok(SnapshotPart::new(page))
    }

    /// The member has all of it.
    pub(super) fn end_snapshot(&self, end: SnapshotEnd) {
        self.snapshots.0.lock().remove(&end.session);
        if let Some(replica) = self.replica(end.group) {
            replica.is_filled(crate::raft::ReplicaId(end.replica));
        }
    }

    /// Forgets those that nobody asks about any more. Whether their members have them or not: the log tells.
    pub(super) fn forget_idle_snapshots(&self) {
        let now = self.surroundings.world.now();
        let is_idle = |handed: &HandedOut| now.saturating_sub(handed.asked_at) >= IDLE_MAX;
        let idle: Vec<_> = {
            let mut snapshots = self.snapshots.0.lock();
            let idle = snapshots.extract_if(.., |_, handed| is_idle(handed));
            idle.map(|(_, handed)| handed.to).collect()
        };
        for (group, member) in idle {
            if let Some(replica) = self.replica(group) {
                replica.is_filled(member);
            }
        }
    }

    /// The span of keys of a group.
    ///
    /// # Errors
    /// [`Error::Unavailable`] while this node knows no layout.
    pub(crate) fn span_of_group(&self, group: u32) -> Result<KeySpan, Error> {
        Ok(super::key_span(self.known_layout()?.bits(), group))
    }
}
