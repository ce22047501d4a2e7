//! Being called: take connections, check who calls, and hand on what they say.
//!
//! Invariant: nothing reaches the inbox before both certificates were verified and the hello was accepted, and it goes there
//! under the node of the certificate. A node has one connection: a newer one ends the one before.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::{Request, Response, StatusCode};
use prost::Message as _;
use rustls::pki_types::CertificateDer;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::server::TlsStream;

use super::error::PeerError;
use super::frame::Decoder;
use super::hello::{Hello, Reply, judge};
use super::identity::CertifiedNode;
use super::peer::{Announced, Calls, Peer, add};
use super::shared::Shared;
use super::wire;

/// So many connections may be under way whose caller is not known yet.
const STRANGERS_MAX: usize = 256;
/// The wait after the kernel could not give a connection, when it has no files or memory left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// The hello, two streams of messages, and room for what later versions want.
const STREAMS_MAX: u32 = 8;
/// More than all headers of a request of ours.
const HEADER_BYTES_MAX: u32 = 8 << 10;

type Caller = Connection<TlsStream<TcpStream>, Bytes>;

/// Takes connections until the transport is closed.
pub(super) async fn run(shared: Arc<Shared>, listener: TcpListener) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    let mut announced = Announced::default();
    loop {
        let permit = tokio::select! {
            () = shared.stopped() => return,
            permit = Arc::clone(&strangers).acquire_owned() => permit,
        };
        // The semaphore is never closed.
        let Ok(permit) = permit else { return };
        let accepted = tokio::select! {
            () = shared.stopped() => return,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, from)) => {
                announced.forget();
                shared.spawn(take(Arc::clone(&shared), stream, from, permit));
            }
            Err(error) => {
                if announced.is_news(&error.to_string()) {
                    tracing::warn!(%error, "cannot take connections of other nodes");
                }
                shared.world.sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A caller that was let in.
struct Guest {
    connection: Caller,
    chain: Vec<CertificateDer<'static>>,
    identity: CertifiedNode,
    hello: Hello,
}

async fn take(shared: Arc<Shared>, stream: TcpStream, from: SocketAddr, permit: OwnedSemaphorePermit) {
    let from: IpAddr = from.ip();
    let timeout = shared.settings.connect_timeout();
    let greeting = wire::within(
        shared.world.as_ref(),
        timeout,
        "its greeting",
        greet(&shared, stream),
    );
    let guest = tokio::select! {
        () = shared.stopped() => return,
        guest = greeting => guest,
    };
    drop(permit);
    match guest {
        Ok(guest) => {
            shared.accepted(from);
            listen(&shared, guest, from).await;
        }
        // Who goes away without a word wants nothing: a load balancer, a node that was stopped.
        Err(PeerError::Ended) => tracing::debug!(%from, "a connection was ended before its hello"),
        Err(error) => shared.refuse(from, &error),
    }
}

async fn greet(shared: &Shared, stream: TcpStream) -> Result<Guest, PeerError> {
    stream
        .set_nodelay(true)
        .map_err(|error| PeerError::Broken(error.to_string()))?;
    let tls = shared.tls.load_full();
    let stream = tls
        .acceptor()
        .accept(stream)
        .await
        .map_err(|error| PeerError::handshake(&error))?;
    let chain: Vec<_> = stream
        .get_ref()
        .1
        .peer_certificates()
        .unwrap_or_default()
        .iter()
        .map(|certificate| certificate.clone().into_owned())
        .collect();
    let certificate = chain
        .first()
        .ok_or_else(|| PeerError::Certificate("it has none".to_owned()))?;
    let identity = CertifiedNode::of_certificate(certificate)?;
    let mut connection = h2::server::Builder::new()
        .initial_window_size(wire::STREAM_WINDOW_BYTES)
        .initial_connection_window_size(wire::CONNECTION_WINDOW_BYTES)
        .max_frame_size(wire::FRAME_BYTES_MAX)
        .max_concurrent_streams(STREAMS_MAX)
        .max_header_list_size(HEADER_BYTES_MAX)
        .handshake(stream)
        .await
        .map_err(|error| PeerError::http2(&error))?;
    let hello = exchange(shared, &mut connection, &tls.identity, &identity).await?;
    Ok(Guest {
        connection,
        chain,
        identity,
        hello,
    })
}

/// Hears the hello and answers it.
async fn exchange(
    shared: &Shared,
    connection: &mut Caller,
    ours: &CertifiedNode,
    certificate: &CertifiedNode,
) -> Result<Hello, PeerError> {
    let (request, mut respond) = match connection.accept().await {
        None => return Err(PeerError::Ended),
        Some(request) => request.map_err(|error| PeerError::http2(&error))?,
    };
    if request.uri().path() != wire::HELLO_PATH {
        return Err(PeerError::Protocol("a request before its hello".to_owned()));
    }
    let mut body = request.into_body();
    let bytes = tokio::select! {
        biased;
        bytes = wire::short_body(&mut body) => bytes?,
        // A connection moves only while it is asked for requests.
        next = connection.accept() => return Err(match next {
            None => PeerError::Ended,
            Some(Err(error)) => PeerError::http2(&error),
            Some(Ok(_)) => PeerError::Protocol("a request within its hello".to_owned()),
        }),
    };
    let theirs = Hello::decode(bytes).map_err(|error| PeerError::Protocol(error.to_string()))?;
    let judged = judge(ours, &shared.versions, certificate, &theirs);
    let reply = Reply {
        hello: Some(shared.hello()),
        version: *judged.as_ref().unwrap_or(&0),
        refusal: judged.as_ref().err().map(ToString::to_string).unwrap_or_default(),
    };
    let status = if judged.is_ok() {
        StatusCode::OK
    } else {
        StatusCode::FORBIDDEN
    };
    answer(&mut respond, status, reply.encode_to_vec().into())?;
    match judged {
        Ok(_) => Ok(theirs),
        Err(error) => {
            // The answer has to arrive before the end does.
            connection.graceful_shutdown();
            let closed = std::future::poll_fn(|cx| connection.poll_closed(cx)).await;
            tracing::debug!(?closed, "a refused connection was ended");
            Err(error.into())
        }
    }
}

fn answer(respond: &mut SendResponse<Bytes>, status: StatusCode, body: Bytes) -> Result<(), PeerError> {
    let mut response = Response::new(());
    *response.status_mut() = status;
    respond
        .send_response(response, false)
        .and_then(|mut stream| stream.send_data(body, true))
        .map_err(|error| PeerError::http2(&error))
}

/// Hands on what a caller says, until it goes.
async fn listen(shared: &Arc<Shared>, guest: Guest, from: IpAddr) {
    let peer = shared.peer(guest.identity.node);
    let call = Call::begin(&peer);
    tracing::debug!(node = %peer.node, %from, incarnation = guest.hello.incarnation, "a node has called");
    // It is there; so it can be called, too.
    peer.nudge.notify_one();
    let ended = tokio::select! {
        () = shared.stopped() => return,
        () = peer.left() => return,
        () = call.replaced() => Ok(()),
        ended = receive_all(shared, &peer, guest) => ended,
    };
    match ended {
        Ok(()) | Err(PeerError::Ended) => tracing::debug!(node = %peer.node, %from, "a call has ended"),
        Err(error @ (PeerError::Certificate(_) | PeerError::Protocol(_))) => shared.refuse(from, &error),
        Err(error) => tracing::debug!(node = %peer.node, %from, %error, "a call has broken off"),
    }
}

async fn receive_all(shared: &Arc<Shared>, peer: &Peer, guest: Guest) -> Result<(), PeerError> {
    let Guest {
        mut connection,
        chain,
        ..
    } = guest;
    let pings = connection
        .ping_pong()
        .ok_or_else(|| PeerError::Broken("pings are taken".to_owned()))?;
    let verify = || shared.tls.load().verify_client(&chain);
    let keep_alive = wire::keep_alive(shared, pings, verify, |_| ());
    tokio::pin!(keep_alive);
    let mut streams = FuturesUnordered::new();
    loop {
        tokio::select! {
            request = connection.accept() => match request {
                None => return Ok(()),
                Some(Err(error)) => return Err(PeerError::http2(&error)),
                Some(Ok((request, respond))) => streams.push(receive(shared, peer, request, respond)),
            },
            Some(ended) = streams.next() => {
                if let Err(error) = ended {
                    connection.abrupt_shutdown(Reason::PROTOCOL_ERROR);
                    return Err(error);
                }
            }
            error = &mut keep_alive => return Err(error),
        }
    }
}

/// Reads one stream of messages to its end.
async fn receive(
    shared: &Shared,
    peer: &Peer,
    request: Request<RecvStream>,
    mut respond: SendResponse<Bytes>,
) -> Result<(), PeerError> {
    let http2 = |error: h2::Error| PeerError::http2(&error);
    if !wire::is_message_path(request.uri().path()) {
        // Something that a later version asks for.
        return answer(&mut respond, StatusCode::NOT_FOUND, Bytes::new());
    }
    let mut reply = respond.send_response(Response::new(()), false).map_err(http2)?;
    let mut body = request.into_body();
    let mut decoder = Decoder::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(http2)?;
        body.flow_control().release_capacity(part.len()).map_err(http2)?;
        decoder.decode(part, |message| {
            add(&peer.counters.messages_received, 1);
            add(&peer.counters.bytes_received, message.len());
            shared.inbox.receive(peer.node, message);
        })?;
    }
    decoder.finish()?;
    reply.send_data(Bytes::new(), true).map_err(http2)
}

/// One call of a peer, as long as it stands.
struct Call<'a> {
    peer: &'a Peer,
    number: u64,
}

impl<'a> Call<'a> {
    fn begin(peer: &'a Peer) -> Self {
        let mut number = 0;
        peer.calls.send_modify(|calls| {
            calls.newest += 1;
            calls.standing += 1;
            number = calls.newest;
        });
        Self { peer, number }
    }

    /// Is ready when the peer has called anew.
    async fn replaced(&self) {
        let mut calls = self.peer.calls.subscribe();
        let newer = |calls: &Calls| calls.newest != self.number;
        if calls.wait_for(newer).await.is_err() {
            // The sender lives in the peer.
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for Call<'_> {
    fn drop(&mut self) {
        self.peer.calls.send_modify(|calls| calls.standing -= 1);
    }
}
