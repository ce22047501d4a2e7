//! Write commands: what is asked of the leader of a key, in types and in bytes, and what it answers.
//!
//! A command is decided where the leader is. Made on the same node, it is decided as it is; from another node it comes
//! as bytes (`docs/format/command.md`), in which expressions are their own text and are parsed again. Invariant: the
//! command that is read decides as the one that was written. Which requests become which commands, and in which words
//! they are refused before, is the part of `operation`.

mod answer;
mod change;
mod check;
mod codec;
mod deposit;
mod expire;
mod guard;
mod install;
mod replace;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{
    Answer, Applier, Cell, CellChange, Commands, Derived, DerivedRow, MalformedAnswer, MalformedCommand,
    Origin, Unfit, Verdict,
};
use stator_model::item::{Item, ItemRef};

pub(crate) use answer::{Done, Refusal, Sizes, WriteAnswer};
pub(crate) use change::Change;
pub(crate) use check::Check;
pub(crate) use deposit::{Deposit, RESTORER};
pub(crate) use expire::{Expire, OLDEST_S, SERVICE};
pub(crate) use guard::{Guard, OnFailure, ReturnValues};
pub(crate) use install::{Fits, Install};
pub(crate) use replace::Replace;

use self::change::ReadChange;
use self::check::ReadCheck;
use self::codec::{Cursor, Malformed};
use self::replace::ReadReplace;
use crate::derive::Derivations;

/// Largest item in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: item size".
pub(crate) const ITEM_BYTES_MAX: usize = 400 * 1024;

/// First byte of commands and answers.
const FORMAT_VERSION: u8 = 1;

/// Second byte of a command.
mod kind {
    pub(super) const PUT: u8 = 1;
    pub(super) const DELETE: u8 = 2;
    pub(super) const UPDATE: u8 = 3;
    pub(super) const INSTALL: u8 = 4;
    pub(super) const EXPIRE: u8 = 5;
    pub(super) const CHECK: u8 = 6;
    pub(super) const DEPOSIT: u8 = 7;
}

/// Decides the commands of other nodes, and says what follows from writes.
#[derive(Debug)]
pub(crate) struct WriteCommands {
    derivations: Arc<Derivations>,
}

impl WriteCommands {
    /// With the definitions that the catalog shows there.
    pub(crate) fn new(derivations: Arc<Derivations>) -> Self {
        Self { derivations }
    }
}

/// A command that was read from bytes, which it borrows.
#[derive(Debug)]
enum ReadCommand<'a> {
    Replace(ReadReplace<'a>),
    Change(ReadChange<'a>),
    Install(Install),
    Expire(Expire<'a>),
    Check(ReadCheck<'a>),
    Deposit(Deposit),
}

impl<'a> ReadCommand<'a> {
    /// Reads exactly one command.
    fn read(bytes: &'a Bytes) -> Result<Self, Malformed> {
        let mut cursor = Cursor::new(bytes);
        cursor.version()?;
        let command = match cursor.byte()? {
            kind::PUT => Self::Replace(ReadReplace::read(&mut cursor, true)?),
            kind::DELETE => Self::Replace(ReadReplace::read(&mut cursor, false)?),
            kind::UPDATE => Self::Change(ReadChange::read(&mut cursor)?),
            kind::INSTALL => Self::Install(Install::read(&mut cursor)?),
            kind::EXPIRE => Self::Expire(Expire::read(&mut cursor)?),
            kind::CHECK => Self::Check(ReadCheck::read(&mut cursor)?),
            kind::DEPOSIT => Self::Deposit(Deposit::read(&mut cursor)?),
            other => return Err(Malformed(format!("unknown kind {other} of command"))),
        };
        cursor.end()?;
        Ok(command)
    }
}

impl Commands for WriteCommands {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Ok(match ReadCommand::read(command)? {
            ReadCommand::Replace(read) => decide(&read.command(), current),
            ReadCommand::Change(read) => decide(&read.command(), current),
            ReadCommand::Install(install) => decide(&install, current),
            ReadCommand::Expire(expire) => decide(&expire, current),
            ReadCommand::Check(read) => decide(&read.command(), current),
            ReadCommand::Deposit(deposit) => decide(&deposit, current),
        })
    }

    /// Every answer that does not say that the command was done. Only items are in transactions: puts, deletes, updates and
    /// checks.
    fn is_refusal(&self, answer: &[u8]) -> bool {
        answer::is_refusal(answer)
    }

    fn brief(&self, answer: Vec<u8>) -> Vec<u8> {
        answer::without_item(answer)
    }

    /// The item's size by DynamoDB's rules; 0 for a cell that is no item.
    fn weigh(&self, cell: &[u8]) -> u64 {
        let size = ItemRef::from_stored(cell).map_or(0, ItemRef::size);
        u64::try_from(size).unwrap_or(u64::MAX)
    }

    fn origin(&self, command: &Bytes) -> Origin {
        match command[..] {
            [FORMAT_VERSION, kind::EXPIRE, ..] => SERVICE,
            [FORMAT_VERSION, kind::DEPOSIT, ..] => RESTORER,
            _ => 0,
        }
    }

    fn noted(&self, answer: &[u8], note: &Bytes) -> Result<Vec<u8>, MalformedAnswer> {
        let answer = Bytes::copy_from_slice(answer);
        // The answers of commands that are not about what a client writes have two bytes and no place for a note.
        let Ok(mut written) = WriteAnswer::decode(&answer) else {
            Fits::decode(&answer)?;
            return Ok(answer.to_vec());
        };
        written.note(note);
        let mut bytes = Vec::with_capacity(answer.len() + note.len() + 2);
        written.encode(&mut bytes);
        Ok(bytes)
    }

    fn known(&self) -> u64 {
        self.derivations.known()
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        self.derivations.derive(change)
    }

    fn fill(&self, filling: &Bytes, keyspace: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        self.derivations.fill(filling, keyspace, key, cell)
    }
}

fn decide<A: Applier>(command: &A, current: Option<&Cell>) -> Verdict<Vec<u8>> {
    command.decide(current).map(|answer| {
        let mut bytes = Vec::new();
        answer.encode(&mut bytes);
        bytes
    })
}

/// Opens a cell as an item.
///
/// # Errors
/// [`Refusal::Internal`] when it is none.
pub(crate) fn open(cell: &Cell) -> Result<Item, Refusal> {
    Item::from_stored(cell.clone()).map_err(|error| Refusal::Internal(error.to_string()))
}
