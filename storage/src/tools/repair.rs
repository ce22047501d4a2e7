//! `repair`: makes a directory that opens again out of what can be read of it.
//!
//! Invariant: what can be read is not lost; what cannot is named. Files that were replaced or cannot be read stay, under
//! a name of their own. The new manifest is put in force last, so that a repair that breaks off can be begun again.
//!
//! With a readable manifest each damaged sstable is written anew, without what is lost of it, in its place. Without one,
//! every sstable of a keyspace is merged into a new level 1: where files overlap, only their entries say which is newer.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;

use super::Progress;
use super::log::{self, Trouble};
use super::offline::Offline;
use crate::cache::Caching;
use crate::entry::{KeyspaceId, SequenceNumber};
use crate::environment::Environment;
use crate::error::{Error, Result};
use crate::files::{FileName, read_file, replace_file};
use crate::header::HEADER_BYTES;
use crate::iter::Direction;
use crate::iter::merge::MergeCursor;
use crate::settings::Settings;
use crate::sstable::{Sstable, SstableMeta, SstableWriter};
use crate::version::edit::{self, Change};
use crate::version::manifest::{Manifest, State};
use crate::version::{KeyspaceOptions, KeyspaceVersion};

/// What files that are kept for a closer look have behind their names.
const KEPT: &str = "damaged";

/// What a repair has done.
#[derive(Debug, Default)]
pub struct Repair {
    /// Whether the manifest had to be made anew from the sstables.
    pub manifest_rebuilt: bool,
    /// Sstables that were written anew without what could not be read of them.
    pub sstables_rewritten: u64,
    /// Sstables of which nothing could be read.
    pub sstables_lost: u64,
    /// Entries that are there again.
    pub entries: u64,
    /// Keyspaces of which only the log knew, by the names they were given.
    pub keyspaces_renamed: Vec<String>,
    /// What could not be read. Empty if nothing was lost.
    pub lost: Vec<Error>,
    /// Whether the log was cut where it could not be read on.
    pub log_cut: bool,
    /// Files that were put aside, by their new names.
    pub kept: Vec<String>,
}

impl Repair {
    /// Whether there was nothing to do.
    pub fn is_nothing(&self) -> bool {
        !self.manifest_rebuilt && !self.log_cut && self.sstables_rewritten == 0 && self.sstables_lost == 0
    }
}

/// Repairs the directory of an engine that is not running.
///
/// # Errors
///
/// [`Error::Locked`] if it is running, [`Error::WrongMasterKey`], [`Error::UnsupportedFormat`], [`Error::Io`], and
/// [`Error::Corruption`] if the key ring is lost: without it nothing can be read.
pub fn repair(
    environment: Environment,
    directory: &Path,
    settings: &Settings,
    progress: Progress<'_>,
) -> Result<Repair> {
    settings.validate()?;
    let offline = Offline::open(environment, directory)?;
    let mut work = Work {
        settings,
        next_file: offline.files()?.into_iter().map(number).max().unwrap_or(0) + 1,
        offline: &offline,
        done: Repair::default(),
        aside: Vec::new(),
    };
    let state = match Manifest::read(offline.vfs(), &offline.context.keys, directory) {
        Ok(Some(state)) => {
            work.cut_log(&state)?;
            work.replace_damaged(state, progress)?
        }
        Ok(None) => work.rebuild(progress)?,
        Err(error @ (Error::UnsupportedFormat { .. } | Error::Io { .. })) => return Err(error),
        Err(error) => {
            work.done.lost.push(error);
            work.rebuild(progress)?
        }
    };
    work.put_in_force(state)
}

fn number(file: FileName) -> u64 {
    match file {
        FileName::Log(_) => 0,
        FileName::Sstable(number) | FileName::Manifest(number) => number,
    }
}

struct Work<'a> {
    settings: &'a Settings,
    offline: &'a Offline,
    next_file: u64,
    done: Repair,
    /// Files to be renamed when the new manifest is in force.
    aside: Vec<FileName>,
}

impl Work<'_> {
    fn create(&mut self, keyspace: &Bytes) -> Result<SstableWriter> {
        let number = self.next_file;
        self.next_file += 1;
        let compression = self.settings.compression;
        SstableWriter::create(
            &self.offline.context,
            number,
            self.settings,
            compression,
            keyspace.clone(),
        )
    }

    /// Checks every sstable that the manifest names and writes the damaged ones anew, each in its place.
    fn replace_damaged(&mut self, mut state: State, progress: Progress<'_>) -> Result<State> {
        let total: u64 = state
            .keyspaces
            .values()
            .flat_map(|keyspace| keyspace.levels.iter().flat_map(BTreeMap::values))
            .map(|meta| meta.bytes)
            .sum();
        let mut read = 0;
        for keyspace in state.keyspaces.values_mut() {
            for level in &mut keyspace.levels {
                let numbers: Vec<u64> = level.keys().copied().collect();
                for number in numbers {
                    let bytes = level.get(&number).map_or(0, |meta| meta.bytes);
                    let (replaced, meta) = self.replace_if_damaged(number)?;
                    if replaced {
                        level.remove(&number);
                        level.extend(meta.map(|meta| (meta.number, meta)));
                    }
                    read += bytes;
                    progress(read, total);
                }
            }
        }
        Ok(state)
    }

    /// Whether sstable `number` is damaged, and what replaces it if something is left.
    fn replace_if_damaged(&mut self, number: u64) -> Result<(bool, Option<SstableMeta>)> {
        let sstable = match Sstable::open_file(&self.offline.context, number) {
            Ok(sstable) => Arc::new(sstable),
            Err(error @ Error::Corruption { .. }) => {
                self.lose(number, error);
                return Ok((true, None));
            }
            Err(error) => return Err(error),
        };
        if sstable.check(&mut |_| ()).is_empty() {
            self.done.entries += sstable.meta.entries;
            return Ok((false, None));
        }
        Ok((true, self.rewrite(&sstable)?))
    }

    fn lose(&mut self, number: u64, error: Error) {
        self.done.sstables_lost += 1;
        self.done.lost.push(error);
        self.aside.push(FileName::Sstable(number));
    }

    /// Writes what can be read of a damaged sstable; `None` if that is nothing.
    fn rewrite(&mut self, sstable: &Arc<Sstable>) -> Result<Option<SstableMeta>> {
        let keyspace = sstable
            .properties()
            .map(|properties| properties.keyspace)
            .unwrap_or_default();
        let mut writer: Option<SstableWriter> = None;
        let mut last: Option<(Vec<u8>, SequenceNumber)> = None;
        let lost = sstable.salvage(&mut |key, sequence, kind, value| {
            let place = (key.to_vec(), sequence);
            // Out of its order it cannot be told what it is.
            if last.as_ref().is_some_and(|last| !comes_after(last, &place)) {
                return Ok(());
            }
            last = Some(place);
            let writer = match &mut writer {
                Some(writer) => writer,
                none => none.insert(self.create(&keyspace)?),
            };
            writer.push(key, sequence, kind, value)
        })?;
        let meta = writer.map(SstableWriter::finish).transpose()?;
        self.done.sstables_rewritten += u64::from(meta.is_some());
        self.done.sstables_lost += u64::from(meta.is_none());
        self.done.entries += meta.as_ref().map_or(0, |meta| meta.entries);
        self.done.lost.extend(lost);
        self.aside.push(FileName::Sstable(sstable.meta.number));
        Ok(meta)
    }

    /// Makes a state out of the sstables and the log alone.
    fn rebuild(&mut self, progress: Progress<'_>) -> Result<State> {
        self.done.manifest_rebuilt = true;
        self.cut_log(&log::state_of_itself(self.offline)?)?;
        let mut state = State::default();
        let mut sources: BTreeMap<KeyspaceId, (Bytes, Vec<Arc<Sstable>>)> = BTreeMap::new();
        for file in self.offline.files()? {
            let FileName::Sstable(number) = file else { continue };
            let Some(sstable) = self.source(number)? else {
                continue;
            };
            let described = sstable.properties()?.keyspace;
            let created = edit::decode(&described).unwrap_or_default();
            let Some(&Change::KeyspaceCreated { id, .. }) = created.first() else {
                let path = self.offline.path(file);
                self.lose(
                    number,
                    Error::corruption(&path, 0, "it does not say of which keyspace it is"),
                );
                continue;
            };
            state.last_sequence = state.last_sequence.max(sstable.meta.largest_sequence);
            if !state.keyspaces.contains_key(&id) {
                state.apply(&created).map_err(|detail| Error::Invalid {
                    what: "version edit",
                    detail,
                })?;
            }
            self.aside.push(file);
            sources
                .entry(id)
                .or_insert_with(|| (described, Vec::new()))
                .1
                .push(sstable);
        }
        let total = sources.values().flat_map(|(_, sstables)| sstables);
        let total = total.map(|sstable| sstable.meta.entries).sum();
        let mut read = 0;
        for (id, (described, sstables)) in sources {
            let metas = self.merge(&described, sstables, &mut read, total, progress)?;
            for meta in metas {
                self.done.entries += meta.entries;
                if let Some(keyspace) = state.keyspaces.get_mut(&id) {
                    keyspace.levels[1].insert(meta.number, meta);
                }
            }
        }
        if let Some((first, own_next)) = log::beginning(self.offline)? {
            state.log_start = first;
            // What was logged before is in the sstables, or lost.
            state.last_sequence = state.last_sequence.max(own_next.saturating_sub(1));
        }
        self.name_unknown_keyspaces(&mut state)?;
        Ok(state)
    }

    /// Cuts the log where a start could not read on. What is cut off stays, under other names.
    fn cut_log(&mut self, state: &State) -> Result<()> {
        // What lies before a cut may be bad in another way; each one comes before the last.
        while let Some(trouble) = log::trouble(self.offline, state)? {
            self.done.log_cut = true;
            match trouble {
                Trouble::Bad(number, offset, error) => {
                    self.done.lost.push(error);
                    self.cut_log_at(number, offset)?;
                }
                Trouble::Missing(error) => {
                    // After a cut at its beginning that is no news.
                    if self.done.lost.is_empty() {
                        self.done.lost.push(error);
                    }
                    break;
                }
            }
        }
        Ok(())
    }

    /// Cuts a segment at an offset, and puts aside those behind it.
    fn cut_log_at(&mut self, number: u64, offset: u64) -> Result<()> {
        let (vfs, directory) = (self.offline.vfs(), self.offline.directory());
        for file in self.offline.files()? {
            let FileName::Log(later) = file else { continue };
            let path = self.offline.path(file);
            let kept = format!("{}.{KEPT}", file.name());
            if later > number || (later == number && offset <= HEADER_BYTES as u64) {
                vfs.rename(&path, &directory.join(&kept))
                    .map_err(Error::io("rename", &path))?;
            } else if later == number {
                let bytes = read_file(vfs, &path)?;
                replace_file(vfs, &directory.join(&kept), &bytes)?;
                let file = vfs.open(&path).map_err(Error::io("open", &path))?;
                file.truncate(offset).map_err(Error::io("truncate", &path))?;
                file.sync_data().map_err(Error::io("sync", &path))?;
            } else {
                continue;
            }
            self.done.kept.push(kept);
        }
        vfs.sync_dir(directory).map_err(Error::io("sync", directory))
    }

    /// An sstable without damage: number `number`, or what was written of it.
    fn source(&mut self, number: u64) -> Result<Option<Arc<Sstable>>> {
        let (damaged, rewritten) = self.replace_if_damaged(number)?;
        let number = match (damaged, rewritten) {
            (false, _) => number,
            (true, Some(meta)) => meta.number,
            (true, None) => return Ok(None),
        };
        Sstable::open_file(&self.offline.context, number).map(|sstable| Some(Arc::new(sstable)))
    }

    fn merge(
        &mut self,
        keyspace: &Bytes,
        sstables: Vec<Arc<Sstable>>,
        read: &mut u64,
        total: u64,
        progress: Progress<'_>,
    ) -> Result<Vec<SstableMeta>> {
        let mut cursor = MergeCursor::new(Direction::Forward);
        for sstable in sstables {
            cursor.add_level(vec![sstable], Caching::Look);
        }
        cursor.seek(None)?;
        let mut finished = Vec::new();
        let mut writer: Option<SstableWriter> = None;
        let mut last: Option<(Vec<u8>, SequenceNumber)> = None;
        while let Some((key, sequence, kind)) = cursor.place() {
            let place = (key.to_vec(), sequence);
            // What a compaction had read and what it had written may both be there.
            if last.as_ref().is_none_or(|last| comes_after(last, &place)) {
                let full = writer.take_if(|writer| {
                    writer.bytes() >= self.settings.sstable_bytes && writer.last_key() != key
                });
                if let Some(writer) = full {
                    finished.push(writer.finish()?);
                }
                let writer = match &mut writer {
                    Some(writer) => writer,
                    none => none.insert(self.create(keyspace)?),
                };
                writer.push(key, sequence, kind, cursor.value())?;
                last = Some(place);
            }
            cursor.step()?;
            *read += 1;
            if read.is_multiple_of(1 << 12) {
                progress(*read, total);
            }
        }
        if let Some(writer) = writer {
            finished.push(writer.finish()?);
        }
        Ok(finished)
    }

    /// Keyspaces that were never flushed have left their entries in the log and their names in the lost manifest.
    fn name_unknown_keyspaces(&mut self, state: &mut State) -> Result<()> {
        for id in log::keyspaces(self.offline)? {
            if state.keyspaces.contains_key(&id) {
                continue;
            }
            let name = format!("recovered-{id}");
            self.done.keyspaces_renamed.push(name.clone());
            let created = KeyspaceVersion::new(id, name, KeyspaceOptions::default()).created();
            state.apply(&[created]).map_err(|detail| Error::Invalid {
                what: "version edit",
                detail,
            })?;
        }
        Ok(())
    }

    /// Writes the new manifest, if anything has changed, and puts aside what it does not name any more.
    fn put_in_force(mut self, mut state: State) -> Result<Repair> {
        if self.done.is_nothing() {
            return Ok(self.done);
        }
        let context = &self.offline.context;
        context
            .vfs
            .sync_dir(&context.directory)
            .map_err(Error::io("sync", &context.directory))?;
        state.next_file = state.next_file.max(self.next_file);
        if log::beginning(self.offline)?.is_none() {
            state.forget_log();
        }
        Manifest::create(
            Arc::clone(&context.vfs),
            Arc::clone(&context.keys),
            &context.directory,
            state,
        )?;
        for file in self.aside {
            let path = self.offline.path(file);
            let kept = format!("{}.{KEPT}", file.name());
            match context.vfs.rename(&path, &context.directory.join(&kept)) {
                Ok(()) => self.done.kept.push(kept),
                // A file that the manifest named and that was never there.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(error) => return Err(Error::io("rename", &path)(error)),
            }
        }
        context
            .vfs
            .sync_dir(&context.directory)
            .map_err(Error::io("sync", &context.directory))?;
        Ok(self.done)
    }
}

fn comes_after(last: &(Vec<u8>, SequenceNumber), place: &(Vec<u8>, SequenceNumber)) -> bool {
    crate::entry::compare_versions((&last.0, last.1), (&place.0, place.1)).is_lt()
}
