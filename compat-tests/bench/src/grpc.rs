//! A client of gRPC with one call in flight (gRPC, "PROTOCOL-HTTP2"): as much of it as a load generator needs.

use bytes::{BufMut as _, Bytes, BytesMut};
use compat_tests::Result;
use h2::client::{Builder, SendRequest};
use http::{HeaderMap, Method, Request, Version};
use prost::Message;

use crate::stream::Stream;

/// So much may come before it has to be acknowledged: answers are small.
const WINDOW_BYTES: u32 = 1 << 20;

/// A connection.
pub(crate) struct Connection {
    sender: SendRequest<Bytes>,
    /// `https://127.0.0.1:2379`
    origin: String,
}

/// A message as it is sent: not compressed, with its length before it.
pub(crate) fn encode(message: &impl Message) -> Bytes {
    let length = message.encoded_len();
    let mut bytes = BytesMut::with_capacity(length + 5);
    bytes.put_u8(0);
    bytes.put_u32(u32::try_from(length).unwrap_or(u32::MAX));
    bytes.put_slice(&message.encode_to_vec());
    bytes.freeze()
}

impl Connection {
    pub(crate) async fn open(stream: Box<dyn Stream>, origin: String) -> Result<Self> {
        let mut builder = Builder::new();
        builder
            .initial_window_size(WINDOW_BYTES)
            .initial_connection_window_size(WINDOW_BYTES);
        let (sender, connection) = builder.handshake(stream).await?;
        tokio::task::spawn_local(async move {
            // Calls fail when it ends; there is nothing else to say.
            connection.await.unwrap_or_default();
        });
        Ok(Self { sender, origin })
    }

    /// Calls a method with a message that [`encode`] has made, and waits for success.
    pub(crate) async fn call(&mut self, path: &str, message: &Bytes) -> Result<()> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{}{path}", self.origin))
            .version(Version::HTTP_2)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        std::future::poll_fn(|context| self.sender.poll_ready(context)).await?;
        let (response, mut body) = self.sender.send_request(request, false)?;
        body.send_data(message.clone(), true)?;
        let (head, mut body) = response.await?.into_parts();
        while let Some(data) = body.data().await {
            body.flow_control().release_capacity(data?.len())?;
        }
        let trailers = body.trailers().await?;
        status(&head.headers, trailers.as_ref())
    }
}

/// A call that fails at once says so in its headers, others in their trailers.
fn status(headers: &HeaderMap, trailers: Option<&HeaderMap>) -> Result<()> {
    let said = |name| {
        trailers
            .and_then(|trailers| trailers.get(name))
            .or_else(|| headers.get(name))
    };
    match said("grpc-status") {
        Some(status) if status == "0" => Ok(()),
        status => Err(format!("answered gRPC status {status:?}: {:?}", said("grpc-message")).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_has_its_length_before_it() {
        assert_eq!(encode(&"ab".to_owned()).as_ref(), b"\0\0\0\0\x04\x0a\x02ab");
    }

    #[test]
    fn only_the_status_zero_is_success() {
        let said = |status: &'static str| {
            HeaderMap::from_iter([(
                http::HeaderName::from_static("grpc-status"),
                http::HeaderValue::from_static(status),
            )])
        };
        let none = HeaderMap::new();
        assert!(status(&none, Some(&said("0"))).is_ok());
        assert!(status(&said("14"), None).is_err());
        assert!(status(&none, Some(&said("14"))).is_err());
        assert!(status(&none, None).is_err());
    }
}
