//! Items: a set of named attribute values in stored form, owned or borrowed.
//!
//! Invariant: an [`Item`] has been written by [`crate::codec::Writer`] or checked in full by [`Item::from_stored`], so
//! every view of it is total. Keys, tables and limits are not known here.

use bytes::Bytes;

use crate::attribute::{MapIterator, MapRef, RawValue};
use crate::codec::{self, Scope, Writer};

/// First byte of a stored item: the version of the layout.
const FORMAT_VERSION: u8 = 1;

/// Bytes that should be a stored item and are not, or are of an unknown version.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StoredItemError {
    /// The first byte names a version that this program does not read.
    #[error("stored item has format version {found}, this program reads version {FORMAT_VERSION}")]
    UnsupportedVersion {
        /// The version found.
        found: u8,
    },
    /// The bytes are not a canonical item.
    #[error("stored item is malformed; restore the node's data from a replica or a backup")]
    Malformed,
}

/// An item in stored form. Cloning shares the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item(Bytes);

/// A borrowed item.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ItemRef<'a>(&'a [u8]);

/// An item being written. Attributes come through [`ItemWriter::writer`]: a name, then a value.
#[derive(Debug)]
pub struct ItemWriter {
    writer: Writer,
    scope: Scope,
}

impl Item {
    /// Takes stored bytes as an item after checking all of them.
    ///
    /// # Errors
    /// [`StoredItemError`] when the bytes are not an item of a known version.
    pub fn from_stored(bytes: Bytes) -> Result<Self, StoredItemError> {
        Ok(Self::measured(bytes)?.0)
    }

    /// The same, with [`ItemRef::size`], which the check finds out on its way.
    ///
    /// # Errors
    /// [`StoredItemError`] when the bytes are not an item of a known version.
    pub fn measured(bytes: Bytes) -> Result<(Self, usize), StoredItemError> {
        let size = check(&bytes)?;
        Ok((Self(bytes), size))
    }

    /// The item without attributes.
    pub fn empty() -> Self {
        Self(Bytes::from_static(&[FORMAT_VERSION, 0, 0, 0, 0]))
    }

    /// A borrowed view.
    pub fn as_ref(&self) -> ItemRef<'_> {
        ItemRef(&self.0)
    }

    /// The stored bytes.
    pub fn stored(&self) -> &Bytes {
        &self.0
    }

    /// Builds an item from attributes in any order.
    pub fn build<'a>(attributes: impl IntoIterator<Item = (&'a [u8], RawValue<'a>)>) -> Self {
        let mut item = ItemWriter::with_capacity(256);
        for (name, value) in attributes {
            item.writer().name(name);
            item.writer().raw(value);
        }
        item.finish()
    }
}

impl<'a> ItemRef<'a> {
    /// Takes stored bytes as an item after checking all of them.
    ///
    /// # Errors
    /// [`StoredItemError`] when the bytes are not an item of a known version.
    pub fn from_stored(bytes: &'a [u8]) -> Result<Self, StoredItemError> {
        check(bytes)?;
        Ok(Self(bytes))
    }

    /// The attributes, as a map.
    pub fn attributes(self) -> MapRef<'a> {
        codec::attributes(&self.0[1..])
    }

    /// The attributes in ascending order of their names' bytes.
    pub fn iter(self) -> MapIterator<'a> {
        self.attributes().iter()
    }

    /// The value of an attribute.
    pub fn get(self, name: &[u8]) -> Option<RawValue<'a>> {
        self.attributes().get(name)
    }

    /// Size in bytes by DynamoDB's rules: names and values.
    pub fn size(self) -> usize {
        self.iter().map(|(name, value)| name.len() + value.size()).sum()
    }

    /// The stored bytes.
    pub fn stored(self) -> &'a [u8] {
        self.0
    }

    /// An owned copy.
    pub fn to_owned(self) -> Item {
        Item(Bytes::copy_from_slice(self.0))
    }
}

/// Checks that bytes are a stored item, and gives its size by DynamoDB's rules.
fn check(bytes: &[u8]) -> Result<usize, StoredItemError> {
    let (&version, body) = bytes.split_first().ok_or(StoredItemError::Malformed)?;
    if version != FORMAT_VERSION {
        return Err(StoredItemError::UnsupportedVersion { found: version });
    }
    let count = codec::read_u32(body, 0).ok_or(StoredItemError::Malformed)?;
    codec::check_entries(count, &body[4..], 0).ok_or(StoredItemError::Malformed)
}

impl ItemWriter {
    /// A writer with room for a number of bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        let mut writer = Writer::with_capacity(bytes);
        writer.byte(FORMAT_VERSION);
        let scope = writer.begin_attributes();
        Self { writer, scope }
    }

    /// Where names and values are written.
    pub fn writer(&mut self) -> &mut Writer {
        &mut self.writer
    }

    /// Ends the item: attributes are put in order; of equal names the last one stays.
    pub fn finish(mut self) -> Item {
        self.writer.end_map(&self.scope);
        Item(Bytes::from(self.writer.into_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::attribute::{Kind, SetElement, ValueRef};
    use crate::number::Number;

    /// A plain tree to check the stored form against.
    #[derive(Debug, Clone)]
    enum Tree {
        Null,
        Bool(bool),
        Text(String),
        Binary(Vec<u8>),
        Number(i64),
        Texts(Vec<String>),
        List(Vec<Tree>),
        Map(Vec<(String, Tree)>),
    }

    fn any_tree() -> impl Strategy<Value = Tree> {
        let leaf = prop_oneof![
            Just(Tree::Null),
            any::<bool>().prop_map(Tree::Bool),
            ".{0,200}".prop_map(Tree::Text),
            prop::collection::vec(any::<u8>(), 0..200).prop_map(Tree::Binary),
            any::<i64>().prop_map(Tree::Number),
            prop::collection::btree_set("[a-z]{0,3}", 1..5)
                .prop_map(|texts| Tree::Texts(texts.into_iter().rev().collect())),
        ];
        leaf.prop_recursive(4, 40, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Tree::List),
                prop::collection::hash_map("[a-z]{0,4}", inner, 0..6)
                    .prop_map(|map| Tree::Map(map.into_iter().collect())),
            ]
        })
    }

    fn write(writer: &mut Writer, tree: &Tree) {
        match tree {
            Tree::Null => writer.null(),
            Tree::Bool(value) => writer.bool(*value),
            Tree::Text(text) => writer.string(text),
            Tree::Binary(bytes) => writer.binary(bytes),
            Tree::Number(value) => writer.number(&Number::parse(&value.to_string()).unwrap()),
            Tree::Texts(texts) => {
                let scope = writer.begin_set(Kind::String);
                for text in texts {
                    writer.set_element(text.as_bytes());
                }
                writer.end_set(&scope).unwrap();
            }
            Tree::List(trees) => {
                let scope = writer.begin_list();
                for tree in trees {
                    writer.element();
                    write(writer, tree);
                }
                writer.end_list(&scope);
            }
            Tree::Map(entries) => {
                let scope = writer.begin_map();
                for (name, tree) in entries {
                    writer.name(name.as_bytes());
                    write(writer, tree);
                }
                writer.end_map(&scope);
            }
        }
    }

    fn same(value: RawValue<'_>, tree: &Tree) -> bool {
        match (value.open(), tree) {
            (ValueRef::Null, Tree::Null) => true,
            (ValueRef::Bool(a), Tree::Bool(b)) => a == *b,
            (ValueRef::String(a), Tree::Text(b)) => a == b.as_bytes(),
            (ValueRef::Binary(a), Tree::Binary(b)) => a == b,
            (ValueRef::Number(a), Tree::Number(b)) => a.format().as_str() == b.to_string(),
            (ValueRef::Set(a), Tree::Texts(b)) => {
                a.len() == b.len()
                    && b.iter().all(|text| {
                        a.contains(SetElement {
                            kind: Kind::String,
                            bytes: text.as_bytes(),
                        })
                    })
            }
            (ValueRef::List(a), Tree::List(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
            }
            (ValueRef::Map(a), Tree::Map(b)) => {
                a.len() == b.len()
                    && b.iter()
                        .all(|(name, tree)| a.get(name.as_bytes()).is_some_and(|value| same(value, tree)))
            }
            _ => false,
        }
    }

    fn item(entries: &[(String, Tree)]) -> Item {
        let mut item = ItemWriter::with_capacity(64);
        for (name, tree) in entries {
            item.writer().name(name.as_bytes());
            write(item.writer(), tree);
        }
        item.finish()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(entries in prop::collection::hash_map("[a-z]{0,8}", any_tree(), 0..8)) {
            let entries: Vec<_> = entries.into_iter().collect();
            let item = item(&entries);
            let (read, size) = Item::measured(item.stored().clone()).unwrap();
            prop_assert_eq!(size, read.as_ref().size());
            prop_assert_eq!(read.as_ref().attributes().len(), entries.len());
            for (name, tree) in &entries {
                prop_assert!(same(read.as_ref().get(name.as_bytes()).unwrap(), tree));
            }
        }

        #[test]
        fn order_of_writing_does_not_matter(entries in prop::collection::hash_map("[a-z]{0,8}", any_tree(), 0..8)) {
            let mut entries: Vec<_> = entries.into_iter().collect();
            let forward = item(&entries);
            entries.reverse();
            prop_assert_eq!(forward, item(&entries));
        }

        #[test]
        fn no_bytes_make_a_view_fail(
            entries in prop::collection::hash_map("[a-z]{0,8}", any_tree(), 0..4),
            at in any::<prop::sample::Index>(),
            byte in any::<u8>(),
        ) {
            let mut bytes = item(&entries.into_iter().collect::<Vec<_>>()).stored().to_vec();
            let at = at.index(bytes.len());
            bytes[at] = byte;
            // Either refused, or every view of it works.
            if let Ok((item, size)) = Item::measured(Bytes::from(bytes)) {
                let item = item.as_ref();
                prop_assert!(size == item.size() && size < 10_000);
                let opened = item.iter().map(|(_, value)| format!("{:?}", value.open()).len()).sum::<usize>();
                prop_assert!(opened > 0 || item.attributes().is_empty());
            }
        }
    }

    #[test]
    fn a_name_that_comes_twice_keeps_the_later_value() {
        let entries = [
            ("a".into(), Tree::Number(1)),
            ("b".into(), Tree::Null),
            ("a".into(), Tree::Number(2)),
        ];
        let item = item(&entries);
        assert_eq!(item.as_ref().attributes().len(), 2);
        assert!(same(item.as_ref().get(b"a").unwrap(), &Tree::Number(2)));
    }

    #[test]
    fn a_set_with_a_duplicate_is_refused() {
        let mut writer = Writer::default();
        let scope = writer.begin_set(Kind::Number);
        for text in ["1", "1.0"] {
            writer.set_element(Number::parse(text).unwrap().encode().as_bytes());
        }
        assert!(writer.end_set(&scope).is_err());
    }

    #[test]
    fn sizes_follow_the_published_rules() {
        let map = Tree::Map(vec![("ab".into(), Tree::Number(12)), ("c".into(), Tree::Null)]);
        let entries = [
            ("text".into(), Tree::Text("å!".into())),
            ("n".into(), Tree::Number(-1234)),
            (
                "list".into(),
                Tree::List(vec![Tree::Bool(true), Tree::Text(String::new())]),
            ),
            ("map".into(), map),
            ("set".into(), Tree::Texts(vec!["x".into(), "yz".into()])),
        ];
        // text 4+3, n 1+(1+2+1), list 4+3+(1+1)+(1+0), map 3+3+(1+2+2)+(1+1+1), set 3+3
        assert_eq!(item(&entries).as_ref().size(), 7 + 5 + 10 + 14 + 6);
    }

    #[test]
    fn versions_are_named_when_they_are_unknown() {
        let error = Item::from_stored(Bytes::from_static(&[9, 0, 0, 0, 0])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stored item has format version 9, this program reads version 1"
        );
    }
}
