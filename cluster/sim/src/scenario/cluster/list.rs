//! Cells that are lists, which commands of transactions append to, and what those commands answer.
//!
//! Invariant: what is appended says who has done it, so that the lists at the end tell in which order transactions took
//! place. All numbers are little-endian.

use bytes::{Buf, BufMut, Bytes};
use stator_cluster::{Answer, Applier, Cell, MalformedAnswer, Verdict};

/// First byte of commands on lists; those on other cells begin with less.
const APPEND: u8 = 5;
const CHECK: u8 = 6;
/// First byte of answers; those of other commands begin with less.
const DONE: u8 = 16;
const REFUSED: u8 = 17;

/// What a transaction has appended: its number, and by how much the account changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Item {
    pub(super) by: u64,
    pub(super) delta: i64,
}

/// A list.
pub(super) type List = Vec<Item>;

/// A command on a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListCommand {
    /// Appends.
    Append(Item),
    /// Refuses unless the list is so long.
    Check { length: u64 },
}

/// What a command answers: the list before, and whether it was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListAnswer {
    pub(super) before: List,
    pub(super) is_refused: bool,
}

/// The list in a cell; `None` when its bytes are those of none.
pub(super) fn decode_list(mut bytes: &[u8]) -> Option<List> {
    let mut list = List::new();
    while !bytes.is_empty() {
        let by = bytes.try_get_u64_le().ok()?;
        let delta = bytes.try_get_i64_le().ok()?;
        list.push(Item { by, delta });
    }
    Some(list)
}

fn encode_list(list: &[Item]) -> Bytes {
    let mut bytes = Vec::with_capacity(list.len() * 16);
    for item in list {
        bytes.put_u64_le(item.by);
        bytes.put_i64_le(item.delta);
    }
    bytes.into()
}

/// Whether bytes are a command on a list.
pub(super) fn is_command(bytes: &[u8]) -> bool {
    matches!(bytes.first(), Some(&(APPEND | CHECK)))
}

/// Whether bytes are an answer that refuses.
pub(super) fn is_refusal(bytes: &[u8]) -> bool {
    bytes.first() == Some(&REFUSED)
}

impl ListCommand {
    /// Reads a command.
    pub(super) fn decode(mut bytes: &[u8]) -> Option<Self> {
        let command = match bytes.try_get_u8().ok()? {
            APPEND => Self::Append(Item {
                by: bytes.try_get_u64_le().ok()?,
                delta: bytes.try_get_i64_le().ok()?,
            }),
            CHECK => Self::Check {
                length: bytes.try_get_u64_le().ok()?,
            },
            _ => return None,
        };
        bytes.is_empty().then_some(command)
    }
}

impl Applier for ListCommand {
    type Answer = ListAnswer;

    fn decide(&self, current: Option<&Cell>) -> Verdict<ListAnswer> {
        let before = current.map_or_else(|| Some(List::new()), |cell| decode_list(cell));
        let Some(before) = before else {
            // Bytes that nobody wrote.
            let before = List::new();
            let is_refused = true;
            return Verdict::Keep {
                answer: ListAnswer { before, is_refused },
            };
        };
        match *self {
            Self::Append(item) => Verdict::Put {
                cell: encode_list(&[&before[..], &[item]].concat()),
                answer: ListAnswer {
                    before,
                    is_refused: false,
                },
            },
            Self::Check { length } => Verdict::Keep {
                answer: ListAnswer {
                    is_refused: before.len() as u64 != length,
                    before,
                },
            },
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        match *self {
            Self::Append(Item { by, delta }) => {
                into.put_u8(APPEND);
                into.put_u64_le(by);
                into.put_i64_le(delta);
            }
            Self::Check { length } => {
                into.put_u8(CHECK);
                into.put_u64_le(length);
            }
        }
    }

    fn answer_unseen(&self) -> Option<ListAnswer> {
        None
    }
}

impl Answer for ListAnswer {
    fn encode(&self, into: &mut Vec<u8>) {
        into.put_u8(if self.is_refused { REFUSED } else { DONE });
        into.extend_from_slice(&encode_list(&self.before));
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        let malformed = || MalformedAnswer {
            detail: format!("{} bytes are no answer about a list", bytes.len()),
        };
        let (kind, list) = bytes.split_first().ok_or_else(malformed)?;
        let is_refused = match *kind {
            DONE => false,
            REFUSED => true,
            _ => return Err(malformed()),
        };
        let before = decode_list(list).ok_or_else(malformed)?;
        Ok(Self { before, is_refused })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_answers_come_back_and_say_what_they_did() {
        let (one, two) = (Item { by: 7, delta: -3 }, Item { by: 8, delta: 3 });
        for command in [ListCommand::Append(two), ListCommand::Check { length: 1 }] {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            assert!(is_command(&bytes));
            assert_eq!(ListCommand::decode(&bytes), Some(command));
            assert_eq!(ListCommand::decode(&bytes[1..]), None);
        }
        let cell = encode_list(&[one]);
        let Verdict::Put { cell: after, answer } = ListCommand::Append(two).decide(Some(&cell)) else {
            panic!("it appends")
        };
        assert_eq!(decode_list(&after), Some(vec![one, two]));
        assert_eq!(answer.before, [one]);
        for (length, is_refused) in [(1, false), (2, true)] {
            let Verdict::Keep { answer } = (ListCommand::Check { length }).decide(Some(&cell)) else {
                panic!("it changes nothing")
            };
            assert_eq!(answer.is_refused, is_refused);
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            assert_eq!(is_refusal(&bytes), is_refused);
            assert_eq!(ListAnswer::decode(&bytes.into()), Ok(answer));
        }
    }
}
