//! Secondary indexes: from an item to its row in an index, and what of the item the row has.
//!
//! Layout (`docs/format/key.md`): token, then each key attribute escaped and terminated, hash attributes first, then the
//! key of the table, so that rows with equal index keys have keys of their own. Invariants: the rows of one set of hash
//! values are one run, in the order of the range attributes; no run is inside another. A row is there exactly if the
//! item has all key attributes of the index ("sparse"). Not here: when rows change (`server`).
//!
//! Rules: Amazon DynamoDB Developer Guide, "Using Global Secondary Indexes", "Local Secondary Indexes".

use crate::attribute::{Kind, RawValue};
use crate::item::{Item, ItemRef};
use crate::key::{self, KeyAttribute, KeyError, KeyRole, KeySchema};

/// Where the rows of an index lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IndexKind {
    /// Beside the items: it has the table's partition key.
    Local,
    /// Anywhere.
    Global,
}

/// Which attributes of an item its row has beside the keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// None.
    KeysOnly,
    /// These.
    Include(Vec<String>),
    /// All.
    All,
}

/// The keys of an index of a table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IndexKeys {
    kind: IndexKind,
    hash: Vec<KeyAttribute>,
    range: Vec<KeyAttribute>,
    table: KeySchema,
    /// Mixed into the token: the table's for a local index, the index's own for a global one.
    seed: u64,
}

/// An attribute that an item cannot have because an index has it for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    /// What is wrong.
    pub error: KeyError,
    /// Name of the attribute.
    pub attribute: String,
}

impl IndexKeys {
    /// The keys of a local index: the table's partition key and another attribute.
    pub fn local(table: &KeySchema, sort: KeyAttribute, table_seed: u64) -> Self {
        Self {
            kind: IndexKind::Local,
            hash: vec![table.partition.clone()],
            range: vec![sort],
            table: table.clone(),
            seed: table_seed,
        }
    }

    /// The keys of a global index, `hash` of which there is at least one.
    pub fn global(table: &KeySchema, hash: Vec<KeyAttribute>, range: Vec<KeyAttribute>, seed: u64) -> Self {
        Self {
            kind: IndexKind::Global,
            hash,
            range,
            table: table.clone(),
            seed,
        }
    }

    /// Where its rows lie.
    pub fn kind(&self) -> IndexKind {
        self.kind
    }

    /// The attributes that are hashed together.
    pub fn hash(&self) -> &[KeyAttribute] {
        &self.hash
    }

    /// The attributes that order rows of equal hash attributes, the most significant first.
    pub fn range(&self) -> &[KeyAttribute] {
        &self.range
    }

    /// The key attributes of the index with their roles.
    pub fn attributes(&self) -> impl Iterator<Item = (KeyRole, &KeyAttribute)> {
        let hash = self.hash.iter().map(|attribute| (KeyRole::Partition, attribute));
        hash.chain(self.range.iter().map(|attribute| (KeyRole::Sort, attribute)))
    }

    /// True for an attribute of the index's own key.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.attributes()
            .any(|(_, attribute)| attribute.name.as_bytes() == name)
    }

    /// True for an attribute that every row has: keys of the index and of the table.
    pub fn is_in_every_row(&self, name: &[u8]) -> bool {
        self.contains(name) || self.table.contains(name)
    }

    /// The key of an item's row; `None` when the item lacks a key attribute of the index.
    ///
    /// # Errors
    /// [`Misfit`] when a key attribute of the index has another type, no bytes, or too many.
    pub fn row_key(&self, item: ItemRef<'_>) -> Result<Option<Vec<u8>>, Misfit> {
        let mut components = Vec::with_capacity(self.hash.len() + self.range.len());
        let mut is_whole = true;
        for (role, attribute) in self.attributes() {
            match item.get(attribute.name.as_bytes()) {
                None => is_whole = false,
                Some(value) => {
                    let component = key::check_component(attribute, role, value);
                    components.push(component.map_err(|error| Misfit {
                        error,
                        attribute: attribute.name.clone(),
                    })?);
                }
            }
        }
        if !is_whole {
            return Ok(None);
        }
        // An item without its table's key has no row, as it is none.
        Ok(self.encode(&components, item).ok())
    }

    /// The key of a row from the attributes that identify it: those of both keys, and nothing else.
    ///
    /// # Errors
    /// [`KeyError`].
    pub fn row_of_key(&self, key: ItemRef<'_>) -> Result<Vec<u8>, KeyError> {
        let mut components = Vec::with_capacity(self.hash.len() + self.range.len());
        for (role, attribute) in self.attributes() {
            let value = key
                .get(attribute.name.as_bytes())
                .ok_or_else(|| KeyError::Missing {
                    name: attribute.name.clone(),
                })?;
            components.push(key::check_component(attribute, role, value)?);
        }
        let row = self.encode(&components, key)?;
        if key.iter().any(|(name, _)| !self.is_in_every_row(name)) {
            return Err(KeyError::Surplus);
        }
        Ok(row)
    }

    /// The token of rows with these hash values, as [`key::check_component`] gives their bytes.
    pub fn token(&self, hash: &[&[u8]]) -> u64 {
        if let (IndexKind::Local, [partition]) = (self.kind, hash) {
            return key::token(self.seed, partition);
        }
        let mut together = Vec::new();
        for component in hash {
            key::escape(&mut together, component);
        }
        key::token(self.seed, &together)
    }

    /// What all rows with these hash values begin with.
    pub fn prefix(&self, hash: &[&[u8]]) -> Vec<u8> {
        let mut bytes = self.token(hash).to_be_bytes().to_vec();
        for component in hash {
            key::escape(&mut bytes, component);
        }
        bytes
    }

    fn encode(&self, components: &[&[u8]], item: ItemRef<'_>) -> Result<Vec<u8>, KeyError> {
        let (hash, range) = components.split_at(self.hash.len());
        let mut bytes = self.prefix(hash);
        for component in range {
            key::escape(&mut bytes, component);
        }
        for (role, attribute) in self.table.attributes() {
            let value = item
                .get(attribute.name.as_bytes())
                .ok_or_else(|| KeyError::Missing {
                    name: attribute.name.clone(),
                })?;
            let component = key::check_component(attribute, role, value)?;
            match (role, self.kind) {
                // It is the hash key of the index already.
                (KeyRole::Partition, IndexKind::Local) => {}
                (KeyRole::Partition, IndexKind::Global) => key::escape(&mut bytes, component),
                (KeyRole::Sort, _) => bytes.extend_from_slice(component),
            }
        }
        Ok(bytes)
    }

    /// What a row has of an item. For [`Projection::All`] that is the item.
    pub fn project(&self, projection: &Projection, item: ItemRef<'_>) -> Item {
        match projection {
            Projection::All => item.to_owned(),
            Projection::KeysOnly => Item::build(item.iter().filter(|(name, _)| self.is_in_every_row(name))),
            Projection::Include(names) => Item::build(item.iter().filter(|(name, _)| {
                self.is_in_every_row(name) || names.iter().any(|included| included.as_bytes() == *name)
            })),
        }
    }

    /// The attributes that identify a row, of the row.
    pub fn key_of_row(&self, row: ItemRef<'_>) -> Item {
        Item::build(row.iter().filter(|(name, _)| self.is_in_every_row(name)))
    }

    /// The bytes of a value that can be this attribute of the key.
    ///
    /// # Errors
    /// As [`key::check_component`].
    pub fn component<'a>(
        attribute: &KeyAttribute,
        role: KeyRole,
        value: RawValue<'a>,
    ) -> Result<&'a [u8], KeyError> {
        key::check_component(attribute, role, value)
    }

    /// The type of an attribute of either key.
    pub fn kind_of(&self, name: &[u8]) -> Option<Kind> {
        let table = self.table.attributes();
        self.attributes()
            .chain(table)
            .find(|(_, attribute)| attribute.name.as_bytes() == name)
            .map(|(_, attribute)| attribute.kind)
    }
}

impl Projection {
    /// Whether a row has an attribute of its item, with these keys.
    pub fn has(&self, keys: &IndexKeys, name: &[u8]) -> bool {
        match self {
            Self::All => true,
            Self::KeysOnly => keys.is_in_every_row(name),
            Self::Include(names) => {
                keys.is_in_every_row(name) || names.iter().any(|included| included.as_bytes() == name)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;
    use crate::item::ItemWriter;
    use crate::number::Number;

    fn attribute(name: &str, kind: Kind) -> KeyAttribute {
        KeyAttribute {
            name: name.into(),
            kind,
        }
    }

    fn table() -> KeySchema {
        KeySchema {
            partition: attribute("pk", Kind::Binary),
            sort: Some(attribute("sk", Kind::Number)),
        }
    }

    /// Two hash and two range attributes.
    fn global() -> IndexKeys {
        let hash = vec![attribute("h1", Kind::Binary), attribute("h2", Kind::Binary)];
        let range = vec![attribute("r1", Kind::Number), attribute("r2", Kind::Binary)];
        IndexKeys::global(&table(), hash, range, 9)
    }

    fn item(pk: &[u8], sk: i32, more: &[(&str, &[u8])], number: Option<i32>) -> Item {
        let mut item = ItemWriter::with_capacity(64);
        let parse = |number: i32| Number::parse(&number.to_string()).unwrap();
        item.writer().name(b"pk");
        item.writer().binary(pk);
        item.writer().name(b"sk");
        item.writer().number(&parse(sk));
        for (name, value) in more {
            item.writer().name(name.as_bytes());
            item.writer().binary(value);
        }
        if let Some(number) = number {
            item.writer().name(b"r1");
            item.writer().number(&parse(number));
        }
        item.finish()
    }

    proptest! {
        #[test]
        fn rows_stand_in_the_order_of_their_keys(
            rows in vec(
                (vec(0_u8..3, 1..3), vec(0_u8..3, 1..3), -9..9_i32, vec(0_u8..3, 1..3), vec(0_u8..3, 1..3), -9..9_i32),
                1..40,
            ),
        ) {
            let keys = global();
            let mut stored = BTreeMap::new();
            for (h1, h2, r1, r2, pk, sk) in rows {
                let item = item(&pk, sk, &[("h1", &h1), ("h2", &h2), ("r2", &r2)], Some(r1));
                let key = keys.row_key(item.as_ref()).unwrap().unwrap();
                prop_assert!(key.starts_with(&keys.prefix(&[&h1, &h2])));
                let identity = keys.key_of_row(item.as_ref());
                prop_assert_eq!(keys.row_of_key(identity.as_ref()).unwrap(), key.clone());
                let before = stored.insert(key, (h1, h2, r1, r2, pk, sk));
                prop_assert!(before.is_none_or(|before| stored.values().any(|row| *row == before)));
            }
            let runs: Vec<_> = stored.values().collect();
            for pair in runs.windows(2) {
                let same = pair[0].0 == pair[1].0 && pair[0].1 == pair[1].1;
                if same {
                    prop_assert!(pair[0] < pair[1], "{:?} before {:?}", pair[0], pair[1]);
                }
            }
            // Each set of hash values is one run.
            let mut seen: Vec<(&Vec<u8>, &Vec<u8>)> = runs.iter().map(|row| (&row.0, &row.1)).collect();
            seen.dedup();
            let count = seen.len();
            seen.sort();
            seen.dedup();
            prop_assert_eq!(seen.len(), count);
        }
    }

    #[test]
    fn an_item_without_a_key_attribute_has_no_row() {
        let keys = global();
        let whole = item(b"p", 1, &[("h1", b"a"), ("h2", b"b"), ("r2", b"c")], Some(4));
        assert!(keys.row_key(whole.as_ref()).unwrap().is_some());
        let sparse = item(b"p", 1, &[("h1", b"a"), ("h2", b"b")], Some(4));
        assert_eq!(keys.row_key(sparse.as_ref()), Ok(None));
    }

    #[test]
    fn what_cannot_be_a_key_is_named_even_if_the_item_has_no_row() {
        let keys = global();
        let misfit = keys
            .row_key(item(b"p", 1, &[("r1", b"x")], None).as_ref())
            .unwrap_err();
        assert_eq!(misfit.attribute, "r1");
        assert!(matches!(misfit.error, KeyError::WrongKind { .. }));
        let empty = keys.row_key(item(b"p", 1, &[("h1", b"")], None).as_ref());
        assert!(matches!(
            empty,
            Err(Misfit {
                error: KeyError::Empty { .. },
                ..
            })
        ));
    }

    #[test]
    fn a_local_row_lies_beside_its_item() {
        let keys = IndexKeys::local(&table(), attribute("r2", Kind::Binary), 5);
        let item = item(b"p\0", 1, &[("r2", b"c")], None);
        let row = keys.row_key(item.as_ref()).unwrap().unwrap();
        let own = table().key_of_item(5, item.as_ref()).unwrap();
        assert_eq!(row[..8], own.as_bytes()[..8]);
        assert!(row.starts_with(&key::partition_prefix(5, b"p\0", 0)));
    }

    #[test]
    fn a_row_has_what_the_projection_says() {
        let keys = IndexKeys::local(&table(), attribute("r2", Kind::Binary), 5);
        let item = item(b"p", 1, &[("r2", b"c"), ("a", b"1"), ("b", b"2")], None);
        let names = |projection: &Projection| {
            let row = keys.project(projection, item.as_ref());
            for (name, _) in row.as_ref().iter() {
                assert!(projection.has(&keys, name));
            }
            row.as_ref().iter().count()
        };
        assert_eq!(names(&Projection::KeysOnly), 3);
        assert_eq!(
            names(&Projection::Include(vec!["b".into(), "pk".into(), "z".into()])),
            4
        );
        assert_eq!(names(&Projection::All), 5);
        assert!(!Projection::KeysOnly.has(&keys, b"a"));
    }

    #[test]
    fn a_start_key_is_exactly_both_keys() {
        let keys = IndexKeys::local(&table(), attribute("r2", Kind::Binary), 5);
        let surplus = item(b"p", 1, &[("r2", b"c"), ("a", b"1")], None);
        assert_eq!(keys.row_of_key(surplus.as_ref()), Err(KeyError::Surplus));
        let missing = item(b"p", 1, &[], None);
        assert!(matches!(
            keys.row_of_key(missing.as_ref()),
            Err(KeyError::Missing { .. })
        ));
    }
}
