//! How fast gossip is, and what follows for the detection of failures.
//!
//! Invariant: settings that pass [`GossipSettings::validate`] give a working failure detector, and
//! [`GossipSettings::detection_bound`] holds for it. Not here: anything that may differ between two nodes of a cluster;
//! the settings should be the same on all.

use std::num::{NonZeroU8, NonZeroUsize};
use std::time::Duration;

use serde::Deserialize;

use super::error::GossipError;
use super::wire::MESSAGE_BYTES_MAX;

/// After so many probe periods a dead node has been probed by somebody, but for one case in ten thousand. Each of n
/// survivors probes the n others in a new random order each round; that none of them meets the dead one within k periods
/// has a chance of about (1 - k/n)^n < e^-k, and e^-9 is 0.00012.
const UNPROBED_PERIODS_MAX: u32 = 9;

/// How fast gossip is. The defaults are made for one data centre: round trips of a few milliseconds, 3 to 50 nodes.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GossipSettings {
    /// How often a node probes one other, in milliseconds. An unanswered probe makes a suspect at the end of the period.
    pub probe_period_ms: u64,
    /// How long a probe waits for its answer before others are asked to probe as well, in milliseconds. A high quantile
    /// of the round trip, and at most half of the period.
    pub probe_timeout_ms: u64,
    /// How many others are asked.
    pub indirect_probes: usize,
    /// How long a suspect has to object before it is down, in milliseconds. Longer than pauses of a healthy process.
    pub suspicion_ms: u64,
    /// How often news is sent, in milliseconds. Nothing is sent when there is none.
    pub gossip_interval_ms: u64,
    /// To how many nodes news is sent each time.
    pub gossip_fanout: usize,
    /// How often a node passes on one piece of news before it forgets to.
    pub transmissions: u8,
    /// How often nodes that are down, and those that were named to join, are spoken to, in milliseconds. The time in
    /// which the two sides of a healed partition find each other.
    pub announce_interval_ms: u64,
    /// How many of them are spoken to each time.
    pub announce_fanout: usize,
    /// How often a node asks another one for all the members that it knows, in milliseconds.
    pub feed_interval_ms: u64,
    /// How often a node spreads its own state, in milliseconds.
    pub state_interval_ms: u64,
}

impl Default for GossipSettings {
    fn default() -> Self {
        Self {
            probe_period_ms: 50,
            probe_timeout_ms: 15,
            indirect_probes: 3,
            suspicion_ms: 250,
            gossip_interval_ms: 40,
            gossip_fanout: 3,
            transmissions: 10,
            announce_interval_ms: 500,
            announce_fanout: 3,
            feed_interval_ms: 1000,
            state_interval_ms: 1000,
        }
    }
}

impl GossipSettings {
    /// Whether the settings give a working failure detector.
    ///
    /// # Errors
    ///
    /// Names the first setting that does not, and what it has to be.
    pub fn validate(&self) -> Result<(), GossipError> {
        let hour_ms = 3_600_000;
        let milliseconds = [
            ("probe_period_ms", self.probe_period_ms),
            ("probe_timeout_ms", self.probe_timeout_ms),
            ("suspicion_ms", self.suspicion_ms),
            ("gossip_interval_ms", self.gossip_interval_ms),
            ("announce_interval_ms", self.announce_interval_ms),
            ("feed_interval_ms", self.feed_interval_ms),
            ("state_interval_ms", self.state_interval_ms),
        ];
        for (name, value) in milliseconds {
            within(name, value, 1, hour_ms)?;
        }
        // A probe has to have time for the indirect way, a suspect for hearing of it and for being heard.
        within(
            "probe_timeout_ms",
            self.probe_timeout_ms,
            1,
            self.probe_period_ms / 2,
        )?;
        let suspicion_ms_min = self.probe_period_ms.max(2 * self.gossip_interval_ms);
        within("suspicion_ms", self.suspicion_ms, suspicion_ms_min, hour_ms)?;
        for (name, value) in [
            ("indirect_probes", self.indirect_probes),
            ("gossip_fanout", self.gossip_fanout),
            ("announce_fanout", self.announce_fanout),
        ] {
            within(name, u64::try_from(value).unwrap_or(u64::MAX), 1, 100)?;
        }
        within("transmissions", self.transmissions.into(), 1, u8::MAX.into())
    }

    /// Within what time all of `nodes` nodes know that one of them is dead, on a network that loses nothing and
    /// whose round trips are shorter than the probe timeout, in all but one case in ten thousand.
    ///
    /// The sum of: the time until somebody probes the dead node (2n - 1 periods for sure, n being the number of the
    /// others, and 9 with the probability above), the period of that probe, the time to object, and the spread of the
    /// news: news that reaches `fanout` more nodes from each node that has it needs log(nodes) rounds to the base
    /// fanout + 1, and two rounds for chance and for waiting. With the defaults:
    ///
    /// | nodes | probed | probe | objection | spread | slack | bound |
    /// |---|---|---|---|---|---|---|
    /// | 3 | 3 × 50 | 50 | 250 | 3 × 40 | 15 | 585 ms |
    /// | 5 | 7 × 50 | 50 | 250 | 4 × 40 | 15 | 825 ms |
    /// | 20 | 9 × 50 | 50 | 250 | 5 × 40 | 15 | 965 ms |
    /// | 50 | 9 × 50 | 50 | 250 | 5 × 40 | 15 | 965 ms |
    pub fn detection_bound(&self, nodes: u32) -> Duration {
        let others = nodes.saturating_sub(1).max(1);
        let unprobed = others
            .saturating_mul(2)
            .saturating_sub(1)
            .min(UNPROBED_PERIODS_MAX);
        let fanout = u64::try_from(self.gossip_fanout).unwrap_or(u64::MAX);
        let mut rounds = 2;
        let mut informed: u64 = 1;
        while informed < u64::from(nodes) {
            informed = informed.saturating_mul(fanout.saturating_add(1).max(2));
            rounds += 1;
        }
        let probing = self.probe_period().saturating_mul(unprobed + 1);
        let spread = Duration::from_millis(self.gossip_interval_ms).saturating_mul(rounds);
        probing
            .saturating_add(self.suspicion())
            .saturating_add(spread)
            .saturating_add(Duration::from_millis(self.probe_timeout_ms))
    }

    pub(super) fn probe_period(&self) -> Duration {
        Duration::from_millis(self.probe_period_ms)
    }

    pub(super) fn suspicion(&self) -> Duration {
        Duration::from_millis(self.suspicion_ms)
    }

    pub(super) fn announce_interval(&self) -> Duration {
        Duration::from_millis(self.announce_interval_ms)
    }

    pub(super) fn state_interval(&self) -> Duration {
        Duration::from_millis(self.state_interval_ms)
    }

    /// The same for `foca`. Valid settings have no zero, so that the smallest value stands in for none of them.
    pub(super) fn foca(&self) -> foca::Config {
        let count = |value: usize| NonZeroUsize::new(value).unwrap_or(NonZeroUsize::MIN);
        let periodic = |interval_ms, nodes| {
            Some(foca::PeriodicParams {
                frequency: Duration::from_millis(interval_ms),
                num_members: count(nodes),
            })
        };
        foca::Config {
            probe_period: self.probe_period(),
            probe_rtt: Duration::from_millis(self.probe_timeout_ms),
            num_indirect_probes: count(self.indirect_probes),
            max_transmissions: NonZeroU8::new(self.transmissions).unwrap_or(NonZeroU8::MIN),
            suspect_to_down_after: self.suspicion(),
            // A member that was forgotten could be brought back to life by old news.
            remove_down_after: None,
            max_packet_size: count(MESSAGE_BYTES_MAX),
            notify_down_members: true,
            periodic_announce: periodic(self.feed_interval_ms, 1),
            // The core does this, because foca stops when it knows nobody who is alive.
            periodic_announce_to_down_members: None,
            periodic_gossip: periodic(self.gossip_interval_ms, self.gossip_fanout),
        }
    }
}

fn within(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), GossipError> {
    if (min..=max).contains(&value) {
        return Ok(());
    }
    Err(GossipError::Setting {
        name,
        value,
        rule: format!("from {min} to {max}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_find_a_dead_node_of_up_to_fifty_within_a_second() {
        let settings = GossipSettings::default();
        settings.validate().unwrap();
        for nodes in 2..=50 {
            assert!(
                settings.detection_bound(nodes) < Duration::from_secs(1),
                "{nodes} nodes"
            );
        }
        let milliseconds: Vec<_> = [3, 5, 20, 50]
            .iter()
            .map(|nodes| settings.detection_bound(*nodes).as_millis())
            .collect();
        assert_eq!(
            milliseconds,
            [585, 825, 965, 965],
            "the table in the documentation"
        );
    }

    #[test]
    fn settings_that_cannot_work_are_refused_by_name() {
        type Change = fn(&mut GossipSettings);
        let cases: [(&str, Change); 8] = [
            ("probe_period_ms", |settings| settings.probe_period_ms = 0),
            ("probe_timeout_ms", |settings| settings.probe_timeout_ms = 26),
            ("suspicion_ms", |settings| settings.suspicion_ms = 79),
            ("gossip_interval_ms", |settings| {
                settings.gossip_interval_ms = 3_600_001;
            }),
            ("indirect_probes", |settings| settings.indirect_probes = 0),
            ("gossip_fanout", |settings| settings.gossip_fanout = 101),
            ("announce_fanout", |settings| settings.announce_fanout = 0),
            ("transmissions", |settings| settings.transmissions = 0),
        ];
        for (expected, change) in cases {
            let mut settings = GossipSettings::default();
            change(&mut settings);
            match settings.validate() {
                Err(GossipError::Setting { name, .. }) => assert_eq!(name, expected),
                other => panic!("{expected}: {other:?}"),
            }
        }
    }
}
