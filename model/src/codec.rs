//! The stored form of values and items: the one place that writes and checks it. Layout: `docs/format/item.md`.
//!
//! Invariants: [`Writer`] only makes canonical forms (maps sorted by name, sets sorted and without duplicates, numbers
//! normalized); [`check_value`] accepts exactly those, so that whatever comes from a disk or a peer is either canonical
//! or refused, and the views of [`crate::attribute`] never fail. JSON is not known here.

use crate::attribute::{CONTAINER_SIZE, Kind, MapRef, RawValue, SetElement, number_size};
use crate::number::{Number, NumberRef};

/// Most lists and maps around a value; with the value itself they make the 32 levels that DynamoDB allows.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: nested attribute depth".
pub const DEPTH_MAX: usize = 31;

/// First byte of a stored value.
pub(crate) mod tag {
    pub(crate) const NULL: u8 = 0;
    pub(crate) const FALSE: u8 = 1;
    pub(crate) const TRUE: u8 = 2;
    pub(crate) const STRING: u8 = 3;
    pub(crate) const NUMBER: u8 = 4;
    pub(crate) const BINARY: u8 = 5;
    pub(crate) const STRING_SET: u8 = 6;
    pub(crate) const NUMBER_SET: u8 = 7;
    pub(crate) const BINARY_SET: u8 = 8;
    pub(crate) const LIST: u8 = 9;
    pub(crate) const MAP: u8 = 10;
}

/// Bytes between the tag and the body of a set, list or map: body length and count, 32 bits little-endian each.
const CONTAINER_HEADER_BYTES: usize = 8;

/// Reads an unsigned LEB128 length of at most 32 bits, and moves on behind it; `None` for any other bytes.
pub fn read_length(bytes: &[u8], position: &mut usize) -> Option<usize> {
    let first = *bytes.get(*position)?;
    if first < 0x80 {
        *position += 1;
        return Some(usize::from(first));
    }
    let mut value = 0_u64;
    for shift in (0..35).step_by(7) {
        let byte = *bytes.get(*position)?;
        *position += 1;
        value |= u64::from(byte & 0x7F) << shift;
        if byte < 0x80 {
            // Only the shortest spelling is canonical.
            return (byte != 0).then(|| usize::try_from(value).ok()).flatten();
        }
    }
    None
}

/// Appends the LEB128 form of a length, which has at most 32 bits.
pub fn write_length(out: &mut Vec<u8>, mut length: usize) {
    while length >= 0x80 {
        out.push(length.to_le_bytes()[0] | 0x80);
        length >>= 7;
    }
    out.push(length.to_le_bytes()[0]);
}

pub(crate) fn read_u32(bytes: &[u8], position: usize) -> Option<usize> {
    let word = bytes.get(position..position + 4)?;
    usize::try_from(u32::from_le_bytes(word.try_into().ok()?)).ok()
}

/// Length of the first value in `bytes`, from its header alone.
pub(crate) fn span_of_value(bytes: &[u8]) -> Option<usize> {
    let mut position = 1;
    let end = match *bytes.first()? {
        tag::NULL | tag::FALSE | tag::TRUE => 1,
        tag::STRING | tag::BINARY => read_length(bytes, &mut position)?.checked_add(position)?,
        tag::NUMBER => 2 + usize::from(*bytes.get(1)?),
        tag::STRING_SET..=tag::MAP => read_u32(bytes, 1)?.checked_add(1 + CONTAINER_HEADER_BYTES)?,
        _ => return None,
    };
    (end <= bytes.len()).then_some(end)
}

/// What a check finds out about a value on its way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Checked {
    /// Length of the stored form.
    pub(crate) end: usize,
    /// Size in bytes by DynamoDB's rules, as [`RawValue::size`].
    pub(crate) size: usize,
}

/// Checks that `bytes` starts with a canonical value, and measures it.
pub(crate) fn check_value(bytes: &[u8], depth: usize) -> Option<Checked> {
    let end = span_of_value(bytes)?;
    let body = |count: usize| bytes.get(count..end);
    let size = match bytes[0] {
        tag::STRING | tag::BINARY => {
            let mut position = 1;
            let length = read_length(bytes, &mut position)?;
            if bytes[0] == tag::STRING {
                std::str::from_utf8(body(position)?).ok()?;
            }
            length
        }
        tag::NUMBER => number_size(NumberRef::new(body(2)?)?),
        kind @ (tag::STRING_SET | tag::NUMBER_SET | tag::BINARY_SET) => {
            check_set(kind, read_u32(bytes, 5)?, body(1 + CONTAINER_HEADER_BYTES)?)?
        }
        tag::LIST if depth < DEPTH_MAX => {
            let count = read_u32(bytes, 5)?;
            let mut rest = body(1 + CONTAINER_HEADER_BYTES)?;
            let mut size = CONTAINER_SIZE + count;
            for _ in 0..count {
                let element = check_value(rest, depth + 1)?;
                size += element.size;
                rest = &rest[element.end..];
            }
            rest.is_empty().then_some(size)?
        }
        tag::MAP if depth < DEPTH_MAX => {
            let count = read_u32(bytes, 5)?;
            CONTAINER_SIZE + count + check_entries(count, body(1 + CONTAINER_HEADER_BYTES)?, depth + 1)?
        }
        tag::LIST | tag::MAP => return None,
        _ => 1,
    };
    Some(Checked { end, size })
}

/// Checks the elements of a set. Gives the sum of their sizes.
fn check_set(kind: u8, count: usize, mut rest: &[u8]) -> Option<usize> {
    let mut previous: Option<&[u8]> = None;
    let mut size = 0;
    for _ in 0..count {
        let mut position = 0;
        let length = read_length(rest, &mut position)?;
        let element = rest.get(position..position.checked_add(length)?)?;
        size += match kind {
            tag::STRING_SET => std::str::from_utf8(element).ok()?.len(),
            tag::NUMBER_SET => number_size(NumberRef::new(element)?),
            _ => length,
        };
        previous.is_none_or(|previous| previous < element).then_some(())?;
        previous = Some(element);
        rest = &rest[position + length..];
    }
    (count > 0 && rest.is_empty()).then_some(size)
}

/// Checks the entries of a map: names strictly ascending and UTF-8, values canonical. Gives the sum of the sizes of names and
/// values.
pub(crate) fn check_entries(count: usize, mut rest: &[u8], depth: usize) -> Option<usize> {
    let mut previous: Option<&[u8]> = None;
    let mut size = 0;
    for _ in 0..count {
        let mut position = 0;
        let length = read_length(rest, &mut position)?;
        let name = rest.get(position..position.checked_add(length)?)?;
        std::str::from_utf8(name).ok()?;
        previous.is_none_or(|previous| previous < name).then_some(())?;
        previous = Some(name);
        rest = &rest[position + length..];
        let value = check_value(rest, depth)?;
        size += length + value.size;
        rest = &rest[value.end..];
    }
    rest.is_empty().then_some(size)
}

/// A set was given an element twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DuplicateElement;

/// A container that has been begun and not yet ended.
#[derive(Debug)]
#[must_use = "a container that is not ended leaves a broken value behind"]
pub struct Scope {
    /// Where the 32-bit header words are to be filled in.
    header_at: usize,
    /// The first of this container's entries in [`Writer::entries`].
    entries_from: usize,
    /// Whether the header has a body length before the count. An item has only a count.
    has_length: bool,
}

/// Where an entry lies in the output, and where the bytes that order it lie.
#[derive(Debug, Clone, Copy)]
struct Entry {
    start: usize,
    key_start: usize,
    key_end: usize,
}

/// Writes values and items in stored form, front to back, into one buffer.
///
/// Entries may come in any order: a container that was not given in order is rearranged when it ends. A name that
/// comes twice keeps the later value.
#[derive(Debug, Default, Clone)]
pub struct Writer {
    out: Vec<u8>,
    entries: Vec<Entry>,
    scratch: Vec<u8>,
}

impl Writer {
    /// A writer with room for a number of bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            ..Self::default()
        }
    }

    /// Bytes written so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// True when nothing is written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// What has been written since the writer was made or cleared.
    pub fn as_bytes(&self) -> &[u8] {
        &self.out
    }

    /// Ends writing and takes the bytes.
    pub fn into_bytes(self) -> Vec<u8> {
        debug_assert!(self.entries.is_empty(), "a container was not ended");
        self.out
    }

    /// The value that starts at `start`, which must be complete.
    pub fn value_at(&self, start: usize) -> RawValue<'_> {
        let end = start + span_of_value(&self.out[start..]).unwrap_or(0);
        RawValue::trusted(&self.out[start..end])
    }

    /// Forgets everything after `length` bytes; no container may be open.
    pub fn truncate(&mut self, length: usize) {
        self.out.truncate(length);
        self.entries.clear();
    }

    /// Writes `NULL`.
    pub fn null(&mut self) {
        self.out.push(tag::NULL);
    }

    /// Writes a `BOOL`.
    pub fn bool(&mut self, value: bool) {
        self.out.push(if value { tag::TRUE } else { tag::FALSE });
    }

    /// Writes an `S`.
    pub fn string(&mut self, text: &str) {
        self.out.push(tag::STRING);
        self.prefixed(text.as_bytes());
    }

    /// Writes a `B`.
    pub fn binary(&mut self, bytes: &[u8]) {
        self.out.push(tag::BINARY);
        self.prefixed(bytes);
    }

    /// Writes an `N`.
    pub fn number(&mut self, number: &Number) {
        self.out.push(tag::NUMBER);
        self.prefixed(number.encode().as_bytes());
    }

    /// Copies a value that is in stored form already.
    pub fn raw(&mut self, value: RawValue<'_>) {
        self.out.extend_from_slice(value.as_bytes());
    }

    fn prefixed(&mut self, bytes: &[u8]) {
        write_length(&mut self.out, bytes.len());
        self.out.extend_from_slice(bytes);
    }

    fn begin(&mut self, has_length: bool) -> Scope {
        let scope = Scope {
            header_at: self.out.len(),
            entries_from: self.entries.len(),
            has_length,
        };
        self.out
            .extend_from_slice(&[0; CONTAINER_HEADER_BYTES][..if has_length { 8 } else { 4 }]);
        scope
    }

    /// Begins the attributes of an item: an entry count without tag and length.
    pub(crate) fn begin_attributes(&mut self) -> Scope {
        self.begin(false)
    }

    pub(crate) fn byte(&mut self, byte: u8) {
        self.out.push(byte);
    }

    /// Begins an `M`. Each entry is [`Writer::name`] and then one value.
    pub fn begin_map(&mut self) -> Scope {
        self.out.push(tag::MAP);
        self.begin(true)
    }

    /// Begins an `L`. Each element is [`Writer::element`] and then one value.
    pub fn begin_list(&mut self) -> Scope {
        self.out.push(tag::LIST);
        self.begin(true)
    }

    /// Begins a set; `element` is the type of its elements. Each is written with [`Writer::set_element`].
    pub fn begin_set(&mut self, element: Kind) -> Scope {
        self.out.push(match element {
            Kind::Number => tag::NUMBER_SET,
            Kind::Binary => tag::BINARY_SET,
            _ => tag::STRING_SET,
        });
        self.begin(true)
    }

    /// Writes the name of the next entry of a map or item.
    pub fn name(&mut self, name: &[u8]) {
        let start = self.out.len();
        self.prefixed(name);
        let key_end = self.out.len();
        self.entries.push(Entry {
            start,
            key_start: key_end - name.len(),
            key_end,
        });
    }

    /// Announces the next element of a list.
    pub fn element(&mut self) {
        let at = self.out.len();
        self.entries.push(Entry {
            start: at,
            key_start: at,
            key_end: at,
        });
    }

    /// Writes an element of a set: text, order-preserving number bytes, or binary.
    pub fn set_element(&mut self, bytes: &[u8]) {
        self.name(bytes);
    }

    /// Ends a list.
    pub fn end_list(&mut self, scope: &Scope) {
        let count = self.entries.len() - scope.entries_from;
        self.close(scope, count);
    }

    /// Ends a map or the attributes of an item: puts the entries in order; of equal names the last one stays.
    pub fn end_map(&mut self, scope: &Scope) {
        self.sort_entries(scope);
        self.entries
            .len()
            .checked_sub(scope.entries_from)
            .inspect(|&count| self.close(scope, count));
    }

    /// Ends a set and puts the elements in order.
    ///
    /// # Errors
    /// [`DuplicateElement`] when an element came twice; the output is then useless.
    pub fn end_set(&mut self, scope: &Scope) -> Result<(), DuplicateElement> {
        let given = self.entries.len() - scope.entries_from;
        self.sort_entries(scope);
        let kept = self.entries.len() - scope.entries_from;
        self.close(scope, kept);
        if kept == given {
            Ok(())
        } else {
            Err(DuplicateElement)
        }
    }

    /// The elements of an open set so far, in the order in which they came.
    pub fn open_set_elements(&self, scope: &Scope, element: Kind) -> impl Iterator<Item = SetElement<'_>> {
        self.entries[scope.entries_from..]
            .iter()
            .map(move |entry| SetElement {
                kind: element,
                bytes: &self.out[entry.key_start..entry.key_end],
            })
    }

    /// Rearranges the entries of a container so that their keys ascend strictly.
    fn sort_entries(&mut self, scope: &Scope) {
        let out = &self.out;
        let key = |entry: &Entry| &out[entry.key_start..entry.key_end];
        let own = &mut self.entries[scope.entries_from..];
        if own.is_sorted_by(|a, b| key(a) < key(b)) {
            return;
        }
        // The end of an entry is the start of the next one as they came; remember it before they move.
        let mut ends: Vec<usize> = own.iter().skip(1).map(|entry| entry.start).collect();
        ends.push(out.len());
        let mut spans: Vec<(Entry, usize)> = own.iter().copied().zip(ends).collect();
        spans.sort_by(|(a, _), (b, _)| key(a).cmp(key(b)));
        // The sort is stable, so the last of equal keys is the one that came last.
        self.scratch.clear();
        let mut kept = 0;
        for (index, (entry, end)) in spans.iter().enumerate() {
            if spans
                .get(index + 1)
                .is_some_and(|(next, _)| key(next) == key(entry))
            {
                continue;
            }
            self.scratch.extend_from_slice(&out[entry.start..*end]);
            kept += 1;
        }
        let body = scope.header_at + if scope.has_length { 8 } else { 4 };
        self.out.truncate(body);
        self.out.extend_from_slice(&self.scratch);
        self.entries.truncate(scope.entries_from + kept);
    }

    fn close(&mut self, scope: &Scope, count: usize) {
        self.entries.truncate(scope.entries_from);
        let word = |value: usize| u32::try_from(value).unwrap_or(u32::MAX).to_le_bytes();
        let mut at = scope.header_at;
        if scope.has_length {
            let length = self.out.len() - at - CONTAINER_HEADER_BYTES;
            self.out[at..at + 4].copy_from_slice(&word(length));
            at += 4;
        }
        self.out[at..at + 4].copy_from_slice(&word(count));
    }
}

/// The entries of an item's body after its version byte, once checked.
pub(crate) fn attributes(body: &[u8]) -> MapRef<'_> {
    MapRef::trusted(read_u32(body, 0).unwrap_or(0), &body[4..])
}
