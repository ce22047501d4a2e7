//! What systemd is told of a node that it has started: that it is ready, what it waits for, that it stops, and that it goes on.
//!
//! The protocol is that of `sd_notify(3)`: datagrams of `NAME=value` lines to the socket that the environment names. A process that
//! was started otherwise has no such variable, and tells nobody.

use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::sync::Arc;
use std::time::Duration;

/// Names the socket.
const SOCKET: &str = "NOTIFY_SOCKET";
/// After how many microseconds of silence the process is taken to be stuck.
const WATCHDOG: &str = "WATCHDOG_USEC";

/// Whoever has started the process. Clones share it.
#[derive(Debug, Clone, Default)]
pub(super) struct Notify(Option<Arc<Started>>);

#[derive(Debug)]
struct Started {
    socket: UnixDatagram,
    address: SocketAddr,
    /// How often it wants to hear that the process goes on.
    watchdog: Option<Duration>,
}

impl Notify {
    /// As the environment says.
    ///
    /// # Errors
    /// When it names a socket that cannot be one.
    pub(super) fn of_environment() -> io::Result<Self> {
        let Some(path) = std::env::var_os(SOCKET) else {
            return Ok(Self(None));
        };
        let watchdog = std::env::var(WATCHDOG).ok().and_then(|text| text.parse().ok());
        Self::to(path.as_bytes(), watchdog.map(Duration::from_micros))
    }

    /// A socket in the file system, or an abstract one, whose name begins with `@`. `silence`: how long the process may say nothing.
    fn to(name: &[u8], silence: Option<Duration>) -> io::Result<Self> {
        let address = match name.strip_prefix(b"@") {
            Some(name) => SocketAddr::from_abstract_name(name)?,
            None => SocketAddr::from_pathname(std::ffi::OsStr::from_bytes(name))?,
        };
        let socket = UnixDatagram::unbound()?;
        socket.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Started {
            socket,
            address,
            // Twice in the time, as systemd asks for.
            watchdog: silence
                .map(|silence| silence / 2)
                .filter(|every| !every.is_zero()),
        }))))
    }

    /// It serves.
    pub(super) fn ready(&self) {
        self.tell("READY=1\nSTATUS=serves");
    }

    /// It waits for something before it serves, or does something that takes a while.
    pub(super) fn status(&self, what: &str) {
        // A line of the protocol ends with its value.
        self.tell(&format!("STATUS={}", what.replace('\n', " ")));
    }

    /// It was told to stop.
    pub(super) fn stopping(&self) {
        self.tell("STOPPING=1\nSTATUS=answers what is under way");
    }

    /// Says again and again that the process goes on, if that is wanted; never ready.
    pub(super) async fn keep(self) {
        let Some(every) = self.0.as_ref().and_then(|started| started.watchdog) else {
            return std::future::pending().await;
        };
        loop {
            self.tell("WATCHDOG=1");
            tokio::time::sleep(every).await;
        }
    }

    /// What cannot be told is lost: a node does not wait for whoever has started it.
    fn tell(&self, state: &str) {
        let Some(started) = &self.0 else { return };
        if let Err(error) = started.socket.send_to_addr(state.as_bytes(), &started.address) {
            tracing::debug!(%error, state, "systemd was not told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn heard(socket: &UnixDatagram) -> String {
        let mut buffer = [0; 256];
        let count = socket.recv(&mut buffer).unwrap();
        String::from_utf8(buffer[..count].to_vec()).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn what_happens_is_told_in_the_words_of_the_protocol() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let notify = Notify::to(path.as_os_str().as_bytes(), Some(Duration::from_secs(10))).unwrap();
        notify.status("waiting for node 2\nand 3");
        notify.ready();
        notify.stopping();
        assert_eq!(heard(&socket), "STATUS=waiting for node 2 and 3");
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serves");
        assert_eq!(heard(&socket), "STOPPING=1\nSTATUS=answers what is under way");
        let lasts = tokio::time::timeout(Duration::from_secs(11), notify.keep()).await;
        assert!(lasts.is_err());
        // At the beginning, after 5 and after 10 seconds.
        socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 64];
        let mut count = 0;
        while let Ok(length) = socket.recv(&mut buffer) {
            assert_eq!(&buffer[..length], b"WATCHDOG=1");
            count += 1;
        }
        assert_eq!(count, 3);
    }

    #[tokio::test(start_paused = true)]
    async fn abstract_sockets_are_told_and_nobody_is_no_error() {
        let name = format!("stator-notify-{}", std::process::id());
        let socket = UnixDatagram::bind_addr(&SocketAddr::from_abstract_name(&name).unwrap()).unwrap();
        Notify::to(format!("@{name}").as_bytes(), None).unwrap().ready();
        assert_eq!(heard(&socket), "READY=1\nSTATUS=serves");
        drop(socket);
        let gone = Notify::to(format!("@{name}").as_bytes(), None).unwrap();
        gone.ready();
        let lasts = tokio::time::timeout(Duration::from_secs(60), gone.keep()).await;
        assert!(lasts.is_err());
        Notify(None).ready();
    }
}
