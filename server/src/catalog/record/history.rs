//! Whether a table can be restored to any moment, and since when, as part of the table's definition.
//!
//! Invariant: from when every leader knows of a history, every write of an item has a version in it; it is filled with what
//! was there before, and then no leader fills it any more; only then it is said from which moment on it is complete. Who moves it
//! from one step to the next is `steward.rs`; what versions are is the part of `derive/history.rs`; who removes those that are too old,
//! `pruner.rs`.

use std::sync::Arc;

use prost::Message;
use uuid::Uuid;

/// Prefix of the names of keyspaces that keep versions of items; an id of its own follows.
pub(crate) const HISTORY_KEYSPACE: &str = "history/";

/// How long versions are kept when nobody says otherwise, and at most, in days. Source: service model of DynamoDB,
/// PointInTimeRecoverySpecification$RecoveryPeriodInDays.
pub(crate) const PERIOD_DAYS_MAX: u32 = 35;

/// A table is said to have been what can be restored now up to so long ago, in milliseconds: clocks of nodes may differ by as
/// much without a write that was acknowledged before being missed.
const LAG_MS: i64 = 5_000;

const SECOND_MS: i64 = 1000;
const DAY_MS: i64 = 24 * 60 * 60 * 1000;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct History {
    /// Of the keyspace; never used again.
    pub(crate) id: Uuid,
    /// For how many days versions are kept.
    pub(crate) period_days: u32,
    /// Whether all items have a version that were there before, and none of those is made any more.
    pub(crate) is_filled: bool,
    /// From when on it is complete, in milliseconds since the Unix epoch; `None` as long as that is not known.
    pub(crate) complete_from_ms: Option<i64>,
}

impl History {
    /// One that begins now.
    pub(crate) fn new(id: Uuid, period_days: u32) -> Self {
        Self {
            id,
            period_days,
            is_filled: false,
            complete_from_ms: None,
        }
    }

    /// The name of the keyspace.
    pub(crate) fn keyspace(&self) -> Arc<str> {
        history_keyspace(self.id)
    }

    /// Versions that were out of date so long ago, in milliseconds, are of no use.
    pub(crate) fn period_ms(&self) -> i64 {
        i64::from(self.period_days) * DAY_MS
    }

    /// The first and the last moment that the table can be restored to, in milliseconds since the Unix epoch; `None` as long
    /// as there is none. Both are whole seconds, as clients name no others.
    pub(crate) fn restorable(&self, now_ms: i64) -> Option<(i64, i64)> {
        let from_ms = self
            .complete_from_ms?
            .max(now_ms.saturating_sub(self.period_ms()));
        let earliest_ms = -(-from_ms).div_euclid(SECOND_MS) * SECOND_MS;
        let latest_ms = now_ms.saturating_sub(LAG_MS).div_euclid(SECOND_MS) * SECOND_MS;
        (earliest_ms <= now_ms).then_some((earliest_ms, latest_ms.max(earliest_ms)))
    }

    /// The moment that is asked for, or the last one, if the table can be restored to it.
    ///
    /// # Errors
    /// The first and the last moment that it can be restored to, if there are any yet.
    pub(crate) fn moment(&self, at_ms: Option<i64>, now_ms: i64) -> Result<i64, Option<(i64, i64)>> {
        let (earliest_ms, latest_ms) = self.restorable(now_ms).ok_or(None)?;
        let at_ms = at_ms.unwrap_or(latest_ms);
        if (earliest_ms..=latest_ms).contains(&at_ms) {
            Ok(at_ms)
        } else {
            Err(Some((earliest_ms, latest_ms)))
        }
    }

    /// Keeps versions for so long from now on. What was too old before does not come back.
    pub(crate) fn keep_for(&mut self, period_days: u32, now_ms: i64) {
        if let Some(from_ms) = &mut self.complete_from_ms {
            *from_ms = (*from_ms).max(now_ms.saturating_sub(i64::from(self.period_days) * DAY_MS));
        }
        self.period_days = period_days;
    }
}

/// The name of the keyspace of a history.
pub(crate) fn history_keyspace(id: Uuid) -> Arc<str> {
    format!("{HISTORY_KEYSPACE}{id}").into()
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct HistoryRecord {
    #[prost(bytes = "vec", tag = "1")]
    id: Vec<u8>,
    #[prost(uint32, tag = "2")]
    period_days: u32,
    #[prost(bool, tag = "3")]
    is_filled: bool,
    #[prost(sint64, optional, tag = "4")]
    complete_from_ms: Option<i64>,
}

impl HistoryRecord {
    pub(super) fn of(history: &History) -> Self {
        Self {
            id: history.id.as_bytes().to_vec(),
            period_days: history.period_days,
            is_filled: history.is_filled,
            complete_from_ms: history.complete_from_ms,
        }
    }

    pub(super) fn read(self) -> Result<History, String> {
        Ok(History {
            id: Uuid::from_slice(&self.id).map_err(|error| error.to_string())?,
            period_days: self.period_days,
            is_filled: self.is_filled,
            complete_from_ms: self.complete_from_ms,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_can_be_restored_to_moments_from_when_its_history_is_complete() {
        let mut history = History::new(Uuid::from_u128(1), 2);
        assert_eq!(history.restorable(DAY_MS), None);
        history.complete_from_ms = Some(DAY_MS);
        assert_eq!(history.restorable(DAY_MS + 1), Some((DAY_MS, DAY_MS)));
        assert_eq!(history.restorable(DAY_MS + 7_999), Some((DAY_MS, DAY_MS + 2_000)));
        history.complete_from_ms = Some(DAY_MS - 999);
        assert_eq!(
            history.restorable(DAY_MS - 1),
            None,
            "it is not the next second yet"
        );
        assert_eq!(
            history.restorable(2 * DAY_MS),
            Some((DAY_MS, 2 * DAY_MS - LAG_MS))
        );
        assert_eq!(
            history.restorable(5 * DAY_MS),
            Some((3 * DAY_MS, 5 * DAY_MS - LAG_MS))
        );
    }

    #[test]
    fn what_was_too_old_does_not_come_back_with_a_longer_period() {
        let mut history = History::new(Uuid::from_u128(1), 2);
        history.complete_from_ms = Some(0);
        history.keep_for(5, 10 * DAY_MS);
        assert_eq!(
            history.restorable(10 * DAY_MS).map(|(from, _)| from),
            Some(8 * DAY_MS)
        );
        history.keep_for(1, 11 * DAY_MS);
        assert_eq!(
            history.restorable(11 * DAY_MS).map(|(from, _)| from),
            Some(10 * DAY_MS)
        );
    }
}
