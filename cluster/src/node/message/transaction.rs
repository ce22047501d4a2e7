//! What nodes ask each other about transactions.
//!
//! Invariant: as that of the other messages. Not here: carrying out.

use bytes::Bytes;
use prost::Message;

use super::MaybeCell;
use crate::command::InvocationId;
use crate::derive::Unfit;
use crate::group::mark::Mark;
use crate::group::replica::Refused;
use crate::group::see::Seen;
use crate::group::transact::{CellCommand, Judgement};
use crate::ledger::CancelledCall;
use crate::transaction::{Reason, TransactionId};

/// How many bytes of cells an answer to [`See`] may have: half of a message, which leaves enough for what is around them.
const SEEN_BYTES_MAX: u64 = 8 << 20;

/// A command on a cell.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct CommandOn {
    #[prost(uint32, tag = "1")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) key: Bytes,
    #[prost(bytes = "bytes", tag = "3")]
    pub(crate) command: Bytes,
}

/// The part of a group in a transaction: to be prepared, or to be carried out if there are no others.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct Part {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) transaction: Bytes,
    #[prost(message, repeated, tag = "3")]
    pub(crate) commands: Vec<CommandOn>,
    /// The key of its row in the ledger, for what is to be prepared.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) ledger: Bytes,
    /// The mark that it is to leave, for what is to be carried out.
    #[prost(message, optional, tag = "5")]
    pub(crate) mark: Option<MarkMessage>,
    /// How many replicas are to have it, for what is to be carried out.
    #[prost(uint32, tag = "6")]
    pub(crate) level: u32,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct MarkMessage {
    #[prost(uint32, tag = "1")]
    pub(crate) keyspace: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) key: Bytes,
    #[prost(uint64, tag = "3")]
    pub(crate) at_ms: u64,
    /// 16 bytes; none from nodes that do not repeat.
    #[prost(bytes = "bytes", tag = "4")]
    pub(crate) call: Bytes,
    #[prost(bool, tag = "5")]
    pub(crate) is_repeated: bool,
}

impl Part {
    pub(crate) fn new(group: u32, transaction: TransactionId, commands: &[CellCommand]) -> Self {
        let command = |command: &CellCommand| CommandOn {
            keyspace: command.keyspace,
            key: command.key.clone(),
            command: command.command.clone(),
        };
        Self {
            group,
            transaction: id_bytes(transaction),
            commands: commands.iter().map(command).collect(),
            ..Self::default()
        }
    }

    pub(crate) fn take_commands(&mut self) -> Vec<CellCommand> {
        let commands = std::mem::take(&mut self.commands).into_iter();
        commands
            .map(|command| CellCommand {
                keyspace: command.keyspace,
                key: command.key,
                command: command.command,
            })
            .collect()
    }

    pub(crate) fn take_mark(&mut self) -> Option<Mark> {
        self.mark.take().map(|mark| Mark {
            keyspace: mark.keyspace,
            key: mark.key,
            at_ms: mark.at_ms,
            call: call_of(&mark.call),
            is_repeated: mark.is_repeated && !mark.call.is_empty(),
        })
    }
}

impl From<&Mark> for MarkMessage {
    fn from(mark: &Mark) -> Self {
        Self {
            keyspace: mark.keyspace,
            key: mark.key.clone(),
            at_ms: mark.at_ms,
            call: Bytes::copy_from_slice(mark.call.as_bytes()),
            is_repeated: mark.is_repeated,
        }
    }
}

/// How a part that was prepared ends.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct End {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// 16 bytes.
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) transaction: Bytes,
    /// The entry that has prepared it, if it is to be carried out; 0 to let it go.
    #[prost(uint64, tag = "3")]
    pub(crate) prepared_at: u64,
    /// How many replicas are to have it.
    #[prost(uint32, tag = "4")]
    pub(crate) level: u32,
    /// The time of the versions that follow from it, in milliseconds since the Unix epoch; 0 if none do.
    #[prost(uint64, tag = "5")]
    pub(crate) at_ms: u64,
}

/// Cells to be read together.
#[derive(Clone, PartialEq, Message)]
pub(crate) struct See {
    #[prost(uint32, tag = "1")]
    pub(crate) group: u32,
    /// Keyspaces of the keys.
    #[prost(uint32, repeated, tag = "2")]
    pub(crate) keyspaces: Vec<u32>,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) keys: Vec<Bytes>,
    /// Only whether they were written since this entry.
    #[prost(uint64, optional, tag = "4")]
    pub(crate) since: Option<u64>,
    /// How many bytes of cells may be answered; the first cell always is, and those that have no room are left out, to be asked
    /// for again. 0 from nodes that do not ask again.
    #[prost(uint64, tag = "5")]
    pub(crate) bytes_max: u64,
}

impl See {
    pub(crate) fn new(group: u32, keys: &[(u32, Bytes)], since: Option<u64>) -> Self {
        Self {
            group,
            keyspaces: keys.iter().map(|(keyspace, _)| *keyspace).collect(),
            keys: keys.iter().map(|(_, key)| key.clone()).collect(),
            since,
            bytes_max: SEEN_BYTES_MAX,
        }
    }

    /// How many bytes of cells may be answered.
    pub(crate) fn room(&self) -> usize {
        match self.bytes_max {
            0 => usize::MAX,
            bytes => usize::try_from(bytes).unwrap_or(usize::MAX),
        }
    }

    pub(crate) fn take_keys(&mut self) -> Vec<(u32, Bytes)> {
        let keyspaces = std::mem::take(&mut self.keyspaces).into_iter();
        keyspaces.zip(std::mem::take(&mut self.keys)).collect()
    }
}

/// What has come of [`See`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct SeenMessage {
    /// 1 cells, 2 unchanged, 3 busy.
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) applied: u64,
    #[prost(message, repeated, tag = "3")]
    pub(crate) cells: Vec<MaybeCell>,
    #[prost(bool, repeated, tag = "4")]
    pub(crate) busy: Vec<bool>,
}

impl From<Seen> for SeenMessage {
    fn from(seen: Seen) -> Self {
        match seen {
            Seen::Cells { applied, cells } => Self {
                kind: 1,
                applied,
                cells: cells.into_iter().map(|cell| MaybeCell { cell }).collect(),
                busy: Vec::new(),
            },
            Seen::Unchanged => Self {
                kind: 2,
                ..Self::default()
            },
            Seen::Busy(busy) => Self {
                kind: 3,
                busy,
                ..Self::default()
            },
        }
    }
}

impl SeenMessage {
    pub(crate) fn read(self) -> Option<Seen> {
        Some(match self.kind {
            1 => Seen::Cells {
                applied: self.applied,
                cells: self.cells.into_iter().map(|cell| cell.cell).collect(),
            },
            2 => Seen::Unchanged,
            3 => Seen::Busy(self.busy),
            _ => return None,
        })
    }
}

/// What has come of [`Part`].
#[derive(Clone, PartialEq, Message)]
pub(crate) struct JudgementMessage {
    /// 1 fits, 2 was done before, 3 refused, 4 refused for good.
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(uint64, tag = "2")]
    pub(crate) index: u64,
    #[prost(bytes = "bytes", repeated, tag = "3")]
    pub(crate) answers: Vec<Bytes>,
    #[prost(message, repeated, tag = "4")]
    pub(crate) reasons: Vec<ReasonMessage>,
    /// The call that was told so, of what is refused for good.
    #[prost(bytes = "bytes", tag = "5")]
    pub(crate) call: Bytes,
    /// When its try began; of what fits a time that is not before any version of its cells. In milliseconds since the Unix
    /// epoch.
    #[prost(uint64, tag = "6")]
    pub(crate) at_ms: u64,
}

#[derive(Clone, PartialEq, Message)]
pub(crate) struct ReasonMessage {
    /// 0 none, 1 refused by the command, 2 conflict, 3 unfit.
    #[prost(uint32, tag = "1")]
    pub(crate) kind: u32,
    #[prost(bytes = "bytes", tag = "2")]
    pub(crate) answer: Bytes,
    #[prost(uint32, tag = "3")]
    pub(crate) code: u32,
    #[prost(string, tag = "4")]
    pub(crate) why: String,
}

impl From<Option<Reason>> for ReasonMessage {
    fn from(reason: Option<Reason>) -> Self {
        match reason {
            None => Self::default(),
            Some(Reason::Refused(answer)) => Self {
                kind: 1,
                answer,
                ..Self::default()
            },
            Some(Reason::Conflict) => Self {
                kind: 2,
                ..Self::default()
            },
            Some(Reason::Unfit(Unfit { code, reason })) => Self {
                kind: 3,
                code: u32::from(code),
                why: reason,
                ..Self::default()
            },
        }
    }
}

impl ReasonMessage {
    fn read(self) -> Option<Reason> {
        Some(match self.kind {
            0 => return None,
            1 => Reason::Refused(self.answer),
            3 => Reason::Unfit(Unfit {
                code: u8::try_from(self.code).unwrap_or_default(),
                reason: self.why,
            }),
            // Whatever else it may be one day, it is in the way.
            _ => Reason::Conflict,
        })
    }
}

impl From<Judgement> for JudgementMessage {
    fn from(judgement: Judgement) -> Self {
        match judgement {
            Judgement::Fits {
                index,
                at_ms,
                answers,
            } => Self {
                kind: 1,
                index,
                at_ms,
                answers,
                ..Self::default()
            },
            Judgement::Before { answers } => Self {
                kind: 2,
                answers,
                ..Self::default()
            },
            Judgement::Refused(reasons) => Self {
                kind: 3,
                reasons: reasons.into_iter().map(ReasonMessage::from).collect(),
                ..Self::default()
            },
            Judgement::Closed(CancelledCall { at_ms, call, reasons }) => Self {
                kind: 4,
                reasons: reasons.into_iter().map(ReasonMessage::from).collect(),
                call: Bytes::copy_from_slice(call.as_bytes()),
                at_ms,
                ..Self::default()
            },
        }
    }
}

impl JudgementMessage {
    pub(crate) fn read(self) -> Option<Judgement> {
        Some(match self.kind {
            1 => Judgement::Fits {
                index: self.index,
                at_ms: self.at_ms,
                answers: self.answers,
            },
            2 => Judgement::Before {
                answers: self.answers,
            },
            3 => Judgement::Refused(self.reasons.into_iter().map(ReasonMessage::read).collect()),
            4 => Judgement::Closed(CancelledCall {
                at_ms: self.at_ms,
                call: call_of(&self.call),
                reasons: self.reasons.into_iter().map(ReasonMessage::read).collect(),
            }),
            _ => return None,
        })
    }
}

/// The call that a message names; none of a client's if it names none.
fn call_of(bytes: &Bytes) -> InvocationId {
    InvocationId::new(bytes[..].try_into().unwrap_or_default())
}

pub(crate) fn id_bytes(transaction: TransactionId) -> Bytes {
    Bytes::copy_from_slice(&transaction.0)
}

/// The id in a question.
///
/// # Errors
/// A malformed command.
pub(crate) fn id_of(bytes: &Bytes) -> Result<TransactionId, Refused> {
    TransactionId::read(bytes).ok_or_else(|| {
        let detail = "the id of its transaction has a wrong length".to_owned();
        Refused::Finally(crate::command::MalformedCommand { detail }.into())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_come_of_parts_and_looks_comes_back() {
        let unfit = Unfit {
            code: 3,
            reason: "it does not fit".to_owned(),
        };
        let reasons = vec![
            None,
            Some(Reason::Refused(Bytes::from_static(b"no"))),
            Some(Reason::Conflict),
            Some(Reason::Unfit(unfit)),
        ];
        let answers = vec![Bytes::from_static(b"a"), Bytes::new()];
        for judgement in [
            Judgement::Fits {
                index: 7,
                at_ms: 9,
                answers: answers.clone(),
            },
            Judgement::Before { answers },
            Judgement::Refused(reasons.clone()),
            Judgement::Closed(CancelledCall {
                at_ms: 5,
                call: InvocationId::new([7; 16]),
                reasons,
            }),
        ] {
            let bytes = JudgementMessage::from(judgement.clone()).encode_to_vec();
            let read = JudgementMessage::decode(&bytes[..]).unwrap().read();
            assert_eq!(read, Some(judgement));
        }
        assert_eq!(
            See::default().room(),
            usize::MAX,
            "nodes that do not ask again get all"
        );
        for seen in [
            Seen::Cells {
                applied: 9,
                cells: vec![Some(Bytes::new()), None],
            },
            Seen::Unchanged,
            Seen::Busy(vec![true, false]),
        ] {
            let bytes = SeenMessage::from(seen.clone()).encode_to_vec();
            assert_eq!(SeenMessage::decode(&bytes[..]).unwrap().read(), Some(seen));
        }
    }
}
