//! The load generator: one thread, keep-alive connections, one request in flight on each (a closed loop).
//!
//! It shares the machine with the server that it measures, so it does nothing but write bytes that were made before,
//! wait with `poll`, find the end of each answer and note the time. Sockets are blocking: only one that `poll` has named
//! is read, and a request always fits into the send buffer of a socket whose last answer has come. Every answer is
//! checked; one that is not 200 ends the run. An open loop, at a fixed rate, is in `load/paced.rs`.

mod paced;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::http::frame;
use super::sign::INVOCATION_HEADER;
use crate::{Result, clock};

/// A server that answers nothing for so long is stuck.
const ANSWER_TIMEOUT: Timespec = Timespec {
    tv_sec: 10,
    tv_nsec: 0,
};
const BUFFER_BYTES: usize = 64 * 1024;
/// Latencies are kept to three digits.
const DIGITS: u8 = 3;

/// How many requests this process has sent: what their invocation ids are made of.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Gives a request an invocation id of its own, if it has a place for one, as each call of an SDK has one. A server that
/// has seen one before would answer from its memory.
fn set_invocation(request: &mut [u8]) {
    let header = INVOCATION_HEADER.as_bytes();
    let at = request.windows(header.len()).position(|window| window == header);
    let place = at.and_then(|at| request.get_mut(at + header.len()..at + header.len() + 32));
    if let Some(place) = place {
        let id = format!("{:032x}", SENT.fetch_add(1, Ordering::Relaxed));
        place.copy_from_slice(id.as_bytes());
    }
}

/// When to stop sending.
#[derive(Debug, Clone, Copy)]
pub(super) enum Until {
    /// After so long.
    Elapsed(Duration),
    /// After so many requests.
    Sent(usize),
}

/// What a run has found.
#[derive(Debug)]
pub(super) struct Load {
    /// Requests answered.
    pub(super) requests: u32,
    /// From the first byte sent to the last byte received.
    pub(super) elapsed: Duration,
    /// From the sending of a request to the last byte of its answer, in nanoseconds.
    pub(super) latencies_ns: Histogram<u64>,
}

/// An answer as a whole, for single requests.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) body: Vec<u8>,
}

/// Open connections to one server, used again for each run.
#[derive(Debug)]
pub(super) struct Generator {
    streams: Vec<TcpStream>,
    pending: Vec<Pending>,
}

/// Requests that are sent in turn, over and over; each run goes on where the one before has stopped.
#[derive(Debug)]
pub(super) struct Cycle<'a> {
    /// All of them.
    pub(super) requests: &'a [Vec<u8>],
    /// How many have been sent in all runs.
    pub(super) sent: &'a mut usize,
}

impl Cycle<'_> {
    /// Replaces `outgoing` by the next request, with an invocation id of its own.
    fn take_next(&mut self, outgoing: &mut Vec<u8>) {
        outgoing.clear();
        outgoing.extend_from_slice(&self.requests[*self.sent % self.requests.len()]);
        set_invocation(outgoing);
        *self.sent += 1;
    }
}

/// What a connection waits for.
#[derive(Debug)]
struct Pending {
    /// The first `filled` bytes are the start of an answer.
    buffer: Vec<u8>,
    filled: usize,
    sent_at: Instant,
}

impl Generator {
    /// Opens the connections.
    pub(super) fn connect(address: SocketAddr, connections: usize) -> Result<Self> {
        let mut streams = Vec::with_capacity(connections);
        for _ in 0..connections {
            let stream = TcpStream::connect(address).map_err(|error| format!("{address}: {error}"))?;
            stream.set_nodelay(true)?;
            streams.push(stream);
        }
        let now = clock::now();
        let pending = (0..connections)
            .map(|_| Pending {
                buffer: vec![0; BUFFER_BYTES],
                filled: 0,
                sent_at: now,
            })
            .collect();
        Ok(Self { streams, pending })
    }

    /// Sends the requests on all connections at once.
    pub(super) fn run(&mut self, cycle: &mut Cycle<'_>, until: Until) -> Result<Load> {
        if cycle.requests.is_empty() || self.streams.is_empty() {
            return Err("no requests or no connections".into());
        }
        let mut load = Load {
            requests: 0,
            elapsed: Duration::ZERO,
            latencies_ns: Histogram::new(DIGITS)?,
        };
        let mut polled: Vec<PollFd<'_>> = self
            .streams
            .iter()
            .map(|stream| PollFd::new(stream, PollFlags::IN))
            .collect();
        let start = clock::now();
        let (mut now, mut sent, mut in_flight) = (start, 0, 0_usize);
        let mut outgoing = Vec::with_capacity(BUFFER_BYTES);
        let mut send = |pending: &mut Pending, mut stream: &TcpStream, now: Instant| -> Result<bool> {
            let goes_on = match until {
                Until::Elapsed(duration) => now - start < duration,
                Until::Sent(count) => sent < count,
            };
            if goes_on {
                pending.sent_at = now;
                cycle.take_next(&mut outgoing);
                stream.write_all(&outgoing)?;
                sent += 1;
            }
            Ok(goes_on)
        };
        for (pending, stream) in self.pending.iter_mut().zip(&self.streams) {
            in_flight += usize::from(send(pending, stream, now)?);
        }
        while in_flight > 0 {
            wait(&mut polled)?;
            for ((pending, stream), fd) in self.pending.iter_mut().zip(&self.streams).zip(&polled) {
                if fd.revents().is_empty() {
                    continue;
                }
                let Some(answer) = pending.receive(stream)? else {
                    continue;
                };
                pending.check(answer)?;
                now = clock::now();
                load.requests += 1;
                let latency = now.duration_since(pending.sent_at).as_nanos();
                load.latencies_ns.record(u64::try_from(latency)?)?;
                in_flight -= usize::from(!send(pending, stream, now)?);
            }
        }
        load.elapsed = now - start;
        // A run of few requests leaves connections idle, which a server closes after a while: the next one begins with them.
        let used = sent.min(self.streams.len()) % self.streams.len();
        drop(polled);
        self.streams.rotate_left(used);
        self.pending.rotate_left(used);
        Ok(load)
    }

    /// Sends one request on the first connection and returns whatever comes back.
    pub(super) fn exchange(&mut self, request: &[u8]) -> Result<Answer> {
        let mut request = request.to_vec();
        set_invocation(&mut request);
        let (Some(mut stream), Some(pending)) = (self.streams.first(), self.pending.first_mut()) else {
            return Err("no connections".into());
        };
        stream.write_all(&request)?;
        loop {
            wait(&mut [PollFd::new(stream, PollFlags::IN)])?;
            if let Some(answer) = pending.receive(stream)? {
                return Ok(Answer {
                    status: answer.status,
                    body: pending.buffer[answer.body].to_vec(),
                });
            }
        }
    }
}

impl Pending {
    /// Reads what has come; the answer if that was its end.
    fn receive(&mut self, mut stream: &TcpStream) -> Result<Option<super::http::Frame>> {
        if self.filled == self.buffer.len() {
            self.buffer.resize(self.buffer.len() * 2, 0);
        }
        let read = stream.read(&mut self.buffer[self.filled..])?;
        if read == 0 {
            return Err("the server has closed a connection".into());
        }
        self.filled += read;
        let Some(answer) = frame(&self.buffer[..self.filled])? else {
            return Ok(None);
        };
        if answer.body.end != self.filled {
            return Err("more bytes than one answer to one request".into());
        }
        self.filled = 0;
        Ok(Some(answer))
    }

    /// Makes sure that an answer that was received is 200.
    fn check(&self, answer: super::http::Frame) -> Result<()> {
        if answer.status == 200 {
            return Ok(());
        }
        let text = String::from_utf8_lossy(&self.buffer[answer.body]).into_owned();
        Err(format!("answered {}: {text}", answer.status).into())
    }
}

/// Waits until one of the connections can be read.
fn wait(polled: &mut [PollFd<'_>]) -> Result<()> {
    loop {
        match poll(polled, Some(&ANSWER_TIMEOUT)) {
            Ok(0) => return Err(format!("no answer for {} s", ANSWER_TIMEOUT.tv_sec).into()),
            Ok(_) => return Ok(()),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error.into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead, BufReader, Write};
    use std::net::{SocketAddr, TcpListener};
    use std::time::Duration;

    use super::{Cycle, Generator, INVOCATION_HEADER, Until, set_invocation};

    pub(super) const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}";

    /// A server that answers each line with `answer` in two pieces, and writes down the lines of all connections.
    pub(super) fn serve(answer: &'static str) -> (SocketAddr, std::sync::mpsc::Receiver<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (sender, receiver) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (mut stream, sender) = (stream.unwrap(), sender.clone());
                stream.set_nodelay(true).unwrap();
                std::thread::spawn(move || {
                    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
                    while let Some(Ok(line)) = lines.next() {
                        sender.send(line).unwrap();
                        let (first, second) = answer.split_at(answer.len() / 2);
                        stream.write_all(first.as_bytes()).unwrap();
                        stream.write_all(second.as_bytes()).unwrap();
                    }
                });
            }
        });
        (address, receiver)
    }

    #[test]
    fn each_sending_has_an_invocation_id_of_its_own() {
        let request = format!("POST / HTTP/1.1\r\n{INVOCATION_HEADER}{:032x}\r\n\r\n", 0).into_bytes();
        let [mut first, mut second] = [request.clone(), request];
        set_invocation(&mut first);
        set_invocation(&mut second);
        assert_ne!(first, second);
        let mut without = b"POST / HTTP/1.1\r\n\r\n".to_vec();
        set_invocation(&mut without);
        assert_eq!(without, b"POST / HTTP/1.1\r\n\r\n");
    }

    #[test]
    fn a_single_request_has_an_invocation_id_of_its_own_too() {
        let (address, lines) = serve(OK);
        let request = format!("{INVOCATION_HEADER}{:032x}\n", 0).into_bytes();
        for _ in 0..2 {
            let mut generator = Generator::connect(address, 1).unwrap();
            generator.exchange(&request).unwrap();
        }
        let [first, second]: [String; 2] = lines.try_iter().collect::<Vec<_>>().try_into().unwrap();
        assert_ne!(first, second);
    }

    fn requests() -> Vec<Vec<u8>> {
        (0..5)
            .map(|index| format!("request {index}\n").into_bytes())
            .collect()
    }

    #[test]
    fn every_request_is_sent_once_and_its_answer_counted() {
        let (address, lines) = serve(OK);
        let mut generator = Generator::connect(address, 3).unwrap();
        let (requests, mut sent) = (requests(), 0);
        let mut cycle = Cycle {
            requests: &requests,
            sent: &mut sent,
        };
        let load = generator.run(&mut cycle, Until::Sent(5)).unwrap();
        assert_eq!((load.requests, load.latencies_ns.len()), (5, 5));
        assert!(load.elapsed > Duration::ZERO);
        let mut seen: Vec<String> = lines.try_iter().collect();
        seen.sort();
        assert_eq!(
            seen,
            ["request 0", "request 1", "request 2", "request 3", "request 4"]
        );
    }

    #[test]
    fn a_timed_run_ends_with_all_answers_in_and_can_be_repeated() {
        let (address, lines) = serve(OK);
        let mut generator = Generator::connect(address, 4).unwrap();
        let (requests, mut sent) = (requests(), 0);
        let mut cycle = Cycle {
            requests: &requests,
            sent: &mut sent,
        };
        for _ in 0..2 {
            let load = generator
                .run(&mut cycle, Until::Elapsed(Duration::from_millis(20)))
                .unwrap();
            assert!(load.requests >= 4 && load.elapsed >= Duration::from_millis(20));
            assert_eq!(u32::try_from(lines.try_iter().count()).unwrap(), load.requests);
        }
    }

    #[test]
    fn a_run_goes_on_where_the_one_before_has_stopped() {
        let (address, lines) = serve(OK);
        let (requests, mut sent) = (requests(), 0);
        let mut cycle = Cycle {
            requests: &requests,
            sent: &mut sent,
        };
        // A new generator each time: the order belongs to the requests, not to the connections.
        for count in [3, 4] {
            let mut generator = Generator::connect(address, 1).unwrap();
            generator.run(&mut cycle, Until::Sent(count)).unwrap();
        }
        let seen: String = lines
            .try_iter()
            .map(|line| line.replace("request ", ""))
            .collect();
        assert_eq!((seen.as_str(), sent), ("0123401", 7));
    }

    #[test]
    fn runs_of_few_requests_use_all_connections_in_turn() {
        let (address, _lines) = serve(OK);
        let (requests, mut sent) = (requests(), 0);
        let mut cycle = Cycle {
            requests: &requests,
            sent: &mut sent,
        };
        let mut generator = Generator::connect(address, 3).unwrap();
        let first = |generator: &Generator| generator.streams[0].local_addr().unwrap();
        let mut seen = Vec::new();
        for _ in 0..3 {
            seen.push(first(&generator));
            generator.run(&mut cycle, Until::Sent(1)).unwrap();
        }
        assert_eq!(first(&generator), seen[0]);
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 3);
    }

    #[test]
    fn an_error_answered_ends_the_run_with_its_text() {
        let (address, _lines) = serve("HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\noops");
        let mut generator = Generator::connect(address, 2).unwrap();
        let (requests, mut sent) = (requests(), 0);
        let mut cycle = Cycle {
            requests: &requests,
            sent: &mut sent,
        };
        let error = generator.run(&mut cycle, Until::Sent(2)).unwrap_err();
        assert_eq!(error.to_string(), "answered 400: oops");
    }

    #[test]
    fn a_single_exchange_returns_any_answer() {
        let (address, _lines) = serve("HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\noops");
        let answer = Generator::connect(address, 1).unwrap().exchange(b"x\n").unwrap();
        assert_eq!((answer.status, answer.body.as_slice()), (400, b"oops".as_slice()));
    }
}
