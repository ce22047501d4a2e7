//! The comparison: every row on all engines in turn, within the same minute, so that a machine that is busy with
//! something else for a while slows them all.

use std::path::Path;

use crate::contender::Contender;
use crate::protocol::{Answer, Command, Work};
use crate::report::{Row, float, median};
use crate::store::{Kind, Shared, budget_bytes};
use crate::{Result, process};

const MIB: f64 = 1_048_576.0;
/// Puts before a store is closed or killed.
const TAIL: u64 = 20_000;
/// Reads of a store that was just opened.
const FIRST_READS: u64 = 10_000;

/// Rows that change nothing.
const READS: [(Work, &str); 5] = [
    (Work::GetUniform, "get uniform"),
    (Work::GetZipfian, "get zipfian"),
    (Work::GetAbsent, "get absent"),
    (Work::ScanForward, "scan forward"),
    (Work::ScanBackward, "scan backward"),
];
const SYNCED: [(Work, &str); 3] = [
    (Work::Synced1, "synced 1"),
    (Work::Synced32, "synced 32"),
    (Work::Synced128, "synced 128"),
];

/// How much to do.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) engines: Vec<Kind>,
    pub(crate) entries: u64,
    /// Length of a round of a row that is measured for a time.
    pub(crate) seconds: f64,
    /// Rounds of such a row, on each engine; the median counts.
    pub(crate) rounds: u64,
    pub(crate) silence_ms: u64,
    /// A row is measured if its name contains one of these; none: all are.
    pub(crate) rows: Vec<String>,
}

impl Plan {
    fn wants(&self, row: &str) -> bool {
        self.rows.is_empty() || self.rows.iter().any(|part| row.contains(part.as_str()))
    }

    fn command(&self, work: Work, operations: Option<u64>, seed: u64) -> Command {
        Command {
            work,
            entries: self.entries,
            operations,
            seconds: self.seconds,
            seed,
        }
    }
}

/// The comparison with one size of the cache.
pub(crate) struct Comparison<'a> {
    plan: &'a Plan,
    shared: Shared,
    /// Says which size, in the names of rows.
    label: &'a str,
    contenders: Vec<Contender>,
    rows: Vec<Row>,
}

impl<'a> Comparison<'a> {
    /// Starts the engines, with their stores below `folder`.
    pub(crate) fn start(plan: &'a Plan, shared: Shared, label: &'a str, folder: &Path) -> Result<Self> {
        let mut contenders = Vec::new();
        for kind in &plan.engines {
            let contender = Contender::start(*kind, &folder.join(kind.name()), shared, plan.silence_ms)?;
            eprintln!("{} runs as process {}", kind.name(), contender.process());
            contenders.push(contender);
        }
        Ok(Self {
            plan,
            shared,
            label,
            contenders,
            rows: Vec::new(),
        })
    }

    /// All rows that the plan wants.
    pub(crate) fn run(mut self) -> Result<Vec<Row>> {
        self.load()?;
        for (work, name) in READS {
            if self.plan.wants(name) {
                self.timed(work, name)?;
            }
        }
        if self.plan.wants("overwrite") {
            self.counted(Work::Overwrite, "overwrite")?;
        }
        for (work, name) in SYNCED {
            if self.plan.wants(name) {
                self.timed(work, name)?;
            }
        }
        if self.plan.wants("mixed") {
            self.counted(Work::Mixed, "mixed")?;
        }
        if self.plan.wants("footprint") {
            self.footprint()?;
        }
        if self.plan.wants("open") {
            self.reopen()?;
        }
        Ok(self.rows)
    }

    /// Says what comes next, for whoever waits.
    fn announce(&self, name: &str) {
        eprintln!("{name}, {}", self.label);
    }

    /// Has the same done on each engine, one after the other, with `after` behind each.
    fn each(&mut self, command: &Command, after: Option<Work>) -> Result<Vec<(Kind, Answer)>> {
        let mut answers = Vec::new();
        for contender in &mut self.contenders {
            if after.is_some() {
                process::write_out();
            }
            answers.push((contender.kind, contender.run(command)?));
            if let Some(work) = after {
                contender.run(&self.plan.command(work, None, 0))?;
            }
        }
        Ok(answers)
    }

    fn row(&mut self, name: &str, unit: &str, figures: Vec<(Kind, f64)>) {
        self.rows.push(Row {
            name: format!("{name}, {}", self.label),
            unit: unit.to_owned(),
            figures,
        });
    }

    /// The rows of figures that most have, each the median of its rounds.
    fn rows_of(&mut self, name: &str, rounds: &[Vec<(Kind, Answer)>], is_synced: bool) {
        let Some(first) = rounds.first() else { return };
        let figures = |figure: &dyn Fn(&Answer) -> f64| -> Vec<(Kind, f64)> {
            let median_of =
                |index: usize| median(rounds.iter().map(|round| figure(&round[index].1)).collect());
            first
                .iter()
                .enumerate()
                .map(|(index, (kind, _))| (*kind, median_of(index)))
                .collect()
        };
        let mut rows = vec![
            (
                "ops/s".to_owned(),
                figures(&|answer| float(answer.operations) / answer.seconds),
            ),
            (
                "us CPU/op".to_owned(),
                figures(&|answer| answer.cpu_seconds * 1e6 / float(answer.operations)),
            ),
        ];
        let kinds_of_latency = first.first().map_or(0, |(_, answer)| answer.latencies.len());
        for index in 0..kinds_of_latency {
            let of = &first[0].1.latencies[index].of;
            let unit = |quantile: &str| format!("us {quantile} {of}").trim_end().to_owned();
            rows.push((unit("p50"), figures(&|answer| answer.latencies[index].p50_us)));
            rows.push((unit("p99"), figures(&|answer| answer.latencies[index].p99_us)));
        }
        if is_synced {
            rows.push((
                "syncs/1000 commits".to_owned(),
                figures(&|answer| float(answer.syncs) * 1000.0 / float(answer.operations)),
            ));
        }
        for (unit, figures) in rows {
            self.row(name, &unit, figures);
        }
    }

    /// What was written for each byte that was put.
    fn write_amplification(&mut self, name: &str, before: &[Answer], after: &[(Kind, Answer)]) {
        let figures = before.iter().zip(after).map(|(before, (kind, after))| {
            let written = after.status.written_bytes - before.status.written_bytes;
            let put = after.status.put_bytes - before.status.put_bytes;
            (*kind, float(written) / float(put))
        });
        let figures = figures.collect();
        self.row(name, "bytes written/byte put", figures);
    }

    fn load(&mut self) -> Result<()> {
        self.announce("load");
        let opened: Vec<Answer> = self.contenders.iter().map(|own| own.opened.clone()).collect();
        let (mut loads, mut settles) = (Vec::new(), Vec::new());
        // Each engine comes to rest before the next one begins.
        for contender in &mut self.contenders {
            process::write_out();
            let load = contender.run(&self.plan.command(Work::Load, None, 0))?;
            let settle = contender.run(&self.plan.command(Work::Settle, None, 0))?;
            loads.push((contender.kind, load));
            settles.push((contender.kind, settle));
        }
        if self.plan.wants("load") {
            let seconds = |answers: &[(Kind, Answer)]| -> Vec<(Kind, f64)> {
                answers
                    .iter()
                    .map(|(kind, answer)| (*kind, answer.seconds))
                    .collect()
            };
            let settled = seconds(&settles);
            let cpu = loads.iter().zip(&settles).map(|((kind, load), (_, settle))| {
                let seconds = load.cpu_seconds + settle.cpu_seconds;
                (*kind, seconds * 1e6 / float(load.operations))
            });
            let cpu = cpu.collect();
            self.rows_of("load", &[loads], false);
            self.row("load, until settled", "s", settled);
            self.row("load, with settling", "us CPU/op", cpu);
            self.write_amplification("load", &opened, &settles);
        }
        let warm_up = self.plan.command(Work::WarmUp, None, 0);
        self.each(&warm_up, None)?;
        Ok(())
    }

    /// A row that is measured in short rounds on each engine in turn.
    fn timed(&mut self, work: Work, name: &str) -> Result<()> {
        self.announce(name);
        let is_synced = SYNCED.iter().any(|(synced, _)| *synced == work);
        let after = is_synced.then_some(Work::Quiet);
        let rounds: Vec<_> = (0..self.plan.rounds)
            .map(|round| self.each(&self.plan.command(work, None, round + 1), after))
            .collect::<Result<_>>()?;
        self.rows_of(name, &rounds, is_synced);
        Ok(())
    }

    /// A row that is measured once, over as many operations as a quarter of the entries: all engines are then in the
    /// same state again.
    fn counted(&mut self, work: Work, name: &str) -> Result<()> {
        self.announce(name);
        let command = self.plan.command(work, Some(self.plan.entries / 4), 77);
        let (mut before, mut after, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for contender in &mut self.contenders {
            process::write_out();
            before.push(contender.run(&self.plan.command(Work::Quiet, None, 0))?);
            done.push((contender.kind, contender.run(&command)?));
            let settled = contender.run(&self.plan.command(Work::Settle, None, 0))?;
            after.push((contender.kind, settled));
        }
        self.rows_of(name, &[done], false);
        self.write_amplification(name, &before, &after);
        Ok(())
    }

    /// What the engines have come to need, on disk and in memory.
    fn footprint(&mut self) -> Result<()> {
        let command = self.plan.command(Work::Settle, None, 0);
        let answers = self.each(&command, None)?;
        let figures = |figure: &dyn Fn(&Answer) -> f64| -> Vec<(Kind, f64)> {
            answers
                .iter()
                .map(|(kind, answer)| (*kind, figure(answer)))
                .collect()
        };
        let live_bytes = float(live_bytes(self.plan.entries));
        let disk = figures(&|answer| float(answer.status.disk_bytes) / MIB);
        let space = figures(&|answer| float(answer.status.disk_bytes) / live_bytes);
        let memory = figures(&|answer| float(answer.status.peak_memory_bytes) / MIB);
        let budget = float(budget_bytes(self.shared));
        let share = figures(&|answer| float(answer.status.peak_memory_bytes) / budget);
        self.row("footprint", "MiB on disk", disk);
        self.row("footprint", "bytes on disk/byte live", space);
        self.row("footprint", "MiB memory at most", memory);
        self.row("footprint", "memory at most/budget", share);
        Ok(())
    }

    /// Opens each store again after it was closed, and after its process was killed.
    fn reopen(&mut self) -> Result<()> {
        let tail = self
            .plan
            .command(Work::Tail, Some(TAIL.min(self.plan.entries / 10)), 99);
        for name in ["open after close", "open after kill"] {
            self.announce(name);
            let (mut opened, mut read) = (Vec::new(), Vec::new());
            for mut contender in std::mem::take(&mut self.contenders) {
                let kind = contender.kind;
                contender.run(&tail)?;
                let folder = contender.folder().to_owned();
                if name == "open after close" {
                    contender.close(self.plan.entries)?;
                } else {
                    drop(contender);
                }
                process::forget_cached(&folder)?;
                let mut contender = Contender::start(kind, &folder, self.shared, self.plan.silence_ms)?;
                opened.push((kind, contender.opened.seconds * 1000.0));
                let first_reads = self.plan.command(Work::FirstReads, Some(FIRST_READS), 5);
                read.push((kind, contender.run(&first_reads)?));
                contender.run(&self.plan.command(Work::Quiet, None, 0))?;
                self.contenders.push(contender);
            }
            self.row(name, "ms", opened);
            self.rows_of(&format!("{name}, first reads"), &[read], false);
        }
        Ok(())
    }
}

/// Keys and values of all entries.
pub(crate) fn live_bytes(entries: u64) -> u64 {
    let mut key = Vec::new();
    (0..entries)
        .map(|number| {
            crate::data::write_key(number, &mut key);
            (key.len() + crate::data::VALUE_BYTES) as u64
        })
        .sum()
}
