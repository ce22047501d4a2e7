//! Which groups a node begins with, and what it counts of them.
//!
//! Invariant: a group begins from its log if there is one; as a new one only if there never was one here, and the layout
//! says that nobody's replica of it has moved since the cluster was made. A node that comes too late for that says so, and gets
//! replicas as one that has lost its own. Not here: replicas that come later (`replicas.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use stator_storage::{Durability, LogBatch, Snapshot, WriteBatch};

use super::{Node, group_of};
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::journal::Journal;
use crate::group::recover::{found, recover};
use crate::group::replica::Birth;
use crate::raft::{Members, ReplicaId};
use crate::ring::{Layout, RangeId};

/// Rows that are counted before others get their turn.
const ROWS_AT_A_TIME: u32 = 1000;

impl Node {
    /// Counts the rows that were there when the node started, a few at a time, beside whatever else goes on.
    async fn count_rows(node: Weak<Self>, groups: BTreeSet<u32>, there: Snapshot) {
        let counted = async {
            let (keyspaces, bits) = {
                let Some(node) = node.upgrade() else { return Ok(()) };
                let bits = node.read_plan()?.map(|plan| plan.layout.bits());
                (node.host.keyspaces.all(), bits)
            };
            let Some(bits) = bits else { return Ok(()) };
            for (number, id, _) in keyspaces {
                let everything = (std::ops::Bound::Unbounded, std::ops::Bound::Unbounded);
                let mut rows = match there.range(id, everything, stator_storage::Direction::Forward) {
                    Err(stator_storage::Error::NoSuchKeyspace { .. }) => continue,
                    rows => rows?,
                };
                loop {
                    let Some(node) = node.upgrade() else { return Ok(()) };
                    let (mut sums, mut rest) = (BTreeMap::<u32, (i64, i64)>::new(), ROWS_AT_A_TIME);
                    while rest > 0 && rows.advance()? {
                        rest -= 1;
                        let weight = node.surroundings.commands.weigh(rows.value());
                        let sum = sums.entry(group_of(bits.range_of_key(rows.key()))).or_default();
                        sum.0 += 1;
                        sum.1 = sum.1.saturating_add(i64::try_from(weight).unwrap_or(i64::MAX));
                    }
                    for (group, sum) in sums.into_iter().filter(|(group, _)| groups.contains(group)) {
                        if let Some(replica) = node.replica(group) {
                            replica.add_to_tally(number, sum);
                        }
                    }
                    if rest > 0 {
                        break;
                    }
                    // Others get their turn.
                    node.surroundings.world.sleep(Duration::from_millis(1)).await;
                }
            }
            Ok::<(), Error>(())
        };
        if let Err(error) = counted.await {
            tracing::warn!(%error, "the rows could not be counted");
        }
    }

    /// Begins the replicas whose logs are on this node, and are not begun yet.
    pub(super) fn begin_known(self: &Arc<Self>, layout: Option<&Layout>) -> Result<(), Error> {
        let _beginning = self.beginning.lock();
        let (mut begun, mut recovered) = (Vec::new(), BTreeSet::new());
        for group in Journal::groups(&self.engine) {
            if group == METADATA_GROUP || self.replica(group).is_some() {
                continue;
            }
            let preferred = layout.and_then(|layout| layout.preferred_leader(RangeId(group - 1)));
            let preferred = preferred.map(|replica| ReplicaId(replica.id));
            if let Some(replica) = recover(&self.host, group, preferred)? {
                if !replica.is_unfilled() {
                    recovered.insert(group);
                }
                begun.push(replica);
            }
        }
        if !recovered.is_empty() {
            // Before anything is applied: what is applied later is counted as it comes.
            let there = self.engine.snapshot();
            let counting = Self::count_rows(Arc::downgrade(self), recovered, there);
            self.surroundings.world.spawn(Box::pin(counting));
        }
        for replica in begun {
            let (group, is_unfilled) = (replica.group(), replica.is_unfilled());
            self.add_replica(replica);
            if is_unfilled {
                self.begin_install(group);
            }
        }
        Ok(())
    }

    /// Begins the groups with which a cluster was made and which this node has not begun yet; they are durable when this returns.
    /// Gives those.
    ///
    /// Nothing of a group in the log, and its replicas the first ones in the layout: then the replica has never been, and
    /// has promised nothing. Of what it once had there is something left in the log, whatever has become of it.
    pub(super) fn begin_groups(self: &Arc<Self>, layout: &Layout) -> Result<Vec<u32>, Error> {
        let _beginning = self.beginning.lock();
        if self.is_rejoining() {
            return Ok(Vec::new());
        }
        let (mut begun, mut all) = (Vec::new(), LogBatch::new());
        let (replicas, mut missed) = (self.founded_with(), 0_usize);
        for (range, mine) in layout.replicas_on(self.settings.node) {
            let group = group_of(range);
            if Journal::kept(&self.engine, group)?.is_some() {
                continue;
            }
            if !can_be_founded(layout, range, replicas) {
                missed += 1;
                continue;
            }
            let nodes = layout.replicas(range).iter();
            let nodes = nodes.map(|replica| (ReplicaId(replica.id), replica.node));
            let birth = Birth {
                group,
                id: ReplicaId(mine.id),
                preferred: layout
                    .preferred_leader(range)
                    .map(|replica| ReplicaId(replica.id)),
            };
            let (replica, batch) = found(&self.host, birth, &Members::founding(nodes.collect()))?;
            all.extend(batch);
            begun.push(replica);
        }
        if !all.is_empty() {
            self.engine
                .append_and_write(all, WriteBatch::new(), Durability::Sync)?;
        }
        let groups = begun.iter().map(|replica| replica.group()).collect();
        for replica in begun {
            self.add_replica(replica);
        }
        if !self.has_missed.swap(missed > 0, Ordering::AcqRel) && missed > 0 {
            tracing::warn!(
                missed,
                "this node has missed the beginning of groups whose replicas have moved since; it needs others in the place of its own"
            );
        }
        Ok(groups)
    }

    /// How many replicas each range had when the cluster was made; 0 if this node has not made it.
    fn founded_with(&self) -> usize {
        let founders = self.settings.founders.len();
        if self.settings.is_founder() {
            founders.min(usize::from(self.settings.replication.get()))
        } else {
            0
        }
    }
}

/// Whether a replica that never was begins with those that a range was made with. The layout may have adopted a target before the
/// node of the replica has heard of the first one: as long as no replica has moved, the members are the same.
fn can_be_founded(layout: &Layout, range: RangeId, replicas: usize) -> bool {
    layout.is_as_founded(range) || layout.has_first_replicas(range, replicas)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ring::tests::{description, first_plan};
    use crate::world::NodeId;

    #[test]
    fn a_founder_that_misses_the_first_layout_begins_its_replicas_until_one_has_moved() {
        let plan = first_plan(3, 3, 3);
        let plan = plan.take_in(NodeId(4), description(4)).unwrap().unwrap();
        let mut plan = plan.aim(&BTreeSet::new()).unwrap().unwrap();
        let pending = plan.pending();
        let step = pending[0];
        assert!(!plan.layout.is_as_founded(step.range), "ids are given out");
        for range in plan.layout.bits().ranges() {
            assert!(can_be_founded(&plan.layout, range, 3), "{range}");
            let is_moving = pending.iter().any(|step| step.range == range);
            // With another number of replicas it would not be known who the first ones were.
            assert_eq!(can_be_founded(&plan.layout, range, 2), !is_moving, "{range}");
        }
        let mut voters = plan.layout.replicas(step.range).to_vec();
        voters.retain(|replica| Some(*replica) != step.remove);
        voters.extend(step.add);
        assert!(plan.observe(step.range, &voters));
        assert!(!can_be_founded(&plan.layout, step.range, 3));
    }
}
