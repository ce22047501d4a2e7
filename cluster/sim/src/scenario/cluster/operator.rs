//! An operator who restarts one node after the other, each after a planned stop.
//!
//! Invariant: nothing else is broken meanwhile, and one node is away at a time: whoever stops finds somebody to hand over to.

use std::time::Duration;

use stator_cluster::NodeId;

use super::everyone::{Attempt, Everyone};
use super::invariant::Invariant;
use crate::kernel::Crash;
use crate::random::Stream;

/// How long a cluster runs before the first node is restarted.
const BEGINS_AFTER: Duration = Duration::from_millis(1_500);

/// See the head of the file.
pub(super) struct Operator {
    everyone: Everyone,
    stream: Stream,
}

impl Operator {
    pub(super) fn new(everyone: Everyone) -> Self {
        let stream = everyone.control.stream("operator", 0);
        Self { everyone, stream }
    }

    /// Works until then.
    pub(super) async fn work(mut self, until: Duration) {
        self.everyone.wait_for(BEGINS_AFTER).await;
        let nodes = self.everyone.nodes.to_vec();
        for node in nodes.iter().cycle() {
            if self.everyone.control.now() >= until {
                return;
            }
            self.restart(*node).await;
        }
    }

    async fn restart(&mut self, node: NodeId) {
        let attempt = self
            .everyone
            .ask(node, "hand over", |node| {
                Box::pin(async move { node.hand_over().await })
            })
            .await;
        let led = self.everyone.node(node).map(|running| running.groups());
        let led = led
            .into_iter()
            .flatten()
            .filter(|group| group.leader == Some(node));
        let led: Vec<_> = led.map(|group| group.group).collect();
        if !matches!(attempt, Attempt::Answered(())) || !led.is_empty() {
            let what = format_args!("node {node} hands over: {attempt:?}, and leads groups {led:?}");
            self.everyone.breaks(Invariant::Available, what);
        }
        self.everyone.control.crash(node, Crash::Kill);
        let away = self.stream.between(50, 600);
        self.everyone.pause(away).await;
        self.everyone.control.start(node);
        loop {
            let attempt = self
                .everyone
                .ask(node, "serve again", |node| {
                    Box::pin(async move { node.ready().await })
                })
                .await;
            if matches!(attempt, Attempt::Answered(())) {
                break;
            }
            self.everyone.pause(50).await;
        }
        let pause = self.stream.between(800, 2_000);
        self.everyone.pause(pause).await;
    }
}
