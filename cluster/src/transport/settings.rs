//! The settings of a transport.

use std::time::Duration;

use serde::Deserialize;

use super::error::TransportError;

/// The settings of a [`Transport`](super::Transport). Every field has a default.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct TransportSettings {
    /// What may wait for one peer of urgent messages, in bytes; beyond it, the newest are dropped.
    pub queue_urgent_bytes_max: usize,
    /// The same for bulk messages.
    pub queue_bulk_bytes_max: usize,
    /// An attempt to connect, with TLS and hello, may take so long. The same goes for a node that calls.
    pub connect_timeout_ms: u64,
    /// The wait after a first failed attempt.
    pub backoff_min_ms: u64,
    /// The longest wait between attempts; it doubles up to this.
    pub backoff_max_ms: u64,
    /// The time between two pings on a connection.
    pub ping_interval_ms: u64,
    /// A peer that has not answered a ping for so long is gone: the connection is ended.
    pub ping_timeout_ms: u64,
    /// A connection on which nothing was sent for so long is ended, until there is something to send again; 0 is never.
    pub idle_ms: u64,
}

impl Default for TransportSettings {
    fn default() -> Self {
        Self {
            queue_urgent_bytes_max: 16 << 20,
            queue_bulk_bytes_max: 64 << 20,
            connect_timeout_ms: 5_000,
            backoff_min_ms: 50,
            backoff_max_ms: 5_000,
            ping_interval_ms: 2_000,
            ping_timeout_ms: 5_000,
            idle_ms: 600_000,
        }
    }
}

impl TransportSettings {
    /// Checks every field against its range and against the others.
    ///
    /// # Errors
    /// [`TransportError::Setting`] names the first field that is out of its range, and the range.
    pub fn validate(&self) -> Result<(), TransportError> {
        at_least(
            "queue_urgent_bytes_max",
            self.queue_urgent_bytes_max as u64,
            1 << 10,
        )?;
        at_least("queue_bulk_bytes_max", self.queue_bulk_bytes_max as u64, 1 << 10)?;
        at_least("connect_timeout_ms", self.connect_timeout_ms, 10)?;
        at_least("backoff_min_ms", self.backoff_min_ms, 1)?;
        at_least("backoff_max_ms", self.backoff_max_ms, self.backoff_min_ms)?;
        at_least("ping_interval_ms", self.ping_interval_ms, 10)?;
        at_least("ping_timeout_ms", self.ping_timeout_ms, 10)
    }

    pub(super) fn connect_timeout(&self) -> Duration {
        Duration::from_millis(self.connect_timeout_ms)
    }

    pub(super) fn backoff_min(&self) -> Duration {
        Duration::from_millis(self.backoff_min_ms)
    }

    pub(super) fn backoff_max(&self) -> Duration {
        Duration::from_millis(self.backoff_max_ms)
    }

    pub(super) fn ping_interval(&self) -> Duration {
        Duration::from_millis(self.ping_interval_ms)
    }

    pub(super) fn ping_timeout(&self) -> Duration {
        Duration::from_millis(self.ping_timeout_ms)
    }

    /// `None` when connections are never ended for being idle.
    pub(super) fn idle(&self) -> Option<Duration> {
        (self.idle_ms > 0).then(|| Duration::from_millis(self.idle_ms))
    }
}

fn at_least(setting: &'static str, value: u64, least: u64) -> Result<(), TransportError> {
    if value < least {
        return Err(TransportError::Setting {
            setting,
            value,
            range: format!("at least {least}"),
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_valid() {
        TransportSettings::default().validate().unwrap();
    }

    #[test]
    fn a_setting_out_of_range_is_named() {
        let settings = TransportSettings {
            backoff_max_ms: 10,
            ..TransportSettings::default()
        };
        let error = settings.validate().unwrap_err().to_string();
        assert_eq!(error, "backoff_max_ms is 10, must be at least 50");
    }
}
