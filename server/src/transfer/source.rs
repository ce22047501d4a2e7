//! Reading an object of an import or a bulk operation: fetched in parts, decompressed and parsed on a thread that may wait, a page at a time.

use std::io::{self, BufReader, Read};
use std::sync::Arc;

use bytes::{Buf as _, Bytes};
use flate2::read::MultiGzDecoder;
use parking_lot::Mutex;
use tokio::sync::mpsc;

use super::format::{Line, Records};
use super::record::{Compression, Input};
use crate::catalog::TableDefinition;
use crate::object_store::{Buckets, Object, StoreError};

/// What is fetched at once.
const PART_BYTES: u64 = 4 << 20;
/// So many parts, and so many pages, are on their way.
const AHEAD: usize = 2;
/// A page has so many bytes of an object, or one record that is larger.
const PAGE_BYTES: u64 = 1 << 20;
/// A page has no more records than this.
const PAGE_RECORDS_MAX: usize = 4096;

/// What is read of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Its item.
    Items,
    /// And what has to be true of the one that is there.
    Puts,
}

/// Records of an object in their order.
#[derive(Debug, Default)]
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    /// Why nothing of the object can be read behind them.
    pub(super) broken: Option<String>,
}

/// Begins to read an object of a bucket behind so many of its records. An object that cannot be decompressed or parsed ends with a page
/// that says so; one that cannot be fetched ends with an error.
pub(super) fn pages(
    buckets: Buckets,
    (bucket, input, reading): (&str, &Input, Reading),
    table: &TableDefinition,
    object: Object,
    behind: u64,
) -> mpsc::Receiver<Result<Page, StoreError>> {
    let (pages, received) = mpsc::channel(AHEAD);
    let (parts, fetched) = mpsc::channel(AHEAD);
    let bucket = bucket.to_owned();
    tokio::spawn(async move {
        let mut from = 0;
        while from < object.size {
            let part = buckets.read(&bucket, &object, from, PART_BYTES).await;
            from += part.as_ref().map_or(object.size, |part| part.len() as u64);
            // Nobody listens when it has failed there.
            if parts.send(part).await.is_err() {
                return;
            }
        }
    });
    let (input, table) = (input.clone(), table.clone());
    tokio::task::spawn_blocking(move || {
        let failure = Arc::new(Mutex::new(None));
        let parts = Parts {
            fetched,
            part: Bytes::new(),
            failure: Arc::clone(&failure),
        };
        let read = decompressed(parts, input.compression()).and_then(|input_bytes| {
            let input_bytes = BufReader::new(input_bytes);
            let records = match reading {
                Reading::Items => Records::new(input_bytes, &input, &table),
                Reading::Puts => Records::of_puts(input_bytes, &input),
            };
            send(records, behind, &pages)
        });
        let Err(error) = read else { return };
        let last = match failure.lock().take() {
            Some(failure) => Err(failure),
            None => Ok(Page {
                broken: Some(error.to_string()),
                ..Page::default()
            }),
        };
        pages.blocking_send(last).ok();
    });
    received
}

fn decompressed(parts: Parts, compression: Compression) -> io::Result<Box<dyn Read>> {
    Ok(match compression {
        Compression::None => Box::new(parts),
        Compression::Gzip => Box::new(MultiGzDecoder::new(parts)),
        Compression::Zstd => Box::new(zstd::stream::read::Decoder::new(parts)?),
    })
}

/// Sends all records behind so many, as far as somebody listens.
fn send<R: io::BufRead>(
    mut records: Records<R>,
    behind: u64,
    pages: &mpsc::Sender<Result<Page, StoreError>>,
) -> io::Result<()> {
    for _ in 0..behind {
        if records.next()?.is_none() {
            return Ok(());
        }
    }
    loop {
        let (mut page, mut bytes) = (Page::default(), 0);
        let mut outcome = Ok(());
        while bytes < PAGE_BYTES && page.lines.len() < PAGE_RECORDS_MAX {
            match records.next() {
                Ok(Some(line)) => {
                    bytes += line.bytes;
                    page.lines.push(line);
                }
                Ok(None) => break,
                Err(error) => {
                    outcome = Err(error);
                    break;
                }
            }
        }
        let is_last = page.lines.is_empty();
        if !is_last && pages.blocking_send(Ok(page)).is_err() {
            return Ok(());
        }
        outcome?;
        if is_last {
            return Ok(());
        }
    }
}

/// The parts of an object as one run of bytes.
struct Parts {
    fetched: mpsc::Receiver<Result<Bytes, StoreError>>,
    part: Bytes,
    /// Why the next part is not there, when it is not.
    failure: Arc<Mutex<Option<StoreError>>>,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.fetched.blocking_recv() {
                None => return Ok(0),
                Some(Ok(part)) => self.part = part,
                Some(Err(error)) => {
                    let told = io::Error::other(error.to_string());
                    *self.failure.lock() = Some(error);
                    return Err(told);
                }
            }
        }
        let count = self.part.len().min(into.len());
        self.part.copy_to_slice(&mut into[..count]);
        Ok(count)
    }
}
