//! How many connections each client address has open, so that one client does not take them all.
//!
//! Invariant: an address is remembered only while it has a connection, so that there are never more than connections. An
//! address is what a client has no choice of (`guard.rs`, `site`). Not here: how many connections there are together.

use std::collections::HashMap;
use std::net::IpAddr;

use parking_lot::Mutex;

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Connections {
    /// Most of one address; 0 for no limit.
    max: u32,
    by_address: Mutex<HashMap<IpAddr, Count>>,
}

#[derive(Debug, Default)]
struct Count {
    open: u32,
    /// Whether it was told that the address has too many.
    is_told: bool,
}

impl Connections {
    pub(super) fn new(max: u32) -> Self {
        Self {
            max,
            by_address: Mutex::default(),
        }
    }

    /// Counts one more connection of an address; `false` if it has as many as may be.
    pub(super) fn open(&self, address: IpAddr) -> bool {
        if self.max == 0 {
            return true;
        }
        let mut by_address = self.by_address.lock();
        let count = by_address.entry(address).or_default();
        if count.open < self.max {
            count.open += 1;
            return true;
        }
        if !std::mem::replace(&mut count.is_told, true) {
            let max = self.max;
            tracing::warn!(%address, max, "an address has as many connections as it may; more are closed");
        }
        false
    }

    /// A connection of an address that was counted has ended.
    pub(super) fn close(&self, address: IpAddr) {
        if self.max == 0 {
            return;
        }
        let mut by_address = self.by_address.lock();
        if let Some(count) = by_address.get_mut(&address) {
            count.open = count.open.saturating_sub(1);
            if count.open == 0 {
                by_address.remove(&address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_address_has_its_own_limit_and_none_is_kept_without_a_connection() {
        let connections = Connections::new(2);
        let (one, other) = (address("10.0.0.1"), address("10.0.0.2"));
        assert!(connections.open(one) && connections.open(one) && !connections.open(one));
        assert!(connections.open(other));
        connections.close(one);
        assert!(connections.open(one) && !connections.open(one));
        for closed in [one, one, other] {
            connections.close(closed);
        }
        assert!(connections.by_address.lock().is_empty());
    }

    #[test]
    fn without_a_limit_nothing_is_counted() {
        let connections = Connections::new(0);
        assert!((0..100).all(|_| connections.open(address("::1"))));
        assert!(connections.by_address.lock().is_empty());
    }
}
