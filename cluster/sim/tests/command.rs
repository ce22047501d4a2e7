//! The command `stator-sim`: what it prints, and what it ends with.

use std::process::{Command, Output};

fn sim(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stator-sim"));
    let output = command.args(arguments).output();
    output.unwrap_or_else(|error| unreachable!("{error}"))
}

#[test]
fn seeds_that_do_not_fail_end_with_0_and_are_counted() {
    let output = sim(&[
        "--scenario",
        "register",
        "--seeds",
        "2",
        "--first-seed",
        "5",
        "--twice",
    ]);
    let text = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{text}");
    assert!(text.contains("register: 2 seeds, 0 failed; "), "{text}");
}

#[test]
fn the_trace_of_a_seed_can_be_read_and_its_faults_can_be_chosen() {
    let faults = |keep: &str| {
        let output = sim(&[
            "--scenario",
            "register",
            "--seeds",
            "1",
            "--keep-faults",
            keep,
            "--trace",
        ]);
        let trace = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(trace.contains("client 1 begins on node"), "{trace}");
        trace.lines().filter(|line| line.contains(" begins: ")).count()
    };
    assert_eq!((faults("none"), faults("0,1")), (0, 2));
}

#[test]
fn what_makes_no_sense_ends_with_2() {
    let output = sim(&["--scenario", "nothing"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is no scenario `nothing`"));
    assert_eq!(sim(&["--seeds", "0"]).status.code(), Some(2));
    assert_eq!(sim(&["--keep-faults", "one"]).status.code(), Some(2));
}
