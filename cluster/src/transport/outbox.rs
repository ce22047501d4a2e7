//! What waits to be sent to one peer, by priority, within a bound of bytes for each.
//!
//! Invariant: a priority holds at most its bound, or a single message. When it is full, the newest message is refused:
//! those before it are what the peer needs to make sense of it. Not here: connections.

use std::collections::VecDeque;

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::sync::Notify;

use super::frame::MESSAGE_HEAD_BYTES;
use crate::world::Priority;

/// What a waiting message counts beside its bytes, so that empty messages are bounded too.
const OVERHEAD_BYTES: usize = 64;

#[derive(Debug)]
struct Waiting {
    messages: VecDeque<Bytes>,
    bytes: usize,
    bytes_max: usize,
}

impl Waiting {
    fn push(&mut self, message: Bytes) -> bool {
        let bytes = self.bytes + cost(&message);
        if bytes > self.bytes_max && !self.messages.is_empty() {
            return false;
        }
        self.bytes = bytes;
        self.messages.push_back(message);
        true
    }

    /// The oldest messages that make a batch of at most `bytes_max` bytes; at least one if there is one.
    fn take(&mut self, bytes_max: usize) -> Vec<Bytes> {
        let mut bytes = 0;
        let fitting = self
            .messages
            .iter()
            .take_while(|message| {
                bytes += MESSAGE_HEAD_BYTES + message.len();
                bytes <= bytes_max
            })
            .count();
        let batch: Vec<Bytes> = self
            .messages
            .drain(..fitting.max(1).min(self.messages.len()))
            .collect();
        self.bytes -= batch.iter().map(cost).sum::<usize>();
        batch
    }
}

fn cost(message: &Bytes) -> usize {
    message.len() + OVERHEAD_BYTES
}

/// The messages of one priority and who waits for them.
#[derive(Debug)]
struct Lane {
    waiting: Mutex<Waiting>,
    filled: Notify,
}

impl Lane {
    fn new(bytes_max: usize) -> Self {
        Self {
            waiting: Mutex::new(Waiting {
                messages: VecDeque::new(),
                bytes: 0,
                bytes_max,
            }),
            filled: Notify::new(),
        }
    }
}

#[derive(Debug)]
pub(super) struct Outbox {
    urgent: Lane,
    bulk: Lane,
}

impl Outbox {
    pub(super) fn new(urgent_bytes_max: usize, bulk_bytes_max: usize) -> Self {
        Self {
            urgent: Lane::new(urgent_bytes_max),
            bulk: Lane::new(bulk_bytes_max),
        }
    }

    fn lane(&self, priority: Priority) -> &Lane {
        match priority {
            Priority::Urgent => &self.urgent,
            Priority::Bulk => &self.bulk,
        }
    }

    /// Whether there was room for the message.
    pub(super) fn push(&self, priority: Priority, message: Bytes) -> bool {
        let lane = self.lane(priority);
        let pushed = lane.waiting.lock().push(message);
        if pushed {
            lane.filled.notify_one();
        }
        pushed
    }

    /// See [`Waiting::take`].
    pub(super) fn take(&self, priority: Priority, bytes_max: usize) -> Vec<Bytes> {
        self.lane(priority).waiting.lock().take(bytes_max)
    }

    /// Is ready when a message of this priority waits. One task at a time may wait for a priority.
    pub(super) async fn filled(&self, priority: Priority) {
        let lane = self.lane(priority);
        while lane.waiting.lock().messages.is_empty() {
            lane.filled.notified().await;
        }
    }

    /// Is ready when any message waits.
    pub(super) async fn filled_any(&self) {
        tokio::select! {
            () = self.filled(Priority::Urgent) => {}
            () = self.filled(Priority::Bulk) => {}
        }
    }

    /// Throws away all that waits, and says how many messages that were.
    pub(super) fn clear(&self) -> usize {
        [&self.urgent, &self.bulk]
            .into_iter()
            .map(|lane| {
                let mut waiting = lane.waiting.lock();
                waiting.bytes = 0;
                std::mem::take(&mut waiting.messages).len()
            })
            .sum()
    }

    /// Bytes that wait, with what they cost beside their content.
    pub(super) fn bytes(&self) -> usize {
        self.urgent.waiting.lock().bytes + self.bulk.waiting.lock().bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(bytes: usize) -> Bytes {
        Bytes::from(vec![0; bytes])
    }

    #[test]
    fn a_full_priority_refuses_the_newest_and_leaves_the_other_alone() {
        let outbox = Outbox::new(1000, 1000);
        assert!(outbox.push(Priority::Bulk, message(800)));
        assert!(!outbox.push(Priority::Bulk, message(73)));
        assert!(outbox.push(Priority::Bulk, message(72)));
        assert!(!outbox.push(Priority::Bulk, message(0)));
        assert!(outbox.push(Priority::Urgent, message(72)));
        assert_eq!(outbox.take(Priority::Bulk, usize::MAX).len(), 2);
        assert!(outbox.push(Priority::Bulk, message(800)));
    }

    #[test]
    fn a_message_over_the_bound_goes_when_nothing_else_waits() {
        let outbox = Outbox::new(1000, 1000);
        assert!(outbox.push(Priority::Urgent, message(5000)));
        assert!(!outbox.push(Priority::Urgent, message(0)));
        assert_eq!(outbox.take(Priority::Urgent, 100), [message(5000)]);
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn batches_are_in_order_and_within_their_bound() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        for bytes in [10, 20, 30, 200] {
            outbox.push(Priority::Urgent, message(bytes));
        }
        let lengths = |batch: Vec<Bytes>| batch.iter().map(Bytes::len).collect::<Vec<_>>();
        assert_eq!(lengths(outbox.take(Priority::Urgent, 38)), [10, 20]);
        assert_eq!(lengths(outbox.take(Priority::Urgent, 38)), [30]);
        assert_eq!(lengths(outbox.take(Priority::Urgent, 38)), [200]);
        assert!(outbox.take(Priority::Urgent, 38).is_empty());
        assert_eq!(outbox.bytes(), 0);
    }

    #[test]
    fn what_is_cleared_is_counted() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        outbox.push(Priority::Urgent, message(1));
        outbox.push(Priority::Bulk, message(1));
        assert_eq!(outbox.clear(), 2);
        assert_eq!((outbox.clear(), outbox.bytes()), (0, 0));
    }

    #[tokio::test]
    async fn who_waits_is_woken() {
        let outbox = Outbox::new(1 << 20, 1 << 20);
        let wait = outbox.filled_any();
        let push = async { assert!(outbox.push(Priority::Bulk, message(1))) };
        tokio::join!(wait, push);
        outbox.filled(Priority::Bulk).await;
    }
}
