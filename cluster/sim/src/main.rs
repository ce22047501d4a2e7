//! `stator-sim`: runs scenarios under many seeds, and says which of them fail.
//!
//! Progress goes to standard error, results to standard output. The exit code is 1 if a seed has failed, 2 if the command
//! makes no sense.

use std::io::Write;
use std::num::NonZero;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::available_parallelism;

use clap::Parser;
use stator_sim::kept::Faults;
use stator_sim::random::Seed;
use stator_sim::runner::{self, Settings, Summary};
use stator_sim::scenario::{self, Scenario, capacity};
use stator_sim::trace;
use tracing_subscriber::EnvFilter;

/// Runs whole clusters in one thread each, under seeds that decide everything, and checks what clients saw.
#[derive(Parser)]
#[command(name = "stator-sim")]
struct Arguments {
    /// How many seeds of each scenario are run.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// The scenario; all of them if it is not given, but for `capacity`, which measures and has no seeds to fail.
    #[arg(long)]
    scenario: Option<String>,
    /// Seeds at once; as many as the machine has cores if it is not given. One with --trace.
    #[arg(long)]
    threads: Option<NonZero<usize>>,
    /// Prints everything that happens to standard error.
    #[arg(long)]
    trace: bool,
    /// What nodes say in their logs goes to standard error, as far as this filter lets it, such as `stator_cluster=debug`.
    #[arg(long)]
    log: Option<EnvFilter>,
    /// Runs every seed twice, and fails it if the two differ.
    #[arg(long)]
    twice: bool,
    /// Lets only these faults of a seed's schedule happen, such as `0,3`, or `none`; `all` is usual.
    #[arg(long)]
    keep_faults: Option<Faults>,
    /// Reports seeds that fail as they are, without looking for fewer faults that suffice.
    #[arg(long)]
    no_shrink: bool,
    /// Ends a scenario after so many failing seeds.
    #[arg(long, default_value_t = 3)]
    failures_max: usize,
    /// The most nodes of a cluster of the scenario `capacity`.
    #[arg(long, default_value_t = 48)]
    nodes_max: u64,
}

fn main() -> ExitCode {
    let mut arguments = Arguments::parse();
    if let Some(filter) = arguments.log.take() {
        // What happens in between is in the trace, with its time.
        let log = tracing_subscriber::fmt().without_time().with_env_filter(filter);
        log.with_writer(std::io::stderr).init();
    }
    if arguments.scenario.as_deref() == Some(capacity::NAME) {
        return exit_code(measure_capacity(&arguments));
    }
    let mut scenarios = scenario::all();
    if let Some(name) = &arguments.scenario {
        let names: Vec<_> = scenarios.iter().map(|one| one.name().to_owned()).collect();
        scenarios.retain(|one| one.name() == name);
        if scenarios.is_empty() {
            eprintln!(
                "stator-sim: there is no scenario `{name}`; there is {}",
                names.join(", ")
            );
            return ExitCode::from(2);
        }
    }
    exit_code(run_all(&arguments, &scenarios))
}

/// 1 if something has failed.
fn exit_code(outcome: std::io::Result<bool>) -> ExitCode {
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("stator-sim: standard output: {error}");
            ExitCode::from(2)
        }
    }
}

/// Measures clusters of more and more nodes; it is no matter of many seeds.
fn measure_capacity(arguments: &Arguments) -> std::io::Result<bool> {
    let nodes: Vec<u64> = capacity::NODES
        .into_iter()
        .filter(|nodes| *nodes <= arguments.nodes_max)
        .collect();
    let sizes = capacity::Sizes::default();
    let seed = Seed(arguments.first_seed);
    capacity::report(seed, &nodes, &sizes, &mut std::io::stdout().lock())
}

/// Whether no seed has failed.
fn run_all(arguments: &Arguments, scenarios: &[Arc<dyn Scenario>]) -> std::io::Result<bool> {
    let cores = available_parallelism().map_or(1, NonZero::get);
    let settings = Settings {
        seeds: arguments.seeds,
        first_seed: arguments.first_seed,
        threads: if arguments.trace {
            1
        } else {
            arguments.threads.map_or(cores, NonZero::get)
        },
        keep_faults: arguments
            .keep_faults
            .as_ref()
            .and_then(|faults| faults.places().map(<[usize]>::to_vec)),
        is_twice: arguments.twice,
        is_shortened: !arguments.no_shrink,
        failures_max: arguments.failures_max,
        trace: trace::Settings {
            is_printed: arguments.trace,
            ..trace::Settings::default()
        },
    };
    let mut out = std::io::stdout().lock();
    let mut is_fine = true;
    for scenario in scenarios {
        writeln!(out, "{}: {}", scenario.name(), scenario.summary())?;
        let summary = runner::run(&**scenario, &settings, |so_far| {
            eprintln!(
                "{}: {} of {} seeds, {} failed",
                scenario.name(),
                so_far.seeds,
                settings.seeds,
                so_far.failures.len()
            );
        });
        for failure in &summary.failures {
            write!(out, "{}", failure.describe())?;
        }
        writeln!(out, "{}: {}", scenario.name(), counts(&summary))?;
        is_fine &= summary.failures.is_empty();
    }
    Ok(is_fine)
}

fn counts(summary: &Summary) -> String {
    format!(
        "{} seeds, {} failed; {} operations ({} with unknown outcome), {} faults, {} events in {} simulated seconds; {} \
         keys undecided",
        summary.seeds,
        summary.failures.len(),
        summary.operations,
        summary.operations_unknown,
        summary.faults,
        summary.events,
        summary.simulated.as_secs(),
        summary.undecided
    )
}
