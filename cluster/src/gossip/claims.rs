//! Which process counts of each node, and who claims to be a node that another process is already.
//!
//! Invariant: of each node the process of the highest rank counts, in whatever order they were met. Not here: what is
//! done to a process that does not count (`core`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use foca::Identity;

use super::error::Fault;
use super::id::MemberId;
use crate::world::NodeId;

/// Longer than a message is under way, and how often two processes of one node are told of each other.
const UNDER_WAY_MAX: Duration = Duration::from_secs(1);

/// The processes that were met.
#[derive(Debug)]
pub(super) struct Claims {
    me: MemberId,
    /// The process that counts of each other node, and since when it is known.
    known: BTreeMap<NodeId, (MemberId, Duration)>,
    reported: BTreeSet<(NodeId, u64)>,
    /// When processes of a node were last told of each other.
    warned: BTreeMap<NodeId, Duration>,
}

impl Claims {
    pub(super) fn new(me: MemberId) -> Self {
        Self {
            me,
            known: BTreeMap::new(),
            reported: BTreeSet::new(),
            warned: BTreeMap::new(),
        }
    }

    /// Notes the process behind an id. Gives the fault if it is one of two that claim to be the same node, unless that
    /// was reported before.
    pub(super) fn note(&mut self, id: &MemberId, now: Duration) -> Option<Fault> {
        // Who is to be joined is addressed without an incarnation.
        if id.incarnation == 0 {
            return None;
        }
        let own = id.node == self.me.node;
        if own && id.incarnation > self.me.incarnation {
            return Some(Fault::Superseded {
                node: id.node,
                own: self.me.incarnation,
                seen: id.incarnation,
                address: id.address.to_string(),
            });
        }
        let known = if own {
            self.me.clone()
        } else {
            let known = self.known.entry(id.node).or_insert_with(|| (id.clone(), now));
            known.0.clone()
        };
        if id.process == known.process && id.incarnation == known.incarnation {
            return None;
        }
        if !own && id.win_addr_conflict(&known) {
            self.known.insert(id.node, (id.clone(), now));
        }
        let twice = id.incarnation == known.incarnation && self.reported.insert((id.node, id.incarnation));
        twice.then(|| Fault::Duplicate {
            node: id.node,
            incarnation: id.incarnation,
            first: known.address.to_string(),
            second: id.address.to_string(),
        })
    }

    /// Whether no other process of its node counts.
    pub(super) fn counts(&self, id: &MemberId) -> bool {
        self.known
            .get(&id.node)
            .is_none_or(|(counts, _)| counts.process == id.process)
    }

    /// The process that counts, if it is another one than the sender and the sender is to be told. What an earlier start
    /// sent may be under way for a while after it ended; of one incarnation there are never two.
    pub(super) fn warning_for(&mut self, sender: &MemberId, now: Duration) -> Option<MemberId> {
        let (counts, since) = self.known.get(&sender.node)?;
        let duplicate = sender.incarnation == counts.incarnation;
        let earlier = sender.incarnation < counts.incarnation && now.saturating_sub(*since) > UNDER_WAY_MAX;
        let last = self.warned.get(&sender.node);
        let recently = last.is_some_and(|last| now.saturating_sub(*last) < UNDER_WAY_MAX);
        if sender.process == counts.process || !(duplicate || earlier) || recently {
            return None;
        }
        let counts = counts.clone();
        self.warned.insert(sender.node, now);
        Some(counts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(node: u64, incarnation: u64, process: u32) -> MemberId {
        MemberId {
            node: NodeId(node),
            incarnation,
            process,
            renewal: 0,
            address: format!("host-{process}:1").into(),
        }
    }

    fn claims() -> Claims {
        Claims::new(id(1, 5, 50))
    }

    fn at(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    #[test]
    fn two_processes_of_one_incarnation_are_reported_once() {
        let mut claims = claims();
        assert_eq!(claims.note(&id(2, 1, 7), at(0)), None);
        assert_eq!(claims.note(&id(2, 1, 7), at(1)), None);
        let fault = Fault::Duplicate {
            node: NodeId(2),
            incarnation: 1,
            first: "host-7:1".into(),
            second: "host-6:1".into(),
        };
        assert_eq!(claims.note(&id(2, 1, 6), at(2)), Some(fault));
        assert_eq!(claims.note(&id(2, 1, 6), at(3)), None);
        assert!(claims.counts(&id(2, 1, 7)) && !claims.counts(&id(2, 1, 6)));
    }

    #[test]
    fn another_process_under_the_own_incarnation_is_a_duplicate_and_under_a_later_one_the_successor() {
        assert!(matches!(
            claims().note(&id(1, 5, 51), at(0)),
            Some(Fault::Duplicate { incarnation: 5, .. })
        ));
        assert!(matches!(
            claims().note(&id(1, 6, 51), at(0)),
            Some(Fault::Superseded { own: 5, seen: 6, .. })
        ));
        assert_eq!(
            claims().note(&id(1, 4, 51), at(0)),
            None,
            "an earlier start of this node"
        );
        assert_eq!(claims().note(&id(1, 5, 50), at(0)), None, "this process");
        assert_eq!(claims().note(&id(1, 0, 0), at(0)), None, "whatever process it is");
    }

    #[test]
    fn an_earlier_start_is_told_when_its_messages_should_have_arrived_and_then_now_and_again() {
        let mut claims = claims();
        claims.note(&id(2, 1, 7), at(0));
        claims.note(&id(2, 2, 3), at(100));
        assert_eq!(claims.warning_for(&id(2, 1, 7), at(1100)), None);
        assert_eq!(claims.warning_for(&id(2, 1, 7), at(1101)), Some(id(2, 2, 3)));
        assert_eq!(claims.warning_for(&id(2, 1, 7), at(2100)), None);
        assert_eq!(claims.warning_for(&id(2, 1, 7), at(2101)), Some(id(2, 2, 3)));
        assert_eq!(
            claims.warning_for(&id(2, 2, 3), at(9000)),
            None,
            "the one that counts"
        );
    }

    #[test]
    fn a_duplicate_is_told_at_once() {
        let mut claims = claims();
        claims.note(&id(2, 1, 7), at(0));
        claims.note(&id(2, 1, 9), at(1));
        assert_eq!(claims.warning_for(&id(2, 1, 7), at(1)), Some(id(2, 1, 9)));
    }
}
