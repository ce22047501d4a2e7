//! `stator backup`: looking at and checking backups, without a node: what is in an archive is all that is asked.
//!
//! Invariant: the archive is only read. Not here: making and restoring backups, which is asked of a cluster through the API.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use stator_archive::{Archive, DirectoryStore, Manifest};

use super::data_place::{DataPlace, DataPlaceError};
use super::dev::BACKUPS;
use crate::backup::{BackupRecord, archive_keys};

/// Options of `stator backup`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Say which backups an archive has
    List {
        #[command(flatten)]
        place: Place,
        /// Print each as one line of JSON
        #[arg(long)]
        json: bool,
    },
    /// Read all of some backups and check it against everything that is said about it; restores nothing
    Verify {
        #[command(flatten)]
        place: Place,
        /// Their ids, the ends of their ARNs; all of the archive's if there are none
        ids: Vec<String>,
        /// Print each result as one line of JSON
        #[arg(long)]
        json: bool,
    },
}

/// Where the archive lies and what it is encrypted with.
#[derive(Debug, Args)]
struct Place {
    /// The archive; by default that of the data directory of a development node, or of the configuration
    #[arg(long, value_name = "DIRECTORY")]
    archive: Option<PathBuf>,
    #[command(flatten)]
    data: DataPlace,
}

/// Why a command did not do its work.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BackupCommandError {
    #[error(transparent)]
    Place(#[from] DataPlaceError),
    #[error("{} names no archive: give it with --archive, or in [backup]", path.display())]
    NoArchive { path: PathBuf },
    #[error("{}: {source}", path.display())]
    Archive {
        path: PathBuf,
        source: stator_archive::Error,
    },
    #[error("{count} of {all} backups in {} cannot be restored", path.display())]
    Damaged { count: usize, all: usize, path: PathBuf },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// An archive that is looked at.
struct Opened {
    path: PathBuf,
    archive: Archive,
}

impl Opened {
    fn failed(&self, source: stator_archive::Error) -> BackupCommandError {
        let path = self.path.clone();
        BackupCommandError::Archive { path, source }
    }
}

impl Place {
    fn open(&self) -> Result<Opened, BackupCommandError> {
        let found = self.data.find()?;
        let own = match found.config {
            Some(config) => config.backup.map(|settings| settings.directory),
            None => Some(found.data_dir.join(BACKUPS)),
        };
        let path = self.archive.clone().or(own);
        let path = path.ok_or_else(|| BackupCommandError::NoArchive {
            path: self.data.config.clone().unwrap_or_default(),
        })?;
        let store = Arc::new(DirectoryStore::new(&path));
        match Archive::open_to_read(store, &archive_keys(&found.master_keys)) {
            Ok(archive) => Ok(Opened { path, archive }),
            Err(source) => Err(BackupCommandError::Archive { path, source }),
        }
    }
}

/// Runs one of the commands.
pub(crate) fn run(options: &Options) -> Result<(), BackupCommandError> {
    match &options.work {
        Work::List { place, json } => list(&place.open()?, *json),
        Work::Verify { place, ids, json } => verify(&place.open()?, ids, *json),
    }
}

/// A backup as `list --json` prints it; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Listed<'a> {
    id: &'a str,
    table: Option<&'a str>,
    name: Option<&'a str>,
    /// Milliseconds since the Unix epoch.
    created_at_ms: Option<i64>,
    moment_ms: Option<i64>,
    items: u64,
    item_bytes: u64,
    copied_bytes: u64,
}

fn list(opened: &Opened, json: bool) -> Result<(), BackupCommandError> {
    let mut out = io::stdout().lock();
    for id in opened.archive.backups().map_err(|error| opened.failed(error))? {
        let found = opened.archive.backup(&id).map_err(|error| opened.failed(error))?;
        // It may have been removed meanwhile.
        let Some(manifest) = found else { continue };
        let record = BackupRecord::from_bytes(manifest.about()).ok();
        let listed = Listed {
            id: manifest.id(),
            table: record.as_ref().map(|record| record.table().name.as_str()),
            name: record.as_ref().map(|record| record.name.as_str()),
            created_at_ms: record.as_ref().map(|record| record.created_at_ms),
            moment_ms: record.as_ref().map(|record| record.moment_ms),
            items: manifest.cells(),
            item_bytes: manifest.cell_bytes(),
            copied_bytes: manifest.copied(),
        };
        if json {
            serde_json::to_writer(&mut out, &listed).map_err(io::Error::other)?;
            writeln!(out)?;
        } else {
            writeln!(
                out,
                "{}  {}  {}  {} items, {} bytes, {} of them written for it",
                listed.id,
                listed.table.unwrap_or("?"),
                listed.name.unwrap_or("?"),
                listed.items,
                listed.item_bytes,
                listed.copied_bytes
            )?;
        }
    }
    Ok(out.flush()?)
}

/// What `verify --json` prints; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Checked<'a> {
    id: &'a str,
    items: u64,
    files: u64,
    bytes: u64,
    /// What is wrong with it.
    problem: Option<String>,
}

fn verify(opened: &Opened, ids: &[String], json: bool) -> Result<(), BackupCommandError> {
    let all = match ids {
        [] => opened.archive.backups().map_err(|error| opened.failed(error))?,
        ids => ids.to_vec(),
    };
    let mut out = io::stdout().lock();
    let mut count = 0;
    for id in &all {
        let (verified, problem) = match check(&opened.archive, id) {
            Ok(verified) => (verified, None),
            Err(error) => (stator_archive::Verified::default(), Some(error.to_string())),
        };
        count += usize::from(problem.is_some());
        let checked = Checked {
            id,
            items: verified.cells,
            files: verified.objects,
            bytes: verified.bytes,
            problem,
        };
        if json {
            serde_json::to_writer(&mut out, &checked).map_err(io::Error::other)?;
            writeln!(out)?;
        } else if let Some(problem) = &checked.problem {
            writeln!(out, "{id}: {problem}")?;
        } else {
            let Checked {
                items, files, bytes, ..
            } = checked;
            writeln!(
                out,
                "{id}: {items} items in {files} files of {bytes} bytes, all as written"
            )?;
        }
    }
    out.flush()?;
    damaged(count, all.len(), &opened.path)
}

fn check(archive: &Archive, id: &str) -> Result<stator_archive::Verified, stator_archive::Error> {
    let missing = || stator_archive::Error::Missing {
        name: format!("backup {id}"),
    };
    let manifest: Manifest = archive.backup(id)?.ok_or_else(missing)?;
    archive.verify(&manifest)
}

fn damaged(count: usize, all: usize, path: &Path) -> Result<(), BackupCommandError> {
    if count == 0 {
        return Ok(());
    }
    Err(BackupCommandError::Damaged {
        count,
        all,
        path: path.to_owned(),
    })
}
