//! The directory through its public API: what may be changed how, what refuses, what counts for whom, and what a rename
//! leaves at any point at which it may stop.
#![expect(clippy::unwrap_used, reason = "a test stops where its assumption fails")]

mod changes;
mod policies;
mod rename;
mod trust;
mod world;
