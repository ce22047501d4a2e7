//! A skip list for one writer and any number of readers (Pugh, "Skip Lists: A Probabilistic Alternative to Balanced
//! Trees", 1990), without locks on the readers' side.
//!
//! Nodes are numbered and never move or go before the list does, so that a place in it is a number and costs nothing to
//! keep. Invariant: a node is linked at the bottom before it is linked above, and is whole before it is linked at all: a
//! reader that began after an insert ended finds the node, whatever is inserted meanwhile. The caller sees to it that
//! inserts come one at a time.

use std::cmp::Ordering;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering as Atomic};

/// Nodes are kept in pieces of this many.
const PIECE: usize = 1 << PIECE_BITS;
const PIECE_BITS: u32 = 10;
const PIECES: usize = 1 << 10;
const GROUPS: usize = 1 << 10;

/// Levels above the bottom. One node in four is on the next level, so that twelve serve 16 million nodes.
const TOWER_MAX: usize = 11;

/// Short cuts into the list.
const FINGERS: usize = 1 << 16;

/// So many links are followed from a short cut before it counts as none.
const FINGER_STEPS: usize = 16;

/// No node.
const NONE: u32 = u32::MAX;

/// A hint. Within a group the number rises with the order and is evenly spread; groups share the short cuts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) group: u32,
    pub(super) number: u16,
}

/// What the list orders.
pub(super) trait Ordered {
    /// Where this stands to `other`.
    fn order(&self, other: &Self) -> Ordering;

    /// Where to begin to look.
    fn place(&self) -> Place;
}

#[derive(Debug)]
struct Node<T> {
    item: T,
    next: AtomicU32,
    /// The node in front; may lag behind inserts that have not ended.
    previous: AtomicU32,
    /// The next node on each level above the bottom.
    tower: Box<[AtomicU32]>,
}

type Piece<T> = Box<[OnceLock<Node<T>>]>;
type Group<T> = Box<[OnceLock<Piece<T>>]>;

/// The list. Places are numbers of nodes.
#[derive(Debug)]
pub(super) struct SkipList<T> {
    groups: Box<[OnceLock<Group<T>>]>,
    first: AtomicU32,
    /// For each place the first node known to have it; anything else is only slower.
    fingers: Box<[AtomicU32]>,
    heads: [AtomicU32; TOWER_MAX],
    /// The highest level that has a node.
    height: AtomicU32,
    len: AtomicU32,
    /// Decides heights; xorshift (Marsaglia, 2003).
    random: AtomicU32,
}

fn cells<T>(count: usize) -> Box<[OnceLock<T>]> {
    (0..count).map(|_| OnceLock::new()).collect()
}

impl<T: Ordered> SkipList<T> {
    pub(super) fn new() -> Self {
        Self {
            groups: cells(GROUPS),
            first: AtomicU32::new(NONE),
            fingers: (0..FINGERS).map(|_| AtomicU32::new(NONE)).collect(),
            heads: [const { AtomicU32::new(NONE) }; TOWER_MAX],
            height: AtomicU32::new(0),
            len: AtomicU32::new(0),
            random: AtomicU32::new(0x9E37_79B9),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.load(Atomic::Acquire) == NONE
    }

    /// The node with this number, which must have been given out.
    fn node(&self, number: u32) -> Option<&Node<T>> {
        let number = number as usize;
        self.groups
            .get(number >> (2 * PIECE_BITS))?
            .get()?
            .get((number >> PIECE_BITS) % PIECES)?
            .get()?
            .get(number % PIECE)?
            .get()
    }

    /// What is at a place.
    pub(super) fn get(&self, place: u32) -> Option<&T> {
        self.node(place).map(|node| &node.item)
    }

    /// The link behind `from` (or at the front, for `NONE`) on `level`; level 0 is the bottom.
    fn link(&self, from: u32, level: usize) -> &AtomicU32 {
        let node = (from != NONE).then(|| self.node(from)).flatten();
        match (node, level.checked_sub(1)) {
            (Some(node), None) => &node.next,
            (Some(node), Some(above)) => &node.tower[above],
            (None, None) => &self.first,
            (None, Some(above)) => &self.heads[above],
        }
    }

    /// The last place before which `is_before` holds, on every level from the top: `visit` gets level and node.
    fn descend(&self, is_before: impl Fn(&T) -> bool, mut visit: impl FnMut(usize, u32)) {
        let mut at = NONE;
        let mut known_not_before = NONE;
        for level in (0..=self.height.load(Atomic::Acquire) as usize).rev() {
            loop {
                let next = self.link(at, level).load(Atomic::Acquire);
                // What was behind the place one level up is behind it here.
                if next == NONE || next == known_not_before {
                    break;
                }
                match self.node(next) {
                    Some(node) if is_before(&node.item) => at = next,
                    _ => {
                        known_not_before = next;
                        break;
                    }
                }
            }
            visit(level, at);
        }
    }

    /// The last node for which `is_before` holds, if a short cut for `place` leads close to it.
    fn shortcut(&self, place: Place, is_before: &impl Fn(&T) -> bool) -> Option<u32> {
        let number = usize::from(place.number);
        let starts = [Some(number), number.checked_sub(1)];
        let start = starts.into_iter().flatten().find_map(|finger| {
            let number = self.fingers[finger].load(Atomic::Acquire);
            self.node(number)
                .filter(|node| node.item.place().group == place.group && is_before(&node.item))
                .map(|_| number)
        })?;
        let mut at = start;
        for _ in 0..FINGER_STEPS {
            let next = self.node(at)?.next.load(Atomic::Acquire);
            match self.node(next) {
                Some(node) if is_before(&node.item) => at = next,
                _ => return Some(at),
            }
        }
        None
    }

    /// The last item for which `is_before` holds; the items for which it does must come first. `place` is that of the
    /// item that is looked for.
    pub(super) fn last_before(&self, place: Place, is_before: impl Fn(&T) -> bool) -> Option<u32> {
        if let Some(found) = self.shortcut(place, &is_before) {
            return Some(found);
        }
        let mut found = NONE;
        self.descend(is_before, |_, at| found = at);
        (found != NONE).then_some(found)
    }

    /// The first item for which `is_before` does not hold.
    pub(super) fn first_not_before(&self, place: Place, is_before: impl Fn(&T) -> bool) -> Option<u32> {
        let before = self.last_before(place, &is_before).unwrap_or(NONE);
        let mut at = self.link(before, 0).load(Atomic::Acquire);
        // An insert may have come in between.
        while let Some(node) = self.node(at).filter(|node| is_before(&node.item)) {
            at = node.next.load(Atomic::Acquire);
        }
        (at != NONE).then_some(at)
    }

    pub(super) fn first(&self) -> Option<u32> {
        Some(self.first.load(Atomic::Acquire)).filter(|place| *place != NONE)
    }

    pub(super) fn next(&self, place: u32) -> Option<u32> {
        let next = self.node(place)?.next.load(Atomic::Acquire);
        (next != NONE).then_some(next)
    }

    pub(super) fn previous(&self, place: u32) -> Option<u32> {
        let previous = self.node(place)?.previous.load(Atomic::Acquire);
        (previous != NONE).then_some(previous)
    }

    /// Inserts an item; `false` if an equal one is there, which then stays. One caller at a time.
    pub(super) fn insert(&self, item: T) -> bool {
        let mut before = [NONE; TOWER_MAX + 1];
        let is_before = |other: &T| other.order(&item) == Ordering::Less;
        let tower = self.draw_tower();
        let place = item.place();
        // The levels above matter only to a node that has them.
        let shortcut = (tower == 0).then(|| self.shortcut(place, &is_before)).flatten();
        match shortcut {
            Some(found) => before[0] = found,
            None => self.descend(is_before, |level, at| before[level] = at),
        }
        let next = self.link(before[0], 0).load(Atomic::Relaxed);
        if self
            .get(next)
            .is_some_and(|other| other.order(&item) == Ordering::Equal)
        {
            return false;
        }
        let number = self.len.load(Atomic::Relaxed);
        let links = (1..=tower).map(|level| {
            let behind = self.link(before[level], level).load(Atomic::Relaxed);
            AtomicU32::new(behind)
        });
        let node = Node {
            item,
            next: AtomicU32::new(next),
            previous: AtomicU32::new(before[0]),
            tower: links.collect(),
        };
        self.store(number, node);
        self.len.store(number + 1, Atomic::Relaxed);
        self.link(before[0], 0).store(number, Atomic::Release);
        if let Some(behind) = self.node(next) {
            behind.previous.store(number, Atomic::Release);
        }
        for (level, before) in before.iter().enumerate().take(tower + 1).skip(1) {
            self.link(*before, level).store(number, Atomic::Release);
        }
        let finger = &self.fingers[usize::from(place.number)];
        let comes_first = self
            .node(finger.load(Atomic::Relaxed))
            .zip(self.node(number))
            .is_none_or(|(known, new)| {
                known.item.place().group != place.group || new.item.order(&known.item) == Ordering::Less
            });
        if comes_first {
            finger.store(number, Atomic::Release);
        }
        if tower > self.height.load(Atomic::Relaxed) as usize {
            self.height
                .store(u32::try_from(tower).unwrap_or(0), Atomic::Release);
        }
        true
    }

    fn store(&self, number: u32, node: Node<T>) {
        let number = number as usize;
        let group = self.groups[number >> (2 * PIECE_BITS)].get_or_init(|| cells(PIECES));
        let piece = group[(number >> PIECE_BITS) % PIECES].get_or_init(|| cells(PIECE));
        let stored = piece[number % PIECE].set(node);
        assert!(stored.is_ok(), "inserts come one at a time");
    }

    /// How many levels above the bottom the next node reaches.
    fn draw_tower(&self) -> usize {
        let mut random = self.random.load(Atomic::Relaxed);
        random ^= random << 13;
        random ^= random >> 17;
        random ^= random << 5;
        self.random.store(random, Atomic::Relaxed);
        (random.trailing_zeros() as usize / 2).min(TOWER_MAX)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;
    use std::thread;

    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    impl Ordered for u64 {
        fn order(&self, other: &Self) -> Ordering {
            self.cmp(other)
        }

        fn place(&self) -> Place {
            place(*self)
        }
    }

    /// Small numbers have a few places, large ones are spread.
    fn place(number: u64) -> Place {
        let small = number < 1000;
        Place {
            group: u32::from(small),
            number: u16::try_from(if small { number / 100 } else { number >> 48 }).unwrap(),
        }
    }

    fn forward(list: &SkipList<u64>) -> Vec<u64> {
        let places = std::iter::successors(list.first(), |place| list.next(*place));
        places.map(|place| *list.get(place).unwrap()).collect()
    }

    fn backward(list: &SkipList<u64>) -> Vec<u64> {
        let places = std::iter::successors(list.last_before(place(u64::MAX), |_| true), |place| {
            list.previous(*place)
        });
        places.map(|place| *list.get(place).unwrap()).collect()
    }

    proptest! {
        #[test]
        fn the_list_is_a_sorted_set(numbers in vec(0_u64..500, 0..3000), probe in 0_u64..500) {
            let list = SkipList::new();
            let mut model = std::collections::BTreeSet::new();
            for number in numbers {
                prop_assert_eq!(list.insert(number), model.insert(number));
            }
            let mut sorted: Vec<u64> = model.iter().copied().collect();
            prop_assert_eq!(forward(&list), sorted.clone());
            let at = list.first_not_before(place(probe), |number| *number < probe).map(|place| *list.get(place).unwrap());
            prop_assert_eq!(at, model.range(probe..).next().copied());
            let at = list.last_before(place(probe), |number| *number < probe).map(|place| *list.get(place).unwrap());
            prop_assert_eq!(at, model.range(..probe).next_back().copied());
            sorted.reverse();
            prop_assert_eq!(backward(&list), sorted);
            prop_assert_eq!(list.is_empty(), model.is_empty());
        }
    }

    #[test]
    fn readers_see_all_that_was_inserted_before_they_began() {
        const COUNT: u64 = 40_000;
        let list = SkipList::new();
        let inserted = AtomicU32::new(0);
        let done = AtomicBool::new(false);
        let number = |index: u64| index.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        thread::scope(|scope| {
            scope.spawn(|| {
                for index in 0..COUNT {
                    assert!(list.insert(number(index)));
                    inserted.store(u32::try_from(index).unwrap() + 1, Atomic::Release);
                }
                done.store(true, Atomic::Release);
            });
            for backwards in [false, true] {
                let (list, inserted, done) = (&list, &inserted, &done);
                scope.spawn(move || {
                    while !done.load(Atomic::Acquire) {
                        let count = inserted.load(Atomic::Acquire) as usize;
                        let seen = if backwards { backward(list) } else { forward(list) };
                        assert!(seen.is_sorted_by(|left, right| (left < right) != backwards));
                        assert!(seen.len() >= count, "{} of {count}", seen.len());
                        if let Some(last) = count.checked_sub(1) {
                            let last = number(last as u64);
                            let place = list
                                .first_not_before(place(last), |number| *number < last)
                                .unwrap();
                            assert_eq!(list.get(place), Some(&last));
                        }
                    }
                });
            }
        });
    }
}
