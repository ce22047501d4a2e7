//! The log of a node stays within its bound, whichever of its groups are busy, and nothing is forgotten for it.

use stator_storage::{LogBatch, StreamId};

use super::*;

const QUIET_GROUPS: u32 = 20;
const BUSY: u32 = QUIET_GROUPS + 1;
/// What its answers would take is not held in memory.
const LONG: &str =
    "a text of more bytes than an answer may have that is remembered together with its request";

/// One node that is the only member of many groups.
struct OneNode {
    disk: MemVfs,
    world: Arc<Still>,
    host: Arc<Host>,
    replicas: BTreeMap<u32, Arc<Replica>>,
}

impl OneNode {
    fn new() -> Self {
        let (disk, world) = (MemVfs::new(), Arc::new(Still::default()));
        let host = host(&disk, NodeId(1), &world, &Basket::default());
        let members = Members::founding(peers(1));
        let found = |group| {
            let birth = Birth {
                group,
                id: ReplicaId(11),
                preferred: None,
            };
            let (replica, batch) = recover::found(&host, birth, &members).unwrap();
            host.engine
                .append_and_write(batch, WriteBatch::new(), Durability::Sync)
                .unwrap();
            (group, replica)
        };
        let replicas = (1..=BUSY).map(found).collect();
        Self {
            disk,
            world,
            host,
            replicas,
        }
        .led()
    }

    /// It loses power and comes back.
    fn restarted(self) -> Self {
        let disk = self.disk.after_power_cut(Unsynced::Lost);
        let world = Arc::new(Still::default());
        let host = host(&disk, NodeId(1), &world, &Basket::default());
        let found = |group| {
            let replica = recover::recover(&host, group, None);
            (group, replica.unwrap().unwrap())
        };
        let replicas = (1..=BUSY).map(found).collect();
        Self {
            disk,
            world,
            host,
            replicas,
        }
        .led()
    }

    fn led(self) -> Self {
        for replica in self.replicas.values() {
            replica.campaign();
        }
        self.turn();
        self
    }

    fn turn(&self) {
        turn(&self.host, &self.world);
    }

    fn tick(&self, ticks: u32) {
        for _ in 0..ticks {
            for replica in self.replicas.values() {
                replica.tick(&Peers(BTreeMap::new()));
            }
            self.turn();
        }
    }

    /// Each group has a key of its own.
    fn write(&self, group: u32, change: Change, options: WriteOptions) -> Bytes {
        let replica = Arc::clone(&self.replicas[&group]);
        let mut call = Call(Box::pin(async move {
            let key = group.to_be_bytes();
            let target = Target {
                keyspace: METADATA,
                key: &key,
            };
            replica.write(target, &options, &change).await
        }));
        let answer = call.poll().or_else(|| {
            self.turn();
            call.poll()
        });
        answered(answer)
    }

    /// A group is busy until the log has begun so many segments.
    fn be_busy(&self, segments: u64) {
        let most = |host: &Host| host.engine.log_statistics().segments;
        let written = || self.host.engine.log_statistics().frame_bytes;
        let end = written() + segments * LOG_SEGMENT_BYTES;
        let mut number = 1000;
        while written() < end {
            for (from, to) in [("", "x"), ("x", "")] {
                number += 1;
                self.write(BUSY, Change::Swap(from, to), invocation(number));
            }
            self.tick(1);
            assert!(
                most(&self.host) <= LOG_SEGMENTS_MAX,
                "{:?}",
                self.host.engine.log_statistics()
            );
        }
    }
}

#[test]
fn quiet_groups_let_go_of_the_log_and_remember_their_requests() {
    let mut node = OneNode::new();
    for group in 1..=QUIET_GROUPS {
        node.write(group, Change::Append(LONG), WriteOptions::default());
        let answer = node.write(group, Change::Append("a"), invocation(u64::from(group)));
        assert_eq!(answer, LONG);
        let answer = node.write(group, Change::Append("b"), invocation(u64::from(group) + 100));
        assert_eq!(answer.len(), LONG.len() + 1);
    }
    for _ in 0..3 {
        node.be_busy(4 * LOG_SEGMENTS_MAX);
        node = node.restarted();
        for group in 1..=QUIET_GROUPS {
            let answer = node.write(group, Change::Append("a"), invocation(u64::from(group)));
            assert_eq!(answer, LONG, "the answer that there was");
            let answer = node.write(group, Change::Append("b"), invocation(u64::from(group) + 100));
            assert_eq!(answer.len(), LONG.len() + 1);
        }
    }
    for group in 1..=QUIET_GROUPS {
        let now = node.write(group, Change::Append(""), WriteOptions::default());
        assert_eq!(now.len(), LONG.len() + 2, "a request has taken effect twice");
    }
}

/// Something else fills a segment of the log of each of these nodes.
fn fill_segments(group: &Group, nodes: &[u64], number: &mut u64) {
    let other = StreamId(700);
    for _ in 0..5 {
        *number += 1;
        for node in nodes.iter().map(|node| &group.nodes[&NodeId(*node)]) {
            let mut batch = LogBatch::new();
            batch.append(other, *number, &[0; 1000]);
            batch.cut_head(other, *number);
            node.host.engine.append(batch, Durability::Sync, Result::unwrap);
        }
        group.turn();
    }
}

fn assert_bound(group: &Group, segments: u64) {
    for node in group.nodes.values() {
        let statistics = node.host.engine.log_statistics();
        assert!(statistics.segments <= segments, "{statistics:?}");
    }
}

#[test]
fn members_of_a_group_that_rests_let_go_of_the_log() {
    let mut group = Group::led();
    let mut write = group.write_with(1, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(write.poll()), "");
    for _ in 0..40 {
        (1..=3).for_each(|node| group.tick(node, 1));
    }
    assert!((1..=3).all(|node| group.replica(node).standing().is_quiet));
    let mut number = 0;
    for _ in 0..4 * LOG_SEGMENTS_MAX {
        fill_segments(&group, &[1, 2, 3], &mut number);
        for _ in 0..10 {
            (1..=3).for_each(|node| group.tick(node, 1));
        }
        assert_bound(&group, LOG_SEGMENTS_MAX);
    }
    assert!((1..=3).all(|node| group.replica(node).standing().is_quiet));
    for node in 1..=3 {
        group.restart(node);
    }
    group.replica(3).campaign();
    group.run();
    let mut again = group.write_with(3, Change::Append("a"), invocation(1));
    group.run();
    assert_eq!(answered(again.poll()), "");
    assert_eq!(group.cell(3).unwrap(), "a");
}

#[test]
fn members_of_a_slow_group_let_go_of_the_log() {
    let group = Group::led();
    let mut number = 0;
    for round in 0..200 {
        let mut write = group.write_with(1, Change::Append("a"), invocation(round));
        group.run();
        answered(write.poll());
        for _ in 0..10 {
            (1..=3).for_each(|node| group.tick(node, 1));
        }
        if round % 10 == 0 {
            fill_segments(&group, &[1, 2, 3], &mut number);
        }
        // The floor has to be said first, and its entry and the notes take room themselves.
        assert_bound(&group, LOG_SEGMENTS_MAX + LOG_SEGMENTS_MAX / 2);
    }
    assert!(group.replica(2).state.lock().cut > 100);
}

/// As the metadata is, which the steward looks at every second: such a group does not rest.
#[test]
fn members_of_a_group_that_is_only_read_let_go_of_the_log() {
    // The leader's own log may be one that does not grow.
    for busy in [&[1, 2, 3][..], &[2, 3]] {
        let group = Group::led();
        let mut write = group.write(1, Change::Append("a"));
        group.run();
        answered(write.poll());
        let mut number = 0;
        for round in 0..600 {
            let replica = group.replica(1);
            let mut read = Call::new(async move { replica.read_index().await });
            group.run();
            assert!(matches!(read.poll(), Some(Ok(_))));
            for _ in 0..10 {
                (1..=3).for_each(|node| group.tick(node, 1));
            }
            assert!(!group.replica(1).standing().is_quiet);
            if round % 20 == 0 {
                fill_segments(&group, busy, &mut number);
            }
            assert_bound(&group, LOG_SEGMENTS_MAX + LOG_SEGMENTS_MAX / 2);
        }
    }
}

/// One member is away while the others write for so many rounds. What the log of a member that is there has kept at most,
/// and keeps at the end, in segments.
fn write_without_the_third(group: &Group, rounds: u64, number: &mut u64) -> (u64, u64) {
    let kept = |node: u64| group.nodes[&NodeId(node)].host.engine.log_statistics().segments;
    let mut most = 0;
    for round in 0..rounds {
        let mut write = group.write_with(1, Change::Append("a"), invocation(round));
        group.run();
        answered(write.poll());
        for _ in 0..10 {
            (1..=2).for_each(|node| group.tick(node, 1));
        }
        fill_segments(group, &[1, 2], number);
        most = most.max(kept(1)).max(kept(2));
    }
    (most, kept(1).max(kept(2)))
}

/// Time passes until the third member has all that the first one has, or is told that it cannot get it. Whether it has it.
fn catches_up(group: &Group) -> bool {
    for _ in 0..100 {
        (1..=3).for_each(|node| group.tick(node, 1));
        if group.replica(3).is_outdated() {
            return false;
        }
        if group.cell(3) == group.cell(1) {
            return true;
        }
    }
    panic!("the third member gets nothing, and is told nothing");
}

#[test]
fn a_member_that_is_away_for_a_short_time_gets_what_the_log_has_kept_for_it() {
    let mut group = Group::led();
    group.away = vec![NodeId(3)];
    let mut number = 0;
    let (most, _) = write_without_the_third(&group, 2 * LOG_SEGMENTS_MAX, &mut number);
    assert!(most > LOG_SEGMENTS_MAX + LOG_SEGMENTS_MAX / 2, "{most} segments");
    group.away.clear();
    assert!(catches_up(&group));
    let mut kept = most;
    for _ in 0..40 {
        for _ in 0..10 {
            (1..=3).for_each(|node| group.tick(node, 1));
        }
        fill_segments(&group, &[1, 2], &mut number);
        kept = group.nodes[&NodeId(1)].host.engine.log_statistics().segments;
    }
    assert!(kept <= LOG_SEGMENTS_MAX, "{kept} segments are kept for nobody");
}

#[test]
fn the_log_is_not_kept_without_bound_for_a_member_that_is_away() {
    let mut group = Group::led();
    group.away = vec![NodeId(3)];
    let (most, kept) = write_without_the_third(&group, 30 * LOG_SEGMENTS_MAX, &mut 0);
    let bound = AWAY_LOG_BYTES / LOG_SEGMENT_BYTES;
    assert!(most >= bound, "only {most} segments were kept for it");
    assert!(most <= bound + LOG_SEGMENTS_MAX, "{most} segments");
    // Nothing is kept for it any more, as it needs everything anyway.
    assert!(kept <= LOG_SEGMENTS_MAX + LOG_SEGMENTS_MAX / 2, "{kept} segments");
    // Nobody forgets what was acknowledged.
    let all = group.cell(1);
    group.restart(1);
    group.restart(2);
    group.replica(1).campaign();
    group.run();
    assert!(group.replica(1).is_leader());
    assert_eq!(group.cell(1), all);
    group.away.clear();
    assert!(!catches_up(&group), "the log begins behind what it has");
}

/// Little is written of a group, while the second member has much else in its log, and the leader has not.
fn fill_the_second(group: &Group) {
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    let kept = || group.nodes[&NodeId(2)].host.engine.log_statistics().segments;
    let (mut number, mut most) = (0, 0);
    for _ in 0..20 * LOG_SEGMENTS_MAX {
        for _ in 0..10 {
            (1..=2).for_each(|node| group.tick(node, 1));
        }
        fill_segments(group, &[2], &mut number);
        most = most.max(kept());
    }
    let bound = 2 * AWAY_LOG_BYTES / LOG_SEGMENT_BYTES;
    assert!(most >= bound, "only {most} segments were kept");
    assert!(kept() <= LOG_SEGMENTS_MAX, "{} segments", kept());
}

/// Of a group of which little is written, on a node with much else.
#[test]
fn a_member_that_does_not_lead_does_not_keep_the_log_without_bound_either() {
    let mut group = Group::led();
    group.away = vec![NodeId(3)];
    fill_the_second(&group);
    // Its leader has everything for whoever comes back.
    group.away.clear();
    assert!(catches_up(&group));
}

/// Three replicas of which the first leads and has led from the beginning of its term without a word of the third, which is there
/// and waits to be filled.
fn with_unfilled() -> Group {
    let mut group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    for node in 1..=3 {
        group.restart(node);
    }
    let third = group.nodes.get_mut(&NodeId(3)).unwrap();
    let (kept, _) = third.replica.kept();
    third.replica.retire();
    let birth = Birth {
        group: GROUP,
        id: third.replica.id(),
        preferred: None,
    };
    let (unfilled, batch) = recover::unfilled(&third.host, birth, (kept.hard_state, kept.members)).unwrap();
    third
        .host
        .engine
        .append_and_write(batch, WriteBatch::new(), Durability::Sync)
        .unwrap();
    third.replica = unfilled;
    group.replica(1).campaign();
    group.run();
    assert!(group.replica(1).is_leader());
    group
}

/// Three replicas of which the first leads and the third has what the others have lost.
fn with_diverged() -> Group {
    let group = Group::led();
    let mut write = group.write(1, Change::Append("a"));
    group.run();
    answered(write.poll());
    group.tick(1, 3);
    let third = group.replica(3);
    let standing = third.standing();
    let before = (standing.committed, standing.term + 1);
    let notice = RaftMessage::notice((ReplicaId(11), third.id()), standing.term, before);
    third.receive(NodeId(1), notice);
    assert!(third.is_diverged());
    group
}

/// Nobody says that it is away, and it says nothing of its log: a replica that waits for its turn to be filled under a leader that has
/// come since, and one that takes no part any more.
#[test]
fn the_log_is_not_kept_without_bound_for_a_member_that_is_there_and_says_nothing() {
    for group in [with_unfilled(), with_diverged()] {
        let (most, kept) = write_without_the_third(&group, 30 * LOG_SEGMENTS_MAX, &mut 0);
        let bound = AWAY_LOG_BYTES / LOG_SEGMENT_BYTES;
        assert!(most >= bound, "only {most} segments were kept for it");
        assert!(most <= bound + LOG_SEGMENTS_MAX, "{most} segments");
        assert!(kept <= LOG_SEGMENTS_MAX + LOG_SEGMENTS_MAX / 2, "{kept} segments");
    }
}

/// Only its leader knows that somebody says nothing.
#[test]
fn a_member_that_does_not_lead_does_not_keep_the_log_for_one_that_says_nothing_either() {
    for group in [with_unfilled(), with_diverged()] {
        fill_the_second(&group);
    }
}

/// What is read for it may go before it is read: it is given up, or its node has gone.
#[test]
fn a_member_whose_entries_are_cut_while_they_are_read_for_it_is_told_and_its_leader_goes_on() {
    let mut group = Group::led();
    group.away = vec![NodeId(3)];
    for number in 1..=3 {
        let mut write = group.write_with(1, Change::Append("a"), invocation(number));
        group.run();
        answered(write.poll());
    }
    // What is applied is not in memory any more.
    group.replica(1).state.lock().core.shed();
    group.away.clear();
    let leader = &group.nodes[&NodeId(1)];
    let is_reading = || !leader.world.tasks.lock().is_empty();
    for _ in 0..100 {
        if !group.step() && !is_reading() {
            leader.replica.tick(&group.peers());
        }
        if is_reading() {
            break;
        }
    }
    assert!(is_reading(), "nothing is read");
    let applied = leader.replica.standing().applied;
    leader.replica.state.lock().floor = applied;
    leader.host.engine.flush().unwrap();
    leader.replica.note_requests();
    group.turn();
    assert_eq!(leader.replica.log.lock().reader().extent().start, applied + 1);
    assert_eq!(leader.host.failure().borrow().as_deref(), None);
    for _ in 0..20 {
        leader.replica.tick(&group.peers());
        group.run();
    }
    assert!(group.replica(3).is_outdated());
}
