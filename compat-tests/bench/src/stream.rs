//! A connection of bytes to a node: TCP, with TLS where the cluster has it.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use compat_tests::{Result, trusting};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// What both kinds of connection are.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin {}

impl<S: AsyncRead + AsyncWrite + Unpin> Stream for S {}

/// The settings of clients that trust an authority and speak this protocol.
pub(crate) fn tls(ca_file: &Path, protocol: &[u8]) -> Result<Arc<ClientConfig>> {
    let mut config = trusting(ca_file)?;
    config.alpn_protocols = vec![protocol.to_vec()];
    Ok(Arc::new(config))
}

/// Connects.
pub(crate) async fn open(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Box<dyn Stream>> {
    let stream = TcpStream::connect(address)
        .await
        .map_err(|error| format!("{address}: {error}"))?;
    stream.set_nodelay(true)?;
    Ok(match tls {
        Some(tls) => {
            let name = ServerName::IpAddress(address.ip().into());
            Box::new(TlsConnector::from(Arc::clone(tls)).connect(name, stream).await?)
        }
        None => Box::new(stream),
    })
}
