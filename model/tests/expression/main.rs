//! Expressions against what DynamoDB answers, and against a plain model of what they mean.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test ends at the first thing that is not as it should be"
)]

mod model;
mod stories;
mod tree;
