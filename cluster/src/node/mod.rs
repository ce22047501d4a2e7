//! A node of the cluster: what it says to others and what it does with what they say.
//!
//! Not here: the decisions of one group (`group/`, `raft/`), connections (`transport/`).

pub(crate) mod exchange;
