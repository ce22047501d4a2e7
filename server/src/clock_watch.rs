//! How far the clocks of other nodes are from this one's, looked at again and again, for whoever collects it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::{ClockOffset, Cluster};

/// How often clocks are looked at.
const INTERVAL: Duration = Duration::from_secs(10);

/// What the last look has found.
#[derive(Debug, Default)]
pub(crate) struct ClockWatch(Mutex<Vec<ClockOffset>>);

impl ClockWatch {
    /// Begins to look, for as long as the process runs.
    pub(crate) fn start(cluster: Cluster) -> Arc<Self> {
        let watch = Arc::<Self>::default();
        tokio::spawn(Arc::clone(&watch).keep(cluster));
        watch
    }

    async fn keep(self: Arc<Self>, cluster: Cluster) {
        loop {
            let found = cluster.clock_offsets().await;
            *self.0.lock() = found;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    /// One look that has found this.
    #[cfg(test)]
    pub(crate) fn of(found: ClockOffset) -> Self {
        Self(Mutex::new(vec![found]))
    }

    /// Of each node that has answered.
    pub(crate) fn offsets(&self) -> Vec<ClockOffset> {
        self.0.lock().clone()
    }
}
