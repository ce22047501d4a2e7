//! Mutual TLS between nodes: TLS 1.3, ring, HTTP/2 and nothing else; certificates of one authority on both sides.
//!
//! Invariant: a connection is used only after both certificates were verified up to the cluster's authority at the
//! present time, and the one who calls has the node that it called. No session is resumed, so that every connection
//! is verified in full. Not here: sockets, files.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, verify_server_cert_signed_by_trust_anchor};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoServerSessionStorage, ParsedCertificate, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, OtherError, RootCertStore, ServerConfig,
    SignatureScheme,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};
use zeroize::Zeroizing;

use super::error::{PeerError, TransportError};
use super::identity::{self, CertifiedNode};
use crate::world::{NodeId, World};

/// HTTP/2, in the handshake's words.
pub(super) const ALPN: &[u8] = b"h2";

/// What a node proves itself with and checks others against, as PEM.
#[derive(Clone)]
pub struct Credentials {
    /// Certificates of the authorities that are trusted; two of them while one replaces the other.
    pub authority_pem: Vec<u8>,
    /// This node's certificate, followed by intermediate ones if there are any.
    pub certificate_pem: Vec<u8>,
    /// The private key of this node's certificate.
    pub key_pem: Zeroizing<Vec<u8>>,
}

impl Credentials {
    /// The node that the certificate is for. Says nothing about whether the credentials are of use.
    ///
    /// # Errors
    /// [`TransportError::Credentials`] when there is no certificate, or it is not of a node.
    pub fn identity(&self) -> Result<CertifiedNode, TransportError> {
        let chain = certificates(&self.certificate_pem, "certificate")?;
        let first = chain
            .first()
            .ok_or_else(|| unusable("certificate", "the file has none"))?;
        CertifiedNode::of_certificate(first).map_err(|error| unusable("certificate", error))
    }

    /// Whether a node can use them now, by the wall clock of a world.
    ///
    /// # Errors
    /// [`TransportError::Credentials`] when the key does not fit the certificate, or the certificate names no node, is not of
    /// the authority, or is not valid now.
    pub fn check(&self, world: Arc<dyn World>) -> Result<(), TransportError> {
        Tls::new(self, world).map(drop)
    }
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").finish_non_exhaustive()
    }
}

/// The wall clock of the world, for rustls.
#[derive(Debug)]
struct WallClock(Arc<dyn World>);

impl WallClock {
    fn now(&self) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_millis(self.0.unix_ms()))
    }
}

impl TimeProvider for WallClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.now())
    }
}

/// Credentials, checked and ready for use.
#[derive(Debug)]
pub(super) struct Tls {
    /// The node that this node's certificate is for.
    pub(super) identity: CertifiedNode,
    /// When this node's certificate expires, in milliseconds since the Unix epoch.
    pub(super) expires_ms: u64,
    clock: Arc<WallClock>,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
    client: ClientConfig,
    server: Arc<ServerConfig>,
}

impl Tls {
    /// Checks credentials: the key fits the certificate, and the certificate names a node, comes from the authority and is
    /// valid now.
    pub(super) fn new(credentials: &Credentials, world: Arc<dyn World>) -> Result<Self, TransportError> {
        let Parsed { roots, chain, key } = Parsed::new(credentials)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let clock = Arc::new(WallClock(world));
        let clients = WebPkiClientVerifier::builder_with_provider(Arc::clone(&roots), Arc::clone(&provider))
            .build()
            .map_err(|error| unusable("authority's certificate", error))?;
        let first = chain
            .first()
            .ok_or_else(|| unusable("certificate", "the file has none"))?;
        let identity =
            CertifiedNode::of_certificate(first).map_err(|error| unusable("certificate", error))?;
        let expires_ms = identity::expires_ms(first).map_err(|error| unusable("certificate", error))?;
        let verifier = NodeVerifier {
            expected: identity.clone(),
            roots: Arc::clone(&roots),
            provider: Arc::clone(&provider),
        };
        let client = ClientConfig::builder_with_details(Arc::clone(&provider), clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unusable("certificate", error))?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_auth_cert(chain.clone(), key.clone_key())
            .map_err(|error| unusable("private key", error))?;
        let server = ServerConfig::builder_with_details(Arc::clone(&provider), clock.clone())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|error| unusable("certificate", error))?
            .with_client_cert_verifier(Arc::clone(&clients))
            .with_single_cert(chain.clone(), key)
            .map_err(|error| unusable("private key", error))?;
        let tls = Self {
            identity,
            expires_ms,
            clock,
            roots,
            provider,
            clients,
            client: client_settings(client),
            server: Arc::new(server_settings(server)),
        };
        tls.verify_server(tls.identity.node, &chain)
            .and_then(|()| tls.verify_client(&chain))
            .map_err(|error| unusable("certificate", error))?;
        Ok(tls)
    }

    /// To call a node: nobody else may answer.
    pub(super) fn connector(&self, node: NodeId) -> TlsConnector {
        let mut config = self.client.clone();
        config
            .dangerous()
            .set_certificate_verifier(Arc::new(self.verifier(node)));
        TlsConnector::from(Arc::new(config))
    }

    /// To be called.
    pub(super) fn acceptor(&self) -> TlsAcceptor {
        TlsAcceptor::from(Arc::clone(&self.server))
    }

    /// Verifies again, now, the certificates of a node that was called.
    pub(super) fn verify_server(&self, node: NodeId, chain: &[CertificateDer<'_>]) -> Result<(), PeerError> {
        let Some((first, intermediates)) = chain.split_first() else {
            return Err(PeerError::Certificate("it has none".to_owned()));
        };
        self.verifier(node)
            .verify(first, intermediates, self.clock.now())
            .map_err(|error| PeerError::tls(&error))
    }

    /// Verifies again, now, the certificates of a node that has called.
    pub(super) fn verify_client(&self, chain: &[CertificateDer<'_>]) -> Result<(), PeerError> {
        let Some((first, intermediates)) = chain.split_first() else {
            return Err(PeerError::Certificate("it has none".to_owned()));
        };
        self.clients
            .verify_client_cert(first, intermediates, self.clock.now())
            .map(drop)
            .map_err(|error| PeerError::tls(&error))
    }

    fn verifier(&self, node: NodeId) -> NodeVerifier {
        NodeVerifier {
            expected: CertifiedNode {
                cluster: self.identity.cluster.clone(),
                node,
            },
            roots: Arc::clone(&self.roots),
            provider: Arc::clone(&self.provider),
        }
    }
}

fn client_settings(mut client: ClientConfig) -> ClientConfig {
    client.alpn_protocols = vec![ALPN.to_vec()];
    client.resumption = Resumption::disabled();
    client.enable_sni = false;
    client
}

fn server_settings(mut server: ServerConfig) -> ServerConfig {
    server.alpn_protocols = vec![ALPN.to_vec()];
    server.session_storage = Arc::new(NoServerSessionStorage {});
    server.send_tls13_tickets = 0;
    server
}

/// Credentials out of their PEM.
struct Parsed {
    roots: Arc<RootCertStore>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Parsed {
    fn new(credentials: &Credentials) -> Result<Self, TransportError> {
        let authority = "authority's certificate";
        let mut roots = RootCertStore::empty();
        for certificate in certificates(&credentials.authority_pem, authority)? {
            roots
                .add(certificate)
                .map_err(|error| unusable(authority, error))?;
        }
        let chain = certificates(&credentials.certificate_pem, "certificate")?;
        let key = PrivateKeyDer::from_pem_slice(&credentials.key_pem)
            .map_err(|error| unusable("private key", error))?;
        Ok(Self {
            roots: Arc::new(roots),
            chain,
            key,
        })
    }
}

pub(super) fn certificates(
    pem: &[u8],
    what: &'static str,
) -> Result<Vec<CertificateDer<'static>>, TransportError> {
    let certificates: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|error| unusable(what, error))?;
    if certificates.is_empty() {
        return Err(unusable(what, "the file has no PEM block CERTIFICATE"));
    }
    Ok(certificates)
}

fn unusable(what: &'static str, cause: impl std::fmt::Display) -> TransportError {
    TransportError::Credentials {
        what,
        cause: cause.to_string(),
    }
}

/// The one who was called is not who was meant.
#[derive(Debug, thiserror::Error)]
#[error(
    "it is the certificate of {found}, while {expected} was called; correct the address or the certificate"
)]
struct WrongNode {
    found: CertifiedNode,
    expected: CertifiedNode,
}

/// Accepts the certificate of one node, instead of a host's.
#[derive(Debug)]
struct NodeVerifier {
    expected: CertifiedNode,
    roots: Arc<RootCertStore>,
    provider: Arc<CryptoProvider>,
}

impl NodeVerifier {
    fn verify(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<(), rustls::Error> {
        let parsed = ParsedCertificate::try_from(certificate)?;
        let algorithms = self.provider.signature_verification_algorithms.all;
        verify_server_cert_signed_by_trust_anchor(&parsed, &self.roots, intermediates, now, algorithms)?;
        let found = CertifiedNode::of_certificate(certificate).map_err(other)?;
        if found == self.expected {
            Ok(())
        } else {
            Err(other(WrongNode {
                found,
                expected: self.expected.clone(),
            }))
        }
    }
}

fn other(error: impl std::error::Error + Send + Sync + 'static) -> rustls::Error {
    CertificateError::Other(OtherError(Arc::new(error))).into()
}

impl ServerCertVerifier for NodeVerifier {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        self.verify(certificate, intermediates, now)
            .map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}
