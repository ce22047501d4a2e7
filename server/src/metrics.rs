//! A node's numbers for whoever collects them, in Prometheus' text form, version 0.0.4; and, on the same listener, the answers
//! to probes with their reasons.
//!
//! The names are part of the interface and listed in `docs/metrics.md`. They are told without a signature, so that the
//! listener is one of its own, in plain, for addresses that clients do not reach.

mod clocks;
#[cfg(test)]
mod document;
mod engine;
mod histogram;
mod operations;
mod process;
mod ring;
mod syncs;
mod traces;
mod transfers;

use std::future::pending;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::CONTENT_TYPE;
use http::{StatusCode, Uri};
use stator_cluster::{Cluster, ClusterStatus, GroupStatus, Liveness};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

#[cfg(test)]
pub(crate) use self::operations::operations_text;
pub(crate) use self::operations::{Concern, OperationMetrics, TableSeries};
#[cfg(test)]
pub(crate) use self::syncs::syncs_text;
pub(crate) use self::syncs::{SyncMetrics, Synced};
use crate::audit::{AuditCounts, AuditLog};
use crate::backup::{BackupCounters, Backups};
use crate::catalog::Catalog;
use crate::clock::Clock;
use crate::clock_watch::ClockWatch;
use crate::health::{Health, LIVE_PATH, READY_PATH};
use crate::http::guard::{Counters, Guard};
use crate::http::limits::HttpLimits;
use crate::http::serve::{Security, serve};
use crate::throttle::Throttle;
use crate::tls::Expiry;
use crate::trace::Traces;
use crate::transfer::Transfers;

/// The type of the text form.
const TEXT_FORM: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Where the numbers come from.
#[derive(Debug, Clone)]
pub(crate) struct Sources {
    pub(crate) cluster: Cluster,
    pub(crate) guard: Arc<Guard>,
    pub(crate) audit: Option<AuditLog>,
    pub(crate) throttle: Option<Arc<Throttle>>,
    pub(crate) operations: Arc<OperationMetrics>,
    pub(crate) syncs: Arc<SyncMetrics>,
    pub(crate) clocks: Arc<ClockWatch>,
    pub(crate) catalog: Arc<Catalog>,
    pub(crate) backups: Option<Arc<Backups>>,
    pub(crate) transfers: Option<Arc<Transfers>>,
    pub(crate) clock: Arc<dyn Clock>,
    /// Of the certificates in use, if there are any.
    pub(crate) expiry: Option<Arc<Expiry>>,
    /// Of traces, if there are any.
    pub(crate) traces: Option<Traces>,
}

/// The listener of collectors and probes, from the first moment of a node: whoever waits for it is told so. Ends when it is
/// dropped.
#[derive(Debug)]
pub(crate) struct Telling {
    sources: Arc<OnceLock<Sources>>,
    task: JoinHandle<()>,
}

/// What is told, and where from.
#[derive(Debug, Clone)]
struct Told {
    health: Arc<Health>,
    /// Not before the node serves.
    sources: Arc<OnceLock<Sources>>,
}

impl Telling {
    /// Answers `GET /metrics`, and probes.
    pub(crate) fn start(listener: TcpListener, health: Arc<Health>) -> Self {
        let sources = Arc::new(OnceLock::new());
        let router = Router::new()
            .route("/metrics", get(answer))
            .route(LIVE_PATH, get(probe))
            .route(READY_PATH, get(probe))
            .with_state(Told {
                health,
                sources: Arc::clone(&sources),
            });
        // Collectors are not counted among clients.
        let own = Guard::new(HttpLimits::default());
        Self {
            sources,
            task: tokio::spawn(serve(listener, Security::Plain, router, own, pending())),
        }
    }

    /// The node serves: numbers are told from now on.
    pub(crate) fn serves(&self, sources: Sources) {
        self.sources.get_or_init(|| sources);
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn probe(State(told): State<Told>, uri: Uri) -> Response {
    let answer = told.health.answer(uri.path(), true);
    answer.unwrap_or((StatusCode::NOT_FOUND, "")).into_response()
}

async fn answer(State(told): State<Told>) -> Response {
    let Some(sources) = told.sources.get() else {
        return (StatusCode::SERVICE_UNAVAILABLE, told.health.state().name()).into_response();
    };
    ([(CONTENT_TYPE, TEXT_FORM)], tell(sources)).into_response()
}

/// All numbers of a node.
fn tell(sources: &Sources) -> String {
    let mut text = Text::default();
    sources
        .operations
        .write(&mut text, |table| sources.catalog.table(table).is_some());
    text.cluster(&sources.cluster.status());
    text.engine(&sources.cluster.engine_statistics());
    text.syncs(&sources.syncs);
    text.clocks(&sources.clocks.offsets());
    text.process(sources.clock.now_ms());
    if let Some(expiry) = &sources.expiry {
        text.certificates(&expiry.read());
    }
    if let Some(throttle) = &sources.throttle {
        text.throttled(&throttle.refused());
    }
    text.limits(&sources.guard.counters);
    if let Some(audit) = &sources.audit {
        text.audit(audit.counts());
    }
    if let Some(backups) = &sources.backups {
        text.backups(&backups.counters);
    }
    if let Some(transfers) = &sources.transfers {
        text.transfers(&transfers.counters);
    }
    if let Some(traces) = &sources.traces {
        text.traces(traces.counters());
    }
    text.0
}

/// What is counted, what can go down again, and what is counted in buckets.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Counter,
    Gauge,
    Histogram,
}

#[derive(Debug, Default)]
struct Text(String);

impl Text {
    /// Begins a metric.
    fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        self.line(format_args!("# HELP {name} {help}"));
        self.line(format_args!("# TYPE {name} {kind}"));
    }

    /// A metric with one value.
    fn value(&mut self, name: &str, kind: Kind, help: &str, value: u64) {
        self.metric(name, kind, help);
        self.line(format_args!("{name} {value}"));
    }

    fn line(&mut self, line: std::fmt::Arguments<'_>) {
        self.0.push_str(&line.to_string());
        self.0.push('\n');
    }
}

/// Name, kind, help and value.
type Metric = (&'static str, Kind, &'static str, fn(&ClusterStatus) -> u64);

/// The metrics that have one value.
const METRICS: [Metric; 24] = [
    (
        "stator_ranges_led",
        Kind::Gauge,
        "Token ranges that this node leads.",
        |status| {
            let led = |group: &&GroupStatus| group.range.is_some() && group.leader == Some(status.node);
            count(status.groups.iter().filter(led).count())
        },
    ),
    (
        "stator_groups_without_leader",
        Kind::Gauge,
        "Groups of this node that have no leader as far as it knows.",
        |status| {
            count(
                status
                    .groups
                    .iter()
                    .filter(|group| group.leader.is_none())
                    .count(),
            )
        },
    ),
    (
        "stator_lag_entries_max",
        Kind::Gauge,
        "Entries that the slowest follower is behind, at most, over the groups that this node leads.",
        |status| {
            status
                .groups
                .iter()
                .filter_map(|group| group.lag)
                .max()
                .unwrap_or(0)
        },
    ),
    (
        "stator_forwarding_entries",
        Kind::Gauge,
        "Entries with rows of indexes or streams that other ranges are not known to have taken.",
        |status| {
            let led = |group: &&GroupStatus| group.leader == Some(status.node);
            status
                .groups
                .iter()
                .filter(led)
                .map(|group| group.forwarding)
                .sum()
        },
    ),
    (
        "stator_transactions_prepared",
        Kind::Gauge,
        "Parts of transactions that are prepared, whose items are locked, in ranges that this node leads.",
        |status| {
            let led = |group: &&GroupStatus| group.leader == Some(status.node);
            status.groups.iter().filter(led).map(|group| group.prepared).sum()
        },
    ),
    (
        "stator_transactions_locked_milliseconds",
        Kind::Gauge,
        "For how long the oldest of them has been prepared.",
        |status| {
            let led = |group: &&GroupStatus| group.leader == Some(status.node);
            status
                .groups
                .iter()
                .filter(led)
                .map(|group| group.locked_ms)
                .max()
                .unwrap_or_default()
        },
    ),
    (
        "stator_diverged_replicas",
        Kind::Gauge,
        "Replicas of this node that hold what the majority has lost, and take no part until they are filled anew.",
        |status| {
            let is_diverged = |group: &&GroupStatus| group.diverged_at.is_some();
            count(status.groups.iter().filter(is_diverged).count())
        },
    ),
    (
        "stator_hints_waiting",
        Kind::Gauge,
        "Writes that wait in this node's hints.",
        |status| status.hints.waiting,
    ),
    (
        "stator_hints_bytes",
        Kind::Gauge,
        "Bytes of the writes that wait.",
        |status| status.hints.bytes,
    ),
    (
        "stator_hints_written_total",
        Kind::Counter,
        "Writes that were kept as hints.",
        |status| status.hints.written,
    ),
    (
        "stator_hints_delivered_total",
        Kind::Counter,
        "Hints that have taken their place in the order of their range.",
        |status| status.hints.delivered,
    ),
    (
        "stator_hints_dropped_total",
        Kind::Counter,
        "Hints that were given up, because their range refuses them for good.",
        |status| status.hints.dropped,
    ),
    (
        "stator_read_repair_checked_total",
        Kind::Counter,
        "Reads whose replicas were compared.",
        |status| status.read_repair.checked,
    ),
    (
        "stator_read_repair_repaired_total",
        Kind::Counter,
        "Cells that differed and were repaired.",
        |status| status.read_repair.repaired,
    ),
    (
        "stator_scrub_ranges_total",
        Kind::Counter,
        "Token ranges whose replicas this node has compared as their leader.",
        |status| status.scrub.ranges,
    ),
    (
        "stator_scrub_bytes_total",
        Kind::Counter,
        "Bytes of cells that were digested to be compared.",
        |status| status.scrub.bytes,
    ),
    (
        "stator_scrub_differences_total",
        Kind::Counter,
        "Leaves of digests in which replicas differed.",
        |status| status.scrub.differences,
    ),
    (
        "stator_scrub_undecided_total",
        Kind::Counter,
        "Those of which nobody can say who is right.",
        |status| status.scrub.undecided,
    ),
    (
        "stator_scrub_healed_total",
        Kind::Counter,
        "Cells of this node that were put right.",
        |status| status.scrub.healed,
    ),
    (
        "stator_scrub_last_seconds",
        Kind::Gauge,
        "When a range was compared last by this node, in seconds since the Unix epoch.",
        |status| status.scrub.last_at_ms / 1000,
    ),
    (
        "stator_files_checked_total",
        Kind::Counter,
        "Files of the engine that were checked from end to end.",
        |status| status.scrub.files,
    ),
    (
        "stator_files_damaged",
        Kind::Gauge,
        "Files of the engine that are damaged.",
        |status| status.scrub.files_damaged,
    ),
    (
        "stator_suspect_replicas",
        Kind::Gauge,
        "Replicas of this node that are not read from until they are put right.",
        |status| status.scrub.suspects,
    ),
    (
        "stator_layout_epoch",
        Kind::Gauge,
        "The latest layout that this node knows.",
        |status| status.layout_epoch,
    ),
];

fn count(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

/// What limits have refused.
type Refusal = (&'static str, &'static str, fn(&Counters) -> &AtomicU64);

/// The counters of refusals.
const REFUSALS: [Refusal; 10] = [
    (
        "stator_http_connections_refused_total",
        "Connections that were closed because as many were open as may be.",
        |counters| &counters.connections_refused,
    ),
    (
        "stator_http_connections_of_address_refused_total",
        "Connections that were closed because as many of their address were open as may be.",
        |counters| &counters.connections_of_address_refused,
    ),
    (
        "stator_http_handshakes_failed_total",
        "Connections that ended before TLS was agreed on.",
        |counters| &counters.handshakes_failed,
    ),
    (
        "stator_http_headers_refused_total",
        "Requests whose headers were too large.",
        |counters| &counters.headers_refused,
    ),
    (
        "stator_http_headers_slow_total",
        "Connections that ended because no headers came in time.",
        |counters| &counters.headers_slow,
    ),
    (
        "stator_http_bodies_slow_total",
        "Requests whose body did not come in time.",
        |counters| &counters.bodies_slow,
    ),
    (
        "stator_http_bodies_throttled_total",
        "Requests that were refused because other bodies left no room for theirs.",
        |counters| &counters.bodies_throttled,
    ),
    (
        "stator_http_requests_throttled_total",
        "Requests that were refused because as many of their principal were under way as may be.",
        |counters| &counters.requests_throttled,
    ),
    (
        "stator_authentication_failures_total",
        "Requests whose signature was missing or wrong.",
        |counters| &counters.authentication_failures,
    ),
    (
        "stator_authentication_throttled_total",
        "Requests that were not looked at because too many of their address had failed.",
        |counters| &counters.authentication_throttled,
    ),
];

impl Text {
    /// The numbers of a status. Labels are numbers and words of ours, which need no quoting.
    fn cluster(&mut self, status: &ClusterStatus) {
        for (name, kind, help, value) in METRICS.iter().chain(ring::METRICS) {
            self.value(name, *kind, help, value(status));
        }
        let name = "stator_node_alive";
        let help = "Whether this node takes another one (or itself) to be alive.";
        self.metric(name, Kind::Gauge, help);
        for node in &status.nodes {
            let alive = u8::from(matches!(node.liveness, Liveness::Alive));
            self.line(format_args!("{name}{{node=\"{}\"}} {alive}", node.node));
        }
    }

    fn throttled(&mut self, refused: &[(&'static str, u64)]) {
        let name = "stator_throttled_total";
        let help = "Reads and writes that were refused because their table or index had no throughput left.";
        self.metric(name, Kind::Counter, help);
        for (kind, count) in refused {
            self.line(format_args!("{name}{{kind=\"{kind}\"}} {count}"));
        }
    }

    fn limits(&mut self, counters: &Counters) {
        self.value(
            "stator_http_connections",
            Kind::Gauge,
            "Connections of clients that are open.",
            counters.connections.load(Ordering::Relaxed),
        );
        for (name, help, counter) in REFUSALS {
            self.value(
                name,
                Kind::Counter,
                help,
                counter(counters).load(Ordering::Relaxed),
            );
        }
    }

    fn backups(&mut self, counters: &BackupCounters) {
        let help = "Backups and restores that this node is busy with.";
        let under_way = counters.jobs.under_way.load(Ordering::Relaxed);
        self.value("stator_backup_jobs", Kind::Gauge, help, under_way);
        for (name, help, counter) in [
            (
                "stator_backup_jobs_completed_total",
                "Backups that were made or removed, and restores, since the node was started.",
                &counters.jobs.completed,
            ),
            (
                "stator_backup_jobs_failed_total",
                "Tries of backups and restores that were not completed.",
                &counters.jobs.failed,
            ),
            (
                "stator_backup_read_bytes_total",
                "Bytes of items that were read for backups.",
                &counters.bytes_read,
            ),
            (
                "stator_backup_copied_bytes_total",
                "Bytes that had to be written into the archive.",
                &counters.bytes_copied,
            ),
            (
                "stator_restore_bytes_total",
                "Bytes of items that were written into restored tables.",
                &counters.bytes_restored,
            ),
        ] {
            self.value(name, Kind::Counter, help, counter.load(Ordering::Relaxed));
        }
    }

    fn audit(&mut self, counts: AuditCounts) {
        let counted = [
            (
                "written",
                "Lines of the audit log that were written.",
                counts.written,
            ),
            (
                "dropped",
                "Lines of the audit log that were dropped because too many waited.",
                counts.dropped,
            ),
            (
                "lost",
                "Lines of the audit log that the disk has refused.",
                counts.lost,
            ),
        ];
        for (name, help, value) in counted {
            self.value(&format!("stator_audit_{name}_total"), Kind::Counter, help, value);
        }
    }
}
