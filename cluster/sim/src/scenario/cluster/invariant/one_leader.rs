//! A term of a group has one leader at most, whoever says so and whenever.

use std::collections::BTreeMap;

use stator_cluster::NodeId;

use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::node::GroupView;

/// Who was said to lead a group in a term, and who has said it first.
#[derive(Debug, Default)]
pub(in crate::scenario::cluster) struct Leaders(BTreeMap<(u64, u64), (NodeId, NodeId)>);

impl Leaders {
    /// Takes down what a node says.
    ///
    /// # Errors
    /// When another leader of a term was named before.
    pub(in crate::scenario::cluster) fn observe(
        &mut self,
        node: NodeId,
        groups: &[GroupView],
    ) -> Result<(), String> {
        for view in groups {
            let Some(leader) = view.leader else {
                continue;
            };
            let (first, witness) = *self.0.entry((view.group, view.term)).or_insert((leader, node));
            if first != leader {
                return Err(Invariant::OneLeader.broken(format_args!(
                    "group {} has two leaders in term {}: node {first} by node {witness}, node {leader} by node {node}",
                    view.group, view.term
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(group: u64, term: u64, leader: u64) -> GroupView {
        GroupView {
            group,
            range: None,
            replica: 1,
            replicas: Vec::new(),
            leader: (leader > 0).then_some(NodeId(leader)),
            term,
            committed: 0,
            applied: 0,
            prepared: 0,
            is_diverged: false,
            is_filled: true,
        }
    }

    #[test]
    fn two_leaders_of_one_term_are_noticed_and_nothing_else() {
        let mut leaders = Leaders::default();
        let fine = [
            (1, view(1, 1, 1)),
            (2, view(1, 1, 0)),
            (2, view(1, 1, 1)),
            (2, view(1, 2, 2)),
            (2, view(2, 1, 2)),
        ];
        for (node, view) in fine {
            assert_eq!(leaders.observe(NodeId(node), &[view]), Ok(()));
        }
        let reason = leaders.observe(NodeId(3), &[view(1, 2, 3)]).unwrap_err();
        assert!(
            reason.starts_with("one leader: group 1 has two leaders in term 2: node 2"),
            "{reason}"
        );
    }
}
