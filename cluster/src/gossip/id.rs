//! Who a member is: a process of a node.
//!
//! Invariant: of two identities of one node, the one of the later start wins; of two with the same start, which must
//! not be, every node picks the same one. Not here: what is done when two processes claim to be one node (`core`).

use std::sync::Arc;

use crate::world::NodeId;

/// A process of a node, as it is known to `foca`. Small to clone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct MemberId {
    pub(super) node: NodeId,
    /// How often the node was started; 0 where it is not known, which is only in what is sent to a node to join it.
    pub(super) incarnation: u64,
    /// Drawn by the process when it starts, so that two processes of one incarnation can be told apart.
    pub(super) process: u32,
    /// How often the process has come back after it was held to be down.
    pub(super) renewal: u32,
    pub(super) address: Arc<str>,
}

impl MemberId {
    /// The order in which identities of one node replace each other.
    fn rank(&self) -> (u64, u32, u32, &str) {
        (self.incarnation, self.process, self.renewal, &self.address)
    }
}

impl foca::Identity for MemberId {
    type Addr = NodeId;

    fn renew(&self) -> Option<Self> {
        Some(Self {
            renewal: self.renewal.checked_add(1)?,
            ..self.clone()
        })
    }

    fn addr(&self) -> NodeId {
        self.node
    }

    fn win_addr_conflict(&self, adversary: &Self) -> bool {
        self.rank() > adversary.rank()
    }
}

#[cfg(test)]
mod tests {
    use foca::Identity;

    use super::*;

    fn id(incarnation: u64, process: u32, renewal: u32) -> MemberId {
        MemberId {
            node: NodeId(1),
            incarnation,
            process,
            renewal,
            address: "a:1".into(),
        }
    }

    #[test]
    fn a_later_start_wins_over_any_renewal_of_an_earlier_one() {
        let restarted = id(2, 0, 0);
        let old = id(1, u32::MAX, u32::MAX);
        assert!(restarted.win_addr_conflict(&old));
        assert!(!old.win_addr_conflict(&restarted));
    }

    #[test]
    fn a_renewed_identity_wins_over_the_one_before() {
        let before = id(1, 7, 0);
        let renewed = before.renew().unwrap();
        assert!(renewed.win_addr_conflict(&before));
        assert_eq!((renewed.incarnation, renewed.process), (1, 7));
    }

    #[test]
    fn the_last_renewal_has_no_next_one() {
        assert_eq!(id(1, 7, u32::MAX).renew(), None);
    }
}
