//! Sums over many cells of a range, on the leader that decides writes of them.
//!
//! Invariant: the newest value of a sum counts, proposed ones included: it is read, added to, and has its place in the log
//! under the latch of its row, so that of two writes that change one sum, pipelined or not, none is lost. Its new value is a row
//! beside the cell, in the entry of the write; followers and starts need to know nothing of sums. Order of latches: those of
//! cells, then those of sums; nobody who has one of the latter waits for one of the former. Not here: what is summed up
//! (`Commands::derive`).

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;

use super::effect::Change;
use super::overlay::Image;
use super::replica::{Refused, Replica, State};
use super::rows::{Row, RowKind};
use super::write::Target;
use crate::derive::{Route, Unfit, UnfitSum, sum_of};
use crate::error::Error;
use crate::latch::Latch;

/// By how much a write changes a sum.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SumChange {
    /// Number of the keyspace of its row.
    pub(super) keyspace: u32,
    pub(super) key: Bytes,
    pub(super) change: i64,
    /// As [`crate::DerivedSum::max`].
    pub(super) max: u64,
    pub(super) too_large: UnfitSum,
}

/// What a sum was and what it becomes.
#[derive(Debug)]
struct Value {
    before: u64,
    now: u64,
}

/// The sums that an entry changes, with their latches.
#[derive(Debug, Default)]
pub(super) struct Sums {
    values: BTreeMap<(u32, Bytes), Value>,
    /// The last entry that a value was read from, 0 if all are applied.
    decided_on: u64,
    /// Dropped when the entry has its place.
    _latches: Vec<Latch>,
}

impl Replica {
    /// Waits for the latches of sums that are about to change, and reads them, in the leadership of `term`. The caller holds the
    /// latches of the cells.
    pub(super) async fn sums<'a>(
        self: &Arc<Self>,
        term: u64,
        changes: impl Iterator<Item = &'a SumChange>,
    ) -> Result<Sums, Refused> {
        let mut keys: Vec<_> = changes.map(|sum| (sum.keyspace, sum.key.clone())).collect();
        if keys.is_empty() {
            return Ok(Sums::default());
        }
        keys.sort_unstable();
        keys.dedup();
        let latched = keys.iter().map(|(keyspace, key)| (*keyspace, &key[..]));
        let mut sums = Sums {
            _latches: self.host.sum_latches.acquire_all(latched).await,
            ..Sums::default()
        };
        for (keyspace, key) in keys {
            let (now, row, index) = self.newest(&Target { keyspace, key: &key })?;
            if now != term {
                return Err(Refused::NotLeader(self.other_leader()));
            }
            let Some(before) = sum_of(row.as_ref()) else {
                let cause = "the row of a sum has another length".to_owned();
                let group = self.group;
                return Err(Refused::Finally(Error::Group { group, cause }));
            };
            let value = Value { before, now: before };
            sums.values.insert((keyspace, key), value);
            sums.decided_on = sums.decided_on.max(index);
        }
        Ok(sums)
    }
}

impl Sums {
    /// Adds what a write changes, or nothing of it if that would make a sum too large and the write does not stand already.
    ///
    /// # Errors
    /// [`Unfit`].
    pub(super) fn add(&mut self, changes: &[SumChange], stands: bool) -> Result<(), Unfit> {
        let mut added = Vec::with_capacity(changes.len());
        for sum in changes {
            let place = (sum.keyspace, sum.key.clone());
            let before = self.values.get(&place).map_or(0, |value| value.now);
            let after = before.saturating_add_signed(sum.change);
            if !stands && sum.change > 0 && after > sum.max {
                return Err(Unfit {
                    code: sum.too_large.code,
                    reason: sum.too_large.reason.to_owned(),
                });
            }
            added.push((place, after));
        }
        for (place, after) in added {
            if let Some(value) = self.values.get_mut(&place) {
                value.now = after;
            }
        }
        Ok(())
    }

    /// The last entry that a value was read from, 0 if all are applied.
    pub(super) fn decided_on(&self) -> u64 {
        self.decided_on
    }

    /// The rows as they become.
    pub(super) fn rows(&self) -> impl Iterator<Item = Row> {
        let changed = self.values.iter().filter(|(_, value)| value.before != value.now);
        changed.map(|((keyspace, key), value)| Row {
            keyspace: *keyspace,
            route: Route::Beside,
            kind: if value.now == 0 {
                RowKind::Delete
            } else {
                RowKind::Put
            },
            with_cell: false,
            change: Change {
                items: i8::from(value.before == 0) - i8::from(value.now == 0),
                bytes: 0,
            },
            is_found: false,
            key: key.clone(),
            head: if value.now == 0 {
                Bytes::new()
            } else {
                Bytes::copy_from_slice(&value.now.to_le_bytes())
            },
        })
    }
}

impl State {
    /// Notes the sums of an entry as the newest, until it is applied.
    pub(super) fn remember_sums(&mut self, index: u64, sums: &Sums) {
        for row in sums.rows() {
            let cell = (row.kind == RowKind::Put).then_some(row.head);
            self.overlay.put(row.keyspace, row.key, Image { index, cell });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn change(key: &'static str, change: i64) -> SumChange {
        SumChange {
            keyspace: 4,
            key: Bytes::from_static(key.as_bytes()),
            change,
            max: 100,
            too_large: UnfitSum {
                code: 9,
                reason: "too much",
            },
        }
    }

    fn sums(values: &[(&'static str, u64)]) -> Sums {
        let value = |(key, now): &(&'static str, u64)| {
            let value = Value {
                before: *now,
                now: *now,
            };
            ((4, Bytes::from_static(key.as_bytes())), value)
        };
        Sums {
            values: values.iter().map(value).collect(),
            ..Sums::default()
        }
    }

    fn rows(sums: &Sums) -> Vec<(Bytes, Option<u64>, i8)> {
        let row = |row: Row| {
            let value = (row.kind == RowKind::Put).then(|| sum_of(Some(&row.head)).unwrap());
            (row.key, value, row.change.items)
        };
        sums.rows().map(row).collect()
    }

    #[test]
    fn what_writes_change_adds_up_and_a_sum_of_nothing_has_no_row() {
        let mut sums = sums(&[("a", 0), ("b", 10), ("c", 10), ("d", 0)]);
        let both = [change("a", 7), change("b", -4)];
        assert_eq!(sums.add(&both, false), Ok(()));
        assert_eq!(sums.add(&[change("a", 3), change("c", -10)], false), Ok(()));
        assert_eq!(sums.add(&[change("d", 5)], false), Ok(()));
        assert_eq!(sums.add(&[change("d", -5)], false), Ok(()));
        let expected = [("a", Some(10), 1), ("b", Some(6), 0), ("c", None, -1)];
        let expected = expected.map(|(key, value, items)| (Bytes::from(key), value, items));
        assert_eq!(rows(&sums), expected);
    }

    #[test]
    fn a_write_that_makes_a_sum_too_large_adds_nothing_unless_it_stands() {
        let mut sums = sums(&[("a", 95), ("b", 120), ("c", 0)]);
        let refused = Unfit {
            code: 9,
            reason: "too much".to_owned(),
        };
        let grows = [change("c", 1), change("a", 6)];
        assert_eq!(sums.add(&grows, false), Err(refused.clone()));
        assert_eq!(rows(&sums), []);
        assert_eq!(sums.add(&[change("a", 5)], false), Ok(()));
        assert_eq!(sums.add(&[change("b", 1)], false), Err(refused));
        // What makes it smaller is welcome, however large it stays.
        assert_eq!(sums.add(&[change("b", -1)], false), Ok(()));
        assert_eq!(sums.add(&[change("b", 2)], true), Ok(()));
        let expected = [("a", Some(100), 0), ("b", Some(121), 0)];
        assert_eq!(
            rows(&sums),
            expected.map(|(key, value, items)| (Bytes::from(key), value, items))
        );
    }
}
