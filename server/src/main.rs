//! The `stator` binary: a self-hosted DynamoDB-compatible database.
//!
//! The composition root. Disks, clocks and random sources are opened here and in `cli`, and passed down as arguments.

mod archivist;
mod arn;
mod aside;
mod audit;
mod auth;
mod authorize;
mod backup;
mod catalog;
mod cli;
mod clock;
mod clock_watch;
mod command;
mod compare_and_set;
mod config;
mod consistency;
mod constraint;
mod cut_walk;
mod derive;
mod desk;
mod disk;
#[cfg(feature = "fault-injection")]
mod fault_injection;
mod health;
mod history_reader;
mod http;
mod https;
mod identity;
mod keys;
mod limits;
mod log;
mod message;
mod metrics;
mod node;
mod object_store;
mod operation;
mod pace;
mod pruner;
mod random;
mod request_id;
mod steward;
mod sweeper;
mod throttle;
mod tls;
mod trace;
mod transfer;
mod trimmer;
mod upkeep;
mod whole;
mod wire;

use std::process::ExitCode;

use clap::Parser as _;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    cli::run(cli::Arguments::parse())
}
