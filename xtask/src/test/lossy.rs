//! A relay that loses answers: it passes each request on, waits for the whole answer, and closes the connection instead of
//! giving the answer of every second one. A client has to ask again, for something that has been done already.
//!
//! Invariant: of requests that come one after the other, the first, the third and so on are lost. HTTP/1.1 in clear, with a
//! Content-Length both ways, as the SDKs and the server send it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::Result;

/// A listening relay; dropping it ends the listening, not the connections.
#[derive(Debug)]
pub(super) struct Lossy {
    address: SocketAddr,
    is_closed: Arc<AtomicBool>,
}

impl Lossy {
    /// Listens on a free port for clients of the server.
    pub(super) fn start(server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let is_closed = Arc::new(AtomicBool::new(false));
        let seen_closed = Arc::clone(&is_closed);
        std::thread::spawn(move || {
            let count = Arc::new(AtomicUsize::new(0));
            for client in listener.incoming().map_while(io::Result::ok) {
                if seen_closed.load(Ordering::SeqCst) {
                    return;
                }
                let count = Arc::clone(&count);
                // A connection that breaks is what a client has to expect here.
                std::thread::spawn(move || carry(&client, server, &count).ok());
            }
        });
        Ok(Self { address, is_closed })
    }

    /// `http://` and where it listens.
    pub(super) fn endpoint(&self) -> String {
        format!("http://{}", self.address)
    }
}

impl Drop for Lossy {
    fn drop(&mut self) {
        self.is_closed.store(true, Ordering::SeqCst);
        // Only to wake the listener, which may be gone.
        TcpStream::connect(self.address).ok();
    }
}

/// Carries the requests of one connection, until either side closes it or an answer is lost.
fn carry(client: &TcpStream, server: SocketAddr, count: &AtomicUsize) -> io::Result<()> {
    let server = TcpStream::connect(server)?;
    let (mut requests, mut answers) = (BufReader::new(client), BufReader::new(&server));
    while let Some(request) = read_message(&mut requests)? {
        (&server).write_all(&request)?;
        let Some(answer) = read_message(&mut answers)? else {
            return Ok(());
        };
        if count.fetch_add(1, Ordering::SeqCst).is_multiple_of(2) {
            return Ok(());
        }
        { client }.write_all(&answer)?;
    }
    Ok(())
}

/// The bytes of the next request or answer; nothing at the end of the connection.
fn read_message(stream: &mut BufReader<&TcpStream>) -> io::Result<Option<Vec<u8>>> {
    let mut message = Vec::new();
    let mut length = 0;
    loop {
        let start = message.len();
        if stream.read_until(b'\n', &mut message)? == 0 {
            return Ok(None);
        }
        let line = String::from_utf8_lossy(&message[start..]);
        match line.split_once(':') {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.trim().parse().map_err(io::Error::other)?;
            }
            _ if line.trim().is_empty() => break,
            _ => {}
        }
    }
    let head = message.len();
    message.resize(head + length, 0);
    stream.read_exact(&mut message[head..])?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use std::io::{BufReader, Write as _};
    use std::net::{TcpListener, TcpStream};

    use super::{Lossy, read_message};

    /// What is answered to a request; nothing if the connection ends instead.
    fn ask(lossy: &Lossy, request: &str) -> Option<Vec<u8>> {
        let stream = TcpStream::connect(lossy.address).unwrap();
        (&stream).write_all(request.as_bytes()).unwrap();
        read_message(&mut BufReader::new(&stream)).unwrap()
    }

    #[test]
    fn every_second_answer_is_lost_after_the_server_has_given_it() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let lossy = Lossy::start(listener.local_addr().unwrap()).unwrap();
        let server = std::thread::spawn(move || {
            let mut seen = Vec::new();
            for _ in 0..4 {
                let (stream, _) = listener.accept().unwrap();
                seen.push(read_message(&mut BufReader::new(&stream)).unwrap().unwrap());
                let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{}", seen.len());
                (&stream).write_all(answer.as_bytes()).unwrap();
            }
            seen
        });
        let request = "POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab";
        let answers: Vec<_> = (0..4).map(|_| ask(&lossy, request)).collect();
        let answer =
            |number| Some(format!("HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{number}").into_bytes());
        assert_eq!(answers, [None, answer(2), None, answer(4)]);
        assert_eq!(server.join().unwrap(), vec![request.as_bytes(); 4]);
    }
}
