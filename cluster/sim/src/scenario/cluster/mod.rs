//! The scenarios of the cluster: real nodes on a simulated world, clients that do everything at once, every fault.
//!
//! `cluster` breaks whatever a seed says. The others are directed: `cluster-blackout` takes all power at once,
//! `cluster-voters` that of the one who decides elections, `cluster-late` lets a leader hear what is past,
//! `cluster-drowsy` lets groups rest, `cluster-long` lets them forget, `cluster-interval` syncs seldom, `cluster-tail` has all nodes lose the end of their logs, `cluster-all` compares replicas that lag, `cluster-rolling` restarts one node after the other, `cluster-moves` has nodes join and leave, `cluster-minority` leaves one
//! node of three, `cluster-wiped` takes a node's disk, `cluster-rot` changes bits on a disk, `cluster-away` has a node be away for longer than the log is kept for it, `cluster-derived` makes an index while there is much to forward, `cluster-transact` carries out transactions. Invariants are in `invariant/`, one file each; a failure begins with
//! the name of the one that is broken. Not here: how a node is opened (`machine.rs`).

mod bank;
mod command;
mod deriving;
mod everyone;
mod invariant;
mod keeper;
mod list;
mod machine;
mod minority;
mod mover;
mod node;
mod online;
mod operator;
mod place;
mod plans;
mod random;
mod rewind;
mod rot;
mod settle;
mod setup;
mod tail;
mod watch;
mod wiped;
mod work;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use super::Scenario;

/// All of them, with nodes of the cluster.
pub fn all() -> Vec<Arc<dyn Scenario>> {
    vec![
        Arc::new(ClusterScenario::random(machine::builder())),
        Arc::new(ClusterScenario::blackout(machine::builder())),
        Arc::new(ClusterScenario::voters(machine::builder())),
        Arc::new(ClusterScenario::late(machine::builder())),
        Arc::new(ClusterScenario::rolling(machine::builder())),
        Arc::new(ClusterScenario::moves(machine::builder())),
        Arc::new(ClusterScenario::drowsy(machine::builder())),
        Arc::new(ClusterScenario::long(machine::builder())),
        Arc::new(ClusterScenario::interval(machine::builder())),
        Arc::new(ClusterScenario::derived(machine::builder())),
        Arc::new(ClusterScenario::transact(machine::builder())),
        Arc::new(ClusterScenario::away(machine::builder())),
        Arc::new(ClusterScenario::rot(machine::builder())),
        Arc::new(ClusterScenario::whole(machine::builder())),
        Arc::new(MinorityScenario::new(machine::builder())),
        Arc::new(WipedScenario::new(machine::builder())),
        Arc::new(TailScenario::new(machine::builder())),
    ]
}

pub use minority::MinorityScenario;
pub use random::ClusterScenario;
pub use tail::TailScenario;
pub use wiped::WipedScenario;
