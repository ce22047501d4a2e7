//! What has changed in a period, as versions say. Pure.

use bytes::Bytes;

use super::{Choice, Version};

/// What has become of an item in a period. It was there before, or is there afterwards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// When it was written last in the period, in milliseconds since the Unix epoch.
    pub(crate) at_ms: u64,
    /// The item at the end of the period; `None` when it was gone.
    pub(crate) new: Option<Bytes>,
    /// The item before the period; `None` when there was none.
    pub(crate) old: Option<Bytes>,
}

/// Finds what was written in a period, as versions come in the order of their keys: one change an item, whatever has happened
/// to it in between. Of an item that has come and gone nothing is told.
#[derive(Debug)]
pub(crate) struct Changes {
    from_ms: u64,
    to_ms: u64,
    /// The item whose versions come.
    item: Vec<u8>,
    /// Its change, as long as it is not known what it was before.
    change: Option<Change>,
}

impl Changes {
    /// From a time on and before another one, both in milliseconds since the Unix epoch.
    pub(crate) fn new(from_ms: u64, to_ms: u64) -> Self {
        Self {
            from_ms,
            to_ms,
            item: Vec::new(),
            change: None,
        }
    }
}

impl Choice for Changes {
    type Chosen = Change;

    fn look(&mut self, version: &Version<'_>, chosen: &mut Vec<Change>) -> usize {
        if self.item != version.of {
            self.end(chosen);
            self.item.clear();
            self.item.extend_from_slice(version.of);
        }
        let cell = || version.cell.map(Bytes::copy_from_slice);
        if version.at_ms >= self.to_ms {
            return 0;
        }
        if version.at_ms >= self.from_ms {
            if self.change.is_none() {
                self.change = Some(Change {
                    at_ms: version.at_ms,
                    new: cell(),
                    old: None,
                });
                return version.cell.map_or(0, <[u8]>::len);
            }
            return 0;
        }
        let Some(change) = &mut self.change else {
            return 0;
        };
        change.old = cell();
        self.end(chosen);
        version.cell.map_or(0, <[u8]>::len)
    }

    fn end(&mut self, chosen: &mut Vec<Change>) {
        let change = self.change.take();
        chosen.extend(change.filter(|change| change.new.is_some() || change.old.is_some()));
    }
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;
    use stator_model::key::encode;

    use super::super::tests::{NOTHING, SOMETHING, row};
    use super::super::{AsOf, PUT, REMOVED};
    use super::*;

    #[test]
    fn what_has_changed_in_a_period_is_told_once_an_item() {
        let keys: Vec<_> = (0..6_u8).map(|sort| encode(7, b"p", Some(&[sort]))).collect();
        let key = |item: usize, at_ms, index| row(keys[item].as_bytes(), at_ms, index);
        let mut rows: Vec<(Vec<u8>, &[u8])> = vec![
            // Written at both ends, in between, before and behind.
            (key(0, 20, 9), b"Pbehind"),
            (key(0, 19, 8), b"Plast"),
            (key(0, 15, 7), NOTHING),
            (key(0, 10, 6), b"Pfirst"),
            (key(0, 9, 5), b"Pbefore"),
            (key(0, 8, 4), b"Polder"),
            // New.
            (key(1, 10, 1), b"Pnew"),
            // Deleted.
            (key(2, 12, 2), NOTHING),
            (key(2, 0, 1), b"Pold"),
            // Come and gone; gone, come and gone again.
            (key(3, 12, 2), NOTHING),
            (key(3, 11, 1), SOMETHING),
            (key(4, 12, 3), NOTHING),
            (key(4, 11, 2), SOMETHING),
            (key(4, 5, 1), NOTHING),
            // Not touched.
            (key(5, 20, 2), SOMETHING),
            (key(5, 9, 1), SOMETHING),
        ];
        rows.sort();
        let changes = |from_ms, to_ms| {
            let (mut choice, mut chosen) = (Changes::new(from_ms, to_ms), Vec::new());
            let mut bytes = 0;
            for (key, cell) in &rows {
                bytes += choice.look(&Version::read(key, cell).unwrap(), &mut chosen);
            }
            choice.end(&mut chosen);
            (chosen, bytes)
        };
        let change = |at_ms, new: Option<&'static str>, old: Option<&'static str>| Change {
            at_ms,
            new: new.map(|cell| Bytes::from_static(cell.as_bytes())),
            old: old.map(|cell| Bytes::from_static(cell.as_bytes())),
        };
        let (found, bytes) = changes(10, 20);
        assert_eq!(
            found,
            [
                change(19, Some("last"), Some("before")),
                change(10, Some("new"), None),
                change(12, None, Some("old")),
            ]
        );
        assert_eq!(bytes, 4 + 6 + 3 + 3);
        assert_eq!(changes(30, 40), (Vec::new(), 0));
        // The last one has nothing older.
        let (found, _) = changes(0, 10);
        assert_eq!(found.last(), Some(&change(9, Some("item"), None)));
    }

    proptest! {
        /// What is told of a period makes of what there was before what there is afterwards.
        #[test]
        fn changes_lead_from_one_moment_to_the_other(
            written in vec((0_u8..4, 0_u64..12, any::<bool>(), any::<u8>()), 0..40),
            from_ms in 1_u64..12,
            length in 1_u64..12,
        ) {
            let mut rows = Vec::new();
            for ((item, at_ms, is_there, value), index) in written.into_iter().zip(0..) {
                let key = encode(7, b"p", Some(&[item]));
                let cell = if is_there { vec![PUT, item, value] } else { vec![REMOVED] };
                rows.push((row(key.as_bytes(), at_ms, index), cell));
            }
            rows.sort();
            let at = |at_ms| {
                let (mut as_of, mut items) = (AsOf::new(at_ms), Vec::new());
                for (key, cell) in &rows {
                    as_of.look(&Version::read(key, cell).unwrap(), &mut items);
                }
                items.into_iter().map(|(_, cell)| cell).collect::<Vec<_>>()
            };
            let (mut choice, mut changes) = (Changes::new(from_ms, from_ms + length), Vec::new());
            for (key, cell) in &rows {
                choice.look(&Version::read(key, cell).unwrap(), &mut changes);
            }
            choice.end(&mut changes);
            let mut items = at(from_ms - 1);
            for change in changes {
                prop_assert!((from_ms..from_ms + length).contains(&change.at_ms));
                if let Some(old) = change.old {
                    let place = items.iter().position(|item| *item == old);
                    prop_assert!(place.is_some(), "what was there before is what it says");
                    items.remove(place.unwrap());
                }
                items.extend(change.new);
            }
            items.sort();
            prop_assert_eq!(items, at(from_ms + length - 1));
        }
    }
}
