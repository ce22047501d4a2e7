//! Items as records of separated values (RFC 4180): a header, or names that the request gives, and one item a record.
//!
//! Keys of the table and of its indexes have the types of their definitions, everything else is text. An empty field of a key
//! of an index is no attribute, so that its item is not in the index.

use std::io::{self, BufRead};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use csv_core::{ReadRecordResult, Reader, ReaderBuilder};
use stator_model::attribute::Kind;
use stator_model::item::{Item, ItemWriter};
use stator_model::number::Number;

use super::{Line, key_kinds};
use crate::catalog::TableDefinition;
use crate::transfer::record::Input;

/// The longest record, in bytes without quotes and delimiters: an item, and the header of a request.
const RECORD_BYTES_MAX: usize = 4 << 20;
/// Most fields of a record.
const FIELDS_MAX: usize = 65_536;

/// How records are read.
#[derive(Debug, Clone)]
pub(crate) struct CsvOptions {
    delimiter: u8,
    /// Empty when they are the first record.
    headers: Vec<String>,
    /// Types of attributes that are not text.
    kinds: Vec<(String, Kind)>,
    /// The key attributes of the table itself, which every item has.
    required: Vec<String>,
}

impl CsvOptions {
    /// Those of an import for a table.
    pub(crate) fn of(input: &Input, table: &TableDefinition) -> Self {
        let delimiter = input.delimiter.as_deref().and_then(|text| text.bytes().next());
        let required = table.key_schema.attributes();
        Self {
            delimiter: delimiter.unwrap_or(b','),
            headers: input.headers.clone(),
            kinds: key_kinds(table),
            required: required.map(|(_, attribute)| attribute.name.clone()).collect(),
        }
    }

    fn kind(&self, name: &str) -> Option<Kind> {
        let found = self.kinds.iter().find(|(known, _)| known == name);
        found.map(|(_, kind)| *kind)
    }

    /// The item of a record.
    fn item(&self, headers: &[String], fields: &[&[u8]]) -> Result<Item, String> {
        if headers.len() != fields.len() {
            return Err(format!(
                "A record has {} fields, the header has {}",
                fields.len(),
                headers.len()
            ));
        }
        let mut writer = ItemWriter::with_capacity(1024);
        for (name, field) in headers.iter().zip(fields) {
            let text = std::str::from_utf8(field).map_err(|_| format!("The field {name} is no UTF-8"))?;
            let kind = self.kind(name);
            if text.is_empty() && kind.is_some() && !self.required.contains(name) {
                continue;
            }
            let out = writer.writer();
            out.name(name.as_bytes());
            match kind {
                Some(Kind::Number) => {
                    let number = Number::parse(text.trim()).map_err(|error| error.to_string())?;
                    out.number(&number);
                }
                Some(Kind::Binary) => {
                    let bytes = STANDARD.decode(text);
                    out.binary(&bytes.map_err(|_| format!("The field {name} is no base64"))?);
                }
                _ => out.string(text),
            }
        }
        Ok(writer.finish())
    }
}

/// Reads records.
pub(crate) struct CsvRecords<R> {
    input: R,
    reader: Reader,
    options: CsvOptions,
    headers: Vec<String>,
    record: Vec<u8>,
    ends: Vec<usize>,
    /// Whether the last line has got an end.
    is_ended: bool,
}

impl<R: BufRead> CsvRecords<R> {
    pub(super) fn new(input: R, options: CsvOptions) -> Self {
        Self {
            input,
            reader: ReaderBuilder::new().delimiter(options.delimiter).build(),
            headers: options.headers.clone(),
            options,
            record: vec![0; 4096],
            ends: vec![0; 64],
            is_ended: false,
        }
    }

    /// The next record.
    ///
    /// # Errors
    /// When the object cannot be read any further, because a record is too long too: a quote that is not closed makes all that
    /// is left one field.
    pub(super) fn next(&mut self) -> io::Result<Option<Line>> {
        let mut header_bytes = 0;
        if self.headers.is_empty() {
            let Some((fields, bytes)) = self.fields()? else {
                return Ok(None);
            };
            let names = (0..fields).map(|place| String::from_utf8(self.field(place).to_vec()));
            let names: Result<Vec<_>, _> = names.collect();
            let mut names = names.map_err(|_| malformed("The header is no UTF-8"))?;
            if let Some(first) = names.first_mut() {
                *first = first.trim_start_matches('\u{feff}').to_owned();
            }
            if names.iter().any(String::is_empty) {
                return Err(malformed("The header has an empty name"));
            }
            self.headers = names;
            header_bytes = bytes;
        }
        let Some((fields, bytes)) = self.fields()? else {
            return Ok(None);
        };
        let values: Vec<&[u8]> = (0..fields).map(|place| self.field(place)).collect();
        Ok(Some(Line {
            item: self.options.item(&self.headers, &values),
            guard: None,
            bytes: bytes + header_bytes,
        }))
    }

    fn field(&self, place: usize) -> &[u8] {
        let start = place.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.record[start..self.ends[place]]
    }

    /// Reads a record; gives how many fields it has, and how many bytes were read for it.
    fn fields(&mut self) -> io::Result<Option<(usize, u64)>> {
        let (mut written, mut ended, mut bytes) = (0, 0, 0);
        loop {
            let found = self.input.fill_buf()?;
            // The last line may have no end. It gets one, because the reader would take the rest for the field otherwise when a quote
            // is not closed.
            let is_end = found.is_empty() && !self.is_ended;
            let input: &[u8] = if is_end { b"\n" } else { found };
            let (result, read, wrote, ends) =
                self.reader
                    .read_record(input, &mut self.record[written..], &mut self.ends[ended..]);
            if is_end {
                self.is_ended = read > 0;
            } else {
                self.input.consume(read);
                bytes += read as u64;
            }
            (written, ended) = (written + wrote, ended + ends);
            match result {
                ReadRecordResult::InputEmpty if is_end && wrote > 0 => {
                    return Err(malformed("A quote is not closed"));
                }
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::OutputFull if self.record.len() < RECORD_BYTES_MAX => {
                    self.record.resize(self.record.len() * 2, 0);
                }
                ReadRecordResult::OutputEndsFull if self.ends.len() < FIELDS_MAX => {
                    self.ends.resize(self.ends.len() * 2, 0);
                }
                ReadRecordResult::OutputFull | ReadRecordResult::OutputEndsFull => {
                    return Err(malformed("A record is too long; is a quote not closed?"));
                }
                ReadRecordResult::Record => return Ok(Some((ended, bytes))),
                ReadRecordResult::End => return Ok(None),
            }
        }
    }
}

fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
