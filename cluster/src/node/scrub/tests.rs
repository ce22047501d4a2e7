//! Suspicion: who comes under it, when it ends, and what is not believed meanwhile.

use futures_util::future::FutureExt as _;
use tempfile::TempDir;

use super::*;
use crate::command::WriteOptions;
use crate::coordinator::tests::scrub::damage;
use crate::coordinator::tests::three::{Hub, retried, three_with};
use crate::coordinator::tests::{Appends, Set, settings, surroundings};
use crate::level::ConsistencyLevel;
use crate::node::settings::Alone;
use crate::raft::{MemberChange, ReplicaId};
use crate::world::{Network, NodeId};

/// The group of the first range.
const GROUP: u32 = 1;

/// A node alone, which serves.
async fn alone(directory: &TempDir) -> Arc<Node> {
    let connect = |_, _| Ok(Arc::new(Alone) as Arc<dyn Network>);
    let node = Node::open(settings(), surroundings(directory), connect).unwrap();
    node.ready().await.unwrap();
    node
}

fn close(node: &Arc<Node>) {
    Cluster::of(Arc::clone(node)).close().unwrap();
}

/// Begins a comparison of a replica, which leads; `false` if another one has begun since.
async fn is_compared(replica: &Arc<Replica>, id: u64) -> bool {
    while replica.begin_scrub(id).await.is_err() {
        replica.campaign();
        tokio::task::yield_now().await;
    }
    loop {
        match replica.scrub().filter(|scrub| scrub.id == id) {
            Some(scrub) if matches!(scrub.progress(), Progress::Done(_)) => return true,
            Some(_) => tokio::task::yield_now().await,
            None => return false,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_loses_something_while_its_suspicion_ends_stays_under_it() {
    let directory = TempDir::new().unwrap();
    let node = alone(&directory).await;
    let replica = node.replica(GROUP).unwrap();
    for id in 1..1000 {
        let counts = is_compared(&replica, id).await;
        replica.set_suspect(true).await;
        let of = ScrubOf { group: GROUP, id };
        let mut trust = Box::pin(node.trust(of));
        if !counts || trust.as_mut().now_or_never().is_some() {
            // The disk was faster than we are.
            drop(trust);
            replica.set_suspect(false).await;
            continue;
        }
        // The log is to say that it is believed again.
        node.scrubbing.given_up.lock().insert(u64::MAX, [GROUP].into());
        let refused = trust.await.unwrap_err();
        assert!(matches!(refused, Refused::NotNow(_)), "{refused:?}");
        assert!(replica.is_suspect() && !replica.is_readable());
        return close(&node);
    }
    panic!("nothing can come between");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_is_given_up_that_only_a_member_without_a_vote_may_have() {
    let directory = TempDir::new().unwrap();
    let node = alone(&directory).await;
    let cluster = Cluster::of(Arc::clone(&node));
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    for first in (0..=255).step_by(5) {
        let options = WriteOptions::default();
        cluster
            .write(keyspace, &[first, 1], options, &Set(7))
            .await
            .unwrap();
    }
    node.engine.flush().unwrap();
    assert!(damage(directory.path()) > 0);
    for file in node.engine.sstables_to_check() {
        Node::check_file(&Arc::downgrade(&node), file.number).await;
    }
    let (_, id) = node.host.keyspaces.named("k").unwrap();
    let mut damaged = node.engine.damaged().into_iter();
    let file = damaged.find(|file| file.keyspace == id).unwrap();
    assert!(file.lost.is_some());

    let replicas = node.replicas();
    let of_ranges = || replicas.iter().flatten().filter(|replica| replica.group() > 0);
    for replica in of_ranges() {
        let learn = MemberChange::Learn(ReplicaId(77), NodeId(9));
        replica.change_members(&learn).unwrap();
        while replica.nodes().len() < 2 {
            tokio::task::yield_now().await;
        }
    }
    assert!(!node.tend_file(file).await, "nobody else has what is lost");
    assert!(of_ranges().all(|replica| !replica.is_suspect()));
    close(&node);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_of_all_does_not_believe_the_suspect_replica_of_its_own_node() {
    let three = three_with(3, &Hub::default(), Arc::new(Appends)).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(retried(async || node.create_keyspace("k").await).await);
    }
    let (cluster, keyspace) = (&three.nodes[2], keyspaces[2]);
    let all = WriteOptions {
        level: ConsistencyLevel::All,
        invocation: None,
    };
    retried(async || cluster.write(keyspace, b"key", all, &Set(7)).await).await;
    let read = async |level| cluster.read(keyspace, b"key", level).await;
    let cell = retried(async || read(ConsistencyLevel::All).await).await;
    assert_eq!(cell.as_deref(), Some(&[7][..]));

    let node = cluster.inner();
    let replicas = node.replicas();
    let of_ranges = || replicas.iter().flatten().filter(|replica| replica.group() > 0);
    // No comparison ends the suspicion before it was looked at.
    let groups = of_ranges().map(|replica| replica.group()).collect();
    node.scrubbing.given_up.lock().insert(u64::MAX, groups);
    for replica in of_ranges() {
        replica.set_suspect(true).await;
    }
    let cell = retried(async || read(ConsistencyLevel::Quorum).await).await;
    assert_eq!(cell.as_deref(), Some(&[7][..]));
    let refused = read(ConsistencyLevel::All).await.unwrap_err().to_string();
    assert!(refused.contains("ALL needs every replica"), "{refused}");
    three.close();
}
