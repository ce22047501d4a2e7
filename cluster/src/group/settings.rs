//! How groups keep time and how much they send at once.
//!
//! Invariant: plain numbers with their units in their names; [`Timing::validate`] says which are out of range.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::quiet::QUIET_TICKS_DEFAULT;

/// Time in groups. All nodes of a cluster should have the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Timing {
    /// How long a tick is, in milliseconds.
    pub tick_ms: u64,
    /// A follower that hears nothing of its leader for so many ticks, up to twice as many, asks for votes.
    pub election_ticks: u32,
    /// A leader speaks up at least every so many ticks.
    pub heartbeat_ticks: u32,
    /// A group in which nothing has happened for so many ticks rests; 0 for never.
    pub quiet_ticks: u32,
    /// An operation that finds no leader, or no majority, is refused after so many milliseconds.
    pub patience_ms: u64,
}

impl Default for Timing {
    fn default() -> Self {
        Self {
            tick_ms: 100,
            election_ticks: 6,
            heartbeat_ticks: 1,
            quiet_ticks: QUIET_TICKS_DEFAULT,
            patience_ms: 900,
        }
    }
}

/// A time is out of range.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field} is {value}, must be {range}")]
pub struct TimingError {
    /// Its name.
    pub field: &'static str,
    /// What it is.
    pub value: u64,
    /// What it may be.
    pub range: &'static str,
}

impl Timing {
    /// Checks every number.
    ///
    /// # Errors
    /// [`TimingError`] with the first that is out of its range.
    pub fn validate(&self) -> Result<(), TimingError> {
        let check = |field, value: u64, range, fits: bool| {
            if fits {
                Ok(())
            } else {
                Err(TimingError { field, value, range })
            }
        };
        let heartbeat = u64::from(self.heartbeat_ticks);
        let election = u64::from(self.election_ticks);
        check(
            "tick_ms",
            self.tick_ms,
            "from 5 to 10000",
            (5..=10_000).contains(&self.tick_ms),
        )?;
        check("heartbeat_ticks", heartbeat, "at least 1", heartbeat >= 1)?;
        check(
            "election_ticks",
            election,
            "at least three times heartbeat_ticks, and at most 1000",
            election >= 3 * heartbeat && election <= 1000,
        )?;
        check(
            "patience_ms",
            self.patience_ms,
            "from 10 to 60000",
            (10..=60_000).contains(&self.patience_ms),
        )
    }

    /// How long a tick is.
    pub fn tick(&self) -> Duration {
        Duration::from_millis(self.tick_ms)
    }

    /// After how long an operation is refused.
    pub fn patience(&self) -> Duration {
        Duration::from_millis(self.patience_ms)
    }
}

/// How groups of a node behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GroupSettings {
    pub(crate) timing: Timing,
    /// Entries of one message.
    pub(crate) message_bytes_max: u64,
    /// Messages with entries that are under way to a follower.
    pub(crate) messages_in_flight_max: usize,
    /// Entries that are applied in one step, in bytes.
    pub(crate) apply_bytes_max: usize,
    /// A log is cut when so many entries at its head are of no use.
    pub(crate) cut_entries: u64,
    /// With so many bytes of the node's log, whole segments, none is kept any more for a member that is away.
    pub(crate) away_log_bytes: u64,
}

impl GroupSettings {
    pub(crate) fn new(timing: Timing, away_log_bytes: u64) -> Self {
        Self {
            timing,
            message_bytes_max: 1 << 20,
            messages_in_flight_max: 256,
            apply_bytes_max: 1 << 20,
            cut_entries: 1024,
            away_log_bytes,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_out_of_range_are_named() {
        Timing::default().validate().unwrap();
        let refused = |timing: Timing| timing.validate().unwrap_err().to_string();
        let tick = refused(Timing {
            tick_ms: 1,
            ..Timing::default()
        });
        assert_eq!(tick, "tick_ms is 1, must be from 5 to 10000");
        let election = refused(Timing {
            election_ticks: 2,
            ..Timing::default()
        });
        assert!(election.starts_with("election_ticks is 2"), "{election}");
        let heartbeat = refused(Timing {
            heartbeat_ticks: 0,
            ..Timing::default()
        });
        assert!(heartbeat.starts_with("heartbeat_ticks is 0"), "{heartbeat}");
        let patience = refused(Timing {
            patience_ms: 0,
            ..Timing::default()
        });
        assert!(patience.starts_with("patience_ms is 0"), "{patience}");
    }
}
