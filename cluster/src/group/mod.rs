//! A replica of a token range, or of the metadata group, on this node.
//!
//! Not here: the decisions of consensus (`raft/`), who holds which range (`ring/`).

pub mod balance;
pub mod effect;
pub mod invocations;
pub mod journal;
pub mod quiet;
