//! How many rows a keyspace has, and how large they are.
//!
//! Invariant: every replica of a range has the same sums at the same entry of its log, because the changes are part of the
//! entries; what was there when a node started is counted once. Not here: what a row weighs (`Commands::weigh`).

use serde::Serialize;

use super::{Cluster, Keyspace};
use crate::node::message::{Ask, TallyOf, Tell};

/// Rows of a keyspace and their sizes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// How many.
    pub items: u64,
    /// Their sizes together, as [`crate::Commands::weigh`] gives them.
    pub bytes: u64,
}

impl Cluster {
    /// The rows of a keyspace in the whole cluster. Ranges whose nodes do not answer in time are left out.
    pub async fn tally(&self, keyspace: Keyspace) -> Tally {
        let Some(layout) = self.node.layout() else {
            return Tally::default();
        };
        let groups = 1..=layout.bits().range_count();
        let (mut items, mut bytes) = (0_i64, 0_i64);
        let mut elsewhere = std::collections::BTreeMap::<_, Vec<u32>>::new();
        for group in groups {
            if let Some(replica) = self.node.replica(group) {
                let sums = replica.tally(keyspace.number);
                items = items.saturating_add(sums.0);
                bytes = bytes.saturating_add(sums.1);
            } else if let Some(node) = self.nodes_of(group).first() {
                elsewhere.entry(*node).or_default().push(group);
            }
        }
        let patience = self.node.settings.timing.patience();
        for (node, groups) in elsewhere {
            let ask = Ask::Tally(TallyOf {
                keyspace: keyspace.number,
                groups,
            });
            if let Ok(Tell::Tally(sums)) = self.ask(node, ask, patience).await {
                items = items.saturating_add(sums.items);
                bytes = bytes.saturating_add(sums.bytes);
            }
        }
        Tally {
            items: u64::try_from(items).unwrap_or_default(),
            bytes: u64::try_from(bytes).unwrap_or_default(),
        }
    }
}
