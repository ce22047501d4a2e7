//! One HTTP request to another server: a node, Vault, an object store.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// The largest answer.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// Whatever can go wrong on the way.
pub(crate) type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Sends a request to the host of a URI, with TLS if there are settings for it, and waits for the whole answer.
///
/// # Errors
/// When there is none, or none within the time.
pub(crate) async fn send(
    uri: &Uri,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<(StatusCode, Bytes), BoxError> {
    let answer = fetch(uri, tls, request, timeout).await?;
    Ok((answer.status(), answer.into_body()))
}

/// The same with the headers of the answer.
///
/// # Errors
/// As [`send`].
pub(crate) async fn fetch(
    uri: &Uri,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
    timeout: Duration,
) -> Result<Response<Bytes>, BoxError> {
    tokio::time::timeout(timeout, exchange(uri, tls, request))
        .await
        .map_err(|_| format!("it took longer than {} ms", timeout.as_millis()))?
}

async fn exchange(
    uri: &Uri,
    tls: Option<&Arc<ClientConfig>>,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, BoxError> {
    let host = uri.host().unwrap_or_default().trim_matches(['[', ']']);
    let port = uri.port_u16().unwrap_or(if tls.is_some() { 443 } else { 80 });
    let stream = TcpStream::connect((host, port)).await?;
    match tls {
        Some(tls) => {
            let name = ServerName::try_from(host.to_owned())?;
            let stream = TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?;
            over(stream, request).await
        }
        None => over(stream, request).await,
    }
}

async fn over(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    request: Request<Full<Bytes>>,
) -> Result<Response<Bytes>, BoxError> {
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender; what goes wrong on it is told where the answer is missing.
    tokio::spawn(connection);
    let answer = sender.send_request(request).await?;
    let (head, body) = answer.into_parts();
    let body = Limited::new(body, ANSWER_BYTES_MAX).collect().await?;
    Ok(Response::from_parts(head, body.to_bytes()))
}
