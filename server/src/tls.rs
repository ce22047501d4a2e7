//! TLS with clients: 1.3 and 1.2, with ring, for HTTP/2 and HTTP/1.1. The server's side and, for the commands, the client's.
//!
//! Clients prove who they are by signatures, not by certificates. Not here: TLS between nodes (`stator_cluster::transport`),
//! files.

use std::sync::Arc;

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, ServerConfig};
use tokio_rustls::TlsAcceptor;

/// Why TLS cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the {what} for clients cannot be used: {cause}")]
pub(crate) struct TlsError {
    what: &'static str,
    cause: String,
}

fn unusable(what: &'static str, cause: impl std::fmt::Display) -> TlsError {
    TlsError {
        what,
        cause: cause.to_string(),
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(ring::default_provider())
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, error))?;
    if certificates.is_empty() {
        return Err(unusable(what, "the file has no PEM block CERTIFICATE"));
    }
    Ok(certificates)
}

/// The server's side, whose certificate can be replaced while it serves. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ServerTls(Arc<ArcSwap<ServerConfig>>);

impl ServerTls {
    /// With a certificate, followed by intermediate ones if there are any, and its private key, all PEM.
    ///
    /// # Errors
    /// [`TlsError`] when they are no certificate and key, or do not belong together.
    pub(crate) fn new(certificate_pem: &[u8], key_pem: &[u8]) -> Result<Self, TlsError> {
        let config = server_config(certificate_pem, key_pem)?;
        Ok(Self(Arc::new(ArcSwap::from_pointee(config))))
    }

    /// Takes another certificate into use, for connections that begin from now on.
    ///
    /// # Errors
    /// As [`ServerTls::new`]; the one in use stays.
    pub(crate) fn replace(&self, certificate_pem: &[u8], key_pem: &[u8]) -> Result<(), TlsError> {
        self.0.store(Arc::new(server_config(certificate_pem, key_pem)?));
        Ok(())
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.0.load_full())
    }
}

fn server_config(certificate_pem: &[u8], key_pem: &[u8]) -> Result<ServerConfig, TlsError> {
    let chain = certificates(certificate_pem, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(key_pem).map_err(|error| unusable("private key", error))?;
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("certificate", error))?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .map_err(|error| unusable("private key", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// A client's side that trusts these authorities only, and speaks HTTP/1.1.
///
/// # Errors
/// [`TlsError`] when there is no certificate in `authority_pem`.
pub(crate) fn client(authority_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let what = "authority's certificate";
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority_pem, what)? {
        roots.add(certificate).map_err(|error| unusable(what, error))?;
    }
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(what, error))?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
