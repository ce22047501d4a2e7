//! The cluster's own rows in the keyspace of group 0, and the commands that write them.
//!
//! Invariant: their keys begin with a byte that no caller's key may begin with. Not here: what follows from them on a
//! node.

use bytes::Bytes;

use crate::command::{Answer, Applier, Cell, MalformedAnswer, MalformedCommand, Verdict};

/// First byte of the keys of the cluster's own rows.
pub(crate) const OWN: u8 = 0;
/// Row of a keyspace; its name follows.
const KEYSPACE: &[u8] = b"\0keyspace/";
/// Row of the layout.
const LAYOUT: &[u8] = b"\0layout";
/// What stands in the row of a keyspace: the version of what may stand there one day.
const KEYSPACE_CELL: &[u8] = &[1];

/// What a row of the cluster's own is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnRow<'a> {
    /// The keyspace of this name.
    Keyspace(&'a str),
    /// The layout.
    Layout,
}

impl<'a> OwnRow<'a> {
    /// Reads a key; `None` for a caller's row, or one that this program does not know.
    pub(crate) fn of_key(key: &'a [u8]) -> Option<Self> {
        if key == LAYOUT {
            return Some(Self::Layout);
        }
        let name = key.strip_prefix(KEYSPACE)?;
        std::str::from_utf8(name).ok().map(Self::Keyspace)
    }

    /// The key.
    pub(crate) fn key(&self) -> Vec<u8> {
        match self {
            Self::Keyspace(name) => [KEYSPACE, name.as_bytes()].concat(),
            Self::Layout => LAYOUT.to_vec(),
        }
    }
}

/// A command on a row of the cluster's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum OwnCommand {
    /// Makes the row of a keyspace unless it is there.
    MakeKeyspace,
    /// Removes the row.
    Remove,
    /// Puts this plan in the place of the one with epoch `from`; 0 if there is none.
    PutLayout {
        /// The epoch of the plan that it was made from.
        from: u64,
        /// Its own.
        epoch: u64,
        /// Its bytes.
        plan: Bytes,
    },
}

const MAKE_KEYSPACE: u8 = 1;
const REMOVE: u8 = 2;
const PUT_LAYOUT: u8 = 3;
const EPOCH_BYTES: usize = 8;

impl OwnCommand {
    pub(crate) fn decode(bytes: &Bytes) -> Result<Self, MalformedCommand> {
        let malformed = || MalformedCommand {
            detail: "it is no command on a row of the cluster".to_owned(),
        };
        match bytes.split_first() {
            Some((&MAKE_KEYSPACE, [])) => Ok(Self::MakeKeyspace),
            Some((&REMOVE, [])) => Ok(Self::Remove),
            Some((&PUT_LAYOUT, rest)) => {
                let (from, rest) = rest.split_first_chunk::<EPOCH_BYTES>().ok_or_else(malformed)?;
                let (epoch, _) = rest.split_first_chunk::<EPOCH_BYTES>().ok_or_else(malformed)?;
                Ok(Self::PutLayout {
                    from: u64::from_le_bytes(*from),
                    epoch: u64::from_le_bytes(*epoch),
                    plan: bytes.slice(1 + 2 * EPOCH_BYTES..),
                })
            }
            _ => Err(malformed()),
        }
    }
}

/// The epoch of the plan in a cell: what [`OwnCommand::PutLayout`] has put before it.
fn epoch_of(cell: &Cell) -> u64 {
    cell.first_chunk::<EPOCH_BYTES>()
        .map_or(0, |epoch| u64::from_le_bytes(*epoch))
}

/// The plan in the cell of its row.
pub(crate) fn plan_of(cell: &[u8]) -> Option<&[u8]> {
    cell.get(EPOCH_BYTES..)
}

/// Whether the command has changed the row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HasChanged(pub(crate) bool);

impl Answer for HasChanged {
    fn encode(&self, into: &mut Vec<u8>) {
        into.push(u8::from(self.0));
    }

    fn decode(bytes: &Bytes) -> Result<Self, MalformedAnswer> {
        match bytes[..] {
            [0] => Ok(Self(false)),
            [1] => Ok(Self(true)),
            _ => Err(MalformedAnswer {
                detail: "it is neither yes nor no".to_owned(),
            }),
        }
    }
}

impl Applier for OwnCommand {
    type Answer = HasChanged;

    fn decide(&self, current: Option<&Cell>) -> Verdict<HasChanged> {
        let kept = Verdict::Keep {
            answer: HasChanged(false),
        };
        let answer = HasChanged(true);
        match (self, current) {
            (Self::MakeKeyspace, None) => Verdict::Put {
                cell: Bytes::from_static(KEYSPACE_CELL),
                answer,
            },
            (Self::Remove, Some(_)) => Verdict::Delete { answer },
            (Self::MakeKeyspace, Some(_)) | (Self::Remove, None) => kept,
            (Self::PutLayout { from, epoch, plan }, current) => {
                if current.map_or(0, epoch_of) != *from {
                    return kept;
                }
                let cell = [&epoch.to_le_bytes(), &plan[..]].concat().into();
                Verdict::Put { cell, answer }
            }
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::MakeKeyspace => into.push(MAKE_KEYSPACE),
            Self::Remove => into.push(REMOVE),
            Self::PutLayout { from, epoch, plan } => {
                into.push(PUT_LAYOUT);
                into.extend_from_slice(&from.to_le_bytes());
                into.extend_from_slice(&epoch.to_le_bytes());
                into.extend_from_slice(plan);
            }
        }
    }

    fn answer_unseen(&self) -> Option<HasChanged> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_commands_come_back() {
        for row in [OwnRow::Keyspace("table/7"), OwnRow::Keyspace(""), OwnRow::Layout] {
            let key = row.key();
            assert_eq!((key[0], OwnRow::of_key(&key)), (OWN, Some(row)));
        }
        assert_eq!(OwnRow::of_key(b"table/7"), None);
        let plan = Bytes::from_static(b"plan");
        for command in [
            OwnCommand::MakeKeyspace,
            OwnCommand::Remove,
            OwnCommand::PutLayout {
                from: 6,
                epoch: 7,
                plan,
            },
        ] {
            let mut bytes = Vec::new();
            command.encode(&mut bytes);
            assert_eq!(OwnCommand::decode(&bytes.into()), Ok(command));
        }
        for bytes in [&[][..], &[9], &[1, 1], &[3, 1]] {
            assert!(OwnCommand::decode(&Bytes::copy_from_slice(bytes)).is_err());
        }
    }

    #[test]
    fn a_plan_takes_the_place_of_the_one_that_it_was_made_from_only() {
        let put = |from, epoch| OwnCommand::PutLayout {
            from,
            epoch,
            plan: Bytes::from_static(b"x"),
        };
        assert!(matches!(put(1, 4).decide(None), Verdict::Keep { .. }));
        let Verdict::Put { cell, .. } = put(0, 4).decide(None) else {
            panic!("the first one counts");
        };
        assert_eq!(plan_of(&cell), Some(&b"x"[..]));
        for from in [0, 3, 5] {
            assert!(matches!(put(from, 6).decide(Some(&cell)), Verdict::Keep { .. }));
        }
        assert!(matches!(put(4, 6).decide(Some(&cell)), Verdict::Put { .. }));
    }

    #[test]
    fn a_keyspace_is_made_once_and_removed_once() {
        let made = Bytes::from_static(KEYSPACE_CELL);
        assert!(matches!(
            OwnCommand::MakeKeyspace.decide(None),
            Verdict::Put { .. }
        ));
        assert!(matches!(
            OwnCommand::MakeKeyspace.decide(Some(&made)),
            Verdict::Keep { .. }
        ));
        assert!(matches!(
            OwnCommand::Remove.decide(Some(&made)),
            Verdict::Delete { .. }
        ));
        assert!(matches!(OwnCommand::Remove.decide(None), Verdict::Keep { .. }));
    }
}
