//! Replicas move while some of the cluster is not there.

use super::three::{Hub, begin, is_ready, retried, three_with};
use super::*;
use crate::ring::Plan;

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
