//! A harness for tests that start a real `stator`, speak HTTP to it, and kill it.
//!
//! It knows nothing of Stator but its command line and the DynamoDB API: a [`Node`] is a process, a [`Client`] a connection.

mod client;
mod node;

pub use client::{Answer, Client};
pub use node::{Node, now, stator};

/// What goes wrong in the harness itself; tests only show it.
pub type Error = Box<dyn std::error::Error + Send + Sync>;
/// A result of the harness.
pub type Result<T> = std::result::Result<T, Error>;
