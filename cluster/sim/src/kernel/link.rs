//! The network: what becomes of a message from one node to another.
//!
//! Invariant: a pure decision of the link's state and its own stream. Each direction of each pair is a link of its own,
//! so that what happens on one does not shift what happens on another. Messages are lost, delayed, overtaken and (only if
//! asked for) doubled, never changed.

use std::collections::BTreeMap;
use std::time::Duration;

use stator_cluster::NodeId;

use crate::random::{Seed, Spread, Stream, nanoseconds};

/// How messages travel on a link that nobody has broken.
#[derive(Clone, Copy, Debug)]
pub struct LinkSettings {
    /// From sender to receiver.
    pub delay: Spread,
    /// So many of a million are lost.
    pub loss_ppm: u32,
    /// So many of a million may overtake others of their link; the rest keeps its order.
    pub reorder_ppm: u32,
    /// So many of a million arrive twice.
    pub duplicate_ppm: u32,
}

impl Default for LinkSettings {
    fn default() -> Self {
        Self {
            delay: Spread {
                least: Duration::from_micros(100),
                usual: Duration::from_micros(600),
                tail_ppm: 5_000,
                tail: Duration::from_millis(30),
            },
            loss_ppm: 1_000,
            reorder_ppm: 20_000,
            duplicate_ppm: 0,
        }
    }
}

#[derive(Debug)]
struct Link {
    stream: Stream,
    /// When the last message that keeps its order arrives.
    last_arrival: u64,
    is_cut: bool,
    slowness: u32,
    extra_loss_ppm: u32,
    /// Nanoseconds.
    extra_delay: u64,
}

/// Every link that was ever used or broken.
#[derive(Debug)]
pub(super) struct Links {
    seed: Seed,
    settings: LinkSettings,
    used: BTreeMap<(NodeId, NodeId), Link>,
}

/// What becomes of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fate {
    Cut,
    Lost,
    /// Arrives at this time, and perhaps once more.
    Arrives(u64, Option<u64>),
}

impl Links {
    pub(super) fn new(seed: Seed, settings: LinkSettings) -> Self {
        Self {
            seed,
            settings,
            used: BTreeMap::new(),
        }
    }

    fn link(&mut self, from: NodeId, to: NodeId) -> &mut Link {
        let seed = self.seed;
        self.used.entry((from, to)).or_insert_with(|| Link {
            stream: seed.stream("link", from.0.rotate_left(32) ^ to.0),
            last_arrival: 0,
            is_cut: false,
            slowness: 1,
            extra_loss_ppm: 0,
            extra_delay: 0,
        })
    }

    pub(super) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.used.get(&(from, to)).is_some_and(|link| link.is_cut)
    }

    pub(super) fn set_cut(&mut self, from: NodeId, to: NodeId, is_cut: bool) {
        self.link(from, to).is_cut = is_cut;
    }

    pub(super) fn set_slowness(&mut self, from: NodeId, to: NodeId, factor: u32) {
        self.link(from, to).slowness = factor.max(1);
    }

    pub(super) fn set_extra_loss(&mut self, from: NodeId, to: NodeId, ppm: u32) {
        self.link(from, to).extra_loss_ppm = ppm;
    }

    pub(super) fn set_extra_delay(&mut self, from: NodeId, to: NodeId, delay: Duration) {
        self.link(from, to).extra_delay = nanoseconds(delay);
    }

    /// Decides about a message that is sent now.
    pub(super) fn send(&mut self, from: NodeId, to: NodeId, now: u64) -> Fate {
        let settings = self.settings;
        let link = self.link(from, to);
        if link.is_cut {
            return Fate::Cut;
        }
        // Every message draws the same number of times, so that a slow or lossy link shifts nothing on itself.
        let delay = nanoseconds(link.stream.duration(&settings.delay));
        let is_lost = link
            .stream
            .chance(settings.loss_ppm.saturating_add(link.extra_loss_ppm));
        let overtakes = link.stream.chance(settings.reorder_ppm);
        let is_doubled = link.stream.chance(settings.duplicate_ppm);
        let second_delay = nanoseconds(link.stream.duration(&settings.delay));
        if is_lost {
            return Fate::Lost;
        }
        let slowness = u64::from(link.slowness);
        let delay = delay.saturating_mul(slowness).saturating_add(link.extra_delay);
        let mut arrival = now.saturating_add(delay);
        if !overtakes {
            arrival = arrival.max(link.last_arrival);
            link.last_arrival = arrival;
        }
        let second = is_doubled.then(|| arrival.saturating_add(second_delay.saturating_mul(slowness)));
        Fate::Arrives(arrival, second)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn links(settings: LinkSettings) -> Links {
        Links::new(Seed(1), settings)
    }

    const PLAIN: LinkSettings = LinkSettings {
        delay: Spread::uniform(Duration::from_nanos(100), Duration::from_nanos(1_000)),
        loss_ppm: 0,
        reorder_ppm: 0,
        duplicate_ppm: 0,
    };
    const A: NodeId = NodeId(1);
    const B: NodeId = NodeId(2);

    fn arrivals(links: &mut Links, count: u64) -> Vec<u64> {
        (0..count)
            .filter_map(|now| match links.send(A, B, now) {
                Fate::Arrives(at, None) => Some(at),
                _ => None,
            })
            .collect()
    }

    #[test]
    fn messages_of_a_link_keep_their_order_unless_they_may_overtake() {
        assert!(arrivals(&mut links(PLAIN), 1000).is_sorted());
        let mut free = links(LinkSettings {
            reorder_ppm: 1_000_000,
            ..PLAIN
        });
        let arrivals = arrivals(&mut free, 1000);
        assert!(!arrivals.is_sorted());
        assert!(
            arrivals
                .iter()
                .zip(0..)
                .all(|(at, sent)| (sent + 100..=sent + 1000).contains(at))
        );
    }

    #[test]
    fn a_cut_concerns_one_direction() {
        let mut links = links(PLAIN);
        links.set_cut(A, B, true);
        assert_eq!(links.send(A, B, 0), Fate::Cut);
        assert!(matches!(links.send(B, A, 0), Fate::Arrives(..)));
        links.set_cut(A, B, false);
        assert!(matches!(links.send(A, B, 0), Fate::Arrives(..)));
    }

    #[test]
    fn loss_doubling_and_slowness_are_as_frequent_as_they_are_set() {
        let mut lossy = links(PLAIN);
        lossy.set_extra_loss(A, B, 300_000);
        let left = arrivals(&mut lossy, 10_000).len();
        assert!((6_700..7_300).contains(&left), "{left}");

        let mut doubling = links(LinkSettings {
            duplicate_ppm: 500_000,
            ..PLAIN
        });
        let twice = (0..10_000)
            .filter(|now| matches!(doubling.send(A, B, *now), Fate::Arrives(_, Some(_))))
            .count();
        assert!((4_700..5_300).contains(&twice), "{twice}");

        let (mut slow, mut usual) = (links(PLAIN), links(PLAIN));
        slow.set_slowness(A, B, 50);
        let (Fate::Arrives(late, _), Fate::Arrives(early, _)) = (slow.send(A, B, 0), usual.send(A, B, 0))
        else {
            panic!("nothing is lost");
        };
        assert_eq!(late, 50 * early);
        let mut far = links(PLAIN);
        far.set_extra_delay(A, B, Duration::from_nanos(7));
        assert_eq!(far.send(A, B, 0), Fate::Arrives(early + 7, None));
    }
}
