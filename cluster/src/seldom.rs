//! Parts that are empty as a rule: a node has thousands of groups, of which most rest.
//!
//! Invariant: a part that is empty takes a pointer and nothing else until it is first changed, and again from the next
//! [`Seldom::shed`] on. In between it keeps its place, so that memory is taken once when work begins, and not with each piece of
//! it. Not here: when parts are shed (`group/rest.rs`).

use std::collections::VecDeque;
use std::ops::{Deref, DerefMut};

/// What can be empty.
pub(crate) trait Empty: Default + 'static {
    /// An empty one, to be looked at.
    const NOTHING: &'static Self;

    /// Whether it is as good as a new one.
    fn is_nothing(&self) -> bool;
}

impl<T: 'static> Empty for VecDeque<T> {
    const NOTHING: &'static Self = &Self::new();

    fn is_nothing(&self) -> bool {
        self.is_empty()
    }
}

/// See the head of the file.
#[derive(Debug, Default)]
pub(crate) struct Seldom<T>(Option<Box<T>>);

/// A queue with nothing in it, as a rule.
pub(crate) type Queue<T> = Seldom<VecDeque<T>>;

impl<T: Empty> Seldom<T> {
    /// Lets go of its memory if it is empty.
    pub(crate) fn shed(&mut self) {
        if self.is_nothing() {
            self.0 = None;
        }
    }

    /// Whether it takes nothing.
    #[cfg(test)]
    pub(crate) fn is_shed(&self) -> bool {
        self.0.is_none()
    }
}

impl<T: Empty> Deref for Seldom<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_deref().unwrap_or(T::NOTHING)
    }
}

impl<T: Empty> DerefMut for Seldom<T> {
    fn deref_mut(&mut self) -> &mut T {
        self.0.get_or_insert_default()
    }
}

impl<T: Empty> From<T> for Seldom<T> {
    fn from(part: T) -> Self {
        Self((!part.is_nothing()).then(|| Box::new(part)))
    }
}

/// The same as those of the queue, but a queue that is not there need not come to be for them.
impl<T: 'static> Queue<T> {
    pub(crate) fn pop_front(&mut self) -> Option<T> {
        self.0.as_mut()?.pop_front()
    }

    pub(crate) fn pop_front_if(&mut self, goes: impl FnOnce(&mut T) -> bool) -> Option<T> {
        self.0.as_mut()?.pop_front_if(goes)
    }

    pub(crate) fn clear(&mut self) {
        if let Some(queue) = &mut self.0 {
            queue.clear();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_takes_nothing_until_it_is_changed_and_from_when_it_is_shed() {
        assert_eq!(size_of::<Queue<u64>>(), size_of::<usize>());
        let mut queue = Queue::<u64>::default();
        assert_eq!((queue.front(), queue.len()), (None, 0));
        assert_eq!((queue.pop_front(), queue.pop_front_if(|_| true)), (None, None));
        queue.clear();
        assert!(queue.is_shed(), "looking at it is no change");
        queue.push_back(1);
        queue.push_back(2);
        queue.shed();
        assert_eq!((queue.front(), queue.len()), (Some(&1), 2), "it is not empty");
        assert_eq!(queue.pop_front_if(|first| *first > 1), None);
        assert_eq!(queue.pop_front_if(|first| *first == 1), Some(1));
        assert_eq!(queue.pop_front(), Some(2));
        assert!(!queue.is_shed(), "more may come");
        queue.shed();
        assert!(queue.is_shed() && queue.is_empty());
    }

    #[test]
    fn what_is_empty_from_the_first_takes_nothing() {
        assert!(Queue::from(VecDeque::<u64>::with_capacity(7)).is_shed());
        let queue = Queue::from(VecDeque::from([3_u64]));
        assert_eq!(queue.iter().collect::<Vec<_>>(), [&3]);
    }
}
