//! Clients of a bank: they move money between accounts at all ends of the ring, look at accounts together, and do one
//! thing if another has not changed.
//!
//! Accounts are lists of what transactions have added, so that what each transaction has seen says where it came. Invariant:
//! all deltas of a transaction come to nothing, so that the bank is worth nothing at every moment; every transaction has a
//! number of its own, and is sent again under the same id only: in the same call while nobody knows whether it was done, and
//! sometimes in another one when it was cancelled. What is answered to one attempt holds for all of its call. Not here: what
//! is checked (`invariant/serializable.rs`).

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use stator_history::check::serializable::Fate;

use super::everyone::{Attempt, Everyone};
use super::invariant::Invariant;
use super::list::{Item, List, ListCommand};
use super::place::KeyspaceName;
use super::work::{Numbers, Shift};
use crate::history::Client;
use crate::random::Stream;

/// The keyspace of the accounts.
pub(super) const BANK: &str = "bank";

/// How many accounts there are.
const ACCOUNTS: u64 = 6;

/// How often a transaction that may be sent again is sent.
const ATTEMPTS_MAX: usize = 6;

/// In how many of a million cases one that was cancelled is sent again in another call.
const CALLED_AGAIN: u32 = 300_000;

/// In how many of a million cases accounts are looked at in a cut of the whole bank.
const CUTS: u32 = 300_000;

/// In how many of a million other cases they are looked at as they were some time ago.
const REWINDS: u32 = 200_000;

/// How long ago that is at most, in milliseconds.
const BACK_MS_MAX: u64 = 2_000;

/// What clients have seen of the bank.
pub(super) type Ledger = Arc<Mutex<Vec<Observed>>>;

/// A transaction as its client saw it.
#[derive(Clone, Debug)]
pub(super) struct Observed {
    pub(super) number: u64,
    pub(super) began: u64,
    /// When its client knew what has come of it.
    pub(super) ended: Option<u64>,
    pub(super) fate: Fate,
    pub(super) appends: BTreeMap<u64, i64>,
    /// What it has seen of each account.
    pub(super) reads: BTreeMap<u64, List>,
    /// Whether that is how it was some time ago, by the clocks of the nodes.
    pub(super) is_past: bool,
}

/// What a node says of a transaction.
#[derive(Clone, Debug)]
pub(super) enum Transacted {
    /// It stands; what the commands have seen, in their order.
    Done(Vec<List>),
    /// Nothing was changed.
    Cancelled,
    /// Another try is under way.
    InProgress,
}

/// What is asked of a node: commands on accounts, and how they are sent if they may be sent again.
#[derive(Clone, Debug)]
pub(super) struct Order {
    pub(super) commands: BTreeMap<u64, ListCommand>,
    pub(super) sending: Option<Sending>,
}

/// How an order is sent that may be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sending {
    /// The id under which it takes effect once.
    pub(super) token: u64,
    /// Which call of the client's it is.
    pub(super) call: u64,
    /// Whether it was sent in the same call before.
    pub(super) is_repeated: bool,
}

/// The accounts.
pub(super) fn accounts() -> impl Iterator<Item = u64> {
    0..ACCOUNTS
}

/// A client of the bank.
pub(super) struct Teller {
    everyone: Everyone,
    client: Client,
    ledger: Ledger,
    stream: Stream,
    numbers: Numbers,
    /// How long it knows each account to have been.
    known: BTreeMap<u64, u64>,
}

impl Teller {
    pub(super) fn new(everyone: Everyone, client: Client, ledger: Ledger) -> Self {
        Self {
            stream: everyone.control.stream("teller", client.0),
            numbers: Numbers::new(client),
            known: BTreeMap::new(),
            everyone,
            client,
            ledger,
        }
    }

    /// Works in these shifts.
    pub(super) async fn work(mut self, shifts: Vec<Shift>, think_ms_max: u64) {
        for shift in shifts {
            self.everyone.wait_for(shift.from).await;
            while self.everyone.control.now() < shift.until {
                let think = self.stream.between(1, think_ms_max);
                self.everyone.pause(think).await;
                match self.stream.below(100) {
                    0..55 => self.transfer().await,
                    55..65 => self.append().await,
                    _ => self.look().await,
                }
            }
        }
    }

    /// Some accounts, in no order.
    fn some_accounts(&mut self, count: u64) -> Vec<u64> {
        let mut all: Vec<u64> = accounts().collect();
        self.stream.shuffle(&mut all);
        all.truncate(usize::try_from(count).unwrap_or(1));
        all
    }

    async fn transfer(&mut self) {
        let count = self.stream.between(2, 4);
        let accounts = self.some_accounts(count);
        let number = self.numbers.next();
        let checks = usize::from(self.stream.chance(400_000));
        let (checked, changed) = accounts.split_at(checks);
        let mut commands = BTreeMap::new();
        for account in checked {
            let length = self.known.get(account).copied().unwrap_or_default();
            commands.insert(*account, ListCommand::Check { length });
        }
        let mut rest = 0;
        for (place, account) in changed.iter().enumerate() {
            let delta = if place + 1 == changed.len() {
                -rest
            } else {
                i64::try_from(self.stream.between(1, 9)).unwrap_or(1)
            };
            rest += delta;
            commands.insert(*account, ListCommand::Append(Item { by: number, delta }));
        }
        let sending = self.stream.chance(700_000).then_some(Sending {
            token: number,
            call: 0,
            is_repeated: false,
        });
        self.order(number, Order { commands, sending }).await;
    }

    /// Sends an order, again under the same id while nobody knows whether it was done, as an SDK does.
    async fn order(&mut self, number: u64, mut order: Order) {
        let began = self.everyone.history.moment();
        let attempts = if order.sending.is_some() { ATTEMPTS_MAX } else { 1 };
        // Of the present call; those before it were cancelled.
        let mut is_open = false;
        let mut done = None;
        for attempt in 0..attempts {
            if attempt > 0 {
                let pause = self.stream.between(20, 400);
                self.everyone.pause(pause).await;
            }
            let node = self.everyone.any_node(&mut self.stream);
            let what = format!("{} transacts {number}: {order:?}", self.client);
            let asked = order.clone();
            let attempt = self.everyone.ask(node, &what, move |node| {
                Box::pin(async move { node.transact(&asked).await })
            });
            match attempt.await {
                Attempt::Answered(answer) => {
                    self.everyone
                        .control
                        .note(format!("node {node} has answered {what}: {answer:?}"));
                    match answer {
                        Transacted::Done(lists) => {
                            done = Some(lists);
                            break;
                        }
                        Transacted::Cancelled => {
                            is_open = false;
                            if !self.calls_again(&mut order) {
                                break;
                            }
                            continue;
                        }
                        Transacted::InProgress => {}
                    }
                }
                Attempt::Unknown => is_open = true,
                Attempt::Refused => {}
                Attempt::Gone => {
                    let what = format_args!("node {node} does not know keyspace {BANK}");
                    return self.everyone.breaks(Invariant::Keyspaces, what);
                }
            }
            if let Some(sending) = &mut order.sending {
                sending.is_repeated = true;
            }
        }
        let fate = match (&done, is_open) {
            (Some(_), _) => Fate::Stands,
            (None, true) => Fate::Open,
            (None, false) => Fate::Cancelled,
        };
        let lists = done.unwrap_or_default();
        self.observe((number, began), fate, &order.commands, lists);
    }

    /// Takes down what has come of an order: what its commands have seen, if it stands.
    fn observe(
        &mut self,
        (number, began): (u64, u64),
        fate: Fate,
        commands: &BTreeMap<u64, ListCommand>,
        lists: Vec<List>,
    ) {
        let ended = (fate != Fate::Open).then(|| self.everyone.history.moment());
        let appends = commands.iter().filter_map(|(account, command)| match command {
            ListCommand::Append(item) => Some((*account, item.delta)),
            ListCommand::Check { .. } => None,
        });
        let appends: BTreeMap<_, _> = appends.collect();
        let reads: BTreeMap<_, _> = commands.keys().copied().zip(lists).collect();
        for (account, list) in &reads {
            let own = u64::from(appends.contains_key(account));
            self.known.insert(*account, list.len() as u64 + own);
        }
        self.ledger.lock().push(Observed {
            number,
            began,
            ended,
            fate,
            appends,
            reads,
            is_past: false,
        });
    }

    /// Whether an order that was cancelled is sent once more, in another call.
    fn calls_again(&mut self, order: &mut Order) -> bool {
        let again = self.stream.chance(CALLED_AGAIN);
        match &mut order.sending {
            Some(sending) if again => {
                sending.call += 1;
                sending.is_repeated = false;
                true
            }
            _ => false,
        }
    }

    /// A write of a single account, beside all transactions.
    async fn append(&mut self) {
        let account = self.stream.below(ACCOUNTS);
        let number = self.numbers.next();
        let item = Item { by: number, delta: 0 };
        let began = self.everyone.history.moment();
        let node = self.everyone.any_node(&mut self.stream);
        let what = format!("{} appends {number} to account {account}", self.client);
        let attempt = self.everyone.ask(node, &what, move |node| {
            Box::pin(async move { node.append(account, item).await })
        });
        let (fate, list) = match attempt.await {
            Attempt::Answered(Some(list)) => (Fate::Stands, Some(list)),
            Attempt::Answered(None) | Attempt::Refused => (Fate::Cancelled, None),
            Attempt::Unknown => (Fate::Open, None),
            Attempt::Gone => {
                let what = format_args!("node {node} does not know keyspace {BANK}");
                return self.everyone.breaks(Invariant::Keyspaces, what);
            }
        };
        self.ledger.lock().push(Observed {
            number,
            began,
            ended: (fate != Fate::Open).then(|| self.everyone.history.moment()),
            fate,
            appends: BTreeMap::from([(account, 0)]),
            reads: list.into_iter().map(|list| (account, list)).collect(),
            is_past: false,
        });
    }

    /// Looks at all accounts together, or at some.
    async fn look(&mut self) {
        let count = if self.stream.chance(600_000) {
            ACCOUNTS
        } else {
            self.stream.between(1, 3)
        };
        let accounts = self.some_accounts(count);
        let by_cut = self.stream.chance(CUTS);
        let back_ms = (!by_cut && self.stream.chance(REWINDS)).then(|| self.stream.between(0, BACK_MS_MAX));
        let node = self.everyone.any_node(&mut self.stream);
        let how = match back_ms {
            Some(_) => "goes back and looks",
            None if by_cut => "cuts and looks",
            None => "looks",
        };
        let what = format!("{} {how} at {accounts:?}", self.client);
        let (began, asked) = (self.everyone.history.moment(), accounts.clone());
        let attempt = self.everyone.ask(node, &what, move |node| {
            Box::pin(async move {
                if by_cut {
                    return node.cut(&asked).await.map(Some);
                }
                if let Some(back_ms) = back_ms {
                    return node.rewind(&asked, back_ms).await.map(Some);
                }
                node.read_together(&asked).await
            })
        });
        match attempt.await {
            Attempt::Answered(Some(lists)) => {
                let reads: BTreeMap<_, _> = accounts.into_iter().zip(lists).collect();
                if back_ms.is_none() {
                    for (account, list) in &reads {
                        self.known.insert(*account, list.len() as u64);
                    }
                }
                self.ledger.lock().push(Observed {
                    number: self.numbers.next(),
                    began,
                    ended: Some(self.everyone.history.moment()),
                    fate: Fate::Stands,
                    appends: BTreeMap::new(),
                    reads,
                    is_past: back_ms.is_some(),
                });
            }
            Attempt::Answered(None) | Attempt::Refused | Attempt::Unknown => {}
            Attempt::Gone => {
                let what = format_args!("node {node} does not know keyspace {BANK}");
                self.everyone.breaks(Invariant::Keyspaces, what);
            }
        }
    }
}

/// The name of the accounts' keyspace.
pub(super) fn bank() -> KeyspaceName {
    KeyspaceName::new(BANK)
}
