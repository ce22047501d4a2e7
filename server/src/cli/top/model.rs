//! What is shown of a cluster, from two looks at it. Pure.
//!
//! Invariant: what was not told is `None`, and shown as such; a counter that went back was started anew with its node.

use std::collections::BTreeMap;
use std::time::Duration;

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::scrape::Scraped;

/// What a node says of the cluster, as far as it is shown.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Status {
    #[serde(rename = "node")]
    pub(super) id: u64,
    layout_epoch: u64,
    range_bits: u8,
    replication: u8,
    pub(super) nodes: Vec<Node>,
    #[serde(default)]
    moves: Moves,
}

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Node {
    #[serde(rename = "node")]
    pub(super) id: u64,
    pub(super) address: String,
    liveness: String,
    leaders: u64,
    replicas: u64,
    requests_per_second: u64,
    data_bytes: u64,
    free_bytes: u64,
    hints_waiting: u64,
    software: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
struct Moves {
    pending: u64,
    coming: BTreeMap<String, u64>,
    going: BTreeMap<String, u64>,
}

/// A look at the cluster.
#[derive(Debug, Clone)]
pub(super) struct Look {
    /// When, by a clock that does not go back.
    pub(super) at: Duration,
    pub(super) status: Status,
    /// By node; none of those that did not answer.
    pub(super) metrics: BTreeMap<u64, Scraped>,
}

/// What is shown; the names are part of the command line's interface.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct View {
    /// Who has said it.
    pub(super) told_by: u64,
    pub(super) layout_epoch: u64,
    pub(super) ranges: u64,
    pub(super) ranges_led: u64,
    pub(super) replication: u8,
    pub(super) replicas_to_move: u64,
    pub(super) requests_per_second: f64,
    pub(super) nodes: Vec<Row>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Row {
    pub(super) node: u64,
    pub(super) address: String,
    pub(super) state: String,
    pub(super) leads: u64,
    pub(super) replicas: u64,
    pub(super) requests_per_second: f64,
    pub(super) errors_per_second: Option<f64>,
    /// Seconds within which half of the requests since the last look were answered.
    pub(super) p50_s: Option<f64>,
    pub(super) p99_s: Option<f64>,
    pub(super) data_bytes: u64,
    pub(super) free_bytes: u64,
    pub(super) lag_entries: Option<u64>,
    pub(super) hints: u64,
    pub(super) replicas_coming: u64,
    pub(super) replicas_going: u64,
    pub(super) software: String,
}

/// By what nodes are sorted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Order {
    /// Their number
    Node,
    /// Requests a second, most first
    Requests,
    /// Errors a second, most first
    Errors,
    /// Slowest answers first
    Latency,
    /// Data, most first
    Data,
    /// Followers, furthest behind first
    Lag,
}

impl Order {
    /// The next one, in turn.
    pub(super) fn next(self) -> Self {
        let orders = Self::value_variants();
        let place = orders.iter().position(|order| *order == self).unwrap_or_default();
        orders[(place + 1) % orders.len()]
    }

    /// Its name, as options have it.
    pub(super) fn name(self) -> String {
        self.to_possible_value()
            .map(|value| value.get_name().to_owned())
            .unwrap_or_default()
    }

    /// Rows in this order; those that are equal in the order of their nodes.
    pub(super) fn sorted(self, rows: &[Row]) -> Vec<&Row> {
        let mut rows: Vec<&Row> = rows.iter().collect();
        let most =
            |value: fn(&Row) -> f64| move |one: &&Row, other: &&Row| value(other).total_cmp(&value(one));
        rows.sort_by_key(|row| row.node);
        match self {
            Self::Node => {}
            Self::Requests => rows.sort_by(most(|row| row.requests_per_second)),
            Self::Errors => rows.sort_by(most(|row| row.errors_per_second.unwrap_or_default())),
            Self::Latency => rows.sort_by(most(|row| row.p99_s.unwrap_or_default())),
            Self::Data => rows.sort_by_key(|row| std::cmp::Reverse(row.data_bytes)),
            Self::Lag => rows.sort_by_key(|row| std::cmp::Reverse(row.lag_entries)),
        }
        rows
    }
}

impl View {
    /// What follows from a look, and the one before if there was one.
    pub(super) fn new(before: Option<&Look>, now: &Look) -> Self {
        let status = &now.status;
        let nodes: Vec<Row> = status
            .nodes
            .iter()
            .map(|node| Row::new(node, before, now))
            .collect();
        Self {
            told_by: status.id,
            layout_epoch: status.layout_epoch,
            ranges: 1 << status.range_bits,
            // Those of nodes that are away have other leaders by now, or none.
            ranges_led: nodes
                .iter()
                .filter(|row| row.is_alive())
                .map(|row| row.leads)
                .sum(),
            replication: status.replication,
            replicas_to_move: status.moves.pending,
            requests_per_second: nodes.iter().map(|row| row.requests_per_second).sum(),
            nodes,
        }
    }
}

impl Row {
    /// Whether the node takes part.
    pub(super) fn is_alive(&self) -> bool {
        self.state == "alive"
    }

    fn new(node: &Node, before: Option<&Look>, now: &Look) -> Self {
        let counted = Counted::between(node.id, before, now);
        let moves = &now.status.moves;
        let of = |moves: &BTreeMap<String, u64>| moves.get(&node.id.to_string()).copied().unwrap_or_default();
        let is_alive = node.liveness == "alive";
        // Of a node that is away, gossip has what it said last.
        let told = if is_alive {
            float(node.requests_per_second)
        } else {
            0.0
        };
        Self {
            node: node.id,
            address: node.address.clone(),
            state: node.liveness.clone(),
            leads: node.leaders,
            replicas: node.replicas,
            requests_per_second: counted
                .as_ref()
                .map_or(told, |counted| counted.requests_per_second),
            errors_per_second: counted.as_ref().map(|counted| counted.errors_per_second),
            p50_s: counted
                .as_ref()
                .and_then(|counted| quantile(&counted.buckets, 0.5)),
            p99_s: counted
                .as_ref()
                .and_then(|counted| quantile(&counted.buckets, 0.99)),
            data_bytes: node.data_bytes,
            free_bytes: node.free_bytes,
            lag_entries: now.metrics.get(&node.id).and_then(|metrics| metrics.lag),
            hints: node.hints_waiting,
            replicas_coming: of(&moves.coming),
            replicas_going: of(&moves.going),
            software: node.software.clone(),
        }
    }
}

/// What a node's counters have gone up by.
struct Counted {
    requests_per_second: f64,
    errors_per_second: f64,
    /// Requests in each bucket and in none before.
    buckets: Vec<(f64, u64)>,
}

impl Counted {
    fn between(node: u64, before: Option<&Look>, now: &Look) -> Option<Self> {
        let before = before?;
        let seconds = now.at.checked_sub(before.at)?.as_secs_f64();
        let (was, is) = (before.metrics.get(&node)?, now.metrics.get(&node)?);
        if seconds <= 0.0 {
            return None;
        }
        // Counters of a node that was started anew begin with 0.
        let is_same_life = is.requests >= was.requests;
        let since = |was: u64, is: u64| if is_same_life { is.saturating_sub(was) } else { is };
        let mut below = 0;
        let buckets = is.buckets.iter().map(|(bound, count)| {
            let found = was.buckets.iter().find(|(own, _)| own.total_cmp(bound).is_eq());
            let within = since(found.map_or(0, |(_, count)| *count), *count);
            let alone = within.saturating_sub(below);
            below = within;
            (*bound, alone)
        });
        Some(Self {
            buckets: buckets.collect(),
            requests_per_second: float(since(was.requests, is.requests)) / seconds,
            errors_per_second: float(since(was.errors, is.errors)) / seconds,
        })
    }
}

/// Within how much a part of all values lie, taken for spread evenly within their bucket; `None` without any.
fn quantile(buckets: &[(f64, u64)], part: f64) -> Option<f64> {
    let all: u64 = buckets.iter().map(|(_, count)| count).sum();
    if all == 0 {
        return None;
    }
    let (mut wanted, mut lower) = (float(all) * part, 0.0);
    for (bound, count) in buckets {
        let count = float(*count);
        if count > 0.0 && wanted <= count {
            // Nothing is known above the last bound.
            return Some(if bound.is_finite() {
                lower + (bound - lower) * wanted / count
            } else {
                lower
            });
        }
        wanted -= count;
        if bound.is_finite() {
            lower = *bound;
        }
    }
    Some(lower)
}

#[expect(clippy::cast_precision_loss, reason = "shown with a few figures")]
fn float(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;

    /// A look at three nodes, of which the last is down; `counts`: requests, errors, and requests within 1 and within 10 ms.
    pub(in crate::cli::top) fn look(at_s: u64, counts: [[u64; 4]; 2]) -> Look {
        let node = |node: u64, liveness: &str| {
            json!({"node": node, "address": format!("10.0.0.{node}:7400"), "liveness": liveness, "leaders": 100, "replicas": 256,
                "requests_per_second": 5, "data_bytes": 1_000_000 * node, "free_bytes": 9_000_000_000_u64, "hints_waiting": 0,
                "software": "0.1.0", "zone": ""})
        };
        let status = json!({"node": 1, "layout_epoch": 4, "range_bits": 8, "replication": 3,
            "nodes": [node(1, "alive"), node(2, "alive"), node(3, "down")],
            "moves": {"pending": 9, "coming": {"1": 9}, "going": {"3": 9}}});
        let metrics = counts
            .iter()
            .zip(1..)
            .map(|([requests, errors, fast, middle], node)| {
                let scraped = Scraped {
                    requests: *requests,
                    errors: *errors,
                    buckets: vec![(0.001, *fast), (0.01, *middle), (f64::INFINITY, *requests)],
                    lag: Some(node),
                };
                (node, scraped)
            });
        Look {
            at: Duration::from_secs(at_s),
            status: serde_json::from_value(status).unwrap(),
            metrics: metrics.collect(),
        }
    }

    /// The second node was started anew between the looks.
    pub(in crate::cli::top) fn view() -> View {
        let before = look(10, [[100, 0, 50, 100], [900, 90, 900, 900]]);
        View::new(Some(&before), &look(12, [[300, 4, 150, 300], [10, 2, 0, 0]]))
    }

    fn close(value: Option<f64>, wanted: f64) {
        assert!(
            value.is_some_and(|value| (value - wanted).abs() < 1e-9),
            "{value:?}, {wanted}"
        );
    }

    #[test]
    fn rates_and_quantiles_are_of_the_time_between_two_looks() {
        let view = view();
        let [one, two, three] = view.nodes.as_slice() else {
            unreachable!("{view:?}")
        };
        close(Some(one.requests_per_second), 100.0);
        close(one.errors_per_second, 2.0);
        // Half of 200 are within a millisecond, the other half within ten.
        close(one.p50_s, 0.001);
        close(one.p99_s, 0.001 + 0.009 * 0.98);
        close(Some(two.requests_per_second), 5.0);
        close(two.errors_per_second, 1.0);
        close(two.p99_s, 0.01);
        assert_eq!(
            (three.state.as_str(), three.errors_per_second, three.lag_entries),
            ("down", None, None)
        );
        close(Some(three.requests_per_second), 0.0);
        assert_eq!(
            (one.replicas_coming, three.replicas_going, view.replicas_to_move),
            (9, 9, 9)
        );
        assert_eq!((view.ranges, view.ranges_led), (256, 200));
    }

    #[test]
    fn the_first_look_shows_what_nodes_say_of_themselves() {
        let view = View::new(None, &look(1, [[7, 7, 7, 7]; 2]));
        close(Some(view.requests_per_second), 10.0);
        assert_eq!(
            (view.nodes[0].p50_s, view.nodes[0].errors_per_second),
            (None, None)
        );
        assert_eq!(view.nodes[0].lag_entries, Some(1));
    }

    #[test]
    fn no_requests_have_no_quantile_and_slow_ones_that_of_the_last_bound() {
        assert_eq!(quantile(&[(0.1, 0), (f64::INFINITY, 0)], 0.5), None);
        close(quantile(&[(0.1, 1), (f64::INFINITY, 9)], 0.5), 0.1);
        close(quantile(&[(0.1, 4), (0.2, 0), (0.4, 4)], 0.75), 0.3);
    }

    #[test]
    fn nodes_are_sorted_and_keys_go_through_all_orders() {
        let view = view();
        let sorted =
            |order: Order| -> Vec<u64> { order.sorted(&view.nodes).iter().map(|row| row.node).collect() };
        assert_eq!(sorted(Order::Node), [1, 2, 3]);
        assert_eq!(sorted(Order::Data), [3, 2, 1]);
        assert_eq!(sorted(Order::Lag), [2, 1, 3]);
        assert_eq!(sorted(Order::Requests), [1, 2, 3]);
        assert_eq!(sorted(Order::Latency), [2, 1, 3]);
        let mut order = Order::Node;
        for _ in Order::value_variants() {
            order = order.next();
        }
        assert_eq!(order, Order::Node);
    }
}
