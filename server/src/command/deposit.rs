//! Writing an item of a table that is being restored.
//!
//! Invariant: leaders that know that a restore is over refuse it (`derive.rs`), so that nobody who was to restore and comes
//! late takes the place of what clients have written since. Not here: where items come from (`archivist/restore.rs`).

use stator_cluster::{Applier, Cell, Origin, Verdict};
use stator_model::item::Item;

use super::codec::{Cursor, Malformed, put_item};
use super::install::Fits;
use super::{FORMAT_VERSION, kind};

/// Who asks for it: whoever restores the table.
pub(crate) const RESTORER: Origin = 2;

/// The command: the item is this one.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Deposit {
    pub(crate) item: Item,
}

impl Deposit {
    pub(super) fn read(cursor: &mut Cursor<'_>) -> Result<Self, Malformed> {
        let item = cursor.item()?;
        Ok(Self { item })
    }
}

impl Applier for Deposit {
    type Answer = Fits;

    fn decide(&self, current: Option<&Cell>) -> Verdict<Fits> {
        let (cell, answer) = (self.item.stored(), Fits(true));
        if current == Some(cell) {
            return Verdict::Keep { answer };
        }
        let cell = cell.clone();
        Verdict::Put { cell, answer }
    }

    fn answer_unseen(&self) -> Option<Fits> {
        None
    }

    fn origin(&self) -> Origin {
        RESTORER
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[FORMAT_VERSION, kind::DEPOSIT]);
        put_item(into, Some(&self.item));
    }
}
