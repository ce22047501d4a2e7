//! A bank under faults: clients move money between accounts with `TransactWriteItems`, look at all accounts with
//! `TransactGetItems`, and send transfers again under their tokens.
//!
//! Invariant: money is neither made nor lost, at no moment that anybody can see. Each transfer also notes itself in a table of
//! its own, which counts how often it was made, so that in the end the accounts have to be exactly what the notes say, and
//! those have to be the transfers that clients were told about. Not here: faults (`fault.rs`).

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::gap::Gap;
use crate::sdk::{Failure, Mode, Sdk};
use crate::{Access, Answer, Random, Result, clock};

/// What each account has at first.
const OPENED_WITH: i64 = 100;
/// Accounts that are read at once: as many as `TransactGetItems` takes (AWS, "Service quotas", 100 items).
const ACCOUNTS: u64 = 100;
/// Of a hundred requests of a client so many look at all accounts.
const LOOKS: u64 = 15;
/// Of a hundred transfers that were acknowledged so many are sent again.
const AGAIN: u64 = 10;
/// How long a client thinks before its next request at most.
const THINKS: Duration = Duration::from_millis(40);
/// A look that meets a transfer each time for so long has failed.
const SEEN_WITHIN: Duration = Duration::from_secs(30);
/// Within which time after the last fault nothing is locked any more.
const UNLOCKED_WITHIN: Duration = Duration::from_secs(5);

/// A bank that is open.
#[derive(Debug)]
pub struct Bank {
    access: Access,
    address: SocketAddr,
    name: String,
    seed: u64,
    clients: u64,
    patience: Duration,
    is_ended: AtomicBool,
    begun: Instant,
}

/// What was seen, by one client or all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Transfers that were acknowledged.
    pub made: u64,
    /// Transfers that were refused because an account has too little.
    pub poor: u64,
    /// Attempts that met another transfer.
    pub conflicts: u64,
    /// Transfers that were sent again after they had been acknowledged.
    pub again: u64,
    /// Transfers of which the client was not told what became of them.
    pub open: u64,
    /// Looks at all accounts that showed them.
    pub looks: u64,
    /// Attempts of the SDK beyond the first of each call.
    pub retries: u64,
    /// The longest time without an acknowledged transfer, of all clients.
    pub gap: Option<Gap>,
}

/// A transfer.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Transfer {
    token: String,
    from: u64,
    to: u64,
    amount: i64,
}

/// What a client has seen.
#[derive(Debug, Default)]
struct Seen {
    report: Report,
    /// What it was told of each transfer: whether it was made.
    told: BTreeMap<String, Option<bool>>,
    moments: Vec<Duration>,
}

/// What became of a transfer.
enum Fate {
    Made,
    Poor,
    Open,
}

impl Bank {
    /// Makes the tables and opens the accounts, by whatever listens at `address`.
    ///
    /// # Errors
    /// When that fails.
    pub fn open(access: Access, address: SocketAddr, name: &str, seed: u64, clients: u64) -> Result<Self> {
        let bank = Self {
            access,
            address,
            name: name.to_owned(),
            seed,
            clients,
            patience: SEEN_WITHIN,
            is_ended: AtomicBool::new(false),
            begun: clock::now(),
        };
        let mut sdk = bank.sdk(clients);
        for table in [bank.accounts(), bank.notes()] {
            let request = json!({
                "TableName": table, "BillingMode": "PAY_PER_REQUEST",
                "AttributeDefinitions": [{ "AttributeName": "pk", "AttributeType": "S" }],
                "KeySchema": [{ "AttributeName": "pk", "KeyType": "HASH" }],
            });
            sdk.ok("CreateTable", &request)?;
        }
        let put = |account| {
            let mut item = key(account);
            item["n"] = json!({ "N": OPENED_WITH.to_string() });
            json!({ "Put": { "TableName": bank.accounts(), "Item": item } })
        };
        let puts: Vec<Value> = (0..ACCOUNTS).map(put).collect();
        sdk.ok("TransactWriteItems", &json!({ "TransactItems": puts }))?;
        Ok(bank)
    }

    /// Lets a look at all accounts take longer: where so much is broken that some range has no leader or a transfer comes
    /// between nearly every time.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Lets the clients work while `meanwhile` goes on, and judges what they saw and what is there then.
    ///
    /// # Errors
    /// What `meanwhile` fails with, and everything that is not as it must be, in words.
    pub fn run(&self, meanwhile: impl FnOnce() -> Result<()>) -> Result<Report> {
        let (mut all, mut told, mut moments) = (Report::default(), BTreeMap::new(), Vec::new());
        thread::scope(|scope| {
            let clients: Vec<_> = (0..self.clients)
                .map(|client| scope.spawn(move || self.client(client)))
                .collect();
            let done = meanwhile();
            self.is_ended.store(true, Ordering::Relaxed);
            for client in clients {
                let seen = client.join().map_err(|_| "a client has panicked")??;
                all.add(&seen.report);
                told.extend(seen.told);
                moments.extend(seen.moments);
            }
            done
        })?;
        let ended = self.begun.elapsed();
        moments.sort();
        all.gap = Some(Gap::longest(moments.into_iter(), Duration::ZERO, ended));
        let mut sdk = self.sdk(self.clients + 1);
        self.is_unlocked(&mut sdk)?;
        self.audit(&mut sdk, &told)?;
        Ok(all)
    }

    /// The tables that it has made.
    pub fn tables(&self) -> Vec<String> {
        vec![self.accounts(), self.notes()]
    }

    fn accounts(&self) -> String {
        format!("{}-accounts", self.name)
    }

    fn notes(&self) -> String {
        format!("{}-transfers", self.name)
    }

    fn sdk(&self, client: u64) -> Sdk {
        let random = Random::new(self.seed, 2000 + client);
        Sdk::new(self.access.clone(), self.address, Mode::LegacyPython, random)
    }

    fn client(&self, client: u64) -> Result<Seen> {
        let (mut sdk, mut random) = (self.sdk(client), Random::new(self.seed, client));
        let mut seen = Seen::default();
        while !self.is_ended.load(Ordering::Relaxed) {
            clock::pause(random.duration(THINKS));
            if random.below(50) == 0 {
                sdk.disconnect();
            }
            if random.percent(LOOKS) {
                self.look(&mut sdk, &mut random, &mut seen)?;
            } else {
                let transfer = Transfer::any(&mut random);
                self.transfer(&mut sdk, &mut random, &transfer, &mut seen)?;
            }
        }
        seen.report.retries = sdk.retries();
        Ok(seen)
    }

    /// Makes a transfer, sends some of them again, and notes what came of it.
    fn transfer(
        &self,
        sdk: &mut Sdk,
        random: &mut Random,
        transfer: &Transfer,
        seen: &mut Seen,
    ) -> Result<()> {
        let fate = self.attempt(sdk, random, transfer, seen)?;
        let made = match fate {
            Fate::Made => {
                seen.report.made += 1;
                seen.moments.push(self.begun.elapsed());
                Some(true)
            }
            Fate::Poor => {
                seen.report.poor += 1;
                Some(false)
            }
            Fate::Open => {
                seen.report.open += 1;
                None
            }
        };
        seen.told.insert(transfer.token.clone(), made);
        if made == Some(true) && random.percent(AGAIN) {
            seen.report.again += 1;
            if matches!(self.attempt(sdk, random, transfer, seen)?, Fate::Poor) {
                return Err(format!("{transfer:?} was made, and refused when it was sent again").into());
            }
        }
        Ok(())
    }

    /// Sends a transfer under its token until it is known what became of it.
    fn attempt(
        &self,
        sdk: &mut Sdk,
        random: &mut Random,
        transfer: &Transfer,
        seen: &mut Seen,
    ) -> Result<Fate> {
        const TRIES: u32 = 8;
        let request = self.request(transfer);
        let mut is_open = false;
        for attempt in 0..TRIES {
            let answer = match sdk.call("TransactWriteItems", &request) {
                Ok(answer) => answer,
                Err(Failure::GaveUp { .. }) => {
                    is_open = true;
                    continue;
                }
                Err(refused @ Failure::Refused(_)) => return Err(refused.into()),
            };
            if answer.status == 200 {
                return Ok(Fate::Made);
            }
            let codes = cancelled(&answer)?;
            if codes.iter().any(|code| code == "ConditionalCheckFailed") {
                return Ok(Fate::Poor);
            }
            if codes.iter().any(|code| code == "TransactionConflict") {
                seen.report.conflicts += 1;
                clock::pause(random.duration(Duration::from_millis(10 << attempt.min(6))));
                continue;
            }
            return Err(format!("{transfer:?}: {} {}", answer.status, answer.body).into());
        }
        // If no attempt was left open, each of them was cancelled.
        Ok(if is_open { Fate::Open } else { Fate::Poor })
    }

    fn request(&self, transfer: &Transfer) -> Value {
        let amount = json!({ "N": transfer.amount.to_string() });
        let one = json!({ "N": "1" });
        let text = |account: u64| json!({ "S": account.to_string() });
        json!({
            "ClientRequestToken": transfer.token,
            "TransactItems": [
                { "Update": {
                    "TableName": self.accounts(), "Key": key(transfer.from),
                    "UpdateExpression": "SET n = n - :amount", "ConditionExpression": "n >= :amount",
                    "ExpressionAttributeValues": { ":amount": amount },
                } },
                { "Update": {
                    "TableName": self.accounts(), "Key": key(transfer.to),
                    "UpdateExpression": "SET n = n + :amount",
                    "ExpressionAttributeValues": { ":amount": amount },
                } },
                { "Update": {
                    "TableName": self.notes(), "Key": { "pk": { "S": transfer.token } },
                    "UpdateExpression": "SET giver = :giver, taker = :taker, amount = :amount ADD times :one",
                    "ExpressionAttributeValues": {
                        ":giver": text(transfer.from), ":taker": text(transfer.to), ":amount": amount, ":one": one,
                    },
                } },
            ],
        })
    }

    /// Looks at all accounts at once, until nobody stands in the way.
    fn look(&self, sdk: &mut Sdk, random: &mut Random, seen: &mut Seen) -> Result<()> {
        let get = |account| json!({ "Get": { "TableName": self.accounts(), "Key": key(account) } });
        let gets: Vec<Value> = (0..ACCOUNTS).map(get).collect();
        let (request, begun) = (json!({ "TransactItems": gets }), clock::now());
        let mut last = String::new();
        while begun.elapsed() < self.patience {
            let answer = match sdk.call("TransactGetItems", &request) {
                Ok(answer) => answer,
                Err(failure @ Failure::GaveUp { .. }) => {
                    last = failure.to_string();
                    if self.is_ended.load(Ordering::Relaxed) {
                        return Ok(());
                    }
                    continue;
                }
                Err(refused @ Failure::Refused(_)) => return Err(refused.into()),
            };
            if answer.status == 200 {
                let found = answer.body["Responses"].as_array().ok_or("no responses")?;
                let worth: i64 = found
                    .iter()
                    .map(|one| number(&one["Item"], "n"))
                    .sum::<Result<i64>>()?;
                if worth != OPENED_WITH * i64::try_from(ACCOUNTS)? {
                    return Err(format!("the accounts were worth {worth} together: {}", answer.body).into());
                }
                seen.report.looks += 1;
                return Ok(());
            }
            let codes = cancelled(&answer)?;
            if codes
                .iter()
                .any(|code| code != "None" && code != "TransactionConflict")
            {
                return Err(format!("a look at all accounts: {} {}", answer.status, answer.body).into());
            }
            seen.report.conflicts += 1;
            last = answer.body.to_string();
            clock::pause(random.duration(Duration::from_millis(20)));
            if self.is_ended.load(Ordering::Relaxed) {
                return Ok(());
            }
        }
        let patience = self.patience.as_secs();
        Err(format!("no look at all accounts in {patience} s: {last}").into())
    }

    /// Holds that a transaction may have all accounts soon.
    fn is_unlocked(&self, sdk: &mut Sdk) -> Result<()> {
        let check = |account| {
            json!({ "ConditionCheck": {
                "TableName": self.accounts(), "Key": key(account), "ConditionExpression": "attribute_exists(pk)",
            } })
        };
        let checks: Vec<Value> = (0..ACCOUNTS).map(check).collect();
        let request = json!({ "TransactItems": checks });
        let mut last = None;
        let is_free = clock::holds_within(UNLOCKED_WITHIN, || {
            let answer = sdk.call("TransactWriteItems", &request);
            let is_free = answer.as_ref().is_ok_and(|answer| answer.status == 200);
            last = Some(answer);
            is_free
        });
        if is_free {
            Ok(())
        } else {
            Err(format!("accounts are still locked: {last:?}").into())
        }
    }

    /// Holds that the accounts are what the notes say, and the notes what clients were told.
    fn audit(&self, sdk: &mut Sdk, told: &BTreeMap<String, Option<bool>>) -> Result<()> {
        let notes = scan(sdk, &self.notes())?;
        let mut expected: BTreeMap<String, i64> = (0..ACCOUNTS)
            .map(|account| (account.to_string(), OPENED_WITH))
            .collect();
        for (token, note) in &notes {
            let (times, amount) = (number(note, "times")?, number(note, "amount")?);
            if times != 1 {
                return Err(format!("transfer {token} was made {times} times").into());
            }
            for (role, amount) in [("giver", -amount), ("taker", amount)] {
                let account = note[role]["S"].as_str().unwrap_or_default();
                *expected.entry(account.to_owned()).or_default() += amount;
            }
            if told.get(token) == Some(&Some(false)) || !told.contains_key(token) {
                return Err(format!("transfer {token} was made, and nobody was told so").into());
            }
        }
        let lost =
            |(token, made): &(&String, &Option<bool>)| **made == Some(true) && !notes.contains_key(*token);
        if let Some((token, _)) = told.iter().find(lost) {
            return Err(format!("transfer {token} was acknowledged and is lost").into());
        }
        for (account, item) in scan(sdk, &self.accounts())? {
            let (has, is_to_have) = (number(&item, "n")?, expected.get(&account));
            if Some(&has) != is_to_have {
                return Err(format!("account {account} has {has} and is to have {is_to_have:?}").into());
            }
        }
        Ok(())
    }
}

impl Transfer {
    fn any(random: &mut Random) -> Self {
        let from = random.below(ACCOUNTS);
        Self {
            token: random.uuid(),
            from,
            to: (from + 1 + random.below(ACCOUNTS - 1)) % ACCOUNTS,
            amount: i64::try_from(1 + random.below(40)).unwrap_or(1),
        }
    }
}

impl Report {
    pub(crate) fn add(&mut self, other: &Self) {
        self.made += other.made;
        self.poor += other.poor;
        self.conflicts += other.conflicts;
        self.again += other.again;
        self.open += other.open;
        self.looks += other.looks;
        self.retries += other.retries;
    }
}

/// All items of a table, by their keys.
fn scan(sdk: &mut Sdk, table: &str) -> Result<BTreeMap<String, Value>> {
    let mut items = BTreeMap::new();
    let mut request = json!({ "TableName": table, "ConsistentRead": true });
    loop {
        let page = sdk.ok("Scan", &request)?;
        for item in page["Items"].as_array().into_iter().flatten() {
            let key = item["pk"]["S"].as_str().ok_or("an item without a key")?;
            items.insert(key.to_owned(), item.clone());
        }
        match &page["LastEvaluatedKey"] {
            Value::Null => return Ok(items),
            last => request["ExclusiveStartKey"] = last.clone(),
        }
    }
}

fn key(account: u64) -> Value {
    json!({ "pk": { "S": account.to_string() } })
}

fn number(item: &Value, attribute: &str) -> Result<i64> {
    let text = item[attribute]["N"]
        .as_str()
        .ok_or_else(|| format!("no number {attribute} in {item}"))?;
    Ok(text.parse()?)
}

/// The codes of a transaction that was cancelled.
fn cancelled(answer: &Answer) -> Result<Vec<String>> {
    if answer.error() != Some("TransactionCanceledException") {
        return Err(format!("{} {}", answer.status, answer.body).into());
    }
    let reasons = answer.body["CancellationReasons"].as_array();
    let codes = reasons
        .into_iter()
        .flatten()
        .filter_map(|reason| reason["Code"].as_str());
    Ok(codes.map(str::to_owned).collect())
}
