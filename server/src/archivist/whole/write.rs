//! Writing a backup of the cluster into the archive, on a thread that may wait. What comes in is in the order of the keys that it
//! has in the archive (`whole/contents.rs`).

use std::time::Duration;

use bytes::Bytes;
use stator_archive::{Archive, Backup, Manifest};
use stator_model::item::Item;
use tokio::sync::mpsc;

use super::super::make::Ground;
use super::super::{ALIVE, JobError};
use crate::catalog::TableDefinition;
use crate::identity::store::carry::Carried;
use crate::whole::contents::{definition_key, identity_key, item_key};
use crate::whole::record::{WholeBackup, WholeTable};

/// What is sent to the writer.
#[derive(Debug)]
pub(super) enum Part {
    /// What follows are the items of this table, by its place among the definitions.
    Table(usize),
    /// Keys and items.
    Cells(Vec<(Bytes, Bytes)>),
    /// There are no more. Without it, they were cut short.
    End,
}

/// What comes before all items.
#[derive(Debug)]
pub(super) struct Head {
    tables: Vec<WholeTable>,
    cells: Vec<(Bytes, Bytes)>,
}

impl Head {
    /// Definitions in the order of their ids; identities, and what their secrets are sealed with.
    pub(super) fn new<'a>(
        definitions: impl Iterator<Item = &'a TableDefinition>,
        identities: &Carried,
        ring: Option<(Bytes, Bytes)>,
    ) -> Self {
        let (mut tables, mut cells) = (Vec::new(), Vec::new());
        for definition in definitions {
            cells.push((definition_key(definition.id), definition.to_bytes()));
            tables.push(WholeTable {
                name: definition.name.clone(),
                id: definition.id,
                items: 0,
                size: 0,
            });
        }
        let rows = identities.rows.iter().cloned().chain(ring);
        cells.extend(rows.map(|(name, cell)| (identity_key(&name), cell)));
        cells.sort();
        Self { tables, cells }
    }
}

/// Writes parts as a backup; gives the backup as it has become. `clocks` tell the time in milliseconds since the Unix epoch, and
/// that of the steady clock.
pub(super) fn write_parts(
    archive: &Archive,
    ground: &Ground,
    (mut made, head): (WholeBackup, Head),
    mut parts: mpsc::Receiver<Part>,
    clocks: impl Fn() -> (u64, Duration),
) -> Result<(WholeBackup, Manifest), JobError> {
    let (begun_ms, mut alive_at) = clocks();
    let mut backup = ground.begin(archive, &made.id, begun_ms)?;
    for (key, cell) in &head.cells {
        backup.push(key, cell)?;
    }
    made.tables = head.tables;
    let mut place = 0;
    loop {
        match parts.blocking_recv() {
            Some(Part::Table(next)) => place = next,
            Some(Part::Cells(cells)) => {
                if let Some(table) = made.tables.get_mut(place) {
                    push_items(&mut backup, table, &cells)?;
                }
            }
            Some(Part::End) => break,
            None => return Err(JobError::NotLeading),
        }
        let (now_ms, now) = clocks();
        if now.saturating_sub(alive_at) >= ALIVE {
            alive_at = now;
            backup.is_alive(now_ms)?;
        }
    }
    made.table_count = made.tables.len() as u64;
    made.items = made.tables.iter().map(|table| table.items).sum();
    made.size = made.tables.iter().map(|table| table.size).sum();
    made.progress = (made.items, made.items);
    let manifest = backup.finish(made.to_manifest())?;
    made.copied = manifest.copied();
    Ok((made, manifest))
}

fn push_items(backup: &mut Backup, table: &mut WholeTable, cells: &[(Bytes, Bytes)]) -> Result<(), JobError> {
    for (key, cell) in cells {
        let measured = Item::measured(cell.clone());
        let (_, size) = measured.map_err(|error| JobError::Item(error.to_string()))?;
        table.items += 1;
        table.size += size as u64;
        backup.push(&item_key(table.id, key), cell)?;
    }
    Ok(())
}
