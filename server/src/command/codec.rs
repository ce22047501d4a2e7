//! Reading and writing the parts of commands and answers. Layout: `docs/format/command.md`.
//!
//! Invariant: reading never takes more memory than the input has, and no input makes it panic.

use bytes::Bytes;
use stator_cluster::{MalformedAnswer, MalformedCommand};
use stator_model::codec::{read_length, write_length};
use stator_model::item::Item;

use super::FORMAT_VERSION;

/// What is wrong with bytes that should be a command or an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Malformed(pub(super) String);

impl From<Malformed> for MalformedCommand {
    fn from(Malformed(detail): Malformed) -> Self {
        Self { detail }
    }
}

impl From<Malformed> for MalformedAnswer {
    fn from(Malformed(detail): Malformed) -> Self {
        Self { detail }
    }
}

/// Appends bytes with their length in front.
pub(super) fn put_bytes(into: &mut Vec<u8>, bytes: &[u8]) {
    write_length(into, bytes.len());
    into.extend_from_slice(bytes);
}

/// Appends an item, or that there is none: a stored item is never empty.
pub(super) fn put_item(into: &mut Vec<u8>, item: Option<&Item>) {
    put_bytes(into, item.map(|item| &item.stored()[..]).unwrap_or_default());
}

/// A place in bytes that are being read.
#[derive(Debug)]
pub(super) struct Cursor<'a> {
    bytes: &'a Bytes,
    position: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(bytes: &'a Bytes) -> Self {
        Self { bytes, position: 0 }
    }

    fn cut(&self) -> Malformed {
        Malformed(format!(
            "a field at byte {} is cut off or no field",
            self.position
        ))
    }

    pub(super) fn byte(&mut self) -> Result<u8, Malformed> {
        let byte = *self.bytes.get(self.position).ok_or_else(|| self.cut())?;
        self.position += 1;
        Ok(byte)
    }

    /// The version, which has to be ours.
    pub(super) fn version(&mut self) -> Result<(), Malformed> {
        match self.byte()? {
            FORMAT_VERSION => Ok(()),
            found => Err(Malformed(format!(
                "format version {found}, this program reads version {FORMAT_VERSION}"
            ))),
        }
    }

    pub(super) fn length(&mut self) -> Result<usize, Malformed> {
        let mut position = self.position;
        let length = read_length(self.bytes, &mut position).ok_or_else(|| self.cut())?;
        self.position = position;
        Ok(length)
    }

    /// Bytes with their length in front.
    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Malformed> {
        let length = self.length()?;
        let end = self.position.checked_add(length).ok_or_else(|| self.cut())?;
        let bytes = self.bytes.get(self.position..end).ok_or_else(|| self.cut())?;
        self.position = end;
        Ok(bytes)
    }

    /// The same, sharing the memory that is read.
    pub(super) fn shared(&mut self) -> Result<Bytes, Malformed> {
        let bytes = self.bytes()?;
        Ok(self.bytes.slice_ref(bytes))
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Malformed> {
        let at = self.position;
        std::str::from_utf8(self.bytes()?).map_err(|error| Malformed(format!("text at byte {at}: {error}")))
    }

    /// An item, checked in full; `None` where none was written.
    pub(super) fn optional_item(&mut self) -> Result<Option<Item>, Malformed> {
        let at = self.position;
        let bytes = self.shared()?;
        if bytes.is_empty() {
            return Ok(None);
        }
        Item::from_stored(bytes)
            .map(Some)
            .map_err(|error| Malformed(format!("item at byte {at}: {error}")))
    }

    /// An item that has to be there.
    pub(super) fn item(&mut self) -> Result<Item, Malformed> {
        self.optional_item()?.ok_or_else(|| self.cut())
    }

    /// Ends reading: nothing may be left.
    pub(super) fn end(&self) -> Result<(), Malformed> {
        match self.bytes.len() - self.position {
            0 => Ok(()),
            left => Err(Malformed(format!("{left} bytes too many"))),
        }
    }
}
