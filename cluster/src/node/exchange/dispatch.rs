//! The receiving half: what a message is for is decided by its first byte.
//!
//! Invariant: nothing that comes from another node panics; what does not decode is counted and dropped. Messages of one
//! node are handed on in the order in which they come. Not here: what is done with them.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::RwLock;

use super::batch::{GroupMessage, MalformedBatch, RaftBatch};
use super::envelope::{Request, RequestId, Response, Tag};
use super::sender::Exchange;
use crate::group::quiet::QuietMessage;
use crate::raft::RaftMessage;
use crate::world::{Inbox, NodeId, Priority};

/// Takes the messages of groups.
pub(crate) trait RaftInbox: Send + Sync + fmt::Debug {
    /// Takes a message; quick, never waits.
    fn receive(&self, from: NodeId, group: u32, message: RaftMessage);

    /// Takes a message about resting; quick, never waits.
    fn receive_quiet(&self, from: NodeId, group: u32, message: QuietMessage);

    /// All messages of a batch were given.
    fn batch_end(&self);
}

/// Answers requests of other nodes.
pub(crate) trait Serve: Send + Sync + fmt::Debug {
    /// Takes a request; quick, never waits. The answer may be given later, and from anywhere. The body shares memory with
    /// messages that came along with it.
    fn serve(&self, from: NodeId, body: Bytes, reply: Reply);
}

/// The way back to a request. If it is dropped without an answer, the other node is told that the request is not served.
pub(crate) struct Reply {
    exchange: Exchange,
    to: NodeId,
    id: RequestId,
    priority: Priority,
    is_sent: bool,
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reply")
            .field("to", &self.to)
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

impl Reply {
    /// Answers. An answer that is longer than [`REQUEST_BODY_BYTES_MAX`](super::REQUEST_BODY_BYTES_MAX) is not sent; the
    /// other node is told that the request is not served.
    pub(crate) fn send(mut self, body: Bytes) {
        let bytes = body.len();
        if !self.answer(Some(body)) {
            self.exchange.counters().answers_too_long.add(1);
            tracing::error!(bytes, to = %self.to, "an answer is too long and was not sent");
        }
    }

    /// `false` if it is too long.
    fn answer(&mut self, body: Option<Bytes>) -> bool {
        let message = Response { id: self.id, body }.encode();
        let Some(message) = message else {
            return false;
        };
        self.is_sent = true;
        self.exchange.send(self.to, self.priority, message);
        true
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        if !self.is_sent {
            self.answer(None);
        }
    }
}

/// Who takes what comes. Nobody does before it is said, and after the end.
#[derive(Clone, Debug, Default)]
struct Takers {
    raft: Option<Arc<dyn RaftInbox>>,
    gossip: Option<Arc<dyn Inbox>>,
    serve: Option<Arc<dyn Serve>>,
}

/// Gets the messages of other nodes, and hands each to whom it is for.
#[derive(Debug)]
pub(crate) struct Dispatch {
    exchange: Exchange,
    takers: RwLock<Takers>,
}

impl Dispatch {
    /// Hands answers to `exchange`, and nothing else to anybody yet.
    pub(crate) fn new(exchange: Exchange) -> Self {
        Self {
            exchange,
            takers: RwLock::default(),
        }
    }

    /// Messages of groups go here from now on.
    pub(crate) fn set_raft(&self, raft: Arc<dyn RaftInbox>) {
        self.takers.write().raft = Some(raft);
    }

    /// Messages of gossip go here from now on.
    pub(crate) fn set_gossip(&self, gossip: Arc<dyn Inbox>) {
        self.takers.write().gossip = Some(gossip);
    }

    /// Requests go here from now on. Until then the other nodes are told that they are not served.
    pub(crate) fn set_serve(&self, serve: Arc<dyn Serve>) {
        self.takers.write().serve = Some(serve);
    }

    /// Lets go of all that messages went to, and [closes](Exchange::close) the exchange: nothing is received any more.
    pub(crate) fn close(&self) {
        self.exchange.close();
        let takers = std::mem::take(&mut *self.takers.write());
        drop(takers);
    }

    fn receive_raft(&self, from: NodeId, batch: Bytes) {
        let taker = self.takers.read().raft.clone();
        let Some(taker) = taker else {
            self.exchange.counters().unclaimed.add(1);
            return;
        };
        let mut messages = 0;
        for read in RaftBatch::new(batch) {
            match read {
                Ok((group, message)) => {
                    match message {
                        GroupMessage::Raft(message) => taker.receive(from, group, message),
                        GroupMessage::Quiet(message) => taker.receive_quiet(from, group, message),
                    }
                    messages += 1;
                }
                Err(MalformedBatch) => self.refuse(from, "a batch of messages of groups"),
            }
        }
        self.exchange.counters().raft_messages_received.add(messages);
        taker.batch_end();
    }

    fn receive_gossip(&self, from: NodeId, message: Bytes) {
        let taker = self.takers.read().gossip.clone();
        match taker {
            Some(taker) => taker.receive(from, message),
            None => self.exchange.counters().unclaimed.add(1),
        }
    }

    fn receive_request(&self, from: NodeId, message: Bytes) {
        let Some(request) = Request::decode(message) else {
            return self.refuse(from, "a request");
        };
        self.exchange.counters().requests_received.add(1);
        let reply = Reply {
            exchange: self.exchange.clone(),
            to: from,
            id: request.id,
            priority: request.priority,
            is_sent: false,
        };
        let taker = self.takers.read().serve.clone();
        match taker {
            Some(taker) => taker.serve(from, request.body, reply),
            // The reply says so.
            None => self.exchange.counters().unclaimed.add(1),
        }
    }

    fn refuse(&self, from: NodeId, what: &str) {
        self.exchange.counters().malformed.add(1);
        tracing::debug!(%from, what, "a message does not decode and was dropped");
    }
}

impl Inbox for Dispatch {
    fn receive(&self, from: NodeId, message: Bytes) {
        let mut message = message;
        let tag = Tag::take(&mut message);
        if from == self.exchange.node() && tag != Some(Tag::Gossip) {
            // Another process under this node's certificate: gossip finds that out, nobody else talks to it.
            return self.refuse(from, "a message of this node itself");
        }
        match tag {
            Some(Tag::Raft) => self.receive_raft(from, message),
            Some(Tag::Gossip) => self.receive_gossip(from, message),
            Some(Tag::Request) => self.receive_request(from, message),
            Some(Tag::Response) => match Response::decode(message) {
                Some(response) => self.exchange.on_response(from, response),
                None => self.refuse(from, "an answer"),
            },
            None => self.refuse(from, "its first byte"),
        }
    }
}
