//! A cluster goes from an earlier program to this one, back, and on again, a node at a time, while clients work with the SDKs'
//! default retries, boto3 among them. None of them sees an error, and what is new waits until all nodes know it.
//!
//! `cargo xtask upgrade --from COMMIT` builds the earlier program and runs it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use compat_tests::chaos::wait_until_whole;
use compat_tests::load::bank::Bank;
use compat_tests::load::{Load, Settings};
use compat_tests::{Balancer, Client, Cluster, Durability, Mode, Result, holds_within, pause, python};
use serde_json::json;

/// How long nodes of both programs run between two restarts.
const BETWEEN: Duration = Duration::from_secs(1);
/// How long clients may wait for the next answered write: a planned stop waits for no election.
const GAP_MAX: Duration = Duration::from_secs(1);
/// How long news of a node that has started may take to the others.
const HEARD_WITHIN: Duration = Duration::from_secs(10);
/// The generation of formats that histories need.
const OF_HISTORY: u64 = 1;
/// A table whose history is wanted.
const TABLE: &str = "upgraded";

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
            let is_news = least_formats(&cluster, 0)? < OF_HISTORY;
            run_each(&mut cluster, None, is_news)?;
            run_each(&mut cluster, Some(&earlier), is_news)?;
            run_each(&mut cluster, None, is_news)?;
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
fn run_each(cluster: &mut Cluster, program: Option<&Path>, is_news: bool) -> Result<()> {
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
        let tested = if program.is_none() { place } else { (place + 1) % 3 };
        if is_news && place < 2 {
            history_waits_for_all(cluster, tested)?;
        }
    }
    pause(BETWEEN);
    Ok(())
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
