//! What was acknowledged survives `kill -9`, and concurrent writers of one item do not overwrite each other.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::sync::mpsc::{Sender, channel};
use std::thread;

use compat_tests::{Client, Node};
use serde_json::{Value, json};

const TABLE: &str = "durable";
const THREADS: usize = 8;
/// The node is killed after so many acknowledged puts.
const ACKNOWLEDGED: usize = 400;
const ROUNDS: usize = 3;

fn create_table(node: &Node) {
    let request = json!({
        "TableName": TABLE,
        "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
        "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
        "BillingMode": "PAY_PER_REQUEST",
    });
    Client::connect(node)
        .unwrap()
        .call("CreateTable", &request)
        .unwrap()
        .ok()
        .unwrap();
}

fn item(round: usize, thread: usize, index: usize) -> Value {
    let name = format!("{round}-{thread}-{index}");
    json!({ "pk": { "S": name }, "text": { "S": name.repeat(50) }, "number": { "N": index.to_string() } })
}

fn add_one(client: &mut Client, key: &str) -> compat_tests::Result<Value> {
    let request = json!({
        "TableName": TABLE,
        "Key": { "pk": { "S": key } },
        "UpdateExpression": "ADD hits :one",
        "ExpressionAttributeValues": { ":one": { "N": "1" } },
    });
    client.call("UpdateItem", &request)?.ok()
}

fn read(client: &mut Client, key: &Value) -> Value {
    let request = json!({ "TableName": TABLE, "Key": { "pk": key }, "ConsistentRead": true });
    client.call("GetItem", &request).unwrap().ok().unwrap()["Item"].take()
}

/// Puts items and counts up a counter until the connection breaks; returns what was acknowledged of each.
fn write_until_killed(
    mut client: Client,
    round: usize,
    thread: usize,
    acknowledged: &Sender<()>,
) -> (Vec<Value>, usize) {
    let (mut items, mut hits) = (Vec::new(), 0);
    for index in 0.. {
        let item = item(round, thread, index);
        let put = client.call("PutItem", &json!({ "TableName": TABLE, "Item": item }));
        let Ok(answer) = put else { break };
        answer.ok().unwrap();
        items.push(item);
        // Nobody counts any more once the kill is decided, but what is answered until then has to stand.
        acknowledged.send(()).unwrap_or_default();
        if add_one(&mut client, &format!("counter-{round}-{thread}")).is_err() {
            break;
        }
        hits += 1;
    }
    (items, hits)
}

fn nothing_acknowledged_is_lost(durability: &str) {
    let directory = tempfile::tempdir().unwrap();
    let arguments = [
        "--durability",
        durability,
        "--data-dir",
        directory.path().to_str().unwrap(),
    ];
    let mut node = Node::start(arguments).unwrap();
    create_table(&node);
    for round in 0..ROUNDS {
        let clients: Vec<Client> = (0..THREADS).map(|_| Client::connect(&node).unwrap()).collect();
        let (sender, receiver) = channel();
        let acknowledged: Vec<(Vec<Value>, usize)> = thread::scope(|scope| {
            let writers: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(thread, client)| {
                    let sender = sender.clone();
                    scope.spawn(move || write_until_killed(client, round, thread, &sender))
                })
                .collect();
            assert_eq!(receiver.iter().take(ACKNOWLEDGED).count(), ACKNOWLEDGED);
            node.kill().unwrap();
            writers.into_iter().map(|writer| writer.join().unwrap()).collect()
        });
        node = Node::start(arguments).unwrap();
        let mut client = Client::connect(&node).unwrap();
        for (thread, (items, hits)) in acknowledged.into_iter().enumerate() {
            for item in items {
                assert_eq!(
                    read(&mut client, &item["pk"]),
                    item,
                    "round {round}, {durability}"
                );
            }
            let key = json!({ "S": format!("counter-{round}-{thread}") });
            let counter = read(&mut client, &key);
            let counted: usize = counter["hits"]["N"].as_str().unwrap_or("0").parse().unwrap();
            // One more may have been under way.
            assert!(
                (hits..=hits + 1).contains(&counted),
                "{counted} of {hits} acknowledged hits"
            );
        }
    }
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill_with_synced_writes() {
    nothing_acknowledged_is_lost("sync");
}

#[test]
fn nothing_acknowledged_is_lost_to_a_kill_with_writes_synced_at_an_interval() {
    nothing_acknowledged_is_lost("interval");
}

#[test]
fn concurrent_updates_of_one_item_all_count() {
    let node = Node::start(["--ephemeral"]).unwrap();
    create_table(&node);
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut client = Client::connect(&node).unwrap();
                for _ in 0..200 {
                    add_one(&mut client, "shared").unwrap();
                }
            });
        }
    });
    let counter = read(&mut Client::connect(&node).unwrap(), &json!({ "S": "shared" }));
    assert_eq!(counter["hits"], json!({ "N": (THREADS * 200).to_string() }));
}

#[test]
fn of_racing_conditional_puts_exactly_one_wins() {
    let node = Node::start(["--ephemeral"]).unwrap();
    create_table(&node);
    for race in 0..50 {
        let request = json!({
            "TableName": TABLE,
            "Item": { "pk": { "S": format!("race-{race}") } },
            "ConditionExpression": "attribute_not_exists(pk)",
        });
        let wins: usize = thread::scope(|scope| {
            let racers: Vec<_> = (0..THREADS)
                .map(|_| {
                    let mut client = Client::connect(&node).unwrap();
                    let request = &request;
                    scope.spawn(move || {
                        let answer = client.call("PutItem", request).unwrap();
                        let won = answer.status == 200;
                        assert!(
                            won || answer.error() == Some("ConditionalCheckFailedException"),
                            "{answer:?}"
                        );
                        usize::from(won)
                    })
                })
                .collect();
            racers.into_iter().map(|racer| racer.join().unwrap()).sum()
        });
        assert_eq!(wins, 1, "race {race}");
    }
}
