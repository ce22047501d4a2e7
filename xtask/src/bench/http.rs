//! Reading HTTP/1.1 responses, as much as a load generator needs: where one ends, and its status.
//!
//! Only responses with a `Content-Length` are understood. Both sides of a bench send one; a body that came any other
//! way could not be compared.

use std::ops::Range;

use crate::Result;

/// Where the parts of a response lie in the bytes that hold it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// 200, 400, ...
    pub(super) status: u16,
    /// The body; the response ends where it does.
    pub(super) body: Range<usize>,
}

/// The response that `bytes` start with; `None` while it is incomplete.
///
/// # Errors
/// Anything but HTTP/1.1 with a `Content-Length`.
pub(super) fn frame(bytes: &[u8]) -> Result<Option<Frame>> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..head_end])?;
    let mut lines = head.split("\r\n");
    let status_line = lines.next().unwrap_or_default();
    let status = status_line
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok())
        .ok_or_else(|| format!("no status line: {status_line}"))?;
    let length: usize = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse().ok())
        .ok_or_else(|| format!("no content-length: {head}"))?;
    let start = head_end + 4;
    let body = start..start + length;
    Ok((bytes.len() >= body.end).then_some(Frame { status, body }))
}

#[cfg(test)]
mod tests {
    use super::{Frame, frame};

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nx: y\r\nContent-Length:  2 \r\n\r\n{}";

    #[test]
    fn a_response_is_complete_with_its_last_byte_and_not_before() {
        for length in 0..RESPONSE.len() {
            assert_eq!(frame(&RESPONSE[..length]).unwrap(), None, "{length}");
        }
        let whole = frame(RESPONSE).unwrap().unwrap();
        assert_eq!(
            whole,
            Frame {
                status: 200,
                body: 46..48
            }
        );
        assert_eq!(&RESPONSE[whole.body], b"{}");
    }

    #[test]
    fn what_follows_is_not_part_of_it() {
        let two = [RESPONSE, RESPONSE].concat();
        assert_eq!(frame(&two).unwrap().unwrap().body.end, RESPONSE.len());
    }

    #[test]
    fn an_empty_body_and_any_status_are_fine() {
        let response = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n";
        let frame = frame(response).unwrap().unwrap();
        assert_eq!((frame.status, frame.body.is_empty()), (503, true));
    }

    #[test]
    fn other_protocols_and_lengths_are_refused() {
        for response in [
            "HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 two OK\r\ncontent-length: 0\r\n\r\n",
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(frame(response.as_bytes()).is_err(), "{response}");
        }
    }
}
