//! TLS with clients: 1.3 and 1.2, with ring, for HTTP/2 and HTTP/1.1. The server's side and, for the commands, the client's.
//!
//! Clients prove who they are by signatures, or by certificates of an authority that is named for them; a certificate is never
//! demanded, so that both can use one port. Not here: TLS between nodes (`stator_cluster::transport`), files, whom a
//! certificate stands for (`http/peer.rs`).

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use arc_swap::ArcSwap;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{ClientConfig, ProtocolVersion, RootCertStore, ServerConfig, ServerConnection};
use tokio_rustls::TlsAcceptor;
use x509_parser::prelude::{FromDer as _, X509Certificate};

use crate::http::peer::{Principals, TlsDetails};

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

/// A certificate for the server's side, and what clients' are verified against; all PEM.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ServerPem<'a> {
    /// The certificate, followed by intermediate ones if there are any.
    pub(crate) certificate: &'a [u8],
    /// Its private key.
    pub(crate) key: &'a [u8],
    /// Authorities of clients' certificates. Without them no certificate is asked for.
    pub(crate) clients_authority: Option<&'a [u8]>,
}

/// The server's side, whose certificate can be replaced while it serves. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ServerTls {
    config: Arc<ArcSwap<ServerConfig>>,
    principals: Arc<Principals>,
}

impl ServerTls {
    /// With a certificate, and the principals that clients' certificates stand for.
    ///
    /// # Errors
    /// [`TlsError`] when they are no certificate and key, or do not belong together.
    pub(crate) fn new(pem: ServerPem<'_>, principals: Principals) -> Result<Self, TlsError> {
        Ok(Self {
            config: Arc::new(ArcSwap::from_pointee(server_config(pem)?)),
            principals: Arc::new(principals),
        })
    }

    /// Takes another certificate into use, for connections that begin from now on; those that are open go on.
    ///
    /// # Errors
    /// As [`ServerTls::new`]; the one in use stays.
    pub(crate) fn replace(&self, pem: ServerPem<'_>) -> Result<(), TlsError> {
        self.config.store(Arc::new(server_config(pem)?));
        Ok(())
    }

    /// For one connection.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(self.config.load_full())
    }

    /// Who a client's certificate, which was verified, stands for.
    pub(crate) fn principal_of(&self, certificate: Option<&CertificateDer<'_>>) -> Option<Arc<str>> {
        self.principals.of(certificate?)
    }
}

fn server_config(pem: ServerPem<'_>) -> Result<ServerConfig, TlsError> {
    let chain = certificates(pem.certificate, "certificate")?;
    let key = PrivateKeyDer::from_pem_slice(pem.key).map_err(|error| unusable("private key", error))?;
    let builder = ServerConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable("certificate", error))?;
    let builder = match pem.clients_authority {
        None => builder.with_no_client_auth(),
        Some(authority) => {
            let roots = Arc::new(roots(authority, CLIENTS_AUTHORITY)?);
            let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider())
                .allow_unauthenticated()
                .build()
                .map_err(|error| unusable(CLIENTS_AUTHORITY, error))?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let mut config = builder
        .with_single_cert(chain, key)
        .map_err(|error| unusable("private key", error))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

/// When certificates are valid, in seconds since the Unix epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Validity {
    /// Not before.
    pub(crate) from_s: i64,
    /// Not after.
    pub(crate) until_s: i64,
}

/// When all certificates of a PEM file are valid: a chain is as good as the first of them that expires.
///
/// # Errors
/// [`TlsError`] when there is none, or one cannot be read.
pub(crate) fn validity(pem: &[u8]) -> Result<Validity, TlsError> {
    let mut valid = Validity {
        from_s: i64::MIN,
        until_s: i64::MAX,
    };
    for der in certificates(pem, "certificate")? {
        let (_, certificate) =
            X509Certificate::from_der(&der).map_err(|error| unusable("certificate", error))?;
        let of_one = certificate.validity();
        valid.from_s = valid.from_s.max(of_one.not_before.timestamp());
        valid.until_s = valid.until_s.min(of_one.not_after.timestamp());
    }
    Ok(valid)
}

/// When the certificates in use expire, for whoever watches it. They may be replaced meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Expiry {
    nodes_s: AtomicI64,
    clients_s: AtomicI64,
}

impl Expiry {
    /// These are in use from now on: PEM of the certificate between nodes, and of that for clients.
    ///
    /// # Errors
    /// As [`validity`]; nothing is changed.
    pub(crate) fn note(&self, nodes: &[u8], clients: &[u8]) -> Result<(), TlsError> {
        let (nodes, clients) = (validity(nodes)?, validity(clients)?);
        self.nodes_s.store(nodes.until_s, Ordering::Relaxed);
        self.clients_s.store(clients.until_s, Ordering::Relaxed);
        Ok(())
    }

    /// In seconds since the Unix epoch, by what they are for.
    pub(crate) fn read(&self) -> [(&'static str, i64); 2] {
        [
            ("nodes", self.nodes_s.load(Ordering::Relaxed)),
            ("clients", self.clients_s.load(Ordering::Relaxed)),
        ]
    }
}

/// What messages call it.
const CLIENTS_AUTHORITY: &str = "authority of certificates";

fn roots(authority_pem: &[u8], what: &'static str) -> Result<RootCertStore, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authority_pem, what)? {
        roots.add(certificate).map_err(|error| unusable(what, error))?;
    }
    Ok(roots)
}

/// What was agreed on with a client.
pub(crate) fn details(session: &ServerConnection) -> Option<TlsDetails> {
    let version = match session.protocol_version()? {
        ProtocolVersion::TLSv1_3 => "TLSv1.3",
        ProtocolVersion::TLSv1_2 => "TLSv1.2",
        _ => "unknown",
    };
    let cipher_suite = session.negotiated_cipher_suite()?.suite();
    Some(TlsDetails {
        version,
        cipher_suite: cipher_suite.as_str().unwrap_or("unknown"),
    })
}

/// A client's side that trusts these authorities only, and speaks HTTP/1.1.
///
/// # Errors
/// [`TlsError`] when there is no certificate in `authority_pem`.
pub(crate) fn client(authority_pem: &[u8]) -> Result<Arc<ClientConfig>, TlsError> {
    let what = "authority's certificate";
    let config = ClientConfig::builder_with_provider(provider())
        .with_safe_default_protocol_versions()
        .map_err(|error| unusable(what, error))?
        .with_root_certificates(roots(authority_pem, what)?)
        .with_no_client_auth();
    Ok(Arc::new(config))
}
