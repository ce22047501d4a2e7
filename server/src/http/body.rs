//! Bodies: reading them within their limits and in time, decompressing requests, compressing responses.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, HttpBody as _};
use bytes::Bytes;
use flate2::Compression;
use flate2::read::MultiGzDecoder;
use flate2::write::GzEncoder;
use futures_util::FutureExt as _;
use http::HeaderMap;
use http::header::{CONTENT_ENCODING, CONTENT_LENGTH, EXPECT};
use http_body_util::BodyExt as _;
use tokio::time::Sleep;

use super::guard::Guard;
use super::limits::{HttpLimits, ms};
use super::room::Share;
use crate::wire::error::ApiError;

/// Largest request body, before and after decompression.
///
/// Source: Amazon DynamoDB API Reference, "BatchWriteItem: the total request size exceeds 16 MB".
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of a body that is too large is read before it is refused. A client reads no answer before it has sent its
/// request, and would lose one that comes with the end of the connection.
const OVERRUN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Smaller responses are not worth the time of compression.
const COMPRESS_FROM_BYTES: usize = 1024;

/// Reads a request's body as it was sent, which is what is signed.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::TooSlow`], [`ApiError::Throttling`] when other bodies leave no room for it, or a
/// SerializationException for a body that breaks off.
pub(super) async fn read(headers: &HeaderMap, body: Body, guard: &Guard) -> Result<Bytes, ApiError> {
    // Who asks before it sends is answered before it sends.
    if headers.contains_key(EXPECT) && announced(headers).is_some_and(|bytes| bytes > BYTES_MAX) {
        return Err(ApiError::TooLarge);
    }
    counted(receive(body, guard).await, guard)
}

/// What a body says, decompressed if it is compressed: `bytes_max` bytes at most. A few bytes ask for that much, so that it is done
/// for those who have proved who they are, as far as that can be known before.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::Throttling`] when other bodies leave no room for it, or a SerializationException for a body
/// that is not gzip as announced.
pub(super) fn decoded(
    headers: &HeaderMap,
    received: &Bytes,
    bytes_max: usize,
    guard: &Guard,
) -> Result<Bytes, ApiError> {
    if !is_compressed(headers) {
        return Ok(received.clone());
    }
    counted(decompress(received, bytes_max, guard), guard)
}

/// Whether a request announces that its body is compressed.
pub(super) fn is_compressed(headers: &HeaderMap) -> bool {
    let encoding = headers.get(CONTENT_ENCODING);
    encoding.is_some_and(|encoding| encoding.as_bytes().trim_ascii().eq_ignore_ascii_case(b"gzip"))
}

/// Counts a body that came too slowly, or for which there was no room.
fn counted(body: Result<Bytes, ApiError>, guard: &Guard) -> Result<Bytes, ApiError> {
    let counter = match &body {
        Err(ApiError::TooSlow) => &guard.counters.bodies_slow,
        Err(ApiError::Throttling) => &guard.counters.bodies_throttled,
        _ => return body,
    };
    counter.fetch_add(1, Ordering::Relaxed);
    body
}

/// The length that a request announces.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body to its end.
async fn receive(mut body: Body, guard: &Guard) -> Result<Bytes, ApiError> {
    let (mut received, mut patience) = (Received::new(guard.bodies.share()), Patience::new(&guard.limits));
    while !body.is_end_stream() {
        // Most bodies are there with their heads, and cost no timer.
        let frame = match body.frame().now_or_never() {
            Some(frame) => frame,
            None => patience.wait(body.frame(), &received).await?,
        };
        match frame {
            None => break,
            Some(Err(_)) => return Err(ApiError::Serialization(None)),
            Some(Ok(frame)) => {
                // What is no data are trailers, which say nothing here.
                if let Ok(data) = frame.into_data() {
                    patience.unpaid += data.len();
                    received.push(data);
                }
            }
        }
        if received.bytes > BYTES_MAX + OVERRUN_BYTES_MAX {
            return Err(ApiError::TooLarge);
        }
    }
    received.finish()
}

/// How long is waited for a body.
struct Patience {
    timeout: Duration,
    bytes_per_second_min: u64,
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that have come and for which more time is due. It is given when the time before is over.
    unpaid: usize,
}

impl Patience {
    fn new(limits: &HttpLimits) -> Self {
        Self {
            timeout: ms(limits.body_timeout_ms),
            bytes_per_second_min: u64::from(limits.body_bytes_per_second_min),
            timer: None,
            unpaid: 0,
        }
    }

    /// Waits for the next part.
    ///
    /// # Errors
    /// [`ApiError::TooSlow`], or [`ApiError::TooLarge`] when what has come is too much already.
    async fn wait<F: Future + Unpin>(
        &mut self,
        mut part: F,
        received: &Received,
    ) -> Result<F::Output, ApiError> {
        let timer = &mut self.timer;
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(self.timeout)));
        loop {
            tokio::select! {
                biased;
                part = &mut part => return Ok(part),
                () = &mut *timer => {
                    let unpaid = u64::try_from(self.unpaid).unwrap_or(u64::MAX);
                    let more = unpaid.saturating_mul(1000) / self.bytes_per_second_min;
                    if more == 0 || received.bytes > BYTES_MAX {
                        return Err(received.refusal());
                    }
                    self.unpaid = 0;
                    let deadline = timer.deadline() + Duration::from_millis(more);
                    timer.as_mut().reset(deadline);
                }
            }
        }
    }
}

/// A body so far. One that comes in one piece, as most do, is not copied, and needs no room beside its connection's.
struct Received {
    first: Bytes,
    /// All of it, when it comes in more pieces.
    all: Vec<u8>,
    bytes: usize,
    /// The room that `all` has.
    share: Share,
    /// Whether there was none for it.
    lacks_room: bool,
}

impl Received {
    fn new(share: Share) -> Self {
        Self {
            first: Bytes::new(),
            all: Vec::new(),
            bytes: 0,
            share,
            lacks_room: false,
        }
    }

    fn push(&mut self, data: Bytes) {
        let is_first = self.bytes == 0;
        self.bytes += data.len();
        if self.bytes <= BYTES_MAX && is_first {
            self.first = data;
            return;
        }
        let begun = if self.all.is_empty() { self.first.len() } else { 0 };
        self.lacks_room = self.lacks_room || !self.share.grow(begun + data.len());
        if self.bytes > BYTES_MAX || self.lacks_room {
            // Counted, and not kept.
            (self.first, self.all) = (Bytes::new(), Vec::new());
            self.share.give_back();
            return;
        }
        if self.all.is_empty() {
            self.all.extend_from_slice(&self.first);
        }
        self.all.extend_from_slice(&data);
    }

    /// Why reading ends before the end.
    fn refusal(&self) -> ApiError {
        if self.bytes > BYTES_MAX {
            ApiError::TooLarge
        } else {
            ApiError::TooSlow
        }
    }

    fn finish(self) -> Result<Bytes, ApiError> {
        if self.bytes > BYTES_MAX {
            Err(ApiError::TooLarge)
        } else if self.lacks_room {
            Err(ApiError::Throttling)
        } else if self.all.is_empty() {
            Ok(self.first)
        } else {
            Ok(self.share.hold(self.all))
        }
    }
}

/// Room is asked for when it is known how much: a thread does nothing else meanwhile, so that there is one such body for each.
fn decompress(compressed: &[u8], bytes_max: usize, guard: &Guard) -> Result<Bytes, ApiError> {
    let mut json = Vec::new();
    let limit = u64::try_from(bytes_max).unwrap_or(u64::MAX);
    let mut decoder = MultiGzDecoder::new(compressed).take(limit.saturating_add(1));
    decoder
        .read_to_end(&mut json)
        .map_err(|_| ApiError::Serialization(None))?;
    let mut share = guard.bodies.share();
    if json.len() > bytes_max {
        Err(ApiError::TooLarge)
    } else if share.grow(json.len()) {
        Ok(share.hold(json))
    } else {
        Err(ApiError::Throttling)
    }
}

/// Compresses a response when the client accepts gzip; says whether it did.
pub(super) fn compress(body: Vec<u8>, accepts: &[u8]) -> (Vec<u8>, bool) {
    if body.len() < COMPRESS_FROM_BYTES || !accepts_gzip(accepts) {
        return (body, false);
    }
    let mut encoder = GzEncoder::new(Vec::with_capacity(body.len() / 4), Compression::fast());
    match encoder.write_all(&body).and_then(|()| encoder.finish()) {
        Ok(compressed) => (compressed, true),
        Err(_) => (body, false),
    }
}

/// Whether an Accept-Encoding header lists gzip without a zero weight (RFC 9110, section 12.5.3).
fn accepts_gzip(header: &[u8]) -> bool {
    header.split(|byte| *byte == b',').any(|choice| {
        let mut parts = choice.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let named = parts
            .next()
            .is_some_and(|coding| coding.eq_ignore_ascii_case(b"gzip"));
        named && !parts.any(|weight| matches!(weight, b"q=0" | b"q=0." | b"q=0.0" | b"q=0.00" | b"q=0.000"))
    })
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    fn guard() -> Arc<Guard> {
        Guard::new(HttpLimits::default())
    }

    #[test]
    fn gzip_is_used_only_when_it_is_asked_for() {
        for (header, expected) in [
            ("", false),
            ("identity", false),
            ("gzip", true),
            ("deflate, GZIP;q=0.5", true),
            ("gzip;q=0", false),
            ("gzip ; q=0.0, br", false),
            ("x-gzip", false),
        ] {
            assert_eq!(accepts_gzip(header.as_bytes()), expected, "{header}");
        }
    }

    #[test]
    fn what_was_compressed_is_read_back_and_bombs_are_refused() {
        let guard = guard();
        let body = vec![b'a'; 5000];
        let (compressed, done) = compress(body.clone(), b"gzip");
        assert!(done && compressed.len() < 100);
        let decompress = |compressed: &[u8]| super::decompress(compressed, BYTES_MAX, &guard);
        assert_eq!(decompress(&compressed).unwrap(), body);
        let (bomb, _) = compress(vec![0; BYTES_MAX + 1], b"gzip");
        assert_eq!(decompress(&bomb), Err(ApiError::TooLarge));
        assert_eq!(
            super::decompress(&compressed, 4999, &guard),
            Err(ApiError::TooLarge)
        );
        assert_eq!(decompress(b"not gzip"), Err(ApiError::Serialization(None)));
        let twice = [compressed.clone(), compressed].concat();
        let members = decompress(&twice).unwrap();
        assert_eq!(members.len(), 2 * body.len(), "two members");
    }

    /// A body that comes in these pieces, each after a pause.
    fn slowly(pieces: Vec<Vec<u8>>, pause: Duration) -> Body {
        Body::from_stream(futures_util::stream::unfold(
            pieces.into_iter(),
            move |mut pieces| async move {
                let piece = pieces.next()?;
                tokio::time::sleep(pause).await;
                Some((Ok::<_, std::io::Error>(Bytes::from(piece)), pieces))
            },
        ))
    }

    #[tokio::test(start_paused = true)]
    async fn a_body_comes_in_pieces_and_in_time() {
        let pieces = || vec![b"{\"a\"".to_vec(), b":1".to_vec(), b"}".to_vec()];
        let read = async |pause| receive(slowly(pieces(), pause), &guard()).await;
        assert_eq!(read(Duration::ZERO).await.unwrap(), "{\"a\":1}");
        assert_eq!(read(Duration::from_secs(9)).await.unwrap(), "{\"a\":1}");
        assert_eq!(read(Duration::from_secs(11)).await, Err(ApiError::TooSlow));
        let guard = guard();
        let slow = slowly(pieces(), Duration::from_secs(11));
        assert!(super::read(&HeaderMap::new(), slow, &guard).await.is_err());
        assert_eq!(guard.counters.bodies_slow.load(Ordering::Relaxed), 1);
        assert_eq!(receive(Body::empty(), &guard).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_much_is_given_time_for_it() {
        let piece = vec![b'x'; 400 * 1024];
        let pieces = vec![piece; 8];
        let got = receive(slowly(pieces.clone(), Duration::from_secs(20)), &guard()).await;
        assert_eq!(got.unwrap().len(), 8 * 400 * 1024);
        let got = receive(slowly(pieces, Duration::from_secs(60)), &guard()).await;
        assert_eq!(got, Err(ApiError::TooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_refused_when_it_has_been_sent() {
        let full = vec![b'x'; BYTES_MAX];
        let got = receive(slowly(vec![full.clone()], Duration::ZERO), &guard()).await;
        assert_eq!(got.unwrap().len(), BYTES_MAX);
        let over = slowly(vec![full.clone(), vec![b'x']], Duration::ZERO);
        assert_eq!(receive(over, &guard()).await, Err(ApiError::TooLarge));
        let endless = slowly(vec![full; 3], Duration::ZERO);
        assert_eq!(receive(endless, &guard()).await, Err(ApiError::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        headers.insert(CONTENT_LENGTH, http::HeaderValue::from(BYTES_MAX + 1));
        let guard = guard();
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&headers, never, &guard).await, Err(ApiError::TooLarge));
    }

    #[tokio::test(start_paused = true)]
    async fn bodies_together_have_no_more_room_than_there_is() {
        let guard = Guard::new(HttpLimits {
            bodies_bytes_max: 1000,
            ..HttpLimits::default()
        });
        let pieces = |bytes: usize| slowly(vec![vec![b'x'; bytes / 2]; 2], Duration::ZERO);
        let read = async |body| super::read(&HeaderMap::new(), body, &guard).await;
        let first = read(pieces(600)).await.unwrap();
        assert_eq!(read(pieces(600)).await, Err(ApiError::Throttling));
        assert_eq!(guard.counters.bodies_throttled.load(Ordering::Relaxed), 1);
        let small = read(pieces(400)).await.unwrap();
        assert_eq!((first.len(), small.len()), (600, 400));
        // What comes in one piece is as large as one read of its connection.
        let whole = slowly(vec![vec![b'x'; 5000]], Duration::ZERO);
        assert_eq!(read(whole).await.unwrap().len(), 5000);
        drop((first, small));
        let again = read(pieces(1000)).await.unwrap();
        assert_eq!(again.len(), 1000);
        // What a body is once decompressed counts as well, and one that is refused keeps nothing.
        drop(again);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_ENCODING, http::HeaderValue::from_static("gzip"));
        let (compressed, _) = compress(vec![b'x'; 2000], b"gzip");
        let received = super::read(&headers, Body::from(compressed), &guard).await;
        let refused = decoded(&headers, &received.unwrap(), BYTES_MAX, &guard);
        assert_eq!(refused, Err(ApiError::Throttling));
        assert_eq!(guard.counters.bodies_throttled.load(Ordering::Relaxed), 2);
        assert_eq!(read(pieces(1000)).await.unwrap().len(), 1000);
    }
}
