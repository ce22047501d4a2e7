//! A client that makes keyspaces, writes to them at once through other nodes, and drops them.
//!
//! Invariant: a name is used again only if nothing that was asked under it can still happen.

use std::sync::Arc;

use parking_lot::Mutex;
use stator_cluster::ConsistencyLevel;

use super::everyone::{Attempt, Everyone, Sending};
use super::invariant::Invariant;
use super::node::{Answering, Node};
use super::place::{KeyspaceName, Place};
use super::work::{Numbers, Shift};
use crate::check::cell::Input;
use crate::history::Client;
use crate::random::Stream;

/// Keyspaces that were made and not dropped.
pub(super) type Kept = Arc<Mutex<Vec<KeyspaceName>>>;

/// How many keys of each keyspace are used.
pub(super) const KEYS: u64 = 4;

/// How often something is asked before the client gives up.
const ATTEMPTS_MAX: usize = 40;

/// A client at work.
pub(super) struct Keeper {
    everyone: Everyone,
    client: Client,
    stream: Stream,
    numbers: Numbers,
    kept: Kept,
}

/// What has come of asking until there was an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asked {
    /// It is done, and nothing of it can happen later.
    Done,
    /// It is done, and may happen again.
    DoneAndOpen,
    /// Nobody has answered.
    GivenUp,
}

impl Keeper {
    pub(super) fn new(everyone: Everyone, client: Client, kept: Kept) -> Self {
        Self {
            stream: everyone.control.stream("keeper", client.0),
            numbers: Numbers::new(client),
            everyone,
            client,
            kept,
        }
    }

    /// Works in these shifts.
    pub(super) async fn work(mut self, shifts: Vec<Shift>) {
        let mut number = 0;
        for Shift { from, until } in shifts {
            self.everyone.wait_for(from).await;
            while self.everyone.control.now() < until {
                number += 1;
                let mut keyspace = KeyspaceName::new(format!("fresh {number}"));
                while self.everyone.control.now() < until && self.live_through(&keyspace).await {
                    keyspace.generation += 1;
                }
                let pause = self.stream.between(100, 900);
                self.everyone.pause(pause).await;
            }
        }
    }

    /// Makes, uses and sometimes drops a keyspace, and says whether its name can be used again.
    async fn live_through(&mut self, keyspace: &KeyspaceName) -> bool {
        let name = keyspace.clone();
        let made = self
            .insist(format!("create keyspace {keyspace}"), move |node| {
                let name = name.clone();
                Box::pin(async move { node.create_keyspace(&name).await })
            })
            .await;
        if made == Asked::GivenUp {
            return false;
        }
        self.kept.lock().push(keyspace.clone());
        let is_sure = self.use_it(keyspace).await;
        if self.stream.chance(500_000) {
            return false;
        }
        self.kept.lock().retain(|kept| kept != keyspace);
        let name = keyspace.clone();
        let dropped = self
            .insist(format!("drop keyspace {keyspace}"), move |node| {
                let name = name.clone();
                Box::pin(async move { node.drop_keyspace(&name).await })
            })
            .await;
        if [made, dropped] != [Asked::Done; 2] || !is_sure {
            return false;
        }
        self.is_gone(keyspace).await
    }

    /// Writes and reads a few cells through any nodes, and says whether nothing of it can happen later.
    async fn use_it(&mut self, keyspace: &KeyspaceName) -> bool {
        let sending = Sending {
            level: ConsistencyLevel::Quorum,
            is_repeated: true,
        };
        let mut is_sure = true;
        for _ in 0..self.stream.between(1, 8) {
            let key = self.stream.below(KEYS);
            let place = Place {
                keyspace: keyspace.clone(),
                key,
            };
            if self.stream.chance(600_000) {
                let input = Input::Put(self.numbers.cell());
                let (everyone, stream) = (&self.everyone, &mut self.stream);
                let written = everyone.write(self.client, stream, &place, input, sending).await;
                is_sure &= !written.is_open;
            } else {
                let node = self.everyone.any_node(&mut self.stream);
                let level = ConsistencyLevel::Quorum;
                self.everyone.read(self.client, node, &place, level).await;
            }
        }
        is_sure
    }

    async fn is_gone(&mut self, keyspace: &KeyspaceName) -> bool {
        let node = self.everyone.any_node(&mut self.stream);
        let name = keyspace.clone();
        let what = format!("{} looks for keyspace {keyspace}", self.client);
        let attempt = self
            .everyone
            .ask(node, what, move |node| {
                Box::pin(async move { node.has_keyspace(&name).await })
            })
            .await;
        if let Attempt::Answered(true) = attempt {
            let what = format_args!("node {node} still has keyspace {keyspace}, which was dropped");
            self.everyone.breaks(Invariant::Keyspaces, what);
        }
        matches!(attempt, Attempt::Answered(false))
    }

    /// Asks any nodes until one has done it.
    async fn insist(
        &mut self,
        what: String,
        call: impl Fn(Arc<dyn Node>) -> Answering<'static, ()> + Clone + Send + 'static,
    ) -> Asked {
        let mut is_open = false;
        for _ in 0..ATTEMPTS_MAX {
            let node = self.everyone.any_node(&mut self.stream);
            let what = format!("{} asks to {what}", self.client);
            match self.everyone.ask(node, what, call.clone()).await {
                Attempt::Answered(()) if is_open => return Asked::DoneAndOpen,
                Attempt::Answered(()) => return Asked::Done,
                Attempt::Unknown => is_open = true,
                Attempt::Refused | Attempt::Gone => {}
            }
            let pause = self.stream.between(50, 300);
            self.everyone.pause(pause).await;
        }
        Asked::GivenUp
    }
}
