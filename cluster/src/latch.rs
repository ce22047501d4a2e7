//! Latches: at most one read-modify-write of a key at a time, from its read until its outcome is known.
//!
//! Keys share a fixed number of stripes by their hash; two keys of one stripe wait for each other, which is slow at
//! worst and never wrong. Waiters are served in the order in which they came.

use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

/// Enough that a thousand writes in flight rarely meet by accident.
const STRIPES: usize = 4096;

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
    pub(crate) fn new() -> Self {
        Self {
            stripes: (0..STRIPES).map(|_| Arc::default()).collect(),
        }
    }

    /// Waits for the latch of a key. `space` tells equal keys of different keyspaces apart.
    pub(crate) async fn acquire(&self, space: u32, key: &[u8]) -> Latch {
        let hash = xxhash_rust::xxh3::xxh3_64_with_seed(key, u64::from(space));
        let stripe = usize::try_from(hash % STRIPES as u64).unwrap_or(0);
        let stripe = Arc::clone(&self.stripes[stripe]);
        let guard = match stripe.clone().try_lock_owned() {
            Ok(guard) => guard,
            Err(_) => stripe.lock_owned().await,
        };
        Latch { _guard: guard }
    }
}
