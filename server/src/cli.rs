//! The command line: one file a command.

mod ask;
mod backup;
mod cancel;
mod completions;
mod config;
mod credentials;
mod data_place;
mod demo_cluster;
mod dev;
mod doctor;
mod files;
mod health;
mod iam;
mod init;
mod keys;
mod kubernetes;
mod master_key;
mod nodes;
mod plan;
mod private_file;
mod reach;
mod repair;
mod root_credentials;
mod serve;
mod status;
mod storage;
mod table;
mod top;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::log::{self, LogFormat};

/// A self-hosted DynamoDB-compatible database.
#[derive(Debug, Parser)]
#[command(name = "stator", version, about, disable_help_subcommand = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run one node on this machine for development and tests
    Dev(dev::Options),
    /// Make the certificates, keys and configuration of a cluster, or of one more node
    Init(init::Options),
    /// Run one node of a cluster
    Serve(serve::Options),
    /// Check the configuration of a node
    Config(config::Options),
    /// Examine this machine, the node and the cluster, and say what to do
    Doctor(doctor::Options),
    /// Work out what a cluster of a given size bears, and how likely it loses data
    Plan(plan::Options),
    /// Ask a running node what it knows of the cluster
    Status(status::Options),
    /// Show the nodes of a running cluster, live
    Top(top::Options),
    /// Say by the exit status whether a node serves
    Health(health::Options),
    /// Wait until a new node has been taken in and has its share of the data
    Join(nodes::Join),
    /// Let a node give up its data to the others and leave the cluster
    Drain(nodes::Drain),
    /// Give up a node that is gone; its ranges get replicas on others
    Remove(nodes::Remove),
    /// Let a node leave in whose place another one has joined
    Replace(nodes::Replace),
    /// Change on how many nodes each item lies
    Replication(nodes::Replication),
    /// Compare all replicas and check all files now, and put right what is wrong
    Repair(repair::Options),
    /// Look at and replace the keys that a node's data is encrypted with
    Keys(keys::Options),
    /// Look at the tables of a running cluster
    Table(table::Options),
    /// Manage users, groups, roles, policies and access keys of a running cluster
    Iam(iam::Options),
    /// Run a cluster of nodes on this machine, to look at it
    DemoCluster(demo_cluster::Options),
    /// Do what pods of a cluster need done in Kubernetes
    Kubernetes(kubernetes::Options),
    /// End a backup that is being made, an export or a bulk operation
    Cancel(cancel::Options),
    /// Back up and restore a whole cluster; look at and check the backups in an archive
    Backup(backup::Options),
    /// Look at, check and mend the data of a node that is not running
    Storage(storage::Options),
    /// Print a script with which a shell completes this command line
    Completions(completions::Completions),
    /// Write manual pages
    Man(completions::Man),
}

/// Runs a command; what goes wrong is told on standard error in one line.
pub(crate) fn run(arguments: Arguments) -> ExitCode {
    match &arguments.command {
        // Its configuration says how.
        Command::Serve(_) => {}
        Command::Dev(options) => log::start(options.log_format),
        _ => log::start(LogFormat::Text),
    }
    let result = match arguments.command {
        Command::Dev(options) => dev::run(&options).map_err(|error| error.to_string()),
        Command::Init(options) => init::run(&options).map_err(|error| error.to_string()),
        Command::Serve(options) => serve::run(&options).map_err(|error| error.to_string()),
        Command::Config(options) => config::run(&options).map_err(|error| error.to_string()),
        Command::Doctor(options) => doctor::run(&options).map_err(|error| error.to_string()),
        Command::Plan(options) => plan::run(&options).map_err(|error| error.to_string()),
        Command::Status(options) => status::run(&options).map_err(|error| error.to_string()),
        Command::Top(options) => top::run(&options).map_err(|error| error.to_string()),
        Command::Health(options) => health::run(&options).map_err(|error| error.to_string()),
        Command::Join(options) => nodes::join(&options).map_err(|error| error.to_string()),
        Command::Drain(options) => nodes::drain(&options).map_err(|error| error.to_string()),
        Command::Remove(options) => nodes::remove(&options).map_err(|error| error.to_string()),
        Command::Replace(options) => nodes::replace(&options).map_err(|error| error.to_string()),
        Command::Replication(options) => nodes::replication(&options).map_err(|error| error.to_string()),
        Command::Repair(options) => repair::run(&options).map_err(|error| error.to_string()),
        Command::Keys(options) => keys::run(&options).map_err(|error| error.to_string()),
        Command::Table(options) => table::run(&options).map_err(|error| error.to_string()),
        Command::Iam(options) => iam::run(&options).map_err(|error| error.to_string()),
        Command::DemoCluster(options) => demo_cluster::run(&options).map_err(|error| error.to_string()),
        Command::Kubernetes(options) => kubernetes::run(&options).map_err(|error| error.to_string()),
        Command::Cancel(options) => cancel::run(&options).map_err(|error| error.to_string()),
        Command::Backup(options) => backup::run(&options).map_err(|error| error.to_string()),
        Command::Storage(options) => storage::run(&options).map_err(|error| error.to_string()),
        Command::Completions(options) => {
            completions::completions(&options).map_err(|error| error.to_string())
        }
        Command::Man(options) => completions::man(&options).map_err(|error| error.to_string()),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // There is nowhere left to report to when standard error is closed.
            drop(writeln!(std::io::stderr(), "stator: {error}"));
            ExitCode::FAILURE
        }
    }
}
