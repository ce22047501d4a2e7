//! Deleting an item whose time has come.
//!
//! Invariant: an item goes only if it is due by what its attribute says when this is decided, so that a write that came
//! between keeps it. Not here: finding items that may be due (`sweeper.rs`).
//!
//! Rules: Amazon DynamoDB Developer Guide, "Using time to live (TTL)": a time that lies more than five years back is none.

use stator_cluster::{Applier, Cell, Origin, Verdict};
use stator_model::codec::write_length;
use stator_model::item::ItemRef;

use super::codec::{Cursor, Malformed, put_bytes};
use super::install::Fits;
use super::{FORMAT_VERSION, kind};
use crate::derive::time_to_live::due_s;

/// Who asks for it, as stream records say: the service itself.
pub(crate) const SERVICE: Origin = 1;

/// Times that lie further back are none, in seconds: five years.
pub(crate) const OLDEST_S: u64 = 5 * 365 * 24 * 60 * 60;

/// The command: the item goes if it is due at `now_s`. Answers whether it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Expire<'a> {
    /// The attribute that says when.
    pub(crate) attribute: &'a str,
    /// Seconds since the Unix epoch.
    pub(crate) now_s: u64,
}

impl<'a> Expire<'a> {
    pub(super) fn read(cursor: &mut Cursor<'a>) -> Result<Self, Malformed> {
        let attribute = cursor.text()?;
        let now_s = u64::try_from(cursor.length()?).map_err(|error| Malformed(error.to_string()))?;
        Ok(Self { attribute, now_s })
    }

    fn is_due(&self, cell: &Cell) -> bool {
        let item = ItemRef::from_stored(cell).ok();
        let value = item.and_then(|item| item.get(self.attribute.as_bytes()));
        let oldest = self.now_s.saturating_sub(OLDEST_S);
        value
            .and_then(due_s)
            .is_some_and(|due| due <= self.now_s && due >= oldest)
    }
}

impl Applier for Expire<'_> {
    type Answer = Fits;

    fn decide(&self, current: Option<&Cell>) -> Verdict<Fits> {
        if current.is_some_and(|cell| self.is_due(cell)) {
            Verdict::Delete { answer: Fits(true) }
        } else {
            Verdict::Keep { answer: Fits(false) }
        }
    }

    fn answer_unseen(&self) -> Option<Fits> {
        None
    }

    fn origin(&self) -> Origin {
        SERVICE
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[FORMAT_VERSION, kind::EXPIRE]);
        put_bytes(into, self.attribute.as_bytes());
        write_length(into, usize::try_from(self.now_s).unwrap_or(usize::MAX));
    }
}
