//! A replica that another object takes the place of: nothing of it reaches the log or the engine any more.

use std::task::Wake;

use super::*;

#[test]
fn a_replica_that_is_retired_makes_no_note() {
    let group = Group::led();
    let mut write = group.write_with(1, Change::Append("a"), invocation(1));
    group.run();
    answered(write.poll());
    group.tick(1, 3);
    group.replica(1).retire();
    for node in [1, 2] {
        // It was begun before.
        group.replica(node).note_requests();
    }
    group.turn();
    let note = |node| group.replica(node).log.lock().reader().note().unwrap();
    assert!(note(2).is_some());
    // It would be in the log of the replica that takes its place.
    assert_eq!(note(1), None);
}

#[test]
fn a_replica_that_is_retired_applies_nothing() {
    let group = Group::led();
    for (id, node) in &group.nodes {
        if *id != NodeId(3) {
            node.host.keyspaces.create(7, "t").unwrap();
            node.host.keyspaces.applied(7);
        }
    }
    let replica = group.replica(1);
    let mut write = Call::new(async move {
        let target = Target {
            keyspace: 7,
            key: b"key",
        };
        replica
            .write(target, &WriteOptions::default(), &Change::Append("x"))
            .await
    });
    group.run();
    answered(write.poll());
    group.tick(1, 2);
    // It has the entry, which waits for its keyspace.
    let late = &group.nodes[&NodeId(3)];
    late.replica.retire();
    late.host.keyspaces.create(7, "t").unwrap();
    late.host.keyspaces.applied(7);
    late.replica.look_for_keyspace();
    group.run();
    let id = late.host.keyspaces.named("t").unwrap().1;
    assert!(late.host.engine.get(id, b"key").unwrap().is_none());
    assert!(late.replica.kept().1);
}

/// Looks at a replica whenever somebody is woken.
struct Looks {
    replica: Arc<Replica>,
    /// Whether nothing of it was on its way, at each look.
    found: Mutex<Vec<bool>>,
}

impl Wake for Looks {
    fn wake(self: Arc<Self>) {
        let (_, is_there) = self.replica.kept();
        self.found.lock().push(is_there);
    }
}

#[test]
fn what_is_being_applied_is_waited_for_before_another_one_takes_the_place() {
    let group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    let looks = Arc::new(Looks {
        replica: group.replica(1),
        found: Mutex::default(),
    });
    let waker = Waker::from(Arc::clone(&looks));
    let polled = write.0.as_mut().poll(&mut Context::from_waker(&waker));
    assert!(polled.is_pending());
    // Whoever waits for a write is woken by the thread that applies it.
    group.run();
    answered(write.poll());
    assert_eq!(*looks.found.lock(), [false]);
    assert!(group.replica(1).kept().1);
}

#[test]
fn whoever_waits_for_what_a_retired_replica_would_apply_is_told() {
    let group = Group::led();
    let replica = group.replica(2);
    let mut wait = Call::new(async move { replica.wait_applied(1000).await });
    group.replica(2).retire();
    assert!(matches!(wait.poll(), Some(Err(Refused::NotNow(_)))));
}
