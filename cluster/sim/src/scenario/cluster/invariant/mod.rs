//! What must hold, one file each. Each is a pure function of what was seen, and says what is wrong in words that begin
//! with the invariant's name.

pub(super) mod committed;
pub(super) mod converged;
pub(super) mod counted;
pub(super) mod drained;
pub(super) mod indexed;
pub(super) mod one_leader;
pub(super) mod serializable;
pub(super) mod streamed;

use std::fmt;

/// The invariants of a cluster. The reason of a failed run begins with the name of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Invariant {
    /// Whoever reads or writes at QUORUM or ALL sees each cell as one cell that does one thing after the other.
    Linearizable,
    /// A counter is what was added, each addition once.
    Counted,
    /// Reads at ONE show committed writes only, and a refused write is never seen.
    Committed,
    /// Replicas that have applied the same have the same bytes.
    Converged,
    /// A term of a group has one leader at most.
    OneLeader,
    /// What is not broken answers, in time.
    Available,
    /// Who cannot have a majority says so, in time.
    Refused,
    /// A keyspace that was made is there, one that was dropped is not.
    Keyspaces,
    /// A range read visits the rows of its span in their order.
    Ordered,
    /// Writes that were hinted arrive, in their order.
    Drained,
    /// A node that has lost its disk decides nothing.
    NoVote,
    /// Indexes and rows beside cells are those of the cells.
    Indexed,
    /// A stream tells every write once, in order.
    Streamed,
    /// Transactions take place one after the other, wholly or not at all.
    Serializable,
    /// A node breaks only when its disk does.
    Sound,
}

impl Invariant {
    /// The name, as failures begin with it.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Linearizable => "linearizable",
            Self::Counted => "counted",
            Self::Committed => "committed",
            Self::Converged => "converged",
            Self::OneLeader => "one leader",
            Self::Available => "available",
            Self::Refused => "refused",
            Self::Keyspaces => "keyspaces",
            Self::Ordered => "ordered",
            Self::Drained => "drained",
            Self::NoVote => "no vote",
            Self::Indexed => "indexed",
            Self::Streamed => "streamed",
            Self::Serializable => "serializable",
            Self::Sound => "sound",
        }
    }

    /// The reason of a run that has broken it.
    pub(super) fn broken(self, what: impl fmt::Display) -> String {
        format!("{}: {what}", self.name())
    }
}
