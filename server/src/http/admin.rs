//! What operators ask a node beside the API: signed requests under `/_stator/`, by whoever may do the action of the request,
//! such as `stator:GetStatus`.

mod backups;

use std::num::NonZeroU8;
use std::sync::Arc;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::request::Parts;
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use stator_cluster::{Error, KeyStatus, Liveness, NodeId, NodeStatus};
use stator_iam::Principal;

use super::{App, amz_json, audit, authenticate, body};
use crate::auth::DYNAMODB;
use crate::authorize::Judge;
use crate::keys::RotationError;
use crate::request_id::RequestId;
use crate::wire::error::ApiError;

pub(crate) use self::backups::{BACKUPS_PATH, RESTORE_PATH};

/// What all paths begin with.
pub(crate) const PREFIX: &str = "/_stator/";
/// The path of the status.
pub(crate) const STATUS_PATH: &str = "/_stator/status";
/// The path of changes of the cluster's nodes.
pub(crate) const NODES_PATH: &str = "/_stator/nodes";
/// The path of the keys of the node's data.
pub(crate) const KEYS_PATH: &str = "/_stator/keys";
/// The path of comparisons and checks of all nodes.
pub(crate) const REPAIR_PATH: &str = "/_stator/repair";
/// The path of backups, exports and bulk operations that are under way.
pub(crate) const JOBS_PATH: &str = "/_stator/jobs";

/// What is asked for.
#[derive(Debug, Clone, Copy)]
enum Ask {
    /// What this node knows of the cluster (`docs/operations.md`).
    Status,
    /// The keys of the node's data.
    Keys,
    /// New ones.
    RotateKeys,
    /// A node is to leave, or to stay; or ranges are to have another number of replicas.
    ChangeNodes,
    /// How far comparisons and checks are.
    RepairStatus,
    /// They are to begin now.
    Repair,
    /// A backup, an export or a bulk operation is to end.
    CancelJob,
    /// Backups of the whole cluster.
    Backups,
    /// One is to be made, or removed.
    ChangeBackups,
    /// How far a restore of the cluster is.
    Restore,
    /// One is to begin, or to be given up.
    ChangeRestore,
}

/// The body of a request that ends a job.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct CancelJob {
    /// The ARN of what is to end.
    cancel: String,
}

/// The body of a request that changes the cluster's nodes.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "change")]
enum ChangeNodes {
    Drain { node: u64 },
    Remove { node: u64 },
    Stay { node: u64 },
    Replication { replicas: NonZeroU8 },
}

/// The body of a request for new keys.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields, tag = "rotate")]
enum Rotate {
    Data {
        #[serde(default)]
        rewrite: bool,
    },
    Master {},
}

/// What can be asked for, and how; `openapi/admin.json` describes each.
const ROUTES: &[(Method, &str, Ask)] = &[
    (Method::GET, STATUS_PATH, Ask::Status),
    (Method::GET, KEYS_PATH, Ask::Keys),
    (Method::POST, KEYS_PATH, Ask::RotateKeys),
    (Method::POST, NODES_PATH, Ask::ChangeNodes),
    (Method::GET, REPAIR_PATH, Ask::RepairStatus),
    (Method::POST, REPAIR_PATH, Ask::Repair),
    (Method::POST, JOBS_PATH, Ask::CancelJob),
    (Method::GET, BACKUPS_PATH, Ask::Backups),
    (Method::POST, BACKUPS_PATH, Ask::ChangeBackups),
    (Method::GET, RESTORE_PATH, Ask::Restore),
    (Method::POST, RESTORE_PATH, Ask::ChangeRestore),
];

impl Ask {
    fn parse(method: &Method, path: &str) -> Option<Self> {
        let mut routes = ROUTES.iter();
        let route = routes.find(|(own, at, _)| (own, *at) == (method, path));
        route.map(|(_, _, ask)| *ask)
    }

    /// Its name in the audit log.
    fn name(self) -> &'static str {
        match self {
            Self::Status => "GetStatus",
            Self::Keys => "GetKeys",
            Self::RotateKeys => "RotateKeys",
            Self::ChangeNodes => "ChangeNodes",
            Self::RepairStatus => "GetRepairStatus",
            Self::Repair => "BeginRepair",
            Self::CancelJob => "CancelJob",
            Self::Backups => "GetBackups",
            Self::ChangeBackups => "ChangeBackups",
            Self::Restore => "GetRestore",
            Self::ChangeRestore => "ChangeRestore",
        }
    }
}

/// Answers a request under the prefix.
pub(super) async fn answer(app: &App, parts: &Parts, body: Body, id: RequestId) -> Response {
    let Some(ask) = Ask::parse(&parts.method, parts.uri.path()) else {
        return super::unknown_operation();
    };
    let mut pending = audit::PendingCall::new(app, parts, ask.name(), id);
    let result = match body::read(&parts.headers, body, &app.guard).await {
        Ok(received) => match authenticate(app, parts, &received, DYNAMODB) {
            Ok(found) => {
                let principal = Arc::clone(pending.principal.insert(found));
                carry_out(app, parts, ask, &principal, &received).await
            }
            Err(error) => Err(error),
        },
        Err(error) => Err(error),
    };
    pending.answered(&result);
    let (status, body) = match result {
        Ok(answer) => (StatusCode::OK, answer.to_string().into_bytes()),
        Err(error) => {
            super::log(&error);
            (error.status(), error.body())
        }
    };
    amz_json(status, body, &parts.headers)
}

async fn carry_out(
    app: &App,
    parts: &Parts,
    ask: Ask,
    principal: &Principal,
    received: &Bytes,
) -> Result<Value, ApiError> {
    let json = &body::decoded(&parts.headers, received, body::BYTES_MAX, &app.guard)?;
    let caller = super::caller(app, parts, principal)?;
    Judge::new(&caller, &app.context)
        .require_of_node(ask.name())
        .await?;
    match ask {
        Ask::Status => status(app),
        Ask::ChangeNodes => {
            let change = serde_json::from_slice(json)
                .map_err(|error| ApiError::validation(format!("no change of nodes: {error}")))?;
            change_nodes(app, change).await?;
            status(app)
        }
        Ask::RepairStatus => repair(app).await,
        Ask::Repair => {
            for node in app.context.cluster.begin_repair().await? {
                tracing::warn!(node = node.0, "a node could not be asked to repair what it has");
            }
            repair(app).await
        }
        Ask::CancelJob => {
            let CancelJob { cancel } = serde_json::from_slice(json)
                .map_err(|error| ApiError::validation(format!("no job to cancel: {error}")))?;
            app.context.cancel_job(&cancel).await?;
            Ok(json!({ "cancelled": cancel }))
        }
        Ask::Backups => backups::backups(app).await,
        Ask::ChangeBackups => backups::change_backups(app, json).await,
        Ask::Restore => backups::restore(app).await,
        Ask::ChangeRestore => backups::change_restore(app, json).await,
        Ask::Keys => Ok(keys(&app.keys.status())),
        Ask::RotateKeys => {
            let rotate = serde_json::from_slice(json)
                .map_err(|error| ApiError::validation(format!("no rotation: {error}")))?;
            let done = match rotate {
                Rotate::Data { rewrite } => app.keys.rotate_data_key(rewrite).await.map(drop),
                Rotate::Master {} => app.keys.rotate_master_key().await.map(drop),
            };
            done.map_err(|error| match error {
                // Whoever asks can mend it.
                RotationError::MasterKey(sentence) => ApiError::Validation(sentence),
                error => ApiError::Internal(error.to_string()),
            })?;
            Ok(keys(&app.keys.status()))
        }
    }
}

fn status(app: &App) -> Result<Value, ApiError> {
    let status = serde_json::to_value(app.context.cluster.status());
    let mut status = status.map_err(|error| ApiError::Internal(error.to_string()))?;
    // Whoever asks sees how far clocks are apart.
    status["now_ms"] = app.context.clock.now_ms().into();
    Ok(status)
}

/// How far comparisons and checks of all nodes are, by their numbers.
async fn repair(app: &App) -> Result<Value, ApiError> {
    let progress = app.context.cluster.repair_progress().await?.into_iter();
    let progress = progress.map(|(node, progress)| (node.0.to_string(), progress));
    let progress = serde_json::to_value(progress.collect::<std::collections::BTreeMap<_, _>>());
    progress.map_err(|error| ApiError::Internal(error.to_string()))
}

async fn change_nodes(app: &App, change: ChangeNodes) -> Result<(), ApiError> {
    let cluster = &app.context.cluster;
    let changed = match change {
        ChangeNodes::Drain { node } => cluster.drain(NodeId(node)).await,
        ChangeNodes::Remove { node } => {
            let nodes = cluster.status().nodes;
            let is_alive =
                |known: &NodeStatus| known.node == NodeId(node) && known.liveness == Liveness::Alive;
            if nodes.iter().any(is_alive) {
                return Err(ApiError::validation(format!(
                    "node {node} is alive; let it leave with `stator drain {node}`, or stop it first"
                )));
            }
            cluster.drain(NodeId(node)).await
        }
        ChangeNodes::Stay { node } => cluster.undrain(NodeId(node)).await,
        ChangeNodes::Replication { replicas } => cluster.set_replication(replicas).await,
    };
    changed.map_err(|error| match error {
        // Whoever asks can mend it.
        Error::Plan(error) => ApiError::validation(error.to_string()),
        error => ApiError::from(error),
    })
}

/// The keys as JSON (`docs/operations.md`).
fn keys(status: &KeyStatus) -> Value {
    let data_keys = status.data_keys.iter().map(|key| {
        json!({
            "id": key.id.number(),
            "created": audit::time(i64::try_from(key.created_ms).unwrap_or(i64::MAX)),
            "is_current": key.is_current,
            "sstables": key.sstables,
            "sstable_bytes": key.sstable_bytes,
            "log_segments": key.log_segments,
            "manifest": key.manifest,
        })
    });
    json!({
        "master_key": status.master_key.to_string(),
        "is_rewriting": status.is_rewriting,
        "data_keys": data_keys.collect::<Value>(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The document of this API, which is written by hand.
    const DOCUMENT: &str = include_str!("../../../openapi/admin.json");

    #[test]
    fn the_document_describes_every_route_and_no_other() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let paths = document["paths"].as_object().unwrap();
        let operations = |path: &str| paths[path].as_object().unwrap().clone();
        let described: BTreeSet<String> = paths
            .keys()
            .filter(|path| path.starts_with(PREFIX))
            .flat_map(|path| {
                operations(path)
                    .into_iter()
                    .map(move |(method, operation)| format!("{method} {path} {}", operation["operationId"]))
            })
            .collect();
        let routes = ROUTES.iter().map(|(method, path, ask)| {
            format!("{} {path} \"{}\"", method.as_str().to_lowercase(), ask.name())
        });
        assert_eq!(described, routes.collect());
        let others: Vec<&String> = paths.keys().filter(|path| !path.starts_with(PREFIX)).collect();
        assert_eq!(others, ["/livez", "/metrics", "/readyz"]);
    }

    /// Every member of the bodies that the document shows is understood, and each change is shown.
    #[test]
    fn the_bodies_of_the_document_are_understood() {
        let document: Value = serde_json::from_str(DOCUMENT).unwrap();
        let examples = |name: &str, tag: &str| -> Vec<Value> {
            let schemas = &document["components"]["schemas"];
            let shown = schemas[name]["oneOf"].as_array().unwrap().iter();
            let example = |schema: &Value| {
                let members = schema["properties"].as_object().unwrap().iter();
                let value = |name: &str, member: &Value| match &member["const"] {
                    Value::Null if name == "rewrite" => json!(true),
                    Value::Null => json!(3),
                    tag => tag.clone(),
                };
                members
                    .map(|(name, member)| (name.clone(), value(name, member)))
                    .collect::<serde_json::Map<_, _>>()
                    .into()
            };
            let mut examples: Vec<Value> = shown.map(example).collect();
            examples.sort_by_key(|example| example[tag].to_string());
            examples
        };
        let changes = examples("ChangeNodes", "change");
        let tags: Vec<_> = changes
            .iter()
            .map(|change| change["change"].as_str().unwrap())
            .collect();
        assert_eq!(tags, ["drain", "remove", "replication", "stay"]);
        for change in changes {
            serde_json::from_value::<ChangeNodes>(change).unwrap();
        }
        for rotate in examples("Rotate", "rotate") {
            serde_json::from_value::<Rotate>(rotate).unwrap();
        }
    }
}
