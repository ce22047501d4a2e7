//! Replicas of a group at the same applied index have the same bytes.
//!
//! Invariant: digests are compared over the whole run: what one replica was at an index yesterday, another has to be when
//! it gets there. Not here: how a digest is made.

use std::collections::BTreeMap;

use stator_cluster::NodeId;

/// What a replica says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    /// Where the replica is.
    pub node: NodeId,
    /// The group.
    pub group: u64,
    /// How far it has applied the group's log.
    pub applied_index: u64,
    /// A hash of all its bytes.
    pub digest: u128,
}

/// Two replicas that should be equal and are not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "replicas of group {} differ at index {}: node {} has {:032x}, node {} has {:032x}",
    first.group, first.applied_index, first.node, first.digest, second.node, second.digest
)]
pub struct Diverged {
    /// Who was seen first.
    pub first: ReplicaState,
    /// Who differs.
    pub second: ReplicaState,
}

/// Everything that replicas have said so far.
#[derive(Debug, Default)]
pub struct Convergence {
    seen: BTreeMap<(u64, u64), ReplicaState>,
}

impl Convergence {
    /// Nothing was said yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes down what a replica says.
    ///
    /// # Errors
    /// [`Diverged`] when another replica, or this one earlier, had other bytes at this index.
    pub fn observe(&mut self, state: ReplicaState) -> Result<(), Diverged> {
        let first = *self
            .seen
            .entry((state.group, state.applied_index))
            .or_insert(state);
        if first.digest == state.digest {
            Ok(())
        } else {
            Err(Diverged { first, second: state })
        }
    }

    /// Forgets what lies below an index of a group, in a run that is too long to keep all.
    pub fn forget_below(&mut self, group: u64, index: u64) {
        self.seen
            .retain(|(known, applied), _| *known != group || *applied >= index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(node: u64, group: u64, applied_index: u64, digest: u128) -> ReplicaState {
        ReplicaState {
            node: NodeId(node),
            group,
            applied_index,
            digest,
        }
    }

    #[test]
    fn replicas_are_compared_at_the_same_index_of_the_same_group_only() {
        let mut convergence = Convergence::new();
        for seen in [
            state(1, 1, 5, 50),
            state(2, 1, 6, 60),
            state(2, 2, 5, 70),
            state(3, 1, 5, 50),
            state(3, 1, 6, 60),
        ] {
            assert_eq!(convergence.observe(seen), Ok(()));
        }
        let late = state(2, 1, 5, 51);
        let diverged = convergence.observe(late).unwrap_err();
        assert_eq!((diverged.first, diverged.second), (state(1, 1, 5, 50), late));
        assert!(
            diverged
                .to_string()
                .starts_with("replicas of group 1 differ at index 5: node 1")
        );
        convergence.forget_below(1, 6);
        assert_eq!(convergence.observe(late), Ok(()));
        assert!(convergence.observe(state(1, 1, 6, 61)).is_err());
    }
}
