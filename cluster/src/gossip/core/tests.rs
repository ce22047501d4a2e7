//! The core by itself: arguments, hostile messages, pauses, forgetting.

use std::collections::BTreeSet;

use bytes::Bytes;
use proptest::prelude::{any, proptest};

use super::*;

fn me(node: u64) -> Me {
    Me {
        node: NodeId(node),
        incarnation: 1,
        address: format!("host-{node}:1"),
    }
}

fn core(node: u64) -> Driven {
    let (gossip, effects) = Gossip::new(&me(node), GossipSettings::default(), node, Duration::ZERO).unwrap();
    let mut driven = Driven {
        gossip,
        now: Duration::ZERO,
        due: BTreeSet::new(),
        effects: Vec::new(),
    };
    driven.take(effects);
    driven
}

/// A core with its timers, and what it did.
struct Driven {
    gossip: Gossip,
    now: Duration,
    due: BTreeSet<(Duration, TimerId)>,
    effects: Vec<Effect>,
}

impl Driven {
    fn take(&mut self, effects: Vec<Effect>) {
        for effect in effects {
            if let Effect::Timer { after, timer } = effect {
                self.due.insert((self.now + after, timer));
            }
            self.effects.push(effect);
        }
    }

    fn input(&mut self, input: Input<'_>) {
        let effects = self.gossip.handle(input, self.now);
        self.take(effects);
    }

    /// Gives it its timers in their time, until something holds.
    fn run_until(&mut self, condition: impl Fn(&Gossip) -> bool) {
        while !condition(&self.gossip) {
            let (due, timer) = self.due.pop_first().unwrap();
            assert!(due < Duration::from_secs(60), "it does not come to pass");
            self.now = due;
            self.input(Input::Timer(timer));
        }
    }

    /// Stands still, and then gets all timers that have become due.
    fn stall(&mut self, pause: Duration) {
        self.now += pause;
        let later = self
            .due
            .split_off(&(self.now + Duration::from_nanos(1), TimerId(0)));
        for (_, timer) in std::mem::replace(&mut self.due, later) {
            self.input(Input::Timer(timer));
        }
    }

    fn sent(&self) -> Vec<Bytes> {
        self.effects
            .iter()
            .filter_map(|effect| match effect {
                Effect::Send { message, .. } => Some(message.clone()),
                _ => None,
            })
            .collect()
    }
}

/// The first words of a node that joins node 1.
fn announcement(node: u64) -> Bytes {
    let mut joining = core(node);
    joining.input(Input::Join(vec![Peer {
        node: NodeId(1),
        address: "host-1:1".into(),
    }]));
    joining.sent().remove(0)
}

/// Node 1, which has met node 2.
fn met() -> Driven {
    let mut core = core(1);
    let bytes = announcement(2);
    core.input(Input::Message {
        from: NodeId(2),
        bytes: &bytes,
    });
    assert_eq!(core.gossip.liveness(NodeId(2)), Some(Liveness::Alive));
    core
}

#[test]
fn arguments_that_cannot_work_are_refused() {
    let start = |me: &Me| Gossip::new(me, GossipSettings::default(), 1, Duration::ZERO).map(|_| ());
    let never_started = Me {
        incarnation: 0,
        ..me(1)
    };
    assert_eq!(start(&never_started), Err(GossipError::NoIncarnation));
    for address in [String::new(), "a b:1".into(), "x".repeat(256)] {
        let nowhere = Me {
            address: address.clone(),
            ..me(1)
        };
        assert_eq!(start(&nowhere), Err(GossipError::Address { address }));
    }
    assert_eq!(start(&me(1)), Ok(()));
}

#[test]
fn an_address_is_made_known_before_the_first_message_to_it() {
    let core = met();
    let introduced = core.effects.iter().position(
        |effect| matches!(effect, Effect::Introduce { node: NodeId(2), address } if address == "host-2:1"),
    );
    let sent = core
        .effects
        .iter()
        .position(|effect| matches!(effect, Effect::Send { .. }));
    assert!(introduced.is_some() && introduced < sent, "{:?}", core.effects);
}

#[test]
fn a_message_in_the_name_of_another_node_is_refused() {
    let mut core = core(1);
    core.input(Input::Message {
        from: NodeId(3),
        bytes: &announcement(2),
    });
    let error = MessageError::OtherSender {
        from: NodeId(3),
        claimed: NodeId(2),
    };
    let refused = Effect::Refused {
        from: NodeId(3),
        error,
    };
    assert_eq!(core.effects.last(), Some(&refused));
    assert_eq!(core.gossip.liveness(NodeId(2)), None);
}

#[test]
fn a_time_that_was_not_asked_for_does_nothing() {
    let mut core = core(1);
    let before = core.effects.len();
    core.input(Input::Timer(TimerId(99)));
    assert_eq!(core.effects.len(), before);
}

#[test]
fn a_node_that_does_not_answer_is_suspect_and_then_down() {
    let mut core = met();
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Suspect));
    let suspected = core.now;
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Down));
    assert_eq!(core.now, suspected + Duration::from_millis(250));
    let members = core.gossip.members();
    let ids: Vec<_> = members.iter().map(|member| member.node.0).collect();
    assert_eq!(ids, [1, 2]);
    assert_eq!((members[1].since, members[1].incarnation), (core.now, 1));
}

#[test]
fn who_stood_still_gives_a_suspect_its_time_again() {
    let mut core = met();
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Suspect));
    core.stall(Duration::from_secs(10));
    assert_eq!(core.gossip.liveness(NodeId(2)), Some(Liveness::Suspect));
    let woken = core.now;
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Down));
    assert_eq!(core.now, woken + Duration::from_millis(250));
}

#[test]
fn a_node_that_has_left_is_forgotten_as_soon_as_it_is_down() {
    let mut core = met();
    core.input(Input::Forget(NodeId(2)));
    assert_eq!(core.gossip.liveness(NodeId(2)), Some(Liveness::Alive));
    core.run_until(|gossip| gossip.liveness(NodeId(2)).is_none());
    assert!(core.effects.contains(&Effect::Down(NodeId(2))));
    assert_eq!(core.gossip.members().len(), 1);
    assert_eq!(core.effects.last(), Some(&Effect::Changed(NodeId(2))));
    let sent = core.sent().len();
    core.stall(Duration::from_secs(2));
    assert_eq!(core.sent().len(), sent, "it is not spoken to any more");
}

#[test]
fn a_node_that_has_left_is_brought_back_by_its_own_word_only() {
    let mut core = met();
    core.input(Input::Forget(NodeId(2)));
    let left = core.gossip.members[&NodeId(2)].id.clone();
    core.run_until(|gossip| gossip.liveness(NodeId(2)).is_none());
    let third = MemberId {
        node: NodeId(3),
        address: "host-3:1".into(),
        ..left.clone()
    };
    let rumours = [
        foca::Member::alive(left.clone()),
        foca::Member::down(left.clone()),
    ];
    for member in rumours {
        let bytes = Message::gossip(&third, core.gossip.foca.identity(), &left);
        let mut rumour = Message::parse(&bytes).unwrap();
        rumour.members = vec![member];
        core.input(Input::Message {
            from: NodeId(3),
            bytes: &rumour.encode(),
        });
        assert_eq!(core.gossip.liveness(NodeId(3)), Some(Liveness::Alive));
        assert_eq!(core.gossip.liveness(NodeId(2)), None, "{rumour:?}");
    }
    core.input(Input::Message {
        from: NodeId(2),
        bytes: &announcement(2),
    });
    assert_eq!(core.gossip.liveness(NodeId(2)), Some(Liveness::Alive));
}

#[test]
fn a_node_that_has_left_itself_still_objects_when_it_is_suspected() {
    let mut core = met();
    core.input(Input::Forget(NodeId(1)));
    let second = core.gossip.members[&NodeId(2)].id.clone();
    let me = core.gossip.foca.identity().clone();
    let bytes = Message::gossip(&second, &me, &second);
    let mut rumour = Message::parse(&bytes).unwrap();
    rumour.members = vec![foca::Member::new(me, 0, foca::State::Down)];
    core.input(Input::Message {
        from: NodeId(2),
        bytes: &rumour.encode(),
    });
    assert_eq!(core.gossip.foca.identity().renewal, 1);
}

#[test]
fn a_seed_is_spoken_to_until_it_answers() {
    let mut core = core(1);
    let peer = |node: u64, address: &str| Peer {
        node: NodeId(node),
        address: address.into(),
    };
    core.input(Input::Join(vec![
        peer(2, "host-2:1"),
        peer(1, "host-1:1"),
        peer(3, "no address"),
    ]));
    assert_eq!(core.sent().len(), 1, "not to itself, nor to what is no address");
    for _ in 0..3 {
        core.stall(Duration::from_millis(500));
    }
    assert_eq!(core.sent().len(), 4);
}

#[test]
fn who_left_says_nothing_more() {
    let mut core = met();
    core.input(Input::Leave);
    let effects = core.effects.len();
    core.stall(Duration::from_secs(5));
    core.input(Input::Message {
        from: NodeId(3),
        bytes: &announcement(3),
    });
    assert_eq!(core.effects.len(), effects);
    assert!(!core.gossip.is_running());
}

proptest! {
    #[test]
    fn no_message_does_harm(
        kind in 0usize..6,
        changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 1..4),
        length in any::<u16>(),
    ) {
        // Messages of all kinds that node 2 writes to node 1, and one of them with some changes.
        let mut core = met();
        let mut peer = self::core(2);
        peer.input(Input::Message { from: NodeId(1), bytes: &core.sent()[0] });
        peer.input(Input::State(NodeState::default()));
        peer.stall(Duration::from_millis(50));
        peer.stall(Duration::from_millis(1000));
        peer.stall(Duration::from_millis(50));
        let messages = peer.sent();
        let mut bytes = messages[kind % messages.len()].to_vec();
        for (place, byte) in changes {
            let place = usize::from(place) % bytes.len();
            bytes[place] = byte;
        }
        if length % 4 == 0 {
            bytes.truncate(usize::from(length) % (bytes.len() + 1));
        }
        core.input(Input::Message { from: NodeId(2), bytes: &bytes });
        for _ in 0..20 {
            core.stall(Duration::from_millis(50));
        }
        assert!(core.gossip.members().iter().any(|member| member.node == NodeId(1)));
    }

    #[test]
    fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..1300)) {
        let mut core = met();
        core.input(Input::Message { from: NodeId(2), bytes: &bytes });
        assert!(matches!(core.effects.last(), Some(Effect::Refused { .. })));
    }
}

#[test]
fn a_suspect_does_not_stay_one_when_this_node_renews_itself_meanwhile() {
    let mut core = met();
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Suspect));
    let renewed = foca::Identity::renew(core.gossip.foca.identity()).unwrap();
    let mut effects = Vec::new();
    core.gossip
        .drive(core.now, &mut effects, |foca, runtime| {
            foca.change_identity(renewed, runtime)
        })
        .unwrap();
    core.take(effects);
    assert_eq!(core.gossip.liveness(NodeId(2)), Some(Liveness::Suspect));
    core.run_until(|gossip| gossip.liveness(NodeId(2)) == Some(Liveness::Down));
}
