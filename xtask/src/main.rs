//! `cargo xtask`: the chores of the workspace, one command each.
//!
//! Nothing here depends on a crate of ours, so that a chore runs while they do not compile.

mod audit;
mod bench;
mod cargo;
mod chaos;
mod clock;
mod dataset;
mod faults;
mod kcl;
mod kill;
mod metrics;
mod openapi;
mod rot;
mod scale;
mod sim;
mod test;
mod tidy;
mod upgrade;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Any failure of a chore itself; what a chore finds is not an error but its result.
type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Chores of the Stator workspace")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Break rules of the cluster on purpose, and see whether the simulation notices each.
    Audit(audit::Arguments),
    /// Measure what Stator costs, beside a peer on the same machine in the same minute.
    Bench(bench::Arguments),
    /// Break nodes, links, disks and clocks of a real cluster by a plan, under load, and check what its clients saw.
    Chaos(chaos::Arguments),
    /// Kill and freeze nodes of real clusters under load, and check what their clients saw.
    Faults(faults::Arguments),
    /// Build the consumer with the Kinesis Client Library, and test that it reads a stream to its end.
    Kcl(kcl::Arguments),
    /// Kill a writing engine again and again, and look for what it had acknowledged.
    Kill(kill::Arguments),
    /// Make openapi/dynamodb.json anew from AWS's service model and docs/compatibility.md, or check that it is up to date.
    Openapi(openapi::Arguments),
    /// Make docs/metrics.md anew of what a node tells.
    Metrics,
    /// Measure what large clusters cost and do: placement, idle ranges, tables, capacity.
    Scale(scale::Arguments),
    /// Change bits of a cluster's files, and see that all is noticed and put right.
    Rot(rot::Arguments),
    /// Simulate clusters under many seeds, with faults, and check what their clients saw.
    Sim(sim::Arguments),
    /// Run every test: those of the crates, and the client tests against a server.
    Test(test::Arguments),
    /// Bring a cluster from the program of another commit to this one and back, under load.
    Upgrade(upgrade::Arguments),
    /// Check the rules of the house that neither rustfmt nor clippy know.
    Tidy {
        /// Lower the numbers in xtask/ratchet.toml to what the code has become, then check. Never raises one.
        #[arg(long)]
        update_ratchet: bool,
    },
}

fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Audit(arguments) => audit::run(&arguments),
        Command::Bench(arguments) => bench::run(&arguments),
        Command::Chaos(arguments) => chaos::run(&arguments),
        Command::Faults(arguments) => faults::run(&arguments),
        Command::Rot(arguments) => rot::run(&arguments),
        Command::Kcl(arguments) => kcl::run(&arguments),
        Command::Kill(arguments) => kill::run(&arguments),
        Command::Metrics => metrics::run(),
        Command::Openapi(arguments) => openapi::run(&arguments),
        Command::Scale(arguments) => scale::run(&arguments),
        Command::Sim(arguments) => sim::run(&arguments),
        Command::Test(arguments) => test::run(&arguments),
        Command::Upgrade(arguments) => upgrade::run(&arguments),
        Command::Tidy { update_ratchet } => tidy::run(update_ratchet),
    };
    match outcome {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error}");
            ExitCode::from(2)
        }
    }
}
