//! Values as a plain tree, with a notation for tests: `{a: 1, s: "x", b: b'00ff', l: [null, true], ss: <"a", "b">}`.

use std::collections::BTreeMap;
use std::fmt;

use stator_model::attribute::{Kind, RawValue, ValueRef};
use stator_model::codec::Writer;
use stator_model::item::{Item, ItemRef, ItemWriter};
use stator_model::number::Number;

/// An attribute value.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Tree {
    Null,
    Bool(bool),
    Text(String),
    Number(Number),
    Binary(Vec<u8>),
    /// Scalars of one type, ascending.
    Set(Vec<Tree>),
    List(Vec<Tree>),
    Map(BTreeMap<String, Tree>),
}

impl Tree {
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Null => Kind::Null,
            Self::Bool(_) => Kind::Bool,
            Self::Text(_) => Kind::String,
            Self::Number(_) => Kind::Number,
            Self::Binary(_) => Kind::Binary,
            Self::Set(elements) => match elements[0].kind() {
                Kind::String => Kind::StringSet,
                Kind::Number => Kind::NumberSet,
                _ => Kind::BinarySet,
            },
            Self::List(_) => Kind::List,
            Self::Map(_) => Kind::Map,
        }
    }

    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Null => writer.null(),
            Self::Bool(value) => writer.bool(*value),
            Self::Text(text) => writer.string(text),
            Self::Number(number) => writer.number(number),
            Self::Binary(bytes) => writer.binary(bytes),
            Self::Set(elements) => {
                let scope = writer.begin_set(elements[0].kind());
                for element in elements {
                    match element {
                        Self::Text(text) => writer.set_element(text.as_bytes()),
                        Self::Number(number) => writer.set_element(number.encode().as_bytes()),
                        Self::Binary(bytes) => writer.set_element(bytes),
                        _ => panic!("{element} in a set"),
                    }
                }
                writer.end_set(&scope).unwrap();
            }
            Self::List(elements) => {
                let scope = writer.begin_list();
                for element in elements {
                    writer.element();
                    element.write(writer);
                }
                writer.end_list(&scope);
            }
            Self::Map(entries) => {
                let scope = writer.begin_map();
                for (name, value) in entries {
                    writer.name(name.as_bytes());
                    value.write(writer);
                }
                writer.end_map(&scope);
            }
        }
    }

    pub(crate) fn read(value: RawValue<'_>) -> Self {
        match value.open() {
            ValueRef::Null => Self::Null,
            ValueRef::Bool(value) => Self::Bool(value),
            ValueRef::String(text) => Self::Text(String::from_utf8(text.to_vec()).unwrap()),
            ValueRef::Number(number) => Self::Number(number.decode()),
            ValueRef::Binary(bytes) => Self::Binary(bytes.to_vec()),
            ValueRef::Set(set) => Self::Set(
                set.iter()
                    .map(|element| match (element.number(), element.kind) {
                        (Some(number), _) => Self::Number(number.decode()),
                        (None, Kind::String) => {
                            Self::Text(String::from_utf8(element.bytes.to_vec()).unwrap())
                        }
                        (None, _) => Self::Binary(element.bytes.to_vec()),
                    })
                    .collect(),
            ),
            ValueRef::List(list) => Self::List(list.iter().map(Self::read).collect()),
            ValueRef::Map(map) => Self::Map(map.iter().map(entry).collect()),
        }
    }

    pub(crate) fn read_item(item: ItemRef<'_>) -> BTreeMap<String, Self> {
        // What has been written has to be canonical, too.
        let item = ItemRef::from_stored(item.stored()).unwrap();
        item.iter().map(entry).collect()
    }

    pub(crate) fn parse(text: &str) -> Self {
        let mut rest = text;
        let tree = parse(&mut rest);
        assert_eq!(rest, "", "{text}");
        tree
    }
}

fn entry((name, value): (&[u8], RawValue<'_>)) -> (String, Tree) {
    (String::from_utf8(name.to_vec()).unwrap(), Tree::read(value))
}

pub(crate) fn item(attributes: &BTreeMap<String, Tree>) -> Item {
    let mut item = ItemWriter::with_capacity(64);
    for (name, value) in attributes {
        item.writer().name(name.as_bytes());
        value.write(item.writer());
    }
    item.finish()
}

fn accept(rest: &mut &str, text: &str) -> bool {
    rest.strip_prefix(text).map(|tail| *rest = tail).is_some()
}

fn sequence<T>(rest: &mut &str, close: &str, mut one: impl FnMut(&mut &str) -> T) -> Vec<T> {
    let mut all = Vec::new();
    while !accept(rest, close) {
        all.push(one(rest));
        accept(rest, ", ");
    }
    all
}

fn parse(rest: &mut &str) -> Tree {
    if accept(rest, "null") {
        Tree::Null
    } else if accept(rest, "true") {
        Tree::Bool(true)
    } else if accept(rest, "false") {
        Tree::Bool(false)
    } else if accept(rest, "\"") {
        Tree::Text(until(rest, '"').to_owned())
    } else if accept(rest, "b'") {
        let digits = until(rest, '\'');
        let byte = |at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap();
        Tree::Binary((0..digits.len()).step_by(2).map(byte).collect())
    } else if accept(rest, "<") {
        Tree::Set(sequence(rest, ">", parse))
    } else if accept(rest, "[") {
        Tree::List(sequence(rest, "]", parse))
    } else if accept(rest, "{") {
        let entries = sequence(rest, "}", |rest| {
            let name = until(rest, ':').to_owned();
            accept(rest, " ");
            (name, parse(rest))
        });
        Tree::Map(entries.into_iter().collect())
    } else {
        let end = rest.find([',', ']', '}', '>']).unwrap_or(rest.len());
        let (digits, tail) = rest.split_at(end);
        *rest = tail;
        Tree::Number(Number::parse(digits).unwrap())
    }
}

/// Takes the text before a character, and the character away.
fn until<'a>(rest: &mut &'a str, end: char) -> &'a str {
    let (text, tail) = rest.split_once(end).unwrap();
    *rest = tail;
    text
}

impl fmt::Display for Tree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |all: &[Self]| all.iter().map(Self::to_string).collect::<Vec<_>>().join(", ");
        match self {
            Self::Null => f.write_str("null"),
            Self::Bool(value) => write!(f, "{value}"),
            Self::Text(text) => write!(f, "\"{text}\""),
            Self::Number(number) => write!(f, "{number}"),
            Self::Binary(bytes) => {
                f.write_str("b'")?;
                for byte in bytes {
                    write!(f, "{byte:02x}")?;
                }
                f.write_str("'")
            }
            Self::Set(elements) => write!(f, "<{}>", list(elements)),
            Self::List(elements) => write!(f, "[{}]", list(elements)),
            Self::Map(entries) => {
                let entries: Vec<_> = entries
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                write!(f, "{{{}}}", entries.join(", "))
            }
        }
    }
}
