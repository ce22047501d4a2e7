//! Accepting connections and serving them until told to stop.
//!
//! HTTP/1.1 and HTTP/2 on one port, in plain or with TLS. A client that takes too long for its handshake, its headers or an
//! answer, or that says nothing at all, is cut off; on shutdown, requests that are under way are answered first, for a
//! bounded time. Every request carries its [`Peer`] as an extension.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use futures_util::FutureExt as _;
use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tower::Service as _;

use super::guard::{Guard, Open};
use super::impatient::Impatient;
use super::limits::{HttpLimits, ms};
use super::peer::Peer;
use crate::tls::{self, ServerTls};

/// How long requests under way may take on shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept (out of descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// An HTTP/2 client that says nothing for so long is asked whether it is still there, and may take so long to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How many headers hyper takes without memory of its own for them.
const HEADERS_USUAL: u32 = 100;

/// What a TLS connection begins with: a record of the handshake (RFC 8446, section 5.1, `handshake(22)`).
const TLS_HANDSHAKE: u8 = 22;
/// The answer to a client that speaks HTTP where TLS is spoken, in the words that people know from Go's net/http.
const NOT_TLS: &[u8] = b"HTTP/1.1 400 Bad Request\r\ncontent-type: text/plain\r\ncontent-length: 48\r\nconnection: close\r\n\r\n\
                         Client sent an HTTP request to an HTTPS server.\n";
/// So much of such a request is read, so that the answer is not lost to a reset connection.
const NOT_TLS_BYTES_READ: u64 = 64 << 10;

/// What connections are protected with.
#[derive(Debug, Clone)]
pub(crate) enum Security {
    /// Nothing: for loopback addresses.
    Plain,
    /// TLS, with the certificate that is in use when a connection begins.
    Tls(ServerTls),
}

/// Serves until `stop` is ready, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    security: Security,
    router: Router,
    guard: Arc<Guard>,
    stop: impl Future<Output = ()>,
) {
    let builder = builder(&guard.limits);
    let graceful = GracefulShutdown::new();
    let begin = |stream, address: SocketAddr| {
        // One too many is closed at once, so that its client goes to another node.
        let Some(open) = guard.connect(address.ip()) else {
            return;
        };
        let connection = Connection {
            builder: builder.clone(),
            router: router.clone(),
            watcher: graceful.watcher(),
            guard: Arc::clone(&guard),
            address,
            _open: open,
        };
        connection.begin(stream, &security);
    };
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => begin(stream, address),
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = &mut stop => break,
        }
    }
    // Whoever the kernel has let in already gets its handshake: one that is reset there is no reason for some SDKs to ask
    // again (botocore, `SSLError`), one that is closed behind it is.
    while let Some(Ok((stream, address))) = listener.accept().now_or_never() {
        begin(stream, address);
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests were still under way at shutdown");
    }
}

fn builder(limits: &HttpLimits) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    let header_bytes = usize::try_from(limits.header_bytes_max).unwrap_or(usize::MAX);
    let mut http1 = builder.http1();
    http1
        .timer(TokioTimer::new())
        .header_read_timeout(ms(limits.header_timeout_ms))
        .max_buf_size(header_bytes)
        .half_close(true);
    if limits.headers_max != HEADERS_USUAL {
        http1.max_headers(usize::try_from(limits.headers_max).unwrap_or(usize::MAX));
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_INTERVAL)
        .keep_alive_timeout(PING_TIMEOUT)
        .max_header_list_size(limits.header_bytes_max);
    builder
}

/// What one connection needs.
struct Connection {
    builder: Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
    guard: Arc<Guard>,
    address: SocketAddr,
    _open: Open,
}

impl Connection {
    fn begin(self, stream: TcpStream, security: &Security) {
        // Small answers must not wait for the acknowledgement of the previous ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        match security {
            Security::Plain => {
                let peer = Peer::new(self.address, None, None);
                drop(tokio::spawn(self.serve(stream, peer)));
            }
            Security::Tls(tls) => drop(tokio::spawn(self.shake_hands(stream, tls.clone()))),
        }
    }

    async fn shake_hands(self, stream: TcpStream, tls: ServerTls) {
        let timeout = ms(self.guard.limits.handshake_timeout_ms);
        let shaken = tokio::time::timeout(timeout, async {
            if is_plain_http(&stream).await? {
                tell_not_tls(stream).await?;
                return Ok(None);
            }
            tls.acceptor().accept(stream).await.map(Some)
        });
        match shaken.await {
            Ok(Ok(Some(stream))) => {
                let session = stream.get_ref().1;
                let certificates = session.peer_certificates();
                let principal = tls.principal_of(certificates.and_then(<[_]>::first));
                let peer = Peer::new(self.address, tls::details(session), principal);
                return self.serve(stream, peer).await;
            }
            Ok(Ok(None)) => tracing::debug!(address = %self.address, "a client does not speak TLS"),
            Ok(Err(error)) => tracing::debug!(%error, "a client could not agree on TLS"),
            Err(_) => tracing::debug!("a client took too long for the TLS handshake"),
        }
        count(&self.guard.counters.handshakes_failed);
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static, peer: Peer) {
        let router = self.router;
        let service = service_fn(move |mut request: Request<Incoming>| {
            request.extensions_mut().insert(peer.clone());
            // A router is always ready.
            router.clone().call(request)
        });
        let stream = Impatient::new(stream, ms(self.guard.limits.header_timeout_ms));
        let connection = self.builder.serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection).await {
            let counters = &self.guard.counters;
            // Before the version of HTTP is known, errors are those of the connection.
            let begins = error.downcast_ref::<io::Error>();
            match error.downcast_ref::<hyper::Error>() {
                Some(error) if error.is_parse_too_large() => count(&counters.headers_refused),
                Some(error) if error.is_timeout() => count(&counters.headers_slow),
                None if begins.is_some_and(|error| error.kind() == io::ErrorKind::TimedOut) => {
                    count(&counters.headers_slow);
                }
                _ => {}
            }
            tracing::debug!(%error, "a connection ended early");
        }
    }
}

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Ordering::Relaxed);
}

/// Whether the first byte that a client sends is a letter, with which every method of HTTP begins, and no TLS handshake.
async fn is_plain_http(stream: &TcpStream) -> io::Result<bool> {
    let mut first = [0];
    let read = stream.peek(&mut first).await?;
    Ok(read == 1 && first[0] != TLS_HANDSHAKE && first[0].is_ascii_alphabetic())
}

/// Says that TLS is spoken here, and lets go of the connection when the client has heard it.
async fn tell_not_tls(mut stream: TcpStream) -> io::Result<()> {
    stream.write_all(NOT_TLS).await?;
    stream.shutdown().await?;
    let mut rest = stream.take(NOT_TLS_BYTES_READ);
    tokio::io::copy(&mut rest, &mut tokio::io::sink()).await.map(drop)
}

#[cfg(test)]
mod tests;
