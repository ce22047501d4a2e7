//! Everything at once, for half a minute: nodes and links that break by a plan, and clients whose histories must be true.
//!
//! `cargo xtask chaos --minutes M --seed S --nodes N` runs it for longer: `STATOR_CHAOS_MINUTES`, `STATOR_CHAOS_SEED`,
//! `STATOR_CHAOS_NODES`.

#![expect(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

use std::time::Duration;

use compat_tests::chaos::{Settings, run};
use compat_tests::python;

/// How long faults begin in a short run, and in each round of a long one.
const SHORT: Duration = Duration::from_secs(25);
const ROUND: Duration = Duration::from_secs(60);
/// What a short run breaks; a long one draws another seed each time unless it is given.
const SHORT_SEED: u64 = 3;
/// How long clients may wait for the next answered write, also when all nodes are killed and started again.
const GAP_MAX: Duration = Duration::from_secs(30);

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap())
}

fn any_seed() -> u64 {
    let time = compat_tests::time_of_day().duration_since(std::time::UNIX_EPOCH);
    u64::from(time.unwrap().subsec_nanos())
}

#[test]
fn what_clients_are_told_is_true_whatever_breaks() {
    let minutes = number("STATOR_CHAOS_MINUTES");
    let usual = minutes.map_or(SHORT_SEED, |_| any_seed());
    let settings = Settings {
        seed: number("STATOR_CHAOS_SEED").unwrap_or(usual),
        nodes: u16::try_from(number("STATOR_CHAOS_NODES").unwrap_or(3)).unwrap(),
        rounds: minutes.unwrap_or(1).max(1),
        length: minutes.map_or(SHORT, |_| ROUND),
        keeps_what_failed: minutes.is_some(),
        python: python(),
    };
    if settings.python.is_none() {
        eprintln!(
            "chaos: no Python with boto3 (`cargo xtask test` makes one, STATOR_PYTHON names one): its clients are left out"
        );
    }
    let figures = run(&settings)
        .inspect_err(|error| eprintln!("chaos: {error}"))
        .unwrap();
    for failure in figures.failures.iter().take(20) {
        eprintln!("gave up {failure}");
    }
    eprintln!(
        "chaos: seed {}, {} nodes\n{figures}",
        settings.seed, settings.nodes
    );
    assert!(figures.writes > 100 && figures.bank.made > 20, "hardly a load");
    assert!(!figures.faults.is_empty(), "nothing was broken");
    assert!(
        figures.gap.length < GAP_MAX,
        "no write was answered for {}",
        figures.gap
    );
}
