//! Items in the lines of objects: DynamoDB JSON and Ion both ways, CSV for imports, conditions beside items for bulk
//! operations. Pure.
//!
//! Invariant: whatever stands in a line, reading it gives an item or a sentence, and costs no more than the line is long.
//! Source: Amazon DynamoDB Developer Guide, "Amazon S3 import formats for DynamoDB" and "DynamoDB table export output format".

mod csv;
mod ion;
mod lines;

use std::io::{self, BufRead};

use stator_model::attribute::Kind;
use stator_model::item::{Item, ItemRef};

pub(crate) use self::csv::CsvOptions;
use self::csv::CsvRecords;
use self::lines::Lines;
use super::record::{Format, Input};
use crate::catalog::TableDefinition;
use crate::operation::expressions::ExpressionInputs;
use crate::wire::decode::bulk::put_of_line;
use crate::wire::decode::transfer::item_of_line;
use crate::wire::encode::transfer::{line_of_change, line_of_item};

/// The longest line, in bytes: that of the largest item with every byte escaped, and more.
const LINE_BYTES_MAX: usize = 8 << 20;

/// What has to be true of the item that is there when one of a line is put.
#[derive(Debug, Clone, Default)]
pub(crate) struct LineGuard {
    /// `ConditionExpression`
    pub(crate) condition: Option<String>,
    /// `ExpressionAttributeNames` and `ExpressionAttributeValues`
    pub(crate) expressions: ExpressionInputs,
}

/// A record of an object.
#[derive(Debug, Clone)]
pub(crate) struct Line {
    /// The item, or what is wrong.
    pub(crate) item: Result<Item, String>,
    /// Of a put; `None` when anything may be there.
    pub(crate) guard: Option<Box<LineGuard>>,
    /// As many bytes of the object as it took.
    pub(crate) bytes: u64,
}

/// Reads what a line is.
type ReadLine = fn(&[u8]) -> Result<(Item, Option<Box<LineGuard>>), String>;

/// Reads the records of an object one after the other.
pub(crate) enum Records<R> {
    Lines(Lines<R>, ReadLine),
    Csv(Box<CsvRecords<R>>),
}

impl<R: BufRead> Records<R> {
    /// Those of an import for a table.
    pub(crate) fn new(input: R, how: &Input, table: &TableDefinition) -> Self {
        let read: ReadLine = match how.format() {
            Format::DynamodbJson => |line| Ok((item_of_line(line)?, None)),
            Format::Ion => |line| Ok((ion::item_of_line(line)?, None)),
            Format::Csv => {
                return Self::Csv(Box::new(CsvRecords::new(input, CsvOptions::of(how, table))));
            }
        };
        Self::Lines(Lines::new(input, LINE_BYTES_MAX), read)
    }

    /// Those of a bulk operation, which has them in DynamoDB JSON or in Ion.
    pub(crate) fn of_puts(input: R, how: &Input) -> Self {
        let read: ReadLine = match how.format() {
            Format::Ion => ion::put_of_line,
            Format::DynamodbJson | Format::Csv => put_of_line,
        };
        Self::Lines(Lines::new(input, LINE_BYTES_MAX), read)
    }

    /// The next record; `None` behind the last one.
    ///
    /// # Errors
    /// When the object cannot be read any further.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line>> {
        let (lines, read) = match self {
            Self::Lines(lines, read) => (lines, *read),
            Self::Csv(records) => return records.next(),
        };
        let Some((line, bytes)) = lines.next()? else {
            return Ok(None);
        };
        let put = line.map_or_else(
            || Err(format!("A line is longer than {LINE_BYTES_MAX} bytes")),
            read,
        );
        let (item, guard) = match put {
            Ok((item, guard)) => (Ok(item), guard),
            Err(error) => (Err(error), None),
        };
        Ok(Some(Line { item, guard, bytes }))
    }
}

/// Adds the line of an item to an export.
pub(crate) fn write(format: Format, item: &Item, out: &mut Vec<u8>) {
    match format {
        Format::Ion => ion::line_of_item(item.as_ref(), out),
        Format::DynamodbJson | Format::Csv => line_of_item(item.as_ref(), out),
    }
}

/// An item that has changed in a period.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ChangedItem<'a> {
    /// When it was written last, in microseconds since the Unix epoch.
    pub(crate) at_us: u64,
    pub(crate) keys: ItemRef<'a>,
    pub(crate) new: Option<ItemRef<'a>>,
    pub(crate) old: Option<ItemRef<'a>>,
}

impl<'a> ChangedItem<'a> {
    /// Its items by the names that they have in a line.
    pub(crate) fn parts(&self) -> impl Iterator<Item = (&'static str, ItemRef<'a>)> {
        let parts = [
            ("Keys", Some(self.keys)),
            ("NewImage", self.new),
            ("OldImage", self.old),
        ];
        parts.into_iter().filter_map(|(name, item)| Some((name, item?)))
    }
}

/// Adds the line of a change to an export.
pub(crate) fn write_change(format: Format, change: &ChangedItem<'_>, out: &mut Vec<u8>) {
    match format {
        Format::Ion => ion::line_of_change(change, out),
        Format::DynamodbJson | Format::Csv => line_of_change(change, out),
    }
}

/// The key attributes of a table and its indexes with their types.
fn key_kinds(table: &TableDefinition) -> Vec<(String, Kind)> {
    let attributes = table.key_attributes().into_iter();
    attributes
        .map(|attribute| (attribute.name.clone(), attribute.kind))
        .collect()
}

#[cfg(test)]
mod tests;
