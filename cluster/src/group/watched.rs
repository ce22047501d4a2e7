//! The entries of a group whose way is watched because their requests are traced.
//!
//! Invariant: while there are none, nothing is done and no time is read.

use std::sync::Arc;

use crate::follow::Watch;
use crate::seldom::Queue;

/// See the head of the file. In the order of the entries.
#[derive(Debug, Default)]
pub(super) struct Watched(Queue<(u64, Arc<Watch>)>);

impl Watched {
    /// An entry was proposed: the last one so far.
    pub(super) fn add(&mut self, index: u64, watch: Arc<Watch>) {
        self.0.push_back((index, watch));
    }

    /// The node's own log has everything between these entries, the first one excluded.
    pub(super) fn logged(&self, behind: u64, upto: u64) {
        self.up_to(upto)
            .filter(|(index, _)| *index > behind)
            .for_each(|(_, watch)| watch.is_logged());
    }

    /// A majority has everything between these entries.
    pub(super) fn committed(&self, first: u64, upto: u64) {
        self.up_to(upto)
            .filter(|(index, _)| *index >= first)
            .for_each(|(_, watch)| watch.is_committed());
    }

    /// The engine has everything up to an entry.
    pub(super) fn applied(&mut self, upto: u64) {
        while let Some((_, watch)) = self.0.pop_front_if(|(index, _)| *index <= upto) {
            watch.is_applied();
        }
    }

    /// Nothing that was proposed is this leadership's any more.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    /// Lets go of the memory that it does not use.
    pub(super) fn shed(&mut self) {
        self.0.shed();
    }

    fn up_to(&self, upto: u64) -> impl Iterator<Item = &(u64, Arc<Watch>)> {
        self.0.iter().take_while(move |(index, _)| *index <= upto)
    }
}
