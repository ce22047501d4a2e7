//! What follows from a write beside the cell that it is about: rows of indexes, records of streams, due times.
//!
//! Invariant: derived rows lie in the entry of the write that they follow from, so that either all of it stands or nothing.
//! Rows of the write's own token range are applied with it; others are sent, in the order of the log, to the leaders of
//! their ranges, which take each of them once. What is derived is said by the caller ([`crate::Commands::derive`]) and not
//! known here. Sums are not derived from one write alone: the leader adds what a write changes to their newest value
//! (`group/sums.rs`). Not here: the log's bytes (`group/effect.rs`), sending (`group/forward.rs`), taking (`group/accept.rs`).

use std::sync::Arc;

use bytes::Bytes;

use crate::command::Cell;

/// Who asks for a write that no client asks for; see [`crate::Applier::origin`]. Clients are 0.
pub type Origin = u8;

/// A write whose consequences are asked for. One that changes nothing is none.
#[derive(Clone, Copy, Debug)]
pub struct CellChange<'a> {
    /// Name of the keyspace.
    pub keyspace: &'a str,
    /// Key bytes of the cell.
    pub key: &'a [u8],
    /// What the cell was; `None` when there was none.
    pub before: Option<&'a Cell>,
    /// What it becomes; `None` when it goes.
    pub after: Option<&'a Cell>,
    /// Who asks for it.
    pub origin: Origin,
    /// Whether the write stands already, by definitions that may have been older: then nothing forbids it, and what it does
    /// not fit it is left out of.
    pub stands: bool,
}

/// What follows from a write.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Derived {
    /// Rows, in the order in which they are applied.
    pub rows: Vec<DerivedRow>,
    /// Sums that the write changes; each at most once.
    pub sums: Vec<DerivedSum>,
    /// For the answer ([`crate::Answer::note`]); the cluster does not look into it. Empty for nothing.
    pub note: Bytes,
    /// The entry of the metadata since which it follows like this, or a later one that [`crate::Commands::known`] has reached; 0
    /// for always. Whoever leads the range behind the write has to know it, so that what follows from a cell never goes back to
    /// older definitions.
    pub since: u64,
}

/// A row that follows from a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedRow {
    /// Name of its keyspace. A row of a keyspace that has been dropped is left out.
    pub keyspace: Arc<str>,
    /// Its key bytes, which begin with its token; for an append those that the range adds to.
    pub key: Bytes,
    /// How it gets to its range.
    pub route: Route,
    /// What becomes of it.
    pub action: Action,
    /// By how much its keyspace grows, for the tally.
    pub growth: Growth,
}

/// By how much a keyspace grows when a row of it is applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Growth {
    /// By so many rows and bytes. That is certain when all cells of the source have the rows that they should have.
    By(i8, i64),
    /// By what the range of the row finds when it applies it. So it is for a keyspace that is being filled: who writes a cell
    /// cannot know whether the rows of the cell are there already. Only for forwarded rows that are not appended.
    Found,
}

/// A sum over many cells of one range, such as how large all of them are. It is a row beside them, of eight bytes that
/// [`sum_of`] reads; there is none for 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DerivedSum {
    /// Name of the keyspace of its row. A sum of a keyspace that has been dropped is left out.
    pub keyspace: Arc<str>,
    /// Key bytes of its row, whose token is in the range of the cell.
    pub key: Bytes,
    /// What the write adds to it. A sum never falls below 0.
    pub change: i64,
    /// A write that would raise it above this is refused, unless it stands already. One that does not raise it never is.
    pub max: u64,
    /// What it is refused with.
    pub too_large: UnfitSum,
}

/// As [`Unfit`], of a sum that would become too large.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnfitSum {
    /// See [`Unfit::code`].
    pub code: u8,
    /// See [`Unfit::reason`].
    pub reason: &'static str,
}

/// The sum that a row holds; 0 for none. `None` for what is the row of no sum.
pub fn sum_of(row: Option<&Cell>) -> Option<u64> {
    match row {
        None => Some(0),
        Some(row) => Some(u64::from_le_bytes(row[..].try_into().ok()?)),
    }
}

/// How a row gets to its range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Route {
    /// Its token is in the range of the cell that it follows from: they are applied together.
    Beside,
    /// It is sent to its own range, after the write is applied.
    Forward,
}

/// What becomes of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// It becomes this.
    Put(Value),
    /// It goes.
    Delete,
    /// It comes behind all rows that its range has taken under the same key bytes. The range adds twelve bytes to the key:
    /// the index of its own entry (8, big-endian) and the place in that (4, big-endian). The cell is when the leader of the
    /// source took the write (8, little-endian, milliseconds since the Unix epoch), and then the value. Only forwarded
    /// rows are appended.
    Append(Value),
    /// It is one more version of what stands under these key bytes, beside the cell. Its range adds sixteen bytes to the key
    /// ([`version_of`]), so that the versions of a key stand one behind the other, the newest first.
    Version {
        /// The time of the version, in milliseconds since the Unix epoch; that of the write if there is none: then all
        /// versions that follow from one transaction have the same, in all ranges.
        at_ms: Option<u64>,
        /// What it is.
        value: Value,
    },
}

/// Bytes of a row.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Value {
    /// What it begins with.
    pub head: Bytes,
    /// Whether the new cell of the write follows. It lies in the log once.
    pub with_cell: bool,
}

/// A write that what is derived from it forbids. It is not carried out; trying again does not help.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct Unfit {
    /// What kind of refusal it is, by a number of the caller's.
    pub code: u8,
    /// Why, as the caller puts it.
    pub reason: String,
}

/// Bytes that [`Action::Append`] adds to a key.
pub const APPENDED_KEY_BYTES: usize = 8 + 4;

/// Bytes that [`Action::Append`] puts before a value.
pub const APPENDED_TIME_BYTES: usize = 8;

/// Bytes that [`Action::Version`] adds to a key: its time and the index of its entry, both with all bits turned over and
/// big-endian.
pub const VERSION_KEY_BYTES: usize = 8 + 8;

/// What [`Action::Version`] has made a key of, the time of the version in milliseconds since the Unix epoch, and the index of
/// its entry, which is higher for the later one of two versions of one time. `None` for what is no such key.
pub fn version_of(key: &[u8]) -> Option<(&[u8], u64, u64)> {
    let (of, tail) = key.split_last_chunk::<VERSION_KEY_BYTES>()?;
    let (at_ms, index) = tail.split_first_chunk::<8>()?;
    let index = index.first_chunk::<8>()?;
    Some((of, !u64::from_be_bytes(*at_ms), !u64::from_be_bytes(*index)))
}
