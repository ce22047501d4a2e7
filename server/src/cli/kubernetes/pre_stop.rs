//! `stator kubernetes pre-stop`: whether the pod goes for good, and if so, the node with it.
//!
//! Kubernetes stops a pod alike for a restart, for another machine, and because its stateful set has become smaller; only the
//! last is a reason to leave the cluster. A stateful set of no pods is one that is switched off, and one that is deleted takes
//! all nodes with it: no node leaves then. Not here: how a node leaves (`nodes.rs`).

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

use super::api::{Api, ApiError};
use super::{KubernetesError, block_on};
use crate::cli::nodes::{self, insist};
use crate::config::place::node_of_name;

/// Options of `stator kubernetes pre-stop`.
#[derive(Debug, Args)]
pub(super) struct Options {
    /// Name of the stateful set
    #[arg(long, value_name = "NAME")]
    stateful_set: String,
    /// Name of the pod
    #[arg(long, value_name = "NAME", env = "STATOR_NODE_NAME")]
    pod: String,
    /// Configuration of the node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// How long to go on serving a node that stays, in milliseconds, so that clients are sent elsewhere first
    #[arg(long, value_name = "MS", default_value_t = 5000)]
    pause_ms: u64,
}

/// What becomes of the node.
#[derive(Debug, PartialEq, Eq)]
enum Fate {
    /// It comes back.
    Stays(&'static str),
    /// It leaves.
    Leaves,
}

/// Lets the node leave if it is one too many, and waits until it has.
#[expect(
    clippy::disallowed_methods,
    reason = "Kubernetes has no way to say that everybody knows that the pod goes: its documentation says to wait"
)]
pub(super) fn run(options: &Options, api: &Api) -> Result<(), KubernetesError> {
    let node = node_of_name(&options.pod).map_err(KubernetesError::Name)?;
    let path = path(&api.namespace, &options.stateful_set);
    // Nobody runs this a second time: the pod is stopped whatever comes of it.
    let stateful_set = block_on(async { Ok(insist(ApiError::may_pass, || api.get(&path)).await?) })?;
    match fate(node, stateful_set.as_ref()) {
        Fate::Stays(why) => {
            writeln!(io::stdout(), "node {node} stays in the cluster: {why}")?;
            // Nothing tells when all of Kubernetes has heard that the pod goes.
            std::thread::sleep(Duration::from_millis(options.pause_ms));
            Ok(())
        }
        Fate::Leaves => Ok(nodes::leave(&options.config)?),
    }
}

fn path(namespace: &str, name: &str) -> String {
    format!("/apis/apps/v1/namespaces/{namespace}/statefulsets/{name}")
}

/// What a stateful set says of one of its nodes.
fn fate(node: u64, stateful_set: Option<&Value>) -> Fate {
    let Some(stateful_set) = stateful_set else {
        return Fate::Stays("there is no stateful set any more");
    };
    if stateful_set["metadata"]["deletionTimestamp"].is_string() {
        return Fate::Stays("the stateful set is being deleted");
    }
    // One, if it is not said (Kubernetes API reference, StatefulSetSpec).
    match stateful_set["spec"]["replicas"].as_u64().unwrap_or(1) {
        0 => Fate::Stays("the stateful set is switched off"),
        replicas if node > replicas => Fate::Leaves,
        _ => Fate::Stays("the stateful set wants it"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::api::fake;
    use super::*;

    #[test]
    fn a_node_leaves_only_when_its_stateful_set_has_become_too_small() {
        let of = |replicas: u64| json!({"metadata": {}, "spec": {"replicas": replicas}});
        assert_eq!(fate(5, Some(&of(4))), Fate::Leaves);
        for (node, stateful_set) in [
            (4, Some(of(4))),
            (5, Some(of(5))),
            (5, Some(of(0))),
            (5, None),
            (1, Some(json!({"metadata": {}, "spec": {}}))),
            (
                5,
                Some(
                    json!({"metadata": {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "spec": {"replicas": 1}}),
                ),
            ),
        ] {
            assert!(
                matches!(fate(node, stateful_set.as_ref()), Fate::Stays(_)),
                "{node} {stateful_set:?}"
            );
        }
    }

    #[tokio::test]
    async fn the_stateful_set_is_asked_for_in_the_namespace_of_the_pod() {
        let (objects, api) = fake::api("a-token").await;
        let at = path(&api.namespace, "db");
        let small = json!({"metadata": {}, "spec": {"replicas": 3}});
        objects.kept.lock().insert(at.clone(), small);
        let found = api.get(&at).await.unwrap();
        assert_eq!(fate(4, found.as_ref()), Fate::Leaves);
        assert_eq!(
            *objects.asked.lock(),
            ["GET /apis/apps/v1/namespaces/here/statefulsets/db"]
        );
    }
}
