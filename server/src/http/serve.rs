//! Accepting connections and serving them until told to stop.
//!
//! HTTP/1.1 and HTTP/2 on one port, in plain or with TLS. A client that takes too long for its handshake, its headers or an
//! answer is cut off; on shutdown, requests that are under way are answered first, for a bounded time.

use std::net::IpAddr;
use std::time::Duration;

use axum::{Extension, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::impatient::Impatient;
use crate::tls::ServerTls;

/// How long a client may take for the TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client may take for the headers of a request.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
/// Largest head of a request. A session token takes some thousand bytes of it.
const HEADERS_BYTES_MAX: u32 = 64 * 1024;
/// How often a client on HTTP/2 that says nothing is asked whether it is still there, and how long it may take to answer.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);
/// How long requests under way may take on shutdown.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(5);
/// Pause after a failed accept (out of descriptors, mostly), so that the loop does not spin.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// What connections are protected with.
#[derive(Debug, Clone)]
pub(crate) enum Security {
    /// Nothing: for loopback addresses.
    Plain,
    /// TLS, with the certificate that is in use when a connection begins.
    Tls(ServerTls),
}

/// Where requests come from. Every request carries it as an extension.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Origin {
    /// The address at the other end of the connection; an IPv4 address is never in IPv6's form.
    pub(crate) address: IpAddr,
    /// Whether the connection is encrypted.
    pub(crate) secure: bool,
}

/// Serves until `stop` is ready, then finishes what is under way.
pub(crate) async fn serve(
    listener: TcpListener,
    security: Security,
    router: Router,
    stop: impl Future<Output = ()>,
) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(usize::try_from(HEADERS_BYTES_MAX).unwrap_or(usize::MAX))
        .half_close(true);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(HEADERS_BYTES_MAX)
        .keep_alive_interval(Some(PING_INTERVAL))
        .keep_alive_timeout(PING_TIMEOUT);
    let graceful = GracefulShutdown::new();
    tokio::pin!(stop);
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, peer)) => {
                    let origin = Origin {
                        address: peer.ip().to_canonical(),
                        secure: matches!(security, Security::Tls(_)),
                    };
                    let connection = Connection {
                        builder: builder.clone(),
                        router: router.clone().layer(Extension(origin)),
                        watcher: graceful.watcher(),
                    };
                    connection.begin(stream, &security);
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection could not be accepted");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            () = &mut stop => break,
        }
    }
    drop(listener);
    if tokio::time::timeout(SHUTDOWN_TIMEOUT, graceful.shutdown())
        .await
        .is_err()
    {
        tracing::warn!("some requests were still under way at shutdown");
    }
}

/// What one connection needs.
struct Connection {
    builder: Builder<TokioExecutor>,
    router: Router,
    watcher: Watcher,
}

impl Connection {
    fn begin(self, stream: TcpStream, security: &Security) {
        // Small answers must not wait for the acknowledgement of the previous ones.
        if let Err(error) = stream.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY was refused");
        }
        match security {
            Security::Plain => drop(tokio::spawn(self.serve(stream))),
            Security::Tls(tls) => drop(tokio::spawn(self.shake_hands(stream, tls.acceptor()))),
        }
    }

    async fn shake_hands(self, stream: TcpStream, acceptor: TlsAcceptor) {
        match tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.serve(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "a client could not agree on TLS"),
            Err(_) => tracing::debug!("a client took too long for the TLS handshake"),
        }
    }

    async fn serve(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let service = TowerToHyperService::new(self.router);
        let connection = self
            .builder
            .serve_connection(TokioIo::new(Impatient::new(stream)), service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(%error, "a connection ended early");
        }
    }
}
