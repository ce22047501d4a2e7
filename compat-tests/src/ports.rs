//! Ports for nodes that find each other by them, and that keep theirs over restarts.
//!
//! Invariant: what is found free was nobody's at that moment, not even reserved. Whoever takes it before the node does is
//! noticed, and the node gets another one.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SocketFlags, SocketType, bind, socket_with};

use crate::{Error, Random, Result, clock};

/// Below those that the system gives to connections, apart from those of `stator demo-cluster`.
const LOWEST: u64 = 20_000;
const WIDTH: u64 = 12_000;
/// How many rows are looked at.
const ROW_TRIES: usize = 100;
/// How often others may be faster.
const START_TRIES: usize = 5;

/// Makes something with so many free ports in a row, of which it is told the first; with others when it answers `None`
/// because somebody has taken one of them.
///
/// # Errors
/// Those of `make`; when there are no ports or all have been taken.
pub(crate) fn with_free<T>(count: u16, make: impl Fn(u16) -> Result<Option<T>>) -> Result<T> {
    for _ in 0..START_TRIES {
        if let Some(made) = make(first_free(count)?)? {
            return Ok(made);
        }
    }
    Err("others take ports faster than the nodes do".into())
}

/// Whether a node has ended because somebody else listens where it is to listen.
pub(crate) fn is_taken(stderr: &str) -> bool {
    let mut lines = stderr.lines();
    // EADDRINUSE, in the words of libc.
    lines.any(|line| line.contains("cannot listen on ") && line.contains("Address already in use"))
}

/// Whether this process could not listen for the same reason.
pub(crate) fn is_in_use(error: &Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::AddrInUse)
}

/// The first of so many free ports in a row.
fn first_free(count: u16) -> Result<u16> {
    let now = clock::time_of_day().duration_since(std::time::UNIX_EPOCH)?;
    let mut random = Random::new(u64::from(now.subsec_nanos()), std::process::id().into());
    for _ in 0..ROW_TRIES {
        let first = u16::try_from(LOWEST + random.below(WIDTH))?;
        let row = first..first.saturating_add(count);
        // All at once, so that none is counted twice.
        let reserved: Vec<_> = row.map(reserve).collect();
        if reserved.iter().all(io::Result::is_ok) {
            return Ok(first);
        }
    }
    Err(format!("no {count} free ports in a row").into())
}

/// Takes a port if nobody has it. Without `SO_REUSEADDR`, which the standard library sets: with it, one is had that a node has
/// reserved and does not listen at yet.
fn reserve(port: u16) -> io::Result<OwnedFd> {
    let socket = socket_with(
        AddressFamily::INET,
        SocketType::STREAM,
        SocketFlags::CLOEXEC,
        None,
    )?;
    bind(&socket, &SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::net::TcpListener;

    use super::*;

    #[test]
    fn a_port_that_somebody_has_is_noticed_and_others_are_taken() {
        let tries = Cell::new(0);
        let other = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = other.local_addr().unwrap();
        let listener = with_free(2, |first| {
            tries.set(tries.get() + 1);
            let port = if tries.get() < START_TRIES {
                taken.port()
            } else {
                first + 1
            };
            match TcpListener::bind((Ipv4Addr::LOCALHOST, port)).map_err(Error::from) {
                Err(error) if is_in_use(&error) => Ok(None),
                bound => bound.map(Some),
            }
        });
        let port = u64::from(listener.unwrap().local_addr().unwrap().port());
        assert!((LOWEST..=LOWEST + WIDTH).contains(&port), "{port}");
        assert_eq!(tries.get(), START_TRIES);
    }

    #[test]
    fn a_socket_that_does_not_listen_has_its_port_all_the_same() {
        let port = first_free(1).unwrap();
        let reserved = reserve(port).unwrap();
        assert_eq!(reserve(port).unwrap_err().kind(), io::ErrorKind::AddrInUse);
        drop(reserved);
        reserve(port).unwrap();
    }

    #[test]
    fn what_a_node_says_is_understood() {
        let port = first_free(1).unwrap();
        let _reserved = reserve(port).unwrap();
        let error = reserve(port).unwrap_err();
        assert!(is_taken(&format!(
            "stator: cannot listen on 127.0.0.1:{port} (http.listen): {error}\n"
        )));
        assert!(!is_taken(&format!("stator: {error}\n")));
        assert!(!is_taken(
            "stator: cannot listen on 127.0.0.1:1: Permission denied\n"
        ));
    }
}
