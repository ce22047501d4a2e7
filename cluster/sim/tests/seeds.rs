//! Seeds that have failed once do not fail again: every line of every file in `seeds/`.

use std::fs;
use std::path::Path;

use stator_sim::kept::parse;
use stator_sim::random::Seed;
use stator_sim::scenario::{all, run_seed};
use stator_sim::trace;

#[test]
fn no_kept_seed_fails_and_every_scenario_has_some() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds");
    let mut failures = Vec::new();
    let scenarios = all();
    for scenario in &scenarios {
        let file = folder.join(format!("{}.txt", scenario.name()));
        let text = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let kept = parse(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        assert!(!kept.is_empty(), "{}", file.display());
        for one in kept {
            let trace = trace::Settings::default();
            let report = run_seed(&**scenario, Seed(one.seed), one.faults.places(), trace);
            if let Some(reason) = report.ended.failure {
                let name = scenario.name();
                failures.push(format!("{name} {}, kept for {}: {reason}", one.seed, one.why));
            }
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
    // A file of no scenario would be read by nobody.
    assert_eq!(fs::read_dir(folder).unwrap().count(), scenarios.len());
}
