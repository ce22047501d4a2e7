//! A story of books, told to a running server with the AWS SDK for Rust: each module is a part of it, and `shelf` has the
//! server, its clients, the table of the story and what stands on it at first.
//!
//! Invariant: every test makes a table of its own. Nothing of Stator's is used.

mod errors;
mod items;
mod reads;
mod shelf;
mod streams;
mod tables;
mod transactions;
