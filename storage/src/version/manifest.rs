//! The manifest: version edits made durable, and read back.
//!
//! Invariant: an edit is on disk before anything relies on it. Not here: what edits mean to readers (`view.rs`).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::LEVELS;
use super::edit::{self, Change};
use crate::crypto::{DataKeyId, FileCipher, KeyRing};
use crate::entry::{KeyspaceId, SequenceNumber};
use crate::error::{Error, Result};
use crate::files::{CURRENT, FileName, read_file, replace_file};
use crate::header::{FileHeader, FileKind, HEADER_BYTES};
use crate::sstable::SstableMeta;
use crate::version::KeyspaceOptions;
use crate::vfs::{File, Vfs};
use crate::wal::frame::{self, FRAME_HEADER_BYTES, FrameReader, Place};
use crate::wal::record::StreamId;

/// A manifest that has grown larger than this, and to twice its first size, is replaced by a new one.
const MANIFEST_BYTES_MAX: u64 = 1 << 20;

/// A keyspace as the manifest knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeyspaceState {
    pub(crate) name: String,
    pub(crate) options: KeyspaceOptions,
    pub(crate) dropped_at: Option<SequenceNumber>,
    pub(crate) levels: Vec<BTreeMap<u64, SstableMeta>>,
}

/// The sum of all edits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct State {
    pub(crate) keyspaces: BTreeMap<KeyspaceId, KeyspaceState>,
    pub(crate) log_start: u64,
    pub(crate) last_sequence: SequenceNumber,
    pub(crate) next_file: u64,
    pub(crate) next_keyspace: u32,
    /// Up to where everything that was applied of a stream is in sstables.
    pub(crate) streams_flushed: BTreeMap<StreamId, u64>,
}

impl Default for State {
    fn default() -> Self {
        Self {
            keyspaces: BTreeMap::new(),
            log_start: 1,
            last_sequence: 0,
            next_file: 1,
            next_keyspace: 1,
            streams_flushed: BTreeMap::new(),
        }
    }
}

impl State {
    /// Applies an edit; `Err` says what does not fit.
    pub(crate) fn apply(&mut self, changes: &[Change]) -> Result<(), String> {
        changes.iter().try_for_each(|change| self.apply_one(change))
    }

    fn apply_one(&mut self, change: &Change) -> Result<(), String> {
        match change {
            Change::KeyspaceCreated { id, name, options } => {
                let levels = vec![BTreeMap::new(); LEVELS];
                let keyspace = KeyspaceState {
                    name: name.clone(),
                    options: *options,
                    dropped_at: None,
                    levels,
                };
                if self.keyspaces.insert(*id, keyspace).is_some() {
                    return Err(format!("keyspace {id} is created twice"));
                }
                self.next_keyspace = self.next_keyspace.max(id.0 + 1);
            }
            Change::KeyspaceDropped { id, at } => self.keyspace(*id)?.dropped_at = Some(*at),
            Change::KeyspacePurged { id } => {
                self.keyspace(*id)?;
                self.keyspaces.remove(id);
            }
            Change::SstableAdded {
                keyspace,
                level,
                meta,
            } => {
                let number = meta.number;
                if self.keyspace(*keyspace)?.levels[*level]
                    .insert(number, meta.clone())
                    .is_some()
                {
                    return Err(format!("sstable {number} is added twice"));
                }
            }
            Change::SstableRemoved {
                keyspace,
                level,
                number,
            } => {
                if self.keyspace(*keyspace)?.levels[*level].remove(number).is_none() {
                    return Err(format!("sstable {number} is removed but not there"));
                }
            }
            Change::LogStart(number) => self.log_start = *number,
            Change::LastSequence(number) => self.last_sequence = *number,
            Change::NextFile(number) => self.next_file = *number,
            Change::NextKeyspace(number) => self.next_keyspace = *number,
            Change::StreamFlushed { stream, index } => {
                self.streams_flushed.insert(*stream, *index);
            }
            Change::StreamForgotten(stream) => {
                self.streams_flushed.remove(stream);
            }
        }
        Ok(())
    }

    fn keyspace(&mut self, id: KeyspaceId) -> Result<&mut KeyspaceState, String> {
        self.keyspaces
            .get_mut(&id)
            .ok_or_else(|| format!("keyspace {id} does not exist"))
    }

    /// The edit that makes this state out of nothing.
    pub(crate) fn to_changes(&self) -> Vec<Change> {
        let mut changes = vec![
            Change::LogStart(self.log_start),
            Change::LastSequence(self.last_sequence),
            Change::NextFile(self.next_file),
        ];
        for (&id, keyspace) in &self.keyspaces {
            changes.push(Change::KeyspaceCreated {
                id,
                name: keyspace.name.clone(),
                options: keyspace.options,
            });
            if let Some(at) = keyspace.dropped_at {
                changes.push(Change::KeyspaceDropped { id, at });
            }
            for (level, sstables) in keyspace.levels.iter().enumerate() {
                changes.extend(sstables.values().map(|meta| Change::SstableAdded {
                    keyspace: id,
                    level,
                    meta: meta.clone(),
                }));
            }
        }
        changes.push(Change::NextKeyspace(self.next_keyspace));
        let flushed = self.streams_flushed.iter();
        changes.extend(flushed.map(|(&stream, &index)| Change::StreamFlushed { stream, index }));
        changes
    }

    /// As the state of a directory without a log, which begins a new one.
    pub(crate) fn forget_log(&mut self) {
        self.log_start = 1;
    }

    /// The numbers of all sstables.
    pub(crate) fn sstable_numbers(&self) -> impl Iterator<Item = u64> {
        self.keyspaces
            .values()
            .flat_map(|keyspace| &keyspace.levels)
            .flat_map(|level| level.keys().copied())
    }
}

/// The manifest in force, open for further edits. After an error it must not be used again.
#[derive(Debug)]
pub(crate) struct Manifest {
    vfs: Arc<dyn Vfs>,
    keys: Arc<KeyRing>,
    directory: PathBuf,
    file: Arc<dyn File>,
    path: PathBuf,
    cipher: FileCipher,
    offset: u64,
    /// Everything in the file before this offset is durable.
    durable: u64,
    /// The size of its first edit, with the header.
    first_bytes: u64,
    edits: u64,
    state: State,
    /// Whether an edit has failed, or is being made.
    has_failed: bool,
}

impl Manifest {
    /// Reads the state that `CURRENT` leads to; `None` if there is none, with the directory otherwise empty.
    ///
    /// # Errors
    ///
    /// [`Error::Corruption`] if `CURRENT` is missing beside data, or if the manifest does not check.
    pub(crate) fn read(vfs: &dyn Vfs, keys: &KeyRing, directory: &Path) -> Result<Option<State>> {
        let current = directory.join(CURRENT);
        let names = vfs.list(directory).map_err(Error::io("list", directory))?;
        if !names.iter().any(|name| name == CURRENT) {
            let data = names.iter().find(|name| {
                matches!(
                    FileName::parse(name),
                    Some(FileName::Log(_) | FileName::Sstable(_))
                )
            });
            return match data {
                Some(name) => {
                    let detail = format!("the file is missing, although {name} is there");
                    Err(Error::corruption(&current, 0, detail))
                }
                None => Ok(None),
            };
        }
        let content = read_file(vfs, &current)?;
        let name = std::str::from_utf8(&content)
            .ok()
            .and_then(|text| text.strip_suffix('\n'));
        let Some(FileName::Manifest(number)) = name.and_then(FileName::parse) else {
            return Err(Error::corruption(
                &current,
                0,
                "the file does not hold the name of a manifest",
            ));
        };
        let path = FileName::Manifest(number).in_directory(directory);
        let mut state = State::default();
        read_edits(vfs, keys, &path, number, &mut |offset, changes| {
            state
                .apply(&changes)
                .map_err(|detail| Error::corruption(&path, offset, detail))
        })?;
        Ok(Some(state))
    }

    /// The edits of manifest `number`.
    pub(crate) fn edits(
        vfs: &dyn Vfs,
        keys: &KeyRing,
        directory: &Path,
        number: u64,
    ) -> Result<Vec<Vec<Change>>> {
        let path = FileName::Manifest(number).in_directory(directory);
        let mut edits = Vec::new();
        read_edits(vfs, keys, &path, number, &mut |_, changes| {
            edits.push(changes);
            Ok(())
        })?;
        Ok(edits)
    }

    /// Refuses the manifest that `CURRENT` leads to, if there is one, when its format version is another one. Reads no
    /// more than its header, and passes over anything else that may be wrong with it.
    pub(crate) fn check_version(vfs: &dyn Vfs, directory: &Path) -> Result<()> {
        let Ok(current) = read_file(vfs, &directory.join(CURRENT)) else {
            return Ok(());
        };
        let name = std::str::from_utf8(&current).unwrap_or_default().trim_end();
        let Some(FileName::Manifest(number)) = FileName::parse(name) else {
            return Ok(());
        };
        let path = directory.join(name);
        let header = read_file(vfs, &path)?;
        match FileHeader::decode(&path, &header, FileKind::Manifest, number) {
            Err(error @ Error::UnsupportedFormat { .. }) => Err(error),
            _ => Ok(()),
        }
    }

    /// Writes `state` into a new manifest and puts it in force.
    pub(crate) fn create(
        vfs: Arc<dyn Vfs>,
        keys: Arc<KeyRing>,
        directory: &Path,
        mut state: State,
    ) -> Result<Self> {
        let number = state.next_file;
        state.next_file += 1;
        let path = FileName::Manifest(number).in_directory(directory);
        let file = vfs.create(&path).map_err(Error::io("create", &path))?;
        let (header, cipher) = keys.new_file(FileKind::Manifest, number, 0)?;
        let mut bytes = header.encode().to_vec();
        let start = HEADER_BYTES as u64;
        let place = Place {
            offset: start,
            number: 1,
            durable: start,
        };
        bytes.extend(encode(&state.to_changes(), &cipher, place));
        file.write_all_at(&bytes, 0).map_err(Error::io("write", &path))?;
        file.sync_data().map_err(Error::io("sync", &path))?;
        vfs.sync_dir(directory).map_err(Error::io("sync", directory))?;
        install(&*vfs, directory, number)?;
        let directory = directory.to_path_buf();
        let offset = bytes.len() as u64;
        let mut manifest = Self {
            vfs,
            keys,
            directory,
            file,
            path,
            cipher,
            offset,
            durable: offset,
            first_bytes: offset,
            edits: 1,
            state,
            has_failed: false,
        };
        manifest.seal()?;
        Ok(manifest)
    }

    pub(crate) fn state(&self) -> &State {
        &self.state
    }

    /// The data key that its file is encrypted under.
    pub(crate) fn data_key(&self) -> DataKeyId {
        self.cipher.data_key()
    }

    /// A number for a new file. Durable with the next edit; until then a crash leaves only files that nothing names.
    pub(crate) fn take_file_number(&mut self) -> u64 {
        let number = self.state.next_file;
        self.state.next_file += 1;
        number
    }

    /// Applies an edit and makes it durable.
    ///
    /// # Errors
    /// [`Error::Io`]; from then on always, because nobody knows what is on disk of the edit that has failed.
    pub(crate) fn commit(&mut self, changes: Vec<Change>) -> Result<()> {
        self.begin()?;
        self.write(changes)?;
        self.has_failed = false;
        Ok(())
    }

    /// What is begun has failed unless it says otherwise.
    fn begin(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.has_failed, true) {
            let failed = std::io::Error::other("an earlier edit has failed");
            return Err(Error::io("write", &self.path)(failed));
        }
        Ok(())
    }

    fn write(&mut self, mut changes: Vec<Change>) -> Result<()> {
        changes.push(Change::NextFile(self.state.next_file));
        self.state.apply(&changes).map_err(|detail| Error::Invalid {
            what: "version edit",
            detail,
        })?;
        self.append(&changes)?;
        self.file.sync_data().map_err(Error::io("sync", &self.path))?;
        self.durable = self.offset;
        self.seal()?;
        if self.offset > MANIFEST_BYTES_MAX.max(2 * self.first_bytes) {
            self.replace()?;
        }
        Ok(())
    }

    /// Writes an edit that changes nothing, and says that the one before it is on disk: from then on that one is not taken for a
    /// torn end when its bytes change there. Not durable itself: if it is lost, all is as before.
    fn seal(&mut self) -> Result<()> {
        self.append(&[Change::NextFile(self.state.next_file)])
    }

    /// Writes an edit behind the others.
    fn append(&mut self, changes: &[Change]) -> Result<()> {
        let place = Place {
            offset: self.offset,
            number: self.edits + 1,
            durable: self.durable,
        };
        let bytes = encode(changes, &self.cipher, place);
        self.file
            .write_all_at(&bytes, self.offset)
            .map_err(Error::io("write", &self.path))?;
        self.edits += 1;
        self.offset += bytes.len() as u64;
        Ok(())
    }

    /// Begins a new manifest with the present state, under a key of its own.
    ///
    /// # Errors
    /// As [`Manifest::commit`].
    pub(crate) fn renew(&mut self) -> Result<()> {
        self.begin()?;
        self.replace()?;
        self.has_failed = false;
        Ok(())
    }

    fn replace(&mut self) -> Result<()> {
        let (vfs, keys) = (Arc::clone(&self.vfs), Arc::clone(&self.keys));
        let next = Self::create(vfs, keys, &self.directory, self.state.clone())?;
        let old = std::mem::replace(self, next);
        self.vfs.remove(&old.path).map_err(Error::io("remove", &old.path))
    }
}

/// The frame of an edit.
fn encode(changes: &[Change], cipher: &FileCipher, place: Place) -> Vec<u8> {
    let mut bytes = Vec::new();
    frame::begin(&mut bytes);
    for change in changes {
        edit::encode(change, &mut bytes);
    }
    frame::seal(&mut bytes, cipher, place);
    bytes
}

fn install(vfs: &dyn Vfs, directory: &Path, number: u64) -> Result<()> {
    let content = format!("{}\n", FileName::Manifest(number).name());
    replace_file(vfs, &directory.join(CURRENT), content.as_bytes())
}

/// Hands the edits of a manifest on, each with its offset.
fn read_edits(
    vfs: &dyn Vfs,
    keys: &KeyRing,
    path: &Path,
    number: u64,
    visit: &mut dyn FnMut(u64, Vec<Change>) -> Result<()>,
) -> Result<()> {
    let bytes = read_file(vfs, path).map_err(|error| match error {
        Error::Io { source, .. } if source.kind() == std::io::ErrorKind::NotFound => {
            Error::corruption(path, 0, "the file is missing, although CURRENT names it")
        }
        error => error,
    })?;
    let header = FileHeader::decode(path, &bytes, FileKind::Manifest, number)?;
    let cipher = keys.cipher(path, &header)?;
    let mut reader = FrameReader::new(path, &bytes, &cipher, 1);
    while let Some(frame) = reader.next_frame()? {
        let changes = edit::decode(&frame.contents).map_err(|at| {
            let offset = frame.offset + (FRAME_HEADER_BYTES + at) as u64;
            Error::corruption(path, offset, "the version edit does not decode")
        })?;
        visit(frame.offset, changes)?;
    }
    if reader.expected() == 1 {
        return Err(Error::corruption(
            path,
            HEADER_BYTES as u64,
            "the first version edit does not check",
        ));
    }
    reader.end().map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::vfs::fault::{Fault, FaultVfs, Operation};
    use crate::vfs::mem::{MemVfs, Unsynced};

    fn keys(vfs: &Arc<MemVfs>) -> Arc<KeyRing> {
        Arc::new(KeyRing::for_test(Arc::clone(vfs) as _, Path::new("/d")))
    }

    fn created(id: u32) -> Change {
        Change::KeyspaceCreated {
            id: KeyspaceId(id),
            name: format!("keyspace-{id}"),
            options: KeyspaceOptions::default(),
        }
    }

    #[test]
    fn the_state_comes_back() {
        let vfs = Arc::new(MemVfs::new());
        let directory = Path::new("/d");
        vfs.create_dir_all(directory).unwrap();
        assert_eq!(Manifest::read(&*vfs, &keys(&vfs), directory).unwrap(), None);
        let mut manifest =
            Manifest::create(Arc::clone(&vfs) as _, keys(&vfs), directory, State::default()).unwrap();
        manifest
            .commit(vec![created(1), Change::LastSequence(9)])
            .unwrap();
        manifest
            .commit(vec![
                created(2),
                Change::KeyspaceDropped {
                    id: KeyspaceId(1),
                    at: 10,
                },
            ])
            .unwrap();
        assert_eq!(
            Manifest::read(&*vfs, &keys(&vfs), directory).unwrap().as_ref(),
            Some(manifest.state())
        );
        let state = manifest.state().clone();
        let next = Manifest::create(Arc::clone(&vfs) as _, keys(&vfs), directory, state).unwrap();
        assert_eq!(
            Manifest::read(&*vfs, &keys(&vfs), directory).unwrap().as_ref(),
            Some(next.state())
        );
    }

    #[test]
    fn a_grown_manifest_is_replaced_and_still_read() {
        let vfs = Arc::new(MemVfs::new());
        let directory = Path::new("/d");
        vfs.create_dir_all(directory).unwrap();
        let mut manifest =
            Manifest::create(Arc::clone(&vfs) as _, keys(&vfs), directory, State::default()).unwrap();
        let first = manifest.path.clone();
        let name = "x".repeat(60_000);
        for id in 1..40 {
            manifest
                .commit(vec![Change::KeyspaceCreated {
                    id: KeyspaceId(id),
                    name: name.clone(),
                    options: KeyspaceOptions::default(),
                }])
                .unwrap();
            manifest
                .commit(vec![Change::KeyspacePurged { id: KeyspaceId(id) }])
                .unwrap();
        }
        assert!(manifest.path > first);
        assert_eq!(
            Manifest::read(&*vfs, &keys(&vfs), directory).unwrap().as_ref(),
            Some(manifest.state())
        );
    }

    #[test]
    fn a_changed_byte_of_the_last_edit_is_corruption_and_not_a_torn_end() {
        let vfs = Arc::new(MemVfs::new());
        let directory = Path::new("/d");
        vfs.create_dir_all(directory).unwrap();
        let mut manifest =
            Manifest::create(Arc::clone(&vfs) as _, keys(&vfs), directory, State::default()).unwrap();
        let begins = manifest.offset;
        manifest.commit(vec![created(1)]).unwrap();
        let path = manifest.path.clone();
        let seal = {
            let changes = [Change::NextFile(manifest.state.next_file)];
            let place = Place {
                offset: 0,
                number: 1,
                durable: 0,
            };
            encode(&changes, &manifest.cipher, place).len() as u64
        };
        let (ring, state) = (keys(&vfs), manifest.state().clone());
        for offset in begins..manifest.offset {
            let copy = vfs.after_power_cut(Unsynced::Kept);
            copy.flip_bit(&path, offset, 3).unwrap();
            let read = Manifest::read(&copy, &ring, directory);
            if offset < manifest.offset - seal {
                assert!(
                    matches!(read, Err(Error::Corruption { .. })),
                    "{offset}: {read:?}"
                );
            } else {
                assert_eq!(read.unwrap().as_ref(), Some(&state), "{offset}");
            }
        }
    }

    #[test]
    fn no_edit_is_made_after_one_that_has_failed() {
        let disk = MemVfs::new();
        let vfs = Arc::new(FaultVfs::new(Arc::new(disk.clone())));
        let directory = Path::new("/d");
        vfs.create_dir_all(directory).unwrap();
        let ring = Arc::new(KeyRing::for_test(Arc::clone(&vfs) as _, directory));
        let mut manifest = Manifest::create(
            Arc::clone(&vfs) as _,
            Arc::clone(&ring),
            directory,
            State::default(),
        )
        .unwrap();
        vfs.fail(Operation::Sync, Fault::Eio, 0, 1);
        assert!(matches!(manifest.commit(vec![created(1)]), Err(Error::Io { .. })));
        // The system has told its error once, and takes the next sync for a success.
        vfs.heal();
        assert!(matches!(manifest.commit(vec![created(2)]), Err(Error::Io { .. })));
        assert!(matches!(manifest.renew(), Err(Error::Io { .. })));
        let state = Manifest::read(&disk.after_power_cut(Unsynced::Lost), &ring, directory).unwrap();
        assert!(state.is_some_and(|state| state.keyspaces.is_empty()));
    }

    #[test]
    fn a_missing_current_beside_data_is_corruption() {
        let vfs = Arc::new(MemVfs::new());
        let directory = Path::new("/d");
        vfs.create_dir_all(directory).unwrap();
        vfs.create(&FileName::Log(1).in_directory(directory)).unwrap();
        assert!(matches!(
            Manifest::read(&*vfs, &keys(&vfs), directory),
            Err(Error::Corruption { .. })
        ));
    }
}
