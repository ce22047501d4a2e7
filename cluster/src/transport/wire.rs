//! What both ends of a connection do in the same way: the paths, HTTP/2's limits, pings, timeouts.

use std::future::Future;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use h2::{Ping, PingPong, RecvStream};

use super::error::PeerError;
use super::hello::HELLO_BYTES_MAX;
use super::shared::Shared;
use crate::world::{Priority, World};

/// Where the hello is said.
pub(super) const HELLO_PATH: &str = "/stator/hello";
const URGENT_PATH: &str = "/stator/messages/urgent";
const BULK_PATH: &str = "/stator/messages/bulk";

/// Batches are up to this long, but for a single long message. What is urgent waits for one frame of bulk at most, which
/// has this length too.
pub(super) const BATCH_BYTES: usize = 256 << 10;
/// [`BATCH_BYTES`] with room for heads.
pub(super) const FRAME_BYTES_MAX: u32 = (256 << 10) + 64;
/// What a stream may have under way; over 100 ms of round trip this is 80 MB/s.
pub(super) const STREAM_WINDOW_BYTES: u32 = 8 << 20;
/// More than one stream may have, so that bulk leaves room for what is urgent.
pub(super) const CONNECTION_WINDOW_BYTES: u32 = 24 << 20;
/// What a stream may have in memory between the outbox and the socket.
pub(super) const SEND_BUFFER_BYTES: usize = 512 << 10;

pub(super) fn path(priority: Priority) -> &'static str {
    match priority {
        Priority::Urgent => URGENT_PATH,
        Priority::Bulk => BULK_PATH,
    }
}

pub(super) fn is_message_path(path: &str) -> bool {
    path == URGENT_PATH || path == BULK_PATH
}

/// Gives up on something that takes too long.
pub(super) async fn within<T>(
    world: &dyn World,
    after: Duration,
    step: &'static str,
    work: impl Future<Output = Result<T, PeerError>>,
) -> Result<T, PeerError> {
    tokio::select! {
        biased;
        result = work => result,
        () = world.sleep(after) => Err(PeerError::Timeout { step, after }),
    }
}

/// Reads a body that must be short.
pub(super) async fn short_body(body: &mut RecvStream) -> Result<Bytes, PeerError> {
    let mut bytes = BytesMut::new();
    while let Some(part) = body.data().await {
        let part = part.map_err(|error| PeerError::http2(&error))?;
        if bytes.len() + part.len() > HELLO_BYTES_MAX {
            return Err(PeerError::Protocol(format!(
                "a hello of more than {HELLO_BYTES_MAX} bytes"
            )));
        }
        body.flow_control()
            .release_capacity(part.len())
            .map_err(|error| PeerError::http2(&error))?;
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}

/// Pings, and checks at every ping that the peer's certificates are still good. Ends only with the reason to end the
/// connection.
pub(super) async fn keep_alive(
    shared: &Shared,
    mut pings: PingPong,
    verify: impl Fn() -> Result<(), PeerError>,
    measured: impl Fn(Duration),
) -> PeerError {
    let world = shared.world.as_ref();
    let after = shared.settings.ping_timeout();
    loop {
        let sent = world.now();
        tokio::select! {
            biased;
            pong = pings.ping(Ping::opaque()) => match pong {
                Ok(_) => measured(world.now().saturating_sub(sent)),
                Err(error) => return PeerError::http2(&error),
            },
            () = world.sleep(after) => return PeerError::Silent { after },
        }
        world.sleep(shared.settings.ping_interval()).await;
        if let Err(error) = verify() {
            return error;
        }
    }
}
