//! Attribute values as borrowed views of their stored form: reading, comparing and measuring without a copy.
//!
//! Invariant: a [`RawValue`] spans exactly one value that [`crate::codec`] has written or checked, in canonical form
//! (maps sorted by name, sets sorted, numbers normalized), so two values are equal exactly when their bytes are.
//! The layout is described in `docs/format/item.md`; writing it is the part of [`crate::codec`].

use crate::codec::{read_length, read_u32, span_of_value, tag};
use crate::number::NumberRef;

/// The ten data types of an attribute value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// `NULL`
    Null,
    /// `BOOL`
    Bool,
    /// `S`
    String,
    /// `N`
    Number,
    /// `B`
    Binary,
    /// `SS`
    StringSet,
    /// `NS`
    NumberSet,
    /// `BS`
    BinarySet,
    /// `L`
    List,
    /// `M`
    Map,
}

impl Kind {
    /// The descriptor that the API uses for the type, such as `S` or `NULL`.
    pub const fn descriptor(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool => "BOOL",
            Self::String => "S",
            Self::Number => "N",
            Self::Binary => "B",
            Self::StringSet => "SS",
            Self::NumberSet => "NS",
            Self::BinarySet => "BS",
            Self::List => "L",
            Self::Map => "M",
        }
    }

    /// The name of the type in the API's messages about actions of updates, such as `STRING` or `BOOLEAN`.
    pub const fn long_name(self) -> &'static str {
        match self {
            Self::Null => "NULL",
            Self::Bool => "BOOLEAN",
            Self::String => "STRING",
            Self::Number => "NUMBER",
            Self::Binary => "BINARY",
            Self::StringSet => "STRING_SET",
            Self::NumberSet => "NUMBER_SET",
            Self::BinarySet => "BINARY_SET",
            Self::List => "LIST",
            Self::Map => "MAP",
        }
    }

    /// The type with the given descriptor.
    pub fn from_descriptor(descriptor: &str) -> Option<Self> {
        Some(match descriptor {
            "NULL" => Self::Null,
            "BOOL" => Self::Bool,
            "S" => Self::String,
            "N" => Self::Number,
            "B" => Self::Binary,
            "SS" => Self::StringSet,
            "NS" => Self::NumberSet,
            "BS" => Self::BinarySet,
            "L" => Self::List,
            "M" => Self::Map,
            _ => return None,
        })
    }

    /// For a set type, the type of its elements.
    pub const fn element(self) -> Option<Self> {
        match self {
            Self::StringSet => Some(Self::String),
            Self::NumberSet => Some(Self::Number),
            Self::BinarySet => Some(Self::Binary),
            _ => None,
        }
    }
}

/// One value in its stored form.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RawValue<'a>(&'a [u8]);

/// One value, opened one level deep.
#[derive(Debug, Clone, Copy)]
pub enum ValueRef<'a> {
    /// `NULL`
    Null,
    /// `BOOL`
    Bool(bool),
    /// `S`: text, checked to be UTF-8 when it was written.
    String(&'a [u8]),
    /// `N`
    Number(NumberRef<'a>),
    /// `B`
    Binary(&'a [u8]),
    /// `SS`, `NS` or `BS`
    Set(SetRef<'a>),
    /// `L`
    List(ListRef<'a>),
    /// `M`
    Map(MapRef<'a>),
}

impl<'a> RawValue<'a> {
    /// Takes bytes that are known to span exactly one checked value.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        debug_assert_eq!(span_of_value(bytes), Some(bytes.len()));
        Self(bytes)
    }

    /// The stored bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The data type.
    pub fn kind(self) -> Kind {
        match self.0[0] {
            tag::FALSE | tag::TRUE => Kind::Bool,
            tag::STRING => Kind::String,
            tag::NUMBER => Kind::Number,
            tag::BINARY => Kind::Binary,
            tag::STRING_SET => Kind::StringSet,
            tag::NUMBER_SET => Kind::NumberSet,
            tag::BINARY_SET => Kind::BinarySet,
            tag::LIST => Kind::List,
            tag::MAP => Kind::Map,
            _ => Kind::Null,
        }
    }

    /// Opens the value one level deep.
    pub fn open(self) -> ValueRef<'a> {
        let body = &self.0[1..];
        match self.kind() {
            Kind::Null => ValueRef::Null,
            Kind::Bool => ValueRef::Bool(self.0[0] == tag::TRUE),
            Kind::String => ValueRef::String(prefixed(body)),
            Kind::Binary => ValueRef::Binary(prefixed(body)),
            Kind::Number => ValueRef::Number(NumberRef::trusted(&body[1..])),
            kind @ (Kind::StringSet | Kind::NumberSet | Kind::BinarySet) => {
                let element = kind.element().unwrap_or(Kind::String);
                ValueRef::Set(SetRef {
                    element,
                    count: count_of(body),
                    body: &body[8..],
                })
            }
            Kind::List => ValueRef::List(ListRef {
                count: count_of(body),
                body: &body[8..],
            }),
            Kind::Map => ValueRef::Map(MapRef {
                count: count_of(body),
                body: &body[8..],
            }),
        }
    }

    /// The bytes that order values of type `S`, `N` and `B`: text, order-preserving number, binary. `None` for others.
    pub fn scalar_bytes(self) -> Option<&'a [u8]> {
        match self.open() {
            ValueRef::String(bytes) | ValueRef::Binary(bytes) => Some(bytes),
            ValueRef::Number(number) => Some(number.as_bytes()),
            _ => None,
        }
    }

    /// Size in bytes by DynamoDB's rules, without the attribute's name.
    ///
    /// Rules: Amazon DynamoDB Developer Guide, "DynamoDB item sizes and formats".
    pub fn size(self) -> usize {
        match self.open() {
            ValueRef::Null | ValueRef::Bool(_) => 1,
            ValueRef::String(bytes) | ValueRef::Binary(bytes) => bytes.len(),
            ValueRef::Number(number) => number_size(number),
            ValueRef::Set(set) => set.iter().map(SetElement::size).sum(),
            ValueRef::List(list) => CONTAINER_SIZE + list.iter().map(|value| 1 + value.size()).sum::<usize>(),
            ValueRef::Map(map) => {
                CONTAINER_SIZE
                    + map
                        .iter()
                        .map(|(name, value)| 1 + name.len() + value.size())
                        .sum::<usize>()
            }
        }
    }
}

/// What a list or map counts beside its elements and one byte for each of them.
pub(crate) const CONTAINER_SIZE: usize = 3;

/// Size of a number: one byte for every two significant digits on each side of the point, one more, one for a sign.
pub(crate) fn number_size(number: NumberRef<'_>) -> usize {
    let (integer, fraction) = number.significant_digits();
    1 + integer.div_ceil(2) + fraction.div_ceil(2) + usize::from(number.is_negative())
}

fn prefixed(body: &[u8]) -> &[u8] {
    let mut position = 0;
    let length = read_length(body, &mut position).unwrap_or(0);
    &body[position..position + length]
}

fn count_of(body: &[u8]) -> usize {
    read_u32(body, 4).unwrap_or(0)
}

/// Splits the first value off.
fn split_value(bytes: &[u8]) -> (RawValue<'_>, &[u8]) {
    let (value, rest) = bytes.split_at(span_of_value(bytes).unwrap_or(bytes.len()));
    (RawValue(value), rest)
}

/// A list (`L`).
#[derive(Debug, Clone, Copy)]
pub struct ListRef<'a> {
    count: usize,
    body: &'a [u8],
}

impl<'a> ListRef<'a> {
    /// Number of elements.
    pub fn len(self) -> usize {
        self.count
    }

    /// True when there is no element.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The elements in order.
    pub fn iter(self) -> impl Iterator<Item = RawValue<'a>> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (value, tail) = split_value(rest);
            rest = tail;
            Some(value)
        })
    }

    /// The element at a place, counted from 0.
    pub fn get(self, index: usize) -> Option<RawValue<'a>> {
        self.iter().nth(index)
    }
}

/// A map (`M`) or the attributes of an item, sorted by the bytes of the name.
#[derive(Debug, Clone, Copy)]
pub struct MapRef<'a> {
    count: usize,
    body: &'a [u8],
}

impl<'a> MapRef<'a> {
    pub(crate) fn trusted(count: usize, body: &'a [u8]) -> Self {
        Self { count, body }
    }

    /// Number of entries.
    pub fn len(self) -> usize {
        self.count
    }

    /// True when there is no entry.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The entries in ascending order of their names' bytes. Names are UTF-8.
    pub fn iter(self) -> MapIterator<'a> {
        MapIterator { rest: self.body }
    }

    /// The value of a name.
    pub fn get(self, name: &[u8]) -> Option<RawValue<'a>> {
        for (candidate, value) in self.iter() {
            match candidate.cmp(name) {
                std::cmp::Ordering::Less => {}
                std::cmp::Ordering::Equal => return Some(value),
                std::cmp::Ordering::Greater => return None,
            }
        }
        None
    }
}

/// Walks the entries of a map; see [`MapRef::iter`].
#[derive(Debug, Clone)]
pub struct MapIterator<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for MapIterator<'a> {
    type Item = (&'a [u8], RawValue<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        let mut position = 0;
        let length = read_length(self.rest, &mut position)?;
        let (name, tail) = self.rest[position..].split_at(length);
        let (value, rest) = split_value(tail);
        self.rest = rest;
        Some((name, value))
    }
}

/// A set (`SS`, `NS`, `BS`), sorted by the bytes of its elements.
#[derive(Debug, Clone, Copy)]
pub struct SetRef<'a> {
    element: Kind,
    count: usize,
    body: &'a [u8],
}

/// One element of a set.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SetElement<'a> {
    /// `String`, `Number` or `Binary`.
    pub kind: Kind,
    /// Text, order-preserving number, or binary.
    pub bytes: &'a [u8],
}

impl<'a> SetElement<'a> {
    /// Takes a scalar as an element, if its type can be one.
    pub fn of(value: RawValue<'a>) -> Option<Self> {
        value.scalar_bytes().map(|bytes| Self {
            kind: value.kind(),
            bytes,
        })
    }

    /// The number, for an element of a number set.
    pub fn number(self) -> Option<NumberRef<'a>> {
        (self.kind == Kind::Number).then(|| NumberRef::trusted(self.bytes))
    }

    fn size(self) -> usize {
        self.number().map_or(self.bytes.len(), number_size)
    }
}

impl<'a> SetRef<'a> {
    /// Type of the elements: `String`, `Number` or `Binary`.
    pub fn element(self) -> Kind {
        self.element
    }

    /// Number of elements; never 0.
    pub fn len(self) -> usize {
        self.count
    }

    /// True when there is no element, which no stored set is.
    pub fn is_empty(self) -> bool {
        self.count == 0
    }

    /// The elements in ascending order of their bytes.
    pub fn iter(self) -> impl Iterator<Item = SetElement<'a>> {
        let mut rest = self.body;
        std::iter::from_fn(move || {
            let mut position = 0;
            let length = read_length(rest, &mut position)?;
            let (bytes, tail) = rest[position..].split_at(length);
            rest = tail;
            Some(SetElement {
                kind: self.element,
                bytes,
            })
        })
    }

    /// True when the set has the element.
    pub fn contains(self, element: SetElement<'_>) -> bool {
        element.kind == self.element && self.iter().any(|own| own.bytes == element.bytes)
    }
}
