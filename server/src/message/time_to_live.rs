//! The sentences about the time to live.

pub(crate) const ALREADY_ENABLED: &str = "TimeToLive is already enabled";
pub(crate) const ALREADY_DISABLED: &str = "TimeToLive is already disabled";
pub(crate) const CHANGED_LATELY: &str =
    "Time to live has been modified multiple times within a fixed interval";
pub(crate) const OTHER_ATTRIBUTE: &str = "TimeToLive is active on a different AttributeName";
