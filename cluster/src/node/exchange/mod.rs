//! What nodes say to each other: requests and their answers, and the messages of all groups in batches.
//!
//! [`Exchange`] sends, [`Dispatch`] is the [`Inbox`](crate::Inbox) that receives. Bytes are those of
//! `docs/format/transport.md`, "What is in a message". Invariants: an answer goes to the one request that it is for, of this
//! process and no other, from the node that was asked; a request ends by an answer, by its patience, or because its node
//! is known to be down, and leaves nothing behind. Not here: what bodies mean, which nodes are alive, how messages travel.

mod batch;
mod dispatch;
mod envelope;
mod request;
mod sender;
mod statistics;
#[cfg(test)]
mod tests;

pub(crate) use dispatch::{Dispatch, RaftInbox, Reply, Serve};
pub(crate) use request::ExchangeError;
pub(crate) use sender::Exchange;
pub use statistics::ExchangeStatistics;
