//! `docs/metrics.md`: made of what a node tells, by `cargo xtask metrics`, and held against it by the test here.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use stator_cluster::{ClockOffset, Durability, MASTER_KEY_BYTES, MasterKey, NodeId};

use super::{Sources, operations_text, tell};
use crate::audit::AuditLog;
use crate::auth::{self, Authenticator};
use crate::backup::BackupSettings;
use crate::clock::{Clock, SystemClock};
use crate::clock_watch::ClockWatch;
use crate::config::Rotation;
use crate::health::Health;
use crate::http::limits::HttpLimits;
use crate::limits::Limits;
use crate::node;
use crate::object_store::Buckets;
use crate::tls::Expiry;
use crate::trace::{Described, Destination, Traces, TracingSettings};
use crate::upkeep::UpkeepSettings;
use crate::wire::target::Target;

/// What is written down.
const DOCUMENT: &str = include_str!("../../../docs/metrics.md");
const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/metrics.md");
/// Has the test write the document, instead of checking it.
const WRITE: &str = "STATOR_WRITE_METRICS";

const HEAD: &str = "\
# Metrics

What a node tells at `GET /metrics` of `[http] metrics_listen`, in Prometheus' text form. Made by `cargo xtask metrics` from what a node \
tells; do not edit. [operations.md](operations.md#what-a-node-knows) says where it is told, and `docker/observability/` has alerts and \
dashboards for it.

| name | type | labels | what |
|---|---|---|---|
";

/// Everything that a node tells which has all there is.
async fn everything() -> String {
    let directory = tempfile::tempdir().unwrap();
    let settings = format!("file = {:?}", directory.path().join("audit.jsonl"));
    let settings = toml::from_str(&settings).unwrap();
    let audit = AuditLog::start(settings, Arc::new(SystemClock), Box::new(|_| Vec::new())).unwrap();
    let limits = Limits {
        throughput: true,
        ..Limits::default()
    };
    let key = MasterKey::new([3; MASTER_KEY_BYTES]);
    let opened = node::open_alone(Durability::Interval, directory.path(), key, limits).unwrap();
    opened.cluster.ready().await.unwrap();
    let api = node::Api {
        region: "us-east-1".to_owned(),
        endpoint: "localhost".to_owned(),
        authenticator: Authenticator::AnyWellFormed(Arc::new(auth::root("AKIA1"))),
        upkeep: UpkeepSettings::default(),
        http_limits: HttpLimits::for_development(),
        backup: Some(BackupSettings::new(directory.path().join("backups"))),
        object_store: Some((Buckets::in_directory(directory.path().join("buckets")), 1 << 20)),
        audit: Some(audit),
        fetch: None,
        rotation: Rotation::default(),
        limits,
        health: Health::new(Arc::new(SystemClock)),
        slow_request: None,
    };
    let app = node::app(&opened, api).await.unwrap();
    // There are no other nodes.
    let ahead = ClockOffset {
        node: NodeId(2),
        ahead_ms: 1_000,
        error: Duration::ZERO,
    };
    let told = tell(&Sources {
        cluster: opened.cluster.clone(),
        guard: Arc::clone(&app.guard),
        audit: app.audit.clone(),
        throttle: app.context.throttle.clone(),
        operations: Arc::clone(&app.operations),
        syncs: Arc::clone(&app.syncs),
        clocks: Arc::new(ClockWatch::of(ahead)),
        catalog: Arc::clone(&app.context.catalog),
        backups: app.context.backups.clone(),
        transfers: app.context.transfers.clone(),
        clock: Arc::new(SystemClock),
        expiry: Some(Arc::new(Expiry::default())),
        traces: Some(traces()),
    });
    // Nothing was asked of it, so that series of operations have no labels yet.
    let answered = [(
        Target::GetItem,
        Duration::from_millis(1),
        Some("ThrottlingException"),
    )];
    told + &operations_text(&answered)
}

/// Traces that nobody collects, and of which there are none.
fn traces() -> Traces {
    let settings = TracingSettings::for_tests("http://127.0.0.1:9", 0.0);
    let destination = Destination::new(&settings, HeaderMap::new(), None).unwrap();
    let described = Described {
        node: 1,
        cluster: "dev".to_owned(),
    };
    let around: (_, Arc<dyn Clock>) = (node::world().unwrap(), Arc::new(SystemClock));
    Traces::start(&settings, destination, &described, around)
}

/// A metric, as it is told.
#[derive(Debug, Default)]
struct Metric {
    kind: String,
    help: String,
    labels: Vec<String>,
}

fn document(text: &str) -> String {
    let mut metrics = BTreeMap::<String, Metric>::new();
    for line in text.lines() {
        let comment = line.strip_prefix("# ").and_then(|rest| {
            let (what, rest) = rest.split_once(' ')?;
            let (name, rest) = rest.split_once(' ')?;
            Some((what, name, rest))
        });
        match comment {
            Some(("HELP", name, help)) => {
                help.clone_into(&mut metrics.entry(name.to_owned()).or_default().help);
            }
            Some(("TYPE", name, kind)) => {
                kind.clone_into(&mut metrics.entry(name.to_owned()).or_default().kind);
            }
            _ => note_labels(&mut metrics, line),
        }
    }
    let mut document = HEAD.to_owned();
    for (name, metric) in metrics {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let cells = [format!("`{name}`"), metric.kind, labels.join(", "), metric.help];
        document.push_str(&format!("| {} |\n", cells.join(" | ")).replace("|  |", "| |"));
    }
    document
}

/// Notes the labels of a series.
fn note_labels(metrics: &mut BTreeMap<String, Metric>, line: &str) {
    let Some((series, labels)) = line.split_once('{') else {
        return;
    };
    let of_histogram = ["_bucket", "_sum", "_count"]
        .iter()
        .find_map(|end| series.strip_suffix(end));
    let name = of_histogram
        .filter(|name| metrics.contains_key(*name))
        .unwrap_or(series);
    let Some(metric) = metrics.get_mut(name) else {
        return;
    };
    for label in labels
        .split("\",")
        .filter_map(|label| Some(label.split_once('=')?.0))
    {
        // That of a bucket's bound is the form's own.
        if label != "le" && !metric.labels.iter().any(|known| known == label) {
            metric.labels.push(label.to_owned());
        }
    }
}

#[tokio::test]
async fn the_document_is_what_a_node_tells() {
    let written = document(&everything().await);
    if std::env::var_os(WRITE).is_some() {
        std::fs::write(PATH, written).unwrap();
        return;
    }
    assert_eq!(DOCUMENT, written, "`cargo xtask metrics` makes the document anew");
}

#[tokio::test]
async fn every_metric_is_told_once_with_its_type_and_help() {
    let told = everything().await;
    let mut names: Vec<&str> = told
        .lines()
        .filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '))
        .map(|(name, _)| name)
        .filter(|name| !name.starts_with("stator_operation_") && !name.starts_with("stator_table_operation_"))
        .collect();
    let all = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), all);
    for name in [
        "stator_engine_level_bytes",
        "stator_certificate_expires_seconds",
        "stator_backup_jobs",
        "stator_throttled_total",
    ] {
        assert!(names.contains(&name), "{name}");
    }
}

#[test]
fn a_document_has_a_line_a_metric_with_labels_of_its_series() {
    let text = "# HELP b Of b.\n# TYPE b histogram\nb_bucket{operation=\"x,y\",le=\"1\"} 0\nb_count{operation=\"x\"} 1\n# HELP a Of a.\n\
                # TYPE a gauge\na 1\n";
    let expected = "| `a` | gauge | | Of a. |\n| `b` | histogram | `operation` | Of b. |\n";
    assert_eq!(document(text).strip_prefix(HEAD), Some(expected));
}
