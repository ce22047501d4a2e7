//! A client of HTTP/1.1 with one request in flight: as much of it as a load generator needs.

use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};

use compat_tests::Result;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stream::Stream;

/// A request, signed, with a place for the invocation id, which is not signed.
#[derive(Debug)]
pub(crate) struct Request {
    bytes: Vec<u8>,
    invocation: Range<usize>,
}

/// What stands in that place until the request is sent.
pub(crate) const INVOCATION: &str = "00000000-0000-4000-8000-000000000000";
/// The digits of it that each sending replaces.
const DIGITS: usize = 12;

impl Request {
    /// A request whose bytes hold [`INVOCATION`] once.
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self> {
        let needle = INVOCATION.as_bytes();
        let at = bytes.windows(needle.len()).position(|window| window == needle);
        let at = at.ok_or("a request without an invocation id")? + needle.len() - DIGITS;
        Ok(Self {
            bytes,
            invocation: at..at + DIGITS,
        })
    }
}

/// How many requests this process has sent: what their invocation ids are made of. A server that has seen one before would
/// take the second request for another attempt, and write nothing.
static SENT: AtomicU64 = AtomicU64::new(0);

/// A connection.
pub(crate) struct Connection {
    stream: Box<dyn Stream>,
    outgoing: Vec<u8>,
    incoming: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: Box<dyn Stream>) -> Self {
        Self {
            stream,
            outgoing: Vec::new(),
            incoming: Vec::new(),
        }
    }

    /// Sends a request under an invocation id of its own, as each call of an SDK has one, and waits for success.
    pub(crate) async fn send(&mut self, request: &Request) -> Result<()> {
        self.outgoing.clear();
        self.outgoing.extend_from_slice(&request.bytes);
        if let Some(place) = self.outgoing.get_mut(request.invocation.clone()) {
            let number = SENT.fetch_add(1, Ordering::Relaxed);
            place.copy_from_slice(format!("{number:012x}").as_bytes());
        }
        self.stream.write_all(&self.outgoing).await?;
        self.stream.flush().await?;
        self.incoming.clear();
        loop {
            if self.stream.read_buf(&mut self.incoming).await? == 0 {
                return Err("the server has closed a connection".into());
            }
            match response(&self.incoming)? {
                Some(200) => return Ok(()),
                Some(status) => {
                    let text = String::from_utf8_lossy(&self.incoming);
                    return Err(format!("answered {status}: {text}").into());
                }
                None => {}
            }
        }
    }
}

/// The status of the response that the bytes are; `None` while it is incomplete.
fn response(bytes: &[u8]) -> Result<Option<u16>> {
    let Some(head_end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") else {
        return Ok(None);
    };
    let head = str::from_utf8(&bytes[..head_end])?;
    let status = head
        .strip_prefix("HTTP/1.1 ")
        .and_then(|rest| rest.get(..3))
        .and_then(|status| status.parse().ok());
    let length = head
        .split("\r\n")
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.trim().parse::<usize>().ok());
    let (Some(status), Some(length)) = (status, length) else {
        return Err(format!("no status line or no content-length: {head}").into());
    };
    match bytes.len().cmp(&(head_end + 4 + length)) {
        std::cmp::Ordering::Less => Ok(None),
        std::cmp::Ordering::Equal => Ok(Some(status)),
        std::cmp::Ordering::Greater => Err("more bytes than one answer to one request".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RESPONSE: &[u8] = b"HTTP/1.1 200 OK\r\nx: y\r\nContent-Length:  2 \r\n\r\n{}";

    #[test]
    fn a_response_is_complete_with_its_last_byte_and_not_before() {
        for length in 0..RESPONSE.len() {
            assert_eq!(response(&RESPONSE[..length]).unwrap(), None, "{length}");
        }
        assert_eq!(response(RESPONSE).unwrap(), Some(200));
        assert!(response(&[RESPONSE, b"x"].concat()).is_err());
        assert!(response(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n").is_err());
    }

    #[tokio::test]
    async fn each_sending_has_an_invocation_id_of_its_own() {
        let bytes = format!("POST / HTTP/1.1\r\namz-sdk-invocation-id: {INVOCATION}\r\n\r\n");
        let length = bytes.len();
        let request = Request::new(bytes.into_bytes()).unwrap();
        let (near, mut far) = tokio::io::duplex(4096);
        let served = tokio::spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..2 {
                let mut bytes = vec![0; length];
                far.read_exact(&mut bytes).await.unwrap();
                seen.push(bytes);
                far.write_all(RESPONSE).await.unwrap();
            }
            seen
        });
        let mut connection = Connection::new(Box::new(near));
        connection.send(&request).await.unwrap();
        connection.send(&request).await.unwrap();
        let seen = served.await.unwrap();
        assert_ne!(seen[0], seen[1]);
        assert!(Request::new(b"POST".to_vec()).is_err());
    }
}
