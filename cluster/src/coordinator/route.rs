//! Where an operation goes: to the leader of its group, wherever that is, again and again until patience is over.
//!
//! Invariant: what may have taken effect is reported as unknown, never as not done, whatever the last try said. Not here:
//! operations.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use prost::Message as _;

use super::Cluster;
use crate::command::WriteOptions;
use crate::error::Error;
use crate::follow::{self, Hop, OpenSpan, Step};
use crate::gossip::{Gossiper, Liveness};
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::{Refused, Replica};
use crate::node::exchange::ExchangeError;
use crate::node::message::{Ask, Refusal, Reply, Tell, question};
use crate::ring::RangeId;
use crate::world::{NodeId, Priority, World};

/// How long to wait before another try when nobody is known who could do better.
const PAUSE: Duration = Duration::from_millis(10);

/// What part of patience a node has that may not be there.
const UNHEARD_SHARE: u32 = 4;

/// How often in a row who was named is asked, before the members have their turn again. Two that are right about it come to the
/// leader: a member names it, and it may just have handed over. Two that are not may name each other for ever.
const NAMED_MAX: u32 = 2;

/// A replica to try.
pub(super) enum Place {
    /// On this node.
    Here(Arc<Replica>),
    /// On another one.
    There(NodeId),
}

/// Who may be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whom {
    /// The leader.
    Leader,
    /// Whoever has a replica.
    Any,
    /// Whoever has a replica, but for this node.
    AnyOther,
}

/// An answer of the wrong kind: what the question has done is not known.
pub(super) fn unexpected(node: NodeId) -> Refused {
    Refused::Unknown(format!("node {node} has answered something else"))
}

/// Ends a future when its time is over. Makes no timer for one that is ready at once.
pub(crate) async fn within<T>(
    world: &Arc<dyn World>,
    patience: Duration,
    future: impl Future<Output = T>,
) -> Option<T> {
    let mut future = std::pin::pin!(future);
    let mut sleep = None;
    std::future::poll_fn(move |context| {
        if let std::task::Poll::Ready(output) = future.as_mut().poll(context) {
            return std::task::Poll::Ready(Some(output));
        }
        let sleep = sleep.get_or_insert_with(|| world.sleep(patience));
        sleep.as_mut().poll(context).map(|()| None)
    })
    .await
}

/// The tries of one operation.
pub(super) struct Route<'a> {
    cluster: &'a Cluster,
    group: u32,
    whom: Whom,
    /// When the first try began.
    begun: Duration,
    hint: Option<NodeId>,
    tried: usize,
    turns: Turns,
    /// Who was asked last.
    last: Option<NodeId>,
    cause: String,
    unknown: Option<String>,
    /// Its step of the request's trace, if that is traced.
    span: Option<OpenSpan>,
    is_done: bool,
}

impl<'a> Route<'a> {
    /// To the leader of a group, or to any replica.
    pub(super) fn new(cluster: &'a Cluster, group: u32, leader: bool) -> Self {
        let whom = if leader { Whom::Leader } else { Whom::Any };
        Self::to(cluster, group, whom)
    }

    /// To one of a group that will do.
    pub(super) fn to(cluster: &'a Cluster, group: u32, whom: Whom) -> Self {
        Self {
            cluster,
            group,
            whom,
            begun: cluster.node.surroundings.world.now(),
            hint: None,
            tried: 0,
            turns: Turns::default(),
            last: None,
            cause: "no replica is known to be reachable".to_owned(),
            unknown: None,
            span: follow::open(Step::Route {
                range: range_of(group),
                leader: whom == Whom::Leader,
                node: None,
                tries: 0,
            }),
            is_done: false,
        }
    }

    fn world(&self) -> &'a Arc<dyn World> {
        &self.cluster.node.surroundings.world
    }

    /// Where to try next, and how long that may take.
    ///
    /// # Errors
    /// When patience is over: what has come of the tries so far.
    pub(super) async fn next(&mut self) -> Result<(Place, Duration), Error> {
        let patience = self.cluster.node.settings.timing.patience();
        loop {
            // Of one that is not there nobody could do better than whoever is asked after a pause.
            let is_heard_of = |node: &NodeId| self.cluster.presence(*node) == Presence::HeardOf;
            let hint = self.hint.take().filter(is_heard_of);
            let mut left = patience;
            if self.tried > 0 {
                let spent = self.world().now().saturating_sub(self.begun);
                left = patience.saturating_sub(spent);
                if left.is_zero() {
                    return Err(self.end());
                }
                if hint.is_none() {
                    self.world().sleep(PAUSE.min(left)).await;
                }
            }
            let place = self.cluster.place(self.group, self.whom, hint, &mut self.turns);
            self.tried += 1;
            if let Some(place) = place {
                let node = match &place {
                    Place::Here(_) => self.cluster.node.settings.node,
                    Place::There(node) => *node,
                };
                self.last = Some(node);
                if self.cluster.presence(node) == Presence::Unheard {
                    // It may not be there, and others have their turn again.
                    left = left.min(patience / UNHEARD_SHARE);
                }
                return Ok((place, left));
            }
        }
    }

    /// What the next try of a write is to be like: whether another one may be under way.
    pub(super) fn options(&self, mut options: WriteOptions) -> WriteOptions {
        if let Some(invocation) = &mut options.invocation {
            invocation.is_repeated |= self.is_repeated();
        }
        options
    }

    /// Whether a try may be under way of which nobody knows what has become.
    pub(super) fn is_repeated(&self) -> bool {
        self.unknown.is_some()
    }

    /// A try within its time.
    pub(super) async fn attempt<T>(
        &self,
        left: Duration,
        attempt: impl Future<Output = Result<T, Refused>>,
    ) -> Option<Result<T, Refused>> {
        follow::inside(self.span.as_ref(), within(self.world(), left, attempt)).await
    }

    /// What has come of a try; `None` if there is to be another one.
    ///
    /// # Errors
    /// When another try fails as well.
    pub(super) fn settle<T>(&mut self, outcome: Option<Result<T, Refused>>) -> Result<Option<T>, Error> {
        match outcome {
            Some(Ok(output)) => {
                self.is_done = true;
                return Ok(Some(output));
            }
            Some(Err(Refused::Finally(error))) => return Err(error),
            Some(Err(Refused::NotLeader(elsewhere))) => {
                self.hint = elsewhere;
                "the range has no leader".clone_into(&mut self.cause);
            }
            Some(Err(Refused::NotNow(cause))) => self.cause = cause,
            Some(Err(Refused::Unknown(cause))) => self.unknown = Some(cause),
            None => {
                self.unknown = Some("too few replicas have answered in time".to_owned());
            }
        }
        Ok(None)
    }

    /// The same of a try of what must not be said to be not done if it may have been: why the last try has failed hides nothing of
    /// an earlier one.
    ///
    /// # Errors
    /// As [`Route::settle`]; [`Error::OutcomeUnknown`] in its place when a try may be under way, or have taken effect.
    pub(super) fn settle_write<T>(
        &mut self,
        outcome: Option<Result<T, Refused>>,
    ) -> Result<Option<T>, Error> {
        let settled = self.settle(outcome);
        settled.map_err(|error| match &self.unknown {
            Some(earlier) => Error::OutcomeUnknown {
                cause: format!(
                    "an earlier try may have taken effect ({earlier}), and the last one fails: {error}"
                ),
            },
            None => error,
        })
    }

    fn end(&mut self) -> Error {
        let cause = std::mem::take(&mut self.cause);
        match self.unknown.take() {
            Some(cause) if self.whom == Whom::Leader => Error::OutcomeUnknown { cause },
            Some(cause) => Error::Unavailable { cause },
            None => Error::Unavailable { cause },
        }
    }
}

impl Drop for Route<'_> {
    /// An operation is over with its route, however it ended.
    fn drop(&mut self) {
        if let Some(node) = self.last.filter(|_| follow::is_followed()) {
            follow::note(Hop {
                range: range_of(self.group),
                node,
                tries: self.tried,
                took: self.world().now().saturating_sub(self.begun),
            });
        }
        if let Some(mut span) = self.span.take() {
            span.step = Step::Route {
                range: range_of(self.group),
                leader: self.whom == Whom::Leader,
                node: self.last,
                tries: self.tried,
            };
            span.end(!self.is_done);
        }
    }
}

/// Whom to ask for the metadata when only founders are known by name: those that are there, then others that are, and last those
/// of which nothing is known. A founder may have left long ago; one whose machine is gone lets who asks it wait until patience
/// is over, each time.
fn whom_to_ask(founders: &[NodeId], alive: &[NodeId]) -> Vec<NodeId> {
    let (mut first, last): (Vec<NodeId>, Vec<NodeId>) =
        founders.iter().partition(|founder| alive.contains(founder));
    first.extend(alive.iter().filter(|node| !founders.contains(node)));
    first.extend(last);
    first
}

/// Whose turn it is among those that may be asked. What anybody says about the leader may be of old, for good if it is no member
/// any more and was not told so: whoever is named or known is tried between the members, and does not cost one of them its turn.
#[derive(Debug, Default)]
struct Turns {
    /// How many members had their turn.
    taken: usize,
    /// How many in a row were named.
    named: u32,
    /// Whether the one that is known has had its turn since a member had.
    is_known_tried: bool,
}

impl Turns {
    /// Whom to ask next: who was `named` by the last one that was asked, who is `known` to lead, and one of the `members`.
    fn next(
        &mut self,
        named: Option<NodeId>,
        known: Option<NodeId>,
        members: impl FnOnce() -> Vec<NodeId>,
    ) -> Option<NodeId> {
        if let Some(named) = named.filter(|_| self.named < NAMED_MAX) {
            self.named += 1;
            return Some(named);
        }
        self.named = 0;
        if let Some(known) = known.filter(|_| !self.is_known_tried) {
            self.is_known_tried = true;
            return Some(known);
        }
        self.is_known_tried = false;
        let members = members();
        let turn = self.taken.checked_rem(members.len())?;
        self.taken += 1;
        members.get(turn).copied()
    }
}

/// What gossip says of a node that may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Presence {
    /// It is there, or was a moment ago.
    HeardOf,
    /// Nothing: it has just come, or it was gone already when this node was started. To ask it may take until patience is over.
    Unheard,
    /// It is not there.
    Down,
}

/// Whom to ask, one after the other: those that are heard of, in their order, and then those of which nothing is known.
fn in_turn(nodes: impl Iterator<Item = NodeId>, presence: impl Fn(NodeId) -> Presence) -> Vec<NodeId> {
    let nodes = nodes.filter(|node| presence(*node) != Presence::Down);
    let (mut first, last): (Vec<NodeId>, Vec<NodeId>) =
        nodes.partition(|node| presence(*node) == Presence::HeardOf);
    first.extend(last);
    first
}

/// The token range of a group; none for the metadata.
fn range_of(group: u32) -> Option<RangeId> {
    (group != METADATA_GROUP).then(|| RangeId(group - 1))
}

impl Cluster {
    /// Where to try: who was named, what this node's replica knows, and the replicas in turn. Whoever gossip has not heard of
    /// comes last.
    fn place(&self, group: u32, whom: Whom, hint: Option<NodeId>, turns: &mut Turns) -> Option<Place> {
        let me = self.node.settings.node;
        let here = self.node.replica(group).filter(|_| whom != Whom::AnyOther);
        let hint = hint.filter(|node| *node != me || here.is_some());
        let is_heard_of = |node: &NodeId| self.presence(*node) == Presence::HeardOf;
        let known = here.as_ref().and_then(|replica| replica.leader());
        let known = known.filter(|node| whom == Whom::Leader && is_heard_of(node));
        let may_ask =
            |node: &NodeId| *node != me || here.as_ref().is_some_and(|replica| replica.is_readable());
        let members = || {
            let nodes = self.nodes_of(group).into_iter().filter(may_ask);
            in_turn(nodes, |node| self.presence(node))
        };
        let node = turns.next(hint, known, members)?;
        if node == me {
            here.map(Place::Here)
        } else {
            Some(Place::There(node))
        }
    }

    /// What gossip says of a node.
    fn presence(&self, node: NodeId) -> Presence {
        let Some(gossip) = self.node.gossip.get().filter(|_| node != self.node.settings.node) else {
            return Presence::HeardOf;
        };
        match gossip.liveness(node) {
            Some(Liveness::Alive | Liveness::Suspect) => Presence::HeardOf,
            Some(Liveness::Down) => Presence::Down,
            None if self.node.has_left(node) => Presence::Down,
            None => Presence::Unheard,
        }
    }

    /// The nodes of a group's members, the preferred leader first.
    pub(super) fn nodes_of(&self, group: u32) -> Vec<NodeId> {
        if group == METADATA_GROUP {
            let known = self.node.metadata_nodes();
            if !known.is_empty() {
                return known;
            }
            // Nobody has said yet who it is: those that have made the cluster, or that this node was told to ask.
            let founders = self.node.settings.founders.iter();
            let founders: Vec<_> = founders.map(|founder| founder.node).collect();
            let members = self.node.gossip.get().map(Gossiper::members).unwrap_or_default();
            let alive = members.iter().filter(|member| member.liveness == Liveness::Alive);
            let alive: Vec<_> = alive.map(|member| member.node).collect();
            return whom_to_ask(&founders, &alive);
        }
        let Some(layout) = self.node.layout() else {
            return Vec::new();
        };
        let replicas = layout.replicas(RangeId(group - 1)).iter();
        replicas.map(|replica| replica.node).collect()
    }

    /// Asks another node.
    pub(crate) async fn ask(&self, node: NodeId, ask: Ask, patience: Duration) -> Result<Tell, Refused> {
        let what = ask.name();
        let span = follow::open(Step::Ask { node, what });
        let question = question(ask, follow::origin(span.as_ref()));
        let exchange = &self.node.exchange;
        let answer = exchange.request(node, Priority::Urgent, question, patience).await;
        let told = answer_of(node, answer);
        follow::end(span, &told);
        told
    }
}

/// What another node has answered.
fn answer_of(node: NodeId, answer: Result<Bytes, ExchangeError>) -> Result<Tell, Refused> {
    let bytes = answer.map_err(|error| match error {
        ExchangeError::TooMany { .. } | ExchangeError::TooLong { .. } | ExchangeError::Closed => {
            Refused::NotNow(error.to_string())
        }
        ExchangeError::NoAnswer { .. } | ExchangeError::PeerDown { .. } | ExchangeError::NotServed { .. } => {
            Refused::Unknown(error.to_string())
        }
    })?;
    match Reply::decode(bytes) {
        Ok(Reply {
            tell: Some(Tell::Refused(refusal)),
        }) => Err(Refusal::read(refusal, node)),
        Ok(Reply { tell: Some(tell) }) => Ok(tell),
        Ok(Reply { tell: None }) | Err(_) => Err(unexpected(node)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_that_nobody_has_heard_of_are_asked_last_and_those_that_are_down_not_at_all() {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let presence = |node: NodeId| match node.0 {
            8 => Presence::Unheard,
            9 => Presence::Down,
            _ => Presence::HeardOf,
        };
        let asked = |ids: &[u64]| in_turn(nodes(ids).into_iter(), presence);
        assert_eq!(asked(&[8, 4, 9, 5]), nodes(&[4, 5, 8]));
        assert_eq!(asked(&[9]), nodes(&[]));
    }

    /// A node without a replica asks. One member has come back without its replica, one has left and names it, the third leads.
    #[test]
    fn one_that_has_left_and_names_a_leader_of_old_does_not_cost_the_leader_its_turn() {
        let [lost, left, leader] = [1, 4, 5].map(NodeId);
        let named_by = |node| (node == left).then_some(lost);
        let mut turns = Turns::default();
        let mut asked = vec![];
        while asked.last() != Some(&leader) {
            let named = asked.last().copied().and_then(named_by);
            asked.extend(turns.next(named, None, || vec![lost, left, leader]));
            assert!(asked.len() < 10, "{asked:?}");
        }
        assert_eq!(asked, [lost, left, lost, leader]);
    }

    /// Both were members once, and each takes the other one for the leader.
    #[test]
    fn two_that_name_each_other_do_not_keep_the_members_from_their_turn() {
        let [one, other, leader] = [1, 2, 3].map(NodeId);
        let mut turns = Turns::default();
        let mut last = None;
        let mut asked = || {
            let named = match last {
                Some(node) if node == one => Some(other),
                Some(node) if node == other => Some(one),
                _ => None,
            };
            last = turns.next(named, Some(one), || vec![leader]);
            last
        };
        assert!((0..4).any(|_| asked() == Some(leader)));
    }

    #[test]
    fn who_is_known_to_lead_is_asked_between_the_members_and_first() {
        let mut turns = Turns::default();
        let mut next = |known: Option<u64>| {
            let node = turns.next(None, known.map(NodeId), || vec![NodeId(1), NodeId(2)]);
            node.map(|node| node.0)
        };
        assert_eq!([(); 5].map(|()| next(Some(7))), [7, 1, 7, 2, 7].map(Some));
        assert_eq!([(); 3].map(|()| next(None)), [1, 2, 1].map(Some));
        assert_eq!(Turns::default().next(None, None, Vec::new), None);
    }

    #[test]
    fn founders_that_are_there_are_asked_first_and_those_that_may_have_left_last() {
        let nodes = |ids: &[u64]| ids.iter().copied().map(NodeId).collect::<Vec<_>>();
        let asked = |alive: &[u64]| whom_to_ask(&nodes(&[1, 2, 3, 4, 5]), &nodes(alive));
        assert_eq!(asked(&[3, 4, 6, 8]), nodes(&[3, 4, 6, 8, 1, 2, 5]));
        assert_eq!(asked(&[]), nodes(&[1, 2, 3, 4, 5]), "gossip may know nobody yet");
        assert_eq!(
            asked(&[9]),
            nodes(&[9, 1, 2, 3, 4, 5]),
            "all founders may have left"
        );
    }
}
