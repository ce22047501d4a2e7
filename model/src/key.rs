//! Key schemas and key bytes: from the key attributes of an item to the place of its row in a keyspace.
//!
//! Layout (`docs/format/key.md`): `token (8 bytes, big-endian) | partition key, escaped and terminated | sort key`. A
//! token range is one contiguous run of rows, a partition is one contiguous run inside it, and within a partition
//! rows stand in the order of the sort key. Invariant: bytes compare as the keys compare.

use crate::attribute::{Kind, RawValue};
use crate::item::{Item, ItemRef};

/// Largest partition key value in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: partition key length".
pub const PARTITION_KEY_BYTES_MAX: usize = 2048;
/// Largest sort key value in bytes. Source: Amazon DynamoDB Developer Guide, "Quotas: sort key length".
pub const SORT_KEY_BYTES_MAX: usize = 1024;

const ESCAPED: u8 = 0x00;
const ESCAPE_MARK: u8 = 0xFF;
const TERMINATOR: [u8; 2] = [0x00, 0x00];

/// One attribute of a primary key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyAttribute {
    /// Name of the attribute.
    pub name: String,
    /// `String`, `Number` or `Binary`.
    pub kind: Kind,
}

/// The primary key of a table: a partition key and perhaps a sort key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeySchema {
    /// The attribute that is hashed to a token.
    pub partition: KeyAttribute,
    /// The attribute that orders the items of one partition.
    pub sort: Option<KeyAttribute>,
}

/// What a key can be used for; partition and sort keys have different limits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeyRole {
    /// The partition key (`HASH`).
    Partition,
    /// The sort key (`RANGE`).
    Sort,
}

/// Why attributes are not a key of a schema. How it is said depends on the operation, so the sentences are the caller's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// A key attribute is not there.
    #[error("the key attribute {name} is missing")]
    Missing {
        /// Name of the attribute.
        name: String,
    },
    /// A key attribute has another type than the schema says.
    #[error("the key attribute {name} has type {actual:?}, not {expected:?}")]
    WrongKind {
        /// Name of the attribute.
        name: String,
        /// The schema's type.
        expected: Kind,
        /// The type given.
        actual: Kind,
    },
    /// A key attribute has no bytes.
    #[error("the key attribute {name} is empty")]
    Empty {
        /// Name of the attribute.
        name: String,
        /// `String` or `Binary`.
        kind: Kind,
    },
    /// A key attribute is longer than its role allows.
    #[error("the {role:?} key is longer than allowed")]
    TooLong {
        /// Which limit was passed.
        role: KeyRole,
        /// How many bytes it has.
        size: usize,
    },
    /// There are attributes beside the key.
    #[error("attributes beside the key")]
    Surplus,
}

/// Key bytes of one row.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyBytes(Vec<u8>);

impl KeyBytes {
    /// The bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Takes the bytes.
    pub fn into_vec(self) -> Vec<u8> {
        self.0
    }

    /// The token: where on the ring the row lies.
    pub fn token(&self) -> u64 {
        token_of(&self.0)
    }
}

/// The token at the head of key bytes; 0 when they are too short to have one.
pub fn token_of(key: &[u8]) -> u64 {
    key.first_chunk::<8>().map_or(0, |head| u64::from_be_bytes(*head))
}

impl KeySchema {
    /// The key attributes, partition key first.
    pub fn attributes(&self) -> impl Iterator<Item = (KeyRole, &KeyAttribute)> {
        let sort = self.sort.as_ref().map(|sort| (KeyRole::Sort, sort));
        std::iter::once((KeyRole::Partition, &self.partition)).chain(sort)
    }

    /// True when the attribute is part of the key.
    pub fn contains(&self, name: &[u8]) -> bool {
        self.attributes()
            .any(|(_, attribute)| attribute.name.as_bytes() == name)
    }

    /// Key bytes of an item, which may have other attributes, too. `seed` is the table's (see [`encode`]).
    ///
    /// # Errors
    /// [`KeyError`] when a key attribute is missing or is no key by type, emptiness or length.
    pub fn key_of_item(&self, seed: u64, item: ItemRef<'_>) -> Result<KeyBytes, KeyError> {
        let partition = component(item, &self.partition, KeyRole::Partition)?;
        let sort = match &self.sort {
            Some(attribute) => Some(component(item, attribute, KeyRole::Sort)?),
            None => None,
        };
        Ok(encode(seed, partition, sort))
    }

    /// Key bytes of a key: attributes that are the key and nothing else.
    ///
    /// # Errors
    /// As [`KeySchema::key_of_item`], and [`KeyError::Surplus`].
    pub fn key_of_key(&self, seed: u64, key: ItemRef<'_>) -> Result<KeyBytes, KeyError> {
        let bytes = self.key_of_item(seed, key)?;
        if key.attributes().len() > 1 + usize::from(self.sort.is_some()) {
            return Err(KeyError::Surplus);
        }
        Ok(bytes)
    }

    /// The key attributes of an item, as an item of their own.
    pub fn project(&self, item: ItemRef<'_>) -> Item {
        Item::build(item.iter().filter(|(name, _)| self.contains(name)))
    }
}

/// Checks one key attribute and returns the bytes that order it.
fn component<'a>(item: ItemRef<'a>, attribute: &KeyAttribute, role: KeyRole) -> Result<&'a [u8], KeyError> {
    let name = || attribute.name.clone();
    let value = item
        .get(attribute.name.as_bytes())
        .ok_or_else(|| KeyError::Missing { name: name() })?;
    check_component(attribute, role, value)
}

/// Checks that a value can be the given key attribute and returns the bytes that order it.
///
/// # Errors
/// [`KeyError::WrongKind`], [`KeyError::Empty`] or [`KeyError::TooLong`].
pub fn check_component<'a>(
    attribute: &KeyAttribute,
    role: KeyRole,
    value: RawValue<'a>,
) -> Result<&'a [u8], KeyError> {
    let name = || attribute.name.clone();
    let bytes = match value.scalar_bytes() {
        Some(bytes) if value.kind() == attribute.kind => bytes,
        _ => {
            return Err(KeyError::WrongKind {
                name: name(),
                expected: attribute.kind,
                actual: value.kind(),
            });
        }
    };
    let bytes_max = match role {
        KeyRole::Partition => PARTITION_KEY_BYTES_MAX,
        KeyRole::Sort => SORT_KEY_BYTES_MAX,
    };
    if bytes.is_empty() {
        Err(KeyError::Empty {
            name: name(),
            kind: attribute.kind,
        })
    } else if bytes.len() > bytes_max {
        Err(KeyError::TooLong {
            role,
            size: bytes.len(),
        })
    } else {
        Ok(bytes)
    }
}

/// Hashes a partition key to its token. `seed` is fixed for a table and differs between tables, so that equal keys of
/// different tables do not pile up on one place of the ring.
pub fn token(seed: u64, partition: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64_with_seed(partition, seed)
}

/// Key bytes from the ordering bytes of the key attributes.
pub fn encode(seed: u64, partition: &[u8], sort: Option<&[u8]>) -> KeyBytes {
    let mut bytes = partition_prefix(seed, partition, sort.map_or(0, <[u8]>::len));
    bytes.extend_from_slice(sort.unwrap_or_default());
    KeyBytes(bytes)
}

/// The bytes that all rows of one partition begin with, with room for `spare` more.
pub fn partition_prefix(seed: u64, partition: &[u8], spare: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(8 + partition.len() + 2 + spare);
    bytes.extend_from_slice(&token(seed, partition).to_be_bytes());
    escape(&mut bytes, partition);
    bytes
}

/// The bytes of a key that all rows of its partition begin with: its token and its partition key, with its end. All of it for
/// bytes that are no key.
pub fn partition_of(key: &[u8]) -> &[u8] {
    let mut at = size_of::<u64>();
    loop {
        match (key.get(at), key.get(at + 1)) {
            (Some(&ESCAPED), Some(&ESCAPE_MARK)) => at += 2,
            (Some(&ESCAPED), Some(&ESCAPED)) => return key.get(..at + 2).unwrap_or(key),
            (Some(_), Some(_)) => at += 1,
            _ => return key,
        }
    }
}

/// Appends a component that others may follow: escaped and terminated, so that no component is the beginning of another
/// one. Components compare as their bytes do.
pub fn escape(into: &mut Vec<u8>, component: &[u8]) {
    escape_open(into, component);
    into.extend_from_slice(&TERMINATOR);
}

/// Appends what every component that begins with these bytes begins with.
pub fn escape_open(into: &mut Vec<u8>, beginning: &[u8]) {
    for &byte in beginning {
        into.push(byte);
        if byte == ESCAPED {
            into.push(ESCAPE_MARK);
        }
    }
}

/// The first byte string after all that begin with `prefix`; `None` when there is none.
pub fn after_prefix(mut prefix: Vec<u8>) -> Option<Vec<u8>> {
    while let Some(last) = prefix.pop() {
        if last < u8::MAX {
            prefix.push(last + 1);
            return Some(prefix);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::item::ItemWriter;
    use crate::number::Number;

    fn schema(sort: Option<Kind>) -> KeySchema {
        KeySchema {
            partition: KeyAttribute {
                name: "pk".into(),
                kind: Kind::String,
            },
            sort: sort.map(|kind| KeyAttribute {
                name: "sk".into(),
                kind,
            }),
        }
    }

    fn item(write: impl FnOnce(&mut crate::codec::Writer)) -> Item {
        let mut item = ItemWriter::with_capacity(64);
        write(item.writer());
        item.finish()
    }

    #[test]
    fn a_key_is_taken_from_an_item_and_nothing_else_is() {
        let schema = schema(Some(Kind::Number));
        let item = item(|w| {
            w.name(b"pk");
            w.string("a");
            w.name(b"sk");
            w.number(&Number::parse("7").unwrap());
            w.name(b"other");
            w.null();
        });
        let key = schema.key_of_item(1, item.as_ref()).unwrap();
        assert_eq!(schema.key_of_key(1, item.as_ref()), Err(KeyError::Surplus));
        let projected = schema.project(item.as_ref());
        assert_eq!(schema.key_of_key(1, projected.as_ref()).unwrap(), key);
        assert_eq!(key.token(), token(1, b"a"));
    }

    #[test]
    fn the_partition_of_a_key_ends_where_its_partition_key_does() {
        for partition in [&b"a"[..], b"a\0", b"\0\0", b"\0\xff\0", b"\0\0\xff\xff"] {
            for sort in [&b""[..], b"\0", b"\0\0", b"\xff", b"s\0\0t"] {
                let key = encode(7, partition, Some(sort));
                assert_eq!(partition_of(key.as_bytes()), partition_prefix(7, partition, 0));
            }
        }
        for none in [&b"1234567"[..], b"12345678ab", b"12345678a\0", b"12345678\0\xff"] {
            assert_eq!(partition_of(none), none);
        }
    }

    #[test]
    fn what_cannot_be_a_key_is_refused() {
        let schema = schema(None);
        let key =
            |write: fn(&mut crate::codec::Writer)| schema.key_of_item(1, item(write).as_ref()).unwrap_err();
        assert_eq!(key(|_| ()), KeyError::Missing { name: "pk".into() });
        let empty = key(|w| {
            w.name(b"pk");
            w.string("");
        });
        assert_eq!(
            empty,
            KeyError::Empty {
                name: "pk".into(),
                kind: Kind::String
            }
        );
        let wrong = key(|w| {
            w.name(b"pk");
            w.bool(true);
        });
        assert_eq!(
            wrong,
            KeyError::WrongKind {
                name: "pk".into(),
                expected: Kind::String,
                actual: Kind::Bool
            }
        );
        let long = key(|w| {
            w.name(b"pk");
            w.string(&"x".repeat(2049));
        });
        assert_eq!(
            long,
            KeyError::TooLong {
                role: KeyRole::Partition,
                size: 2049
            }
        );
    }

    proptest! {
        #[test]
        fn rows_of_a_partition_are_one_run_in_sort_key_order(
            partitions in prop::collection::btree_set(prop::collection::vec(0_u8..3, 1..4), 1..6),
            sorts in prop::collection::btree_set(prop::collection::vec(0_u8..3, 0..4), 1..6),
        ) {
            let mut rows = Vec::new();
            for partition in &partitions {
                for sort in &sorts {
                    rows.push((encode(9, partition, Some(sort)), partition, sort));
                }
            }
            rows.sort();
            for run in rows.chunk_by(|a, b| a.1 == b.1) {
                prop_assert_eq!(run.len(), sorts.len());
                prop_assert!(run.iter().map(|row| row.2).eq(sorts.iter()));
                let prefix = partition_prefix(9, run[0].1, 0);
                let after = after_prefix(prefix.clone()).unwrap();
                for row in &rows {
                    let inside = row.0.as_bytes() >= &prefix[..] && row.0.as_bytes() < &after[..];
                    prop_assert_eq!(inside, row.1 == run[0].1);
                }
            }
        }
    }

    #[test]
    fn the_end_of_a_prefix_skips_full_bytes() {
        assert_eq!(after_prefix(vec![1, 0xFF, 0xFF]), Some(vec![2]));
        assert_eq!(after_prefix(vec![0xFF]), None);
    }
}
