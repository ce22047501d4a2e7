//! Room for bodies: what requests hold of them in memory together is bounded, whoever has sent them.
//!
//! Bodies are read before it is known who has sent them, and a connection of HTTP/2 brings many at once. Invariant: what was taken is
//! given back with the last of the bytes that it was taken for. Not here: how long one body may be (`body.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Room {
    bytes_max: u64,
    taken: AtomicU64,
}

/// What one body has taken of it, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    room: Arc<Room>,
    bytes: u64,
}

/// Bytes with their share.
struct Held {
    bytes: Vec<u8>,
    _share: Share,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Room {
    pub(super) fn new(bytes_max: u32) -> Arc<Self> {
        Arc::new(Self {
            bytes_max: bytes_max.into(),
            taken: AtomicU64::new(0),
        })
    }

    /// A share that has nothing yet.
    pub(super) fn share(self: &Arc<Self>) -> Share {
        Share {
            room: Arc::clone(self),
            bytes: 0,
        }
    }
}

impl Share {
    /// Takes so many bytes more; `false`, and nothing is taken, if there is no room for them.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = u64::try_from(bytes).unwrap_or(u64::MAX);
        // Far from an overflow: a share is that of a body, and there are no more of these than streams.
        let before = self.room.taken.fetch_add(more, Ordering::Relaxed);
        let fits = before.saturating_add(more) <= self.room.bytes_max;
        if fits {
            self.bytes += more;
        } else {
            self.room.taken.fetch_sub(more, Ordering::Relaxed);
        }
        fits
    }

    /// Gives all back.
    pub(super) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        self.room.taken.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Bytes that hold the share as long as anybody has any of them.
    pub(super) fn hold(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Held { bytes, _share: self })
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(room: &Room) -> u64 {
        room.taken.load(Ordering::Relaxed)
    }

    #[test]
    fn there_is_no_more_room_than_there_is() {
        let room = Room::new(10);
        let (mut one, mut other) = (room.share(), room.share());
        assert!(one.grow(4) && other.grow(6) && !one.grow(1));
        other.give_back();
        assert!(one.grow(6) && !one.grow(usize::MAX));
        assert_eq!(taken(&room), 10);
        drop((one, other));
        assert_eq!(taken(&room), 0);
    }

    #[test]
    fn room_is_held_until_the_last_of_the_bytes_is_gone() {
        let room = Room::new(10);
        let mut share = room.share();
        assert!(share.grow(5));
        let bytes = share.hold(b"12345".to_vec());
        let part = bytes.slice(1..2);
        assert_eq!(bytes, "12345");
        drop(bytes);
        assert_eq!((&part[..], taken(&room)), (&b"2"[..], 5));
        drop(part);
        assert_eq!(taken(&room), 0);
    }
}
