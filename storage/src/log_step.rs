//! What comes next for whoever does the work of the log thread.
//!
//! Invariant: pure, it is told how everything stands and what time it is, and says what to do. Not here: the doing
//! (`log_thread.rs`).

use std::time::Duration;

use crate::core::IDLE_WAIT;

/// The log is sealed when nothing was written for so long: bits that a disk changes take longer than that, and a busy log
/// needs no seal.
pub(crate) const SEAL_AFTER: Duration = IDLE_WAIT;

/// The request that has waited longest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum First {
    Nothing,
    /// It puts nothing into memtables.
    LogOnly,
    Entries,
}

/// What must change before more is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    Nothing,
    Memtable,
    Segment,
}

/// What memtables take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Room {
    Free,
    /// The next group after this much time.
    Delayed(Duration),
    /// Nothing until a flush or a compaction has ended.
    Stopped,
}

/// How everything stands.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LogState {
    pub(crate) first: First,
    pub(crate) due: Due,
    pub(crate) room: Room,
    /// Somebody writes.
    pub(crate) is_writing: bool,
    /// No more requests are taken.
    pub(crate) is_closed: bool,
    /// The engine has failed: requests are refused, and nothing else is done.
    pub(crate) is_failed: bool,
    /// When the first write was made that may not be synced yet.
    pub(crate) unsynced_since: Option<Duration>,
    /// Since when all is synced and the last frame of the log is one that matters.
    pub(crate) open_since: Option<Duration>,
    /// Since when a delay is kept.
    pub(crate) delayed_since: Option<Duration>,
    pub(crate) sync_interval: Duration,
}

/// What to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogStep {
    Do(LogWork),
    Wait(LogWait),
    /// Everything is written: make it durable and end.
    End,
}

/// A piece of work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogWork {
    /// Make durable what was written at intervals.
    Sync,
    /// Write behind the last frame that it was synced.
    Seal,
    /// Begin the next segment, and the next memtable if that is due too.
    Change,
    /// Begin the next memtable if that is due, and write a group; with `log_only` those requests in front that put
    /// nothing into memtables.
    Write { log_only: bool },
}

/// What to wait for. A change of anything ends the wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LogWait {
    /// For something to do.
    Idle(Duration),
    /// As back-pressure demands.
    Delay(Duration),
    /// For a flush or a compaction to end.
    Stop,
}

impl LogWait {
    /// How long at most.
    pub(crate) fn at_most(self) -> Duration {
        match self {
            Self::Idle(wait) | Self::Delay(wait) => wait,
            Self::Stop => IDLE_WAIT,
        }
    }
}

/// What comes next at `now`.
pub(crate) fn next(state: &LogState, now: Duration) -> LogStep {
    let due = if state.is_failed { Due::Nothing } else { state.due };
    let until_sync = state
        .unsynced_since
        .filter(|_| !state.is_failed)
        .map(|since| (since + state.sync_interval).saturating_sub(now));
    if until_sync == Some(Duration::ZERO) {
        return LogStep::Do(LogWork::Sync);
    }
    if state.is_writing || (state.first == First::Nothing && due == Due::Nothing) {
        if state.is_closed && !state.is_writing {
            return LogStep::End;
        }
        let until_seal = state
            .open_since
            .filter(|_| !state.is_writing && !state.is_failed)
            .map(|since| (since + SEAL_AFTER).saturating_sub(now));
        if until_seal == Some(Duration::ZERO) {
            return LogStep::Do(LogWork::Seal);
        }
        let wait = until_sync.unwrap_or(state.sync_interval).min(IDLE_WAIT);
        let wait = until_seal.map_or(wait, |seal| wait.min(seal));
        return LogStep::Wait(LogWait::Idle(wait));
    }
    if due == Due::Segment {
        return LogStep::Do(LogWork::Change);
    }
    let write = |log_only| LogStep::Do(LogWork::Write { log_only });
    // Nothing holds back what was committed before the end, nor what is refused.
    if state.is_closed || state.is_failed {
        return write(false);
    }
    match state.room {
        Room::Free => write(false),
        // Log batches put nothing into memtables; they pass, but none overtakes another one.
        Room::Delayed(_) | Room::Stopped if state.first == First::LogOnly => write(true),
        Room::Stopped => LogStep::Wait(LogWait::Stop),
        Room::Delayed(delay) => {
            let until = state.delayed_since.unwrap_or(now) + delay;
            match until.saturating_sub(now) {
                Duration::ZERO => write(false),
                left => LogStep::Wait(LogWait::Delay(left)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Duration = Duration::from_secs(100);
    const INTERVAL: Duration = Duration::from_millis(100);
    const MS: Duration = Duration::from_millis(1);

    fn idle() -> LogState {
        LogState {
            first: First::Nothing,
            due: Due::Nothing,
            room: Room::Free,
            is_writing: false,
            is_closed: false,
            is_failed: false,
            unsynced_since: None,
            open_since: None,
            delayed_since: None,
            sync_interval: INTERVAL,
        }
    }

    fn waiting() -> LogState {
        LogState {
            first: First::Entries,
            ..idle()
        }
    }

    fn step(state: LogState) -> LogStep {
        next(&state, NOW)
    }

    const WRITE: LogStep = LogStep::Do(LogWork::Write { log_only: false });

    #[test]
    fn without_work_it_waits_until_the_interval_is_over_and_then_syncs() {
        assert_eq!(step(idle()), LogStep::Wait(LogWait::Idle(INTERVAL)));
        let unsynced = |ago: Duration| LogState {
            unsynced_since: Some(NOW.saturating_sub(ago)),
            ..idle()
        };
        assert_eq!(step(unsynced(MS * 30)), LogStep::Wait(LogWait::Idle(MS * 70)));
        for ago in [INTERVAL, MS * 101, NOW] {
            assert_eq!(step(unsynced(ago)), LogStep::Do(LogWork::Sync));
        }
    }

    #[test]
    fn a_synced_end_is_sealed_when_nothing_was_written_for_a_while() {
        let open = |ago: Duration| LogState {
            open_since: Some(NOW.saturating_sub(ago)),
            ..idle()
        };
        let left = LogStep::Wait(LogWait::Idle(MS * 30));
        assert_eq!(step(open(SEAL_AFTER.saturating_sub(MS * 30))), left);
        assert_eq!(step(open(SEAL_AFTER)), LogStep::Do(LogWork::Seal));
        let others = [
            LogState {
                is_writing: true,
                ..open(SEAL_AFTER)
            },
            LogState {
                is_failed: true,
                ..open(SEAL_AFTER)
            },
        ];
        for state in others {
            assert_eq!(step(state), LogStep::Wait(LogWait::Idle(INTERVAL)));
        }
        let waits = LogState {
            first: First::Entries,
            ..open(SEAL_AFTER)
        };
        assert_eq!(step(waits), WRITE);
        let closed = LogState {
            is_closed: true,
            ..open(SEAL_AFTER)
        };
        assert_eq!(step(closed), LogStep::End);
    }

    #[test]
    fn a_sync_that_is_due_comes_before_everything_else() {
        let state = LogState {
            unsynced_since: Some(NOW.saturating_sub(INTERVAL)),
            due: Due::Segment,
            is_writing: true,
            ..waiting()
        };
        assert_eq!(step(state), LogStep::Do(LogWork::Sync));
    }

    #[test]
    fn what_waits_is_written_unless_somebody_writes() {
        assert_eq!(step(waiting()), WRITE);
        let is_writing = LogState {
            is_writing: true,
            is_closed: true,
            ..waiting()
        };
        assert_eq!(step(is_writing), LogStep::Wait(LogWait::Idle(INTERVAL)));
    }

    #[test]
    fn a_full_segment_goes_first_and_a_memtable_that_is_due_needs_no_request() {
        let due = |due| LogState { due, ..waiting() };
        assert_eq!(step(due(Due::Segment)), LogStep::Do(LogWork::Change));
        let memtable = LogState {
            due: Due::Memtable,
            ..idle()
        };
        assert_eq!(step(memtable), WRITE);
        let stopped = LogState {
            room: Room::Stopped,
            ..memtable
        };
        assert_eq!(step(stopped), LogStep::Wait(LogWait::Stop));
    }

    #[test]
    fn a_delay_is_kept_from_its_first_look_on() {
        let delayed = |since| LogState {
            room: Room::Delayed(MS * 10),
            delayed_since: since,
            ..waiting()
        };
        assert_eq!(step(delayed(None)), LogStep::Wait(LogWait::Delay(MS * 10)));
        let begun = Some(NOW.saturating_sub(MS * 4));
        assert_eq!(step(delayed(begun)), LogStep::Wait(LogWait::Delay(MS * 6)));
        let over = Some(NOW.saturating_sub(MS * 10));
        assert_eq!(step(delayed(over)), WRITE);
    }

    #[test]
    fn log_batches_pass_when_memtables_take_nothing() {
        for room in [Room::Stopped, Room::Delayed(MS)] {
            let state = LogState {
                first: First::LogOnly,
                room,
                ..idle()
            };
            assert_eq!(step(state), LogStep::Do(LogWork::Write { log_only: true }));
        }
    }

    #[test]
    fn the_end_comes_when_everything_is_written_and_nothing_holds_it_back() {
        let closed = LogState {
            is_closed: true,
            room: Room::Stopped,
            ..waiting()
        };
        assert_eq!(step(closed), WRITE);
        let empty = LogState {
            is_closed: true,
            ..idle()
        };
        assert_eq!(step(empty), LogStep::End);
    }

    #[test]
    fn after_a_failure_requests_are_refused_and_nothing_is_changed_or_synced() {
        let failed = LogState {
            is_failed: true,
            due: Due::Segment,
            room: Room::Stopped,
            unsynced_since: Some(Duration::ZERO),
            ..waiting()
        };
        assert_eq!(step(failed), WRITE);
        let empty = LogState {
            first: First::Nothing,
            ..failed
        };
        assert_eq!(step(empty), LogStep::Wait(LogWait::Idle(INTERVAL)));
        let closed = LogState {
            is_closed: true,
            ..empty
        };
        assert_eq!(step(closed), LogStep::End);
    }
}
