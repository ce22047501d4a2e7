//! Short rounds of load, in turn on ours and on the peer, and the medians over them.
//!
//! A machine that is busy with something else for a while then slows both sides, and an outlier moves no figure.

use std::time::Duration;

use super::load::{Generator, Load, Until};
use super::process::ServerProcess;
use super::report::Row;
use super::sign::Pool;
use crate::{Result, clock};

/// A round is repeated when a thread of the server ended in it; so many times.
const ATTEMPTS: usize = 5;

/// How long to measure each row.
#[derive(Debug, Clone, Copy)]
pub(super) struct Effort {
    /// Rounds on each side.
    pub(super) rounds: usize,
    /// Length of a round.
    pub(super) round: Duration,
    /// Unmeasured load before the first round of each side.
    pub(super) warm_up: Duration,
}

impl Effort {
    /// Six rows in less than a minute.
    pub(super) const QUICK: Self = Self {
        rounds: 5,
        round: Duration::from_millis(600),
        warm_up: Duration::from_millis(400),
    };
    /// Six rows in about five minutes.
    pub(super) const FULL: Self = Self {
        rounds: 11,
        round: Duration::from_secs(2),
        warm_up: Duration::from_secs(2),
    };
}

/// One of the two that are compared: a server and what to ask it.
#[derive(Debug)]
pub(super) struct Side<'a, 'b> {
    pub(super) process: &'a ServerProcess,
    pub(super) pool: &'a mut Pool<'b>,
}

/// The figures of one round, or the medians of many.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    /// CPU time of the server process per request, in microseconds.
    cpu_us: f64,
    /// Requests a second.
    rate: f64,
    /// Latency that half of the requests did not exceed, in microseconds.
    p50_us: f64,
    /// The same for 99 % of them.
    p99_us: f64,
}

impl Figures {
    fn of(load: &Load, cpu: Duration) -> Self {
        let requests = f64::from(load.requests);
        let quantile_us = |quantile| {
            let nanoseconds = load.latencies_ns.value_at_quantile(quantile);
            Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
        };
        Self {
            cpu_us: cpu.as_secs_f64() * 1e6 / requests,
            rate: requests / load.elapsed.as_secs_f64(),
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
        }
    }

    /// The median of each figure by itself.
    fn median(rounds: &[Self]) -> Self {
        let of = |figure: fn(&Self) -> f64| median(rounds.iter().map(figure).collect());
        Self {
            cpu_us: of(|round| round.cpu_us),
            rate: of(|round| round.rate),
            p50_us: of(|round| round.p50_us),
            p99_us: of(|round| round.p99_us),
        }
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(super) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// Measures both sides at so many connections. `row` says what is measured; the rows add the unit.
pub(super) fn compare(
    bench: &'static str,
    row: &str,
    peer: &'static str,
    mut sides: [Side<'_, '_>; 2],
    connections: usize,
    effort: Effort,
) -> Result<Vec<Row>> {
    let mut generators = Vec::new();
    for side in &mut sides {
        let mut generator = Generator::connect(side.process.ready.address()?, connections)?;
        let mut requests = side.pool.requests(clock::time_of_day())?;
        generator.run(&mut requests, Until::Elapsed(effort.warm_up))?;
        generators.push(generator);
    }
    let mut rounds = [Vec::new(), Vec::new()];
    for _ in 0..effort.rounds {
        for ((side, generator), rounds) in sides.iter_mut().zip(&mut generators).zip(&mut rounds) {
            rounds.push(measure(side, generator, effort.round)?);
        }
    }
    let [ours, theirs] = rounds.map(|rounds| Figures::median(&rounds));
    let row = |unit, ours, theirs| Row {
        bench,
        name: row.to_owned(),
        ours,
        peer,
        theirs,
        unit,
    };
    Ok(vec![
        row("us CPU/request", ours.cpu_us, theirs.cpu_us),
        row("requests/s", ours.rate, theirs.rate),
        row("us p50", ours.p50_us, theirs.p50_us),
        row("us p99", ours.p99_us, theirs.p99_us),
    ])
}

fn measure(side: &mut Side<'_, '_>, generator: &mut Generator, length: Duration) -> Result<Figures> {
    let mut requests = side.pool.requests(clock::time_of_day())?;
    for _ in 0..ATTEMPTS {
        let before = side.process.cpu_time()?;
        let load = generator.run(&mut requests, Until::Elapsed(length))?;
        if let Some(cpu) = side.process.cpu_time()?.since(&before) {
            return Ok(Figures::of(&load, cpu));
        }
    }
    Err(format!("in each of {ATTEMPTS} rounds a thread of the server ended: its CPU time is unknown").into())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use hdrhistogram::Histogram;

    use super::{Figures, median};
    use crate::bench::load::Load;

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![3.0, 1e9, 1.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn figures_are_per_request_and_per_second() {
        let mut latencies_ns = Histogram::new(3).unwrap();
        for _ in 0..98 {
            latencies_ns.record(20_000).unwrap();
        }
        latencies_ns.record_n(500_000, 2).unwrap();
        let load = Load {
            requests: 100,
            elapsed: Duration::from_millis(50),
            latencies_ns,
        };
        let figures = Figures::of(&load, Duration::from_millis(2));
        let near = |figure: f64, expected: f64| (figure / expected - 1.0).abs() < 1e-3;
        assert!(near(figures.cpu_us, 20.0), "{figures:?}");
        assert!(near(figures.rate, 2000.0), "{figures:?}");
        assert!(near(figures.p50_us, 20.0), "{figures:?}");
        assert!(near(figures.p99_us, 500.0), "{figures:?}");
    }

    #[test]
    fn each_figure_has_its_own_median() {
        let round = |cpu_us, rate| Figures {
            cpu_us,
            rate,
            p50_us: 1.0,
            p99_us: 2.0,
        };
        let rounds = [round(1.0, 30.0), round(2.0, 10.0), round(3.0, 20.0)];
        assert_eq!(Figures::median(&rounds), round(2.0, 20.0));
    }
}
