//! Policies from the outside: documented decisions, documents that are refused, and what no document may do.
#![expect(clippy::panic, reason = "a test stops where its assumption fails")]

mod decisions;
mod documents;
mod property;
