//! Bodies: reading them within the limit and in time, decompressing requests, compressing responses.

use std::io::{Read as _, Write as _};
use std::pin::Pin;
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

use crate::wire::error::ApiError;

/// Largest request body, before and after decompression.
///
/// Source: Amazon DynamoDB API Reference, "BatchWriteItem: the total request size exceeds 16 MB".
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// How much of a body that is too large is read before it is refused. A client reads no answer before it has sent its
/// request, and would lose one that comes with the end of the connection.
const OVERRUN_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How long a client may take for a body, however short.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client that sends at least so many bytes a millisecond on the average is given as long as it needs.
const BYTES_PER_MILLISECOND: usize = 16;

/// Smaller responses are not worth the time of compression.
const COMPRESS_FROM_BYTES: usize = 1024;

/// Reads a request's body: the bytes as received, which are what is signed, and the JSON that they hold.
///
/// # Errors
/// [`ApiError::TooLarge`], [`ApiError::TooSlow`], or a SerializationException for a body that breaks off or is not gzip as
/// announced.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<(Bytes, Bytes), ApiError> {
    // Who asks before it sends is answered before it sends.
    if headers.contains_key(EXPECT) && announced(headers).is_some_and(|bytes| bytes > BYTES_MAX) {
        return Err(ApiError::TooLarge);
    }
    let received = receive(body).await?;
    let encoding = headers
        .get(CONTENT_ENCODING)
        .map(|encoding| encoding.as_bytes().trim_ascii());
    let json = match encoding {
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => decompress(&received)?,
        _ => received.clone(),
    };
    Ok((received, json))
}

/// The length that a request announces.
fn announced(headers: &HeaderMap) -> Option<usize> {
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// Reads a body to its end.
async fn receive(mut body: Body) -> Result<Bytes, ApiError> {
    let (mut received, mut patience) = (Received::default(), Patience::default());
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
#[derive(Default)]
struct Patience {
    timer: Option<Pin<Box<Sleep>>>,
    /// Bytes that have come and for which more time is due. It is given when the time before is over.
    unpaid: usize,
}

impl Patience {
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
        let timer = timer.get_or_insert_with(|| Box::pin(tokio::time::sleep(PATIENCE)));
        loop {
            tokio::select! {
                biased;
                part = &mut part => return Ok(part),
                () = &mut *timer => {
                    let more = u64::try_from(self.unpaid / BYTES_PER_MILLISECOND).unwrap_or(u64::MAX);
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

/// A body so far. One that comes in one piece, as most do, is not copied.
#[derive(Default)]
struct Received {
    first: Bytes,
    /// All of it, when it comes in more pieces.
    all: Vec<u8>,
    bytes: usize,
}

impl Received {
    fn push(&mut self, data: Bytes) {
        let is_first = self.bytes == 0;
        self.bytes += data.len();
        if self.bytes > BYTES_MAX {
            // Counted, and not kept.
            (self.first, self.all) = (Bytes::new(), Vec::new());
        } else if is_first {
            self.first = data;
        } else {
            if self.all.is_empty() {
                self.all.extend_from_slice(&self.first);
            }
            self.all.extend_from_slice(&data);
        }
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
        } else if self.all.is_empty() {
            Ok(self.first)
        } else {
            Ok(self.all.into())
        }
    }
}

fn decompress(compressed: &[u8]) -> Result<Bytes, ApiError> {
    let mut json = Vec::new();
    let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX);
    let mut decoder = MultiGzDecoder::new(compressed).take(limit + 1);
    decoder
        .read_to_end(&mut json)
        .map_err(|_| ApiError::Serialization(None))?;
    if json.len() > BYTES_MAX {
        Err(ApiError::TooLarge)
    } else {
        Ok(json.into())
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
    use super::*;

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
        let body = vec![b'a'; 5000];
        let (compressed, done) = compress(body.clone(), b"gzip");
        assert!(done && compressed.len() < 100);
        assert_eq!(decompress(&compressed).unwrap(), body);
        let (bomb, _) = compress(vec![0; BYTES_MAX + 1], b"gzip");
        assert_eq!(decompress(&bomb), Err(ApiError::TooLarge));
        assert_eq!(decompress(b"not gzip"), Err(ApiError::Serialization(None)));
        let twice = [compressed.clone(), compressed].concat();
        assert_eq!(decompress(&twice).unwrap().len(), 2 * body.len(), "two members");
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
        let read = async |pause| receive(slowly(pieces(), pause)).await;
        assert_eq!(read(Duration::ZERO).await.unwrap(), "{\"a\":1}");
        assert_eq!(read(Duration::from_secs(9)).await.unwrap(), "{\"a\":1}");
        assert_eq!(read(Duration::from_secs(11)).await, Err(ApiError::TooSlow));
        assert_eq!(receive(Body::empty()).await.unwrap(), "");
    }

    #[tokio::test(start_paused = true)]
    async fn who_sends_much_is_given_time_for_it() {
        let piece = vec![b'x'; 400 * 1024];
        let pieces = vec![piece; 8];
        let got = receive(slowly(pieces.clone(), Duration::from_secs(20))).await;
        assert_eq!(got.unwrap().len(), 8 * 400 * 1024);
        let got = receive(slowly(pieces, Duration::from_secs(60))).await;
        assert_eq!(got, Err(ApiError::TooSlow));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_too_large_is_refused_when_it_has_been_sent() {
        let full = vec![b'x'; BYTES_MAX];
        let got = receive(slowly(vec![full.clone()], Duration::ZERO)).await;
        assert_eq!(got.unwrap().len(), BYTES_MAX);
        let over = slowly(vec![full.clone(), vec![b'x']], Duration::ZERO);
        assert_eq!(receive(over).await, Err(ApiError::TooLarge));
        let endless = slowly(vec![full; 3], Duration::ZERO);
        assert_eq!(receive(endless).await, Err(ApiError::TooLarge));
        let mut headers = HeaderMap::new();
        headers.insert(EXPECT, http::HeaderValue::from_static("100-continue"));
        headers.insert(CONTENT_LENGTH, http::HeaderValue::from(BYTES_MAX + 1));
        let never = Body::from_stream(futures_util::stream::pending::<Result<Bytes, std::io::Error>>());
        assert_eq!(read(&headers, never).await, Err(ApiError::TooLarge));
    }
}
