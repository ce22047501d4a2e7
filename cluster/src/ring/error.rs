//! What can be wrong with a layout, and why none can be made.
//!
//! Invariant: the variants tell apart what the caller does next; their texts name the node or range that is meant.

use super::token::RangeId;

/// What is wrong with a layout or its bytes.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LayoutError {
    /// The bytes were written by another version of the program: read them with that one.
    #[error("the layout has format version {found}, this program reads version {known}")]
    UnknownVersion {
        /// The version that the bytes name.
        found: u8,
        /// The version that this program reads.
        known: u8,
    },
    /// The bytes are not those of a layout: take the layout from another node.
    #[error("the bytes of the layout are damaged: {cause}")]
    Malformed {
        /// Where reading ended.
        cause: String,
    },
    /// The layout contradicts itself: do not use it, keep the one before.
    #[error("the layout contradicts itself: {cause}")]
    Invalid {
        /// What contradicts what.
        cause: String,
    },
    /// The move does not belong to this layout: take the moves from the present layout again.
    #[error("the move of range {range} does not fit the layout: {cause}")]
    MoveDoesNotFit {
        /// The range of the move.
        range: RangeId,
        /// Why it does not fit.
        cause: String,
    },
}

/// Why there is no placement.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PlacementError {
    /// Nobody is there to hold anything: wait for a node.
    #[error("no node is present that could hold a replica")]
    NoNodes,
    /// More nodes than the placement can number: split the cluster.
    #[error("{found} nodes are present, a layout holds at most {most}")]
    TooManyNodes {
        /// How many are present.
        found: usize,
        /// How many can be placed on.
        most: usize,
    },
}
