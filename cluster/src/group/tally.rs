//! Rows and bytes of a group, by keyspace.

use super::replica::Replica;

impl Replica {
    /// Adds rows and bytes that were there before the node started.
    pub(crate) fn add_to_tally(&self, keyspace: u32, (items, bytes): (i64, i64)) {
        let mut state = self.state.lock();
        let tally = state.tallies.entry(keyspace).or_default();
        tally.0 = tally.0.saturating_add(items);
        tally.1 = tally.1.saturating_add(bytes);
    }

    /// The rows that a keyspace has in this group, and their bytes.
    pub(crate) fn tally(&self, keyspace: u32) -> (i64, i64) {
        self.state
            .lock()
            .tallies
            .get(&keyspace)
            .copied()
            .unwrap_or_default()
    }
}
