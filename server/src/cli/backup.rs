//! `stator backup`: looking at and checking backups, without a node, and having a running cluster make and restore those of the
//! whole cluster (`backup/cluster.rs`).
//!
//! Invariant: the archive is only read here. Backups of single tables are made and restored through the API.

mod cluster;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, Subcommand};
use serde::Serialize;
use stator_archive::{Archive, DirectoryStore, Manifest};

use super::data_place::{DataPlace, DataPlaceError};
use super::dev::BACKUPS;
use super::nodes::NodesError;
use super::reach::ReachError;
use crate::backup::{BackupRecord, archive_keys};
use crate::whole::record::WholeBackup;

/// Options of `stator backup`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    work: Work,
}

#[derive(Debug, Subcommand)]
enum Work {
    /// Make a backup of the whole cluster: all tables at one moment, and all users, groups, roles and policies
    Create(cluster::Create),
    /// Say how far backups of the whole cluster, and its restore, are
    Status(cluster::Status),
    /// Remove a backup of the whole cluster, or give one up that is being made
    Delete(cluster::Delete),
    /// Restore a backup of a whole cluster into this one
    Restore(cluster::Restore),
    /// Say what a backup of a whole cluster has in it
    Describe {
        /// Its id
        id: String,
        #[command(flatten)]
        place: Place,
        /// Print one object of JSON
        #[arg(long)]
        json: bool,
    },
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
    #[error("backup {id} in {} is none of a whole cluster: {detail}", path.display())]
    NotWhole {
        id: String,
        path: PathBuf,
        detail: String,
    },
    #[error(transparent)]
    Nodes(#[from] NodesError),
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("{0}")]
    Cluster(String),
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
        Work::Create(options) => cluster::create(options),
        Work::Status(options) => cluster::status(options),
        Work::Delete(options) => cluster::delete(options),
        Work::Restore(options) => cluster::restore(options),
        Work::Describe { id, place, json } => describe(&place.open()?, id, *json),
        Work::List { place, json } => list(&place.open()?, *json),
        Work::Verify { place, ids, json } => verify(&place.open()?, ids, *json),
    }
}

/// A backup as `list --json` prints it; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Listed {
    id: String,
    /// `table` or `cluster`; nothing if what is said of it cannot be read.
    kind: Option<&'static str>,
    table: Option<String>,
    name: Option<String>,
    /// Milliseconds since the Unix epoch.
    created_at_ms: Option<i64>,
    moment_ms: Option<i64>,
    items: u64,
    item_bytes: u64,
    copied_bytes: u64,
}

impl Listed {
    fn of(manifest: &Manifest) -> Self {
        let whole = WholeBackup::from_bytes(manifest.about()).ok();
        let table = BackupRecord::from_bytes(manifest.about()).ok();
        // Beside its items, a backup of a cluster has definitions and identities.
        let items = whole.as_ref().map_or(manifest.cells(), |whole| whole.items);
        let (kind, name, times) = match (whole, &table) {
            (Some(whole), _) => (
                Some("cluster"),
                Some(whole.name),
                Some((whole.created_at_ms, whole.moment_ms)),
            ),
            (None, Some(record)) => (
                Some("table"),
                Some(record.name.clone()),
                Some((record.created_at_ms, record.moment_ms)),
            ),
            (None, None) => (None, None, None),
        };
        Self {
            id: manifest.id().to_owned(),
            kind,
            table: table.map(|record| record.table().name.clone()),
            name,
            created_at_ms: times.map(|(created, _)| created),
            moment_ms: times.map(|(_, moment)| moment),
            items,
            item_bytes: manifest.cell_bytes(),
            copied_bytes: manifest.copied(),
        }
    }

    /// What it is of, if not of a table.
    fn what(&self) -> &'static str {
        match self.kind {
            Some("cluster") => "(the whole cluster)",
            _ => "?",
        }
    }
}

/// What `describe --json` prints; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Described {
    id: String,
    name: String,
    /// Milliseconds since the Unix epoch.
    created_at_ms: i64,
    moment_ms: i64,
    identities: u64,
    items: u64,
    item_bytes: u64,
    copied_bytes: u64,
    left_out: Vec<String>,
    tables: Vec<DescribedTable>,
}

#[derive(Debug, Serialize)]
struct DescribedTable {
    table: String,
    items: u64,
    item_bytes: u64,
}

fn describe(opened: &Opened, id: &str, json: bool) -> Result<(), BackupCommandError> {
    let manifest = find(&opened.archive, id).map_err(|error| opened.failed(error))?;
    let record = WholeBackup::from_bytes(manifest.about());
    let record = record.map_err(|detail| BackupCommandError::NotWhole {
        id: id.to_owned(),
        path: opened.path.clone(),
        detail,
    })?;
    let table = |table: &crate::whole::record::WholeTable| DescribedTable {
        table: table.name.clone(),
        items: table.items,
        item_bytes: table.size,
    };
    let mut tables: Vec<_> = record.tables.iter().map(table).collect();
    tables.sort_by(|one, two| one.table.cmp(&two.table));
    let described = Described {
        id: record.id,
        name: record.name,
        created_at_ms: record.created_at_ms,
        moment_ms: record.moment_ms,
        identities: record.identities,
        items: record.items,
        item_bytes: record.size,
        copied_bytes: manifest.copied(),
        left_out: record.left_out,
        tables,
    };
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, &described).map_err(io::Error::other)?;
        writeln!(out)?;
        return Ok(out.flush()?);
    }
    writeln!(
        out,
        "{}  {}  {} tables, {} identities, {} items, {} bytes",
        described.id,
        described.name,
        described.tables.len(),
        described.identities,
        described.items,
        described.item_bytes
    )?;
    for table in &described.tables {
        writeln!(
            out,
            "{}  {} items, {} bytes",
            table.table, table.items, table.item_bytes
        )?;
    }
    for name in &described.left_out {
        writeln!(out, "{name}  left out: it was being restored or imported")?;
    }
    Ok(out.flush()?)
}

fn list(opened: &Opened, json: bool) -> Result<(), BackupCommandError> {
    let mut out = io::stdout().lock();
    for id in opened.archive.backups().map_err(|error| opened.failed(error))? {
        let found = opened.archive.backup(&id).map_err(|error| opened.failed(error))?;
        // It may have been removed meanwhile.
        let Some(manifest) = found else { continue };
        let listed = Listed::of(&manifest);
        if json {
            serde_json::to_writer(&mut out, &listed).map_err(io::Error::other)?;
            writeln!(out)?;
        } else {
            writeln!(
                out,
                "{}  {}  {}  {} items, {} bytes, {} of them written for it",
                listed.id,
                listed.table.as_deref().unwrap_or(listed.what()),
                listed.name.as_deref().unwrap_or("?"),
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
    archive.verify(&find(archive, id)?)
}

fn find(archive: &Archive, id: &str) -> Result<Manifest, stator_archive::Error> {
    let missing = || stator_archive::Error::Missing {
        name: format!("backup {id}"),
    };
    archive.backup(id)?.ok_or_else(missing)
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
