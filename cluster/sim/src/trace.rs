//! What happened in a run, in order: a running hash of all of it, and the last of it in words.
//!
//! Invariant: whatever a run does goes into the hash, with its simulated time, whether anybody reads the words or not;
//! so two runs with one hash did the same. Words are made only when they are printed.

use std::collections::VecDeque;
use std::fmt;
use std::io::Write;
use std::time::Duration;

use bytes::Bytes;
use stator_cluster::NodeId;
use xxhash_rust::xxh3::{Xxh3, xxh3_64};

/// Puts an opaque message into words.
pub type Describe = fn(&[u8]) -> String;

/// Why a message did not arrive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lost {
    /// The link lost it.
    Chance,
    /// The link is cut in this direction.
    Cut,
    /// The receiver is down, or does not listen yet.
    Down,
    /// The receiver's machine is suspended.
    Suspended,
    /// The sender does not know the receiver's address.
    Stranger,
}

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Record {
    /// A message was handed to the network.
    Sent {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Bytes,
    },
    /// A message arrived.
    Delivered {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// The message.
        message: Bytes,
    },
    /// A message did not arrive.
    Lost {
        /// The sender.
        from: NodeId,
        /// The receiver.
        to: NodeId,
        /// Why.
        why: Lost,
    },
    /// A timer fired. The node is `None` for those outside of the cluster.
    Timer {
        /// Whose.
        node: Option<NodeId>,
        /// Its number, counted over the run.
        timer: u64,
    },
    /// A task was polled.
    Poll {
        /// Whose.
        node: Option<NodeId>,
        /// Its number, counted over the run.
        task: u64,
    },
    /// A node's disk did some work.
    Turn {
        /// Whose.
        node: NodeId,
        /// Whether there was any.
        worked: bool,
    },
    /// A node was started.
    Started {
        /// Which.
        node: NodeId,
        /// How often it was started, this time included.
        incarnation: u64,
    },
    /// A node crashed, was paused, went on: what it was, in words.
    Fault(String),
    /// An operation of a client began or ended, or whatever else a scenario says, in words.
    Note(String),
}

impl Record {
    fn feed(&self, hash: &mut Xxh3) {
        let mut numbers = |tag: u8, numbers: [u64; 3]| {
            hash.update(&[tag]);
            for number in numbers {
                hash.update(&number.to_le_bytes());
            }
        };
        let outside = u64::MAX;
        let owner = |node: &Option<NodeId>| node.map_or(outside, |node| node.0);
        match self {
            Self::Sent { from, to, message } => numbers(1, [from.0, to.0, xxh3_64(message)]),
            Self::Delivered { from, to, message } => numbers(2, [from.0, to.0, xxh3_64(message)]),
            Self::Lost { from, to, why } => {
                let why = match why {
                    Lost::Chance => 0,
                    Lost::Cut => 1,
                    Lost::Down => 2,
                    Lost::Suspended => 3,
                    Lost::Stranger => 4,
                };
                numbers(3, [from.0, to.0, why]);
            }
            Self::Timer { node, timer } => numbers(4, [owner(node), *timer, 0]),
            Self::Poll { node, task } => numbers(5, [owner(node), *task, 0]),
            Self::Turn { node, worked } => numbers(6, [node.0, u64::from(*worked), 0]),
            Self::Started { node, incarnation } => numbers(7, [node.0, *incarnation, 0]),
            Self::Fault(words) => numbers(8, [xxh3_64(words.as_bytes()), 0, 0]),
            Self::Note(words) => numbers(9, [xxh3_64(words.as_bytes()), 0, 0]),
        }
    }

    /// Whether it is worth a line. Polls follow from what woke the task, and a turn without work is silence.
    fn is_shown(&self) -> bool {
        !matches!(self, Self::Poll { .. } | Self::Turn { worked: false, .. })
    }

    fn words(&self, describe: Option<Describe>) -> String {
        let message = |message: &Bytes| {
            describe.map_or_else(
                || format!("{} bytes {:016x}", message.len(), xxh3_64(message)),
                |describe| describe(message),
            )
        };
        let owner =
            |node: &Option<NodeId>| node.map_or_else(|| "outside".to_owned(), |node| format!("node {node}"));
        match self {
            Self::Sent {
                from,
                to,
                message: sent,
            } => format!("{from} -> {to} sent {}", message(sent)),
            Self::Delivered {
                from,
                to,
                message: got,
            } => format!("{from} -> {to} arrived {}", message(got)),
            Self::Lost { from, to, why } => format!("{from} -> {to} lost: {why:?}"),
            Self::Timer { node, timer } => format!("{} timer {timer}", owner(node)),
            Self::Poll { node, task } => format!("{} task {task}", owner(node)),
            Self::Turn { node, .. } => format!("node {node} disk"),
            Self::Started { node, incarnation } => format!("node {node} started, {incarnation}. time"),
            Self::Fault(words) => format!("FAULT {words}"),
            Self::Note(words) => words.clone(),
        }
    }
}

/// Settings of a trace.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How many of the last records are kept to be printed when the run fails.
    pub kept_records: usize,
    /// How messages are put into words; by length and hash when `None`.
    pub describe: Option<Describe>,
    /// Prints every record to standard error as it happens.
    pub is_printed: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            kept_records: 400,
            describe: None,
            is_printed: false,
        }
    }
}

/// The trace of a run.
pub struct Trace {
    settings: Settings,
    hash: Xxh3,
    records: u64,
    kept: VecDeque<(Duration, Record)>,
}

impl fmt::Debug for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Trace")
            .field("records", &self.records)
            .field("hash", &self.hash())
            .finish_non_exhaustive()
    }
}

impl Trace {
    /// An empty trace.
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            hash: Xxh3::new(),
            records: 0,
            kept: VecDeque::new(),
        }
    }

    /// Takes down what happened at a simulated time.
    pub fn record(&mut self, at: Duration, record: Record) {
        self.records += 1;
        self.hash.update(&at.as_nanos().to_le_bytes());
        record.feed(&mut self.hash);
        if !record.is_shown() {
            return;
        }
        if self.settings.is_printed {
            let line = line(at, &record, self.settings.describe);
            // Whoever has closed standard error wants to read nothing.
            drop(writeln!(std::io::stderr().lock(), "{line}"));
        }
        if self.settings.kept_records > 0 {
            if self.kept.len() >= self.settings.kept_records {
                self.kept.pop_front();
            }
            self.kept.push_back((at, record));
        }
    }

    /// The hash of everything so far.
    pub fn hash(&self) -> u64 {
        self.hash.digest()
    }

    /// How many records there were.
    pub fn records(&self) -> u64 {
        self.records
    }

    /// The last records in words, oldest first.
    pub fn lines(&self) -> Vec<String> {
        let lines = self.kept.iter();
        lines
            .map(|(at, record)| line(*at, record, self.settings.describe))
            .collect()
    }
}

fn line(at: Duration, record: &Record, describe: Option<Describe>) -> String {
    format!(
        "{:>4}.{:06} {}",
        at.as_secs(),
        at.subsec_micros(),
        record.words(describe)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note(words: &str) -> Record {
        Record::Note(words.to_owned())
    }

    #[test]
    fn the_hash_depends_on_what_when_and_in_which_order() {
        let hash = |records: &[(u64, Record)]| {
            let mut trace = Trace::new(Settings::default());
            for (at, record) in records {
                trace.record(Duration::from_millis(*at), record.clone());
            }
            trace.hash()
        };
        let usual = hash(&[(1, note("a")), (1, note("b"))]);
        assert_eq!(usual, hash(&[(1, note("a")), (1, note("b"))]));
        assert_ne!(usual, hash(&[(1, note("b")), (1, note("a"))]));
        assert_ne!(usual, hash(&[(1, note("a")), (2, note("b"))]));
        assert_ne!(usual, hash(&[(1, note("a"))]));
        let poll = |task| Record::Poll { node: None, task };
        assert_ne!(hash(&[(1, poll(1))]), hash(&[(1, poll(2))]));
    }

    #[test]
    fn the_last_records_are_kept_in_words() {
        let mut trace = Trace::new(Settings {
            kept_records: 2,
            describe: Some(|message| String::from_utf8_lossy(message).into_owned()),
            is_printed: false,
        });
        for number in 0..3 {
            trace.record(Duration::from_millis(number), note(&number.to_string()));
        }
        let message = Bytes::from_static(b"hello");
        let (from, to) = (NodeId(1), NodeId(2));
        trace.record(Duration::from_secs(1), Record::Delivered { from, to, message });
        trace.record(Duration::from_secs(1), Record::Poll { node: None, task: 1 });
        assert_eq!(
            trace.lines(),
            ["   0.002000 2", "   1.000000 1 -> 2 arrived hello"]
        );
        assert_eq!(trace.records(), 5);
    }
}
