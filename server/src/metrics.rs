//! A node's numbers for whoever collects them, in Prometheus' text form, version 0.0.4.
//!
//! The names are part of the interface and listed in `docs/operations.md`. They are told without a signature, so that the
//! listener is one of its own, in plain, for addresses that clients do not reach.

use std::fmt::Write as _;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use stator_cluster::{Cluster, ClusterStatus, Liveness};

/// The type of the text form.
const TEXT_FORM: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Answers `GET /metrics`.
pub(crate) fn router(cluster: Cluster) -> Router {
    Router::new().route("/metrics", get(answer)).with_state(cluster)
}

async fn answer(State(cluster): State<Cluster>) -> Response {
    ([(CONTENT_TYPE, TEXT_FORM)], text(&cluster.status())).into_response()
}

/// What is counted, and what can go down again.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
}

#[derive(Debug, Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A metric with one value.
    fn single(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.metric(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        // Writing into a string does not fail.
        writeln!(self.0, "{line}").ok();
    }
}

/// What is done for replicas that were away or differ.
fn second_copies(status: &ClusterStatus, text: &mut Text) {
    let (counter, gauge) = (Kind::Counter, Kind::Gauge);
    let hints = &status.hints;
    let repair = &status.read_repair;
    for (name, kind, help, value) in [
        (
            "stator_hints_waiting",
            gauge,
            "Writes that wait in this node's hints.",
            hints.waiting,
        ),
        (
            "stator_hints_bytes",
            gauge,
            "Bytes of the writes that wait.",
            hints.bytes,
        ),
        (
            "stator_hints_written_total",
            counter,
            "Writes that were kept as hints.",
            hints.written,
        ),
        (
            "stator_hints_delivered_total",
            counter,
            "Hints that have taken their place in the order of their range.",
            hints.delivered,
        ),
        (
            "stator_read_repair_checked_total",
            counter,
            "Reads whose replicas were compared.",
            repair.checked,
        ),
        (
            "stator_read_repair_repaired_total",
            counter,
            "Cells that differed and were repaired.",
            repair.repaired,
        ),
    ] {
        text.single(name, kind, help, value);
    }
}

/// The text of a status. Labels are numbers and words of ours, which need no quoting.
fn text(status: &ClusterStatus) -> String {
    let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let leaderless = status
        .groups
        .iter()
        .filter(|group| group.leader.is_none())
        .count();
    let led = status
        .groups
        .iter()
        .filter(|group| group.range.is_some() && group.leader == Some(status.node))
        .count();
    let lag = status
        .groups
        .iter()
        .filter_map(|group| group.lag)
        .max()
        .unwrap_or(0);
    let gauge = Kind::Gauge;
    let mut text = Text::default();
    for (name, kind, help, value) in [
        (
            "stator_ranges_led",
            gauge,
            "Token ranges that this node leads.",
            count(led),
        ),
        (
            "stator_groups_without_leader",
            gauge,
            "Groups of this node that have no leader as far as it knows.",
            count(leaderless),
        ),
        (
            "stator_lag_entries_max",
            gauge,
            "Entries that the slowest follower is behind, at most, over the groups that this node leads.",
            lag,
        ),
        (
            "stator_layout_epoch",
            gauge,
            "The latest layout that this node knows.",
            status.layout_epoch,
        ),
    ] {
        text.single(name, kind, help, value);
    }
    second_copies(status, &mut text);
    let name = "stator_node_alive";
    text.metric(
        name,
        gauge,
        "Whether this node takes another one (or itself) to be alive.",
    );
    for node in &status.nodes {
        let alive = u8::from(matches!(node.liveness, Liveness::Alive));
        text.line(format_args!("{name}{{node=\"{}\"}} {alive}", node.node));
    }
    text.0
}
