//! Which formats a program reads: their generation, that every node tells the others.
//!
//! Invariant: what only a later generation reads is written when all nodes of the cluster read it, and never before; so a
//! cluster can run two programs at once, and go back to the earlier one until somebody uses what is new. A format that
//! earlier programs pass over needs no generation. Not here: the formats (`docs/format`).

/// Versions of cells, with times in the log and in the ledger (`docs/format/group.md`).
pub const FORMATS_OF_VERSIONS: u32 = 1;

/// Tables that are restored from a backup of a whole cluster, whose definitions name their part of it
/// (`docs/format/metadata.md`): an earlier program would take all of it for the table's.
pub const FORMATS_OF_PARTS: u32 = 2;

/// Rows of other ranges that name the term of their entries, and marks with terms (`docs/format/group.md`). Nobody would decide
/// to use them, so that they could not be gone back from: programs of this generation read them, and those of the next one
/// write them.
const FORMATS_OF_TERMS: u32 = 3;

/// The first programs that write them.
pub(crate) const FORMATS_WRITING_TERMS: u32 = FORMATS_OF_TERMS + 1;

/// What this program reads.
pub const FORMATS: u32 = FORMATS_OF_TERMS;
