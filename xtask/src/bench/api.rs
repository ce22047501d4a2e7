//! `bench api`: signed PutItem and GetItem of a 1 KB item of 10 attributes over HTTP, and Query of 100 small items.
//!
//! The peer is `server/examples/bare_handler.rs`: the same HTTP library and runtime, the same verification of the
//! signature, the same bytes in the answer, and nothing in between. What Stator costs above it is what parsing, the
//! engine and the log cost.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use serde_json::Value;

use super::load::{Generator, Until};
use super::process::ServerProcess;
use super::query;
use super::report::Row;
use super::rounds::{Effort, Side, compare};
use super::sign::{Pool, Signer};
use crate::cargo::{self, Workspace};
use crate::{Result, clock};

const BENCH: &str = "api";
const PEER: &str = "bare axum handler";
pub(super) const TABLE: &str = "bench";
/// Different items, so different keys.
pub(super) const ITEMS: u64 = 4096;
/// In how many versions each item is put.
const VERSIONS: u64 = 2;
/// The size of an item by DynamoDB's count, and less than its record in a log.
const ITEM_BYTES: u64 = 1024;
const CONNECTIONS: [usize; 2] = [1, 32];
const LOAD_CONNECTIONS: usize = 32;
const ACTIVE_TIMEOUT: Duration = Duration::from_secs(20);

/// How long each string attribute of an item is; with its id, a number and a boolean an item has 10 attributes and 1,024
/// bytes by DynamoDB's count.
const STRINGS: [(&str, usize); 7] = [
    ("city", 16),
    ("company", 32),
    ("email", 32),
    ("name", 24),
    ("notes", 736),
    ("street", 48),
    ("title", 64),
];

/// Runs the bench.
pub(super) fn run(workspace: &Workspace, effort: Effort) -> Result<Vec<Row>> {
    let executables = cargo::build(
        workspace,
        &[
            "--release",
            "--package",
            "stator",
            "--bin",
            "stator",
            "--example",
            "bare_handler",
        ],
    )?;
    let stator = executables.get("bin", "stator")?;
    let bare_handler = executables.get("example", "bare_handler")?;
    // Below the target folder, not where temporary files go: that is often memory, where a sync costs nothing.
    let folder = tempfile::Builder::new()
        .prefix("bench-api-")
        .tempdir_in(&workspace.target)?;
    let bodies = Bodies::new();

    let interval = Ours::start(&stator, folder.path(), "interval", &bodies, "")?;
    let captured = folder.path().join("get_item.json");
    std::fs::write(&captured, interval.get_item(&bodies)?)?;
    let queried = folder.path().join("query.json");
    std::fs::write(&queried, query::fill(&interval)?)?;
    let answers = [
        "--get-item-body",
        path_text(&captured)?,
        "--query-body",
        path_text(&queried)?,
    ];
    let peer = ServerProcess::start(&bare_handler, &answers)?;
    check_refusal(&peer, &bodies)?;

    let mut rows = Vec::new();
    rows.extend(measure(
        "get_item",
        "GetItem",
        &bodies.get,
        &interval.process,
        &peer,
        effort,
    )?);
    rows.extend(measure(
        "query 100 items",
        "Query",
        &query::bodies(),
        &interval.process,
        &peer,
        effort,
    )?);
    rows.extend(measure(
        "put_item interval",
        "PutItem",
        &bodies.put,
        &interval.process,
        &peer,
        effort,
    )?);
    drop(interval);
    let sync = Ours::start(&stator, folder.path(), "sync", &bodies, "")?;
    rows.extend(measure(
        "put_item sync",
        "PutItem",
        &bodies.put,
        &sync.process,
        &peer,
        effort,
    )?);
    Ok(rows)
}

/// Rows for one operation at each number of connections.
fn measure(
    row: &str,
    operation: &'static str,
    bodies: &[String],
    ours: &ServerProcess,
    peer: &ServerProcess,
    effort: Effort,
) -> Result<Vec<Row>> {
    let now = clock::time_of_day();
    let signers = [Signer::new(&ours.ready)?, Signer::new(&peer.ready)?];
    let mut our_pool = Pool::new(&signers[0], operation, bodies, now)?;
    let mut peer_pool = Pool::new(&signers[1], operation, bodies, now)?;
    let written_before = ours.written_bytes()?;
    let mut rows = Vec::new();
    for connections in CONNECTIONS {
        eprintln!("bench api: {row} c{connections}");
        let sides = [
            Side {
                process: ours,
                pool: &mut our_pool,
            },
            Side {
                process: peer,
                pool: &mut peer_pool,
            },
        ];
        let name = format!("{row} c{connections}");
        rows.extend(compare(BENCH, &name, PEER, sides, connections, effort)?);
    }
    if operation == "PutItem" {
        check_written(ours.written_bytes()? - written_before, our_pool.sent())?;
    }
    Ok(rows)
}

/// Makes sure that each put was written: one that changes nothing is answered without, and would be cheap for the wrong
/// reason.
fn check_written(bytes: u64, requests: usize) -> Result<()> {
    if bytes >= u64::try_from(requests)? * ITEM_BYTES {
        Ok(())
    } else {
        Err(format!("{requests} puts of {ITEM_BYTES} bytes have written {bytes} bytes only").into())
    }
}

/// A Stator of one durability that holds all items.
pub(super) struct Ours {
    pub(super) process: ServerProcess,
    pub(super) signer: Signer,
}

impl Ours {
    /// `more` are members of CreateTable, each behind a comma; `city` is defined if there are any of an index.
    pub(super) fn start(
        stator: &Path,
        folder: &Path,
        durability: &str,
        bodies: &Bodies,
        more: &str,
    ) -> Result<Self> {
        let data = tempfile::Builder::new()
            .prefix(durability)
            .tempdir_in(folder)?
            .keep();
        let process = ServerProcess::start(
            stator,
            &[
                "dev",
                "--port",
                "0",
                "--auth",
                "--json",
                "--durability",
                durability,
                "--data-dir",
                path_text(&data)?,
            ],
        )?;
        check_refusal(&process, bodies)?;
        let signer = Signer::new(&process.ready)?;
        let ours = Self { process, signer };
        ours.create_table(more)?;
        let mut generator = Generator::connect(ours.process.ready.address()?, LOAD_CONNECTIONS)?;
        let mut pool = Pool::new(&ours.signer, "PutItem", &bodies.put, clock::time_of_day())?;
        let mut requests = pool.requests(clock::time_of_day())?;
        generator.run(&mut requests, Until::Sent(bodies.put.len()))?;
        Ok(ours)
    }

    /// Creates the table and waits until it can be used.
    fn create_table(&self, more: &str) -> Result<()> {
        let city = if more.contains("IndexName") {
            r#",{"AttributeName":"city","AttributeType":"S"}"#
        } else {
            ""
        };
        let create = format!(
            r#"{{"TableName":"{TABLE}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}{city}],"KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]{more}}}"#
        );
        self.call("CreateTable", &create)?;
        let describe = format!(r#"{{"TableName":"{TABLE}"}}"#);
        let start = clock::now();
        while !self
            .call("DescribeTable", &describe)?
            .contains(r#""TableStatus":"ACTIVE""#)
        {
            if clock::now() - start > ACTIVE_TIMEOUT {
                return Err("the table is still not active".into());
            }
        }
        Ok(())
    }

    /// The answer to one GetItem, made sure to be an item.
    fn get_item(&self, bodies: &Bodies) -> Result<String> {
        let first = bodies.get.first().ok_or("no items")?;
        let answer = self.call("GetItem", first)?;
        if answer.len() > 1024 && answer.starts_with(r#"{"Item":{"#) {
            Ok(answer)
        } else {
            Err(format!("GetItem answered {answer}").into())
        }
    }

    /// One request whose answer has to be 200.
    pub(super) fn call(&self, operation: &str, body: &str) -> Result<String> {
        let request = self.signer.request(operation, body, clock::time_of_day())?;
        let answer = Generator::connect(self.process.ready.address()?, 1)?.exchange(&request)?;
        let text = String::from_utf8(answer.body)?;
        match answer.status {
            200 => Ok(text),
            status => Err(format!("{operation} answered {status}: {text}").into()),
        }
    }
}

/// Makes sure that a server verifies signatures: otherwise its figures would be of something else.
fn check_refusal(server: &ServerProcess, bodies: &Bodies) -> Result<()> {
    let mut ready = server.ready.clone();
    ready.secret_access_key.push('x');
    let body = bodies.get.first().ok_or("no items")?;
    let request = Signer::new(&ready)?.request("GetItem", body, clock::time_of_day())?;
    let answer = Generator::connect(ready.address()?, 1)?.exchange(&request)?;
    match answer.status {
        400 => Ok(()),
        status => Err(format!("{}: a wrong signature was answered {status}", ready.endpoint).into()),
    }
}

fn path_text(path: &Path) -> Result<&str> {
    path.to_str()
        .ok_or_else(|| format!("{}: not UTF-8", path.display()).into())
}

/// What lies at a path in an answer; null if nothing does.
pub(super) fn member(text: &str, path: &[&str]) -> Result<Value> {
    let mut value: Value = serde_json::from_str(text)?;
    for name in path {
        value = value[*name].take();
    }
    Ok(value)
}

/// The bodies of all requests.
pub(super) struct Bodies {
    pub(super) get: Vec<String>,
    /// First all items in one version, then all in another: sent over and over in this order, each put changes the item
    /// that it replaces. Stator does not log a put of what is there already.
    pub(super) put: Vec<String>,
}

impl Bodies {
    pub(super) fn new() -> Self {
        Self {
            get: (0..ITEMS)
                .map(|index| {
                    format!(
                        r#"{{"TableName":"{TABLE}","Key":{{"id":{{"S":"{}"}}}}}}"#,
                        id(index)
                    )
                })
                .collect(),
            put: (0..VERSIONS)
                .flat_map(|version| (0..ITEMS).map(move |index| item(index, version)))
                .map(|item| format!(r#"{{"TableName":"{TABLE}","Item":{item}}}"#))
                .collect(),
        }
    }
}

fn id(index: u64) -> String {
    format!("user#{index:011}")
}

/// An item in DynamoDB JSON. Its text is random letters, so that no compression flatters the engine.
fn item(index: u64, version: u64) -> String {
    let mut random = index + version * ITEMS;
    let mut text = format!(
        r#"{{"id":{{"S":"{}"}},"visits":{{"N":"{}"}},"active":{{"BOOL":true}}"#,
        id(index),
        10_000_001 + 2 * random
    );
    for (name, length) in STRINGS {
        let value: String = (0..length).map(|_| letter(&mut random)).collect();
        // Writing to a String cannot fail.
        write!(text, r#","{name}":{{"S":"{value}"}}"#).ok();
    }
    text.push('}');
    text
}

/// The next of a fixed sequence of letters and digits (splitmix64: Steele, Lea, Flood, OOPSLA 2014).
fn letter(state: &mut u64) -> char {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789 -";
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let [.., last] = (mixed ^ (mixed >> 31)).to_be_bytes();
    char::from(LETTERS[usize::from(last % 64)])
}

#[cfg(test)]
mod tests {
    use std::collections::{HashMap, HashSet};

    use serde_json::Value;

    use super::{Bodies, ITEM_BYTES, ITEMS, check_written, item};

    /// DynamoDB Developer Guide, "DynamoDB item sizes and formats": names and strings by their bytes, a number about one
    /// byte for two digits and one more, a boolean one byte.
    fn size(item: &serde_json::Map<String, Value>) -> usize {
        item.iter()
            .map(|(name, value)| {
                let bytes = match value.as_object().unwrap().iter().next().unwrap() {
                    (kind, Value::String(text)) if kind == "N" => text.len().div_ceil(2) + 1,
                    (_, Value::String(text)) => text.len(),
                    _ => 1,
                };
                name.len() + bytes
            })
            .sum()
    }

    #[test]
    fn an_item_has_ten_attributes_and_one_kilobyte() {
        for (index, version) in [(0, 0), (7, 1), (ITEMS - 1, 1)] {
            let Value::Object(item) = serde_json::from_str(&item(index, version)).unwrap() else {
                panic!("not an object");
            };
            assert_eq!(
                (item.len(), size(&item)),
                (10, usize::try_from(ITEM_BYTES).unwrap())
            );
        }
    }

    #[test]
    fn each_put_changes_the_item_that_it_replaces() {
        let put = Bodies::new().put;
        let id = |body: &str| body.split('"').nth(11).map(str::to_owned).unwrap();
        let mut present = HashMap::new();
        // Twice round, so that the step from the last version back to the first is seen.
        for body in put.iter().chain(&put) {
            assert_ne!(present.insert(id(body), body), Some(body), "{body}");
        }
        assert_eq!(present.len(), usize::try_from(ITEMS).unwrap());
    }

    #[test]
    fn puts_that_were_not_written_are_noticed() {
        assert!(check_written(10 * ITEM_BYTES, 10).is_ok());
        assert!(check_written(10 * ITEM_BYTES - 1, 10).is_err());
    }

    #[test]
    fn items_differ_and_are_the_same_in_each_run() {
        let bodies = Bodies::new();
        let different: HashSet<&String> = bodies.put.iter().chain(&bodies.get).collect();
        assert_eq!(different.len(), bodies.put.len() + bodies.get.len());
        assert_eq!(item(5, 1), item(5, 1));
    }
}
