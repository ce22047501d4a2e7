//! A cluster goes from an earlier program to this one, back, and on again, a node at a time, while clients work with the SDKs'
//! default retries, boto3 among them. None of them sees an error, what is new waits until all nodes know it, and rows of an index
//! come from ranges of one program to those of the other.
//!
//! `cargo xtask upgrade --from COMMIT` builds the earlier program and runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::chaos::wait_until_whole;
use compat_tests::load::bank::Bank;
use compat_tests::load::{Load, Settings};
use compat_tests::{
    Balancer, Client, Cluster, Durability, Mode, Random, Result, Sdk, holds_within, pause, python,
};
use serde_json::json;

/// How long nodes of both programs run between two restarts.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long clients may wait for the next answered write: a planned stop waits for no election.
const GAP_MAX: Duration = Duration::from_secs(1);
/// How long news of a node that has started may take to the others.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// The generation of formats that histories need.
const OF_HISTORY: u64 = 1;
/// Programs of this generation read rows of other ranges that name terms. This program writes them as soon as all nodes run
/// it, so that a cluster whose tables have indexes cannot go back to an earlier one.
const READING_TERMS: u64 = 3;
/// A table whose history is wanted.
const TABLE: &str = "upgraded";
/// A table with an index.
const INDEXED: &str = "indexed";
/// How many items are put into it each time.
const ITEMS_AT_A_TIME: u64 = 20;

#[test]
#[ignore = "needs an earlier program: cargo xtask upgrade"]
fn an_upgrade_node_by_node_and_the_way_back_cost_no_client_an_error() {
    let earlier: PathBuf = std::env::var_os("STATOR_EARLIER_BIN").unwrap().into();
    let mut cluster = Cluster::of_program(3, Durability::Sync, &earlier).unwrap();
    let balancer = Balancer::start(cluster.addresses(), cluster.health_check()).unwrap();
    let settings = Settings {
        clients: 12,
        // Three attempts each, as boto3 with `retries={"mode": "standard"}`.
        modes: vec![Mode::Standard],
        boto: (3, python()),
        ..Settings::usual("rolling", 4)
    };
    let load = Load::new(settings, cluster.access(), balancer.address()).unwrap();
    let bank = Bank::open(cluster.access(), balancer.address(), "bank", 4, 4).unwrap();
    let mut items = None;
    let transfers = bank.run(|| {
        items = Some(load.run(|| {
            make_table(&cluster)?;
            let formats = least_formats(&cluster, 0)?;
            let is_news = formats < OF_HISTORY;
            let mut rows = None;
            if formats >= READING_TERMS {
                let sdk = Sdk::new(
                    cluster.access(),
                    balancer.address(),
                    Mode::LegacyPython,
                    Random::new(4, 0),
                );
                rows = Some(Rows::open(sdk)?);
            }
            for program in [None, Some(&*earlier), None] {
                run_each(&mut cluster, program, is_news, rows.as_mut())?;
            }
            if let Some(rows) = &mut rows {
                rows.are_all_there()?;
            }
            let is_taken = || keep_history(&cluster, 0).is_ok_and(|refused| refused.is_none());
            if holds_within(HEARD_WITHIN, is_taken) {
                Ok(())
            } else {
                Err("no history, though all nodes run this program".into())
            }
        })?);
        wait_until_whole(&cluster)
    });
    let transfers = transfers
        .inspect_err(|error| {
            cluster.show();
            eprintln!("rolling upgrade: {error}");
        })
        .unwrap();
    let items = items.unwrap();
    eprintln!("rolling upgrade: {items}\nrolling upgrade: {transfers:?}");
    for failure in &items.failures {
        eprintln!("{failure}");
    }
    assert_eq!(items.failures.len(), 0, "clients saw errors");
    assert_eq!(transfers.open, 0, "clients were not told of transfers");
    assert!(
        items.gap.length < GAP_MAX,
        "no write was answered for {}",
        items.gap
    );
    assert!(
        items.writes > 100 && items.counters > 0 && transfers.made > 20,
        "hardly a load"
    );
}

/// Ends each node in turn and starts it with another program; `None` is the one that is tested.
fn run_each(
    cluster: &mut Cluster,
    program: Option<&Path>,
    is_news: bool,
    mut rows: Option<&mut Rows>,
) -> Result<()> {
    let what = if program.is_some() {
        "the earlier program"
    } else {
        "this program"
    };
    for place in 0..3 {
        pause(BETWEEN);
        let member = cluster.member(place)?;
        let status = member.terminate()?;
        if !status.success() {
            return Err(format!("node {} has ended with {status}", member.id).into());
        }
        member.program = program.map(Path::to_owned);
        member.start()?.ready()?;
        eprintln!("rolling upgrade: node {} runs {what}", member.id);
        if let Some(rows) = &mut rows {
            rows.put()?;
        }
        let tested = if program.is_none() { place } else { (place + 1) % 3 };
        if is_news && place < 2 {
            history_waits_for_all(cluster, tested)?;
        }
    }
    pause(BETWEEN);
    Ok(())
}

/// Items whose rows in an index come from other ranges.
struct Rows {
    sdk: Sdk,
    items: u64,
}

impl Rows {
    fn open(mut sdk: Sdk) -> Result<Self> {
        let request = json!({"TableName": INDEXED, "BillingMode": "PAY_PER_REQUEST",
            "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
            "AttributeDefinitions": [
                {"AttributeName": "k", "AttributeType": "S"}, {"AttributeName": "v", "AttributeType": "S"}],
            "GlobalSecondaryIndexes": [{"IndexName": "by-value", "Projection": {"ProjectionType": "KEYS_ONLY"},
                "KeySchema": [{"AttributeName": "v", "KeyType": "HASH"}]}]});
        sdk.ok("CreateTable", &request)?;
        Ok(Self { sdk, items: 0 })
    }

    fn put(&mut self) -> Result<()> {
        for _ in 0..ITEMS_AT_A_TIME {
            self.items += 1;
            let text = |head: &str| json!({"S": format!("{head}{}", self.items)});
            let item = json!({"k": text("k"), "v": text("v")});
            self.sdk
                .ok("PutItem", &json!({"TableName": INDEXED, "Item": item}))?;
        }
        Ok(())
    }

    /// Waits until each item has its row, and no other is there.
    fn are_all_there(&mut self) -> Result<()> {
        let request = json!({"TableName": INDEXED, "IndexName": "by-value", "Select": "COUNT"});
        let mut found = None;
        let are_there = holds_within(HEARD_WITHIN, || {
            found = self
                .sdk
                .ok("Scan", &request)
                .ok()
                .and_then(|page| page["Count"].as_u64());
            found == Some(self.items)
        });
        if are_there {
            Ok(())
        } else {
            Err(format!("{} items have {found:?} rows in the index", self.items).into())
        }
    }
}

/// What an earlier program could not read is refused by this one, for as long as a node runs the earlier one.
fn history_waits_for_all(cluster: &Cluster, asked: usize) -> Result<()> {
    // What a node says of itself is with the others a moment after it has started.
    let is_known = holds_within(HEARD_WITHIN, || {
        least_formats(cluster, asked).is_ok_and(|least| least < OF_HISTORY)
    });
    if !is_known {
        return Err("a node does not hear that another one runs the earlier program".into());
    }
    match keep_history(cluster, asked)? {
        Some(error) if error == "ContinuousBackupsUnavailableException" => Ok(()),
        other => Err(format!("a history beside an earlier program: {other:?}").into()),
    }
}

/// The earliest generation of formats that a node of the cluster reads, as one of them says.
fn least_formats(cluster: &Cluster, asked: usize) -> Result<u64> {
    let status = cluster.members.get(asked).ok_or("no such node")?.status()?;
    let nodes = status["nodes"].as_array().ok_or("a status without nodes")?;
    let formats = nodes
        .iter()
        .map(|node| node["formats"].as_u64().unwrap_or_default());
    Ok(formats.min().ok_or("no nodes")?)
}

fn make_table(cluster: &Cluster) -> Result<()> {
    let address = *cluster.addresses().first().ok_or("no nodes")?;
    let mut client = Client::open(cluster.access(), address)?;
    client
        .call(
            "CreateTable",
            &json!({"TableName": TABLE, "BillingMode": "PAY_PER_REQUEST",
                "KeySchema": [{"AttributeName": "k", "KeyType": "HASH"}],
                "AttributeDefinitions": [{"AttributeName": "k", "AttributeType": "S"}]}),
        )?
        .ok()?;
    Ok(())
}

/// Asks a node for the history of the table; what it refuses that with.
fn keep_history(cluster: &Cluster, place: usize) -> Result<Option<String>> {
    let address = *cluster.addresses().get(place).ok_or("no such node")?;
    let mut client = Client::open(cluster.access(), address)?;
    let answer = client.call(
        "UpdateContinuousBackups",
        &json!({"TableName": TABLE,
            "PointInTimeRecoverySpecification": {"PointInTimeRecoveryEnabled": true}}),
    )?;
    Ok(answer.error().map(str::to_owned))
}
