//! Sets of document paths as a tree: which paths get in each other's way, and what of an item they pick.
//!
//! Invariant: no path in a tree contains another one or takes for a list what another takes for a map; fields are sorted
//! by name and elements by index, as the stored form is, so that a tree and an item are walked side by side.

use super::error::ExpressionError;
use super::path::{Element, Path, Relation};
use crate::attribute::{ListRef, MapRef, RawValue, ValueRef};
use crate::codec::Writer;
use crate::item::{Item, ItemRef, ItemWriter};

/// Map keys or attributes, and what lies below each.
pub(super) type Fields<T> = Vec<(Box<str>, Node<T>)>;
/// List indexes, and what lies below each.
pub(super) type Elements<T> = Vec<(u32, Node<T>)>;

/// A place in an item to which at least one path leads.
#[derive(Debug, Clone)]
pub(super) enum Node<T> {
    /// A path ends here.
    Leaf(T),
    /// Paths lead on into a map.
    Fields(Fields<T>),
    /// Paths lead on into a list.
    Elements(Elements<T>),
}

/// Paths that are apart from each other, each with something attached.
#[derive(Debug, Clone)]
pub(super) struct PathTree<T>(Fields<T>);

impl<T> Default for PathTree<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> PathTree<T> {
    /// Puts paths into a tree.
    ///
    /// # Errors
    /// [`ExpressionError::PathsOverlap`] or [`ExpressionError::PathsConflict`] for the first path that meets an earlier
    /// one.
    pub(super) fn new<'p>(
        paths: impl Iterator<Item = (&'p Path, T)> + Clone,
    ) -> Result<Self, ExpressionError> {
        let mut fields = Vec::new();
        for (count, (path, leaf)) in paths.clone().enumerate() {
            if insert(&mut fields, path, leaf) {
                continue;
            }
            let earlier = paths
                .take(count)
                .map(|(earlier, _)| (earlier, earlier.relation(path)));
            let met = earlier
                .into_iter()
                .find(|(_, relation)| *relation != Relation::Apart);
            let (one, relation) = met.unwrap_or((path, Relation::Overlap));
            let (one, two) = (one.to_string(), path.to_string());
            return Err(match relation {
                Relation::Conflict => ExpressionError::PathsConflict { one, two },
                _ => ExpressionError::PathsOverlap { one, two },
            });
        }
        Ok(Self(fields))
    }

    pub(super) fn fields(&self) -> &Fields<T> {
        &self.0
    }

    /// What an item has at those paths whose attachment is wanted. Maps and lists on the way appear with what is picked
    /// in them, lists without gaps; where nothing is picked nothing appears.
    pub(super) fn pick(&self, item: ItemRef<'_>, wanted: &impl Fn(&T) -> bool) -> Item {
        let picked = pick_fields(item.attributes(), &self.0, wanted);
        let mut item = ItemWriter::with_capacity(128);
        write_entries(item.writer(), &picked);
        item.finish()
    }
}

/// Adds a path unless it meets one that is there.
fn insert<T>(fields: &mut Fields<T>, path: &Path, leaf: T) -> bool {
    let chain = |below: &[Element], leaf: T| {
        below
            .iter()
            .rev()
            .fold(Node::Leaf(leaf), |node, element| match element {
                Element::Name(name) => Node::Fields(vec![(name.clone(), node)]),
                Element::Index(index) => Node::Elements(vec![(*index, node)]),
            })
    };
    let mut below = path.below();
    let at = fields.binary_search_by(|(name, _)| (**name).cmp(path.top_level()));
    let mut node = match at {
        Ok(at) => &mut fields[at].1,
        Err(at) => {
            fields.insert(at, (path.top_level().into(), chain(below, leaf)));
            return true;
        }
    };
    loop {
        let Some((element, rest)) = below.split_first() else {
            return false;
        };
        below = rest;
        node = match (node, element) {
            (Node::Fields(fields), Element::Name(name)) => {
                match fields.binary_search_by(|(other, _)| other.cmp(name)) {
                    Ok(at) => &mut fields[at].1,
                    Err(at) => {
                        fields.insert(at, (name.clone(), chain(below, leaf)));
                        return true;
                    }
                }
            }
            (Node::Elements(elements), Element::Index(index)) => {
                match elements.binary_search_by(|(other, _)| other.cmp(index)) {
                    Ok(at) => &mut elements[at].1,
                    Err(at) => {
                        elements.insert(at, (*index, chain(below, leaf)));
                        return true;
                    }
                }
            }
            _ => return false,
        };
    }
}

/// A part of an item that paths pick.
enum Picked<'a> {
    Whole(RawValue<'a>),
    Map(Vec<(&'a [u8], Picked<'a>)>),
    List(Vec<Picked<'a>>),
}

fn pick_fields<'a, T>(
    map: MapRef<'a>,
    fields: &Fields<T>,
    wanted: &impl Fn(&T) -> bool,
) -> Vec<(&'a [u8], Picked<'a>)> {
    let mut fields = fields.iter().peekable();
    let mut picked = Vec::new();
    for (name, value) in map.iter() {
        while fields.next_if(|(field, _)| field.as_bytes() < name).is_some() {}
        match fields.peek() {
            None => break,
            Some((field, node)) if field.as_bytes() == name => {
                picked.extend(pick_node(value, node, wanted).map(|part| (name, part)));
            }
            Some(_) => {}
        }
    }
    picked
}

fn pick_elements<'a, T>(
    list: ListRef<'a>,
    elements: &Elements<T>,
    wanted: &impl Fn(&T) -> bool,
) -> Vec<Picked<'a>> {
    let mut elements = elements.iter().peekable();
    let mut picked = Vec::new();
    for (index, value) in (0_u32..).zip(list.iter()) {
        match elements.peek() {
            None => break,
            Some((element, node)) if *element == index => {
                picked.extend(pick_node(value, node, wanted));
                elements.next();
            }
            Some(_) => {}
        }
    }
    picked
}

fn pick_node<'a, T>(value: RawValue<'a>, node: &Node<T>, wanted: &impl Fn(&T) -> bool) -> Option<Picked<'a>> {
    match (node, value.open()) {
        (Node::Leaf(leaf), _) => wanted(leaf).then_some(Picked::Whole(value)),
        (Node::Fields(fields), ValueRef::Map(map)) => {
            let picked = pick_fields(map, fields, wanted);
            (!picked.is_empty()).then_some(Picked::Map(picked))
        }
        (Node::Elements(elements), ValueRef::List(list)) => {
            let picked = pick_elements(list, elements, wanted);
            (!picked.is_empty()).then_some(Picked::List(picked))
        }
        _ => None,
    }
}

fn write_entries(writer: &mut Writer, entries: &[(&[u8], Picked<'_>)]) {
    for (name, part) in entries {
        writer.name(name);
        write_picked(writer, part);
    }
}

fn write_picked(writer: &mut Writer, part: &Picked<'_>) {
    match part {
        Picked::Whole(value) => writer.raw(*value),
        Picked::Map(entries) => {
            let scope = writer.begin_map();
            write_entries(writer, entries);
            writer.end_map(&scope);
        }
        Picked::List(parts) => {
            let scope = writer.begin_list();
            for part in parts {
                writer.element();
                write_picked(writer, part);
            }
            writer.end_list(&scope);
        }
    }
}
