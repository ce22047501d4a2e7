//! What is known of a bulk operation, which puts items of a bucket into a table that is in use.

use bytes::Bytes;
use prost::{Enumeration, Message};

use super::{Compression, Failure, Input, Place, Progress, Record};

/// Where a bulk operation is in its life. Source: service model of DynamoDB, shape BulkOperationStatus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enumeration)]
#[repr(i32)]
pub(crate) enum BulkStatus {
    /// It is carried out, or waits for that.
    InProgress = 0,
    /// All of it is done.
    Completed = 1,
    /// The same, but for records that are no items of the table.
    CompletedWithErrors = 2,
    /// It is to end, and what it has done is still to be written down.
    Cancelling = 3,
    /// It was ended before all was done.
    Cancelled = 4,
    /// It was given up.
    Failed = 5,
}

/// Where it is told what was not written, and what of it.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct Report {
    #[prost(message, required, tag = "1")]
    pub(crate) target: Place,
    /// As the request has it.
    #[prost(string, optional, tag = "2")]
    pub(crate) sse_algorithm: Option<String>,
    #[prost(string, optional, tag = "3")]
    pub(crate) sse_key: Option<String>,
    /// Whether records are told that are no items of the table.
    #[prost(bool, tag = "4")]
    pub(crate) errors: bool,
    /// Whether items are told whose condition was false.
    #[prost(bool, tag = "5")]
    pub(crate) conditions: bool,
}

/// What was written into an index, in write units.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct IndexUsage {
    #[prost(string, tag = "1")]
    pub(crate) name: String,
    #[prost(bool, tag = "2")]
    pub(crate) is_local: bool,
    #[prost(int64, tag = "3")]
    pub(crate) units: i64,
}

/// A bulk operation.
#[derive(Clone, PartialEq, Eq, Message)]
pub(crate) struct BulkRecord {
    #[prost(string, tag = "1")]
    pub(crate) id: String,
    #[prost(enumeration = "BulkStatus", tag = "2")]
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
    pub(crate) source: Place,
    #[prost(message, required, tag = "8")]
    pub(crate) input: Input,
    #[prost(message, required, tag = "9")]
    pub(crate) report: Report,
    /// How many write units it may use in a second.
    #[prost(int64, optional, tag = "10")]
    pub(crate) units_per_second: Option<i64>,
    /// Whether the request asks for the tier `ACCELERATED`.
    #[prost(bool, tag = "11")]
    pub(crate) is_accelerated: bool,
    /// How far it is; its bytes are those of the object that is being read, decompressed.
    #[prost(message, required, tag = "12")]
    pub(crate) progress: Progress,
    /// Bytes of the objects that are done.
    #[prost(int64, tag = "13")]
    pub(crate) bytes_before: i64,
    /// Bytes of all objects; `None` until they are known.
    #[prost(int64, optional, tag = "14")]
    pub(crate) bytes_of_all: Option<i64>,
    /// Items whose condition was false.
    #[prost(int64, tag = "15")]
    pub(crate) conditions_failed: i64,
    /// What was written into the table itself, in write units.
    #[prost(int64, tag = "16")]
    pub(crate) units: i64,
    #[prost(message, repeated, tag = "17")]
    pub(crate) indexes: Vec<IndexUsage>,
    /// So many parts of the report are written.
    #[prost(int64, tag = "18")]
    pub(crate) parts: i64,
    #[prost(message, optional, tag = "19")]
    pub(crate) failure: Option<Failure>,
    #[prost(string, optional, tag = "20")]
    pub(crate) token: Option<String>,
    #[prost(bytes = "bytes", tag = "21")]
    pub(crate) fingerprint: Bytes,
    /// Whether all of the object of `progress` is done.
    #[prost(bool, tag = "22")]
    pub(crate) is_object_done: bool,
}

impl BulkRecord {
    /// The key of an object of its report, with the prefix of the request.
    pub(crate) fn report_key(&self, name: &str) -> String {
        let key = format!("AWSDynamoDB/{}/{name}", self.id);
        self.report.target.below_prefix(&key)
    }

    /// Bytes of the objects that were read. How much of one that is compressed was read is known when all of it was.
    pub(crate) fn bytes_read(&self) -> i64 {
        let is_known = self.input.compression() == Compression::None && !self.is_object_done;
        let of_object = if is_known { self.progress.bytes } else { 0 };
        self.bytes_before.saturating_add(of_object)
    }
}

impl Record for BulkRecord {
    const PREFIX: &'static str = "bulk";

    /// In the order of their times, whatever their tables.
    fn key(_table: &str, id: &str) -> Vec<u8> {
        format!("{}/{id}", Self::PREFIX).into_bytes()
    }

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

    #[test]
    fn a_record_comes_back_from_its_bytes_and_tells_what_was_read() {
        let mut record = BulkRecord {
            id: "1-a".into(),
            status: BulkStatus::Cancelling.into(),
            table: "Tab".into(),
            report: Report {
                target: Place {
                    bucket: "b".into(),
                    prefix: Some("out/".into()),
                    owner: None,
                },
                errors: true,
                ..Report::default()
            },
            bytes_before: 7,
            indexes: vec![IndexUsage {
                name: "by-a".into(),
                is_local: true,
                units: 3,
            }],
            ..BulkRecord::default()
        };
        record.progress.bytes = 5;
        assert_eq!(BulkRecord::from_bytes(&record.to_bytes()), Ok(record.clone()));
        assert_eq!(record.report_key("x"), "out/AWSDynamoDB/1-a/x");
        assert_eq!(record.bytes_read(), 12);
        record.input.set_compression(Compression::Gzip);
        assert_eq!(record.bytes_read(), 7);
    }
}
