//! What follows from a write, on the leader that decides it.
//!
//! Invariant: a leader derives by definitions at least as new as its range asks for, and as its keyspace is; what one has
//! derived by, later ones know (`accept.rs`). Not here: what follows from what (`Commands::derive`), the log's bytes
//! (`rows.rs`).

use bytes::Bytes;

use super::effect::Change;
use super::replica::{Refused, Replica};
use super::rows::{Row, RowKind};
use super::sums::SumChange;
use super::write::Target;
use crate::command::Cell;
use crate::derive::{Action, CellChange, DerivedRow, DerivedSum, Growth, Origin, Route, Value};
use crate::error::Error;
use crate::metadata::keyspaces::METADATA;

/// Which metadata something that is proposed takes into account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Known {
    /// All of it up to this entry; `u64::MAX` for what follows from nothing.
    pub(super) up_to: u64,
    /// What later leaders have to know of it, as [`crate::Derived::since`]; 0 for nothing.
    pub(super) since: u64,
}

impl Known {
    /// That of what nothing follows from, whatever the metadata says.
    pub(super) const NOTHING: Self = Self {
        up_to: u64::MAX,
        since: 0,
    };

    /// That of both together.
    pub(super) fn and(self, other: Self) -> Self {
        Self {
            up_to: self.up_to.min(other.up_to),
            since: self.since.max(other.since),
        }
    }
}

/// What follows from a write, and by which definitions.
#[derive(Debug, Default)]
pub(super) struct Following {
    pub(super) rows: Vec<Row>,
    pub(super) sums: Vec<SumChange>,
    pub(super) note: Bytes,
    pub(super) known: Known,
}

impl Replica {
    /// What follows from a write of a cell. One that `stands` is not refused any more.
    pub(super) fn follow(
        &self,
        target: &Target<'_>,
        (before, after): (Option<&Cell>, Option<&Cell>),
        origin: Origin,
        stands: bool,
    ) -> Result<Following, Refused> {
        if target.keyspace == METADATA {
            return Ok(Following {
                known: Known::NOTHING,
                ..Following::default()
            });
        }
        let up_to = self.known_for(target.keyspace)?;
        let keyspace = self.name_of(target.keyspace)?;
        let derived = self
            .host
            .commands
            .derive(&CellChange {
                keyspace: &keyspace,
                key: target.key,
                before,
                after,
                origin,
                stands,
            })
            .map_err(Error::from)?;
        let rows = self.resolve(derived.rows)?;
        // A leader has all keyspaces that are older than that of the cell. Of others it might leave the rows out.
        let younger = rows.iter().map(|row| row.keyspace);
        let youngest = younger.filter(|number| *number > target.keyspace).max();
        let since = derived.since.max(youngest.map_or(0, u64::from));
        Ok(Following {
            rows,
            sums: self.resolve_sums(derived.sums)?,
            note: derived.note,
            known: Known { up_to, since },
        })
    }

    /// The metadata that derivations take into account, if it has the keyspace.
    pub(super) fn known_for(&self, keyspace: u32) -> Result<u64, Refused> {
        let known = self.host.commands.known();
        if known < u64::from(keyspace) {
            return Err(behind());
        }
        Ok(known)
    }

    pub(super) fn name_of(&self, keyspace: u32) -> Result<std::sync::Arc<str>, Refused> {
        let name = self.host.keyspaces.name(keyspace);
        name.ok_or(Refused::Finally(Error::NoSuchKeyspace))
    }

    /// Rows with the numbers of their keyspaces; those whose keyspace was dropped are left out.
    pub(super) fn resolve(&self, rows: Vec<DerivedRow>) -> Result<Vec<Row>, Refused> {
        let mut resolved = Vec::with_capacity(rows.len());
        for row in rows {
            let Some((keyspace, _)) = self.host.keyspaces.named(&row.keyspace) else {
                continue;
            };
            let is_beside = row.route == Route::Beside;
            if is_beside && (!self.is_mine(&row.key)? || matches!(row.action, Action::Append(_))) {
                return Err(not_beside(&row.keyspace));
            }
            let dated = match row.action {
                Action::Version { at_ms, .. } => at_ms,
                _ => None,
            };
            if matches!(row.action, Action::Version { .. }) && !is_beside {
                return Err(not_beside(&row.keyspace));
            }
            let (kind, Value { head, with_cell }) = match row.action {
                Action::Put(value) => (RowKind::Put, value),
                Action::Append(value) => (RowKind::Append, value),
                Action::Delete => (RowKind::Delete, Value::default()),
                Action::Version { value, .. } => (RowKind::Version, value),
            };
            let (change, is_found) = match row.growth {
                Growth::By(items, bytes) => (Change { items, bytes }, false),
                Growth::Found => (Change::default(), true),
            };
            if is_found && (is_beside || kind == RowKind::Append) {
                let cause = format!(
                    "what a row of {} adds is not found out by its range",
                    row.keyspace
                );
                return Err(Refused::Finally(Error::Invalid { cause }));
            }
            let row = Row {
                keyspace,
                route: row.route,
                kind,
                with_cell,
                change,
                is_found,
                key: row.key,
                head,
            };
            resolved.push(match dated {
                Some(at_ms) => row.dated(at_ms),
                None => row,
            });
        }
        Ok(resolved)
    }

    /// Sums with the numbers of their keyspaces; those that stay what they are, and those whose keyspace was dropped, are left
    /// out.
    fn resolve_sums(&self, sums: Vec<DerivedSum>) -> Result<Vec<SumChange>, Refused> {
        let mut resolved = Vec::with_capacity(sums.len());
        for sum in sums {
            let Some((keyspace, _)) = self.host.keyspaces.named(&sum.keyspace) else {
                continue;
            };
            if !self.is_mine(&sum.key)? {
                return Err(not_beside(&sum.keyspace));
            }
            if sum.change != 0 {
                resolved.push(SumChange {
                    keyspace,
                    key: sum.key,
                    change: sum.change,
                    max: sum.max,
                    too_large: sum.too_large,
                });
            }
        }
        Ok(resolved)
    }

    /// Whether a key is in the range of this group.
    fn is_mine(&self, key: &[u8]) -> Result<bool, Refused> {
        let Some(courier) = self.host.courier() else {
            return Ok(true);
        };
        match courier.group_of(key) {
            Some(group) => Ok(group == self.group),
            None => Err(Refused::NotNow(
                "the node is starting and knows no layout yet".to_owned(),
            )),
        }
    }
}

fn not_beside(keyspace: &str) -> Refused {
    let cause = format!("a row of {keyspace} does not belong beside its cell");
    Refused::Finally(Error::Invalid { cause })
}

/// This node's definitions are older than they must be.
pub(super) fn behind() -> Refused {
    Refused::NotNow("the node does not know the latest definitions yet".to_owned())
}
