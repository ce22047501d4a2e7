//! Write batches: encoded once, in the very form in which they go to the log.
//!
//! Invariant: the bytes of a batch are written into one buffer by `put` and `delete`; the memtable holds slices of that
//! same buffer, and the log takes a copy to encrypt. The layout is that of `docs/format/log.md`. Not here: who assigns
//! sequence numbers (`commit.rs`).

use bytes::{BufMut, Bytes, BytesMut};

use crate::entry::{EntryKind, KEY_BYTES_MAX, KeyspaceId, VALUE_BYTES_MAX};
use crate::error::{Error, Result};

/// kind, keyspace, key length, value length.
const ENTRY_HEADER_BYTES: usize = 1 + 4 + 4 + 4;

/// The largest batch, in bytes of its encoded form.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// A set of puts and deletes, over any number of keyspaces, that becomes visible and durable as a whole or not at all.
///
/// Of two entries for the same key the later one counts.
#[derive(Debug)]
pub struct WriteBatch {
    buffer: BytesMut,
    entries: usize,
    /// Keyspaces named so far, each once in a row of equal ones: most batches touch one or two.
    keyspaces: Vec<KeyspaceId>,
    /// The first argument that was out of range; reported by `commit`.
    invalid: Option<Error>,
}

impl Default for WriteBatch {
    fn default() -> Self {
        Self::new()
    }
}

impl WriteBatch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::with_capacity(256)
    }

    /// An empty batch with room for `bytes` of keys and values, so that filling it does not move them.
    pub fn with_capacity(bytes: usize) -> Self {
        Self {
            buffer: BytesMut::with_capacity(ENTRY_HEADER_BYTES + bytes),
            entries: 0,
            keyspaces: Vec::new(),
            invalid: None,
        }
    }

    /// Sets `key` to `value`. A key longer than [`KEY_BYTES_MAX`] or a value longer than [`VALUE_BYTES_MAX`] makes
    /// the commit of the batch fail with [`Error::Invalid`].
    pub fn put(&mut self, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        self.push(EntryKind::Put, keyspace, key, value);
    }

    /// Removes `key`. Removing an absent key is no error.
    pub fn delete(&mut self, keyspace: KeyspaceId, key: &[u8]) {
        self.push(EntryKind::Delete, keyspace, key, &[]);
    }

    /// The number of puts and deletes.
    pub fn len(&self) -> usize {
        self.entries
    }

    /// Whether nothing was put or deleted.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The encoded size in bytes.
    pub fn encoded_bytes(&self) -> usize {
        self.buffer.len()
    }

    fn push(&mut self, kind: EntryKind, keyspace: KeyspaceId, key: &[u8], value: &[u8]) {
        let lengths = (u32::try_from(key.len()), u32::try_from(value.len()));
        let (Ok(key_len), Ok(value_len)) = lengths else {
            return self.refuse("entry", format!("has {} bytes", key.len().max(value.len())));
        };
        if key.len() > KEY_BYTES_MAX {
            return self.refuse("key", format!("has {key_len} bytes, may have {KEY_BYTES_MAX}"));
        }
        if value.len() > VALUE_BYTES_MAX {
            return self.refuse(
                "value",
                format!("has {value_len} bytes, may have {VALUE_BYTES_MAX}"),
            );
        }
        let bytes = ENTRY_HEADER_BYTES + key.len() + value.len();
        if self.buffer.len() + bytes > BATCH_BYTES_MAX {
            return self.refuse("batch", format!("would have more than {BATCH_BYTES_MAX} bytes"));
        }
        if self.keyspaces.last() != Some(&keyspace) {
            self.keyspaces.push(keyspace);
        }
        self.buffer.reserve(bytes);
        self.buffer.put_u8(kind.byte());
        self.buffer.put_u32_le(keyspace.0);
        self.buffer.put_u32_le(key_len);
        self.buffer.put_u32_le(value_len);
        self.buffer.put_slice(key);
        self.buffer.put_slice(value);
        self.entries += 1;
    }

    fn refuse(&mut self, what: &'static str, detail: String) {
        if self.invalid.is_none() {
            self.invalid = Some(Error::Invalid { what, detail });
        }
    }

    /// Takes the batch apart.
    pub(crate) fn into_parts(self) -> Result<BatchParts> {
        match self.invalid {
            Some(error) => Err(error),
            None => Ok(BatchParts {
                entries: self.buffer.freeze(),
                keyspaces: self.keyspaces,
            }),
        }
    }
}

/// What a batch is made of.
#[derive(Debug)]
pub(crate) struct BatchParts {
    /// The entries, encoded.
    pub(crate) entries: Bytes,
    /// The keyspaces they name; some may be named more than once.
    pub(crate) keyspaces: Vec<KeyspaceId>,
}

/// One decoded entry of a batch; `data` is the key followed by the value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BatchEntry<'a> {
    pub(crate) kind: EntryKind,
    pub(crate) keyspace: KeyspaceId,
    pub(crate) key_len: u32,
    pub(crate) data: &'a [u8],
}

/// Walks the entries of a record's payload. An entry that does not fit the payload gives its offset and ends the walk.
#[derive(Debug)]
pub(crate) struct BatchEntries<'a> {
    payload: &'a [u8],
    at: usize,
}

impl<'a> BatchEntries<'a> {
    pub(crate) fn new(payload: &'a [u8]) -> Self {
        Self { payload, at: 0 }
    }

    fn decode(&self) -> Option<(BatchEntry<'a>, usize)> {
        let header = self
            .payload
            .get(self.at..self.at.checked_add(ENTRY_HEADER_BYTES)?)?;
        let word = |at: usize| Some(u32::from_le_bytes(header.get(at..at + 4)?.try_into().ok()?));
        let kind = EntryKind::from_byte(*header.first()?)?;
        let (keyspace, key_len, value_len) = (KeyspaceId(word(1)?), word(5)?, word(9)?);
        let data_len = (key_len as usize).checked_add(value_len as usize)?;
        let start = self.at + ENTRY_HEADER_BYTES;
        let end = start.checked_add(data_len)?;
        let data = self.payload.get(start..end)?;
        Some((
            BatchEntry {
                kind,
                keyspace,
                key_len,
                data,
            },
            end,
        ))
    }
}

impl<'a> Iterator for BatchEntries<'a> {
    type Item = Result<BatchEntry<'a>, usize>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.payload.len() {
            return None;
        }
        let Some((entry, end)) = self.decode() else {
            let bad = self.at;
            self.at = self.payload.len();
            return Some(Err(bad));
        };
        self.at = end;
        Some(Ok(entry))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_come_back_as_they_were_put() {
        let mut batch = WriteBatch::new();
        batch.put(KeyspaceId(1), b"key", b"value");
        batch.delete(KeyspaceId(2), b"gone");
        assert_eq!(batch.len(), 2);
        let BatchParts { entries, keyspaces } = batch.into_parts().unwrap();
        assert_eq!(keyspaces, vec![KeyspaceId(1), KeyspaceId(2)]);
        let read: Vec<_> = BatchEntries::new(&entries).map(Result::unwrap).collect();
        assert_eq!(
            (read[0].kind, read[0].data, read[0].key_len),
            (EntryKind::Put, &b"keyvalue"[..], 3)
        );
        assert_eq!((read[1].kind, read[1].data), (EntryKind::Delete, &b"gone"[..]));
    }

    #[test]
    fn a_cut_payload_gives_the_offset_of_the_bad_entry() {
        let mut batch = WriteBatch::new();
        batch.put(KeyspaceId(1), b"a", b"1");
        batch.put(KeyspaceId(1), b"b", b"2");
        let payload = batch.into_parts().unwrap().entries;
        let cut = payload.slice(..payload.len() - 1);
        let read: Vec<_> = BatchEntries::new(&cut).collect();
        assert_eq!(*read[1].as_ref().unwrap_err(), ENTRY_HEADER_BYTES + 2);
    }

    #[test]
    fn an_oversized_key_fails_the_batch() {
        let mut batch = WriteBatch::new();
        batch.put(KeyspaceId(1), &vec![0; KEY_BYTES_MAX + 1], b"");
        assert!(matches!(
            batch.into_parts(),
            Err(Error::Invalid { what: "key", .. })
        ));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8..6, 0..120)) {
            let _entries: Vec<_> = BatchEntries::new(&bytes).collect();
        }
    }
}
