//! `stator status`: what a node knows of the cluster, as a table or as JSON.

use std::collections::BTreeMap;
use std::io::{self, IsTerminal as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Deserialize;

use super::ask::{AskError, Asker};
use super::files::{self, FileError};
use crate::http::admin::STATUS_PATH;
use crate::tls::{self, TlsError};

/// Options of `stator status`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// Configuration of the node; names its address and the root principal's key pair
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Node to be asked instead, such as https://db-2:8000
    #[arg(long, value_name = "URL")]
    endpoint: Option<String>,
    /// Authority of the node's certificate for clients, when it is not the cluster's own
    #[arg(long, value_name = "FILE")]
    ca: Option<PathBuf>,
    /// Print the node's answer as one line of JSON
    #[arg(long)]
    json: bool,
    /// Ask again and again, and show what has changed, until interrupted; every two seconds if no number is given
    #[arg(long, value_name = "SECONDS", num_args = 0..=1, default_missing_value = "2", value_parser = clap::value_parser!(u64).range(1..))]
    watch: Option<u64>,
}

/// Why there is no status.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StatusError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the node's answer is not understood: {0}; use the program of the node's version, or --json")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// Asks a node and prints what it says.
pub(crate) fn run(options: &Options) -> Result<(), StatusError> {
    let config = files::config(&options.config)?;
    let keys = files::root_keys(&config)?;
    let authority = files::authority(options.ca.as_ref().unwrap_or(&config.security.ca))?;
    let endpoint = match &options.endpoint {
        Some(endpoint) => endpoint.clone(),
        None => endpoint_of(config.http.listen),
    };
    let asker = Asker {
        endpoint: &endpoint,
        tls: tls::client(&authority)?,
        keys: &keys,
        region: &config.http.region,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let Some(seconds) = options.watch else {
        let answer = runtime.block_on(asker.get(STATUS_PATH))?;
        return print(&answer, options.json, "");
    };
    let before = if io::stdout().is_terminal() && !options.json {
        CLEAR
    } else {
        ""
    };
    runtime.block_on(async {
        loop {
            match asker.get(STATUS_PATH).await {
                Ok(answer) => print(&answer, options.json, before)?,
                // A node that starts anew is there again in a moment.
                Err(error @ AskError::NoAnswer { .. }) => writeln!(io::stderr(), "{error}")?,
                Err(error) => return Err(error.into()),
            }
            tokio::time::sleep(Duration::from_secs(seconds)).await;
        }
    })
}

/// Makes a terminal empty and begins at its top (ECMA-48, ED and CUP).
const CLEAR: &str = "\u{1b}[2J\u{1b}[H";

fn print(answer: &[u8], json: bool, before: &str) -> Result<(), StatusError> {
    let mut out = io::stdout().lock();
    out.write_all(before.as_bytes())?;
    if json {
        out.write_all(answer)?;
        writeln!(out)?;
    } else {
        let status: Status = serde_json::from_slice(answer)?;
        out.write_all(status.table().as_bytes())?;
    }
    Ok(out.flush()?)
}

/// Where a listener is reached from its own machine.
pub(super) fn endpoint_of(listen: SocketAddr) -> String {
    format!("https://{}", host_of(listen))
}

/// The same without the scheme.
pub(super) fn host_of(listen: SocketAddr) -> SocketAddr {
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// What the table shows of a node's answer. Members that are not named here are skipped, so that nodes of later versions can
/// be asked.
#[derive(Debug, Deserialize)]
struct Status {
    #[serde(default)]
    moves: Moves,
    node: u64,
    incarnation: u64,
    layout_epoch: u64,
    replication: u8,
    nodes: Vec<Node>,
    groups: Vec<Group>,
    hints: Hints,
    read_repair: ReadRepair,
}

#[derive(Debug, Deserialize)]
struct Node {
    #[serde(rename = "node")]
    id: u64,
    address: String,
    zone: String,
    rack: String,
    liveness: String,
    incarnation: u64,
    leaders: u64,
    replicas: u64,
    requests_per_second: u64,
    data_bytes: u64,
    free_bytes: u64,
    hints_waiting: u64,
    software: String,
}

#[derive(Debug, Deserialize)]
struct Group {
    range: Option<u32>,
    leader: Option<u64>,
    quiet: bool,
    lag: Option<u64>,
    #[serde(default)]
    forwarding: u64,
    #[serde(default)]
    prepared: u64,
    #[serde(default)]
    locked_ms: u64,
    #[serde(default)]
    diverged_at: Option<u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Moves {
    pending: u64,
    coming: BTreeMap<String, u64>,
    going: BTreeMap<String, u64>,
    leaving: Vec<u64>,
    lost: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Hints {
    waiting: u64,
    bytes: u64,
    written: u64,
    delivered: u64,
}

#[derive(Debug, Deserialize)]
struct ReadRepair {
    checked: u64,
    repaired: u64,
}

impl Status {
    fn table(&self) -> String {
        let mut rows = vec![
            [
                "NODE",
                "ADDRESS",
                "ZONE",
                "RACK",
                "STATE",
                "INCARNATION",
                "LEADS",
                "REPLICAS",
                "REQ/S",
                "DATA",
                "FREE",
                "HINTS",
                "VERSION",
            ]
            .map(str::to_owned),
        ];
        for node in &self.nodes {
            rows.push([
                node.id.to_string(),
                node.address.clone(),
                or_dash(&node.zone),
                or_dash(&node.rack),
                node.liveness.clone(),
                node.incarnation.to_string(),
                of_alive(&node.liveness, node.leaders),
                node.replicas.to_string(),
                of_alive(&node.liveness, node.requests_per_second),
                bytes(node.data_bytes),
                bytes(node.free_bytes),
                node.hints_waiting.to_string(),
                or_dash(&node.software),
            ]);
        }
        let mut text = format!(
            "As node {} (incarnation {}) knows it; layout {}, {} replicas wanted\n\n",
            self.node, self.incarnation, self.layout_epoch, self.replication
        );
        align(&rows, &mut text);
        text.push('\n');
        let lines = [
            self.ranges(),
            self.rows(),
            self.transactions(),
            self.hints(),
            self.read_repair(),
        ];
        let more = self.moves().into_iter().chain(self.diverged());
        for line in lines.into_iter().chain(more) {
            text.push_str(&line);
            text.push('\n');
        }
        text
    }

    /// Rows of indexes and streams on their way.
    fn rows(&self) -> String {
        let led = self.groups.iter().filter(|group| group.leader == Some(self.node));
        let waiting: u64 = led.map(|group| group.forwarding).sum();
        format!("rows         {waiting} writes whose rows of indexes or streams are on their way")
    }

    /// Parts of transactions that wait for their end.
    fn transactions(&self) -> String {
        let led = self.groups.iter().filter(|group| group.leader == Some(self.node));
        let parts = led.fold((0, 0), |(prepared, locked_ms), group: &Group| {
            (prepared + group.prepared, group.locked_ms.max(locked_ms))
        });
        let (prepared, locked_ms) = parts;
        format!(
            "transactions {prepared} parts are prepared, and their items locked, for {locked_ms} ms at most"
        )
    }

    /// What an operator has to do about replicas that hold what the majority has lost; `None` when there are none.
    fn diverged(&self) -> Option<String> {
        let diverged = self.groups.iter().filter(|group| group.diverged_at.is_some());
        let names: Vec<String> = diverged
            .map(|group| match group.range {
                Some(range) => format!("range {range}"),
                None => "metadata".to_owned(),
            })
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "DIVERGED     {} on this node holds writes that the majority has lost in a power cut (durability interval), \
                 and takes no part: save its data directory if you miss them, empty it, and start the node with --rejoin",
                names.join(", ")
            )
        })
    }

    /// The token ranges that the node has a replica of.
    fn ranges(&self) -> String {
        let ranges = || self.groups.iter().filter(|group| group.range.is_some());
        let mut led = BTreeMap::<u64, u64>::new();
        for leader in ranges().filter_map(|group| group.leader) {
            *led.entry(leader).or_default() += 1;
        }
        let led: Vec<String> = led
            .iter()
            .map(|(node, count)| format!("{count} led by node {node}"))
            .collect();
        let leaderless: Vec<String> = ranges()
            .filter(|group| group.leader.is_none())
            .filter_map(|group| group.range)
            .map(|range| range.to_string())
            .collect();
        let lag = self
            .groups
            .iter()
            .filter_map(|group| Some((group.lag?, group.range)))
            .max_by_key(|(lag, _)| *lag);
        let mut text = format!(
            "ranges       {} here: {}; {} quiet",
            ranges().count(),
            if led.is_empty() {
                "none led".to_owned()
            } else {
                led.join(", ")
            },
            ranges().filter(|group| group.quiet).count()
        );
        if !leaderless.is_empty() {
            text.push_str("; WITHOUT LEADER: ");
            text.push_str(&leaderless.join(" "));
        }
        let behind = match lag {
            Some((0, _)) => "; all followers up to date".to_owned(),
            Some((lag, Some(range))) => format!("; most behind: {lag} entries, range {range}"),
            Some((lag, None)) => format!("; most behind: {lag} entries, metadata"),
            None => String::new(),
        };
        text.push_str(&behind);
        text
    }

    /// Replicas that have to move, and nodes that come and go; `None` when there are none.
    fn moves(&self) -> Option<String> {
        let Moves {
            pending,
            coming,
            going,
            leaving,
            lost,
        } = &self.moves;
        if *pending == 0 && leaving.is_empty() && lost.is_empty() {
            return None;
        }
        let by_node = |what: &str, nodes: &BTreeMap<String, u64>| {
            let nodes = nodes
                .iter()
                .map(|(node, count)| format!("{count} {what} node {node}"));
            nodes.collect::<Vec<_>>()
        };
        let named = |what: &str, nodes: &[u64]| {
            let nodes = nodes.iter().map(|node| format!("node {node} {what}"));
            nodes.collect::<Vec<_>>()
        };
        let mut parts = vec![format!("{pending} replicas have to move")];
        parts.extend(by_node("to", coming));
        parts.extend(by_node("away from", going));
        parts.extend(named("is leaving", leaving));
        parts.extend(named("is held for LOST", lost));
        Some(format!("moves        {}", parts.join(", ")))
    }

    fn hints(&self) -> String {
        let Hints {
            waiting,
            bytes: waiting_bytes,
            written,
            delivered,
        } = self.hints;
        format!(
            "hints        {waiting} waiting here ({}), {written} written, {delivered} delivered",
            bytes(waiting_bytes)
        )
    }

    fn read_repair(&self) -> String {
        let ReadRepair { checked, repaired } = self.read_repair;
        format!("read repair  {checked} reads checked here, {repaired} cells repaired")
    }
}

/// What only a node that is there can have; of another one, gossip has what it said last.
pub(super) fn of_alive(liveness: &str, count: u64) -> String {
    if liveness == "alive" {
        count.to_string()
    } else {
        "-".to_owned()
    }
}

fn or_dash(text: &str) -> String {
    if text.is_empty() { "-" } else { text }.to_owned()
}

/// Bytes in the largest binary unit that leaves a whole number.
pub(super) fn bytes(count: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let (mut rest, mut unit) = (count, 0);
    while rest >= 10 * 1024 && unit + 1 < units.len() {
        rest /= 1024;
        unit += 1;
    }
    format!("{rest} {}", units.get(unit).copied().unwrap_or_default())
}

/// Rows with their columns below each other.
pub(super) fn align<const N: usize>(rows: &[[String; N]], text: &mut String) {
    let mut widths = [0; N];
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    for row in rows {
        let cells: Vec<String> = widths
            .iter()
            .zip(row)
            .map(|(width, cell)| format!("{cell:<width$}"))
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};

    use super::*;
    use crate::limits::Limits;
    use crate::node;

    #[test]
    fn the_table_tells_who_is_gone_and_what_is_behind() {
        let node = |node: u64, liveness: &str| {
            json!({"node": node, "address": format!("10.0.0.{node}:7400"), "zone": "", "rack": "r1", "liveness": liveness,
                "incarnation": 4, "leaders": 1, "replicas": 3, "requests_per_second": 12, "data_bytes": 50_000,
                "free_bytes": 9_000_000_000_u64, "hints_waiting": 0, "software": "0.1.0", "started_at_ms": 1})
        };
        let group = |range: Option<u32>, leader: Option<u64>, lag: Option<u64>| {
            json!({"group": 1, "range": range, "replicas": [1, 2], "leader": leader, "term": 3, "committed": 9, "applied": 9,
                "quiet": leader.is_none(), "lag": lag})
        };
        let answer = json!({"node": 1, "cluster": "x", "incarnation": 4, "layout_epoch": 7, "range_bits": 8, "replication": 3,
            "nodes": [node(1, "alive"), node(22, "down")],
            "groups": [group(None, Some(2), None), group(Some(0), Some(1), Some(5)), group(Some(1), Some(22), None),
                group(Some(2), None, None)],
            "hints": {"waiting": 2, "bytes": 300, "written": 9, "delivered": 7},
            "read_repair": {"checked": 10, "repaired": 1}, "of a later version": true});
        let status: Status = serde_json::from_value(answer).unwrap();
        let table = status.table();
        let lines: Vec<&str> = table.lines().collect();
        assert_eq!(
            lines[0],
            "As node 1 (incarnation 4) knows it; layout 7, 3 replicas wanted"
        );
        assert!(
            lines[4].starts_with(
                "22    10.0.0.22:7400  -     r1    down   4            -      3         -      48 KiB"
            ),
            "{table}"
        );
        assert!(lines[4].ends_with("48 KiB  8583 MiB  0      0.1.0"), "{table}");
        let ranges = "ranges       3 here: 1 led by node 1, 1 led by node 22; 1 quiet; WITHOUT LEADER: 2; most behind: 5 \
                      entries, range 0";
        assert_eq!(lines[6], ranges);
        assert_eq!(
            lines[7],
            "rows         0 writes whose rows of indexes or streams are on their way"
        );
        assert_eq!(
            lines[8],
            "transactions 0 parts are prepared, and their items locked, for 0 ms at most"
        );
        assert_eq!(
            lines[9],
            "hints        2 waiting here (300 B), 9 written, 7 delivered"
        );
        assert_eq!(lines[10], "read repair  10 reads checked here, 1 cells repaired");
    }

    #[tokio::test]
    async fn what_a_node_answers_is_understood() {
        let directory = tempfile::tempdir().unwrap();
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let opened =
            node::open_alone(Durability::Interval, directory.path(), key, Limits::default()).unwrap();
        let cluster = opened.cluster;
        cluster.ready().await.unwrap();
        let json = serde_json::to_vec(&cluster.status()).unwrap();
        let status: Status = serde_json::from_slice(&json).unwrap();
        assert_eq!((status.node, status.nodes.len()), (1, 1));
        assert_eq!(status.nodes[0].liveness, "alive");
        assert!(
            status.table().contains("256 here: 256 led by node 1"),
            "{}",
            status.table()
        );
    }

    #[test]
    fn a_listener_of_all_addresses_is_asked_on_loopback() {
        let endpoint = |listen: &str| endpoint_of(listen.parse().unwrap());
        assert_eq!(endpoint("0.0.0.0:8000"), "https://127.0.0.1:8000");
        assert_eq!(endpoint("[::]:8000"), "https://[::1]:8000");
        assert_eq!(endpoint("10.0.0.1:1"), "https://10.0.0.1:1");
    }
}
