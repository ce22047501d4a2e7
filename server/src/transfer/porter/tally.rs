//! What a bulk operation has done, counted record by record, and the lines of its report. Pure.
//!
//! Source of what counts as what: service model of DynamoDB, BulkOperationDescription.

use stator_model::index::IndexKind;
use stator_model::item::Item;

use super::super::record::bulk::{BulkRecord, IndexUsage};
use crate::command::Done;
use crate::derive::index::IndexUnits;
use crate::object_store::{Object, StoreError};
use crate::wire::encode::bulk::{Spot, condition_line, error_line};

/// Bytes of an item that one write unit covers.
const UNIT_BYTES: usize = 1024;

/// What has become of a record.
#[derive(Debug)]
pub(super) enum Outcome {
    /// The item is in the table; what that has cost there and in its indexes, in write units.
    Written { units: usize, indexes: Vec<IndexUnits> },
    /// Why it is no item of the table, with the item if it is one at all.
    Refused(String, Option<Item>),
    /// The item, and the one that is there instead.
    ConditionFailed(Item, Option<Item>),
    /// There is no table any more.
    Gone,
}

impl Outcome {
    /// Of a write that stands.
    pub(super) fn written(done: &Done) -> Self {
        let size = done.sizes.before.max(done.sizes.after).unwrap_or_default();
        Self::Written {
            units: size.div_ceil(UNIT_BYTES).max(1),
            indexes: IndexUnits::decode(&done.note).unwrap_or_default(),
        }
    }
}

/// The record of an operation as it becomes, and what is to be told of it.
#[derive(Debug)]
pub(super) struct Tally {
    pub(super) record: BulkRecord,
    pub(super) errors: Vec<u8>,
    pub(super) conditions: Vec<u8>,
}

fn signed<T: TryInto<i64>>(number: T) -> i64 {
    number.try_into().unwrap_or(i64::MAX)
}

impl Tally {
    pub(super) fn new(record: BulkRecord) -> Self {
        Self {
            record,
            errors: Vec::new(),
            conditions: Vec::new(),
        }
    }

    /// Goes on with an object; `false` when it is done already.
    ///
    /// # Errors
    /// As [`Progress::take_up`](super::super::record::Progress::take_up).
    pub(super) fn begins(&mut self, object: &Object) -> Result<bool, StoreError> {
        let (progress, is_done) = (&mut self.record.progress, self.record.is_object_done);
        let key = object.key.as_str();
        match progress.key.as_deref() {
            Some(done) if key < done || (key == done && is_done) => return Ok(false),
            Some(done) if key == done => {}
            _ => progress.bytes = 0,
        }
        progress.take_up(object)?;
        self.record.is_object_done = false;
        Ok(true)
    }

    /// All records of the object are counted, which has so many bytes.
    pub(super) fn ends_object(&mut self, size: u64) {
        self.record.bytes_before += signed(size);
        self.record.is_object_done = true;
    }

    /// So many records of the object were read, from so many bytes of it, decompressed.
    pub(super) fn has_read(&mut self, records: u64, bytes: u64) {
        self.record.progress.records += records;
        self.record.progress.bytes += signed(bytes);
    }

    /// Counts a record; gives the write units that it has cost.
    pub(super) fn count(&mut self, object: &str, number: u64, outcome: Outcome) -> u64 {
        match outcome {
            Outcome::Written { units, indexes } => {
                self.record.progress.processed += 1;
                self.record.progress.imported += 1;
                self.record.units += signed(units);
                let of_indexes = indexes.iter().map(|index| index.units).sum::<usize>();
                for index in indexes {
                    self.count_index(index);
                }
                (units + of_indexes) as u64
            }
            Outcome::Refused(sentence, item) => {
                self.refuse(object, number, &sentence, item.as_ref());
                0
            }
            Outcome::ConditionFailed(item, there) => {
                self.record.progress.processed += 1;
                self.record.conditions_failed += 1;
                if self.record.report.conditions {
                    let spot = Spot { object, number };
                    let there = there.as_ref().map(Item::as_ref);
                    condition_line(spot, item.as_ref(), there, &mut self.conditions);
                }
                1
            }
            Outcome::Gone => 0,
        }
    }

    /// Counts a record that is no item of the table, or an object of which the rest cannot be read.
    pub(super) fn refuse(&mut self, object: &str, number: u64, sentence: &str, item: Option<&Item>) {
        self.record.progress.processed += 1;
        self.record.progress.errors += 1;
        if self.record.report.errors {
            let spot = Spot { object, number };
            error_line(spot, sentence, item.map(Item::as_ref), &mut self.errors);
        }
    }

    fn count_index(&mut self, written: IndexUnits) {
        let is_local = written.kind == IndexKind::Local;
        let known = self
            .record
            .indexes
            .iter_mut()
            .find(|index| index.name == written.name);
        match known {
            Some(index) => index.units += signed(written.units),
            None => self.record.indexes.push(IndexUsage {
                name: written.name,
                is_local,
                units: signed(written.units),
            }),
        }
    }

    /// How much is to be told that was not yet.
    pub(super) fn report_bytes(&self) -> usize {
        self.errors.len() + self.conditions.len()
    }

    /// A part of the report is written.
    pub(super) fn next_part(&mut self) {
        self.record.parts += 1;
        self.errors.clear();
        self.conditions.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::super::super::record::bulk::Report;
    use super::*;

    fn object(key: &str) -> Object {
        Object {
            key: key.to_owned(),
            size: 60,
            tag: "t".to_owned(),
        }
    }

    fn tally() -> Tally {
        Tally::new(BulkRecord {
            report: Report {
                errors: true,
                ..Report::default()
            },
            ..BulkRecord::default()
        })
    }

    #[test]
    fn every_record_is_processed_and_only_what_is_no_item_has_failed() {
        let mut tally = tally();
        let by_a = || IndexUnits {
            kind: IndexKind::Local,
            name: "by-a".into(),
            units: 2,
        };
        let written = Outcome::Written {
            units: 3,
            indexes: vec![by_a(), by_a()],
        };
        assert_eq!(tally.count("o", 0, written), 7);
        assert_eq!(tally.count("o", 1, Outcome::Refused("no".into(), None)), 0);
        assert_eq!(
            tally.count("o", 2, Outcome::ConditionFailed(Item::empty(), None)),
            1
        );
        let record = &tally.record;
        let progress = &record.progress;
        assert_eq!(
            (progress.processed, progress.imported, progress.errors),
            (3, 1, 1)
        );
        assert_eq!(
            (record.conditions_failed, record.units, record.indexes[0].units),
            (1, 3, 4)
        );
        let told = String::from_utf8(tally.errors.clone()).unwrap();
        assert_eq!(
            told,
            "{\"S3Key\":\"o\",\"RecordNumber\":1,\"ErrorMessage\":\"no\"}\n"
        );
        assert_eq!(tally.conditions, b"", "nobody wants to be told");
        tally.next_part();
        assert_eq!((tally.report_bytes(), tally.record.parts), (0, 1));
    }

    #[test]
    fn an_object_is_gone_on_with_until_it_is_done() {
        let mut tally = tally();
        assert!(tally.begins(&object("b")).unwrap());
        tally.has_read(5, 50);
        let mut resumed = Tally::new(tally.record.clone());
        assert!(!resumed.begins(&object("a")).unwrap(), "it was done before");
        assert!(resumed.begins(&object("b")).unwrap());
        assert_eq!(resumed.record.progress.records, 5);
        let other = Object {
            tag: "u".to_owned(),
            ..object("b")
        };
        let replaced = Tally::new(tally.record.clone()).begins(&other);
        assert!(
            matches!(replaced, Err(StoreError::NoSuchKey { .. })),
            "{replaced:?}"
        );
        resumed.ends_object(60);
        let mut again = Tally::new(resumed.record.clone());
        assert!(!again.begins(&object("b")).unwrap());
        assert_eq!(again.record.bytes_read(), 60);
        assert!(again.begins(&object("c")).unwrap());
        assert_eq!(
            (again.record.progress.records, again.record.bytes_before),
            (0, 60)
        );
    }
}
