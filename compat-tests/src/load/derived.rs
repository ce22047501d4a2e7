//! Writes of a table with indexes and a stream while nodes fail, and whether what follows from the writes is exactly that.
//!
//! Each client has items of its own and one call at a time, so that it knows what the table has to hold. Invariant: at the
//! end each index is f(table) both ways; the stream replays to the table, each record beginning with what the one before it
//! has left. Not here: faults (`fault.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::sdk::{Mode, Sdk};
use crate::{Access, Error, Random, Result, clock};

/// Clients at once.
const CLIENTS: u64 = 32;
/// Items of each client.
const ITEMS: u64 = 40;
/// Within which time indexes and stream have to have caught up at the end.
const CAUGHT_UP_WITHIN: Duration = Duration::from_secs(60);

/// Items by their partition keys.
type Items = BTreeMap<String, Value>;

/// A table under load.
#[derive(Debug, Clone)]
pub struct Derived {
    access: Access,
    address: SocketAddr,
    table: String,
    seed: u64,
    /// Items that nobody changes.
    fixed: Items,
    /// The indexes that are looked at in the end.
    indexes: Vec<&'static str>,
}

/// What has come of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Audit {
    /// Writes that were acknowledged.
    pub writes: u64,
    /// Of those, writes that have changed something.
    pub changes: u64,
    /// Attempts beyond the first of each call.
    pub retries: u64,
    /// Items of the table at the end.
    pub items: usize,
    /// Records of the stream.
    pub records: u64,
}

/// What a client has done.
#[derive(Debug, Default)]
struct Done {
    items: Items,
    writes: u64,
    changes: u64,
    retries: u64,
}

fn index(name: &str, keys: &[(&str, &str)], projection: &Value) -> Value {
    let keys: Vec<Value> = keys
        .iter()
        .map(|(name, role)| json!({ "AttributeName": name, "KeyType": role }))
        .collect();
    json!({ "IndexName": name, "KeySchema": keys, "Projection": projection })
}

impl Derived {
    /// Makes the table, with a local and two global indexes and a stream, by whatever listens at `address`.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new(access: Access, address: SocketAddr, table: &str, seed: u64) -> Result<Self> {
        let derived = Self {
            access,
            address,
            table: table.to_owned(),
            seed,
            fixed: Items::new(),
            indexes: vec!["all", "keys", "local"],
        };
        let all = json!({ "ProjectionType": "ALL" });
        let keys_only = json!({ "ProjectionType": "KEYS_ONLY" });
        let attribute = |name: &str| json!({ "AttributeName": name, "AttributeType": "S" });
        let attributes = ["pk", "sk", "a", "b"].map(attribute);
        let request = json!({
            "TableName": table,
            "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": attributes,
            "KeySchema": [
                { "AttributeName": "pk", "KeyType": "HASH" },
                { "AttributeName": "sk", "KeyType": "RANGE" },
            ],
            "LocalSecondaryIndexes": [index("local", &[("pk", "HASH"), ("b", "RANGE")], &all)],
            "GlobalSecondaryIndexes": [
                index("all", &[("a", "HASH"), ("b", "RANGE")], &all),
                index("keys", &[("b", "HASH")], &keys_only),
            ],
            "StreamSpecification": { "StreamEnabled": true, "StreamViewType": "NEW_AND_OLD_IMAGES" },
        });
        derived.sdk(CLIENTS).ok("CreateTable", &request)?;
        Ok(derived)
    }

    /// Puts so many items that stay as they are.
    ///
    /// # Errors
    /// A call that has failed for good.
    pub fn fill(&mut self, count: u64) -> Result<()> {
        const BATCH: usize = 25;
        let item = |number: u64| {
            let text = |text: String| json!({ "S": text });
            json!({
                "pk": text(format!("fixed-{number}")), "sk": text("0".to_owned()), "n": { "N": number.to_string() },
                "a": text(format!("a{}", number % 50)), "b": text(format!("b{}", number % 7)),
            })
        };
        let items: Vec<Value> = (0..count).map(item).collect();
        let this = &*self;
        thread::scope(|scope| {
            let share = items.len().div_ceil(8).max(1);
            let writers: Vec<_> = (100..)
                .zip(items.chunks(share))
                .map(|(client, items)| {
                    scope.spawn(move || {
                        let mut sdk = this.sdk(client);
                        for batch in items.chunks(BATCH) {
                            let puts: Vec<Value> = batch
                                .iter()
                                .map(|item| json!({ "PutRequest": { "Item": item } }))
                                .collect();
                            let mut left = json!({ &this.table: puts });
                            while left.as_object().is_some_and(|tables| !tables.is_empty()) {
                                let request = json!({ "RequestItems": left });
                                left = sdk.ok("BatchWriteItem", &request)?["UnprocessedItems"].take();
                            }
                        }
                        Ok::<_, Error>(())
                    })
                })
                .collect();
            for writer in writers {
                writer.join().map_err(|_| "a client has panicked")??;
            }
            Ok::<_, Error>(())
        })?;
        self.fixed = items.into_iter().map(|item| (name_of(&item), item)).collect();
        Ok(())
    }

    /// Makes an index of a table that is in use, waits until it is active, and holds that all items that nobody changes
    /// are in it then. Gives how long it took.
    ///
    /// # Errors
    /// A call that has failed for good, and an item that is missing.
    pub fn make_late_index(&mut self) -> Result<Duration> {
        const MADE_WITHIN: Duration = Duration::from_secs(600);
        let begun = clock::now();
        let mut sdk = self.sdk(CLIENTS + 2);
        let late = index(
            "late",
            &[("a", "HASH")],
            &json!({ "ProjectionType": "INCLUDE", "NonKeyAttributes": ["n"] }),
        );
        let request = json!({ "TableName": self.table, "GlobalSecondaryIndexUpdates": [{ "Create": late }] });
        sdk.ok("UpdateTable", &request)?;
        loop {
            let described = sdk.ok("DescribeTable", &json!({ "TableName": self.table }))?;
            let indexes = described["Table"]["GlobalSecondaryIndexes"].as_array();
            let mut late = indexes
                .into_iter()
                .flatten()
                .filter(|index| index["IndexName"] == json!("late"));
            if late.any(|index| index["IndexStatus"] == json!("ACTIVE")) {
                break;
            }
            if begun.elapsed() > MADE_WITHIN {
                return Err("the index is still not active".into());
            }
            clock::pause(Duration::from_millis(50));
        }
        let took = begun.elapsed();
        // Others are written meanwhile, and may be met before and after they move.
        let rows = self.scan_as(&mut sdk, &json!({ "IndexName": "late" }), true)?;
        let fixed = projected("late", &self.fixed);
        if let Some((name, _)) = fixed.iter().find(|(name, row)| rows.get(*name) != Some(row)) {
            return Err(format!("{name} is not in the index although that is active").into());
        }
        self.indexes.push("late");
        Ok(took)
    }

    fn sdk(&self, client: u64) -> Sdk {
        let random = Random::new(self.seed, 1000 + client);
        Sdk::new(self.access.clone(), self.address, Mode::LegacyPython, random)
    }

    /// Lets the clients make `writes` writes together while `meanwhile` goes on, and judges what is there then.
    ///
    /// # Errors
    /// A call that has failed for good, what `meanwhile` fails with, and everything that is not as it must be, in words.
    pub fn run(&mut self, writes: u64, meanwhile: impl FnOnce(&mut Self) -> Result<()>) -> Result<Audit> {
        let mut changed = self.clone();
        let (this, mut all) = (&*self, Done::default());
        let done = thread::scope(|scope| {
            let clients: Vec<_> = (0..CLIENTS)
                .map(|client| scope.spawn(move || this.client(client, writes / CLIENTS)))
                .collect();
            meanwhile(&mut changed)?;
            for client in clients {
                let done = client.join().map_err(|_| "a client has panicked")??;
                all.items.extend(done.items);
                all.writes += done.writes;
                all.changes += done.changes;
                all.retries += done.retries;
            }
            Ok::<_, Error>(all)
        })?;
        *self = changed;
        let mut done = done;
        done.items.extend(self.fixed.clone());
        done.changes += self.fixed.len() as u64;
        let mut sdk = self.sdk(CLIENTS + 1);
        let table = self.scan(&mut sdk, &json!({ "ConsistentRead": true }))?;
        same("the table", &table, &done.items)?;
        for name in self.indexes.clone() {
            self.until(&format!("index {name}"), |audit| {
                let rows = audit.scan(&mut sdk, &json!({ "IndexName": name }))?;
                same(name, &rows, &projected(name, &done.items))
            })?;
        }
        let mut records = 0;
        self.until("the stream", |audit| {
            let (replayed, count) = audit.replay(&mut sdk)?;
            records = count;
            same("the stream replayed", &replayed, &done.items)
        })?;
        if records != done.changes {
            return Err(format!("{} changes have {records} records", done.changes).into());
        }
        Ok(Audit {
            writes: done.writes,
            changes: done.changes,
            retries: done.retries,
            items: done.items.len(),
            records,
        })
    }

    /// Looks until it is as it must be, or its time is over.
    fn until(&self, what: &str, mut look: impl FnMut(&Self) -> Result<()>) -> Result<()> {
        let begun: Instant = clock::now();
        loop {
            match look(self) {
                Ok(()) => return Ok(()),
                Err(error) if begun.elapsed() >= CAUGHT_UP_WITHIN => return Err(error),
                Err(error) => {
                    eprintln!(
                        "{what} after {:.1} s: {error:.200}",
                        begun.elapsed().as_secs_f64()
                    );
                    clock::pause(Duration::from_millis(500));
                }
            }
        }
    }

    fn client(&self, client: u64, writes: u64) -> Result<Done> {
        let (mut sdk, mut random) = (self.sdk(client), Random::new(self.seed, client));
        let mut done = Done::default();
        for number in 0..writes {
            if random.below(200) == 0 {
                sdk.disconnect();
            }
            let (pk, sk) = (
                format!("c{client}-{}", random.below(ITEMS / 4)),
                random.below(4).to_string(),
            );
            let name = format!("{pk}/{sk}");
            let before = done.items.get(&name).cloned();
            let key = json!({ "pk": { "S": pk }, "sk": { "S": sk } });
            let after = match random.below(10) {
                0 | 1 => {
                    sdk.ok("DeleteItem", &json!({ "TableName": self.table, "Key": key }))?;
                    None
                }
                2 if before.is_some() => {
                    // As it is: nothing changes.
                    sdk.ok("PutItem", &json!({ "TableName": self.table, "Item": before }))?;
                    before.clone()
                }
                3..=5 => Some(self.update(&mut sdk, &mut random, &key, before.as_ref(), number)?),
                _ => {
                    let mut item = key.clone();
                    item["n"] = json!({ "N": number.to_string() });
                    for name in ["a", "b"] {
                        if random.percent(80) {
                            item[name] = json!({ "S": format!("{name}{}", random.below(50)) });
                        }
                    }
                    sdk.ok("PutItem", &json!({ "TableName": self.table, "Item": item }))?;
                    Some(item)
                }
            };
            done.writes += 1;
            done.changes += u64::from(before != after);
            match after {
                Some(item) => done.items.insert(name, item),
                None => done.items.remove(&name),
            };
        }
        done.retries = sdk.retries();
        Ok(done)
    }

    /// Sets or removes an index key, and gives what the item is then.
    fn update(
        &self,
        sdk: &mut Sdk,
        random: &mut Random,
        key: &Value,
        before: Option<&Value>,
        number: u64,
    ) -> Result<Value> {
        let name = if random.percent(50) { "a" } else { "b" };
        let mut item = before.unwrap_or(key).clone();
        let mut request = json!({
            "TableName": self.table,
            "Key": key,
            "ExpressionAttributeValues": { ":n": { "N": number.to_string() } },
        });
        item["n"] = json!({ "N": number.to_string() });
        if random.percent(30) {
            request["UpdateExpression"] = json!(format!("SET n = :n REMOVE {name}"));
            if let Some(attributes) = item.as_object_mut() {
                attributes.remove(name);
            }
        } else {
            let value = json!({ "S": format!("{name}{}", random.below(50)) });
            request["UpdateExpression"] = json!(format!("SET n = :n, {name} = :v"));
            request["ExpressionAttributeValues"][":v"] = value.clone();
            item[name] = value;
        }
        sdk.ok("UpdateItem", &request)?;
        Ok(item)
    }

    /// All items of the table, or rows of an index.
    fn scan(&self, sdk: &mut Sdk, more: &Value) -> Result<Items> {
        self.scan_as(sdk, more, false)
    }

    /// The same; whether rows may be met twice, because they are written meanwhile.
    fn scan_as(&self, sdk: &mut Sdk, more: &Value, may_move: bool) -> Result<Items> {
        let (mut items, mut start) = (Items::new(), Value::Null);
        loop {
            let mut request = more.clone();
            request["TableName"] = json!(self.table);
            if !start.is_null() {
                request["ExclusiveStartKey"] = start;
            }
            let mut page = sdk.ok("Scan", &request)?;
            for item in page["Items"].as_array_mut().into_iter().flatten() {
                let item = item.take();
                let name = name_of(&item);
                if items.insert(name.clone(), item).is_some() && !may_move {
                    return Err(format!("{name} is there twice").into());
                }
            }
            start = page["LastEvaluatedKey"].take();
            if start.is_null() {
                return Ok(items);
            }
        }
    }

    /// What the stream comes to, and how many records it has.
    fn replay(&self, sdk: &mut Sdk) -> Result<(Items, u64)> {
        let described = sdk.ok("DescribeTable", &json!({ "TableName": self.table }))?;
        let arn = &described["Table"]["LatestStreamArn"];
        let stream = sdk.ok(
            "DynamoDBStreams_20120810.DescribeStream",
            &json!({ "StreamArn": arn }),
        )?;
        let shards = stream["StreamDescription"]["Shards"].as_array().cloned();
        let (mut items, mut count) = (Items::new(), 0);
        for shard in shards.unwrap_or_default() {
            let request =
                json!({ "StreamArn": arn, "ShardId": shard["ShardId"], "ShardIteratorType": "TRIM_HORIZON" });
            let answer = sdk.ok("DynamoDBStreams_20120810.GetShardIterator", &request)?;
            let mut iterator = answer["ShardIterator"].clone();
            loop {
                let request = json!({ "ShardIterator": iterator });
                let page = sdk.ok("DynamoDBStreams_20120810.GetRecords", &request)?;
                let records = page["Records"].as_array().cloned().unwrap_or_default();
                for record in &records {
                    count += 1;
                    apply(&mut items, &record["dynamodb"])?;
                }
                iterator = page["NextShardIterator"].clone();
                if records.is_empty() || iterator.is_null() {
                    break;
                }
            }
        }
        Ok((items, count))
    }
}

/// Replays a record: it begins with what the one before it has left.
fn apply(items: &mut Items, record: &Value) -> Result<()> {
    let name = name_of(&record["Keys"]);
    let before = items.remove(&name).unwrap_or_default();
    if before != record["OldImage"] {
        return Err(format!(
            "{name} was {before}, and the next record says {}",
            record["OldImage"]
        )
        .into());
    }
    if !record["NewImage"].is_null() {
        items.insert(name, record["NewImage"].clone());
    }
    Ok(())
}

fn name_of(item: &Value) -> String {
    let text = |name: &str| item[name]["S"].as_str().unwrap_or_default().to_owned();
    format!("{}/{}", text("pk"), text("sk"))
}

/// The rows that an index has to have.
fn projected(index: &str, items: &Items) -> Items {
    let needed: &[&str] = match index {
        "all" => &["a", "b"],
        "late" => &["a"],
        _ => &["b"],
    };
    let has = |item: &Value| needed.iter().all(|name| !item[*name].is_null());
    let row = |item: &Value| {
        let mut row = item.clone();
        let kept: Option<&[&str]> = match index {
            "keys" => Some(&["pk", "sk", "b"]),
            "late" => Some(&["pk", "sk", "a", "n"]),
            _ => None,
        };
        if let Some((attributes, kept)) = row.as_object_mut().zip(kept) {
            attributes.retain(|name, _| kept.contains(&name.as_str()));
        }
        row
    };
    let rows = items.iter().filter(|(_, item)| has(item));
    rows.map(|(name, item)| (name.clone(), row(item))).collect()
}

fn same(what: &str, found: &Items, expected: &Items) -> Result<()> {
    let mut names = found.keys().chain(expected.keys());
    match names.find(|name| found.get(*name) != expected.get(*name)) {
        None => Ok(()),
        Some(name) => Err(format!(
            "{what}: {name} is {:?}, and has to be {:?}",
            found.get(name).map(Value::to_string),
            expected.get(name).map(Value::to_string)
        )
        .into()),
    }
}
