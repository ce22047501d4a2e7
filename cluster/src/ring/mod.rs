//! The ring: token ranges, and which nodes hold which of them (`docs/replication.md`).
//!
//! Invariant: everything here is a pure function of its arguments: no I/O, no time, no randomness, so that every node
//! that is given the same layout and the same nodes comes to the same replica sets. Not here: how a layout is agreed on
//! and how replicas move.

mod error;
mod layout;
mod moves;
mod placement;
mod plan;
mod record;
#[cfg(test)]
pub(crate) mod tests;
mod token;

pub use error::{LayoutError, PlacementError};
pub use layout::{Layout, NodeDescription, Replica};
pub use moves::{Move, moves};
pub use placement::place;
pub use plan::{NodeStanding, Plan, PlanError};
pub use token::{RangeBits, RangeId, Token, TouchedRanges};
