//! Commands on one cell: what the leader of a key is asked, what it decides, and what it answers.
//!
//! A command has two forms. Where it was made it is a typed [`Applier`], which is decided as it is. On its way to
//! another node, and from there back, command and answer are bytes: [`Commands`], given to the cluster when it opens,
//! decides those. Invariant: both forms of a command make the same of the same cell. What the bytes mean is not known
//! here.

use std::fmt;

use bytes::Bytes;

use crate::derive::{CellChange, Derived, DerivedRow, Origin, Unfit};
use crate::level::ConsistencyLevel;

/// The bytes of a cell, shared with the engine's memory.
pub type Cell = Bytes;

/// What a command makes of the current cell, and what it answers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict<T> {
    /// The cell becomes these bytes.
    Put {
        /// The new cell.
        cell: Cell,
        /// The answer once the write stands.
        answer: T,
    },
    /// The cell is removed.
    Delete {
        /// The answer once the write stands.
        answer: T,
    },
    /// Nothing changes: a refusal, or a command without effect.
    Keep {
        /// The answer.
        answer: T,
    },
}

impl<T> Verdict<T> {
    /// The same verdict with the answer in another form.
    pub fn map<U>(self, form: impl FnOnce(T) -> U) -> Verdict<U> {
        match self {
            Self::Put { cell, answer } => Verdict::Put {
                cell,
                answer: form(answer),
            },
            Self::Delete { answer } => Verdict::Delete { answer: form(answer) },
            Self::Keep { answer } => Verdict::Keep { answer: form(answer) },
        }
    }
}

/// A command on one cell. It is decided on the leader with a committed cell; where another node leads, it goes there as
/// bytes.
pub trait Applier: Sync {
    /// What the command answers.
    type Answer: Answer;

    /// Decides on the current cell; `None` when there is none. Pure: no clock, no randomness, no I/O.
    fn decide(&self, current: Option<&Cell>) -> Verdict<Self::Answer>;

    /// Appends the bytes that [`Commands::decide`] reads. Called only for a command that travels.
    fn encode(&self, into: &mut Vec<u8>);

    /// What is answered when the command is only noted down, to be carried out later, because nobody can say what the cell
    /// is now. `None` for a command whose answer depends on that.
    fn answer_unseen(&self) -> Option<Self::Answer>;

    /// Who asks for it: 0 for a client, other numbers as the caller gives them out. It is told to [`Commands::derive`].
    fn origin(&self) -> Origin {
        0
    }
}

/// What a command answers. As bytes it travels back from the leader, and lies in the log for a client that asks again.
pub trait Answer: Sized + Send + 'static {
    /// Appends the bytes that [`Answer::decode`] reads.
    fn encode(&self, into: &mut Vec<u8>);

    /// Reads the bytes of one answer. What is long in the answer may share their memory.
    ///
    /// # Errors
    /// [`MalformedAnswer`] when they are not exactly an answer of a known version.
    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer>;

    /// Takes what [`Commands::derive`] notes of the write. Called before the answer is put into bytes, and only when there
    /// is something.
    fn note(&mut self, _: &Bytes) {}
}

/// The answer of a command that has nothing to say: no bytes.
impl Answer for () {
    fn encode(&self, _: &mut Vec<u8>) {}

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        if bytes.is_empty() {
            Ok(())
        } else {
            Err(MalformedAnswer {
                detail: format!("{} bytes where there should be none", bytes.len()),
            })
        }
    }
}

/// Decides commands that came as bytes from another node.
pub trait Commands: Send + Sync + fmt::Debug {
    /// Reads a command and decides as [`Applier::decide`] does; the answer is as [`Answer::encode`] writes it. A new cell
    /// may share the command's memory.
    ///
    /// # Errors
    /// [`MalformedCommand`] when the bytes are not exactly a command of a known version. Nothing was decided.
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand>;

    /// Whether an answer in bytes says that the command was refused. One of a transaction that is refused keeps all of it from
    /// taking place; one that has nothing to change does not.
    fn is_refusal(&self, _answer: &[u8]) -> bool {
        false
    }

    /// A refusal in bytes without what it shows of the cell. Called for those of a transaction that have no room together in a
    /// message.
    fn brief(&self, answer: Vec<u8>) -> Vec<u8> {
        answer
    }

    /// The size that a cell counts with in the tally of its keyspace, in bytes.
    fn weigh(&self, cell: &[u8]) -> u64;

    /// Who asks for a command in bytes, as [`Applier::origin`] says it.
    fn origin(&self, _: &Bytes) -> Origin {
        0
    }

    /// Puts a note into an answer in bytes, as [`Answer::note`] does it. Called only when there is something.
    ///
    /// # Errors
    /// [`MalformedAnswer`] when the bytes are none of this program's.
    fn noted(&self, answer: &[u8], _: &Bytes) -> Result<Vec<u8>, MalformedAnswer> {
        Ok(answer.to_vec())
    }

    /// The last entry of the metadata that [`Commands::derive`] takes into account; it never falls. A leader takes no write
    /// of a keyspace that was made later, nor while its range asks for a later one ([`crate::Cluster::require`]).
    fn known(&self) -> u64 {
        u64::MAX
    }

    /// What follows from a write. Called by the leader under the latch of the cell. Pure but for what `known` stands for.
    ///
    /// # Errors
    /// [`Unfit`] when the write must not be.
    fn derive(&self, _: &CellChange<'_>) -> Result<Derived, Unfit> {
        Ok(Derived::default())
    }

    /// The rows that a cell should have had when something that is derived has come later than the cell. `filling` says
    /// what, in bytes of the caller's ([`crate::Cluster::fill`]); name of the keyspace, key and cell follow. A cell that does
    /// not fit has none.
    fn fill(&self, _filling: &Bytes, _keyspace: &str, _key: &[u8], _cell: &Cell) -> Vec<DerivedRow> {
        Vec::new()
    }
}

/// Bytes that should be a command and are not, or are of an unknown version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the command of another node cannot be read: {detail}; bring all nodes to neighbouring versions")]
pub struct MalformedCommand {
    /// What is wrong with it.
    pub detail: String,
}

/// Bytes that should be an answer and are not, or are of an unknown version.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the answer of another node cannot be read: {detail}; bring all nodes to neighbouring versions")]
pub struct MalformedAnswer {
    /// What is wrong with it.
    pub detail: String,
}

/// What a write is to be like, beside its command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WriteOptions {
    /// How many replicas have to have it before it is answered.
    pub level: ConsistencyLevel,
    /// Which call it is a try of. Without one, a write that is sent twice is done twice.
    pub invocation: Option<Invocation>,
}

impl WriteOptions {
    /// Whether another try of the same call may be under way.
    pub(crate) fn is_repeated(&self) -> bool {
        self.invocation.is_some_and(|invocation| invocation.is_repeated)
    }
}

impl Default for WriteOptions {
    /// A majority, and no id.
    fn default() -> Self {
        Self {
            level: ConsistencyLevel::Quorum,
            invocation: None,
        }
    }
}

/// A try of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Invocation {
    /// The call.
    pub id: InvocationId,
    /// Whether another try may be under way, so that it must not take effect later when this one is refused: what is
    /// answered to it is logged even if it changes nothing.
    pub is_repeated: bool,
}

impl Invocation {
    /// The first try of a call, before which nothing was sent.
    pub const fn first(id: InvocationId) -> Self {
        Self {
            id,
            is_repeated: false,
        }
    }

    /// A try behind others of which nobody knows what has become.
    pub const fn repeated(id: InvocationId) -> Self {
        Self {
            id,
            is_repeated: true,
        }
    }

    /// As [`InvocationId::of_part`], the same try.
    #[must_use]
    pub fn of_part(self, place: u32) -> Self {
        Self {
            id: self.id.of_part(place),
            ..self
        }
    }
}

/// What stays the same when a client sends one request again: 16 bytes that no two requests share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InvocationId([u8; 16]);

impl InvocationId {
    /// An id of the client's making, such as a UUID.
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The id that stands for any text: its hash.
    pub fn hashed(text: &[u8]) -> Self {
        Self(xxhash_rust::xxh3::xxh3_128(text).to_le_bytes())
    }

    /// The id of one of several writes of a request, by its place among them. The same request gives the same ids.
    #[must_use]
    pub fn of_part(self, place: u32) -> Self {
        let mut bytes = [0; 20];
        let (head, tail) = bytes.split_at_mut(16);
        head.copy_from_slice(&self.0);
        tail.copy_from_slice(&place.to_le_bytes());
        Self::hashed(&bytes)
    }

    /// The bytes.
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl fmt::Display for InvocationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_to_say_is_no_bytes() {
        let mut bytes = Vec::new();
        ().encode(&mut bytes);
        assert_eq!(<()>::decode(&Bytes::from(bytes)), Ok(()));
        assert!(<()>::decode(&Bytes::from_static(&[0])).is_err());
    }

    #[test]
    fn parts_of_a_request_have_ids_of_their_own_that_stay_the_same() {
        let requests = [InvocationId::new([7; 16]), InvocationId::hashed(b"request 1")];
        let mut ids: Vec<_> = requests
            .iter()
            .flat_map(|id| (0..25).map(|place| id.of_part(place)).chain([*id]))
            .collect();
        assert_eq!(requests[0].of_part(3), requests[0].of_part(3));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 52);
    }

    #[test]
    fn an_id_is_shown_as_hexadecimal_digits() {
        let mut bytes = [0; 16];
        bytes[0] = 0x0a;
        bytes[15] = 0xff;
        assert_eq!(
            InvocationId::new(bytes).to_string(),
            "0a0000000000000000000000000000ff"
        );
    }

    #[test]
    fn a_verdict_keeps_its_kind_when_the_answer_changes_form() {
        let cell = Bytes::from_static(b"c");
        let put = Verdict::Put {
            cell: cell.clone(),
            answer: 1,
        };
        assert_eq!(put.map(|n| n + 1), Verdict::Put { cell, answer: 2 });
        assert_eq!(
            Verdict::Delete { answer: 1 }.map(|n| n + 1),
            Verdict::Delete { answer: 2 }
        );
        assert_eq!(
            Verdict::Keep { answer: 1 }.map(|n| n + 1),
            Verdict::Keep { answer: 2 }
        );
    }
}
