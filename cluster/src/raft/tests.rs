//! Stories of three replicas whose disks and network are vectors.

use std::collections::{BTreeMap, VecDeque};

use bytes::Bytes;

use raft::eraftpb::MessageType;

use super::core::{LogNeed, Progress};
use super::*;
use crate::world::NodeId;

const ELECTION_TICKS: usize = 10;

/// A replica with a disk.
struct Replica {
    core: Core,
    /// What would be there after a power cut.
    disk: Recovered,
    log: Vec<Entry>,
    /// Handed out, not durable yet.
    persisting: VecDeque<Persist>,
    applied: Vec<Entry>,
    reads: Vec<(ReadContext, u64)>,
}

/// Three replicas under one seed.
struct Trio {
    replicas: BTreeMap<ReplicaId, Replica>,
    network: VecDeque<RaftMessage>,
    random: u64,
    /// Nothing gets from or to these.
    cut_off: Vec<ReplicaId>,
    /// Their disks hang.
    hanging: Vec<ReplicaId>,
    /// What members were told that need what a log does not have any more.
    notices: Vec<Bytes>,
    trace: Vec<String>,
}

fn draw(random: &mut u64) -> impl FnMut() -> u64 {
    move || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *random >> 33
    }
}

fn settings(replica: ReplicaId) -> CoreSettings {
    CoreSettings {
        group: 3,
        replica,
        election_ticks: ELECTION_TICKS,
        heartbeat_ticks: 1,
        message_bytes_max: 10_000,
        messages_in_flight_max: 16,
    }
}

impl Trio {
    fn new(seed: u64, count: u64) -> Self {
        let ids: Vec<ReplicaId> = (1..=count).map(ReplicaId).collect();
        let disk = Recovered {
            members: Members::founding(ids.iter().map(|id| (*id, NodeId(id.0))).collect()),
            ..Recovered::default()
        };
        let mut trio = Self {
            replicas: BTreeMap::new(),
            network: VecDeque::new(),
            random: seed,
            cut_off: Vec::new(),
            hanging: Vec::new(),
            notices: Vec::new(),
            trace: Vec::new(),
        };
        for id in ids {
            trio.start(id, disk.clone(), Vec::new(), Vec::new());
        }
        trio
    }

    fn start(&mut self, id: ReplicaId, disk: Recovered, log: Vec<Entry>, applied: Vec<Entry>) {
        let core = Core::new(settings(id), disk.clone(), &mut draw(&mut self.random)).unwrap();
        let replica = Replica {
            core,
            disk,
            log,
            persisting: VecDeque::new(),
            applied,
            reads: Vec::new(),
        };
        self.replicas.insert(id, replica);
    }

    /// The power of a replica is cut, and it comes back with what was durable.
    fn power_cut(&mut self, id: ReplicaId) {
        let replica = self.replicas.remove(&id).unwrap();
        let mut disk = replica.disk;
        let applied = replica.applied;
        let done = applied.last().map_or(0, |entry| entry.index);
        disk.last = replica.log.last().map_or(0, |entry| entry.index);
        disk.hard_state.commit = done;
        disk.terms = Vec::new();
        for entry in &replica.log {
            if disk.terms.last().is_none_or(|(_, term)| *term != entry.term) {
                disk.terms.push((entry.index, entry.term));
            }
        }
        disk.unapplied = replica
            .log
            .iter()
            .filter(|entry| entry.index > done)
            .cloned()
            .collect();
        self.start(id, disk, replica.log, applied);
    }

    fn core(&mut self, id: ReplicaId) -> &mut Core {
        &mut self.replicas.get_mut(&id).unwrap().core
    }

    /// Carries out what a replica wants; `true` if there was anything.
    fn carry_out(&mut self, id: ReplicaId) -> bool {
        let hangs = self.hanging.contains(&id);
        let replica = self.replicas.get_mut(&id).unwrap();
        let mut busy = false;
        while let Some(step) = replica.core.step() {
            busy = true;
            self.trace.push(format!("{id:?} {step:?}"));
            self.network.extend(step.messages);
            replica.persisting.extend(step.persist);
            replica.reads.extend(step.reads);
            for entry in step.committed {
                if entry.kind == EntryKind::Membership {
                    replica.core.apply_members(entry.index, &entry.data).unwrap();
                    replica.disk.members = replica.core.members().clone();
                }
                replica.applied.push(entry.clone());
                replica.core.applied(entry.index);
            }
            for fetch in step.fetches {
                let entries = replica
                    .log
                    .iter()
                    .filter(|entry| (fetch.from..fetch.to).contains(&entry.index));
                let entries = entries.cloned().collect();
                replica.core.fetched(fetch, entries);
            }
        }
        while let Some(persist) = replica.persisting.pop_front() {
            if hangs && !persist.is_empty() {
                replica.persisting.push_front(persist);
                break;
            }
            busy = true;
            if let Some(first) = persist.entries.first() {
                replica.log.retain(|entry| entry.index < first.index);
            }
            replica.log.extend(persist.entries);
            if let Some(kept) = persist.state {
                replica.disk.hard_state = kept.hard_state;
                (replica.disk.members, replica.disk.before) = (kept.members, kept.before);
            }
            replica.core.persisted(persist.number);
            self.network.extend(persist.then_send);
        }
        busy
    }

    /// Until nobody has anything to do without time passing.
    fn settle(&mut self) {
        let ids: Vec<ReplicaId> = self.replicas.keys().copied().collect();
        loop {
            let mut busy = false;
            for id in &ids {
                busy |= self.carry_out(*id);
            }
            while let Some(message) = self.network.pop_front() {
                busy = true;
                let cut = [message.from(), message.to()]
                    .iter()
                    .any(|id| self.cut_off.contains(id));
                if cut {
                    continue;
                }
                let mut bytes = Vec::new();
                message.encode(&mut bytes);
                let bytes = Bytes::from(bytes);
                let message = RaftMessage::decode(bytes.clone()).unwrap();
                if message.message().get_msg_type() == MessageType::MsgSnapshot {
                    self.notices.push(bytes);
                }
                if let Some(replica) = self.replicas.get_mut(&message.to()) {
                    replica.core.receive(message, &mut draw(&mut self.random));
                }
            }
            if !busy {
                return;
            }
        }
    }

    fn tick(&mut self) {
        for replica in self.replicas.values_mut() {
            replica.core.tick(&mut draw(&mut self.random));
        }
        self.settle();
    }

    /// The leader that serves, after as many ticks as that takes.
    fn leader(&mut self) -> ReplicaId {
        for _ in 0..20 * ELECTION_TICKS {
            let reachable = self.replicas.iter().filter(|(id, _)| !self.cut_off.contains(id));
            let leads = reachable.filter(|(_, replica)| replica.core.may_serve());
            if let Some((id, _)) = leads.max_by_key(|(_, replica)| replica.core.term()) {
                return *id;
            }
            self.tick();
        }
        unreachable!("nobody leads");
    }

    fn commands(&self, id: ReplicaId) -> Vec<String> {
        let applied = self.replicas[&id].applied.iter();
        let commands = applied.filter(|entry| entry.kind == EntryKind::Command && !entry.data.is_empty());
        commands
            .map(|entry| String::from_utf8_lossy(&entry.data).into_owned())
            .collect()
    }
}

#[test]
fn a_replica_that_is_alone_commits_as_soon_as_its_disk_has_it() {
    let mut trio = Trio::new(1, 1);
    let id = ReplicaId(1);
    trio.core(id).campaign(&mut || 7);
    trio.settle();
    assert!(trio.core(id).may_serve() && trio.core(id).is_alone());
    trio.hanging.push(id);
    let (index, term) = trio.core(id).propose("a".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(id), Vec::<String>::new());
    trio.hanging.clear();
    trio.settle();
    assert_eq!(trio.commands(id), ["a"]);
    assert_eq!((trio.core(id).committed(), trio.core(id).term()), (index, term));
}

#[test]
fn what_a_majority_has_is_committed_while_a_third_disk_hangs() {
    let mut trio = Trio::new(2, 3);
    let leader = trio.leader();
    let others: Vec<ReplicaId> = trio.replicas.keys().copied().filter(|id| *id != leader).collect();
    trio.hanging.push(others[0]);
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), ["a"]);
    trio.hanging.push(others[1]);
    trio.core(leader).propose("b".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), ["a"]);
    // The followers have got it before the leader's own disk had it, and are a majority without it; the leader applies
    // nothing that it could lose.
    trio.hanging = vec![leader];
    trio.settle();
    assert_eq!(trio.commands(leader), ["a", "b"]);
    trio.core(leader).propose("c".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), ["a", "b"]);
    assert!(trio.core(leader).committed() > trio.replicas[&leader].applied.last().unwrap().index);
    trio.hanging.clear();
    trio.settle();
    trio.tick();
    for id in [1, 2, 3].map(ReplicaId) {
        assert_eq!(trio.commands(id), ["a", "b", "c"]);
    }
}

#[test]
fn a_vote_is_sent_only_when_it_is_durable() {
    let mut trio = Trio::new(3, 3);
    trio.hanging = vec![ReplicaId(2), ReplicaId(3)];
    trio.core(ReplicaId(1)).campaign(&mut || 7);
    trio.settle();
    // Whether it would get votes is answered; the votes themselves wait for the disks.
    assert_eq!(trio.core(ReplicaId(1)).role(), Role::Candidate);
    trio.hanging.clear();
    trio.settle();
    assert_eq!(trio.core(ReplicaId(1)).role(), Role::Leader);
}

#[test]
fn a_leader_that_is_cut_off_answers_no_read_and_its_writes_are_overruled() {
    let mut trio = Trio::new(4, 3);
    let old = trio.leader();
    trio.core(old).propose("a".into()).unwrap();
    trio.settle();
    assert!(trio.core(old).read_index(ReadContext(1)));
    trio.settle();
    assert_eq!(trio.replicas[&old].reads.len(), 1);

    trio.cut_off.push(old);
    trio.core(old).propose("lost".into()).unwrap();
    assert!(trio.core(old).read_index(ReadContext(2)));
    let new = trio.leader();
    assert_ne!(new, old);
    trio.core(new).propose("b".into()).unwrap();
    trio.settle();
    assert_eq!(trio.replicas[&old].reads.len(), 1);
    // Without a majority it ceases to lead by itself.
    for _ in 0..2 * ELECTION_TICKS {
        trio.tick();
    }
    assert_ne!(trio.core(old).role(), Role::Leader);
    assert_eq!(trio.core(old).propose("refused".into()), None);

    trio.cut_off.clear();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    for id in [1, 2, 3].map(ReplicaId) {
        assert_eq!(trio.commands(id), ["a", "b"]);
        assert_eq!(trio.replicas[&id].log, trio.replicas[&old].log);
    }
}

#[test]
fn a_follower_that_was_away_gets_what_is_no_longer_in_memory_from_the_log() {
    let mut trio = Trio::new(5, 3);
    let leader = trio.leader();
    let away = *trio.replicas.keys().find(|id| **id != leader).unwrap();
    trio.cut_off.push(away);
    for number in 0..300 {
        let data = format!("{number:08000}");
        trio.core(leader).propose(data.into()).unwrap();
        trio.settle();
    }
    trio.cut_off.clear();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.commands(away).len(), 300);
    assert!(trio.trace.iter().any(|line| line.contains("Fetch")));
}

#[test]
fn what_a_leader_has_let_go_of_it_reads_from_the_log() {
    let mut trio = Trio::new(5, 3);
    let leader = trio.leader();
    let away = *trio.replicas.keys().find(|id| **id != leader).unwrap();
    trio.cut_off.push(away);
    for number in 0..3 {
        trio.core(leader).propose(number.to_string().into()).unwrap();
        trio.settle();
    }
    trio.core(leader).shed();
    trio.cut_off.clear();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.commands(away), ["0", "1", "2"]);
    assert!(trio.trace.iter().any(|line| line.contains("Fetch")));
    // One that has nothing in memory goes on like any other.
    let leader = trio.leader();
    for id in trio.replicas.keys().copied().collect::<Vec<_>>() {
        trio.core(id).shed();
    }
    trio.core(leader).propose("3".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(away).last().map(String::as_str), Some("3"));
}

#[test]
fn power_cuts_lose_nothing_that_was_committed() {
    for seed in 0..200 {
        let mut trio = Trio::new(seed, 3);
        let mut expected = Vec::new();
        let mut random = seed;
        let mut pick = draw(&mut random);
        for number in 0..12 {
            let leader = trio.leader();
            let command = format!("{number}");
            let victim = ReplicaId(pick() % 3 + 1);
            let hangs = pick().is_multiple_of(2) && victim != leader;
            trio.hanging.extend(hangs.then_some(victim));
            trio.core(leader).propose(command.clone().into()).unwrap();
            trio.settle();
            // One disk that hangs keeps nobody from committing, when the one that was away is heard of again.
            for _ in 0..3 {
                trio.tick();
            }
            assert!(trio.commands(leader).contains(&command), "seed {seed}");
            expected.push(command);
            trio.hanging.clear();
            trio.power_cut(victim);
        }
        let leader = trio.leader();
        assert_eq!(trio.commands(leader), expected, "seed {seed}");
        trio.tick();
        for id in [1, 2, 3].map(ReplicaId) {
            assert_eq!(trio.commands(id), expected, "seed {seed}");
        }
    }
}

#[test]
fn the_same_seed_gives_the_same_steps() {
    let run = || {
        let mut trio = Trio::new(77, 3);
        for number in 0..5 {
            let leader = trio.leader();
            trio.core(leader).propose(format!("{number}").into()).unwrap();
            trio.settle();
            trio.cut_off = vec![leader];
            trio.leader();
            trio.cut_off.clear();
        }
        trio.trace
    };
    assert_eq!(run(), run());
}

#[test]
fn the_head_of_the_log_goes_and_terms_are_still_known() {
    let mut trio = Trio::new(6, 3);
    let leader = trio.leader();
    for number in 0..10 {
        trio.core(leader).propose(format!("{number}").into()).unwrap();
    }
    trio.settle();
    let first = trio.core(leader).last() - 3;
    trio.core(leader).cut_head(first);
    assert_eq!(trio.core(leader).first(), first);
    let (before, term) = trio.core(leader).state().before;
    assert_eq!((before, term), (first - 1, trio.core(leader).term()));
    trio.core(leader).propose("more".into()).unwrap();
    trio.settle();
    trio.tick();
    for id in [1, 2, 3].map(ReplicaId) {
        assert_eq!(trio.commands(id).len(), 11);
    }
}

#[test]
fn leadership_is_handed_over() {
    let mut trio = Trio::new(8, 3);
    let old = trio.leader();
    let heir = *trio.replicas.keys().find(|id| **id != old).unwrap();
    trio.core(old).transfer_leadership(heir);
    trio.settle();
    assert_eq!(trio.leader(), heir);
    let known = trio.core(old).leader();
    assert_eq!(known, Some(heir));
    let progress: Vec<super::core::Progress> = trio.core(heir).progress().collect();
    assert_eq!(progress.len(), 3);
}

#[test]
fn what_is_committed_is_kept_now_and_then() {
    let mut trio = Trio::new(9, 1);
    let id = trio.leader();
    let known = |trio: &Trio| trio.replicas[&id].disk.hard_state.commit;
    assert_eq!(known(&trio), 0);
    for number in 0..1000 {
        trio.core(id).propose(format!("{number}").into()).unwrap();
        trio.settle();
        let behind = trio.core(id).committed() - known(&trio);
        assert!(behind < 257, "{behind} entries are committed and not known to be");
    }
    assert!(known(&trio) > 700);
}

/// The log of a replica that comes back: entries `a` to `g`, of which so many are committed and so many applied.
fn half_applied(voters: u64, commit: u64, applied: usize) -> (Recovered, Vec<Entry>) {
    let log: Vec<Entry> = (1..)
        .zip("abcdefg".chars())
        .map(|(index, letter)| Entry {
            index,
            term: 2 + index / 4,
            kind: EntryKind::Command,
            data: letter.to_string().into(),
        })
        .collect();
    let disk = Recovered {
        hard_state: HardState {
            term: 3,
            vote: 1,
            commit,
        },
        members: Members::founding((1..=voters).map(|id| (ReplicaId(id), NodeId(id))).collect()),
        before: (0, 0),
        terms: vec![(1, 2), (4, 3)],
        last: 7,
        unapplied: log[applied..].to_vec(),
        is_unfilled: false,
    };
    (disk, log)
}

#[test]
fn what_was_committed_but_not_applied_before_a_start_comes_out_first() {
    for voters in [1, 3] {
        for (commit, applied) in [(5, 2), (5, 0), (7, 3), (5, 5), (7, 7)] {
            let mut trio = Trio::new(3, voters);
            let id = ReplicaId(1);
            let (disk, log) = half_applied(voters, commit, applied);
            trio.start(id, disk, log.clone(), log[..applied].to_vec());
            let core = trio.core(id);
            assert_eq!((core.committed(), core.last()), (commit, 7));
            // Nobody has spoken, no time has passed.
            trio.carry_out(id);
            let commit = usize::try_from(commit).unwrap();
            assert_eq!(
                trio.replicas[&id].applied,
                log[..commit],
                "{voters} {commit} {applied}"
            );
            assert_eq!(trio.core(id).role(), Role::Follower);
        }
    }
}

#[test]
fn what_was_not_committed_before_a_start_follows_what_was() {
    let mut trio = Trio::new(4, 1);
    let id = ReplicaId(1);
    let (disk, log) = half_applied(1, 5, 2);
    trio.start(id, disk, log.clone(), log[..2].to_vec());
    trio.core(id).campaign(&mut || 7);
    trio.settle();
    assert!(trio.core(id).may_serve());
    trio.core(id).propose("h".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(id).concat(), "abcdefgh");
}

/// The power of all is cut, and only `keeper` keeps the last `lost` entries, which are applied everywhere.
fn lose_ends(trio: &mut Trio, keeper: ReplicaId, lost: usize) {
    trio.network.clear();
    for id in [1, 2, 3].map(ReplicaId) {
        if id != keeper {
            let replica = trio.replicas.get_mut(&id).unwrap();
            let kept = replica.log.len() - lost;
            replica.log.truncate(kept);
            let last = replica.log.last().map_or(0, |entry| entry.index);
            replica.applied.retain(|entry| entry.index <= last);
        }
        trio.power_cut(id);
    }
}

#[test]
fn a_replica_that_kept_what_the_majority_has_lost_claims_nothing_and_takes_no_part() {
    let mut trio = Trio::new(11, 3);
    let leader = trio.leader();
    for data in ["a", "b", "c", "d"] {
        trio.core(leader).propose(data.into()).unwrap();
        trio.settle();
    }
    trio.tick();
    let keeper = ReplicaId(2);
    lose_ends(&mut trio, keeper, 2);
    trio.cut_off.push(keeper);
    let leader = trio.leader();
    for data in ["e", "f", "g", "h", "i"] {
        trio.core(leader).propose(data.into()).unwrap();
        trio.settle();
    }
    trio.cut_off.clear();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
        for id in [1, 3].map(ReplicaId) {
            let claimed = trio
                .core(id)
                .progress()
                .find(|progress| progress.replica == keeper);
            assert!(
                claimed.is_none_or(|progress| progress.matched <= 3),
                "{claimed:?}"
            );
        }
    }
    let first_lost = trio.replicas[&keeper]
        .log
        .iter()
        .find(|entry| &entry.data[..] == b"c")
        .unwrap()
        .index;
    assert_eq!(trio.core(keeper).diverged_at(), Some(first_lost));
    assert!(!trio.core(keeper).may_serve());
    for id in [1, 3].map(ReplicaId) {
        assert_eq!(trio.commands(id), ["a", "b", "e", "f", "g", "h", "i"]);
    }
    // It does not vote: with only one of the others there is no leader.
    let leader = trio.leader();
    trio.cut_off.push(leader);
    for _ in 0..10 * ELECTION_TICKS {
        trio.tick();
    }
    let reachable = trio.replicas.iter().filter(|(id, _)| **id != leader);
    assert!(
        reachable
            .into_iter()
            .all(|(_, replica)| !replica.core.may_serve())
    );
    // Nor after a start, as soon as a leader has spoken.
    trio.cut_off.clear();
    trio.power_cut(keeper);
    for _ in 0..5 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.core(keeper).diverged_at(), Some(first_lost));
}

#[test]
fn a_replica_whose_majority_has_lost_nothing_goes_on_as_before() {
    let mut trio = Trio::new(12, 3);
    let leader = trio.leader();
    for number in 0..20 {
        trio.core(leader).propose(number.to_string().into()).unwrap();
        trio.settle();
    }
    trio.tick();
    for id in [1, 2, 3].map(ReplicaId) {
        trio.network.clear();
        trio.power_cut(id);
    }
    let leader = trio.leader();
    trio.core(leader).propose("behind".into()).unwrap();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    for id in [1, 2, 3].map(ReplicaId) {
        assert_eq!(trio.core(id).diverged_at(), None);
        assert_eq!(trio.commands(id).len(), 21);
    }
}

/// Three replicas of which one leads, and a fourth one that follows without a vote.
fn with_learner(seed: u64) -> (Trio, ReplicaId, ReplicaId) {
    let mut trio = Trio::new(seed, 3);
    let founders = trio.replicas[&ReplicaId(1)].disk.clone();
    let new = ReplicaId(4);
    trio.start(new, founders, Vec::new(), Vec::new());
    let leader = trio.leader();
    let learn = MemberChange::Learn(new, NodeId(4));
    trio.core(leader).propose_members(&learn).unwrap();
    for _ in 0..3 {
        trio.tick();
    }
    assert_eq!(trio.core(leader).members().learners, [new]);
    assert_eq!(trio.core(leader).members().nodes.of(new), Some(NodeId(4)));
    (trio, leader, new)
}

#[test]
fn a_learner_follows_and_counts_for_nothing() {
    let (mut trio, leader, new) = with_learner(11);
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    trio.tick();
    assert_eq!(trio.commands(new), ["a"]);
    // With it there are two that hear of the next one, but only one of three votes.
    trio.cut_off = [1, 2, 3]
        .map(ReplicaId)
        .into_iter()
        .filter(|id| *id != leader)
        .collect();
    trio.core(leader).propose("b".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), ["a"]);
}

#[test]
fn while_votes_are_exchanged_a_majority_of_both_is_needed() {
    let (mut trio, leader, new) = with_learner(12);
    let others: Vec<_> = [1, 2, 3]
        .map(ReplicaId)
        .into_iter()
        .filter(|id| *id != leader)
        .collect();
    let exchange = MemberChange::Exchange {
        add: Some(new),
        remove: Some(others[0]),
    };
    trio.core(leader).propose_members(&exchange).unwrap();
    assert_eq!(
        trio.core(leader).propose_members(&exchange),
        None,
        "one is under way"
    );
    trio.settle();
    trio.tick();
    assert!(trio.core(leader).members().is_joint());
    assert_eq!(
        trio.core(leader).propose_members(&exchange),
        None,
        "it has to be left first"
    );
    // Of the new voters two are there, of the old ones only the leader.
    trio.cut_off = others.clone();
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), Vec::<String>::new());
    trio.cut_off = vec![others[1]];
    trio.tick();
    trio.tick();
    assert_eq!(trio.commands(leader), ["a"]);
    trio.core(leader).propose_members(&MemberChange::Leave).unwrap();
    trio.settle();
    trio.tick();
    assert!(!trio.core(leader).members().is_joint());
    assert!(!trio.core(leader).members().contains(others[0]));
    // Who has gone is not needed any more.
    trio.cut_off = vec![others[0]];
    trio.tick();
    trio.core(leader).propose("b".into()).unwrap();
    trio.settle();
    assert_eq!(trio.commands(leader), ["a", "b"]);
}

#[test]
fn with_the_entry_that_leaves_it_is_durable_that_the_one_before_it_is_committed() {
    let (mut trio, leader, new) = with_learner(13);
    let gone = [1, 2, 3]
        .map(ReplicaId)
        .into_iter()
        .find(|id| *id != leader)
        .unwrap();
    let exchange = MemberChange::Exchange {
        add: Some(new),
        remove: Some(gone),
    };
    let (entered, _) = trio.core(leader).propose_members(&exchange).unwrap();
    trio.settle();
    trio.tick();
    trio.core(leader).propose_members(&MemberChange::Leave).unwrap();
    trio.settle();
    for (id, replica) in &trio.replicas {
        let memberships = replica
            .log
            .iter()
            .filter(|entry| entry.kind == EntryKind::Membership);
        if memberships.count() >= 3 {
            let known = replica.disk.hard_state.commit;
            assert!(
                known >= entered,
                "{id:?} knows {known} after it has entered at {entered}"
            );
        }
    }
}

#[test]
fn a_replica_that_is_unfilled_takes_nothing_and_asks_for_no_votes() {
    let mut trio = Trio::new(14, 3);
    let leader = trio.leader();
    let empty = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    let disk = Recovered {
        is_unfilled: true,
        members: trio.replicas[&empty].disk.members.clone(),
        ..Recovered::default()
    };
    trio.start(empty, disk, Vec::new(), Vec::new());
    trio.core(leader).restarted(empty);
    for _ in 0..5 {
        trio.tick();
    }
    assert_eq!(trio.replicas[&empty].log, []);
    assert_eq!(trio.core(empty).leader(), Some(leader));
    trio.core(empty).campaign(&mut || 7);
    trio.cut_off = vec![leader];
    for _ in 0..5 * ELECTION_TICKS {
        trio.core(empty).tick(&mut || 7);
    }
    assert_eq!(trio.core(empty).role(), Role::Follower);
}

#[test]
fn a_member_that_needs_what_is_gone_is_told() {
    let mut trio = Trio::new(15, 3);
    let leader = trio.leader();
    let away = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.cut_off = vec![away];
    for number in 0..5 {
        trio.core(leader).propose(number.to_string().into()).unwrap();
        trio.settle();
    }
    let last = trio.core(leader).last();
    trio.core(leader).cut_head(last);
    assert!(!trio.core(away).is_outdated());
    trio.cut_off.clear();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    assert!(trio.core(away).is_outdated());
}

/// Being filled anew would never end: each heartbeat would begin it again.
#[test]
fn one_that_waits_to_be_filled_is_not_told_that_it_lacks_something() {
    let mut trio = Trio::new(15, 3);
    let leader = trio.leader();
    let empty = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.cut_off = vec![empty];
    for number in 0..5 {
        trio.core(leader).propose(number.to_string().into()).unwrap();
        trio.settle();
    }
    let last = trio.core(leader).last();
    trio.core(leader).cut_head(last);
    trio.cut_off.clear();
    while !trio.core(empty).is_outdated() {
        trio.tick();
    }
    let disk = Recovered {
        is_unfilled: true,
        members: trio.replicas[&empty].disk.members.clone(),
        ..Recovered::default()
    };
    trio.start(empty, disk, Vec::new(), Vec::new());
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.core(empty).leader(), Some(leader));
    assert!(!trio.core(empty).is_outdated());
}

#[test]
fn a_member_that_has_been_filled_gets_the_log_although_nobody_says_that_it_has() {
    let mut trio = Trio::new(16, 3);
    let leader = trio.leader();
    let filled = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.core(leader).propose(Bytes::from_static(b"a")).unwrap();
    trio.settle();
    let last = trio.core(leader).last();
    // The first word of a filling has come late.
    trio.core(leader).restarted(filled);
    trio.core(leader).is_filling(filled, last);
    trio.core(leader).propose(Bytes::from_static(b"b")).unwrap();
    trio.settle();
    assert_eq!(trio.core(filled).last(), last);
    for _ in 0..ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.core(filled).last(), last + 1);
}

/// Of three, one waits to be filled and its leader goes: the third has everything, and needs its vote.
#[test]
fn a_replica_that_is_unfilled_votes_when_its_leader_is_silent() {
    let mut trio = Trio::new(17, 3);
    let leader = trio.leader();
    let others: Vec<ReplicaId> = trio.replicas.keys().copied().filter(|id| *id != leader).collect();
    let (empty, third) = (others[0], others[1]);
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    let disk = Recovered {
        is_unfilled: true,
        hard_state: HardState {
            commit: 0,
            ..trio.replicas[&empty].disk.hard_state
        },
        members: trio.replicas[&empty].disk.members.clone(),
        ..Recovered::default()
    };
    trio.start(empty, disk, Vec::new(), Vec::new());
    for _ in 0..5 {
        trio.tick();
    }
    assert_eq!(trio.core(empty).leader(), Some(leader));
    trio.cut_off = vec![leader];
    for _ in 0..10 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.core(third).role(), Role::Leader);
    assert_eq!(trio.core(empty).role(), Role::Follower);
}

#[test]
fn what_a_member_was_told_before_it_was_filled_makes_it_forget_nothing() {
    let mut trio = Trio::new(18, 3);
    let leader = trio.leader();
    let filled = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.cut_off = vec![filled];
    for number in 0..5 {
        trio.core(leader).propose(number.to_string().into()).unwrap();
        trio.settle();
    }
    let last = trio.core(leader).last();
    let term = trio.core(leader).term_of(last).unwrap();
    trio.core(leader).cut_head(last + 1);
    trio.cut_off.clear();
    while !trio.core(filled).is_outdated() {
        trio.tick();
    }
    let late = trio.notices[0].clone();
    let disk = Recovered {
        hard_state: HardState {
            commit: last,
            ..trio.replicas[&filled].disk.hard_state
        },
        members: trio.replicas[&filled].disk.members.clone(),
        before: (last, term),
        last,
        ..Recovered::default()
    };
    // Nobody tells the leader.
    trio.start(filled, disk, Vec::new(), Vec::new());
    trio.core(leader).propose("b".into()).unwrap();
    for _ in 0..3 * ELECTION_TICKS {
        trio.tick();
    }
    assert_eq!(trio.core(filled).last(), last + 1);
    let late = RaftMessage::decode(late).unwrap();
    trio.core(filled).receive(late, &mut || 7);
    assert!(!trio.core(filled).is_outdated());
    assert_eq!(trio.core(filled).diverged_at(), None);
}

/// It was in the minority that a power cut has left with what the others have lost.
#[test]
fn a_member_that_has_what_the_majority_has_lost_finds_out_although_the_log_is_cut() {
    let mut trio = Trio::new(19, 3);
    let leader = trio.leader();
    let other = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    trio.tick();
    let (last, term) = (trio.core(leader).last(), trio.core(leader).term());
    let mut message = raft::eraftpb::Message::default();
    message.set_msg_type(MessageType::MsgSnapshot);
    (message.from, message.to, message.term) = (leader.0, other.0, term);
    (message.index, message.log_term) = (last, term + 1);
    trio.core(other).receive(RaftMessage::new(message), &mut || 7);
    assert_eq!(trio.core(other).diverged_at(), Some(last));
}

#[test]
fn a_leader_knows_from_where_on_it_needs_its_log_for_whom() {
    let mut trio = Trio::new(20, 3);
    let leader = trio.leader();
    let member = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    let need = |trio: &mut Trio| {
        let mut progress = trio.core(leader).progress();
        let progress = progress.find(|progress| progress.replica == member).unwrap();
        (progress.need, progress.need.behind(), progress.says_nothing())
    };
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    let first = trio.core(leader).last();
    assert_eq!(need(&mut trio), (LogNeed::Behind(first), Some(first), false));
    trio.cut_off = vec![member];
    trio.core(leader).propose("b".into()).unwrap();
    trio.settle();
    let last = trio.core(leader).last();
    assert_eq!(need(&mut trio), (LogNeed::Behind(first), Some(first), false));

    trio.core(leader).cut_head(last + 1);
    trio.cut_off.clear();
    while !trio.core(member).is_outdated() {
        trio.tick();
    }
    assert_eq!(need(&mut trio), (LogNeed::Lacking(last), None, false));
    // It waits to be filled, and begins anew once.
    let disk = Recovered {
        is_unfilled: true,
        members: trio.replicas[&member].disk.members.clone(),
        ..Recovered::default()
    };
    trio.start(member, disk, Vec::new(), Vec::new());
    trio.core(leader).is_filling(member, last);
    assert_eq!(need(&mut trio), (LogNeed::Filling(last), Some(last), false));
    trio.core(leader).propose("c".into()).unwrap();
    trio.settle();
    trio.core(leader).is_filling(member, last + 1);
    let anew = last + 1;
    assert_eq!(need(&mut trio), (LogNeed::Filling(anew), Some(anew), false));
    // As a leader that is new finds it, or one that has heard nothing of the filling for long.
    trio.core(leader).restarted(member);
    for _ in 0..ELECTION_TICKS {
        trio.tick();
        assert_eq!(need(&mut trio), (LogNeed::Untold, Some(0), true));
    }
}

#[test]
fn a_leader_hears_nothing_of_a_member_that_has_what_the_others_have_lost() {
    let mut trio = Trio::new(21, 3);
    let leader = trio.leader();
    let member = trio.replicas.keys().copied().find(|id| *id != leader).unwrap();
    trio.core(leader).propose("a".into()).unwrap();
    trio.settle();
    trio.tick();
    let (last, term) = (trio.core(leader).last(), trio.core(leader).term());
    let notice = RaftMessage::notice((leader, member), term, (last, term + 1));
    trio.core(member).receive(notice, &mut || 7);
    assert_eq!(trio.core(member).diverged_at(), Some(last));
    for _ in 0..2 * ELECTION_TICKS {
        trio.tick();
    }
    let silent = trio.core(leader).progress().filter(Progress::says_nothing);
    let silent: Vec<_> = silent.map(|progress| progress.replica).collect();
    assert_eq!(silent, [member]);
}
