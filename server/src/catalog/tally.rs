//! How many items a table has and how large they are, kept in memory by the writes themselves.

use std::sync::atomic::{AtomicI64, Ordering};

/// A table's number of items and their size. Every committed write adds its difference; what was there when the node
/// started is counted once.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    items: AtomicI64,
    bytes: AtomicI64,
}

impl Tally {
    /// Adds differences.
    pub(crate) fn add(&self, items: i64, bytes: i64) {
        // The two are read for display only; no one relies on seeing them change together.
        self.items.fetch_add(items, Ordering::Relaxed);
        self.bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Number of items.
    pub(crate) fn items(&self) -> i64 {
        self.items.load(Ordering::Relaxed).max(0)
    }

    /// Size of all items in bytes, by DynamoDB's rules.
    pub(crate) fn bytes(&self) -> i64 {
        self.bytes.load(Ordering::Relaxed).max(0)
    }
}
