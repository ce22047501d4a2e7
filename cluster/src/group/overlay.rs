//! Cells that were proposed and are not applied yet, on a leader.
//!
//! Invariant: for every key it has the newest image that was proposed in this leadership, until that is applied; so a
//! decision sees all that was decided before it. What is in here may never come to be: nothing is answered from it before
//! the entry is applied. Not here: what is applied, which is the engine's.

use std::collections::{BTreeMap, HashMap};

use bytes::Bytes;

use crate::command::Cell;

/// An image, and the entry that it comes with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) index: u64,
    /// `None` when the cell was removed.
    pub(crate) cell: Option<Cell>,
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Overlay {
    /// By keyspace, so that a key that is only looked up is not copied.
    keyspaces: BTreeMap<u32, HashMap<Bytes, Image>>,
}

impl Overlay {
    /// The newest image of a key.
    pub(crate) fn get(&self, keyspace: u32, key: &[u8]) -> Option<&Image> {
        self.keyspaces.get(&keyspace)?.get(key)
    }

    /// Takes an image as the newest one of its key.
    pub(crate) fn put(&mut self, keyspace: u32, key: Bytes, image: Image) {
        self.keyspaces.entry(keyspace).or_default().insert(key, image);
    }

    /// Entry `index` with this key is applied: its image goes unless there is a newer one.
    pub(crate) fn applied(&mut self, keyspace: u32, key: &[u8], index: u64) {
        let Some(images) = self.keyspaces.get_mut(&keyspace) else {
            return;
        };
        if images.get(key).is_some_and(|image| image.index == index) {
            images.remove(key);
            // Keyspaces come and go; one that is written to again allocates again, which a busy one hardly ever does.
            if images.is_empty() && self.keyspaces.len() > 64 {
                self.keyspaces.remove(&keyspace);
            }
        }
    }

    /// Leadership is over.
    pub(crate) fn clear(&mut self) {
        self.keyspaces.clear();
    }

    /// Lets go of the memory of keyspaces that it has nothing of.
    pub(crate) fn shed(&mut self) {
        self.keyspaces.retain(|_, images| !images.is_empty());
    }

    /// Whether there is nothing.
    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.keyspaces.values().all(HashMap::is_empty)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(index: u64) -> Image {
        Image {
            index,
            cell: Some(Bytes::from(index.to_string())),
        }
    }

    #[test]
    fn the_newest_image_stays_until_it_is_applied() {
        let mut overlay = Overlay::default();
        let key = Bytes::from_static(b"k");
        overlay.put(1, key.clone(), image(4));
        overlay.put(1, key.clone(), image(6));
        overlay.applied(1, &key, 4);
        assert_eq!(overlay.get(1, b"k"), Some(&image(6)));
        assert_eq!(overlay.get(2, b"k"), None);
        overlay.applied(2, &key, 6);
        assert!(!overlay.is_empty());
        overlay.shed();
        assert_eq!(overlay.get(1, b"k"), Some(&image(6)));
        overlay.applied(1, &key, 6);
        assert_eq!(overlay.get(1, b"k"), None);
        assert!(overlay.is_empty());
        overlay.shed();
        assert!(overlay.keyspaces.is_empty());
    }

    #[test]
    fn nothing_is_left_when_leadership_is_over() {
        let mut overlay = Overlay::default();
        overlay.put(1, Bytes::from_static(b"k"), Image { index: 4, cell: None });
        overlay.clear();
        assert!(overlay.is_empty());
    }
}
