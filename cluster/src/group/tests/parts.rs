//! Parts of transactions, when leaders change at the wrong moment.

use super::*;
use crate::transaction::TransactionId;

/// Has a node end a part that it knows nothing of.
fn end(group: &Group, node: u64) -> Call<Result<(), Refused>> {
    let replica = group.replica(node);
    Call::new(async move {
        let (transaction, prepared) = (TransactionId([1; 16]), (9, 0));
        replica
            .commit_part(transaction, prepared, ConsistencyLevel::Quorum)
            .await
    })
}

#[test]
fn a_leader_that_was_left_behind_says_of_no_part_that_it_is_carried_out() {
    let mut group = Group::led();
    group.away = vec![NodeId(1)];
    let leader = group.fail_over();
    // The other one may have prepared the part. This one has not heard of it.
    assert!(group.replica(1).is_leader());
    let mut left_behind = end(&group, 1);
    group.run();
    assert!(left_behind.poll().is_none());
    group.away.clear();
    group.tick(leader, 3);
    let outcome = left_behind.poll();
    assert!(matches!(outcome, Some(Err(Refused::NotLeader(_)))), "{outcome:?}");
    // Whoever leads knows that it was carried out before.
    let mut again = end(&group, leader);
    group.run();
    let outcome = again.poll();
    assert!(matches!(outcome, Some(Ok(()))), "{outcome:?}");
}
