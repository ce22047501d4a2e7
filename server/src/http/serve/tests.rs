//! Connections: certificates that are replaced, clients that are known by one, clients that do not keep to the limits.

use std::net::Ipv4Addr;

use axum::extract::Request as AxumRequest;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use stator_cluster::NodeId;
use stator_cluster::transport::certificate::{CertificateAuthority, CertifiedKey, Validity};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::clock::{Clock as _, SystemClock};
use crate::http::peer::Principals;
use crate::tls::ServerPem;

const ADA: &str = "arn:aws:iam::000000000000:user/ada";

/// An authority and what it has issued.
struct Issuer {
    authority: CertificateAuthority,
    kept: CertifiedKey,
    validity: Validity,
}

impl Issuer {
    fn new() -> Self {
        let now_ms = u64::try_from(SystemClock.now_ms()).unwrap();
        let validity = Validity::days_from(now_ms, 1);
        let (authority, kept) = CertificateAuthority::create(&"blue".parse().unwrap(), validity).unwrap();
        Self {
            authority,
            kept,
            validity,
        }
    }

    fn issue(&self, node: u64) -> CertifiedKey {
        let hosts = ["127.0.0.1".to_owned()];
        self.authority.issue(NodeId(node), &hosts, self.validity).unwrap()
    }

    /// A client's side that trusts the authority, with a certificate or without.
    fn client(&self, own: Option<&CertifiedKey>) -> TlsConnector {
        let mut roots = RootCertStore::empty();
        roots.add(certificate(&self.kept)).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let config = match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let key = PrivateKeyDer::from_pem_slice(own.key_pem.as_bytes()).unwrap();
                builder
                    .with_client_auth_cert(vec![certificate(own)], key)
                    .unwrap()
            }
        };
        TlsConnector::from(Arc::new(config))
    }
}

fn certificate(key: &CertifiedKey) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(key.certificate_pem.as_bytes()).unwrap()
}

fn pem<'a>(key: &'a CertifiedKey, clients: Option<&'a Issuer>) -> ServerPem<'a> {
    ServerPem {
        certificate: key.certificate_pem.as_bytes(),
        key: key.key_pem.as_bytes(),
        clients_authority: clients.map(|issuer| issuer.kept.certificate_pem.as_bytes()),
    }
}

/// A server that tells clients who their certificate stands for, and swallows what they send.
struct Server {
    address: SocketAddr,
    guard: Arc<Guard>,
    _stop: oneshot::Sender<()>,
}

impl Server {
    async fn start(security: Security, limits: HttpLimits) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().fallback(told);
        let guard = Guard::new(limits);
        let (stop, stopped) = oneshot::channel::<()>();
        let stopping = async { drop(stopped.await) };
        tokio::spawn(serve(listener, security, router, Arc::clone(&guard), stopping));
        Self {
            address,
            guard,
            _stop: stop,
        }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    async fn shake_hands(&self, connector: &TlsConnector) -> std::io::Result<TlsStream<TcpStream>> {
        let name = ServerName::try_from("127.0.0.1").unwrap();
        connector.connect(name, self.connect().await).await
    }

    fn counted(&self, counter: fn(&crate::http::guard::Counters) -> &AtomicU64) -> u64 {
        counter(&self.guard.counters).load(Ordering::Relaxed)
    }
}

async fn told(request: AxumRequest) -> String {
    let peer = request.extensions().get::<Peer>().unwrap();
    match peer.principal() {
        Some(arn) => format!("{} {arn}", peer.ip()),
        None => format!("{} nobody", peer.ip()),
    }
}

/// What is answered to a GET over a connection that stays open.
async fn get(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    stream
        .write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        .await
        .unwrap();
    let mut answer = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&answer).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let (_, length) = head.split_once("content-length: ").unwrap();
            let length: usize = length.lines().next().unwrap().parse().unwrap();
            if body.len() >= length {
                return body.to_owned();
            }
        }
        let mut more = [0; 1024];
        let count = stream.read(&mut more).await.unwrap();
        assert_ne!(count, 0, "the connection ended after {text}");
        answer.extend_from_slice(&more[..count]);
    }
}

/// What is read until the connection ends, however it ends.
async fn rest(stream: &mut (impl AsyncRead + Unpin)) -> String {
    let mut rest = Vec::new();
    // A reset is an end as well.
    drop(stream.read_to_end(&mut rest).await);
    String::from_utf8(rest).unwrap()
}

#[tokio::test]
async fn who_has_connected_before_the_end_is_let_in_and_closed_instead_of_reset() {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let mut clients = Vec::new();
    for _ in 0..20 {
        clients.push(TcpStream::connect(address).await.unwrap());
    }
    let guard = Guard::new(HttpLimits::default());
    let router = Router::new().fallback(told);
    serve(listener, Security::Plain, router, guard, async {}).await;
    for mut client in clients {
        assert_eq!(client.read(&mut [0]).await.unwrap(), 0);
    }
}

#[tokio::test]
async fn a_connection_outlives_the_certificate_that_it_began_with() {
    let issuer = Issuer::new();
    let (first, second) = (issuer.issue(1), issuer.issue(2));
    let tls = ServerTls::new(pem(&first, None), Principals::default()).unwrap();
    let server = Server::start(Security::Tls(tls.clone()), HttpLimits::default()).await;
    let presented =
        |stream: &TlsStream<TcpStream>| stream.get_ref().1.peer_certificates().unwrap()[0].clone();
    let client = issuer.client(None);
    let mut kept = server.shake_hands(&client).await.unwrap();
    assert_eq!(get(&mut kept).await, "127.0.0.1 nobody");
    assert_eq!(presented(&kept), certificate(&first));

    tls.replace(pem(&second, None)).unwrap();
    assert_eq!(get(&mut kept).await, "127.0.0.1 nobody");
    let mut new = server.shake_hands(&client).await.unwrap();
    assert_eq!(get(&mut new).await, "127.0.0.1 nobody");
    assert_eq!(presented(&new), certificate(&second));
    assert_eq!(get(&mut kept).await, "127.0.0.1 nobody");

    let mismatched = ServerPem {
        key: first.key_pem.as_bytes(),
        ..pem(&second, None)
    };
    assert!(tls.replace(mismatched).is_err());
    assert!(server.shake_hands(&client).await.is_ok());
}

#[tokio::test]
async fn a_clients_certificate_stands_for_its_principal_and_is_not_demanded() {
    let (issuer, foreign) = (Issuer::new(), Issuer::new());
    let own = issuer.issue(1);
    let names = [("URI:spiffe://blue/node/7".parse().unwrap(), ADA.to_owned())];
    let principals = Principals::new(&names.into());
    let tls = ServerTls::new(pem(&own, Some(&issuer)), principals).unwrap();
    let server = Server::start(Security::Tls(tls), HttpLimits::default()).await;
    let said = async |own: Option<&CertifiedKey>| {
        let mut stream = server.shake_hands(&issuer.client(own)).await.unwrap();
        get(&mut stream).await
    };
    assert_eq!(said(None).await, "127.0.0.1 nobody");
    assert_eq!(said(Some(&issuer.issue(7))).await, format!("127.0.0.1 {ADA}"));
    assert_eq!(said(Some(&issuer.issue(8))).await, "127.0.0.1 nobody");
    // The same name by another authority is refused. With TLS 1.3 the client hears of it after its handshake.
    let forged = foreign.issue(7);
    if let Ok(mut stream) = server.shake_hands(&issuer.client(Some(&forged))).await {
        drop(stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n").await);
        assert_eq!(rest(&mut stream).await, "");
    }
}

#[tokio::test]
async fn who_speaks_http_where_tls_is_spoken_is_told() {
    let issuer = Issuer::new();
    let tls = ServerTls::new(pem(&issuer.issue(1), None), Principals::default()).unwrap();
    let server = Server::start(Security::Tls(tls), HttpLimits::default()).await;
    let mut stream = server.connect().await;
    let body = "x".repeat(20_000);
    let request = format!("POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 20000\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert_eq!(body, "Client sent an HTTP request to an HTTPS server.\n");
    assert!(
        head.contains(&format!("content-length: {}", body.len())),
        "{head}"
    );
    // Anything else is no HTTP, and gets TLS's own refusal.
    let mut stream = server.connect().await;
    stream.write_all(&[0; 64]).await.unwrap();
    assert!(!rest_bytes(&mut stream).await.starts_with(b"HTTP"));
}

async fn rest_bytes(stream: &mut TcpStream) -> Vec<u8> {
    let mut rest = Vec::new();
    drop(stream.read_to_end(&mut rest).await);
    rest
}

#[tokio::test]
async fn one_connection_too_many_is_closed_and_others_are_served() {
    let limits = HttpLimits {
        connections_max: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(Security::Plain, limits).await;
    let mut first = server.connect().await;
    assert_eq!(get(&mut first).await, "127.0.0.1 nobody");
    assert_eq!(rest(&mut server.connect().await).await, "");
    assert_eq!(server.counted(|counters| &counters.connections_refused), 1);
    assert_eq!(get(&mut first).await, "127.0.0.1 nobody");
    drop(first);
    // The server sees the end of the first one in its own time.
    while server.counted(|counters| &counters.connections) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&mut server.connect().await).await, "127.0.0.1 nobody");
}

#[tokio::test]
async fn an_address_with_too_many_connections_gets_no_more_until_one_ends() {
    let limits = HttpLimits {
        connections_per_address_max: 1,
        ..HttpLimits::default()
    };
    let server = Server::start(Security::Plain, limits).await;
    let mut first = server.connect().await;
    assert_eq!(get(&mut first).await, "127.0.0.1 nobody");
    assert_eq!(rest(&mut server.connect().await).await, "");
    let of_address = server.counted(|counters| &counters.connections_of_address_refused);
    assert_eq!(of_address, 1);
    assert_eq!(server.counted(|counters| &counters.connections_refused), 0);
    assert_eq!(get(&mut first).await, "127.0.0.1 nobody");
    drop(first);
    while server.counted(|counters| &counters.connections) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(get(&mut server.connect().await).await, "127.0.0.1 nobody");
}

#[tokio::test]
async fn headers_have_a_size_and_a_time() {
    let limits = HttpLimits {
        header_bytes_max: 8192,
        header_timeout_ms: 100,
        ..HttpLimits::default()
    };
    let server = Server::start(Security::Plain, limits).await;
    let mut stream = server.connect().await;
    // Exactly as much as is read: what is not would reset the connection, and the answer with it.
    let head = "GET / HTTP/1.1\r\nhost: x\r\nx-large: ";
    let large = format!("{head}{}", "x".repeat(8192 - head.len()));
    stream.write_all(large.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 431 "), "{answer}");
    let mut stream = server.connect().await;
    stream.write_all(b"GET / HTTP/1.1\r\nhost:").await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 408 "),
        "{answer}"
    );
    while server.counted(|counters| &counters.connections) > 0 {
        tokio::task::yield_now().await;
    }
    assert_eq!(server.counted(|counters| &counters.headers_refused), 1);
    assert_eq!(server.counted(|counters| &counters.headers_slow), 1);
}

#[tokio::test]
async fn who_says_nothing_or_stops_before_its_version_is_known_is_let_go() {
    let limits = HttpLimits {
        header_timeout_ms: 100,
        ..HttpLimits::default()
    };
    let server = Server::start(Security::Plain, limits).await;
    let (mut silent, mut halting) = (server.connect().await, server.connect().await);
    halting.write_all(b"PRI * HTTP/2.0\r\n").await.unwrap();
    let ended = async {
        assert_eq!(rest(&mut silent).await, "");
        assert_eq!(rest(&mut halting).await, "");
        while server.counted(|counters| &counters.connections) > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), ended)
        .await
        .unwrap();
    assert_eq!(server.counted(|counters| &counters.headers_slow), 2);
}
