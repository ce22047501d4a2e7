//! Load at a fixed rate (an open loop): each request is due at its time, whether or not those before it are answered.
//!
//! Invariant: a latency counts from the time at which the request was due. A server that stands still for a while is so
//! charged with all that it has kept waiting, and not with one request of each connection. Not here: which rate.

use std::collections::VecDeque;
use std::io::Write;
use std::time::Duration;

use hdrhistogram::Histogram;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;

use super::{ANSWER_TIMEOUT, BUFFER_BYTES, Cycle, DIGITS, Generator};
use crate::{Result, clock};

/// What a run at a rate has found.
#[derive(Debug)]
pub(in crate::bench) struct Paced {
    /// Requests answered.
    pub(in crate::bench) requests: u32,
    /// From the first byte sent to the last byte received.
    pub(in crate::bench) elapsed: Duration,
    /// For each cycle: from the time at which a request was due to the last byte of its answer, in nanoseconds.
    pub(in crate::bench) latencies_ns: Vec<Histogram<u64>>,
}

impl Generator {
    /// Sends the requests of all cycles in turn, so many a second together, as long as `goes_on` says so. That is asked
    /// before each wait, which lasts until the next request is due, or as long as no connection is free.
    pub(in crate::bench) fn run_at(
        &mut self,
        rate: f64,
        cycles: &mut [Cycle<'_>],
        mut goes_on: impl FnMut() -> bool,
    ) -> Result<Paced> {
        if cycles.iter().any(|cycle| cycle.requests.is_empty())
            || cycles.is_empty()
            || self.streams.is_empty()
        {
            return Err("no requests or no connections".into());
        }
        let gap = Duration::try_from_secs_f64(1.0 / rate).map_err(|error| format!("{rate}/s: {error}"))?;
        let mut polled: Vec<PollFd<'_>> = self
            .streams
            .iter()
            .map(|stream| PollFd::new(stream, PollFlags::IN))
            .collect();
        // Each has its turn: a server closes one on which nothing has come for long.
        let mut idle: VecDeque<usize> = (0..self.streams.len()).collect();
        // Which cycle the request of a connection is of.
        let mut asked = vec![0; self.streams.len()];
        let mut latencies_ns = cycles
            .iter()
            .map(|_| Histogram::new(DIGITS))
            .collect::<std::result::Result<Vec<_>, _>>()?;
        let mut outgoing = Vec::with_capacity(BUFFER_BYTES);
        let (mut sent, mut requests) = (0_usize, 0);
        let start = clock::now();
        let mut due = start;
        loop {
            let is_on = goes_on();
            while is_on
                && due <= clock::now()
                && let Some(place) = idle.pop_front()
            {
                asked[place] = sent % cycles.len();
                cycles[asked[place]].take_next(&mut outgoing);
                (&self.streams[place]).write_all(&outgoing)?;
                self.pending[place].sent_at = due;
                sent += 1;
                due += gap;
            }
            if !is_on && idle.len() == self.streams.len() {
                break;
            }
            let patience = (is_on && !idle.is_empty()).then(|| due.saturating_duration_since(clock::now()));
            wait(&mut polled, patience)?;
            for (place, (stream, fd)) in self.streams.iter().zip(&polled).enumerate() {
                if fd.revents().is_empty() {
                    continue;
                }
                let pending = &mut self.pending[place];
                let Some(answer) = pending.receive(stream)? else {
                    continue;
                };
                pending.check(answer)?;
                requests += 1;
                let latency = clock::now().duration_since(pending.sent_at).as_nanos();
                latencies_ns[asked[place]].record(u64::try_from(latency)?)?;
                idle.push_back(place);
            }
        }
        Ok(Paced {
            requests,
            elapsed: start.elapsed(),
            latencies_ns,
        })
    }
}

/// Waits until a connection can be read, or for so long; without a time, for as long as an answer may take.
fn wait(polled: &mut [PollFd<'_>], patience: Option<Duration>) -> Result<()> {
    let timeout = match patience {
        Some(patience) => Timespec::try_from(patience).map_err(|_| "too long a wait")?,
        None => ANSWER_TIMEOUT,
    };
    match poll(polled, Some(&timeout)) {
        Ok(0) if patience.is_none() => Err(format!("no answer for {} s", ANSWER_TIMEOUT.tv_sec).into()),
        Ok(_) => Ok(()),
        // Nothing is said of the connections; the next look does.
        Err(Errno::INTR) => {
            for fd in polled {
                fd.clear_revents();
            }
            Ok(())
        }
        Err(error) => Err(error.into()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::tests::{OK, serve};
    use super::super::{Cycle, Generator};

    fn requests(letter: char) -> Vec<Vec<u8>> {
        (0..3)
            .map(|index| format!("{letter}{index}\n").into_bytes())
            .collect()
    }

    #[test]
    fn cycles_take_turns_at_the_rate_and_every_request_is_answered() {
        let (address, lines) = serve(OK);
        let mut generator = Generator::connect(address, 4).unwrap();
        let (gets, puts) = (requests('g'), requests('p'));
        let (mut got, mut put) = (0, 0);
        let mut looks = 0;
        let paced = generator
            .run_at(
                500.0,
                &mut [
                    Cycle {
                        requests: &gets,
                        sent: &mut got,
                    },
                    Cycle {
                        requests: &puts,
                        sent: &mut put,
                    },
                ],
                || {
                    looks += 1;
                    looks <= 50
                },
            )
            .unwrap();
        let mut seen: Vec<String> = lines.try_iter().collect();
        assert_eq!(
            (got + put, seen.len()),
            (seen.len(), usize::try_from(paced.requests).unwrap())
        );
        assert!(got >= put && got - put <= 1, "{got} {put}");
        let latencies = &paced.latencies_ns;
        assert_eq!((latencies[0].len(), latencies[1].len()), (got as u64, put as u64));
        // One at once, and then one each 2 ms at most.
        let due = 1.0 + paced.elapsed.as_secs_f64() * 500.0;
        assert!(f64::from(paced.requests) <= due, "{paced:?}");
        seen.sort();
        seen.dedup();
        assert_eq!(seen, ["g0", "g1", "g2", "p0", "p1", "p2"]);
    }

    #[test]
    fn a_latency_counts_from_when_the_request_was_due() {
        let (address, _lines) = serve(OK);
        // One connection, and far more requests than it can carry: they are ever later.
        let mut generator = Generator::connect(address, 1).unwrap();
        let (gets, mut got) = (requests('g'), 0);
        let mut looks = 0;
        let paced = generator
            .run_at(
                1e9,
                &mut [Cycle {
                    requests: &gets,
                    sent: &mut got,
                }],
                || {
                    looks += 1;
                    looks <= 100
                },
            )
            .unwrap();
        let latest = Duration::from_nanos(paced.latencies_ns[0].max());
        assert!(latest >= paced.elapsed / 2, "{latest:?} of {:?}", paced.elapsed);
    }

    #[test]
    fn an_error_answered_ends_the_run() {
        let (address, _lines) = serve("HTTP/1.1 400 Bad Request\r\ncontent-length: 4\r\n\r\noops");
        let mut generator = Generator::connect(address, 2).unwrap();
        let (gets, mut got) = (requests('g'), 0);
        let mut cycles = [Cycle {
            requests: &gets,
            sent: &mut got,
        }];
        let error = generator.run_at(1000.0, &mut cycles, || true).unwrap_err();
        assert_eq!(error.to_string(), "answered 400: oops");
        assert!(generator.run_at(0.0, &mut cycles, || true).is_err());
    }
}
