//! Latches: at most one read-modify-write of a key at a time, from its read until its outcome is known.
//!
//! Keys share a fixed number of stripes by their hash; two keys of one stripe wait for each other, which is slow at
//! worst and never wrong. Waiters are served in the order in which they came.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Stripes for cells: enough that a thousand writes in flight rarely meet by accident.
pub(crate) const STRIPES_OF_CELLS: usize = 4096;
/// Stripes for sums, which fewer writes have, and which are held for a moment only.
pub(crate) const STRIPES_OF_SUMS: usize = 512;

/// The latches of a node.
#[derive(Debug)]
pub(crate) struct Latches {
    stripes: Vec<Arc<Mutex<()>>>,
}

/// Holds a key's latch until it is dropped. It is `'static`, so it can go along with a write whose client has left.
#[derive(Debug)]
pub(crate) struct Latch {
    _guard: OwnedMutexGuard<()>,
}

impl Latches {
    pub(crate) fn new(stripes: usize) -> Self {
        Self {
            stripes: (0..stripes).map(|_| Arc::default()).collect(),
        }
    }

    /// Waits for the latches of several keys, in one order for all who do, so that nobody waits for ever.
    pub(crate) async fn acquire_all<'a>(&self, keys: impl Iterator<Item = (u32, &'a [u8])>) -> Vec<Latch> {
        let mut stripes: Vec<_> = keys.map(|(space, key)| self.stripe_of(space, key)).collect();
        stripes.sort_unstable();
        stripes.dedup();
        let mut latches = Vec::with_capacity(stripes.len());
        for stripe in stripes {
            latches.push(self.acquire_stripe(stripe).await);
        }
        latches
    }

    /// Waits for the latch of a key. `space` tells equal keys of different keyspaces apart.
    pub(crate) async fn acquire(&self, space: u32, key: &[u8]) -> Latch {
        self.acquire_stripe(self.stripe_of(space, key)).await
    }

    async fn acquire_stripe(&self, stripe: usize) -> Latch {
        let stripe = Arc::clone(&self.stripes[stripe]);
        let guard = match stripe.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => stripe.lock_owned().await,
        };
        Latch { _guard: guard }
    }

    fn stripe_of(&self, space: u32, key: &[u8]) -> usize {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(key, u64::from(space));
        usize::try_from(hash % self.stripes.len() as u64).unwrap_or(0)
    }
}
