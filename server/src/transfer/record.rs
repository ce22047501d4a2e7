//! What is known of an export or an import, and its bytes: a protobuf message behind a version byte
//! (`docs/format/metadata.md`).

pub(crate) mod bulk;

use bytes::{BufMut as _, Bytes, BytesMut};
use prost::{Enumeration, Message};
use uuid::Uuid;

use crate::catalog::TableDefinition;
use crate::object_store::{Object, StoreError};

/// First byte of a record.
const FORMAT_VERSION: u8 = 1;

/// Where one is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum Status {
    /// It is carried out, or waits for that.
    InProgress = 0,
    /// All of it is done.
    Completed = 1,
    /// Its table was deleted before it was done.
    Cancelled = 2,
    /// It was given up.
    Failed = 3,
}

/// How items are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum Format {
    /// A JSON object a line, `{"Item":{"pk":{"S":"a"}}}`.
    DynamodbJson = 0,
    /// Ion text, a value a line.
    Ion = 1,
    /// Separated values, for imports.
    Csv = 2,
}

/// How objects of an import are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum Compression {
    /// Not at all.
    None = 0,
    /// gzip, one member or several.
    Gzip = 1,
    /// Zstandard.
    Zstd = 2,
}

/// A row of its kind.
pub(crate) trait Record: Message + Default + Clone {
    /// What its keys begin with; `/`, the table's name, `/` and the id follow, unless [`Record::key`] says otherwise.
    const PREFIX: &'static str;

    /// The key of its row.
    fn key(table: &str, id: &str) -> Vec<u8> {
        format!("{}/{table}/{id}", Self::PREFIX).into_bytes()
    }

    /// The end of its ARN.
    fn id(&self) -> &str;
    /// The table's name.
    fn table(&self) -> &str;
    /// When it began, in milliseconds since the Unix epoch.
    fn started_ms(&self) -> i64;
    /// Whether it is over, and since when, in milliseconds since the Unix epoch.
    fn ended_ms(&self) -> Option<i64>;
    /// What tells the request from others under the same token.
    fn fingerprint(&self) -> &[u8];

    /// Its bytes.
    fn to_bytes(&self) -> Bytes {
        let mut bytes = BytesMut::with_capacity(1 + self.encoded_len());
        bytes.put_u8(FORMAT_VERSION);
        bytes.put_slice(&self.encode_to_vec());
        bytes.freeze()
    }

    /// Reads its bytes; otherwise what is wrong with them.
    fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        match bytes {
            [FORMAT_VERSION, record @ ..] => Self::decode(record).map_err(|error| error.to_string()),
            [found, ..] => Err(format!(
                "format version {found}, this program reads version {FORMAT_VERSION}"
            )),
            [] => Err("no bytes".to_owned()),
        }
    }
}

/// Why something was given up.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Failure {
    #[prost(string, tag = "1")]
    pub(crate) code: String,
    #[prost(string, tag = "2")]
    pub(crate) message: String,
}

/// Where objects are that are read or written.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Place {
    #[prost(string, tag = "1")]
    pub(crate) bucket: String,
    #[prost(string, optional, tag = "2")]
    pub(crate) prefix: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) owner: Option<String>,
}

impl Place {
    /// A key with the prefix of the place.
    pub(crate) fn below_prefix(&self, key: &str) -> String {
        let prefix = self.prefix.as_deref().unwrap_or_default();
        let prefix = prefix.trim_end_matches('/');
        if prefix.is_empty() {
            key.to_owned()
        } else {
            format!("{prefix}/{key}")
        }
    }
}

/// How the objects of an import are read.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Input {
    #[prost(enumeration = "Format", tag = "1")]
    pub(crate) format: i32,
    #[prost(enumeration = "Compression", tag = "2")]
    pub(crate) compression: i32,
    /// Whether the request has named a compression: part of what tells it from others under its token.
    #[prost(bool, tag = "3")]
    pub(crate) names_compression: bool,
    /// Of CSV.
    #[prost(string, optional, tag = "4")]
    pub(crate) delimiter: Option<String>,
    /// Of CSV; empty when the first line of each object has them.
    #[prost(string, repeated, tag = "5")]
    pub(crate) headers: Vec<String>,
}

/// How far an import is.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Progress {
    /// The object that is being read; all before it are done.
    #[prost(string, optional, tag = "1")]
    pub(crate) key: Option<String>,
    /// So many records of it are done.
    #[prost(uint64, tag = "2")]
    pub(crate) records: u64,
    /// Records that were looked at, that are in the table, and that are not because something is wrong with them.
    #[prost(int64, tag = "3")]
    pub(crate) processed: i64,
    #[prost(int64, tag = "4")]
    pub(crate) imported: i64,
    #[prost(int64, tag = "5")]
    pub(crate) errors: i64,
    /// Bytes of the records that were looked at, decompressed.
    #[prost(int64, tag = "6")]
    pub(crate) bytes: i64,
    /// Of an import: whether the object is done as well, be it that nothing of it can be read behind its records.
    #[prost(bool, tag = "7")]
    pub(crate) is_object_done: bool,
    /// What the object had for its tag when it was begun.
    #[prost(string, optional, tag = "8")]
    pub(crate) tag: Option<String>,
}

impl Progress {
    /// Whether what was begun is among the objects of a source, which are read anew when somebody goes on with it: without it, its
    /// other records would be passed over. `is_done` says whether it has any.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`] when it is not there, or nothing is.
    pub(crate) fn find_in(&self, objects: &[Object], is_done: bool) -> Result<(), StoreError> {
        let Some(key) = &self.key else { return Ok(()) };
        let is_there = objects.iter().any(|object| object.key == *key);
        if is_there || (is_done && !objects.is_empty()) {
            return Ok(());
        }
        Err(StoreError::NoSuchKey { key: key.clone() })
    }

    /// Begins an object, or goes on with it.
    ///
    /// # Errors
    /// [`StoreError::NoSuchKey`] when it was replaced since it was begun: what was counted is not in it.
    pub(crate) fn take_up(&mut self, object: &Object) -> Result<(), StoreError> {
        let is_begun = self.key.as_ref() == Some(&object.key);
        if is_begun && self.tag.as_ref().is_some_and(|tag| *tag != object.tag) {
            return Err(StoreError::NoSuchKey {
                key: object.key.clone(),
            });
        }
        self.tag = Some(object.tag.clone());
        if !is_begun {
            self.key = Some(object.key.clone());
            (self.records, self.is_object_done) = (0, false);
        }
        Ok(())
    }
}

/// An import.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ImportRecord {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(enumeration = "Status", tag = "2")]
    pub(crate) status: i32,
    /// When it was asked for and when it was over, in milliseconds since the Unix epoch.
    #[prost(sint64, tag = "3")]
    pub(crate) started_ms: i64,
    #[prost(sint64, optional, tag = "4")]
    pub(crate) ended_ms: Option<i64>,
    #[prost(string, tag = "5")]
    pub(crate) table: String,
    /// The definition of the table as it was asked for, as the catalog writes it.
    #[prost(bytes = "bytes", tag = "6")]
    pub(crate) definition: Bytes,
    #[prost(message, required, tag = "7")]
    pub(crate) source: Place,
    #[prost(message, required, tag = "8")]
    pub(crate) input: Input,
    #[prost(message, required, tag = "9")]
    pub(crate) progress: Progress,
    #[prost(message, optional, tag = "10")]
    pub(crate) failure: Option<Failure>,
    #[prost(string, optional, tag = "11")]
    pub(crate) token: Option<String>,
    #[prost(bytes = "bytes", tag = "12")]
    pub(crate) fingerprint: Bytes,
}

impl ImportRecord {
    /// The table as it was asked for.
    ///
    /// # Errors
    /// What is wrong with its bytes.
    pub(crate) fn definition(&self) -> Result<TableDefinition, String> {
        TableDefinition::from_bytes(&self.definition)
    }
}

impl Record for ImportRecord {
    const PREFIX: &'static str = "import";

    fn id(&self) -> &str {
        &self.id
    }

    fn table(&self) -> &str {
        &self.table
    }

    fn started_ms(&self) -> i64 {
        self.started_ms
    }

    fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }
}

/// What is told of an item that has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum View {
    /// What it is afterwards, and what it was before.
    NewAndOldImages = 0,
    /// What it is afterwards.
    NewImage = 1,
}

/// Whose changes are exported. Times are in milliseconds since the Unix epoch.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Period {
    #[prost(sint64, tag = "1")]
    pub(crate) from_ms: i64,
    /// The first moment behind it; `None` as long as it is not known which is the last one there is.
    #[prost(sint64, optional, tag = "2")]
    pub(crate) to_ms: Option<i64>,
    #[prost(enumeration = "View", tag = "3")]
    pub(crate) view: i32,
}

/// What of a table's history is exported.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Past {
    /// Its id, 16 bytes.
    #[prost(bytes = "bytes", tag = "1")]
    pub(crate) history: Bytes,
    /// Whose changes are exported; `None` for all items of the moment.
    #[prost(message, optional, tag = "2")]
    pub(crate) period: Option<Period>,
}

/// An export.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct ExportRecord {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(enumeration = "Status", tag = "2")]
    pub(crate) status: i32,
    /// When it was asked for and when it was over, in milliseconds since the Unix epoch.
    #[prost(sint64, tag = "3")]
    pub(crate) started_ms: i64,
    #[prost(sint64, optional, tag = "4")]
    pub(crate) ended_ms: Option<i64>,
    #[prost(string, tag = "5")]
    pub(crate) table: String,
    /// The table's id, as text.
    #[prost(string, tag = "6")]
    pub(crate) table_id: String,
    #[prost(message, required, tag = "7")]
    pub(crate) target: Place,
    #[prost(enumeration = "Format", tag = "8")]
    pub(crate) format: i32,
    /// As the request has it.
    #[prost(string, optional, tag = "9")]
    pub(crate) sse_algorithm: Option<String>,
    #[prost(string, optional, tag = "10")]
    pub(crate) sse_key: Option<String>,
    /// The moment that is exported, in milliseconds since the Unix epoch; that of the request until it is known, if it is not
    /// of the past.
    #[prost(sint64, tag = "11")]
    pub(crate) moment_ms: i64,
    #[prost(int64, tag = "12")]
    pub(crate) items: i64,
    /// Size of the items, as it is counted for tables.
    #[prost(int64, tag = "13")]
    pub(crate) bytes: i64,
    #[prost(message, optional, tag = "14")]
    pub(crate) failure: Option<Failure>,
    #[prost(string, optional, tag = "15")]
    pub(crate) token: Option<String>,
    #[prost(bytes = "bytes", tag = "16")]
    pub(crate) fingerprint: Bytes,
    /// `None` when the table is exported as it is.
    #[prost(message, optional, tag = "17")]
    pub(crate) past: Option<Past>,
    /// What the names of the files begin with of the try that is under way.
    #[prost(string, optional, tag = "18")]
    pub(crate) attempt: Option<String>,
    /// Whether an operator wants it to end.
    #[prost(bool, tag = "19")]
    pub(crate) is_cancelled: bool,
}

impl ExportRecord {
    /// The history that is read, and from which moment on its versions are needed, in milliseconds since the Unix epoch.
    pub(crate) fn reads(&self) -> Option<(Uuid, i64)> {
        let past = self.past.as_ref()?;
        let history = Uuid::from_slice(&past.history).ok()?;
        // What was there before a period is needed as well.
        let from_ms = self.period().map(|period| period.from_ms.saturating_sub(1));
        Some((history, from_ms.unwrap_or(self.moment_ms)))
    }

    /// Whose changes are exported; `None` when it is all items of a moment.
    pub(crate) fn period(&self) -> Option<&Period> {
        self.past.as_ref()?.period.as_ref()
    }

    /// What the keys of its objects begin with, below the prefix of the request.
    pub(crate) fn folder(&self) -> String {
        format!("AWSDynamoDB/{}", self.id)
    }

    /// The same of its data files: those with changes lie together, whichever export they are of.
    pub(crate) fn data_folder(&self) -> String {
        if self.period().is_some() {
            "AWSDynamoDB/data".to_owned()
        } else {
            format!("{}/data", self.folder())
        }
    }

    /// What the names of the files of its next try begin with. Tries are numbered, so that each knows the files of those before
    /// it, whoever has made them and whenever they have come.
    pub(crate) fn next_attempt(&self, random: u32) -> String {
        let number = self.number().map_or(0, |last| last.saturating_add(1));
        format!("{}-{number:08x}-{random:08x}-", self.id)
    }

    /// The number of the try that has named a file; `None` for those of other exports, and of earlier programs.
    fn number_of(&self, name: &str) -> Option<u32> {
        let rest = name.strip_prefix(&self.id)?.strip_prefix('-')?;
        u32::from_str_radix(rest.get(..8)?, 16).ok()
    }

    /// The key of a data file, with the prefix of the request, or what keys of such begin with.
    pub(crate) fn data_key(&self, name: &str) -> String {
        self.below_prefix(&format!("{}/{name}", self.data_folder()))
    }

    /// What the keys of its data files begin with, whichever try has made them.
    pub(crate) fn data_prefix(&self) -> String {
        self.data_key(&format!("{}-", self.id))
    }

    /// The number of the try that is under way.
    fn number(&self) -> Option<u32> {
        self.attempt
            .as_deref()
            .and_then(|attempt| self.number_of(attempt))
    }

    /// Whether there were tries before the one that is under way, whose files are known by their names.
    pub(crate) fn has_earlier_tries(&self) -> bool {
        self.number().is_some_and(|number| number > 0)
    }

    /// Whether a key is that of a data file of an earlier try than the one that is under way.
    pub(crate) fn is_of_earlier_try(&self, key: &str) -> bool {
        let name = key.strip_prefix(&self.data_key(""));
        let of = name.and_then(|name| self.number_of(name));
        matches!((of, self.number()), (Some(of), Some(present)) if of < present)
    }

    /// The key of an object of its folder, with the prefix of the request.
    pub(crate) fn key(&self, name: &str) -> String {
        self.below_prefix(&format!("{}/{name}", self.folder()))
    }

    /// A key with the prefix of the request.
    pub(crate) fn below_prefix(&self, key: &str) -> String {
        self.target.below_prefix(key)
    }
}

impl Record for ExportRecord {
    const PREFIX: &'static str = "export";

    fn id(&self) -> &str {
        &self.id
    }

    fn table(&self) -> &str {
        &self.table
    }

    fn started_ms(&self) -> i64 {
        self.started_ms
    }

    fn ended_ms(&self) -> Option<i64> {
        self.ended_ms
    }

    fn fingerprint(&self) -> &[u8] {
        &self.fingerprint
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::operation::create_table::tests::definition;

    #[test]
    fn records_come_back_from_their_bytes() {
        let import = ImportRecord {
            id: "1-a".into(),
            status: Status::Failed.into(),
            started_ms: -7,
            ended_ms: Some(8),
            table: "Tab".into(),
            definition: definition().to_bytes(),
            source: Place {
                bucket: "b".into(),
                prefix: Some("p/".into()),
                owner: None,
            },
            input: Input {
                format: Format::Csv.into(),
                headers: vec!["pk".into()],
                ..Input::default()
            },
            progress: Progress {
                key: Some("p/1".into()),
                records: 3,
                ..Progress::default()
            },
            failure: Some(Failure {
                code: "c".into(),
                message: "m".into(),
            }),
            token: Some("t".into()),
            fingerprint: Bytes::from_static(b"f"),
        };
        assert_eq!(ImportRecord::from_bytes(&import.to_bytes()), Ok(import.clone()));
        assert_eq!(import.definition(), Ok(definition()));
        assert!(ImportRecord::from_bytes(b"").is_err());
        assert!(
            ImportRecord::from_bytes(b"\x02")
                .unwrap_err()
                .contains("version 2")
        );
    }

    #[test]
    fn what_was_begun_has_to_be_there_to_go_on_with() {
        let objects = |keys: &[&str]| -> Vec<Object> {
            let object = |key: &&str| Object {
                key: (*key).to_owned(),
                size: 1,
                tag: "t".to_owned(),
            };
            keys.iter().map(object).collect()
        };
        let begun = Progress {
            key: Some("b".to_owned()),
            records: 3,
            ..Progress::default()
        };
        for (there, is_done, is_fine) in [
            (&["a", "b", "c"][..], false, true),
            (&["a", "c"], false, false),
            (&["a", "c"], true, true),
            (&[], false, false),
            (&[], true, false),
        ] {
            let found = begun.find_in(&objects(there), is_done);
            assert_eq!(found.is_ok(), is_fine, "{there:?} {is_done}");
        }
        assert!(
            Progress::default().find_in(&[], false).is_ok(),
            "nothing was begun"
        );
    }

    #[test]
    fn objects_of_an_export_lie_below_its_prefix() {
        let key = |prefix: Option<&str>| {
            let record = ExportRecord {
                id: "1-a".into(),
                target: Place {
                    prefix: prefix.map(str::to_owned),
                    ..Place::default()
                },
                ..ExportRecord::default()
            };
            record.key("data/x")
        };
        let changes = ExportRecord {
            id: "1-a".into(),
            past: Some(Past {
                period: Some(Period::default()),
                ..Past::default()
            }),
            ..ExportRecord::default()
        };
        assert_eq!(changes.data_folder(), "AWSDynamoDB/data");
        assert_eq!(changes.data_prefix(), "AWSDynamoDB/data/1-a-");
        assert_eq!(ExportRecord::from_bytes(&changes.to_bytes()), Ok(changes));
        assert_eq!(key(None), "AWSDynamoDB/1-a/data/x");
        assert_eq!(key(Some("")), "AWSDynamoDB/1-a/data/x");
        assert_eq!(key(Some("a/b")), "a/b/AWSDynamoDB/1-a/data/x");
        assert_eq!(key(Some("a/")), "a/AWSDynamoDB/1-a/data/x");
    }

    #[test]
    fn a_try_of_an_export_knows_the_files_of_those_before_it_and_no_others() {
        let mut record = ExportRecord {
            id: "1-a".into(),
            past: Some(Past {
                period: Some(Period::default()),
                ..Past::default()
            }),
            ..ExportRecord::default()
        };
        let mut files = Vec::new();
        for random in [7, 0, u32::MAX] {
            record.attempt = Some(record.next_attempt(random));
            assert_eq!(record.has_earlier_tries(), !files.is_empty());
            files.push(record.data_key(&format!("{}000000.json.gz", record.attempt.clone().unwrap())));
        }
        assert_eq!(files[0], "AWSDynamoDB/data/1-a-00000000-00000007-000000.json.gz");
        let earlier: Vec<_> = files.iter().map(|key| record.is_of_earlier_try(key)).collect();
        assert_eq!(earlier, [true, true, false]);
        for other in [
            "AWSDynamoDB/data/1-b-00000000-00000007-000000.json.gz",
            "AWSDynamoDB/1-a/data/1-a-00000000-00000007-000000.json.gz",
            "AWSDynamoDB/data/0123456789abcdef000000.json.gz",
            "AWSDynamoDB/data/1-a-0000",
        ] {
            assert!(!record.is_of_earlier_try(other), "{other}");
        }
        // As an earlier program has named it.
        record.attempt = Some("0123456789abcdef".into());
        assert!(!files.iter().any(|key| record.is_of_earlier_try(key)));
        assert_eq!(record.next_attempt(1), "1-a-00000000-00000001-");
    }
}
