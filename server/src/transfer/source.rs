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

/// Whoever waits for pages hears of it at least after so many bytes, decompressed.
const HEARD_BYTES: u64 = 64 << 20;

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

/// What is sent of an object.
#[derive(Debug)]
enum Sent {
    Page(Page),
    /// There are no more. Without it, whoever reads has ended before.
    End,
}

/// The pages of an object.
#[derive(Debug)]
pub(super) struct Pages {
    key: String,
    received: mpsc::Receiver<Result<Sent, StoreError>>,
}

impl Pages {
    /// The next page; `None` behind the last one.
    ///
    /// # Errors
    /// When the object cannot be fetched, or whoever reads it has ended.
    pub(super) async fn next(&mut self) -> Result<Option<Page>, StoreError> {
        match self.received.recv().await {
            Some(Ok(Sent::Page(page))) => Ok(Some(page)),
            Some(Ok(Sent::End)) => Ok(None),
            Some(Err(error)) => Err(error),
            None => Err(StoreError::Failed {
                what: self.key.clone(),
                cause: "whoever reads it has ended".to_owned(),
            }),
        }
    }
}

/// Begins to read an object of a bucket behind so many of its records. An object that cannot be decompressed or parsed ends with a page
/// that says so; one that cannot be fetched ends with an error.
pub(super) fn pages(
    buckets: Buckets,
    (bucket, input, reading): (&str, &Input, Reading),
    table: &TableDefinition,
    object: Object,
    behind: u64,
) -> Pages {
    let key = object.key.clone();
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
        // An empty one says that there are no more.
        parts.send(Ok(Bytes::new())).await.ok();
    });
    let (input, table) = (input.clone(), table.clone());
    tokio::task::spawn_blocking(move || {
        let failure = Arc::new(Mutex::new(None));
        let parts = Parts {
            fetched,
            part: Bytes::new(),
            is_at_end: false,
            failure: Arc::clone(&failure),
        };
        let read = decompressed(parts, input.compression()).and_then(|bytes| {
            let input_bytes = BufReader::new(Heard {
                bytes,
                unheard: 0,
                pages: pages.clone(),
            });
            let records = match reading {
                Reading::Items => Records::new(input_bytes, &input, &table),
                Reading::Puts => Records::of_puts(input_bytes, &input),
            };
            send(records, behind, &pages)
        });
        if let Err(error) = read {
            let last = match failure.lock().take() {
                Some(failure) => Err(failure),
                None => Ok(Sent::Page(Page {
                    broken: Some(error.to_string()),
                    ..Page::default()
                })),
            };
            pages.blocking_send(last).ok();
        }
        pages.blocking_send(Ok(Sent::End)).ok();
    });
    Pages { key, received }
}

/// What is decompressed. Now and then whoever waits for pages gets an empty one, so that he can end it: a few kilobytes may be
/// terabytes without a record.
struct Heard {
    bytes: Box<dyn Read>,
    /// So many bytes were read since.
    unheard: u64,
    pages: mpsc::Sender<Result<Sent, StoreError>>,
}

impl Read for Heard {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.bytes.read(into)?;
        self.unheard += count as u64;
        if self.unheard >= HEARD_BYTES {
            self.unheard = 0;
            let sent = self.pages.blocking_send(Ok(Sent::Page(Page::default())));
            sent.map_err(|_| io::Error::other("nobody listens"))?;
        }
        Ok(count)
    }
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
    pages: &mpsc::Sender<Result<Sent, StoreError>>,
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
        if !is_last && pages.blocking_send(Ok(Sent::Page(page))).is_err() {
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
    is_at_end: bool,
    /// Why the next part is not there, when it is not.
    failure: Arc<Mutex<Option<StoreError>>>,
}

impl Read for Parts {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() && !self.is_at_end {
            match self.fetched.blocking_recv() {
                None => {
                    *self.failure.lock() = Some(StoreError::Failed {
                        what: "the object".to_owned(),
                        cause: "whoever fetches it has ended".to_owned(),
                    });
                    return Err(io::Error::other("whoever fetches it has ended"));
                }
                Some(Ok(part)) => {
                    self.is_at_end = part.is_empty();
                    self.part = part;
                }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn pages_without_their_end_are_no_whole_object() {
        let pages = |sent: Vec<Sent>| {
            let (pages, received) = mpsc::channel(sent.len().max(1));
            for sent in sent {
                pages.try_send(Ok(sent)).unwrap();
            }
            Pages {
                key: "k".to_owned(),
                received,
            }
        };
        let mut whole = pages(vec![Sent::Page(Page::default()), Sent::End]);
        assert!(whole.next().await.unwrap().is_some() && whole.next().await.unwrap().is_none());
        let mut cut_short = pages(vec![Sent::Page(Page::default())]);
        assert!(cut_short.next().await.unwrap().is_some());
        assert!(cut_short.next().await.is_err());
    }
}
