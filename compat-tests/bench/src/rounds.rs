//! Short rounds, in turn on both clusters, and the medians over them: a machine that is busy with something else for a
//! while slows both.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use compat_tests::Result;

use crate::cpu;
use crate::load::{self, Connection, Pool};

/// How long to measure each row.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Effort {
    /// Rounds on each side.
    rounds: usize,
    /// Length of a round.
    round: Duration,
    /// Load before the first round of each side, not measured.
    warm_up: Duration,
}

impl Effort {
    /// Six rows in about a minute.
    pub(crate) const QUICK: Self = Self {
        rounds: 5,
        round: Duration::from_millis(800),
        warm_up: Duration::from_millis(500),
    };
    /// Six rows in about five minutes.
    pub(crate) const FULL: Self = Self {
        rounds: 9,
        round: Duration::from_secs(2),
        warm_up: Duration::from_secs(2),
    };
}

/// One of the two clusters under one load.
pub(crate) struct Side {
    pids: Vec<u32>,
    connections: Vec<Connection>,
    pool: Pool,
    sent: Rc<Cell<u64>>,
}

/// The figures of a round, or the medians of many.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Figures {
    writes_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    /// CPU time of all node processes, by writes.
    cpu_us: f64,
    /// CPU time of this process, by writes: what the load itself costs.
    load_us: f64,
}

/// One of them.
type Figure = fn(&Figures) -> f64;

impl Side {
    pub(crate) fn new(pids: Vec<u32>, connections: Vec<Connection>, pool: Pool) -> Self {
        Self {
            pids,
            connections,
            pool,
            sent: Rc::new(Cell::new(0)),
        }
    }

    /// How many writes have been sent.
    pub(crate) fn sent(&self) -> usize {
        usize::try_from(self.sent.get()).unwrap_or(usize::MAX)
    }

    /// A round without figures.
    pub(crate) async fn run(&mut self, length: Duration) -> Result<()> {
        self.measure(length).await.map(drop)
    }

    async fn measure(&mut self, length: Duration) -> Result<Figures> {
        let own = [std::process::id()];
        let before = (cpu::time(&self.pids)?, cpu::time(&own)?);
        let connections = std::mem::take(&mut self.connections);
        let (connections, load) = load::run(connections, &self.pool, &self.sent, length).await?;
        self.connections = connections;
        let after = (cpu::time(&self.pids)?, cpu::time(&own)?);
        let writes = f64::from(u32::try_from(load.latencies_ns.len())?);
        let quantile_us = |quantile| {
            let nanoseconds = load.latencies_ns.value_at_quantile(quantile);
            Duration::from_nanos(nanoseconds).as_secs_f64() * 1e6
        };
        Ok(Figures {
            writes_per_s: writes / load.elapsed.as_secs_f64(),
            p50_us: quantile_us(0.5),
            p99_us: quantile_us(0.99),
            cpu_us: after.0.saturating_sub(before.0).as_secs_f64() * 1e6 / writes,
            load_us: after.1.saturating_sub(before.1).as_secs_f64() * 1e6 / writes,
        })
    }
}

/// Measures both sides in turn, each first in every other round: units with our median and theirs.
pub(crate) async fn compare(mut sides: [Side; 2], effort: Effort) -> Result<Vec<(&'static str, f64, f64)>> {
    let mut figures = [Vec::new(), Vec::new()];
    for side in &mut sides {
        side.run(effort.warm_up).await?;
    }
    for round in 0..effort.rounds {
        let order = if round % 2 == 0 { [0, 1] } else { [1, 0] };
        for place in order {
            if let (Some(side), Some(figures)) = (sides.get_mut(place), figures.get_mut(place)) {
                figures.push(side.measure(effort.round).await?);
            }
        }
    }
    let [ours, theirs] = figures;
    let of = |figure: Figure| {
        let median = |rounds: &[Figures]| median(rounds.iter().map(figure).collect());
        (median(&ours), median(&theirs))
    };
    let rows: [(&str, Figure); 5] = [
        ("writes/s", |one| one.writes_per_s),
        ("us p50", |one| one.p50_us),
        ("us p99", |one| one.p99_us),
        ("us CPU/write, all nodes", |one| one.cpu_us),
        ("us CPU/write, load generator", |one| one.load_us),
    ];
    let rows = rows.map(|(unit, figure)| {
        let (ours, theirs) = of(figure);
        (unit, ours, theirs)
    });
    Ok(rows.into())
}

/// The middle one, or the mean of the two in the middle; 0 of none.
fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match (figures.get(middle.wrapping_sub(1)), figures.get(middle)) {
        (Some(low), Some(high)) if figures.len().is_multiple_of(2) => f64::midpoint(*low, *high),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![3.0, 1e9, 1.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![5.0]).to_bits(), 5.0_f64.to_bits());
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
    }
}
