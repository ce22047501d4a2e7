//! Bodies: reading them within the limit, decompressing requests, compressing responses.

use std::io::{Read as _, Write as _};

use axum::body::Body;
use bytes::Bytes;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;
use http_body_util::{BodyExt as _, Limited};

use crate::wire::error::ApiError;

/// Largest request body, before and after decompression.
///
/// Source: Amazon DynamoDB API Reference, "BatchWriteItem: the total request size exceeds 16 MB".
pub(super) const BYTES_MAX: usize = 16 * 1024 * 1024;

/// Smaller responses are not worth the time of compression.
const COMPRESS_FROM_BYTES: usize = 1024;

/// Reads a request's body: the bytes as received, which are what is signed, and the JSON that they hold.
///
/// # Errors
/// [`ApiError::TooLarge`], or a SerializationException for a body that breaks off or is not gzip as announced.
pub(super) async fn read(headers: &HeaderMap, body: Body) -> Result<(Bytes, Bytes), ApiError> {
    let received = match Limited::new(body, BYTES_MAX).collect().await {
        Ok(collected) => collected.to_bytes(),
        Err(error) if error.is::<http_body_util::LengthLimitError>() => return Err(ApiError::TooLarge),
        Err(_) => return Err(ApiError::Serialization(None)),
    };
    let encoding = headers
        .get(CONTENT_ENCODING)
        .map(|encoding| encoding.as_bytes().trim_ascii());
    let json = match encoding {
        Some(encoding) if encoding.eq_ignore_ascii_case(b"gzip") => decompress(&received)?,
        _ => received.clone(),
    };
    Ok((received, json))
}

fn decompress(compressed: &[u8]) -> Result<Bytes, ApiError> {
    let mut json = Vec::new();
    let limit = u64::try_from(BYTES_MAX).unwrap_or(u64::MAX);
    let mut decoder = GzDecoder::new(compressed).take(limit + 1);
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
    }
}
