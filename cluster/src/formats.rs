//! Which formats a program reads: their generation, that every node tells the others.
//!
//! Invariant: what only a later generation reads is written when all nodes of the cluster read it, and never before; so a
//! cluster can run two programs at once, and go back to the earlier one until somebody uses what is new. What nobody decides
//! to use is read by one generation and written by the next one, when all nodes are of that, so that a cluster can go back by
//! one at any time. A format that earlier programs pass over needs no generation. Not here: the formats (`docs/format`).

/// Versions of cells, with times in the log and in the ledger (`docs/format/group.md`).
pub const FORMATS_OF_VERSIONS: u32 = 1;

/// Tables that are restored from a backup of a whole cluster, whose definitions name their part of it
/// (`docs/format/metadata.md`): an earlier program would take all of it for the table's.
pub const FORMATS_OF_PARTS: u32 = 2;

/// Rows of other ranges that name the term of their entries, and marks with terms (`docs/format/group.md`), are written when all
/// nodes are of this generation. Programs of generation 3 read them and write none; earlier ones do not read them.
pub(crate) const FORMATS_WRITING_TERMS: u32 = 4;

/// The generation of this program.
pub const FORMATS: u32 = FORMATS_WRITING_TERMS;
