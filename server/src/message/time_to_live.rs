//! The sentences about the time to live.

pub(crate) const ALREADY_ENABLED: &str = "TimeToLive is already enabled";
pub(crate) const ALREADY_DISABLED: &str = "TimeToLive is already disabled";
pub(crate) const CHANGED_LATELY: &str =
    "Time to live has been modified multiple times within a fixed interval";

/// Another attribute than the one that counts.
pub(crate) fn other_attribute(current: &str) -> String {
    format!("TimeToLive is active on a different AttributeName: current AttributeName is {current}")
}
