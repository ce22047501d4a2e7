//! The rules as tables of cases, and three real cores under lost, late and overtaken messages, wrong gossip and restarts.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use proptest::test_runner::TestCaseError;

use super::*;
use crate::raft::{Core, CoreSettings, Entry, Members, RaftMessage, Recovered, ReplicaId};

const AFTER: u32 = 5;

/// A leader with nothing to do.
const LEADER: Look = Look {
    role: Role::Leader,
    term: 3,
    last: 9,
    committed: 9,
    applied: 9,
    all_matched: true,
    is_busy: false,
    peers_alive: true,
    incarnations: 4,
};

const FOLLOWER: Look = Look {
    role: Role::Follower,
    all_matched: false,
    ..LEADER
};

/// A change of a look, by its name.
type Case = (&'static str, fn(&mut Look));

fn changed(look: Look, change: fn(&mut Look)) -> Look {
    let mut look = look;
    change(&mut look);
    look
}

fn resting_leader() -> Quiet {
    let mut quiet = Quiet::new(AFTER);
    while quiet.tick(&LEADER) == Tick::Run {}
    assert!(quiet.is_quiet());
    quiet
}

fn resting_follower() -> Quiet {
    let mut quiet = Quiet::new(AFTER);
    assert_eq!(quiet.receive_quiesce(3, 9, true, &FOLLOWER), Receipt::Rests);
    assert!(quiet.is_quiet());
    quiet
}

#[test]
fn a_leader_rests_after_so_many_idle_ticks_and_says_so_once() {
    let mut quiet = Quiet::new(AFTER);
    // The first one sees that there is a log, which is news.
    for _ in 0..AFTER {
        assert_eq!(quiet.tick(&LEADER), Tick::Run);
    }
    assert_eq!(quiet.tick(&LEADER), Tick::GoQuiet { term: 3, last: 9 });
    for _ in 0..100 {
        assert_eq!(quiet.tick(&LEADER), Tick::Rest);
    }
}

#[test]
fn a_leader_that_is_not_to_rest_never_does() {
    let mut quiet = Quiet::new(0);
    assert!((0..1000).all(|_| quiet.tick(&LEADER) == Tick::Run));
}

#[test]
fn a_leader_with_anything_to_do_does_not_rest() {
    let cases: [Case; 9] = [
        ("it follows", |look| look.role = Role::Follower),
        ("it is a candidate", |look| look.role = Role::Candidate),
        ("not committed", |look| look.committed = 8),
        ("not applied", |look| look.applied = 8),
        ("a member lags", |look| look.all_matched = false),
        ("a read waits", |look| look.is_busy = true),
        ("a node is away", |look| look.peers_alive = false),
        ("one entry more", |look| {
            (look.last, look.committed, look.applied) = (10, 10, 10);
        }),
        ("nothing at all", |_| {}),
    ];
    for (case, change) in cases {
        let mut quiet = Quiet::new(AFTER);
        for _ in 0..AFTER {
            assert_eq!(quiet.tick(&LEADER), Tick::Run);
        }
        let rests = case == "nothing at all";
        let tick = quiet.tick(&changed(LEADER, change));
        assert_eq!(matches!(tick, Tick::GoQuiet { .. }), rests, "{case}");
        if !rests {
            // And the count begins anew.
            for _ in 1..AFTER {
                assert_eq!(quiet.tick(&LEADER), Tick::Run, "{case}");
            }
        }
    }
}

#[test]
fn whoever_rests_wakes_when_what_it_knew_is_not_true_any_more() {
    let cases: [Case; 7] = [
        ("a node is away", |look| look.peers_alive = false),
        ("a node was started again", |look| look.incarnations += 1),
        ("another term", |look| look.term += 1),
        ("more entries", |look| look.last += 1),
        ("fewer entries", |look| look.last -= 1),
        ("a read waits", |look| look.is_busy = true),
        ("it is a candidate", |look| look.role = Role::Candidate),
    ];
    for (case, change) in cases {
        for (mut quiet, look, tell_leader) in [
            (resting_leader(), LEADER, false),
            (resting_follower(), FOLLOWER, true),
        ] {
            assert_eq!(quiet.tick(&look), Tick::Rest);
            let tick = quiet.tick(&changed(look, change));
            assert_eq!(tick, Tick::Wake { tell_leader }, "{case}");
            assert_eq!(quiet.tick(&changed(look, change)), Tick::Run, "{case}");
        }
    }
}

#[test]
fn a_follower_rests_only_if_what_the_leader_says_is_true_of_it() {
    let cases: [Case; 9] = [
        ("earlier term", |look| look.term = 2),
        ("later term", |look| look.term = 4),
        ("it lags", |look| (look.last, look.committed) = (8, 8)),
        ("it has more", |look| look.last = 10),
        ("it does not know that it is committed", |look| look.committed = 8),
        ("it leads", |look| look.role = Role::Leader),
        ("it is a candidate", |look| look.role = Role::Candidate),
        ("a node is away", |look| look.peers_alive = false),
        ("something is under way", |look| look.is_busy = true),
    ];
    for (case, change) in cases {
        for mut quiet in [Quiet::new(AFTER), resting_follower()] {
            let receipt = quiet.receive_quiesce(3, 9, true, &changed(FOLLOWER, change));
            assert_eq!((receipt, quiet.is_quiet()), (Receipt::Refused, false), "{case}");
        }
    }
    let mut quiet = Quiet::new(AFTER);
    assert_eq!(quiet.receive_quiesce(3, 9, false, &FOLLOWER), Receipt::Refused);
    let mut quiet = resting_follower();
    assert_eq!(
        quiet.receive_quiesce(3, 9, true, &FOLLOWER),
        Receipt::Rests,
        "said again"
    );
}

#[test]
fn everything_that_happens_wakes_and_the_leader_hears_of_what_it_cannot_know() {
    for (reason, tells) in [
        (Reason::Proposal, false),
        (Reason::Read, false),
        (Reason::Message, false),
        (Reason::Told, false),
        (Reason::Peer, true),
        (Reason::Asked, true),
    ] {
        let mut follower = resting_follower();
        assert_eq!(follower.wake(reason), tells, "{reason:?}");
        assert!(!follower.is_quiet());
        assert!(!follower.wake(reason), "it is told once");
        let mut leader = resting_leader();
        assert!(!leader.wake(reason), "{reason:?}");
        assert!(!leader.is_quiet());
        for _ in 1..AFTER {
            assert_eq!(leader.tick(&LEADER), Tick::Run);
        }
        assert_eq!(leader.tick(&LEADER), Tick::GoQuiet { term: 3, last: 9 });
    }
}

#[test]
fn of_what_happens_only_messages_do_not_begin_the_count_anew() {
    for (reason, more_ticks) in [
        (Reason::Message, 1),
        (Reason::Proposal, AFTER),
        (Reason::Read, AFTER),
        (Reason::Told, AFTER),
        (Reason::Peer, AFTER),
        (Reason::Asked, AFTER),
    ] {
        let mut quiet = Quiet::new(AFTER);
        for _ in 0..AFTER {
            assert_eq!(quiet.tick(&LEADER), Tick::Run);
        }
        assert!(!quiet.wake(reason));
        for _ in 1..more_ticks {
            assert_eq!(quiet.tick(&LEADER), Tick::Run, "{reason:?}");
        }
        assert_eq!(
            quiet.tick(&LEADER),
            Tick::GoQuiet { term: 3, last: 9 },
            "{reason:?}"
        );
    }
}

#[derive(Clone, Debug)]
enum Packet {
    Raft(RaftMessage),
    Quiet(QuietMessage),
}

impl Packet {
    fn to(&self) -> ReplicaId {
        match self {
            Self::Raft(message) => message.to(),
            Self::Quiet(message) => message.to,
        }
    }
}

/// A member with a disk that never waits.
struct Member {
    core: Core,
    quiet: Quiet,
    disk: Recovered,
    log: Vec<Entry>,
    applied: u64,
    incarnation: u64,
    /// Which starts of the others' nodes it has heard of.
    starts: BTreeMap<ReplicaId, u64>,
    /// Whose nodes it holds for suspect or down.
    doubts: BTreeSet<ReplicaId>,
}

/// Three members, and the owner that the rules are made for.
struct Trio {
    members: BTreeMap<ReplicaId, Member>,
    network: Vec<Packet>,
    random: u64,
}

const IDS: [ReplicaId; 3] = [ReplicaId(1), ReplicaId(2), ReplicaId(3)];

fn draw(random: &mut u64) -> impl FnMut() -> u64 {
    move || {
        *random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        *random >> 33
    }
}

fn core(id: ReplicaId, disk: Recovered, random: &mut u64) -> Core {
    let settings = CoreSettings {
        group: 1,
        replica: id,
        election_ticks: 6,
        heartbeat_ticks: 1,
        message_bytes_max: 10_000,
        messages_in_flight_max: 16,
    };
    Core::new(settings, disk, &mut draw(random)).unwrap()
}

impl Trio {
    fn new(seed: u64) -> Self {
        let mut random = seed;
        let disk = Recovered {
            members: Members {
                voters: IDS.to_vec(),
                ..Members::default()
            },
            ..Recovered::default()
        };
        let members = IDS.map(|id| {
            let member = Member {
                core: core(id, disk.clone(), &mut random),
                quiet: Quiet::new(AFTER),
                disk: disk.clone(),
                log: Vec::new(),
                applied: 0,
                incarnation: 1,
                starts: BTreeMap::new(),
                doubts: BTreeSet::new(),
            };
            (id, member)
        });
        Self {
            members: members.into(),
            network: Vec::new(),
            random,
        }
    }

    fn member(&mut self, id: ReplicaId) -> &mut Member {
        self.members.get_mut(&id).unwrap()
    }

    fn look(&self, id: ReplicaId) -> Look {
        let member = &self.members[&id];
        let core = &member.core;
        let last = core.last();
        let others = self.members.iter().filter(|(other, _)| **other != id);
        let mut progress = core.progress().filter(|progress| progress.replica != id);
        Look {
            role: core.role(),
            term: core.term(),
            last,
            committed: core.committed(),
            applied: member.applied,
            all_matched: progress.all(|progress| progress.matched == last && progress.is_active),
            is_busy: false,
            peers_alive: member.doubts.is_empty(),
            incarnations: others.map(|(_, other)| other.incarnation).sum(),
        }
    }

    fn say(&mut self, from: ReplicaId, to: ReplicaId, kind: QuietKind) {
        let term = self.member(from).core.term();
        let message = QuietMessage { to, from, term, kind };
        self.network.push(Packet::Quiet(message));
    }

    fn tell_leader(&mut self, from: ReplicaId) {
        let leader = self.member(from).core.leader();
        if let Some(leader) = leader.filter(|leader| *leader != from) {
            self.say(from, leader, QuietKind::Wake);
        }
    }

    fn wake(&mut self, id: ReplicaId, reason: Reason) {
        if self.member(id).quiet.wake(reason) {
            self.tell_leader(id);
        }
    }

    fn tick(&mut self, id: ReplicaId) {
        let starts: Vec<_> = self
            .members
            .iter()
            .map(|(id, member)| (*id, member.incarnation))
            .collect();
        let member = self.member(id);
        for (other, start) in starts {
            if other != id && member.starts.insert(other, start) != Some(start) {
                member.core.restarted(other);
            }
        }
        let look = self.look(id);
        match self.member(id).quiet.tick(&look) {
            Tick::Rest => return,
            Tick::Run => {}
            Tick::GoQuiet { last, .. } => {
                for to in IDS.into_iter().filter(|to| *to != id) {
                    self.say(id, to, QuietKind::Quiesce { last });
                }
                return;
            }
            Tick::Wake { tell_leader } => {
                if tell_leader {
                    self.tell_leader(id);
                }
            }
        }
        let mut random = self.random;
        self.member(id).core.tick(&mut draw(&mut random));
        self.random = random;
        self.carry_out(id);
    }

    fn receive(&mut self, packet: Packet) {
        let id = packet.to();
        match packet {
            Packet::Raft(message) => {
                self.wake(id, Reason::Message);
                let mut random = self.random;
                self.member(id).core.receive(message, &mut draw(&mut random));
                self.random = random;
                self.carry_out(id);
            }
            Packet::Quiet(message) => match message.kind {
                QuietKind::Wake => self.wake(id, Reason::Told),
                QuietKind::Quiesce { last } => {
                    let look = self.look(id);
                    let member = self.member(id);
                    let is_of_leader = member.core.leader() == Some(message.from);
                    let receipt = member
                        .quiet
                        .receive_quiesce(message.term, last, is_of_leader, &look);
                    if receipt == Receipt::Refused {
                        self.say(id, message.from, QuietKind::Wake);
                    }
                }
            },
        }
    }

    fn carry_out(&mut self, id: ReplicaId) {
        let member = self.members.get_mut(&id).unwrap();
        while let Some(step) = member.core.step() {
            let mut messages = step.messages;
            if let Some(persist) = step.persist {
                if let Some(first) = persist.entries.first() {
                    member.log.retain(|entry| entry.index < first.index);
                }
                member.log.extend(persist.entries);
                if let Some(kept) = persist.state {
                    member.disk.hard_state = kept.hard_state;
                }
                member.core.persisted(persist.number);
                messages.extend(persist.then_send);
            }
            for fetch in step.fetches {
                let wanted = fetch.from..fetch.to;
                let entries = member.log.iter().filter(|entry| wanted.contains(&entry.index));
                let entries = entries.cloned().collect();
                member.core.fetched(fetch, entries);
            }
            if let Some(entry) = step.committed.last() {
                member.applied = entry.index;
                member.core.applied(entry.index);
            }
            self.network.extend(messages.into_iter().map(Packet::Raft));
        }
    }

    /// Proposes at a member; `true` if it took it.
    fn propose(&mut self, id: ReplicaId) -> bool {
        let taken = self.member(id).core.propose("x".into()).is_some();
        self.wake(id, if taken { Reason::Proposal } else { Reason::Asked });
        self.carry_out(id);
        taken
    }

    fn restart(&mut self, id: ReplicaId) {
        let mut random = self.random;
        let member = self.member(id);
        let mut disk = member.disk.clone();
        disk.last = member.log.last().map_or(0, |entry| entry.index);
        disk.hard_state.commit = member.applied;
        for entry in &member.log {
            if disk.terms.last().is_none_or(|(_, term)| *term != entry.term) {
                disk.terms.push((entry.index, entry.term));
            }
        }
        let unapplied = member.log.iter().filter(|entry| entry.index > member.applied);
        disk.unapplied = unapplied.cloned().collect();
        member.core = core(id, disk, &mut random);
        member.quiet = Quiet::new(AFTER);
        member.incarnation += 1;
        self.random = random;
    }

    /// Time passes for all, and everything arrives.
    fn round(&mut self) {
        for id in IDS {
            self.tick(id);
        }
        while !self.network.is_empty() {
            let packet = self.network.remove(0);
            self.receive(packet);
        }
    }

    /// Until all rest.
    fn rest(&mut self) {
        for _ in 0..100 {
            self.round();
        }
        assert!(self.all_rest());
    }

    fn all_rest(&self) -> bool {
        self.members.values().all(|member| member.quiet.is_quiet())
    }

    fn leader(&self) -> Option<ReplicaId> {
        let leads = self.members.iter().filter(|(_, member)| member.core.may_serve());
        leads
            .max_by_key(|(_, member)| member.core.term())
            .map(|(id, _)| *id)
    }

    /// The invariant of the file.
    fn check(&self) -> Result<(), TestCaseError> {
        if !self.all_rest() {
            return Ok(());
        }
        let looks = IDS.map(|id| self.look(id));
        let logs: BTreeSet<_> = looks
            .iter()
            .map(|look| (look.term, look.last, look.committed))
            .collect();
        prop_assert_eq!(logs.len(), 1, "{:?}", looks);
        let leaders = looks.iter().filter(|look| look.role == Role::Leader);
        prop_assert_eq!(leaders.count(), 1, "{:?}", looks);
        Ok(())
    }
}

#[derive(Clone, Copy, Debug)]
enum Action {
    Round,
    Rounds,
    Tick(usize),
    Deliver(usize),
    Lose(usize),
    LoseAll,
    Propose(usize),
    Doubt(usize, usize),
    Trust(usize, usize),
    Restart(usize),
}

fn actions() -> impl Strategy<Value = Vec<Action>> {
    let one = 0_usize..3;
    let action = prop_oneof![
        3 => proptest::strategy::Just(Action::Round),
        2 => proptest::strategy::Just(Action::Rounds),
        6 => one.clone().prop_map(Action::Tick),
        8 => any::<usize>().prop_map(Action::Deliver),
        4 => any::<usize>().prop_map(Action::Lose),
        1 => proptest::strategy::Just(Action::LoseAll),
        2 => one.clone().prop_map(Action::Propose),
        1 => (one.clone(), one.clone()).prop_map(|(observer, node)| Action::Doubt(observer, node)),
        1 => (one.clone(), one.clone()).prop_map(|(observer, node)| Action::Trust(observer, node)),
        1 => one.prop_map(Action::Restart),
    ];
    proptest::collection::vec(action, 0..120)
}

impl Trio {
    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Round => self.round(),
            Action::Rounds => {
                for _ in 0..2 * AFTER {
                    self.round();
                    self.check()?;
                }
            }
            Action::Tick(id) => self.tick(IDS[id]),
            Action::Deliver(at) if !self.network.is_empty() => {
                let packet = self.network.remove(at % self.network.len());
                self.receive(packet);
            }
            Action::Lose(at) if !self.network.is_empty() => {
                self.network.remove(at % self.network.len());
            }
            Action::LoseAll => self.network.clear(),
            Action::Propose(id) => drop(self.propose(IDS[id])),
            Action::Doubt(observer, node) if observer != node => {
                self.member(IDS[observer]).doubts.insert(IDS[node]);
                self.wake(IDS[observer], Reason::Peer);
            }
            Action::Deliver(_) | Action::Lose(_) | Action::Doubt(..) => {}
            Action::Trust(observer, node) => drop(self.member(IDS[observer]).doubts.remove(&IDS[node])),
            Action::Restart(id) => self.restart(IDS[id]),
        }
        self.check()
    }
}

#[test]
fn a_group_rests_and_its_leader_commits_again_when_it_is_asked_to() {
    let mut trio = Trio::new(1);
    trio.rest();
    let leader = trio.leader().unwrap();
    let before = trio.look(leader);
    for _ in 0..1000 {
        trio.round();
    }
    assert_eq!(trio.look(leader), before, "nothing happens");
    assert!(trio.propose(leader));
    trio.round();
    assert!(IDS.iter().all(|id| trio.members[id].applied > before.last));
    assert_eq!(trio.look(leader).term, before.term);
}

#[test]
fn a_group_whose_leader_is_gone_while_it_rests_finds_another() {
    let mut trio = Trio::new(2);
    trio.rest();
    let gone = trio.leader().unwrap();
    let others: Vec<_> = IDS.into_iter().filter(|id| *id != gone).collect();
    for id in &others {
        trio.member(*id).doubts.insert(gone);
    }
    let term = trio.look(gone).term;
    for _ in 0..100 {
        for id in &others {
            trio.tick(*id);
        }
        while !trio.network.is_empty() {
            let packet = trio.network.remove(0);
            if packet.to() != gone {
                trio.receive(packet);
            }
        }
    }
    let leads = |id: &&ReplicaId| trio.members[id].core.may_serve();
    assert_eq!(others.iter().filter(leads).count(), 1);
    assert!(trio.look(others[0]).term > term);
}

#[test]
fn doubts_about_a_leader_that_lives_do_not_replace_it() {
    let mut trio = Trio::new(3);
    trio.rest();
    let leader = trio.leader().unwrap();
    let term = trio.look(leader).term;
    for id in IDS.into_iter().filter(|id| *id != leader) {
        trio.member(id).doubts.insert(leader);
    }
    for _ in 0..100 {
        trio.round();
    }
    assert_eq!((trio.leader(), trio.look(leader).term), (Some(leader), term));
}

proptest! {
    #[test]
    fn whoever_rests_rests_with_all_others_or_is_woken_by_them(seed in any::<u64>(), actions in actions()) {
        let mut trio = Trio::new(seed);
        for action in actions {
            trio.act(action)?;
        }
        // What is on its way now comes late or never; gossip is right from now on. Nobody is told.
        if seed % 2 == 0 {
            trio.network.clear();
        }
        for id in IDS {
            trio.member(id).doubts.clear();
        }
        for _ in 0..100 {
            trio.round();
            trio.check()?;
        }
        prop_assert!(trio.all_rest());
        let leader = trio.leader();
        prop_assert!(leader.is_some_and(|leader| trio.propose(leader)));
        for _ in 0..3 {
            trio.round();
        }
        let last = trio.look(IDS[0]).last;
        prop_assert!(IDS.iter().all(|id| trio.members[id].applied == last));
    }
}
