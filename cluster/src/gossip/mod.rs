//! Which nodes there are, which of them are alive, and what each says about itself.
//!
//! Failure detection is SWIM, by the `foca` crate. [`Gossip`] is the pure core: inputs and the time go in, effects come
//! out, the only randomness is its seed, so that the same inputs give the same effects. [`Gossiper`] is the dull doer
//! that drives it with a [`crate::World`] and a [`crate::Network`]. The bytes are described in `docs/format/gossip.md`.
//!
//! Invariants: a process that was started later replaces the one before it at once; of two processes that claim the
//! same node and incarnation, each that learns of the other falls silent and reports it. What is said here is a hint:
//! no quorum is counted from it. Not here: who may vote (`identity`), where token ranges lie.

mod claims;
mod core;
mod doer;
mod error;
mod id;
mod interface;
mod settings;
#[cfg(test)]
mod simulation;
mod state;
mod wire;

pub use self::core::Gossip;
pub use doer::Gossiper;
pub use error::{Fault, GossipError, MessageError};
pub use interface::{Effect, Input, Me, Member, Peer, TimerId};
pub use settings::GossipSettings;
pub use state::{NodeState, PLACE_BYTES_MAX, SOFTWARE_BYTES_MAX};
pub use wire::{ADDRESS_BYTES_MAX, MESSAGE_BYTES_MAX};

/// Whether a node takes part, as far as this node knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Liveness {
    /// It answers.
    Alive,
    /// It did not answer a probe, and has a short while to object before it is down.
    Suspect,
    /// It failed or left. It may come back.
    Down,
}
