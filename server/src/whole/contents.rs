//! What the cells of a backup of the cluster are, by their keys (`docs/format/archive.md`): first all definitions, then all
//! identities, then the items of all tables.

use bytes::Bytes;
use stator_archive::{Archive, Manifest};
use uuid::Uuid;

use crate::catalog::TableDefinition;

/// Before the id of a table: its definition.
const DEFINITION: u8 = b'd';
/// Before the name of a row of the directory: the row.
const IDENTITY: u8 = b'i';
/// Before the id of a table and the key of an item: the item.
const ITEM: u8 = b't';

/// Bytes of the key of an item before the key that it has in its table.
const ITEM_PREFIX_BYTES: usize = 1 + 16;

/// Why what a backup says of tables and identities is of no use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ContentsError {
    #[error(transparent)]
    Archive(#[from] stator_archive::Error),
    #[error("the definition of table {id} in the backup cannot be read: {detail}")]
    Definition { id: String, detail: String },
    #[error("the backup has no table {0}")]
    NoTable(Uuid),
}

/// The key of a table's definition.
pub(crate) fn definition_key(table: Uuid) -> Bytes {
    [&[DEFINITION], &table.as_bytes()[..]].concat().into()
}

/// The key of a row of the directory.
pub(crate) fn identity_key(name: &[u8]) -> Bytes {
    [&[IDENTITY], name].concat().into()
}

/// The key of an item.
pub(crate) fn item_key(table: Uuid, key: &[u8]) -> Bytes {
    [&[ITEM], &table.as_bytes()[..], key].concat().into()
}

/// The key that an item has in its table, if it is one of that table.
pub(crate) fn key_in_table(table: Uuid, key: &Bytes) -> Option<Bytes> {
    let is_of_table = key.starts_with(&item_key(table, &[]));
    is_of_table.then(|| key.slice(ITEM_PREFIX_BYTES..))
}

/// Names and cells of rows of the directory.
pub(crate) type Rows = Vec<(Bytes, Bytes)>;

/// The definitions of all tables as they were.
///
/// # Errors
/// [`ContentsError`].
pub(crate) fn definitions(
    archive: &Archive,
    manifest: &Manifest,
) -> Result<Vec<TableDefinition>, ContentsError> {
    let mut cells = archive.cells(manifest, None)?;
    let mut all = Vec::new();
    while let Some((key, cell)) = cells.next_cell()?
        && key.first() == Some(&DEFINITION)
    {
        all.push(read(&key, &cell)?);
    }
    Ok(all)
}

/// The definition of one table as it was.
///
/// # Errors
/// [`ContentsError`].
pub(crate) fn definition_of(
    archive: &Archive,
    manifest: &Manifest,
    table: Uuid,
) -> Result<TableDefinition, ContentsError> {
    let wanted = definition_key(table);
    // Keys behind this one are asked for; few others lie between.
    let mut cells = archive.cells(manifest, Some(&wanted[..wanted.len() - 1]))?;
    while let Some((key, cell)) = cells.next_cell()?
        && key <= wanted
    {
        if key == wanted {
            return read(&key, &cell);
        }
    }
    Err(ContentsError::NoTable(table))
}

fn read(key: &[u8], cell: &[u8]) -> Result<TableDefinition, ContentsError> {
    TableDefinition::from_bytes(cell).map_err(|detail| ContentsError::Definition {
        id: Uuid::from_slice(&key[1..]).unwrap_or_default().to_string(),
        detail,
    })
}

/// The rows of the directory as they were.
///
/// # Errors
/// [`ContentsError`].
pub(crate) fn identities(archive: &Archive, manifest: &Manifest) -> Result<Rows, ContentsError> {
    let mut cells = archive.cells(manifest, Some(&[DEFINITION, 0xFF]))?;
    let mut rows = Rows::new();
    while let Some((key, cell)) = cells.next_cell()? {
        match key.first() {
            Some(&IDENTITY) => rows.push((key.slice(1..), cell)),
            Some(&DEFINITION) => {}
            _ => break,
        }
    }
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_keep_the_order_in_which_things_are_written_and_read() {
        let (one, two) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let keys = [
            definition_key(one),
            definition_key(two),
            identity_key(b"group/a"),
            identity_key(b"user/a"),
            item_key(one, b"a"),
            item_key(one, b"b"),
            item_key(two, b"a"),
        ];
        assert!(keys.is_sorted());
        assert_eq!(key_in_table(one, &keys[5]).as_deref(), Some(&b"b"[..]));
        assert_eq!(key_in_table(two, &keys[5]), None);
        assert_eq!(key_in_table(one, &keys[0]), None);
    }
}
