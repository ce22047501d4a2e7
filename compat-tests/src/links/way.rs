//! The way from one node to another: its condition, and how bytes go along it.
//!
//! Invariant: bytes of one connection never overtake each other, and none is lost while the connection stands.

use std::io::{self, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::LOOK;
use crate::{Random, clock};

/// Bytes that are carried at once.
const CHUNK_BYTES: usize = 16 << 10;
/// Chunks of a connection that may be under way; more wait where they come from.
const CHUNKS: usize = 64;

/// What befalls everything that goes one way.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Condition {
    /// Nothing arrives.
    pub is_cut: bool,
    /// How much later it arrives.
    pub delay: Duration,
    /// How much later still at most.
    pub jitter: Duration,
    /// How many bytes of a connection arrive in a second; as many as the machine can carry if it is not said.
    pub bytes_per_second: Option<u32>,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(super) struct Way {
    condition: Mutex<Condition>,
    disconnected: AtomicU64,
}

/// Bytes, and when they are to arrive.
type Chunk = (Instant, Vec<u8>);

/// The bytes of a connection that are under way.
pub(super) fn queue() -> (SyncSender<Chunk>, Receiver<Chunk>) {
    sync_channel(CHUNKS)
}

impl Way {
    pub(super) fn change(&self, change: impl FnOnce(&mut Condition)) {
        change(&mut self.condition.lock());
    }

    pub(super) fn disconnect(&self) {
        self.disconnected.fetch_add(1, Ordering::Relaxed);
    }

    /// How often its connections were broken.
    pub(super) fn disconnected(&self) -> u64 {
        self.disconnected.load(Ordering::Relaxed)
    }

    fn condition(&self) -> Condition {
        *self.condition.lock()
    }

    /// Takes what comes, as long as it goes on and somebody gives it.
    pub(super) fn take(&self, mut from: &TcpStream, queue: &SyncSender<Chunk>, goes_on: impl Fn() -> bool) {
        let mut buffer = vec![0; CHUNK_BYTES];
        let mut random = Random::new(u64::from(std::process::id()), 0);
        while goes_on() {
            if self.condition().is_cut {
                clock::pause(LOOK);
                continue;
            }
            let count = match from.read(&mut buffer) {
                Ok(0) => return,
                Ok(count) => count,
                Err(error) if is_to_be_continued(&error) => continue,
                Err(_) => return,
            };
            let Condition { delay, jitter, .. } = self.condition();
            let due = clock::now() + delay + random.duration(jitter);
            let bytes = buffer.get(..count).unwrap_or_default().to_vec();
            if queue.send((due, bytes)).is_err() {
                return;
            }
        }
    }

    /// Gives what was taken when it is due, until there is nothing more.
    pub(super) fn give(&self, queue: &Receiver<Chunk>, mut to: &TcpStream, goes_on: impl Fn() -> bool) {
        while goes_on() {
            let (due, bytes) = match queue.recv_timeout(LOOK) {
                Ok(chunk) => chunk,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            // What was taken before the way was cut waits with the rest.
            let mut due = due;
            if let Some(rate) = self.condition().bytes_per_second {
                due = due.max(clock::now()) + time_for(bytes.len(), rate);
            }
            loop {
                let left = due.saturating_duration_since(clock::now());
                if !goes_on() {
                    return;
                }
                if left.is_zero() && !self.condition().is_cut {
                    break;
                }
                clock::pause(if left.is_zero() { LOOK } else { left.min(LOOK) });
            }
            if to.write_all(&bytes).is_err() {
                return;
            }
        }
    }
}

fn time_for(bytes: usize, per_second: u32) -> Duration {
    let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
    Duration::from_secs(1) * bytes / per_second.max(1)
}

pub(super) fn is_to_be_continued(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
    )
}
