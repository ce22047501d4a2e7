//! `bench log`: what an index and a stream cost per write, and how far they are behind their table under load.
//!
//! The peer of the cost is the same table without them, on a server of its own, in the same rounds: each put moves its row
//! in the index, which is the most that a write can cost there. The lag is measured while other clients write at 80 % of
//! what the server has taken without a pause: from the answer of a put to the first read that shows it. The puts that are
//! looked for are spread over the time, so that a lag that grows is seen.

use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use super::api::{Bodies, Ours, TABLE, member};
use super::load::{Generator, Until};
use super::report::Row;
use super::rounds::{Effort, Side, compare};
use super::sign::Pool;
use crate::cargo::{self, Workspace};
use crate::{Result, clock};

const BENCH: &str = "log";
const PEER: &str = "the table without";
const CONNECTIONS: usize = 32;
const INDEX: &str = r#","GlobalSecondaryIndexes":[{"IndexName":"by-city","KeySchema":[{"AttributeName":"city","KeyType":"HASH"}],"Projection":{"ProjectionType":"ALL"}}]"#;
const STREAM: &str = r#","StreamSpecification":{"StreamEnabled":true,"StreamViewType":"NEW_AND_OLD_IMAGES"}"#;

/// The part of the greatest rate at which others write while lag is measured.
const SHARE: f64 = 0.8;
/// How often they send; in between they wait.
const TICK: Duration = Duration::from_millis(10);
/// How often a write is looked for.
const PROBE_EVERY: Duration = Duration::from_millis(50);
/// What lag may be for 99 of 100 writes, in milliseconds.
const AIM_MS: f64 = 100.0;
const AIM: &str = "the aim";
/// A write that is not seen after so long is lost.
const LOST_AFTER: Duration = Duration::from_secs(30);

/// Runs the bench.
pub(super) fn run(workspace: &Workspace, effort: Effort) -> Result<Vec<Row>> {
    let stator = ["--release", "--package", "stator", "--bin", "stator"];
    let stator = cargo::build(workspace, &stator)?.get("bin", "stator")?;
    let folder = tempfile::Builder::new()
        .prefix("bench-log-")
        .tempdir_in(&workspace.target)?;
    let bodies = Bodies::new();
    let start = |more: &str| Ours::start(&stator, folder.path(), "interval", &bodies, more);
    let plain = start("")?;
    let mut rows = Vec::new();
    for (name, more) in [("one index", INDEX), ("a stream", STREAM)] {
        eprintln!("bench log: put_item with {name}");
        let with = start(more)?;
        let now = clock::time_of_day();
        let mut ours = Pool::new(&with.signer, "PutItem", &bodies.put, now)?;
        let mut theirs = Pool::new(&plain.signer, "PutItem", &bodies.put, now)?;
        let sides = [
            Side {
                process: &with.process,
                pool: &mut ours,
            },
            Side {
                process: &plain.process,
                pool: &mut theirs,
            },
        ];
        let row = format!("put_item with {name} c{CONNECTIONS}");
        rows.extend(compare(BENCH, &row, PEER, sides, CONNECTIONS, effort)?);
    }
    drop(plain);
    let both = start(&[INDEX, STREAM].concat())?;
    rows.extend(lag(&both, &bodies, effort)?);
    Ok(rows)
}

/// Rows of how far index and stream are behind.
fn lag(ours: &Ours, bodies: &Bodies, effort: Effort) -> Result<Vec<Row>> {
    let address = ours.process.ready.address()?;
    let mut generator = Generator::connect(address, CONNECTIONS)?;
    let mut pool = Pool::new(&ours.signer, "PutItem", &bodies.put, clock::time_of_day())?;
    let mut requests = pool.requests(clock::time_of_day())?;
    generator.run(&mut requests, Until::Elapsed(effort.warm_up))?;
    let load = generator.run(&mut requests, Until::Elapsed(effort.round * 2))?;
    let rate = f64::from(load.requests) / load.elapsed.as_secs_f64() * SHARE;
    eprintln!("bench log: lag at {rate:.0} writes/s");
    std::thread::scope(|scope| {
        let (stop, stopped) = channel::<()>();
        let (writes, ended) = channel::<()>();
        let writing = scope.spawn(move || {
            let _writes = writes;
            let written = write_at(&mut generator, &mut pool, rate, &stopped);
            written.map_err(|error| error.to_string())
        });
        let probes = effort.rounds * 20;
        let rows = (|| {
            let mut rows = quantiles("index behind its table", probes, &ended, |number| {
                index_lag(ours, number)
            })?;
            let shard = shard_of_probes(ours)?;
            let mut iterator = shard.clone();
            rows.extend(quantiles("stream behind its table", probes, &ended, |number| {
                stream_lag(ours, &mut iterator, number)
            })?);
            Result::Ok(rows)
        })();
        drop(stop);
        let written = writing.join().map_err(|_| "the load has panicked")??;
        let mut rows = rows?;
        rows.push(Row {
            bench: BENCH,
            name: "writes meanwhile".to_owned(),
            ours: written,
            peer: AIM,
            theirs: rate,
            unit: "requests/s",
        });
        Ok(rows)
    })
}

/// Writes at a rate until it is stopped; gives the rate that was reached.
fn write_at(
    generator: &mut Generator,
    pool: &mut Pool<'_>,
    rate: f64,
    stopped: &Receiver<()>,
) -> Result<f64> {
    let begun = clock::now();
    let (mut due, mut sent) = (0.0, 0.0);
    let mut ticks = 0_u32;
    loop {
        ticks += 1;
        due += rate * TICK.as_secs_f64();
        // What a late tick has left over is made up for by the next ones.
        let count = (due - sent).floor();
        if count >= 1.0 {
            let mut requests = pool.requests(clock::time_of_day())?;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a small whole number that is not negative"
            )]
            let load = generator.run(&mut requests, Until::Sent(count as usize))?;
            sent += f64::from(load.requests);
        }
        let rest = (TICK * ticks).saturating_sub(begun.elapsed());
        match stopped.recv_timeout(rest) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => {
                return Ok(sent / begun.elapsed().as_secs_f64());
            }
        }
    }
}

/// Rows of what so many looks have found, as long as the load has not ended.
fn quantiles(
    name: &str,
    probes: usize,
    ended: &Receiver<()>,
    mut probe: impl FnMut(usize) -> Result<Duration>,
) -> Result<Vec<Row>> {
    let begun = clock::now();
    let (mut seen, mut due) = (Vec::with_capacity(probes), Duration::ZERO);
    for number in 0..probes {
        let rest = due.saturating_sub(begun.elapsed());
        if ended.recv_timeout(rest) != Err(RecvTimeoutError::Timeout) {
            return Err("the load has ended".into());
        }
        seen.push(probe(number)?);
        due += PROBE_EVERY;
    }
    seen.sort_unstable();
    let row = |quantile: usize, unit| {
        let place = (seen.len() * quantile).div_ceil(100).saturating_sub(1);
        let lag = seen.get(place).copied().unwrap_or_default();
        Row {
            bench: BENCH,
            name: name.to_owned(),
            ours: lag.as_secs_f64() * 1e3,
            peer: AIM,
            theirs: AIM_MS,
            unit,
        }
    };
    Ok(vec![row(50, "ms p50"), row(99, "ms p99"), row(100, "ms at most")])
}

/// Puts an item of its own; gives when that was answered.
fn put_probe(ours: &Ours, number: usize) -> Result<Instant> {
    // Always the same item, so that its records stand in one shard.
    let body = format!(
        r#"{{"TableName":"{TABLE}","Item":{{"id":{{"S":"probe"}},"city":{{"S":"probe-{number}"}}}}}}"#
    );
    ours.call("PutItem", &body)?;
    Ok(clock::now())
}

fn index_lag(ours: &Ours, number: usize) -> Result<Duration> {
    let number = number + 1_000_000;
    let query = format!(
        r#"{{"TableName":"{TABLE}","IndexName":"by-city","KeyConditionExpression":"city = :c","ExpressionAttributeValues":{{":c":{{"S":"probe-{number}"}}}},"Select":"COUNT"}}"#
    );
    let put = put_probe(ours, number)?;
    until_seen(put, || Ok(ours.call("Query", &query)?.contains(r#""Count":1,"#)))
}

fn until_seen(put: Instant, mut look: impl FnMut() -> Result<bool>) -> Result<Duration> {
    while !look()? {
        if put.elapsed() > LOST_AFTER {
            return Err("a write is not seen after 30 s".into());
        }
    }
    Ok(put.elapsed())
}

/// An iterator at the end of the shard that has the records of the probes.
fn shard_of_probes(ours: &Ours) -> Result<String> {
    let table = ours.call("DescribeTable", &format!(r#"{{"TableName":"{TABLE}"}}"#))?;
    let arn = member(&table, &["Table", "LatestStreamArn"])?;
    let described = ours.call(
        "DynamoDBStreams_20120810.DescribeStream",
        &format!(r#"{{"StreamArn":{arn}}}"#),
    )?;
    let shards = member(&described, &["StreamDescription", "Shards"])?;
    let mut iterators = Vec::new();
    for shard in shards.as_array().into_iter().flatten() {
        let request = format!(
            r#"{{"StreamArn":{arn},"ShardId":{},"ShardIteratorType":"LATEST"}}"#,
            shard["ShardId"]
        );
        let answer = ours.call("DynamoDBStreams_20120810.GetShardIterator", &request)?;
        iterators.push(member(&answer, &["ShardIterator"])?.to_string());
    }
    let put = put_probe(ours, 0)?;
    loop {
        for iterator in &mut iterators {
            if read(ours, iterator, "probe-0")? {
                return Ok(iterator.clone());
            }
        }
        if put.elapsed() > LOST_AFTER {
            return Err("no shard has the record of a write after 30 s".into());
        }
    }
}

/// Reads the next records; whether they have a text.
fn read(ours: &Ours, iterator: &mut String, wanted: &str) -> Result<bool> {
    let request = format!(r#"{{"ShardIterator":{iterator}}}"#);
    let page = ours.call("DynamoDBStreams_20120810.GetRecords", &request)?;
    let found = page.contains(&format!("\"{wanted}\""));
    *iterator = member(&page, &["NextShardIterator"])?.to_string();
    Ok(found)
}

fn stream_lag(ours: &Ours, iterator: &mut String, number: usize) -> Result<Duration> {
    let number = number + 2_000_000;
    let wanted = format!("probe-{number}");
    let put = put_probe(ours, number)?;
    until_seen(put, || read(ours, iterator, &wanted))
}
