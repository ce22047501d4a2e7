//! The loop: so many connections, one request in flight on each, all in one thread.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use compat_tests::{Result, now};
use hdrhistogram::Histogram;
use tokio::task::JoinSet;

use crate::{etcd, grpc, http1};

/// Latencies are kept to three digits.
const DIGITS: u8 = 3;

/// A write, ready to be sent.
#[derive(Debug)]
pub(crate) enum Write {
    Stator(http1::Request),
    Etcd(Bytes),
}

/// Writes that are sent in turn, over and over.
pub(crate) type Pool = Rc<Vec<Write>>;

/// A connection to a node of either cluster.
pub(crate) enum Connection {
    Stator(http1::Connection),
    Etcd(grpc::Connection),
}

impl Connection {
    async fn send(&mut self, write: &Write) -> Result<()> {
        match (self, write) {
            (Self::Stator(connection), Write::Stator(request)) => connection.send(request).await,
            (Self::Etcd(connection), Write::Etcd(message)) => connection.call(etcd::PUT, message).await,
            _ => Err("a write of one cluster on a connection to the other".into()),
        }
    }
}

/// What a run has found.
#[derive(Debug)]
pub(crate) struct Load {
    /// From the first byte sent to the last byte received.
    pub(crate) elapsed: Duration,
    /// From the sending of a request to the end of its answer, in nanoseconds; one for each request.
    pub(crate) latencies_ns: Histogram<u64>,
}

/// Sends on all connections for so long, and hands them back. `sent` says which write is next, and of how many.
pub(crate) async fn run(
    connections: Vec<Connection>,
    pool: &Pool,
    sent: &Rc<Cell<u64>>,
    length: Duration,
) -> Result<(Vec<Connection>, Load)> {
    let begun = now();
    let mut tasks = JoinSet::new();
    for mut connection in connections {
        let (pool, sent) = (Rc::clone(pool), Rc::clone(sent));
        tasks.spawn_local(async move {
            let mut latencies = Histogram::<u64>::new(DIGITS)?;
            let mut at = now();
            while at - begun < length {
                let number = sent.get();
                sent.set(number + 1);
                let place = usize::try_from(number)? % pool.len().max(1);
                let write = pool.get(place).ok_or("nothing to write")?;
                connection.send(write).await?;
                let answered = now();
                latencies.record(u64::try_from((answered - at).as_nanos())?)?;
                at = answered;
            }
            Result::Ok((connection, latencies))
        });
    }
    let mut back = Vec::new();
    let mut latencies_ns = Histogram::new(DIGITS)?;
    while let Some(task) = tasks.join_next().await {
        let (connection, latencies) = task??;
        latencies_ns.add(latencies)?;
        back.push(connection);
    }
    let elapsed = begun.elapsed();
    Ok((
        back,
        Load {
            elapsed,
            latencies_ns,
        },
    ))
}
