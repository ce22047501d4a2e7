//! redb, <https://docs.rs/redb>: a copy-on-write B-tree in Rust.

use std::path::Path;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use redb::{Database, ReadableDatabase, TableDefinition};

use super::{Direction, Durability, Shared, Store};
use crate::data::Entry;
use crate::{Result, clock};

pub(super) const REMARK: &str = "no compression, no memtables, no filters; unsynced commits stay in its memory (a kill loses \
                                 them), so that every 100 ms one is made durable, as Stator does";

const TABLE: TableDefinition<'_, &[u8], &[u8]> = TableDefinition::new("bench");
/// How long unsynced commits may stay unsynced.
const SYNC_INTERVAL: Duration = Duration::from_millis(100);

pub(super) struct Redb {
    database: Database,
    synced_at: Mutex<Instant>,
}

impl Redb {
    pub(super) fn open(folder: &Path, shared: Shared) -> Result<Self> {
        std::fs::create_dir_all(folder)?;
        let database = Database::builder()
            .set_cache_size(shared.cache_bytes)
            .create(folder.join("bench.redb"))?;
        // A table exists once something was written under its name.
        let transaction = database.begin_write()?;
        transaction.open_table(TABLE)?;
        transaction.commit()?;
        Ok(Self {
            database,
            synced_at: Mutex::new(clock::now()),
        })
    }

    fn write(&self, entries: &[Entry], durability: Durability) -> Result<()> {
        let mut transaction = self.database.begin_write()?;
        if durability == Durability::Written && !self.sync_is_due()? {
            transaction.set_durability(redb::Durability::None)?;
        }
        {
            let mut table = transaction.open_table(TABLE)?;
            for entry in entries {
                table.insert(&entry.key[..], &entry.value[..])?;
            }
        }
        Ok(transaction.commit()?)
    }

    fn sync_is_due(&self) -> Result<bool> {
        let mut synced_at = self.synced_at.lock().map_err(|_| "a writer has panicked")?;
        let now = clock::now();
        let due = now - *synced_at >= SYNC_INTERVAL;
        if due {
            *synced_at = now;
        }
        Ok(due)
    }
}

impl Store for Redb {
    fn put_batch(&self, entries: &[Entry]) -> Result<()> {
        self.write(entries, Durability::Written)
    }

    fn put(&self, entry: &Entry, durability: Durability) -> Result<()> {
        self.write(std::slice::from_ref(entry), durability)
    }

    fn get(&self, key: &[u8], see: &mut dyn FnMut(&[u8])) -> Result<bool> {
        // A transaction of its own for each read: one that is kept would not see later writes.
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let value = table.get(key)?;
        if let Some(value) = &value {
            see(value.value());
        }
        Ok(value.is_some())
    }

    fn scan(
        &self,
        key: &[u8],
        direction: Direction,
        count: usize,
        see: &mut dyn FnMut(&[u8], &[u8]),
    ) -> Result<()> {
        let table = self.database.begin_read()?.open_table(TABLE)?;
        let mut range = match direction {
            Direction::Forward => table.range::<&[u8]>(key..)?,
            Direction::Backward => table.range::<&[u8]>(..=key)?,
        };
        for _ in 0..count {
            let entry = match direction {
                Direction::Forward => range.next(),
                Direction::Backward => range.next_back(),
            };
            let Some(entry) = entry else { break };
            let (key, value) = entry?;
            see(key.value(), value.value());
        }
        Ok(())
    }

    fn flush(&self) -> Result<()> {
        // An empty commit that is durable makes all before it durable.
        Ok(self.database.begin_write()?.commit()?)
    }

    fn close(self: Box<Self>) -> Result<()> {
        Ok(self.database.close()?)
    }
}
