//! Replicas move while some of the cluster is not there, and are given up while they are filled.

use super::three::{Hub, begin, is_ready, retried, three_with};
use super::*;
use crate::node::message::Ask;
use crate::node::message::moves::{Joining, ReplicaOf};
use crate::raft::{RaftMessage, ReplicaId};
use crate::ring::{Plan, RangeId, Replica};

/// For longer than this nothing is waited for.
const PATIENCE: Duration = Duration::from_secs(60);

fn id(node: &Cluster) -> NodeId {
    node.node.settings.node
}

/// Waits until the plan is so, as a node knows it.
async fn plan_becomes(node: &Cluster, is_so: impl Fn(&Plan) -> bool) {
    let becomes = async {
        while !node.plan().unwrap().is_some_and(|plan| is_so(&plan)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(PATIENCE, becomes).await.unwrap();
}

#[tokio::test]
async fn writes_of_a_node_that_was_alone_have_ids_when_another_one_has_joined() {
    let (_directory, cluster, _) = cluster().await;
    let invocation = || cluster.with_invocation(WriteOptions::default()).invocation;
    assert_eq!(invocation(), None);
    let joining = Joining {
        node: 2,
        address: "node-2:1".to_owned(),
        capacity: 1,
        incarnation: 1,
        ..Joining::default()
    };
    cluster.take_in(&joining).await.unwrap();
    plan_becomes(&cluster, |plan| plan.layout.nodes().len() == 2).await;
    while cluster.node.layout().unwrap().nodes().len() == 1 {
        tokio::task::yield_now().await;
    }
    assert!(invocation().is_some());
    cluster.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_move_although_one_that_is_to_move_is_on_a_node_that_is_gone() {
    let hub = Hub::default();
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let three = three_with(1, &hub, Arc::clone(&commands)).await;
    let plan = three.nodes[0].plan().unwrap().unwrap();
    // Of four ranges it has two; the next node is to get one of them.
    let held = |node: &&Cluster| plan.layout.replicas_on(id(node)).count();
    let closed = three.nodes.iter().max_by_key(held).unwrap();
    let gone = id(closed);
    let others = three.nodes.iter().filter(|node| id(node) != gone);
    let [asked, leaves] = others.collect::<Vec<_>>()[..] else {
        panic!("there are three")
    };
    let leaving = id(leaves);
    closed.close().unwrap();
    hub.inboxes.lock().remove(&gone).unwrap();
    let directory = TempDir::new().unwrap();
    let new = begin(NodeId(4), 1, &directory, &hub, &commands);
    is_ready(&new).await;
    let goes = |step: &crate::ring::Move| step.remove.is_some_and(|replica| replica.node == gone);
    plan_becomes(asked, |plan| plan.pending().iter().any(goes)).await;

    // What has to move is another thing now, and nobody says who the members of that range are.
    retried(async || asked.drain(leaving).await).await;
    let has_given_up = |plan: &Plan| plan.layout.replicas_on(leaving).next().is_none();
    plan_becomes(asked, has_given_up).await;
    for node in [asked, leaves, &new] {
        node.close().unwrap();
    }
}

/// Hands on all messages but those of groups.
#[derive(Debug)]
struct WithoutGroups(Arc<dyn Inbox>);

impl WithoutGroups {
    /// What a message of groups begins with.
    const OF_GROUPS: u8 = 1;
}

impl Inbox for WithoutGroups {
    fn receive(&self, from: NodeId, message: Bytes) {
        if message.first() != Some(&Self::OF_GROUPS) {
            self.0.receive(from, message);
        }
    }
}

/// A founder is there when the cluster is made, and hears of the layout when replicas have moved already: from the log of the
/// metadata group, or from those who fill its replica of it, because the log does not reach back so far any more.
async fn a_founder_misses_the_first_layout(is_outdated: bool) {
    let hub = Hub::default();
    let commands: Arc<dyn Commands> = Arc::new(Appends);
    let directories = [(); 4].map(|()| TempDir::new().unwrap());
    let begin = |node: u64, directory: &TempDir| begin(NodeId(node), 3, directory, &hub, &commands);
    let late = begin(3, &directories[2]);
    let inbox = hub.inboxes.lock().remove(&NodeId(3)).unwrap();
    let deaf = Arc::new(WithoutGroups(Arc::clone(&inbox)));
    hub.inboxes.lock().insert(NodeId(3), deaf);
    let others = [begin(1, &directories[0]), begin(2, &directories[1])];
    for node in &others {
        is_ready(node).await;
    }
    let new = begin(4, &directories[3]);
    is_ready(&new).await;
    // Of each of the others it gets one of four.
    let has_moved = |plan: &Plan| plan.target.is_none() && plan.layout.replicas_on(NodeId(4)).count() == 3;
    plan_becomes(&others[0], has_moved).await;
    assert_eq!(late.plan().unwrap(), None);

    if is_outdated {
        let behind = late.node.replica(METADATA_GROUP).unwrap();
        while !behind.is_outdated() {
            let member = others[0].node.replica(METADATA_GROUP).unwrap();
            if let Some(leader) = member.leader() {
                // A founder's replica has the number of its node.
                let ids = (ReplicaId(leader.0), behind.id());
                let notice = RaftMessage::notice(ids, member.standing().term, (0, 0));
                behind.receive(leader, notice);
            }
            tokio::task::yield_now().await;
        }
        plan_becomes(&late, |_| true).await;
    }
    hub.inboxes.lock().insert(NodeId(3), inbox);
    is_ready(&late).await;
    let has_all = |plan: &Plan| {
        let mut counted = plan.layout.replicas_on(NodeId(3));
        let is_here = |(range, replica): (RangeId, Replica)| {
            let here = late.node.readable(group_of(range));
            here.is_some_and(|here| here.id().0 == replica.id)
        };
        plan.target.is_none() && counted.all(is_here)
    };
    plan_becomes(&others[0], has_all).await;
    for node in others.iter().chain([&late, &new]) {
        node.close().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_has_missed_the_first_layout_gets_others_in_the_place_of_its_replicas() {
    a_founder_misses_the_first_layout(false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_founder_that_others_have_to_tell_of_the_first_layout_gets_its_replicas_all_the_same() {
    a_founder_misses_the_first_layout(true).await;
}

/// Whoever fills it is behind the last page, and puts the replica that is filled into its place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_replica_that_is_given_up_when_it_has_just_been_filled_does_nothing_any_more() {
    let three = three_with(3, &Hub::default(), Arc::new(Appends)).await;
    let node = &three.nodes[2].node;
    let (outdated, leader) = loop {
        let found = (1..=4).find_map(|group| {
            let replica = node.replica(group)?;
            let leader = replica.leader().filter(|leader| *leader != NodeId(3))?;
            Some((replica, leader))
        });
        if let Some(found) = found {
            break found;
        }
        tokio::task::yield_now().await;
    };
    let (group, replica) = (outdated.group(), outdated.id());
    let leading = three.nodes.iter().find(|node| id(node) == leader).unwrap();
    let leading = leading.node.replica(group).unwrap().id();
    while !outdated.is_outdated() {
        let term = outdated.standing().term;
        let notice = RaftMessage::notice((leading, replica), term, (0, 0));
        outdated.receive(leader, notice);
    }
    let is_being_finished = || {
        let here = node.replica(group).filter(|here| !Arc::ptr_eq(here, &outdated));
        here.is_some_and(|here| here.is_retired() || !here.is_unfilled())
    };
    let mut filled = None;
    let given_up = async {
        while !is_being_finished() {
            tokio::task::yield_now().await;
        }
        let discard = || Ask::Discard(ReplicaOf::new(group, replica));
        while node.carry_out(discard()).await.is_err() {
            let here = node.replica(group).filter(|here| !here.is_unfilled());
            filled = here.or_else(|| filled.take());
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, given_up).await.unwrap();
    assert!(node.replica(group).is_none());
    assert!(filled.unwrap().is_retired());
    three.close();
}
