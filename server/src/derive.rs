//! What follows from a write of an item: rows of the table's indexes, how large its collection becomes, a record of its
//! stream, when it is due, a version in its history.
//!
//! The node's view of the definitions, as the leader of a token range needs it while it decides a write: by the name of the
//! table's keyspace, behind one atomic load. Invariants: what follows is a pure function of definition and images; a view
//! never takes the place of a newer one. Not here: how rows get to where they belong (`stator_cluster`), who makes the
//! rows of items that were there before (`steward.rs`).

mod collection;
pub(crate) mod history;
pub(crate) mod index;
pub(crate) mod stream;
#[cfg(test)]
mod tests;
pub(crate) mod time_to_live;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use arc_swap::ArcSwap;
use bytes::Bytes;
use parking_lot::Mutex;
use stator_cluster::{Cell, CellChange, Derived, DerivedRow, Growth, Route, Unfit};
use stator_model::item::ItemRef;
use uuid::Uuid;

use self::collection::DerivedCollections;
use self::history::DerivedHistory;
use self::index::{DerivedIndex, IndexUnits};
use self::stream::DerivedStream;
use self::time_to_live::DerivedDue;
use crate::catalog::{IndexStatus, TableDefinition};
use crate::command::RESTORER;
use crate::limits::Limits;

/// Kinds of refusals, as the cluster carries them.
pub(crate) mod unfit {
    /// A ValidationException.
    pub(crate) const VALIDATION: u8 = 1;
    /// The stored item cannot be read.
    pub(crate) const INTERNAL: u8 = 2;
    /// An ItemCollectionSizeLimitExceededException.
    pub(crate) const COLLECTION_TOO_LARGE: u8 = 3;
    /// The table is not being restored, or not any more.
    pub(crate) const NOT_RESTORED: u8 = 4;
    /// The table is being deleted, and its last backup is to have all that was written.
    pub(crate) const DELETED: u8 = 5;
}

/// What is to be derived for cells that were there before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Filling {
    /// The rows of an index.
    Index(Uuid),
    /// When items are due.
    Due(Uuid),
    /// Versions of items.
    History(Uuid),
}

impl Filling {
    /// As bytes that [`Filling::decode`] reads.
    pub(crate) fn encode(self) -> Bytes {
        let (kind, id) = match self {
            Self::Index(id) => (1, id),
            Self::Due(id) => (2, id),
            Self::History(id) => (3, id),
        };
        [&[kind], &id.as_bytes()[..]].concat().into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (kind, id) = bytes.split_first()?;
        let id = Uuid::from_slice(id).ok()?;
        match kind {
            1 => Some(Self::Index(id)),
            2 => Some(Self::Due(id)),
            3 => Some(Self::History(id)),
            _ => None,
        }
    }
}

/// What is derived from the items of one table.
#[derive(Debug)]
struct DerivedTable {
    /// The change of the metadata with which this node has found it like this.
    since: u64,
    indexes: Vec<DerivedIndex>,
    collections: Option<DerivedCollections>,
    stream: Option<DerivedStream>,
    due: Option<DerivedDue>,
    history: Option<DerivedHistory>,
}

impl DerivedTable {
    /// As it is found with a change of the metadata; `None` when nothing follows from writes of the table.
    fn new(definition: &TableDefinition, limits: Limits, since: u64) -> Option<Self> {
        let made = definition.indexes.iter();
        let made = made.filter(|index| index.status != IndexStatus::Deleting);
        let table = Self {
            since,
            indexes: made.map(|index| DerivedIndex::new(index, definition)).collect(),
            collections: DerivedCollections::new(definition, limits),
            stream: definition
                .stream()
                .map(|stream| DerivedStream::new(stream, definition)),
            due: (definition.time_to_live.as_ref())
                .filter(|due| due.notes())
                .map(DerivedDue::new),
            history: definition.history.as_ref().map(DerivedHistory::new),
        };
        let is_nothing = table.indexes.is_empty()
            && table.stream.is_none()
            && table.due.is_none()
            && table.history.is_none();
        (!is_nothing).then_some(table)
    }

    /// Whether the same follows from writes as from those of another one.
    fn is_like(&self, other: &Self) -> bool {
        self.indexes == other.indexes
            && self.collections == other.collections
            && self.stream == other.stream
            && self.due == other.due
            && self.history == other.history
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        let images = match Images::of(change) {
            Ok(images) => images,
            Err(unfit) if change.stands => {
                tracing::error!(keyspace = change.keyspace, %unfit, "nothing follows from a write that stands");
                return Ok(Derived::default());
            }
            Err(unfit) => return Err(unfit),
        };
        let (mut rows, mut units) = (Vec::new(), Vec::new());
        for index in &self.indexes {
            units.extend(index.derive(&images, &mut rows)?);
        }
        let sums = self.collections.iter();
        let sums = sums.map(|collections| collections.sum(&images, &rows)).collect();
        if let Some(due) = &self.due {
            due.derive(&images, &mut rows);
        }
        if let Some(stream) = &self.stream {
            rows.push(stream.record(&images, change.origin));
        }
        if let Some(history) = &self.history {
            rows.push(history.version(&images));
        }
        Ok(Derived {
            rows,
            sums,
            note: IndexUnits::encode(&units),
            since: self.since,
        })
    }
}

fn opened(cell: &Cell) -> Result<ItemRef<'_>, Unfit> {
    ItemRef::from_stored(cell).map_err(|error| Unfit {
        code: unfit::INTERNAL,
        reason: error.to_string(),
    })
}

/// A write of an item.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Images<'a> {
    /// Key bytes of the item.
    pub(crate) key: &'a [u8],
    pub(crate) before: Option<ItemRef<'a>>,
    pub(crate) after: Option<ItemRef<'a>>,
    /// Whether it stands already: an index has no row of what does not fit it, where it would refuse the write otherwise.
    pub(crate) stands: bool,
}

impl<'a> Images<'a> {
    fn of(change: &CellChange<'a>) -> Result<Self, Unfit> {
        Ok(Self {
            key: change.key,
            before: change.before.map(opened).transpose()?,
            after: change.after.map(opened).transpose()?,
            stands: change.stands,
        })
    }
}

/// A view of all definitions.
#[derive(Debug, Default)]
struct View {
    /// The change of the metadata up to which it is true.
    known: u64,
    /// By the name of the table's keyspace.
    tables: HashMap<String, DerivedTable>,
    /// The keyspaces of tables whose items are being restored.
    restored: HashSet<String>,
    /// The keyspaces of tables that are being deleted.
    deleted: HashSet<String>,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Derivations {
    limits: Limits,
    view: ArcSwap<View>,
    /// Held while a view takes the place of another.
    changing: Mutex<()>,
}

impl Derivations {
    /// Without any definition.
    pub(crate) fn new(limits: Limits) -> Self {
        Self {
            limits,
            ..Self::default()
        }
    }

    /// Takes the definitions as they are at a change of the metadata, with the names of the tables' keyspaces. A change
    /// that is not newer than the one known changes nothing.
    pub(crate) fn show<'a>(
        &self,
        known: u64,
        tables: impl IntoIterator<Item = (String, &'a TableDefinition)>,
    ) {
        let _changing = self.changing.lock();
        let before = self.view.load();
        if known <= before.known {
            return;
        }
        let mut view = View {
            known,
            ..View::default()
        };
        for (name, definition) in tables {
            if definition.takes_deposits() {
                view.restored.insert(name.clone());
            }
            if definition.deletion.is_some() {
                view.deleted.insert(name.clone());
            }
            if let Some(mut derived) = DerivedTable::new(definition, self.limits, known) {
                let same = before.tables.get(&name).filter(|table| table.is_like(&derived));
                derived.since = same.map_or(known, |table| table.since);
                view.tables.insert(name, derived);
            }
        }
        self.view.store(Arc::new(view));
    }

    /// The change of the metadata up to which definitions are taken into account.
    pub(crate) fn known(&self) -> u64 {
        self.view.load().known
    }

    /// What follows from a write.
    ///
    /// # Errors
    /// [`Unfit`] with the sentence for the client when an index forbids the item, for items that are restored into a table
    /// that is complete, and for all items of a table that is being deleted.
    pub(crate) fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        let view = self.view.load();
        if change.origin == RESTORER && !view.restored.contains(change.keyspace) {
            return Err(Unfit {
                code: unfit::NOT_RESTORED,
                reason: "the table is not being restored".to_owned(),
            });
        }
        if !change.stands && view.deleted.contains(change.keyspace) {
            return Err(Unfit {
                code: unfit::DELETED,
                reason: "the table is being deleted".to_owned(),
            });
        }
        match view.tables.get(change.keyspace) {
            Some(table) => table.derive(change),
            None => Ok(Derived::default()),
        }
    }

    /// The rows of an item that was there before.
    pub(crate) fn fill(&self, filling: &[u8], keyspace: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        let view = self.view.load();
        let (Some(filling), Some(table)) = (Filling::decode(filling), view.tables.get(keyspace)) else {
            return Vec::new();
        };
        let Ok(item) = ItemRef::from_stored(cell) else {
            tracing::error!(
                keyspace,
                "an item cannot be read, and has no row in what is being made"
            );
            return Vec::new();
        };
        let images = Images {
            key,
            before: None,
            after: Some(item),
            stands: false,
        };
        let mut rows = Vec::new();
        match filling {
            Filling::Index(id) => {
                let index = table.indexes.iter().find(|index| index.id() == id);
                // What does not fit has no row; that it does not is told when it is written again.
                if index.is_some_and(|index| index.derive(&images, &mut rows).is_err()) {
                    rows.clear();
                }
            }
            Filling::Due(id) => {
                if let Some(due) = table.due.as_ref().filter(|due| due.id() == id) {
                    due.derive(&images, &mut rows);
                }
            }
            Filling::History(id) => {
                let history = table.history.as_ref();
                let history = history.filter(|history| history.is_filling(id));
                rows.extend(history.map(|history| history.first(key)));
            }
        }
        for row in rows.iter_mut().filter(|row| row.route == Route::Forward) {
            // A part of a fill may come late, or twice, and a write of the cell may have come before it.
            row.growth = Growth::Found;
        }
        rows
    }
}
