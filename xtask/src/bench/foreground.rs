//! Clients that read and write in turn at a fixed rate, while something else happens.
//!
//! Invariant: the rate is below what the server takes without a pause, and is kept whatever the server does meanwhile, so that
//! a pause of the server shows in the latencies of all requests that it has delayed (`load/paced.rs`).

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use hdrhistogram::Histogram;

use super::api::{Bodies, Ours};
use super::load::{Generator, Until};
use super::rounds::Effort;
use super::sign::Pool;
use crate::cargo::{self, Workspace};
use crate::{Result, clock};

const CONNECTIONS: usize = 32;
/// The part of what the server takes without a pause at which it is asked.
const SHARE: f64 = 0.5;

/// Who is asked, and how often.
#[derive(Args)]
pub(super) struct Clients {
    /// Requests a second of the clients; half of what the server takes without a pause if it is not given.
    #[arg(long)]
    pub(super) rate: Option<f64>,
    /// A server that is built already, instead of a release build.
    #[arg(long, value_name = "FILE")]
    stator: Option<PathBuf>,
}

impl Clients {
    /// The server's program.
    pub(super) fn server(&self, workspace: &Workspace) -> Result<PathBuf> {
        let release = ["--release", "--package", "stator", "--bin", "stator"];
        match &self.stator {
            Some(path) => Ok(path.clone()),
            None => cargo::build(workspace, &release)?.get("bin", "stator"),
        }
    }
}

/// What clients do all the time.
pub(super) struct Foreground<'a> {
    pub(super) generator: Generator,
    get: Pool<'a>,
    put: Pool<'a>,
    /// Requests a second, reads and writes together.
    pub(super) rate: f64,
}

impl<'a> Foreground<'a> {
    /// For a server that holds all items. Its rate is to be settled.
    pub(super) fn new(ours: &'a Ours, bodies: &'a Bodies) -> Result<Self> {
        let now = clock::time_of_day();
        Ok(Self {
            generator: Generator::connect(ours.process.ready.address()?, CONNECTIONS)?,
            get: Pool::new(&ours.signer, "GetItem", &bodies.get, now)?,
            put: Pool::new(&ours.signer, "PutItem", &bodies.put, now)?,
            rate: 0.0,
        })
    }

    /// Settles the rate, and gives how many writes a second the server takes without a pause.
    pub(super) fn settle_rate(&mut self, wanted: Option<f64>, effort: Effort) -> Result<f64> {
        let mut seconds = 0.0;
        let mut writes = 0.0;
        for pool in [&mut self.get, &mut self.put] {
            let mut requests = pool.requests(clock::time_of_day())?;
            self.generator
                .run(&mut requests, Until::Elapsed(effort.warm_up))?;
            let load = self.generator.run(&mut requests, Until::Elapsed(effort.round))?;
            writes = f64::from(load.requests) / load.elapsed.as_secs_f64();
            seconds += 1.0 / writes;
        }
        self.rate = wanted.unwrap_or(2.0 / seconds * SHARE);
        Ok(writes)
    }

    /// Reads and writes in turn at the rate, as long as `goes_on` says so.
    pub(super) fn work(&mut self, goes_on: impl FnMut() -> bool) -> Result<Figures> {
        let now = clock::time_of_day();
        let mut cycles = [self.get.requests(now)?, self.put.requests(now)?];
        let paced = self.generator.run_at(self.rate, &mut cycles, goes_on)?;
        let [get, put] = &paced.latencies_ns[..] else {
            return Err("not two kinds of requests".into());
        };
        Ok(Figures {
            us: [
                quantile_us(get, 0.5),
                quantile_us(get, 0.99),
                quantile_us(put, 0.5),
                quantile_us(put, 0.99),
            ],
            rate: f64::from(paced.requests) / paced.elapsed.as_secs_f64(),
        })
    }
}

fn quantile_us(latencies_ns: &Histogram<u64>, quantile: f64) -> f64 {
    Duration::from_nanos(latencies_ns.value_at_quantile(quantile)).as_secs_f64() * 1e6
}

/// Of a part of a round.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figures {
    /// Latencies as [`LATENCIES`] names them, in microseconds.
    pub(super) us: [f64; 4],
    /// Requests a second that were made.
    pub(super) rate: f64,
}

/// What [`Figures::us`] are of, and their units.
pub(super) const LATENCIES: [(&str, &str); 4] = [
    ("get_item", "us p50"),
    ("get_item", "us p99"),
    ("put_item", "us p50"),
    ("put_item", "us p99"),
];
