//! The commands of the simulated clients, in both of their forms, and the bytes of the cells that they make.
//!
//! Invariant: a command does to a cell what the model (`check::cell`) says, and tells what was there before. A cell has
//! filling, so that the engine flushes and compacts, and the filling follows from the rest of the cell, so that bytes of
//! something else are noticed. All numbers are little-endian.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::{Buf, BufMut, Bytes, BytesMut, TryGetError};
use stator_cluster::{
    Answer, Applier, Cell, CellChange, Commands, Derived, DerivedRow, MalformedAnswer, MalformedCommand,
    Unfit, Verdict,
};
use xxhash_rust::xxh3::xxh3_64;

use super::deriving::{Deriving, late_rows};
use super::list::{self, ListCommand};
use super::rewind::version;
use crate::check::cell::{Input, Output, Seen, Stored, apply};

/// The longest filling of a cell, in bytes.
const FILLING_MAX: u64 = 300;

const PUT: u8 = 1;
const COMPARE: u8 = 2;
const ADD: u8 = 3;
const DELETE: u8 = 4;

fn put_stored(out: &mut impl BufMut, stored: Stored) {
    out.put_i64_le(stored.value);
    out.put_u64_le(stored.by);
}

fn get_stored(bytes: &mut &[u8]) -> Result<Stored, TryGetError> {
    let (value, by) = (bytes.try_get_i64_le()?, bytes.try_get_u64_le()?);
    Ok(Stored { value, by })
}

fn put_cell(out: &mut impl BufMut, cell: Option<Stored>) {
    out.put_u8(u8::from(cell.is_some()));
    if let Some(stored) = cell {
        put_stored(out, stored);
    }
}

/// Reads a cell that may not be there; an error is bytes that are neither.
fn get_cell(bytes: &mut &[u8]) -> Result<Option<Stored>, TryGetError> {
    match bytes.try_get_u8()? {
        0 => Ok(None),
        _ => get_stored(bytes).map(Some),
    }
}

/// The bytes of a cell.
pub(super) fn encode_cell(stored: Stored) -> Cell {
    let mut out = BytesMut::new();
    put_stored(&mut out, stored);
    let sum = xxh3_64(&out);
    let filling = usize::try_from(sum % FILLING_MAX).unwrap_or(0);
    out.put_bytes(sum.to_le_bytes()[0], filling);
    out.freeze()
}

/// Reads the bytes of a cell; `None` when they are not.
pub(super) fn decode_cell(mut bytes: &[u8]) -> Option<Stored> {
    let whole = bytes;
    let stored = get_stored(&mut bytes).ok()?;
    (encode_cell(stored) == whole).then_some(stored)
}

/// A write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Command(pub(super) Input);

/// What a write answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answered {
    /// What was there, and whether the condition held.
    Told { old: Option<Stored>, is_done: bool },
    /// It will be done: nobody could look at the cell.
    Unseen,
    /// The cell held bytes that no command writes; nothing was changed.
    Damaged,
}

impl Answered {
    /// The answer as the model sees it; `None` when the cell is damaged.
    pub(super) fn output(self) -> Option<Output> {
        match self {
            Self::Told { old, is_done } => Some(Output {
                old: Seen::Was(old),
                is_done,
            }),
            Self::Unseen => Some(Output::done()),
            Self::Damaged => None,
        }
    }

    /// Whether the write that answers this has changed nothing, so that no log tells of it.
    pub(super) fn is_kept(self, input: &Input) -> bool {
        match self {
            Self::Told { old, is_done } => {
                !is_done || (matches!(input, Input::Delete { .. }) && old.is_none())
            }
            Self::Unseen => false,
            Self::Damaged => true,
        }
    }
}

impl Applier for Command {
    type Answer = Answered;

    fn decide(&self, current: Option<&Cell>) -> Verdict<Answered> {
        let old = match current.map(|cell| decode_cell(cell)) {
            None => None,
            Some(Some(stored)) => Some(stored),
            Some(None) => {
                return Verdict::Keep {
                    answer: Answered::Damaged,
                };
            }
        };
        let (new, is_done) = apply(old, &self.0);
        let answer = Answered::Told { old, is_done };
        match new {
            _ if answer.is_kept(&self.0) => Verdict::Keep { answer },
            Some(stored) => Verdict::Put {
                cell: encode_cell(stored),
                answer,
            },
            None => Verdict::Delete { answer },
        }
    }

    fn answer_unseen(&self) -> Option<Answered> {
        match self.0 {
            Input::Put(_) | Input::Delete { .. } => Some(Answered::Unseen),
            Input::Read | Input::CompareAndSet { .. } | Input::Add { .. } => None,
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        match self.0 {
            Input::Read => {}
            Input::Put(new) => {
                into.put_u8(PUT);
                put_stored(into, new);
            }
            Input::CompareAndSet { expected, new } => {
                into.put_u8(COMPARE);
                into.put_u8(u8::from(expected.is_some()));
                into.put_i64_le(expected.unwrap_or(0));
                put_stored(into, new);
            }
            Input::Add { delta, by } => {
                into.put_u8(ADD);
                into.put_i64_le(delta);
                into.put_u64_le(by);
            }
            Input::Delete { by } => {
                into.put_u8(DELETE);
                into.put_u64_le(by);
            }
        }
    }
}

impl Command {
    fn decode(mut bytes: &[u8]) -> Option<Self> {
        let input = match bytes.try_get_u8().ok()? {
            PUT => Input::Put(get_stored(&mut bytes).ok()?),
            COMPARE => {
                let is_some = bytes.try_get_u8().ok()?;
                let number = bytes.try_get_i64_le().ok()?;
                Input::CompareAndSet {
                    expected: (is_some == 1).then_some(number),
                    new: get_stored(&mut bytes).ok()?,
                }
            }
            ADD => Input::Add {
                delta: bytes.try_get_i64_le().ok()?,
                by: bytes.try_get_u64_le().ok()?,
            },
            DELETE => Input::Delete {
                by: bytes.try_get_u64_le().ok()?,
            },
            _ => return None,
        };
        bytes.is_empty().then_some(Self(input))
    }
}

impl Answer for Answered {
    fn encode(&self, into: &mut Vec<u8>) {
        match *self {
            Self::Told { old, is_done } => {
                into.put_u8(u8::from(is_done));
                put_cell(into, old);
            }
            Self::Unseen => into.put_u8(2),
            Self::Damaged => into.put_u8(3),
        }
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        let read = |mut bytes: &[u8]| {
            let answered = match bytes.try_get_u8().ok()? {
                is_done @ (0 | 1) => Self::Told {
                    old: get_cell(&mut bytes).ok()?,
                    is_done: is_done == 1,
                },
                2 => Self::Unseen,
                3 => Self::Damaged,
                _ => return None,
            };
            bytes.is_empty().then_some(answered)
        };
        read(bytes).ok_or_else(|| MalformedAnswer {
            detail: format!("{} bytes are no answer of the simulation", bytes.len()),
        })
    }
}

/// Decides on commands of other nodes.
#[derive(Debug, Default)]
pub(super) struct SimulatedCommands {
    /// What follows from writes; `None` when nothing does.
    pub(super) deriving: Option<Arc<Deriving>>,
    /// The metadata that this node has been taught, where nodes are.
    pub(super) learnt: AtomicU64,
    /// Whether the late index is in that.
    pub(super) knows_late: AtomicBool,
    /// The metadata with which it has come.
    pub(super) late_since: AtomicU64,
}

impl Commands for SimulatedCommands {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        let malformed = || MalformedCommand {
            detail: format!("{} bytes are no command of the simulation", command.len()),
        };
        if list::is_command(command) {
            let command = ListCommand::decode(command).ok_or_else(malformed)?;
            return Ok(command.decide(current).map(|answer| {
                let mut bytes = Vec::new();
                answer.encode(&mut bytes);
                bytes
            }));
        }
        let command = Command::decode(command).ok_or_else(malformed)?;
        Ok(command.decide(current).map(|answer| {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            bytes
        }))
    }

    fn is_refusal(&self, answer: &[u8]) -> bool {
        list::is_refusal(answer)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        u64::try_from(cell.len()).unwrap_or(u64::MAX)
    }

    fn known(&self) -> u64 {
        match &self.deriving {
            Some(deriving) if deriving.is_taught => self.learnt.load(Ordering::SeqCst),
            _ => u64::MAX,
        }
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        let knows_late = self.knows_late.load(Ordering::SeqCst);
        let mut rows = (self.deriving.as_ref()).map_or_else(Vec::new, |_| Deriving::rows(change, knows_late));
        rows.extend(version(change));
        Ok(Derived {
            rows,
            since: if knows_late {
                self.late_since.load(Ordering::SeqCst)
            } else {
                0
            },
            ..Derived::default()
        })
    }

    fn fill(&self, _: &Bytes, _: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        late_rows(key, cell)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: Stored = Stored { value: 5, by: 6 };
    const NEW: Stored = Stored { value: -7, by: 8 };

    fn commands() -> [Command; 5] {
        [
            Input::Put(NEW),
            Input::CompareAndSet {
                expected: Some(5),
                new: NEW,
            },
            Input::CompareAndSet {
                expected: None,
                new: NEW,
            },
            Input::Add { delta: 3, by: 8 },
            Input::Delete { by: 8 },
        ]
        .map(Command)
    }

    #[test]
    fn a_command_in_bytes_does_what_the_typed_one_does() {
        for command in commands() {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            assert_eq!(Command::decode(&bytes), Some(command));
            assert_eq!(Command::decode(&bytes[..bytes.len() - 1]), None);
            for current in [None, Some(encode_cell(OLD))] {
                let typed = command.decide(current.as_ref());
                let encoded = SimulatedCommands::default().decide(&bytes.clone().into(), current.as_ref());
                let encoded = encoded
                    .unwrap()
                    .map(|answer| Answered::decode(&answer.into()).unwrap());
                assert_eq!(typed, encoded, "{command:?} on {current:?}");
            }
        }
        let nothing = SimulatedCommands::default().decide(&Bytes::new(), None);
        assert!(nothing.is_err());
    }

    #[test]
    fn what_changes_nothing_is_kept() {
        let kept = |command: Command, current: Option<&Cell>| {
            matches!(command.decide(current), Verdict::Keep { .. })
        };
        let [put, equal, absent, add, delete] = commands();
        let old = encode_cell(OLD);
        assert_eq!(
            [put, equal, absent, add, delete].map(|command| kept(command, Some(&old))),
            [false, false, true, false, false]
        );
        assert_eq!(
            [put, equal, absent, add, delete].map(|command| kept(command, None)),
            [false, true, false, false, true]
        );
    }

    #[test]
    fn a_cell_with_any_bit_flipped_is_damaged() {
        let cell = encode_cell(OLD);
        assert_eq!(decode_cell(&cell), Some(OLD));
        for bit in 0..cell.len() * 8 {
            let mut bad = cell.to_vec();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_cell(&bad), None, "bit {bit}");
        }
        let verdict = Command(Input::Put(NEW)).decide(Some(&Bytes::from_static(b"no cell")));
        assert_eq!(
            verdict,
            Verdict::Keep {
                answer: Answered::Damaged
            }
        );
    }
}
