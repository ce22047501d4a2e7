//! What an exchange has done since it was made.
//!
//! Not here: anything that is decided by a number.

use std::sync::atomic::{AtomicU64, Ordering};

use serde::Serialize;

/// Counts since the start of the process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExchangeStatistics {
    /// Requests that were sent.
    pub requests_sent: u64,
    /// Of these, how many were answered.
    pub requests_answered: u64,
    /// How many were not, within their patience.
    pub requests_timed_out: u64,
    /// How many ended because their node went down.
    pub requests_failed: u64,
    /// How many the other node said that it does not serve.
    pub requests_not_served: u64,
    /// Requests that were not sent, because too many wait or they are too long.
    pub requests_refused: u64,
    /// Requests that wait for their answers now.
    pub requests_waiting: u64,
    /// Answers that nobody waits for any more, or that belong to a former start of this node.
    pub answers_unwanted: u64,
    /// Requests of other nodes.
    pub requests_received: u64,
    /// Answers that were longer than a message may be, so that they were not sent.
    pub answers_too_long: u64,
    /// Messages of groups that were sent, and in how many batches.
    pub raft_messages_sent: u64,
    /// Batches that they were sent in.
    pub raft_batches_sent: u64,
    /// Messages of groups that were longer than a message may be, so that they were not sent.
    pub raft_messages_too_long: u64,
    /// Messages of groups that came.
    pub raft_messages_received: u64,
    /// Messages, or ends of batches, that do not decode and were dropped.
    pub malformed: u64,
    /// Messages that came when there was nobody to take them: while the node starts, or stops.
    pub unclaimed: u64,
}

/// One number of [`ExchangeStatistics`] that rises.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, count: u64) {
        self.0.fetch_add(count, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The numbers as they rise.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) requests_sent: Counter,
    pub(super) requests_answered: Counter,
    pub(super) requests_timed_out: Counter,
    pub(super) requests_failed: Counter,
    pub(super) requests_not_served: Counter,
    pub(super) requests_refused: Counter,
    pub(super) answers_unwanted: Counter,
    pub(super) requests_received: Counter,
    pub(super) answers_too_long: Counter,
    pub(super) raft_messages_sent: Counter,
    pub(super) raft_batches_sent: Counter,
    pub(super) raft_messages_too_long: Counter,
    pub(super) raft_messages_received: Counter,
    pub(super) malformed: Counter,
    pub(super) unclaimed: Counter,
}

impl Counters {
    pub(super) fn read(&self, requests_waiting: usize) -> ExchangeStatistics {
        ExchangeStatistics {
            requests_sent: self.requests_sent.get(),
            requests_answered: self.requests_answered.get(),
            requests_timed_out: self.requests_timed_out.get(),
            requests_failed: self.requests_failed.get(),
            requests_not_served: self.requests_not_served.get(),
            requests_refused: self.requests_refused.get(),
            requests_waiting: requests_waiting as u64,
            answers_unwanted: self.answers_unwanted.get(),
            requests_received: self.requests_received.get(),
            answers_too_long: self.answers_too_long.get(),
            raft_messages_sent: self.raft_messages_sent.get(),
            raft_batches_sent: self.raft_batches_sent.get(),
            raft_messages_too_long: self.raft_messages_too_long.get(),
            raft_messages_received: self.raft_messages_received.get(),
            malformed: self.malformed.get(),
            unclaimed: self.unclaimed.get(),
        }
    }
}
