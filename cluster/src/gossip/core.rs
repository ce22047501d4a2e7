//! The core of gossip: an input and the time go in, effects come out.
//!
//! Invariant: it has no clock and no other randomness than its seed, and nothing is decided by the order of a hash, so
//! that the same inputs give the same effects. A message is read and checked as a whole before `foca` gets it; news
//! about this node from another process never gets there. Not here: sending, waiting (`doer`), bytes (`wire`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use foca::{AccumulatingRuntime, Foca};
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use super::Liveness;
use super::claims::Claims;
use super::error::{Fault, GossipError, MessageError};
use super::id::MemberId;
use super::interface::{Effect, Input, Me, Member, Peer, TimerId};
use super::settings::GossipSettings;
use super::state::{NodeState, Novelty, Stamp, StateItem};
use super::wire::{Message, Wire, is_address};
use crate::world::NodeId;

/// What is to be done when a time has come.
#[derive(Debug)]
enum Alarm {
    Foca(foca::Timer<MemberId>),
    /// Speak to those who are down or were never met.
    Announce,
    /// Spread the own state.
    State,
}

#[derive(Debug)]
struct Known {
    id: MemberId,
    liveness: Liveness,
    since: Duration,
}

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    Running,
    Left,
    Stopped(Fault),
}

type Swim = Foca<MemberId, Wire, Xoshiro256PlusPlus, Novelty>;

/// Membership and failure detection of one node.
pub struct Gossip {
    me: MemberId,
    settings: GossipSettings,
    foca: Swim,
    phase: Phase,
    started: Duration,
    alarms: BTreeMap<TimerId, (Duration, Alarm)>,
    timers_given: u64,
    members: BTreeMap<NodeId, Known>,
    states: BTreeMap<NodeId, (Stamp, NodeState)>,
    own_state: NodeState,
    /// Who was named to be joined, and where.
    seeds: BTreeMap<NodeId, Arc<str>>,
    /// Whom the last round of announcements ended with.
    announced: Option<NodeId>,
    claims: Claims,
    introduced: BTreeMap<NodeId, (u64, Arc<str>)>,
    /// Nodes that have left for good. One of them that is down is not known, and only its own word brings it back: those that have not
    /// heard yet that it is down would bring it back to each other for ever.
    departed: BTreeSet<NodeId>,
}

impl std::fmt::Debug for Gossip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gossip")
            .field("me", &self.me)
            .field("phase", &self.phase)
            .field("members", &self.members)
            .finish_non_exhaustive()
    }
}

impl Gossip {
    /// Begins the gossip of a node that knows nobody. `seed` has to be one that nobody can guess, and another one at
    /// each start. The effects are to be done as those of an input.
    ///
    /// # Errors
    ///
    /// Names the argument that is not valid.
    pub fn new(
        me: &Me,
        settings: GossipSettings,
        seed: u64,
        now: Duration,
    ) -> Result<(Self, Vec<Effect>), GossipError> {
        settings.validate()?;
        if me.incarnation == 0 {
            return Err(GossipError::NoIncarnation);
        }
        if !is_address(&me.address) {
            return Err(GossipError::Address {
                address: me.address.clone(),
            });
        }
        let mut random = Xoshiro256PlusPlus::seed_from_u64(seed);
        let id = MemberId {
            node: me.node,
            incarnation: me.incarnation,
            process: rand::RngExt::random(&mut random),
            renewal: 0,
            address: me.address.as_str().into(),
        };
        let config = settings.foca();
        let mut gossip = Self {
            me: id.clone(),
            claims: Claims::new(id.clone()),
            foca: Foca::with_custom_broadcast(id, config, random, Wire::default(), Novelty::default()),
            settings,
            phase: Phase::Running,
            started: now,
            alarms: BTreeMap::new(),
            timers_given: 0,
            members: BTreeMap::new(),
            states: BTreeMap::new(),
            own_state: NodeState::default(),
            seeds: BTreeMap::new(),
            announced: None,
            introduced: BTreeMap::new(),
            departed: BTreeSet::new(),
        };
        let mut effects = Vec::new();
        gossip.set_alarm(
            gossip.settings.announce_interval(),
            Alarm::Announce,
            now,
            &mut effects,
        );
        gossip.set_alarm(gossip.settings.state_interval(), Alarm::State, now, &mut effects);
        Ok((gossip, effects))
    }

    /// Takes an input, and says what is to be done. `now` never goes back.
    pub fn handle(&mut self, input: Input<'_>, now: Duration) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.phase != Phase::Running {
            return effects;
        }
        match input {
            Input::Message { from, bytes } => {
                if let Err(error) = self.on_message(from, bytes, now, &mut effects) {
                    effects.push(Effect::Refused { from, error });
                }
            }
            Input::Timer(timer) => self.on_timer(timer, now, &mut effects),
            Input::State(state) => {
                if self.own_state.replace(state) {
                    self.spread_own_state();
                }
            }
            Input::Join(peers) => self.on_join(peers, now, &mut effects),
            // It takes part until it is stopped.
            Input::Forget(node) if node == self.me.node => {}
            Input::Forget(node) => {
                self.seeds.remove(&node);
                self.departed.insert(node);
            }
            Input::Leave => self.on_leave(now, &mut effects),
        }
        self.compare_members(now, &mut effects);
        self.forget_departed(now, &mut effects);
        effects
    }

    /// All nodes that were met, this one included, by their ids.
    pub fn members(&self) -> Vec<Member> {
        let own = Member {
            node: self.me.node,
            address: self.me.address.to_string(),
            liveness: self.own_liveness(),
            incarnation: self.me.incarnation,
            state: Some(self.own_state.clone()),
            since: self.started,
        };
        let others = self.members.iter().map(|(node, known)| Member {
            node: *node,
            address: known.id.address.to_string(),
            liveness: known.liveness,
            incarnation: known.id.incarnation,
            state: self
                .states
                .get(node)
                .map(|(said, state)| state.of_start(*said, known.id.incarnation)),
            since: known.since,
        });
        let mut members: Vec<_> = others.chain([own]).collect();
        members.sort_by_key(|member| member.node);
        members
    }

    /// Whether a node takes part; `None` for one that was never met.
    pub fn liveness(&self, node: NodeId) -> Option<Liveness> {
        if node == self.me.node {
            return Some(self.own_liveness());
        }
        self.members.get(&node).map(|known| known.liveness)
    }

    /// Why gossip has stopped, if it has.
    pub fn fault(&self) -> Option<&Fault> {
        match &self.phase {
            Phase::Stopped(fault) => Some(fault),
            Phase::Running | Phase::Left => None,
        }
    }

    /// Whether it still takes inputs: it has neither left nor stopped.
    pub fn is_running(&self) -> bool {
        self.phase == Phase::Running
    }

    fn own_liveness(&self) -> Liveness {
        if self.is_running() {
            Liveness::Alive
        } else {
            Liveness::Down
        }
    }

    fn on_message(
        &mut self,
        from: NodeId,
        bytes: &[u8],
        now: Duration,
        effects: &mut Vec<Effect>,
    ) -> Result<(), MessageError> {
        let mut message = Message::parse(bytes)?;
        let header = &message.header;
        if header.src.node != from {
            return Err(MessageError::OtherSender {
                from,
                claimed: header.src.node,
            });
        }
        let ids = [&header.src, &header.dst]
            .into_iter()
            .chain(message.members.iter().map(foca::Member::id));
        for id in ids {
            if let Some(fault) = self.claims.note(id, now) {
                let own = fault.node() == self.me.node;
                effects.push(Effect::Fault(fault.clone()));
                if own {
                    self.phase = Phase::Stopped(fault);
                    return Ok(());
                }
            }
        }
        self.warn(&header.src, now, effects);
        let forgotten = self.departed.iter().copied();
        let forgotten = forgotten.filter(|node| *node != from && !self.members.contains_key(node));
        let forgotten: BTreeSet<NodeId> = forgotten.collect();
        for item in &message.states {
            if !forgotten.contains(&item.node) {
                self.learn_state(item, effects);
            }
        }
        // What is said of earlier processes of this node is out of date, and not to be gossiped about.
        let own = self.foca.identity();
        let is_news = |id: &MemberId| (id.node != own.node || id == own) && !forgotten.contains(&id.node);
        let received = message.members.len();
        message.members.retain(|member| is_news(member.id()));
        let anew = (message.members.len() != received).then(|| message.encode());
        let bytes = anew.as_deref().unwrap_or(bytes);
        let handled = self.drive(now, effects, |foca, runtime| foca.handle_data(bytes, runtime));
        handled.map_err(|error| MessageError::OutOfPlace {
            cause: error.to_string(),
        })
    }

    /// Tells a process that still speaks although another one of its node counts, of that one.
    fn warn(&mut self, sender: &MemberId, now: Duration, effects: &mut Vec<Effect>) {
        if let Some(counts) = self.claims.warning_for(sender, now) {
            self.tell(sender, &counts, effects);
            if sender.incarnation == counts.incarnation {
                self.tell(&counts, sender, effects);
            }
        }
    }

    /// Tells one process that there is another one. It may live where nothing else is sent to any more.
    fn tell(&self, whom: &MemberId, of: &MemberId, effects: &mut Vec<Effect>) {
        let message = Message::gossip(self.foca.identity(), whom, of);
        let introduce = |address: &Arc<str>| Effect::Introduce {
            node: whom.node,
            address: address.to_string(),
        };
        let elsewhere = self
            .introduced
            .get(&whom.node)
            .filter(|(_, address)| *address != whom.address);
        if elsewhere.is_some() || !self.introduced.contains_key(&whom.node) {
            effects.push(introduce(&whom.address));
        }
        effects.push(Effect::Send {
            to: whom.node,
            message: message.into(),
        });
        if let Some((_, address)) = elsewhere {
            effects.push(introduce(address));
        }
    }

    fn learn_state(&mut self, item: &StateItem, effects: &mut Vec<Effect>) {
        if item.node == self.me.node {
            return;
        }
        let newer = self
            .states
            .get(&item.node)
            .is_none_or(|(stamp, _)| *stamp < item.stamp());
        if newer {
            self.states.insert(item.node, (item.stamp(), item.state.clone()));
            effects.push(Effect::Changed(item.node));
        }
    }

    fn on_timer(&mut self, timer: TimerId, now: Duration, effects: &mut Vec<Effect>) {
        let Some((due, alarm)) = self.alarms.remove(&timer) else {
            return;
        };
        let late = now.saturating_sub(due);
        match alarm {
            // Who was held up may have missed the objection: the suspect gets its time again.
            Alarm::Foca(alarm @ foca::Timer::ChangeSuspectToDown { .. })
                if late > self.settings.suspicion() / 2 =>
            {
                self.set_alarm(self.settings.suspicion(), Alarm::Foca(alarm), now, effects);
            }
            Alarm::Foca(alarm) => self.on_alarm_of_foca(alarm, now, effects),
            Alarm::Announce => {
                self.announce(now, effects);
                self.set_alarm(self.settings.announce_interval(), Alarm::Announce, now, effects);
            }
            Alarm::State => {
                self.spread_own_state();
                self.set_alarm(self.settings.state_interval(), Alarm::State, now, effects);
            }
        }
    }

    fn on_alarm_of_foca(&mut self, alarm: foca::Timer<MemberId>, now: Duration, effects: &mut Vec<Effect>) {
        let suspect = match &alarm {
            foca::Timer::ChangeSuspectToDown {
                member_id,
                incarnation,
                ..
            } => Some((member_id.clone(), *incarnation)),
            _ => None,
        };
        self.drive(now, effects, |foca, runtime| foca.handle_timer(alarm, runtime))
            .ok();
        let Some((id, incarnation)) = suspect else { return };
        // Foca leaves out alarms of the time before this node renewed itself; the suspect has had its time nevertheless, and nobody else
        // may tell it that it is one.
        let is_suspect = self.foca.iter_membership_state().any(|member| {
            *member.id() == id
                && member.incarnation() == incarnation
                && member.state() == foca::State::Suspect
        });
        if is_suspect {
            let down = foca::Member::new(id, incarnation, foca::State::Down);
            self.drive(now, effects, |foca, runtime| {
                foca.apply_many(std::iter::once(down), true, runtime)
            })
            .ok();
        }
    }

    fn on_join(&mut self, peers: Vec<Peer>, now: Duration, effects: &mut Vec<Effect>) {
        for peer in peers {
            if peer.node != self.me.node && is_address(&peer.address) {
                let address: Arc<str> = peer.address.into();
                self.seeds.insert(peer.node, Arc::clone(&address));
                self.announce_to(peer.node, address, now, effects);
            }
        }
    }

    /// Forgets those that have left and are down.
    fn forget_departed(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let is_down = |known: &Known| known.liveness == Liveness::Down;
        let members = &self.members;
        let departed = self.departed.iter().copied();
        let gone: Vec<_> = departed
            .filter(|node| members.get(node).is_some_and(is_down))
            .collect();
        for node in gone {
            if let Some(known) = self.members.remove(&node) {
                let alarm = foca::Timer::RemoveDown(known.id);
                self.drive(now, effects, |foca, runtime| foca.handle_timer(alarm, runtime))
                    .ok();
            }
            self.states.remove(&node);
            effects.push(Effect::Changed(node));
        }
    }

    fn on_leave(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        self.drive(now, effects, |foca, mut runtime| {
            foca.leave_cluster(&mut runtime)?;
            // Once more to others, since any of the messages may be lost.
            foca.gossip(&mut runtime)?;
            foca.gossip(runtime)
        })
        .ok();
        self.phase = Phase::Left;
    }

    fn spread_own_state(&mut self) {
        self.own_state.version += 1;
        let item = StateItem {
            node: self.me.node,
            incarnation: self.me.incarnation,
            state: self.own_state.clone(),
        };
        // Refused is only what is empty, too long or not newer, and this is none of them.
        self.foca.add_broadcast(&item.encode()).ok();
    }

    /// Speaks to the next few of those who are down or were never met: this is how a joining node gets in when its
    /// first words were lost, and how the sides of a healed partition find each other.
    fn announce(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let away: BTreeMap<NodeId, Arc<str>> = self
            .seeds
            .iter()
            .filter(|(node, _)| !self.members.contains_key(node))
            .map(|(node, address)| (*node, Arc::clone(address)))
            .chain(
                self.members
                    .iter()
                    .filter(|(_, known)| known.liveness == Liveness::Down)
                    .map(|(node, known)| (*node, Arc::clone(&known.id.address))),
            )
            .collect();
        let after = self.announced.map_or(Bound::Unbounded, Bound::Excluded);
        let round: Vec<_> = away
            .range((after, Bound::Unbounded))
            .chain(&away)
            .take(self.settings.announce_fanout.min(away.len()))
            .collect();
        for (node, address) in round {
            self.announced = Some(*node);
            self.announce_to(*node, Arc::clone(address), now, effects);
        }
    }

    fn announce_to(&mut self, node: NodeId, address: Arc<str>, now: Duration, effects: &mut Vec<Effect>) {
        let whoever = MemberId {
            node,
            incarnation: 0,
            process: 0,
            renewal: 0,
            address,
        };
        self.drive(now, effects, |foca, runtime| foca.announce(whoever, runtime))
            .ok();
    }

    /// Lets `foca` do something. With timers its errors are reports of steps that were held up by a pause of the process
    /// and that it has gone on from, so that nothing is to be done about them.
    fn drive(
        &mut self,
        now: Duration,
        effects: &mut Vec<Effect>,
        step: impl FnOnce(&mut Swim, &mut AccumulatingRuntime<MemberId>) -> Result<(), foca::Error>,
    ) -> Result<(), foca::Error> {
        let renewal = self.foca.identity().renewal;
        let mut runtime = AccumulatingRuntime::new();
        let mut done = step(&mut self.foca, &mut runtime);
        // Foca renews itself when it is held to be down, and then waits for someone to speak to it. It need not wait: those
        // that it knew are still there.
        if done.is_ok() && self.foca.identity().renewal != renewal {
            done = self.foca.apply_many(std::iter::empty(), false, &mut runtime);
        }
        self.carry_out(runtime, now, effects);
        done
    }

    /// Turns what `foca` wants into effects.
    fn carry_out(
        &mut self,
        mut runtime: AccumulatingRuntime<MemberId>,
        now: Duration,
        effects: &mut Vec<Effect>,
    ) {
        while let Some((to, message)) = runtime.to_send() {
            // An old identity of this node gets no mail.
            if to.node == self.me.node {
                continue;
            }
            self.introduce(&to, effects);
            effects.push(Effect::Send { to: to.node, message });
        }
        while let Some((after, timer)) = runtime.to_schedule() {
            self.set_alarm(after, Alarm::Foca(timer), now, effects);
        }
    }

    /// Makes an address known, unless it is known already, or is that of a process that does not count.
    fn introduce(&mut self, to: &MemberId, effects: &mut Vec<Effect>) {
        let counts = self.claims.counts(to);
        let fresh = match self.introduced.get(&to.node) {
            None => true,
            Some((incarnation, address)) => {
                counts && *incarnation <= to.incarnation && *address != to.address
            }
        };
        if fresh {
            self.introduced
                .insert(to.node, (to.incarnation, Arc::clone(&to.address)));
            effects.push(Effect::Introduce {
                node: to.node,
                address: to.address.to_string(),
            });
        }
    }

    fn set_alarm(&mut self, after: Duration, alarm: Alarm, now: Duration, effects: &mut Vec<Effect>) {
        let timer = TimerId(self.timers_given);
        self.timers_given += 1;
        self.alarms.insert(timer, (now.saturating_add(after), alarm));
        effects.push(Effect::Timer { after, timer });
    }

    /// Tells what has changed since the last input.
    fn compare_members(&mut self, now: Duration, effects: &mut Vec<Effect>) {
        let mut events = BTreeMap::new();
        for member in self.foca.iter_membership_state() {
            let id = member.id();
            if id.node == self.me.node {
                continue;
            }
            let liveness = match member.state() {
                foca::State::Alive => Liveness::Alive,
                foca::State::Suspect => Liveness::Suspect,
                foca::State::Down => Liveness::Down,
            };
            let event = match self.members.get(&id.node) {
                Some(known) if known.liveness == liveness && known.id == *id => continue,
                Some(known) if known.liveness == liveness && known.id.incarnation == id.incarnation => None,
                _ => Some(now),
            };
            let since = event
                .or_else(|| self.members.get(&id.node).map(|known| known.since))
                .unwrap_or(now);
            let known = Known {
                id: id.clone(),
                liveness,
                since,
            };
            self.members.insert(id.node, known);
            events.insert(
                id.node,
                match (event, liveness) {
                    (None, _) => Effect::Changed(id.node),
                    (Some(_), Liveness::Alive) => Effect::Up(id.node),
                    (Some(_), Liveness::Suspect) => Effect::Suspect(id.node),
                    (Some(_), Liveness::Down) => Effect::Down(id.node),
                },
            );
        }
        effects.extend(events.into_values());
    }
}

#[cfg(test)]
mod tests;
