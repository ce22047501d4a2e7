//! Calling one peer: connect when there is something to send, send, wait and try again when it fails.
//!
//! Invariant: one connection at a time, and none to anybody but the node that is meant. What waits while an attempt fails is
//! dropped and counted. Not here: being called (`listen.rs`).

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use h2::client::{Connection, ResponseFuture, SendRequest};
use h2::{PingPong, SendStream};
use http::{Method, Request, StatusCode};
use prost::Message as _;
use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio_rustls::client::TlsStream;

use super::backoff::Backoff;
use super::error::PeerError;
use super::frame;
use super::hello::{HelloError, Reply, judge};
use super::identity::CertifiedNode;
use super::peer::{Peer, add};
use super::shared::Shared;
use super::tls::{ALPN, Tls};
use super::wire;
use crate::world::Priority;

/// Holds the settings of HTTP/2, which a peer sends first; later reads go past it.
const FIRST_BYTES: usize = 512;

type Driver = Pin<Box<Connection<BufReader<TlsStream<TcpStream>>, Bytes>>>;

/// A connection over which messages may go.
struct Session {
    requests: SendRequest<Bytes>,
    driver: Driver,
    pings: PingPong,
    chain: Vec<CertificateDer<'static>>,
    /// The number of the credentials it was made with.
    renewal: u64,
    version: u32,
    incarnation: u64,
}

/// Why a connection was ended from this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// Nothing was sent for a while.
    Idle,
    /// There are other credentials, or the peer is elsewhere: connect again at once.
    Renew,
}

/// Calls a peer until the transport is closed or the peer has left.
pub(super) async fn run(shared: Arc<Shared>, peer: Arc<Peer>) {
    tokio::select! {
        () = shared.stopped() => {}
        () = peer.left() => {}
        () = call(&shared, &peer) => {}
    }
    peer.drop_waiting();
    peer.set_idle();
}

async fn call(shared: &Arc<Shared>, peer: &Peer) {
    let settings = &shared.settings;
    let mut backoff = Backoff::new(settings.backoff_min(), settings.backoff_max());
    loop {
        let address = peer.known_address().await;
        peer.outbox.filled_any().await;
        // It may have moved in the meantime.
        let address = peer.address.borrow().clone().unwrap_or(address);
        peer.set_connecting();
        let timeout = settings.connect_timeout();
        let connecting = connect(shared, peer, &address);
        let error = match wire::within(shared.world.as_ref(), timeout, "connecting", connecting).await {
            Ok(session) => {
                let begun = shared.world.now();
                peer.set_connected(&address, session.version, session.incarnation);
                let ended = talk(shared, peer, &address, session).await;
                if shared.world.now().saturating_sub(begun) >= settings.backoff_max() {
                    backoff.reset();
                }
                match ended {
                    Ok(_) => {
                        peer.set_idle();
                        continue;
                    }
                    Err(error) => error,
                }
            }
            Err(error) => {
                peer.drop_waiting();
                error
            }
        };
        peer.set_failing(&error);
        let wait = backoff.next(shared.world.random_u64());
        tokio::select! {
            () = shared.world.sleep(wait) => {}
            () = peer.nudge.notified() => backoff.reset(),
        }
    }
}

/// Makes a connection and says hello on it.
async fn connect(shared: &Shared, peer: &Peer, address: &str) -> Result<Session, PeerError> {
    let failed = |error: std::io::Error| PeerError::Connect {
        address: address.to_owned(),
        cause: error.to_string(),
    };
    let renewal = *shared.renewals.borrow();
    let tls = shared.tls.load_full();
    let stream = TcpStream::connect(address).await.map_err(failed)?;
    stream.set_nodelay(true).map_err(failed)?;
    // Servers are known by their node id; the name is neither sent nor looked at.
    let name =
        ServerName::try_from("stator.invalid").map_err(|error| PeerError::Broken(error.to_string()))?;
    let stream = tls
        .connector(peer.node)
        .connect(name, stream)
        .await
        .map_err(|error| PeerError::handshake(&error))?;
    // The peer judges this node's certificate after the handshake has ended here, and speaks first if it likes it. Who
    // writes before that may find a closed socket instead of the reason.
    let mut stream = BufReader::with_capacity(FIRST_BYTES, stream);
    let first = stream
        .fill_buf()
        .await
        .map_err(|error| PeerError::handshake(&error))?;
    if first.is_empty() {
        return Err(PeerError::Ended);
    }
    let (_, state) = stream.get_ref().get_ref();
    if state.alpn_protocol() != Some(ALPN) {
        return Err(PeerError::Protocol("TLS without HTTP/2".to_owned()));
    }
    let chain = state
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let (requests, connection) = h2::client::Builder::new()
        .enable_push(false)
        .max_frame_size(wire::FRAME_BYTES_MAX)
        .max_send_buffer_size(wire::SEND_BUFFER_BYTES)
        .handshake(stream)
        .await
        .map_err(|error| PeerError::http2(&error))?;
    let mut driver = Box::pin(connection);
    let pings = driver
        .ping_pong()
        .ok_or_else(|| PeerError::Broken("pings are taken".to_owned()))?;
    let (requests, version, incarnation) =
        drive(&mut driver, say_hello(shared, &tls, peer, requests)).await?;
    Ok(Session {
        requests,
        driver,
        pings,
        chain,
        renewal,
        version,
        incarnation,
    })
}

/// Runs work on a connection, which moves only while it is polled.
async fn drive<T>(
    driver: &mut Driver,
    work: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    tokio::pin!(work);
    let (done, ended) = tokio::select! {
        biased;
        done = &mut work => {
            let ended = if done.is_err() { driver.as_mut().now_or_never() } else { None };
            (Some(done), ended)
        }
        ended = driver.as_mut() => (None, Some(ended)),
    };
    let cause = match ended {
        None => None,
        Some(Ok(())) => Some(PeerError::Ended),
        Some(Err(error)) => Some(PeerError::http2(&error)),
    };
    // What came in before the connection ended may be all that the work was waiting for.
    let done = done.or_else(|| work.now_or_never());
    match (done, cause) {
        (Some(Ok(done)), _) => Ok(done),
        // That the connection has ended, it knows best why; everything else the work knows better.
        (Some(Err(PeerError::Broken(_) | PeerError::Ended)) | None, Some(cause)) => Err(cause),
        (Some(Err(error)), _) => Err(error),
        (None, None) => Err(PeerError::Ended),
    }
}

fn request(path: &'static str) -> Result<Request<()>, PeerError> {
    Request::builder()
        .method(Method::POST)
        .uri(format!("https://stator.invalid{path}"))
        .body(())
        .map_err(|error| PeerError::Broken(error.to_string()))
}

/// Exchanges the first words; gives the version to go on with and the peer's incarnation.
async fn say_hello(
    shared: &Shared,
    tls: &Tls,
    peer: &Peer,
    requests: SendRequest<Bytes>,
) -> Result<(SendRequest<Bytes>, u32, u64), PeerError> {
    let http2 = |error: h2::Error| PeerError::http2(&error);
    let mut requests = requests.ready().await.map_err(http2)?;
    let (response, mut stream) = requests
        .send_request(request(wire::HELLO_PATH)?, false)
        .map_err(http2)?;
    stream
        .send_data(shared.hello().encode_to_vec().into(), true)
        .map_err(http2)?;
    let response = response.await.map_err(http2)?;
    let bytes = wire::short_body(&mut response.into_body()).await?;
    let reply = Reply::decode(bytes).map_err(|error| PeerError::Protocol(error.to_string()))?;
    if !reply.refusal.is_empty() {
        return Err(PeerError::Refused(reply.refusal));
    }
    let theirs = reply.hello.unwrap_or_default();
    let certificate = CertifiedNode {
        cluster: tls.identity.cluster.clone(),
        node: peer.node,
    };
    judge(&tls.identity, &shared.versions, &certificate, &theirs)?;
    if !shared.versions.contains(&reply.version) {
        let version = reply.version;
        return Err(HelloError::NotOffered { version }.into());
    }
    Ok((requests, reply.version, theirs.incarnation))
}

/// Sends what there is until the connection breaks or is no longer wanted.
async fn talk(
    shared: &Arc<Shared>,
    peer: &Peer,
    address: &str,
    session: Session,
) -> Result<Ending, PeerError> {
    let Session {
        mut requests,
        mut driver,
        pings,
        chain,
        renewal,
        ..
    } = session;
    let sent = AtomicU64::new(millis(shared.world.now()));
    let ending = watch::Sender::new(None);
    let verify = || shared.tls.load().verify_server(peer.node, &chain);
    let work = async {
        let (urgent_reply, urgent) = open(&mut requests, Priority::Urgent).await?;
        let (bulk_reply, bulk) = open(&mut requests, Priority::Bulk).await?;
        let streams = async {
            tokio::try_join!(
                write(peer, Priority::Urgent, urgent, &ending, || note(shared, &sent)),
                write(peer, Priority::Bulk, bulk, &ending, || note(shared, &sent)),
                heard_out(urgent_reply),
                heard_out(bulk_reply),
            )
        };
        tokio::select! {
            written = streams => written.map(|_| ()),
            error = wire::keep_alive(shared, pings, verify, |time| peer.set_round_trip(time)) => Err(error),
            () = end_when_due(shared, peer, address, renewal, &sent, &ending) => Err(PeerError::Ended),
        }
    };
    drive(&mut driver, work).await?;
    // Say goodbye; there is nothing to lose any more.
    drop(requests);
    tokio::select! {
        _ = driver => {}
        () = shared.world.sleep(shared.settings.connect_timeout()) => {}
    }
    let ending = *ending.borrow();
    Ok(ending.unwrap_or(Ending::Idle))
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// Notes that something was sent now.
fn note(shared: &Shared, sent: &AtomicU64) {
    sent.store(millis(shared.world.now()), Ordering::Relaxed);
}

/// Begins a stream of messages.
async fn open(
    requests: &mut SendRequest<Bytes>,
    priority: Priority,
) -> Result<(ResponseFuture, SendStream<Bytes>), PeerError> {
    let http2 = |error: h2::Error| PeerError::http2(&error);
    std::future::poll_fn(|cx| requests.poll_ready(cx))
        .await
        .map_err(http2)?;
    requests
        .send_request(request(wire::path(priority))?, false)
        .map_err(http2)
}

/// Sends the messages of one priority, batch by batch, until the connection is no longer wanted.
async fn write(
    peer: &Peer,
    priority: Priority,
    mut stream: SendStream<Bytes>,
    ending: &watch::Sender<Option<Ending>>,
    sent: impl Fn(),
) -> Result<(), PeerError> {
    let mut ending = ending.subscribe();
    loop {
        tokio::select! {
            biased;
            _ = ending.wait_for(Option::is_some) => break,
            () = peer.outbox.filled(priority) => {}
        }
        let messages = peer.outbox.take(priority, wire::BATCH_BYTES);
        sent();
        add(&peer.counters.messages_sent, messages.len());
        add(&peer.counters.bytes_sent, messages.iter().map(Bytes::len).sum());
        for piece in frame::encode(&messages) {
            send(&mut stream, piece).await?;
        }
    }
    stream
        .send_data(Bytes::new(), true)
        .map_err(|error| PeerError::http2(&error))
}

/// Sends bytes as fast as the peer takes them.
async fn send(stream: &mut SendStream<Bytes>, mut bytes: Bytes) -> Result<(), PeerError> {
    let http2 = |error: h2::Error| PeerError::http2(&error);
    while !bytes.is_empty() {
        stream.reserve_capacity(bytes.len());
        let mut capacity = stream.capacity();
        if capacity == 0 {
            capacity = std::future::poll_fn(|cx| stream.poll_capacity(cx))
                .await
                .ok_or(PeerError::Ended)?
                .map_err(http2)?;
        }
        let part = bytes.split_to(capacity.min(bytes.len()));
        stream.send_data(part, false).map_err(http2)?;
    }
    Ok(())
}

/// The peer answers a stream when it begins, and ends its answer when it has read everything.
async fn heard_out(response: ResponseFuture) -> Result<(), PeerError> {
    let response = response.await.map_err(|error| PeerError::http2(&error))?;
    if response.status() != StatusCode::OK {
        return Err(PeerError::Protocol(format!("status {}", response.status())));
    }
    wire::short_body(&mut response.into_body()).await.map(drop)
}

/// Asks for the end of the connection when it is no longer wanted as it is; is never ready itself.
async fn end_when_due(
    shared: &Shared,
    peer: &Peer,
    address: &str,
    renewal: u64,
    sent: &AtomicU64,
    ending: &watch::Sender<Option<Ending>>,
) {
    let mut renewals = shared.renewals.subscribe();
    let mut addresses = peer.address.subscribe();
    let moved = |now: &Option<String>| now.as_deref().is_some_and(|now| now != address);
    let why = tokio::select! {
        _ = renewals.wait_for(|now| *now != renewal) => Ending::Renew,
        _ = addresses.wait_for(moved) => Ending::Renew,
        () = idle(shared, sent) => Ending::Idle,
    };
    ending.send_replace(Some(why));
    std::future::pending::<()>().await;
}

/// Is ready when nothing was sent for long.
async fn idle(shared: &Shared, sent: &AtomicU64) {
    let Some(limit) = shared.settings.idle() else {
        return std::future::pending().await;
    };
    loop {
        let last = Duration::from_millis(sent.load(Ordering::Relaxed));
        let left = limit.saturating_sub(shared.world.now().saturating_sub(last));
        if left.is_zero() {
            return;
        }
        shared.world.sleep(left).await;
    }
}
