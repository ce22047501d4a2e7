//! A connection whose other side has to begin, and to take what is written to it.
//!
//! hyper-util waits without a timer for the first bytes, which tell whether HTTP/2 is spoken; so they have their bound here. What
//! comes after them has it where requests are read (headers in `serve.rs`, bodies in `body.rs`). Not here: how much is written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Sleep;

/// How long the other side may take nothing of an answer.
const WRITE_TIMEOUT: Duration = Duration::from_secs(60);

/// What a client that speaks HTTP/2 begins with (RFC 9113, section 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// See the head of the file.
#[derive(Debug)]
pub(super) struct Impatient<S> {
    stream: S,
    /// Until it is known which version of HTTP the other side speaks.
    beginning: Option<Beginning>,
    /// Runs while a write waits.
    waiting: Option<Pin<Box<Sleep>>>,
}

/// The first bytes of a connection.
#[derive(Debug)]
struct Beginning {
    timer: Pin<Box<Sleep>>,
    /// How many bytes of the preface have come.
    seen: usize,
}

impl Beginning {
    /// Takes bytes that have come, or their end if there are none; says whether the version is still open.
    fn is_open_after(&mut self, bytes: &[u8]) -> bool {
        let rest = PREFACE.get(self.seen..).unwrap_or_default();
        self.seen += bytes.len();
        !bytes.is_empty() && bytes.len() < rest.len() && rest.starts_with(bytes)
    }
}

impl<S> Impatient<S> {
    /// The other side may take so long to say which version of HTTP it speaks.
    pub(super) fn new(stream: S, begin_timeout: Duration) -> Self {
        Self {
            stream,
            beginning: Some(Beginning {
                timer: Box::pin(tokio::time::sleep(begin_timeout)),
                seen: 0,
            }),
            waiting: None,
        }
    }

    /// What a write has come to, or an error when it has waited for too long.
    fn bounded<T>(&mut self, context: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.waiting = None;
            return written;
        }
        let waiting = &mut self.waiting;
        let waiting = waiting.get_or_insert_with(|| Box::pin(tokio::time::sleep(WRITE_TIMEOUT)));
        ready!(waiting.as_mut().poll(context));
        Poll::Ready(Err(io::Error::new(
            io::ErrorKind::TimedOut,
            "the client takes no answer",
        )))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Impatient<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.stream).poll_read(context, buffer);
        let Some(beginning) = &mut this.beginning else {
            return read;
        };
        if read.is_pending() {
            ready!(beginning.timer.as_mut().poll(context));
            return Poll::Ready(Err(io::Error::new(
                io::ErrorKind::TimedOut,
                "the client does not begin",
            )));
        }
        let come = buffer.filled().get(before..).unwrap_or_default();
        if !beginning.is_open_after(come) {
            this.beginning = None;
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Impatient<S> {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write(context, bytes);
        this.bounded(context, written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.stream).poll_write_vectored(context, parts);
        this.bounded(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let flushed = Pin::new(&mut this.stream).poll_flush(context);
        this.bounded(context, flushed)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let ended = Pin::new(&mut this.stream).poll_shutdown(context);
        this.bounded(context, ended)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

    use super::*;

    const BEGIN_TIMEOUT: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn who_does_not_begin_is_cut_off_and_who_has_begun_is_not() {
        for begun in [&b""[..], b"P", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r"] {
            let (near, mut far) = tokio::io::duplex(64);
            let mut near = Impatient::new(near, BEGIN_TIMEOUT);
            far.write_all(begun).await.unwrap();
            near.read_exact(&mut vec![0; begun.len()]).await.unwrap();
            let error = near.read(&mut [0]).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{begun:?}");
        }
        for begun in [&b"G"[..], b"PO", PREFACE] {
            let (near, mut far) = tokio::io::duplex(64);
            let mut near = Impatient::new(near, BEGIN_TIMEOUT);
            // Byte by byte, as slowly as it may be.
            for byte in begun {
                far.write_all(&[*byte]).await.unwrap();
                assert_eq!(near.read_u8().await.unwrap(), *byte);
            }
            let waited = tokio::time::timeout(10 * BEGIN_TIMEOUT, near.read(&mut [0])).await;
            assert!(waited.is_err(), "{begun:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn who_takes_nothing_is_cut_off_and_who_takes_slowly_is_served() {
        let (near, mut far) = tokio::io::duplex(8);
        let mut near = Impatient::new(near, BEGIN_TIMEOUT);
        near.write_all(b"12345678").await.unwrap();
        let error = near.write_all(b"9").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);

        let (near, mut slow) = tokio::io::duplex(8);
        let mut near = Impatient::new(near, BEGIN_TIMEOUT);
        let reading = tokio::spawn(async move {
            let mut got = Vec::new();
            let mut part = [0; 8];
            while got.len() < 64 {
                tokio::time::sleep(WRITE_TIMEOUT / 2).await;
                let count = slow.read(&mut part).await.unwrap();
                got.extend_from_slice(&part[..count]);
            }
            got
        });
        near.write_all(&[7; 64]).await.unwrap();
        assert_eq!(reading.await.unwrap(), [7; 64]);

        // What was written before is still there.
        let mut got = [0; 8];
        far.read_exact(&mut got).await.unwrap();
        assert_eq!(&got, b"12345678");
    }
}
