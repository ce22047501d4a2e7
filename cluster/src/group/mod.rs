//! A replica of a token range, or of the metadata group, on this node.
//!
//! Not here: the decisions of consensus (`raft/`), who holds which range (`ring/`).

mod accept;
mod answered;
pub(crate) mod apply;
pub(crate) mod balance;
pub(crate) mod close;
mod derive;
pub(crate) mod effect;
pub(crate) mod fill;
mod forward;
pub(crate) mod hold;
pub(crate) mod host;
pub(crate) mod invocations;
pub(crate) mod journal;
mod locks;
mod log;
pub(crate) mod mark;
pub(crate) mod members;
pub(crate) mod merkle;
pub(crate) mod note;
mod overdue;
mod overlay;
mod own;
mod prepared;
mod propose;
pub(crate) mod quiet;
mod read;
pub(crate) mod recover;
pub(crate) mod replica;
pub(crate) mod rest;
pub(crate) mod restore;
mod rows;
pub(crate) mod scrub;
pub(crate) mod see;
pub(crate) mod settings;
mod size;
pub(crate) mod snapshot;
mod standing;
mod sums;
mod tally;
#[cfg(test)]
mod tests;
pub(crate) mod transact;
mod watched;
pub(crate) mod write;
