//! The keyspaces of the cluster, and which keyspace of this node's engine each of them is.
//!
//! A keyspace's number is the index of the entry of group 0 that has made it, so that it is never given out twice and no
//! counter is needed. Invariant: a number at or below the last applied entry of group 0 that is not here has been dropped;
//! one above it may yet come, and whoever needs it waits. In the engine a keyspace is named by number and name, so that a
//! start finds them all without reading a cell. Not here: who may make or drop one.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use stator_storage::{Engine, KeyspaceId, KeyspaceOptions, Recovery};
use tokio::sync::watch;

use crate::error::Error;
use crate::hints::HINTS_KEYSPACE;

/// The group that makes and drops them.
pub(crate) const METADATA_GROUP: u32 = 0;

/// The number of the keyspace that group 0 keeps its state in. Entries have indices from 1 on.
pub(crate) const METADATA: u32 = 0;
const METADATA_NAME: &str = "group/0";
/// The number of the keyspace that all groups of the node keep what they know of themselves in. No entry of group 0 will
/// ever have it.
pub(crate) const OWN_MARKS: u32 = u32::MAX;
const OWN_MARKS_NAME: &str = "group/own";
/// How names of other keyspaces begin in the engine; number, `/` and the name follow.
const PREFIX: &str = "k/";

/// What is known of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// It is this keyspace of the engine.
    Here(KeyspaceId),
    /// It was dropped, or never was one.
    Gone,
    /// Group 0 has not come so far on this node.
    NotYet,
}

/// What an entry of group 0 says of the keyspace of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// It is made, and the entry is its number.
    Made,
    /// It is dropped.
    Dropped,
}

#[derive(Clone, Debug)]
struct Known {
    by_number: BTreeMap<u32, Named>,
    by_name: BTreeMap<Arc<str>, u32>,
}

#[derive(Clone, Debug)]
struct Named {
    id: KeyspaceId,
    name: Arc<str>,
}

/// See the head of the file.
#[derive(Debug)]
pub(crate) struct Keyspaces {
    engine: Engine,
    /// That of group 0.
    metadata: KeyspaceId,
    /// That of the groups' marks.
    marks: KeyspaceId,
    known: ArcSwap<Known>,
    /// The last entry of group 0 that has taken effect here. Apart from what is known, which would have to be copied for each
    /// entry; raised behind its change, and read before it, so that what has taken effect is seen.
    applied: AtomicU64,
    /// Held over a change.
    changing: Mutex<()>,
    /// Held while what another node says is taken over.
    mirroring: Mutex<()>,
    changes: watch::Sender<u64>,
}

impl Keyspaces {
    /// Finds the keyspaces of the engine, and makes the one of group 0 if there is none. `applied` is the entry of group 0
    /// up to which everything has taken effect for certain.
    ///
    /// # Errors
    /// [`Error::Storage`], and [`Error::Directory`] for a keyspace of another name.
    pub(crate) fn open(engine: Engine, applied: u64) -> Result<Self, Error> {
        let mut known = Known {
            by_number: BTreeMap::new(),
            by_name: BTreeMap::new(),
        };
        for (id, name) in engine.keyspaces() {
            let parsed = match &*name {
                METADATA_NAME => Some((METADATA, METADATA_NAME)),
                OWN_MARKS_NAME => Some((OWN_MARKS, OWN_MARKS_NAME)),
                name => parse(name),
            };
            if let Some((number, name)) = parsed {
                known.insert(number, id, name);
            } else if name != HINTS_KEYSPACE {
                return Err(Error::Directory {
                    cause: format!("it holds a keyspace {name:?} from before replication"),
                });
            }
        }
        let mut nodes_own = |number, name| {
            let id = match known.by_number.get(&number) {
                Some(named) => named.id,
                None => create(&engine, name)?,
            };
            known.insert(number, id, name);
            Ok::<_, Error>(id)
        };
        let metadata = nodes_own(METADATA, METADATA_NAME)?;
        let marks = nodes_own(OWN_MARKS, OWN_MARKS_NAME)?;
        let (changes, _) = watch::channel(applied);
        Ok(Self {
            engine,
            metadata,
            marks,
            known: ArcSwap::from_pointee(known),
            applied: AtomicU64::new(applied),
            changing: Mutex::new(()),
            mirroring: Mutex::new(()),
            changes,
        })
    }

    /// The keyspace of group 0.
    pub(crate) fn metadata(&self) -> KeyspaceId {
        self.metadata
    }

    /// The keyspace of what groups keep about themselves.
    pub(crate) fn marks(&self) -> KeyspaceId {
        self.marks
    }

    /// The last entry of group 0 that has taken effect here.
    pub(crate) fn applied_index(&self) -> u64 {
        self.applied.load(Ordering::Acquire)
    }

    /// What is known of a number.
    pub(crate) fn find(&self, number: u32) -> Lookup {
        let applied = self.applied_index();
        let known = self.known.load();
        match known.by_number.get(&number) {
            Some(named) => Lookup::Here(named.id),
            None if u64::from(number) <= applied => Lookup::Gone,
            None => Lookup::NotYet,
        }
    }

    /// The number of a name, and its keyspace of the engine.
    pub(crate) fn named(&self, name: &str) -> Option<(u32, KeyspaceId)> {
        let known = self.known.load();
        let number = known.by_name.get(name).copied()?;
        is_callers(number)
            .then(|| known.by_number.get(&number))
            .flatten()
            .map(|named| (number, named.id))
    }

    /// The name of a number.
    pub(crate) fn name(&self, number: u32) -> Option<Arc<str>> {
        let known = self.known.load();
        known.by_number.get(&number).map(|named| Arc::clone(&named.name))
    }

    /// All but those of the groups themselves: number, keyspace of the engine, name.
    pub(crate) fn all(&self) -> Vec<(u32, KeyspaceId, Arc<str>)> {
        let known = self.known.load();
        known
            .by_number
            .iter()
            .filter(|(number, _)| is_callers(**number))
            .map(|(number, named)| (*number, named.id, Arc::clone(&named.name)))
            .collect()
    }

    /// Entry `index` of group 0 says what becomes of the keyspace of a name; whatever was before it is over. Repeating it
    /// changes nothing.
    ///
    /// # Errors
    /// [`Error::Storage`]; [`Error::Group`] when all numbers of keyspaces are used up.
    pub(crate) fn take(&self, index: u64, name: &str, fate: Fate) -> Result<(), Error> {
        self.drop_before(index, name)?;
        if fate == Fate::Dropped {
            return Ok(());
        }
        let number = u32::try_from(index).map_err(|_| Error::Group {
            group: METADATA_GROUP,
            cause: "all numbers of keyspaces are used up".to_owned(),
        })?;
        self.create(number, name)
    }

    /// Entry `number` of group 0 makes a keyspace. Repeating it, as a replay does, changes nothing.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) fn create(&self, number: u32, name: &str) -> Result<(), Error> {
        let _changing = self.changing.lock();
        if self.known.load().by_number.contains_key(&number) {
            return Ok(());
        }
        let id = create(&self.engine, &format!("{PREFIX}{number}/{name}"))?;
        self.change(|known| known.insert(number, id, name));
        Ok(())
    }

    /// Entry `index` of group 0 drops the keyspaces of a name that were made before it. Repeating it changes nothing.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) fn drop_before(&self, index: u64, name: &str) -> Result<(), Error> {
        let _changing = self.changing.lock();
        let known = self.known.load();
        let made_before = known
            .by_number
            .iter()
            .filter(|(number, named)| u64::from(**number) < index && &*named.name == name)
            .map(|(number, named)| (*number, named.id))
            .collect::<Vec<_>>();
        for (number, id) in made_before {
            // First nobody finds it any more; then it goes.
            self.change(|known| known.remove(number));
            self.engine.drop_keyspace(id)?;
        }
        Ok(())
    }

    /// Everything up to entry `index` of group 0 has taken effect.
    pub(crate) fn applied(&self, index: u64) {
        let _changing = self.changing.lock();
        if self.applied_index() < index {
            self.applied.store(index, Ordering::Release);
            self.changes.send_replace(index);
        }
    }

    /// All that there are at entry `index`, on a node that has no replica of group 0.
    ///
    /// # Errors
    /// [`Error::Storage`].
    pub(crate) fn mirror(&self, index: u64, there: &[(u32, &str)]) -> Result<(), Error> {
        // What was asked for earlier may come later, and must not undo what is known since.
        let _mirroring = self.mirroring.lock();
        if index < self.applied_index() {
            return Ok(());
        }
        for (number, _, name) in self.all() {
            if !there.iter().any(|(other, _)| *other == number) {
                self.drop_before(u64::from(number) + 1, &name)?;
            }
        }
        for (number, name) in there {
            self.create(*number, name)?;
        }
        self.applied(index);
        Ok(())
    }

    /// Rises with the entries of group 0 that have taken effect here.
    pub(crate) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn change(&self, change: impl FnOnce(&mut Known)) {
        let mut known = Known::clone(&self.known.load());
        change(&mut known);
        self.known.store(Arc::new(known));
    }
}

impl Known {
    fn insert(&mut self, number: u32, id: KeyspaceId, name: &str) {
        let name: Arc<str> = name.into();
        // A replay may meet the making of a keyspace that has been dropped and made anew since: the later number counts.
        let newest = self.by_name.entry(Arc::clone(&name)).or_insert(number);
        *newest = (*newest).max(number);
        self.by_number.insert(number, Named { id, name });
    }

    fn remove(&mut self, number: u32) {
        if let Some(named) = self.by_number.remove(&number)
            && self.by_name.get(&named.name) == Some(&number)
        {
            self.by_name.remove(&named.name);
        }
    }
}

/// Whether a keyspace was made by an entry of group 0.
fn is_callers(number: u32) -> bool {
    number != METADATA && number != OWN_MARKS
}

fn create(engine: &Engine, name: &str) -> Result<KeyspaceId, Error> {
    let options = KeyspaceOptions {
        recovery: Recovery::Replayed,
        ..KeyspaceOptions::default()
    };
    Ok(engine.create_keyspace_with(name, options)?)
}

fn parse(name: &str) -> Option<(u32, &str)> {
    let (number, name) = name.strip_prefix(PREFIX)?.split_once('/')?;
    Some((number.parse().ok()?, name))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use stator_storage::vfs::mem::MemVfs;
    use stator_storage::{Environment, MASTER_KEY_BYTES, MasterKey, MasterKeys, Random, Settings};

    use super::*;

    fn engine(disk: &MemVfs) -> Engine {
        let random = Random::new(|bytes| {
            bytes.fill(7);
            Ok(())
        });
        let keys = MasterKeys::new(MasterKey::new([1; MASTER_KEY_BYTES]));
        let environment = Environment::new(Arc::new(disk.clone()), random, keys, 0);
        Engine::open_driven(environment, Path::new("/d"), Settings::default()).unwrap()
    }

    #[test]
    fn a_number_is_here_gone_or_yet_to_come() {
        let keyspaces = Keyspaces::open(engine(&MemVfs::new()), 4).unwrap();
        assert_eq!(keyspaces.find(3), Lookup::Gone);
        assert_eq!(keyspaces.find(5), Lookup::NotYet);
        keyspaces.create(5, "a").unwrap();
        keyspaces.applied(5);
        let (number, id) = keyspaces.named("a").unwrap();
        assert_eq!((number, keyspaces.find(5)), (5, Lookup::Here(id)));
        assert_eq!(keyspaces.name(5).as_deref(), Some("a"));
        keyspaces.drop_before(6, "a").unwrap();
        keyspaces.applied(6);
        assert_eq!((keyspaces.find(5), keyspaces.named("a")), (Lookup::Gone, None));
        assert!(matches!(keyspaces.find(METADATA), Lookup::Here(_)));
        assert_eq!(keyspaces.named(METADATA_NAME), None);
        assert!(keyspaces.all().is_empty());
    }

    #[test]
    fn a_start_finds_them_and_a_replay_ends_with_the_same() {
        let disk = MemVfs::new();
        let keyspaces = Keyspaces::open(engine(&disk), 0).unwrap();
        let replay = |keyspaces: &Keyspaces| {
            keyspaces.create(5, "t").unwrap();
            keyspaces.drop_before(8, "t").unwrap();
            keyspaces.create(12, "t").unwrap();
            keyspaces.create(13, "k/7/odd").unwrap();
            keyspaces.applied(13);
        };
        replay(&keyspaces);
        let before = keyspaces.all();
        drop(keyspaces);
        let again = Keyspaces::open(engine(&disk), 0).unwrap();
        assert_eq!(again.all(), before);
        replay(&again);
        assert_eq!(again.all(), before);
        assert_eq!(again.named("t").map(|(number, _)| number), Some(12));
        assert_eq!(again.find(5), Lookup::Gone);
    }

    #[test]
    fn a_directory_from_before_replication_is_refused() {
        let engine = engine(&MemVfs::new());
        engine.create_keyspace("table/1").unwrap();
        let error = Keyspaces::open(engine, 0).unwrap_err().to_string();
        assert!(error.contains("table/1"), "{error}");
    }
}
