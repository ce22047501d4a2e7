//! Whether the node lives, and whether it serves: what probes ask, and who answers them.
//!
//! Invariant: it is told without a signature, so that clients' listeners say yes or no, and the reason is told where metrics are.
//! A node is ready when requests that are sent to it are carried out as well as anywhere: not before it serves, not when it is
//! cut off from the leaders of most of its ranges, and not when it is about to go. Not here: what an operator is told
//! (`http/admin.rs`).

use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, OnceLock};

use http::StatusCode;
use parking_lot::Mutex;
use stator_cluster::{Cluster, ClusterStatus};

use crate::clock::Clock;

/// The path at which it is told whether the process goes on.
pub(crate) const LIVE_PATH: &str = "/livez";
/// The path at which it is told whether the node serves.
pub(crate) const READY_PATH: &str = "/readyz";

/// For so long a look at the cluster is good enough: whoever may ask without a signature may ask often.
const LOOK_MS: i64 = 250;

/// How far the process is, which only goes up.
const STARTING: u8 = 0;
const SERVING: u8 = 1;
const STOPPING: u8 = 2;
const FAILED: u8 = 3;

/// How a node stands with those who would send it requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum State {
    /// It serves.
    Ready,
    /// It does not serve yet.
    Starting,
    /// It knows no leader of most of its ranges: it is cut off, or the others are down.
    NoLeader,
    /// It gives up its data to the others and leaves, or has left.
    Draining,
    /// It was told to stop, and answers what is under way.
    Stopping,
    /// Its disk has failed, and the process is about to end.
    Failed,
}

impl State {
    /// Its name in the interface.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ready => "ok",
            Self::Starting => "starting",
            Self::NoLeader => "no-leader",
            Self::Draining => "draining",
            Self::Stopping => "stopping",
            Self::Failed => "failed",
        }
    }

    /// What a cluster's status says of the node.
    fn of(status: &ClusterStatus) -> Self {
        let moves = &status.moves;
        if moves.leaving.contains(&status.node) || moves.departed.contains(&status.node) {
            return Self::Draining;
        }
        let leaderless = status
            .groups
            .iter()
            .filter(|group| group.leader.is_none())
            .count();
        // One range without a majority is no reason to take all nodes that have it away from the others.
        if leaderless * 2 > status.groups.len() {
            Self::NoLeader
        } else {
            Self::Ready
        }
    }
}

/// How the node stands, for all who are asked.
#[derive(Debug)]
pub(crate) struct Health {
    stage: AtomicU8,
    clock: Arc<dyn Clock>,
    cluster: OnceLock<Cluster>,
    /// The last look at the cluster, and when it was.
    seen: Mutex<Option<(i64, State)>>,
}

impl Health {
    /// Of a node that is starting.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Arc<Self> {
        Arc::new(Self {
            stage: AtomicU8::new(STARTING),
            clock,
            cluster: OnceLock::new(),
            seen: Mutex::new(None),
        })
    }

    /// The node serves from now on.
    pub(crate) fn serves(&self, cluster: Cluster) {
        self.cluster.get_or_init(|| cluster);
        self.reach(SERVING);
    }

    /// It was told to stop.
    pub(crate) fn stops(&self) {
        self.reach(STOPPING);
    }

    /// It cannot go on.
    pub(crate) fn fails(&self) {
        self.reach(FAILED);
    }

    fn reach(&self, stage: u8) {
        self.stage.fetch_max(stage, Ordering::AcqRel);
    }

    /// How it stands.
    pub(crate) fn state(&self) -> State {
        match (self.stage.load(Ordering::Acquire), self.cluster.get()) {
            (SERVING, Some(cluster)) => self.look(cluster),
            (STOPPING, _) => State::Stopping,
            (FAILED, _) => State::Failed,
            _ => State::Starting,
        }
    }

    fn look(&self, cluster: &Cluster) -> State {
        let now_ms = self.clock.now_ms();
        let mut seen = self.seen.lock();
        if let Some((at_ms, state)) = *seen
            && (at_ms..at_ms.saturating_add(LOOK_MS)).contains(&now_ms)
        {
            return state;
        }
        let state = State::of(&cluster.status());
        *seen = Some((now_ms, state));
        state
    }

    /// Status and words of the answer to a probe; `None` when the path is not that of one. `in_full` tells the reason, too.
    pub(crate) fn answer(&self, path: &str, in_full: bool) -> Option<(StatusCode, &'static str)> {
        let (state, is_well) = match path {
            LIVE_PATH => {
                let is_well = self.stage.load(Ordering::Acquire) != FAILED;
                (if is_well { State::Ready } else { State::Failed }, is_well)
            }
            READY_PATH => {
                let state = self.state();
                (state, state == State::Ready)
            }
            _ => return None,
        };
        Some(if is_well {
            (StatusCode::OK, State::Ready.name())
        } else {
            let words = if in_full { state.name() } else { "not ready" };
            (StatusCode::SERVICE_UNAVAILABLE, words)
        })
    }
}

#[cfg(test)]
mod tests {
    use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey, NodeId};

    use super::*;
    use crate::clock::SystemClock;
    use crate::limits::Limits;
    use crate::node;

    async fn cluster(directory: &std::path::Path) -> Cluster {
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let opened = node::open_alone(Durability::Interval, directory, key, Limits::default()).unwrap();
        opened.cluster.ready().await.unwrap();
        opened.cluster
    }

    #[tokio::test]
    async fn a_node_is_ready_while_it_serves_and_alive_until_it_fails() {
        let directory = tempfile::tempdir().unwrap();
        let health = Health::new(Arc::new(SystemClock));
        let ready = |in_full| health.answer(READY_PATH, in_full).unwrap();
        let live = || health.answer(LIVE_PATH, true).unwrap();
        assert_eq!(ready(true), (StatusCode::SERVICE_UNAVAILABLE, "starting"));
        assert_eq!(live(), (StatusCode::OK, "ok"));
        health.serves(cluster(directory.path()).await);
        assert_eq!(ready(true), (StatusCode::OK, "ok"));
        health.stops();
        assert_eq!(ready(true), (StatusCode::SERVICE_UNAVAILABLE, "stopping"));
        // Whoever has not signed is not told why.
        assert_eq!(ready(false), (StatusCode::SERVICE_UNAVAILABLE, "not ready"));
        assert_eq!(live(), (StatusCode::OK, "ok"));
        health.fails();
        assert_eq!(live(), (StatusCode::SERVICE_UNAVAILABLE, "failed"));
        // There is no way back.
        health.stops();
        assert_eq!(health.state(), State::Failed);
        assert_eq!(health.answer("/metrics", true), None);
    }

    #[tokio::test]
    async fn a_node_that_leaves_or_is_cut_off_is_not_ready() {
        let directory = tempfile::tempdir().unwrap();
        let status = cluster(directory.path()).await.status();
        assert_eq!(State::of(&status), State::Ready);
        for list in [0, 1] {
            let mut leaves = status.clone();
            let lists = [&mut leaves.moves.leaving, &mut leaves.moves.departed];
            lists.into_iter().nth(list).unwrap().push(NodeId(1));
            assert_eq!(State::of(&leaves), State::Draining);
        }
        let mut other = status.clone();
        other.moves.leaving.push(NodeId(2));
        assert_eq!(State::of(&other), State::Ready);
        let half = status.groups.len() / 2;
        let mut cut_off = status;
        for group in cut_off.groups.iter_mut().take(half) {
            group.leader = None;
        }
        assert_eq!(State::of(&cut_off), State::Ready);
        cut_off.groups.iter_mut().for_each(|group| group.leader = None);
        assert_eq!(State::of(&cut_off), State::NoLeader);
        // A node without replicas asks others.
        cut_off.groups.clear();
        assert_eq!(State::of(&cut_off), State::Ready);
    }
}
