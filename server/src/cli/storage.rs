//! `stator storage`: looking at, checking and mending the data of a node that is not running.

use std::io::{self, IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use stator_cluster::offline::{self, DumpOptions};
use stator_cluster::{Random, Secrets};

use super::data_place::{DataPlace, DataPlaceError};
use crate::clock::{Clock as _, SystemClock};
use crate::node;
use crate::random;

/// Options of `stator storage`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Read every byte and check it against everything that is said about it; changes nothing
    Verify {
        #[command(flatten)]
        place: DataPlace,
        /// Print the result as one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Print what a file says: `CURRENT`, a manifest, a log segment or an sstable
    Dump {
        #[command(flatten)]
        place: DataPlace,
        /// Name of the file
        file: String,
        /// Every entry, not only the figures
        #[arg(long)]
        entries: bool,
        /// The values too, in hexadecimal
        #[arg(long, requires = "entries")]
        values: bool,
    },
    /// Make a directory that opens again out of what can be read of it; what is damaged is kept aside
    Repair {
        #[command(flatten)]
        place: DataPlace,
        /// Do it; without this flag it is only said what would be looked at
        #[arg(long)]
        yes: bool,
    },
    /// Make a second directory with the same data, by hard links
    Checkpoint {
        #[command(flatten)]
        place: DataPlace,
        /// Where; must be empty or not exist, on the same file system
        to: PathBuf,
    },
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StorageError {
    #[error(transparent)]
    Place(#[from] DataPlaceError),
    #[error(transparent)]
    Storage(#[from] stator_cluster::Error),
    #[error("{problems} problems in {}; `stator storage repair` saves what can be read", path.display())]
    Damaged { problems: usize, path: PathBuf },
    #[error(
        "repair writes into {}; copy the directory first if there is room, then add --yes", path.display()
    )]
    NotConfirmed { path: PathBuf },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// A directory that is worked on, and what its files are encrypted with.
struct Opened {
    /// As it was named.
    data_dir: PathBuf,
    /// Where the engine's files lie.
    data: PathBuf,
    secrets: Secrets,
}

fn open(place: &DataPlace) -> Result<Opened, StorageError> {
    let found = place.find()?;
    Ok(Opened {
        data: node::data_of(&found.data_dir),
        data_dir: found.data_dir,
        secrets: Secrets {
            master_keys: found.master_keys,
            random: Random::new(random::fill),
            now_ms: u64::try_from(SystemClock.now_ms()).unwrap_or_default(),
        },
    })
}

/// Runs one of the commands.
pub(crate) fn run(options: &Options) -> Result<(), StorageError> {
    match &options.work {
        Work::Verify { place, json } => verify(place, *json),
        Work::Dump {
            place,
            file,
            entries,
            values,
        } => {
            let options = DumpOptions {
                entries: *entries,
                values: *values,
            };
            let mut out = io::stdout().lock();
            let Opened { data, secrets, .. } = open(place)?;
            offline::dump(&data, secrets, file, options, &mut out)?;
            Ok(out.flush()?)
        }
        Work::Repair { place, yes } => repair(place, *yes),
        Work::Checkpoint { place, to } => {
            let Opened { data, secrets, .. } = open(place)?;
            let made = offline::checkpoint(&data, secrets, to)?;
            let mut out = io::stdout().lock();
            writeln!(
                out,
                "{} sstables, {} bytes, up to sequence {}, in {}",
                made.sstables,
                made.bytes,
                made.sequence,
                to.display()
            )?;
            Ok(())
        }
    }
}

/// A bar on a terminal, nothing elsewhere.
fn bar(what: &'static str) -> ProgressBar {
    if !io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg} [{wide_bar}] {percent}% {eta}") {
        bar.set_style(style);
    }
    bar
}

fn shown(bar: &ProgressBar) -> impl FnMut(u64, u64) + '_ {
    |done, total| {
        bar.set_length(total);
        bar.set_position(done);
    }
}

/// What `verify --json` prints; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Verified<'a> {
    data_dir: &'a Path,
    sstables: u64,
    entries: u64,
    log_segments: u64,
    bytes: u64,
    unneeded: &'a [String],
    problems: Vec<String>,
}

fn verify(place: &DataPlace, json: bool) -> Result<(), StorageError> {
    let bar = bar("verifying");
    let Opened {
        data_dir,
        data,
        secrets,
    } = open(place)?;
    let found = offline::verify(&data, secrets, &mut shown(&bar))?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    let problems: Vec<String> = found.problems.iter().map(ToString::to_string).collect();
    let count = problems.len();
    if json {
        let verified = Verified {
            data_dir: &data_dir,
            sstables: found.sstables,
            entries: found.entries,
            log_segments: found.log_segments,
            bytes: found.bytes,
            unneeded: &found.unneeded,
            problems,
        };
        serde_json::to_writer(&mut out, &verified).map_err(io::Error::other)?;
        writeln!(out)?;
    } else {
        for problem in &problems {
            writeln!(out, "{problem}")?;
        }
        for name in &found.unneeded {
            writeln!(out, "{name} is left over from a crash; the next start deletes it")?;
        }
        writeln!(
            out,
            "{} sstables with {} entries, {} log segments, {} bytes: {count} problems",
            found.sstables, found.entries, found.log_segments, found.bytes
        )?;
    }
    if count > 0 {
        return Err(StorageError::Damaged {
            problems: count,
            path: data_dir,
        });
    }
    Ok(())
}

fn repair(place: &DataPlace, yes: bool) -> Result<(), StorageError> {
    let Opened {
        data_dir,
        data,
        secrets,
    } = open(place)?;
    if !yes {
        return Err(StorageError::NotConfirmed { path: data_dir });
    }
    let bar = bar("repairing");
    let done = offline::repair(&data, secrets, &mut shown(&bar))?;
    bar.finish_and_clear();
    let mut out = io::stdout().lock();
    if done.is_nothing() {
        writeln!(out, "nothing to repair: {} entries", done.entries)?;
        return Ok(());
    }
    for lost in &done.lost {
        writeln!(out, "lost: {lost}")?;
    }
    for name in &done.keyspaces_renamed {
        writeln!(out, "a keyspace whose name was lost is now {name}")?;
    }
    for name in &done.kept {
        writeln!(out, "kept aside: {name}")?;
    }
    writeln!(
        out,
        "{}{} sstables written anew, {} lost; {} entries are there",
        if done.manifest_rebuilt {
            "manifest made anew; "
        } else {
            ""
        },
        done.sstables_rewritten,
        done.sstables_lost,
        done.entries
    )?;
    Ok(())
}
