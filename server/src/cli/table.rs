//! `stator table`: the tables of a running cluster, with what is in them and who serves them.
//!
//! Asked as root over the API. All tables lie in all token ranges, so that ranges and leaders are those of the cluster.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::{Args, Subcommand};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::ask::{AskError, Asker};
use super::reach::{Reach, ReachError};
use super::status::{align, bytes, of_alive};
use crate::http::admin::STATUS_PATH;

/// Options of `stator table`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// All tables, with items and bytes
    List {
        #[command(flatten)]
        reach: Reach,
        /// Print one array of JSON
        #[arg(long)]
        json: bool,
    },
    /// One table, with its indexes, and the nodes that serve it
    Describe {
        /// Its name
        table: String,
        #[command(flatten)]
        reach: Reach,
        /// Print one object of JSON
        #[arg(long)]
        json: bool,
    },
}

/// Why there is nothing to show.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TableError {
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error(transparent)]
    Ask(#[from] AskError),
    #[error("the node's answer is not understood: {0}; use the program of the node's version")]
    Answer(#[from] serde_json::Error),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A page of names, as ListTables answers.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Names {
    table_names: Vec<String>,
    last_evaluated_table_name: Option<String>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Described {
    table: Shown,
}

/// What DescribeTable answers, as far as it is shown; printed under the same names.
#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Shown {
    table_name: String,
    table_status: String,
    #[serde(default)]
    item_count: u64,
    #[serde(default)]
    table_size_bytes: u64,
    key_schema: Vec<Key>,
    #[serde(default)]
    global_secondary_indexes: Vec<ShownIndex>,
    #[serde(default)]
    local_secondary_indexes: Vec<ShownIndex>,
    stream_specification: Option<Stream>,
    #[serde(default)]
    deletion_protection_enabled: bool,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Key {
    attribute_name: String,
    key_type: String,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShownIndex {
    index_name: String,
    index_status: Option<String>,
    key_schema: Vec<Key>,
    #[serde(default)]
    item_count: u64,
    #[serde(default)]
    index_size_bytes: u64,
}

#[derive(Debug, PartialEq, Eq, Deserialize, Serialize)]
#[serde(rename_all = "PascalCase")]
struct Stream {
    stream_view_type: Option<String>,
}

/// What a node says of the ring.
#[derive(Debug, Deserialize, Serialize)]
struct Ring {
    range_bits: u8,
    replication: u8,
    nodes: Vec<Node>,
    #[serde(default, skip_serializing)]
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize, Serialize)]
struct Node {
    #[serde(rename = "node")]
    id: u64,
    zone: String,
    liveness: String,
    leaders: u64,
    replicas: u64,
}

#[derive(Debug, Deserialize)]
struct Group {
    range: Option<u32>,
    leader: Option<u64>,
}

/// A table and who serves it, as it is printed.
#[derive(Debug, Serialize)]
struct Whole<'a> {
    table: &'a Shown,
    ring: &'a Ring,
    ranges: u64,
    ranges_without_leader: Vec<u32>,
}

/// Runs a command.
///
/// # Errors
/// [`TableError`] when nobody answers, or there is no such table.
pub(crate) fn run(options: &Options) -> Result<(), TableError> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let text = match &options.command {
        Command::List { reach, json } => {
            let reached = reach.read()?;
            let tables = runtime.block_on(list(&reached.asker()))?;
            if *json {
                serde_json::to_string(&tables)? + "\n"
            } else {
                overview(&tables)
            }
        }
        Command::Describe { table, reach, json } => {
            let reached = reach.read()?;
            let asker = reached.asker();
            let table = runtime.block_on(describe(&asker, table))?;
            let ring: Ring = serde_json::from_slice(&runtime.block_on(asker.get(STATUS_PATH))?)?;
            let whole = Whole::new(&table, &ring);
            if *json {
                serde_json::to_string(&whole)? + "\n"
            } else {
                whole.text()
            }
        }
    };
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

async fn list(asker: &Asker<'_>) -> Result<Vec<Shown>, TableError> {
    let (mut tables, mut after) = (Vec::new(), None);
    loop {
        let start = after.map_or_else(
            || json!({}),
            |name: String| json!({"ExclusiveStartTableName": name}),
        );
        let page = asker.operation("ListTables", start.to_string().into()).await?;
        let page: Names = serde_json::from_slice(&page)?;
        for name in &page.table_names {
            match describe(asker, name).await {
                Ok(table) => tables.push(table),
                // It was deleted meanwhile.
                Err(TableError::Ask(AskError::Refused { body, .. }))
                    if body.contains("ResourceNotFoundException") => {}
                Err(error) => return Err(error),
            }
        }
        after = page.last_evaluated_table_name;
        if after.is_none() {
            return Ok(tables);
        }
    }
}

async fn describe(asker: &Asker<'_>, name: &str) -> Result<Shown, TableError> {
    let body = json!({"TableName": name}).to_string().into();
    let described: Described = serde_json::from_slice(&asker.operation("DescribeTable", body).await?)?;
    Ok(described.table)
}

/// One line a table.
fn overview(tables: &[Shown]) -> String {
    let head = ["TABLE", "STATE", "ITEMS", "SIZE", "KEY", "INDEXES", "STREAM"];
    let mut rows = vec![head.map(str::to_owned)];
    for table in tables {
        let indexes = table.global_secondary_indexes.len() + table.local_secondary_indexes.len();
        rows.push([
            table.table_name.clone(),
            table.table_status.clone(),
            table.item_count.to_string(),
            bytes(table.table_size_bytes),
            keys(&table.key_schema),
            indexes.to_string(),
            table.stream().to_owned(),
        ]);
    }
    let mut text = String::new();
    align(&rows, &mut text);
    text
}

fn keys(schema: &[Key]) -> String {
    let names: Vec<&str> = schema.iter().map(|key| key.attribute_name.as_str()).collect();
    names.join(", ")
}

impl Shown {
    /// What its stream shows.
    fn stream(&self) -> &str {
        let view = self.stream_specification.as_ref();
        view.and_then(|stream| stream.stream_view_type.as_deref())
            .unwrap_or("-")
    }
}

impl<'a> Whole<'a> {
    fn new(table: &'a Shown, ring: &'a Ring) -> Self {
        let leaderless = ring.groups.iter().filter(|group| group.leader.is_none());
        Self {
            table,
            ring,
            ranges: 1 << ring.range_bits,
            ranges_without_leader: leaderless.filter_map(|group| group.range).collect(),
        }
    }

    fn text(&self) -> String {
        let Self { table, ring, .. } = self;
        let mut text = format!("{}, {}\n\n", table.table_name, table.table_status);
        let mut line = |name: &str, what: String| writeln!(text, "{name:<12} {what}").unwrap_or_default();
        line("key", keys(&table.key_schema));
        line(
            "items",
            format!("{} ({})", table.item_count, bytes(table.table_size_bytes)),
        );
        line("stream", table.stream().to_owned());
        let protected = if table.deletion_protection_enabled {
            "protected"
        } else {
            "possible"
        };
        line("deletion", protected.to_owned());
        let global = table
            .global_secondary_indexes
            .iter()
            .map(|index| ("global", index));
        let local = table.local_secondary_indexes.iter().map(|index| ("local", index));
        for (kind, index) in global.chain(local) {
            let status = index.index_status.as_deref().unwrap_or("ACTIVE");
            let what = format!(
                "{} ({kind}, {status}): {}; {} items ({})",
                index.index_name,
                keys(&index.key_schema),
                index.item_count,
                bytes(index.index_size_bytes)
            );
            line("index", what);
        }
        let mut ranges = format!(
            "{}, as of all tables; {} replicas wanted",
            self.ranges, ring.replication
        );
        if !self.ranges_without_leader.is_empty() {
            let names: Vec<String> = self.ranges_without_leader.iter().map(u32::to_string).collect();
            ranges.push_str("; WITHOUT LEADER: ");
            ranges.push_str(&names.join(" "));
        }
        line("ranges", ranges);
        text.push('\n');
        let mut rows = vec![["NODE", "ZONE", "STATE", "LEADS", "REPLICAS"].map(str::to_owned)];
        let nodes: BTreeMap<u64, &Node> = ring.nodes.iter().map(|node| (node.id, node)).collect();
        for node in nodes.values() {
            rows.push([
                node.id.to_string(),
                node.zone.clone(),
                node.liveness.clone(),
                of_alive(&node.liveness, node.leaders),
                node.replicas.to_string(),
            ]);
        }
        align(&rows, &mut text);
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn orders() -> Shown {
        let described = json!({"Table": {
            "TableName": "orders", "TableStatus": "ACTIVE", "ItemCount": 3, "TableSizeBytes": 20_480,
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}, {"AttributeName": "at", "KeyType": "RANGE"}],
            "GlobalSecondaryIndexes": [{"IndexName": "by-name", "IndexStatus": "CREATING", "ItemCount": 2,
                "IndexSizeBytes": 100, "KeySchema": [{"AttributeName": "name", "KeyType": "HASH"}]}],
            "StreamSpecification": {"StreamEnabled": true, "StreamViewType": "KEYS_ONLY"}, "of a later version": 1}});
        serde_json::from_value::<Described>(described).unwrap().table
    }

    #[test]
    fn tables_are_listed_with_what_is_in_them() {
        let plain: Shown = serde_json::from_value(json!({"TableName": "t", "TableStatus": "CREATING",
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}]}))
        .unwrap();
        let expected = "\
            TABLE   STATE     ITEMS  SIZE    KEY     INDEXES  STREAM\n\
            orders  ACTIVE    3      20 KiB  id, at  1        KEYS_ONLY\n\
            t       CREATING  0      0 B     k       0        -\n";
        assert_eq!(overview(&[orders(), plain]), expected);
    }

    #[test]
    fn a_table_is_described_with_who_serves_it() {
        let node = |node: u64, liveness: &str| json!({"node": node, "zone": "z", "liveness": liveness, "leaders": 2, "replicas": 4, "rack": ""});
        let ring = json!({"range_bits": 2, "replication": 3, "nodes": [node(2, "down"), node(1, "alive")],
            "groups": [{"range": null, "leader": null}, {"range": 0, "leader": 1}, {"range": 3, "leader": null}]});
        let ring: Ring = serde_json::from_value(ring).unwrap();
        let table = orders();
        let text = Whole::new(&table, &ring).text();
        for line in [
            "orders, ACTIVE\n",
            "items        3 (20 KiB)\n",
            "index        by-name (global, CREATING): name; 2 items (100 B)\n",
            "ranges       4, as of all tables; 3 replicas wanted; WITHOUT LEADER: 3\n",
            "1     z     alive  2      4\n2     z     down   -      4\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }
}
