//! What an update does to an item.
//!
//! Invariants: every operand is read from the item as it was before; list indexes, too, mean places in that item. What
//! the update does not touch is copied as it is stored. The result is never nested deeper than an item may be.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Update expressions".

use std::cmp::Ordering;

use super::{Action, SetOperand, SetValue, Update};
use crate::attribute::{ListRef, MapRef, RawValue, SetRef, ValueRef};
use crate::codec::{DEPTH_MAX, Writer};
use crate::expression::error::UpdateError;
use crate::expression::placeholders::{Placeholders, ValueId};
use crate::expression::tree::{Elements, Fields, Node};
use crate::item::{Item, ItemRef, ItemWriter};
use crate::number::Number;

/// What becomes of one target.
enum Edit<'a> {
    Put(NewValue<'a>),
    Remove,
}

/// A value that is made of parts of the item and of given values, and written once.
enum NewValue<'a> {
    Copy(RawValue<'a>),
    Number(Number),
    Append(ListRef<'a>, ListRef<'a>),
    Union(SetRef<'a>, SetRef<'a>),
    Difference(SetRef<'a>, SetRef<'a>),
}

impl Update {
    /// The item that the update makes of `old`, or of nothing but its key attributes when there is none.
    ///
    /// # Errors
    /// [`UpdateError`] when the update does not fit the item.
    pub fn apply(
        &self,
        old: Option<ItemRef<'_>>,
        key: &[(&[u8], RawValue<'_>)],
        placeholders: &Placeholders,
    ) -> Result<Item, UpdateError> {
        let is_new = old.is_none();
        let key_only;
        let old = if let Some(old) = old {
            old
        } else {
            key_only = Item::build(key.iter().copied());
            key_only.as_ref()
        };
        let edits = self.actions.iter().map(|action| action.edit(old, placeholders));
        let edits = match edits.collect::<Result<Vec<_>, _>>() {
            Ok(edits) => edits,
            // Where there is no item, a path that leads nowhere is told before an operand that does not fit.
            Err(error) if is_new => return Err(self.check_paths(old).err().unwrap_or(error)),
            Err(error) => return Err(error),
        };
        let capacity = old.stored().len() + bytes_added(&edits);
        let mut item = ItemWriter::with_capacity(capacity);
        write_fields(item.writer(), old.attributes(), self.targets.fields(), &edits, 0)?;
        Ok(item.finish())
    }

    /// Checks that all targets can be reached in the item.
    fn check_paths(&self, old: ItemRef<'_>) -> Result<(), UpdateError> {
        let edits = self.actions.iter().map(|action| match action {
            Action::Set { .. } | Action::Add { .. } => Edit::Put(NewValue::Number(Number::ZERO)),
            Action::Remove { .. } | Action::Delete { .. } => Edit::Remove,
        });
        let edits: Vec<_> = edits.collect();
        let mut unused = ItemWriter::with_capacity(old.stored().len());
        write_fields(
            unused.writer(),
            old.attributes(),
            self.targets.fields(),
            &edits,
            0,
        )
    }

    /// What `UPDATED_OLD` shows: the places that the update touches, as they were.
    pub fn updated_old(&self, old: ItemRef<'_>) -> Item {
        self.targets.pick(old, &|_| true)
    }

    /// What `UPDATED_NEW` shows: the places that the update touches, as they are now. A place that was to be removed
    /// shows nothing, even where the rest of a list has moved into it.
    pub fn updated_new(&self, new: ItemRef<'_>) -> Item {
        self.targets.pick(new, &|index| {
            !matches!(self.actions[*index], Action::Remove { .. })
        })
    }
}

/// Bytes that the edits add at most; an estimate that saves growing the buffer.
fn bytes_added(edits: &[Edit<'_>]) -> usize {
    edits
        .iter()
        .map(|edit| match edit {
            Edit::Put(NewValue::Copy(value)) => value.as_bytes().len() + 16,
            _ => 32,
        })
        .sum()
}

impl SetOperand {
    fn read<'a>(
        &self,
        old: ItemRef<'a>,
        placeholders: &'a Placeholders,
    ) -> Result<RawValue<'a>, UpdateError> {
        self.paths
            .iter()
            .find_map(|path| path.resolve(old))
            .or_else(|| self.otherwise.map(|id| placeholders.value(id)))
            .ok_or(UpdateError::MissingAttribute)
    }

    fn read_number(&self, old: ItemRef<'_>, placeholders: &Placeholders) -> Result<Number, UpdateError> {
        match self.read(old, placeholders)?.open() {
            ValueRef::Number(number) => Ok(number.decode()),
            _ => Err(UpdateError::OperandType),
        }
    }

    fn read_list<'a>(
        &self,
        old: ItemRef<'a>,
        placeholders: &'a Placeholders,
    ) -> Result<ListRef<'a>, UpdateError> {
        match self.read(old, placeholders)?.open() {
            ValueRef::List(list) => Ok(list),
            _ => Err(UpdateError::OperandType),
        }
    }
}

impl SetValue {
    fn read<'a>(
        &self,
        old: ItemRef<'a>,
        placeholders: &'a Placeholders,
    ) -> Result<NewValue<'a>, UpdateError> {
        Ok(match self {
            Self::Operand(operand) => NewValue::Copy(operand.read(old, placeholders)?),
            Self::Sum(left, right) => {
                let (left, right) = (
                    left.read_number(old, placeholders)?,
                    right.read_number(old, placeholders)?,
                );
                NewValue::Number(left.checked_add(right)?)
            }
            Self::Difference(left, right) => {
                let (left, right) = (
                    left.read_number(old, placeholders)?,
                    right.read_number(old, placeholders)?,
                );
                NewValue::Number(left.checked_sub(right)?)
            }
            Self::Chain(first, rest) => {
                let mut sum = first.read_number(old, placeholders)?;
                for (plus, operand) in rest {
                    let operand = operand.read_number(old, placeholders)?;
                    sum = if *plus {
                        sum.checked_add(operand)?
                    } else {
                        sum.checked_sub(operand)?
                    };
                }
                NewValue::Number(sum)
            }
            Self::Append(left, right) => NewValue::Append(
                left.read_list(old, placeholders)?,
                right.read_list(old, placeholders)?,
            ),
        })
    }
}

impl Action {
    fn edit<'a>(&self, old: ItemRef<'a>, placeholders: &'a Placeholders) -> Result<Edit<'a>, UpdateError> {
        let given = |id: &ValueId| placeholders.value(*id);
        Ok(match self {
            Self::Set { value, .. } => Edit::Put(value.read(old, placeholders)?),
            Self::Remove { .. } => Edit::Remove,
            Self::Add { target, value } => {
                let value = given(value);
                let Some(present) = target.resolve(old) else {
                    return Ok(Edit::Put(NewValue::Copy(value)));
                };
                Edit::Put(match (present.open(), value.open()) {
                    (ValueRef::Number(present), ValueRef::Number(value)) => {
                        NewValue::Number(present.decode().checked_add(value.decode())?)
                    }
                    (ValueRef::Set(present), ValueRef::Set(value))
                        if present.element() == value.element() =>
                    {
                        NewValue::Union(present, value)
                    }
                    _ => return Err(UpdateError::OperandType),
                })
            }
            Self::Delete { target, value } => {
                let Some(present) = target.resolve(old) else {
                    return Ok(Edit::Remove);
                };
                match (present.open(), given(value).open()) {
                    (ValueRef::Set(present), ValueRef::Set(value))
                        if present.element() == value.element() =>
                    {
                        if merged(present, value).any(|(_, side)| side == Side::Left) {
                            Edit::Put(NewValue::Difference(present, value))
                        } else {
                            Edit::Remove
                        }
                    }
                    _ => return Err(UpdateError::OperandType),
                }
            }
        })
    }
}

/// In which of two sets an element is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
    Both,
}

/// The elements of two sorted sets of one type in ascending order, and where each was.
fn merged<'a>(left: SetRef<'a>, right: SetRef<'a>) -> impl Iterator<Item = (&'a [u8], Side)> {
    let mut left = left.iter().map(|element| element.bytes).peekable();
    let mut right = right.iter().map(|element| element.bytes).peekable();
    std::iter::from_fn(move || {
        let order = match (left.peek(), right.peek()) {
            (Some(left), Some(right)) => left.cmp(right),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => return None,
        };
        match order {
            Ordering::Less => left.next().map(|bytes| (bytes, Side::Left)),
            Ordering::Greater => right.next().map(|bytes| (bytes, Side::Right)),
            Ordering::Equal => {
                right.next();
                left.next().map(|bytes| (bytes, Side::Both))
            }
        }
    })
}

impl NewValue<'_> {
    /// Writes the value as the `depth`-th element of its path, counted from 0.
    fn write(&self, writer: &mut Writer, depth: usize) -> Result<(), UpdateError> {
        match self {
            Self::Copy(value) => {
                check_depth([*value].into_iter(), depth)?;
                writer.raw(*value);
            }
            Self::Number(number) => writer.number(number),
            Self::Append(first, second) => {
                check_depth(first.iter().chain(second.iter()), depth + 1)?;
                let scope = writer.begin_list();
                for value in first.iter().chain(second.iter()) {
                    writer.element();
                    writer.raw(value);
                }
                writer.end_list(&scope);
            }
            Self::Union(present, value) => write_set(writer, *present, *value, |_| true),
            Self::Difference(present, value) => {
                write_set(writer, *present, *value, |side| side == Side::Left);
            }
        }
        Ok(())
    }
}

fn write_set(writer: &mut Writer, left: SetRef<'_>, right: SetRef<'_>, wanted: fn(Side) -> bool) {
    let scope = writer.begin_set(left.element());
    for (element, _) in merged(left, right).filter(|(_, side)| wanted(*side)) {
        writer.set_element(element);
    }
    let ended = writer.end_set(&scope);
    debug_assert!(ended.is_ok(), "merging makes no duplicates");
}

/// Checks that values inside `depth` maps and lists do not go beyond the deepest nesting.
fn check_depth<'a>(mut values: impl Iterator<Item = RawValue<'a>>, depth: usize) -> Result<(), UpdateError> {
    // What fits anywhere in an item fits at its top.
    if depth == 0 || values.all(|value| fits(value, depth)) {
        Ok(())
    } else {
        Err(UpdateError::TooDeep)
    }
}

fn fits(value: RawValue<'_>, depth: usize) -> bool {
    match value.open() {
        ValueRef::List(list) => depth < DEPTH_MAX && list.iter().all(|value| fits(value, depth + 1)),
        ValueRef::Map(map) => depth < DEPTH_MAX && map.iter().all(|(_, value)| fits(value, depth + 1)),
        _ => true,
    }
}

/// Writes the entries of a map or item, with the edits below `fields` done.
fn write_fields(
    writer: &mut Writer,
    old: MapRef<'_>,
    fields: &Fields<usize>,
    edits: &[Edit<'_>],
    depth: usize,
) -> Result<(), UpdateError> {
    let mut fields = fields.iter().peekable();
    for (name, value) in old.iter() {
        while let Some((field, node)) = fields.next_if(|(field, _)| field.as_bytes() < name) {
            write_absent(writer, node, edits, depth, |writer| writer.name(field.as_bytes()))?;
        }
        if let Some((_, node)) = fields.next_if(|(field, _)| field.as_bytes() == name) {
            write_present(writer, value, node, edits, depth, |writer| writer.name(name))?;
        } else {
            writer.name(name);
            writer.raw(value);
        }
    }
    fields.try_for_each(|(field, node)| {
        write_absent(writer, node, edits, depth, |writer| writer.name(field.as_bytes()))
    })
}

/// Writes the elements of a list: what is set beyond its end is appended in the order of the indexes.
fn write_elements(
    writer: &mut Writer,
    old: ListRef<'_>,
    elements: &Elements<usize>,
    edits: &[Edit<'_>],
    depth: usize,
) -> Result<(), UpdateError> {
    let mut elements = elements.iter().peekable();
    for (index, value) in (0_u32..).zip(old.iter()) {
        if let Some((_, node)) = elements.next_if(|(element, _)| *element == index) {
            write_present(writer, value, node, edits, depth, Writer::element)?;
        } else {
            writer.element();
            writer.raw(value);
        }
    }
    elements.try_for_each(|(_, node)| write_absent(writer, node, edits, depth, Writer::element))
}

/// Writes an entry that was not there before, if there is one now.
fn write_absent(
    writer: &mut Writer,
    node: &Node<usize>,
    edits: &[Edit<'_>],
    depth: usize,
    announce: impl FnOnce(&mut Writer),
) -> Result<(), UpdateError> {
    match node {
        Node::Leaf(edit) => match &edits[*edit] {
            Edit::Put(value) => {
                announce(writer);
                value.write(writer, depth)
            }
            Edit::Remove => Ok(()),
        },
        Node::Fields(_) | Node::Elements(_) => Err(UpdateError::InvalidPath),
    }
}

/// Writes what becomes of an entry.
fn write_present(
    writer: &mut Writer,
    value: RawValue<'_>,
    node: &Node<usize>,
    edits: &[Edit<'_>],
    depth: usize,
    announce: impl FnOnce(&mut Writer),
) -> Result<(), UpdateError> {
    match (node, value.open()) {
        (Node::Leaf(_), _) => write_absent(writer, node, edits, depth, announce),
        (Node::Fields(fields), ValueRef::Map(map)) => {
            announce(writer);
            let scope = writer.begin_map();
            write_fields(writer, map, fields, edits, depth + 1)?;
            writer.end_map(&scope);
            Ok(())
        }
        (Node::Elements(elements), ValueRef::List(list)) => {
            announce(writer);
            let scope = writer.begin_list();
            write_elements(writer, list, elements, edits, depth + 1)?;
            writer.end_list(&scope);
            Ok(())
        }
        _ => Err(UpdateError::InvalidPath),
    }
}
