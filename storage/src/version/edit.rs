//! Version edits: the steps from one set of files to the next, and their encoding (`docs/format/manifest.md`).
//!
//! Invariant: what is encoded decodes to the same edit; bytes that are no edit are refused.

use bytes::{BufMut, Bytes};

use crate::entry::{KeyspaceId, SequenceNumber};
use crate::header::{u32_at, u64_at};
use crate::settings::CompactionStrategy;
use crate::sstable::SstableMeta;
use crate::version::{KeyspaceOptions, LEVELS, Recovery};
use crate::wal::record::StreamId;

/// One step of an edit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Change {
    KeyspaceCreated {
        id: KeyspaceId,
        name: String,
        options: KeyspaceOptions,
    },
    KeyspaceDropped {
        id: KeyspaceId,
        at: SequenceNumber,
    },
    KeyspacePurged {
        id: KeyspaceId,
    },
    SstableAdded {
        keyspace: KeyspaceId,
        level: usize,
        meta: SstableMeta,
    },
    SstableRemoved {
        keyspace: KeyspaceId,
        level: usize,
        number: u64,
    },
    LogStart(u64),
    LastSequence(SequenceNumber),
    NextFile(u64),
    NextKeyspace(u32),
    /// Everything that was applied of a stream up to this index is in sstables.
    StreamFlushed {
        stream: StreamId,
        index: u64,
    },
    /// The stream is as if nothing of it had ever been applied.
    StreamForgotten(StreamId),
}

/// Appends the encoding of `change`.
pub(crate) fn encode(change: &Change, into: &mut Vec<u8>) {
    match change {
        Change::KeyspaceCreated { id, name, options } => {
            into.put_u8(1);
            into.put_u32_le(id.0);
            into.put_u16_le(u16::try_from(name.len()).unwrap_or(u16::MAX));
            into.put_slice(name.as_bytes());
            put_options(*options, into);
        }
        Change::KeyspaceDropped { id, at } => {
            into.put_u8(2);
            into.put_u32_le(id.0);
            into.put_u64_le(*at);
        }
        Change::KeyspacePurged { id } => {
            into.put_u8(3);
            into.put_u32_le(id.0);
        }
        Change::SstableAdded {
            keyspace,
            level,
            meta,
        } => {
            into.put_u8(4);
            into.put_u32_le(keyspace.0);
            into.put_u8(u8::try_from(*level).unwrap_or(u8::MAX));
            put_meta(meta, into);
        }
        Change::SstableRemoved {
            keyspace,
            level,
            number,
        } => {
            into.put_u8(5);
            into.put_u32_le(keyspace.0);
            into.put_u8(u8::try_from(*level).unwrap_or(u8::MAX));
            into.put_u64_le(*number);
        }
        Change::LogStart(number) => {
            into.put_u8(6);
            into.put_u64_le(*number);
        }
        Change::LastSequence(number) => {
            into.put_u8(7);
            into.put_u64_le(*number);
        }
        Change::NextFile(number) => {
            into.put_u8(8);
            into.put_u64_le(*number);
        }
        Change::NextKeyspace(number) => {
            into.put_u8(9);
            into.put_u32_le(*number);
        }
        Change::StreamFlushed { stream, index } => {
            into.put_u8(16);
            into.put_u64_le(stream.0);
            into.put_u64_le(*index);
        }
        Change::StreamForgotten(stream) => {
            into.put_u8(17);
            into.put_u64_le(stream.0);
        }
    }
}

fn put_meta(meta: &SstableMeta, into: &mut Vec<u8>) {
    let numbers = [
        meta.number,
        meta.bytes,
        meta.entries,
        meta.tombstones,
        meta.smallest_sequence,
        meta.largest_sequence,
    ];
    for number in numbers {
        into.put_u64_le(number);
    }
    for key in [&meta.first_key, &meta.last_key] {
        into.put_u32_le(u32::try_from(key.len()).unwrap_or(u32::MAX));
        into.put_slice(key);
    }
}

fn put_options(options: KeyspaceOptions, into: &mut Vec<u8>) {
    into.put_u8(match options.recovery {
        Recovery::Logged => 0,
        Recovery::Replayed => 1,
    });
    into.put_u8(match options.compaction {
        CompactionStrategy::Leveled => 0,
        CompactionStrategy::SizeTiered => 1,
    });
}

/// Decodes an edit; `Err` is the offset of what is not understood.
pub(crate) fn decode(bytes: &Bytes) -> Result<Vec<Change>, usize> {
    let mut reader = Reader { bytes, at: 0 };
    let mut changes = Vec::new();
    while reader.at < bytes.len() {
        let start = reader.at;
        changes.push(reader.change().ok_or(start)?);
    }
    Ok(changes)
}

struct Reader<'a> {
    bytes: &'a Bytes,
    at: usize,
}

impl Reader<'_> {
    fn u8(&mut self) -> Option<u8> {
        let byte = *self.bytes.get(self.at)?;
        self.at += 1;
        Some(byte)
    }

    fn u32(&mut self) -> Option<u32> {
        let number = u32_at(self.bytes, self.at)?;
        self.at += 4;
        Some(number)
    }

    fn u64(&mut self) -> Option<u64> {
        let number = u64_at(self.bytes, self.at)?;
        self.at += 8;
        Some(number)
    }

    fn slice(&mut self, length: usize) -> Option<Bytes> {
        let end = self
            .at
            .checked_add(length)
            .filter(|end| *end <= self.bytes.len())?;
        let slice = Bytes::copy_from_slice(&self.bytes[self.at..end]);
        self.at = end;
        Some(slice)
    }

    fn key(&mut self) -> Option<Bytes> {
        let length = self.u32()? as usize;
        self.slice(length)
    }

    fn keyspace(&mut self) -> Option<KeyspaceId> {
        self.u32().map(KeyspaceId)
    }

    fn level(&mut self) -> Option<usize> {
        self.u8().map(usize::from).filter(|level| *level < LEVELS)
    }

    fn options(&mut self) -> Option<KeyspaceOptions> {
        let recovery = match self.u8()? {
            0 => Recovery::Logged,
            1 => Recovery::Replayed,
            _ => return None,
        };
        let compaction = match self.u8()? {
            0 => CompactionStrategy::Leveled,
            1 => CompactionStrategy::SizeTiered,
            _ => return None,
        };
        Some(KeyspaceOptions { recovery, compaction })
    }

    fn change(&mut self) -> Option<Change> {
        Some(match self.u8()? {
            1 => {
                let id = self.keyspace()?;
                let length = usize::from(self.u8()?) | usize::from(self.u8()?) << 8;
                let name = String::from_utf8(self.slice(length)?.to_vec()).ok()?;
                let options = self.options()?;
                Change::KeyspaceCreated { id, name, options }
            }
            2 => Change::KeyspaceDropped {
                id: self.keyspace()?,
                at: self.u64()?,
            },
            3 => Change::KeyspacePurged { id: self.keyspace()? },
            4 => {
                let (keyspace, level) = (self.keyspace()?, self.level()?);
                let meta = SstableMeta {
                    number: self.u64()?,
                    bytes: self.u64()?,
                    entries: self.u64()?,
                    tombstones: self.u64()?,
                    smallest_sequence: self.u64()?,
                    largest_sequence: self.u64()?,
                    first_key: self.key()?,
                    last_key: self.key()?,
                };
                Change::SstableAdded {
                    keyspace,
                    level,
                    meta,
                }
            }
            5 => Change::SstableRemoved {
                keyspace: self.keyspace()?,
                level: self.level()?,
                number: self.u64()?,
            },
            6 => Change::LogStart(self.u64()?),
            7 => Change::LastSequence(self.u64()?),
            8 => Change::NextFile(self.u64()?),
            9 => Change::NextKeyspace(self.u32()?),
            16 => Change::StreamFlushed {
                stream: StreamId(self.u64()?),
                index: self.u64()?,
            },
            17 => Change::StreamForgotten(StreamId(self.u64()?)),
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_change_comes_back() {
        let meta = SstableMeta {
            number: 1,
            bytes: 2,
            entries: 3,
            tombstones: 1,
            smallest_sequence: 4,
            largest_sequence: 5,
            first_key: Bytes::from_static(b"a"),
            last_key: Bytes::from_static(b""),
        };
        let keyspace = KeyspaceId(7);
        let changes = vec![
            Change::KeyspaceCreated {
                id: keyspace,
                name: "tablé".to_owned(),
                options: KeyspaceOptions {
                    recovery: Recovery::Replayed,
                    compaction: CompactionStrategy::SizeTiered,
                },
            },
            Change::KeyspaceDropped { id: keyspace, at: 8 },
            Change::KeyspacePurged { id: keyspace },
            Change::SstableAdded {
                keyspace,
                level: 6,
                meta,
            },
            Change::SstableRemoved {
                keyspace,
                level: 0,
                number: 9,
            },
            Change::LogStart(10),
            Change::LastSequence(11),
            Change::NextFile(12),
            Change::NextKeyspace(13),
            Change::StreamFlushed {
                stream: StreamId(14),
                index: 15,
            },
            Change::StreamForgotten(StreamId(16)),
        ];
        let mut bytes = Vec::new();
        for change in &changes {
            encode(change, &mut bytes);
        }
        let bytes = Bytes::from(bytes);
        assert_eq!(decode(&bytes).unwrap(), changes);
        for end in 0..bytes.len() {
            if let Ok(part) = decode(&bytes.slice(..end)) {
                assert_eq!(part, changes[..part.len()]);
            }
        }
    }

    #[test]
    fn an_unknown_tag_gives_its_offset() {
        assert_eq!(decode(&Bytes::from_static(&[3, 1, 0, 0, 0, 99])), Err(5));
    }

    proptest::proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(0_u8..20, 0..80)) {
            if let Ok(changes) = decode(&Bytes::from(bytes.clone())) {
                let mut again = Vec::new();
                for change in &changes {
                    encode(change, &mut again);
                }
                assert_eq!(again, bytes);
            }
        }
    }
}
