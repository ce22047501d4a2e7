//! Keeps one client from taking a node away from the others: failed authentications of an address, requests of a principal,
//! connections, memory for bodies; and counts what was refused.
//!
//! Invariant: memory is bounded whatever clients do. Who has proved an access key from an address is not refused because
//! others fail from the same address. Not here: how limits are set (`limits.rs`).

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use super::connections::Connections;
use super::limits::HttpLimits;
use super::peer::Peer;
use super::room::Room;

/// So many buckets are kept, some 4 MB.
const BUCKETS_MAX: usize = 50_000;
/// So many principals are counted; those without a request under way make room.
const PRINCIPALS_MAX: usize = 10_000;
/// A failure, in thousandths.
const ONE: u64 = 1000;
/// The bits of an IPv6 address that one client has no choice of: a site gets at least a /64 (RFC 6177).
const SITE_BITS: u128 = !0 << 64;

/// What was refused, and how many connections there are. Counted since the start of the process.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) connections: AtomicU64,
    pub(crate) connections_refused: AtomicU64,
    pub(crate) connections_of_address_refused: AtomicU64,
    pub(crate) handshakes_failed: AtomicU64,
    pub(crate) headers_refused: AtomicU64,
    pub(crate) headers_slow: AtomicU64,
    pub(crate) bodies_slow: AtomicU64,
    pub(crate) bodies_throttled: AtomicU64,
    pub(crate) authentication_failures: AtomicU64,
    pub(crate) authentication_throttled: AtomicU64,
    pub(crate) requests_throttled: AtomicU64,
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Guard {
    pub(crate) limits: HttpLimits,
    pub(crate) counters: Counters,
    /// For bodies that are being read or carried out.
    pub(super) bodies: Arc<Room>,
    connections: Connections,
    failures: Failures,
    principals: RwLock<HashMap<String, Arc<AtomicU32>>>,
}

/// The place of a request among those of its principal, until it is dropped.
#[derive(Debug)]
pub(super) struct Slot(Arc<AtomicU32>);

impl Drop for Slot {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// An open connection, until it is dropped.
#[derive(Debug)]
pub(super) struct Open {
    guard: Arc<Guard>,
    site: IpAddr,
}

impl Drop for Open {
    fn drop(&mut self) {
        self.guard.connections.close(self.site);
        self.guard.counters.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Guard {
    /// Counts with these limits.
    pub(crate) fn new(limits: HttpLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            counters: Counters::default(),
            bodies: Room::new(limits.bodies_bytes_max),
            connections: Connections::new(limits.connections_per_address_max),
            failures: Failures::new(&limits),
            principals: RwLock::default(),
        })
    }

    /// Lets one more connection in; `None` if there are as many as may be, together or of the address.
    pub(super) fn connect(self: &Arc<Self>, address: IpAddr) -> Option<Open> {
        let counters = &self.counters;
        let site = site(address.to_canonical());
        let before = counters.connections.fetch_add(1, Ordering::Relaxed);
        let refused = if before >= u64::from(self.limits.connections_max) {
            &counters.connections_refused
        } else if self.connections.open(site) {
            return Some(Open {
                guard: Arc::clone(self),
                site,
            });
        } else {
            &counters.connections_of_address_refused
        };
        counters.connections.fetch_sub(1, Ordering::Relaxed);
        refused.fetch_add(1, Ordering::Relaxed);
        None
    }

    /// Lets one more request of a principal in; `None` if as many are under way as may be.
    pub(super) fn enter(&self, arn: &str) -> Option<Slot> {
        let known = self.principals.read().get(arn).cloned();
        let count = known.unwrap_or_else(|| self.begin_to_count(arn));
        if count.fetch_add(1, Ordering::Relaxed) < self.limits.requests_per_principal_max {
            return Some(Slot(count));
        }
        count.fetch_sub(1, Ordering::Relaxed);
        self.counters.requests_throttled.fetch_add(1, Ordering::Relaxed);
        None
    }

    fn begin_to_count(&self, arn: &str) -> Arc<AtomicU32> {
        let mut principals = self.principals.write();
        if principals.len() >= PRINCIPALS_MAX {
            principals.retain(|_, count| Arc::strong_count(count) > 1);
        }
        Arc::clone(principals.entry(arn.to_owned()).or_default())
    }

    /// Whether an authentication is tried at all, for the access key that the request names.
    pub(super) fn admits(&self, peer: &Peer, key: Option<&str>, now_ms: i64) -> bool {
        let admitted = self.failures.admits(peer.ip(), key, now_ms);
        if !admitted {
            self.counters
                .authentication_throttled
                .fetch_add(1, Ordering::Relaxed);
        }
        admitted
    }

    /// An authentication has failed.
    pub(super) fn failed(&self, peer: &Peer, key: Option<&str>, now_ms: i64) {
        self.counters
            .authentication_failures
            .fetch_add(1, Ordering::Relaxed);
        self.failures.failed(peer.ip(), key, now_ms);
    }

    /// An access key was proved.
    pub(super) fn proved(&self, peer: &Peer, key: &str, now_ms: i64) {
        let hash = self.failures.hash(key);
        // Most requests of a connection are of one key.
        if peer.known().swap(hash, Ordering::Relaxed) != hash {
            self.failures.proved(peer.ip(), hash, now_ms);
        }
    }
}

/// Whose failures are counted: those of an address, or of an access key that was proved from it.
type Who = (IpAddr, Option<u64>);

/// How many failures there may be.
#[derive(Debug, Clone, Copy)]
struct Bucket {
    /// In thousandths.
    tokens: u64,
    at_ms: i64,
}

/// Token buckets of failures.
#[derive(Debug)]
struct Failures {
    burst: u64,
    /// In thousandths a minute.
    per_minute: u64,
    hasher: RandomState,
    buckets: Mutex<HashMap<Who, Bucket>>,
    /// Whether anybody has failed yet: until then nothing is looked up.
    failing: AtomicBool,
}

impl Failures {
    fn new(limits: &HttpLimits) -> Self {
        Self {
            burst: u64::from(limits.authentication_failures_burst) * ONE,
            per_minute: u64::from(limits.authentication_failures_per_minute) * ONE,
            hasher: RandomState::new(),
            buckets: Mutex::default(),
            failing: AtomicBool::new(false),
        }
    }

    /// Never 0, which stands for none.
    fn hash(&self, key: &str) -> u64 {
        self.hasher.hash_one(key) | 1
    }

    fn filled(&self, bucket: Bucket, now_ms: i64) -> Bucket {
        let passed = u64::try_from(now_ms.saturating_sub(bucket.at_ms)).unwrap_or(0);
        let more = passed.saturating_mul(self.per_minute) / 60_000;
        // Times too short to bring anything are kept for the next look.
        let at_ms = if more == 0 && passed > 0 {
            bucket.at_ms
        } else {
            now_ms
        };
        Bucket {
            tokens: bucket.tokens.saturating_add(more).min(self.burst),
            at_ms,
        }
    }

    /// Who is to be charged: the key, if it was proved from there before.
    fn charged(buckets: &HashMap<Who, Bucket>, address: IpAddr, key: Option<u64>) -> Who {
        let own = (site(address), key);
        if key.is_some() && buckets.contains_key(&own) {
            own
        } else {
            (own.0, None)
        }
    }

    fn admits(&self, address: IpAddr, key: Option<&str>, now_ms: i64) -> bool {
        if self.burst == 0 || !self.failing.load(Ordering::Relaxed) {
            return true;
        }
        let key = key.map(|key| self.hash(key));
        let buckets = self.buckets.lock();
        let who = Self::charged(&buckets, address, key);
        buckets
            .get(&who)
            .is_none_or(|bucket| self.filled(*bucket, now_ms).tokens >= ONE)
    }

    fn failed(&self, address: IpAddr, key: Option<&str>, now_ms: i64) {
        if self.burst == 0 {
            return;
        }
        let key = key.map(|key| self.hash(key));
        let mut buckets = self.buckets.lock();
        let who = Self::charged(&buckets, address, key);
        let bucket = self.take(&mut buckets, who, now_ms);
        bucket.tokens = bucket.tokens.saturating_sub(ONE);
        self.failing.store(true, Ordering::Relaxed);
    }

    fn proved(&self, address: IpAddr, key: u64, now_ms: i64) {
        if self.burst > 0 {
            let mut buckets = self.buckets.lock();
            self.take(&mut buckets, (site(address), Some(key)), now_ms);
        }
    }

    /// The bucket, filled up to now.
    fn take<'a>(&self, buckets: &'a mut HashMap<Who, Bucket>, who: Who, now_ms: i64) -> &'a mut Bucket {
        if buckets.len() >= BUCKETS_MAX && !buckets.contains_key(&who) {
            self.make_room(buckets, now_ms);
        }
        let full = Bucket {
            tokens: self.burst,
            at_ms: now_ms,
        };
        let bucket = buckets.entry(who).or_insert(full);
        *bucket = self.filled(*bucket, now_ms);
        bucket
    }

    /// Forgets those that are full again; if there are none, any one.
    fn make_room(&self, buckets: &mut HashMap<Who, Bucket>, now_ms: i64) {
        buckets.retain(|_, bucket| self.filled(*bucket, now_ms).tokens < self.burst);
        if buckets.len() >= BUCKETS_MAX
            && let Some(who) = buckets.keys().next().copied()
        {
            buckets.remove(&who);
        }
    }
}

/// An address as far as a client has no choice of it.
fn site(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(address) => Ipv6Addr::from(u128::from(address) & SITE_BITS).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn limits() -> HttpLimits {
        HttpLimits {
            connections_max: 3,
            connections_per_address_max: 2,
            requests_per_principal_max: 2,
            authentication_failures_burst: 3,
            authentication_failures_per_minute: 60,
            ..HttpLimits::default()
        }
    }

    fn peer(address: &str) -> Peer {
        Peer::new((address.parse::<IpAddr>().unwrap(), 1).into(), None, None)
    }

    #[test]
    fn failures_of_an_address_are_limited_and_forgiven_with_time() {
        let guard = Guard::new(limits());
        let (bad, other) = (peer("10.0.0.1"), peer("10.0.0.2"));
        for _ in 0..3 {
            assert!(guard.admits(&bad, Some("AKIA1"), 0));
            guard.failed(&bad, Some("AKIA1"), 0);
        }
        assert!(!guard.admits(&bad, Some("AKIA1"), 999));
        assert!(!guard.admits(&bad, None, 0));
        assert!(guard.admits(&other, Some("AKIA1"), 0));
        assert!(guard.admits(&bad, Some("AKIA1"), 1000), "one failure a second");
        guard.failed(&bad, Some("AKIA1"), 1000);
        assert!(!guard.admits(&bad, Some("AKIA1"), 1500));
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        assert_eq!(count(&guard.counters.authentication_failures), 4);
        assert_eq!(count(&guard.counters.authentication_throttled), 3);
    }

    #[test]
    fn who_has_proved_a_key_is_not_refused_for_others_at_the_same_address() {
        let guard = Guard::new(limits());
        let (one, other) = (peer("10.0.0.1"), peer("10.0.0.1"));
        guard.proved(&one, "AKIAGOOD", 0);
        for _ in 0..9 {
            guard.failed(&other, Some("AKIABAD"), 0);
        }
        assert!(!guard.admits(&other, Some("AKIABAD"), 0));
        assert!(guard.admits(&one, Some("AKIAGOOD"), 0));
        assert!(guard.admits(&peer("10.0.0.1"), Some("AKIAGOOD"), 0));
        // Guesses at a known key are limited as well.
        for _ in 0..3 {
            guard.failed(&other, Some("AKIAGOOD"), 0);
        }
        assert!(!guard.admits(&other, Some("AKIAGOOD"), 0));
    }

    #[test]
    fn addresses_of_one_site_are_one_and_buckets_are_bounded() {
        let guard = Guard::new(limits());
        for host in 0..3 {
            guard.failed(&peer(&format!("2001:db8::{host:x}")), None, 0);
        }
        assert!(!guard.admits(&peer("2001:db8::ffff"), None, 0));
        assert!(guard.admits(&peer("2001:db8:0:1::1"), None, 0));
        for site in 0..BUCKETS_MAX + 100 {
            let address = Ipv6Addr::from((site as u128) << 64);
            guard.failures.failed(address.into(), None, 0);
        }
        assert!(guard.failures.buckets.lock().len() <= BUCKETS_MAX);
        // Those that are full again make room.
        guard
            .failures
            .failed("10.0.0.1".parse().unwrap(), None, 1_000_000);
        assert_eq!(guard.failures.buckets.lock().len(), 1);
    }

    #[test]
    fn without_a_limit_nothing_is_refused_or_kept() {
        let guard = Guard::new(HttpLimits::for_development());
        for _ in 0..1000 {
            guard.failed(&peer("10.0.0.1"), None, 0);
        }
        assert!(guard.admits(&peer("10.0.0.1"), None, 0));
        assert!(guard.failures.buckets.lock().is_empty());
    }

    #[test]
    fn requests_of_a_principal_are_limited_at_a_time() {
        let guard = Guard::new(limits());
        let first = guard.enter("arn:a");
        let second = guard.enter("arn:a");
        assert!(first.is_some() && second.is_some() && guard.enter("arn:a").is_none());
        assert!(guard.enter("arn:b").is_some());
        drop(first);
        assert!(guard.enter("arn:a").is_some());
        assert_eq!(guard.counters.requests_throttled.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn connections_are_limited_together_and_for_each_address() {
        let guard = Guard::new(limits());
        let connect = |address: &str| guard.connect(address.parse().unwrap());
        let refused = || {
            let counters = &guard.counters;
            [
                &counters.connections_of_address_refused,
                &counters.connections_refused,
            ]
            .map(|counter| counter.load(Ordering::Relaxed))
        };
        let first = connect("2001:db8::1").unwrap();
        let second = connect("2001:db8::2").unwrap();
        assert!(connect("2001:db8::3").is_none());
        assert_eq!(refused(), [1, 0]);
        let third = connect("2001:db8:0:1::1").unwrap();
        assert!(connect("10.0.0.1").is_none());
        assert_eq!(refused(), [1, 1]);
        drop(first);
        let fourth = connect("10.0.0.1").unwrap();
        drop((second, third));
        // An address is the same however the listener sees it.
        let fifth = connect("::ffff:10.0.0.1").unwrap();
        assert!(connect("10.0.0.1").is_none());
        assert_eq!(refused(), [2, 1]);
        drop((fourth, fifth));
        assert!(connect("10.0.0.1").is_some());
        assert_eq!(guard.counters.connections.load(Ordering::Relaxed), 0);
    }
}
