//! What the steward asks other nodes for: each errand by itself, so that a node or a group that does not answer holds up no
//! move of others.
//!
//! Invariant: one errand of a kind for a thing at a time; what an errand brings back was true after it began. An errand that is
//! dropped may have been carried out all the same. Not here: what follows from it (`moves.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures_util::future::{BoxFuture, FutureExt as _, join_all, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::ask::PATIENCE;
use super::memory::Leftover;
use super::step::{Step, step_of_metadata, step_of_move};
use crate::coordinator::Cluster;
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::members::GroupStatus;
use crate::group::replica::Refused;
use crate::node::group_of;
use crate::node::message::Ask;
use crate::node::message::moves::{Inventory, ReplicaOf};
use crate::raft::MemberChange;
use crate::ring::{Move, RangeId, Replica};
use crate::world::{NodeId, Task};

/// What an errand is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum About {
    /// The next step of a range's move.
    Range(RangeId),
    /// A replica that has gone from its range.
    Leftover(Leftover),
    /// The replicas that a node has lost.
    Lost(NodeId),
    /// Replicas that nobody knows of.
    Sweep,
    /// The next step of the metadata group.
    Metadata,
}

/// What an errand brings back.
#[derive(Debug)]
pub(super) enum Brought {
    /// How a group stood, when it was asked that, and whether a step was taken, or was tried in vain.
    Step(GroupStatus, Duration, Taken),
    /// The first two of a group that has lost a replica; `None` when it is removed with its cells.
    Leftover(Option<(GroupStatus, Duration)>),
    /// Those replicas, and whether that of the metadata is among them.
    Lost(BTreeSet<(RangeId, u64)>, bool),
    /// What nodes have.
    Held(Vec<(NodeId, Inventory)>),
    /// Nothing: somebody did not answer.
    Nothing,
}

/// What has become of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Taken {
    /// It was taken: the next one may follow.
    Done,
    /// There was none to take yet.
    Waits,
    /// It was refused, or may have been.
    Refused,
}

/// The errands that are under way.
#[derive(Debug, Default)]
pub(super) struct Errands {
    running: FuturesUnordered<BoxFuture<'static, (About, Brought)>>,
    about: BTreeSet<About>,
    /// Errands that are not to be run again before this.
    not_before: BTreeMap<About, Duration>,
}

impl Errands {
    /// Begins one, unless one of the kind runs or has to wait; says whether it did.
    pub(super) fn begin(
        &mut self,
        about: About,
        now: Duration,
        errand: impl Future<Output = Result<Brought, Error>> + Send + 'static,
    ) -> bool {
        if self.not_before.get(&about).is_some_and(|then| now < *then) || !self.about.insert(about) {
            return false;
        }
        self.not_before.remove(&about);
        let errand = errand.map(move |brought| match brought {
            Ok(brought) => (about, brought),
            Err(error) => {
                tracing::debug!(%error, ?about, "what the steward has asked for was not done");
                (about, Brought::Nothing)
            }
        });
        self.running.push(errand.boxed());
        true
    }

    /// Whether one runs.
    pub(super) fn runs(&self, about: About) -> bool {
        self.about.contains(&about)
    }

    /// Whether one runs that is about something else.
    pub(super) fn is_any_but(&self, about: About) -> bool {
        self.about.iter().any(|other| *other != about)
    }

    /// The next of a kind waits until then.
    pub(super) fn wait(&mut self, about: About, until: Duration) {
        self.not_before.insert(about, until);
    }

    /// One that has ended, if any has.
    pub(super) fn ended(&mut self) -> Option<(About, Brought)> {
        let ended = self.running.next().now_or_never().flatten()?;
        self.about.remove(&ended.0);
        Some(ended)
    }

    /// Waits until one has ended, which is given out then, or the time is over.
    pub(super) async fn wait_for(&mut self, pause: Task) -> Option<(About, Brought)> {
        if self.running.is_empty() {
            pause.await;
            return None;
        }
        let ended = match select(self.running.next(), pause).await {
            futures_util::future::Either::Left((ended, _)) => ended?,
            futures_util::future::Either::Right(_) => return None,
        };
        self.about.remove(&ended.0);
        Some(ended)
    }

    /// Forgets what does not run.
    pub(super) fn forget_waits(&mut self, now: Duration) {
        self.not_before.retain(|_, then| now < *then);
    }
}

impl Cluster {
    /// Takes the next step of a move. `starts`: how often nodes were started, seen before the members are asked for; one that
    /// loses its disk later is another one then.
    pub(super) async fn step(self, planned: Move, starts: BTreeMap<NodeId, u64>) -> Result<Brought, Error> {
        let group = group_of(planned.range);
        let asked_at = self.now();
        let status = self.group_status(group).await?;
        let step = step_of_move(&status, &planned);
        let taken = match step {
            Step::Done | Step::Wait => Taken::Waits,
            step => self.try_step(group, step, &starts).await,
        };
        Ok(Brought::Step(status, asked_at, taken))
    }

    /// Takes the next step of the metadata group, which is to have these replicas.
    pub(super) async fn step_of_metadata(
        self,
        wanted: Vec<Replica>,
        alive: BTreeSet<u64>,
        starts: BTreeMap<NodeId, u64>,
    ) -> Result<Brought, Error> {
        let asked_at = self.now();
        let status = self.group_status(METADATA_GROUP).await?;
        let taken = match step_of_metadata(&status, &wanted, &alive) {
            Step::Done | Step::Wait => Taken::Waits,
            step => self.try_step(METADATA_GROUP, step, &starts).await,
        };
        Ok(Brought::Step(status, asked_at, taken))
    }

    /// Removes a replica that is no member any more, if it is none.
    pub(super) async fn remove_leftover(self, (node, group, id): Leftover) -> Result<Brought, Error> {
        let asked_at = self.now();
        let status = self.group_status(group).await?;
        if let Some(member) = status.members.iter().find(|member| member.replica.0 == id) {
            // A step that came late has put it there; what the group says counts.
            if !member.is_voter && !member.is_leaving {
                self.change(group, &MemberChange::Forget(member.replica)).await?;
            }
            return Ok(Brought::Leftover(Some((status, asked_at))));
        }
        let ask = Ask::Discard(ReplicaOf { group, replica: id });
        match self.ask_node(node, ask, PATIENCE).await {
            Ok(_) => Ok(Brought::Leftover(None)),
            Err(Refused::NotNow(cause)) => {
                tracing::debug!(cause, group, node = node.0, "a replica is not removed yet");
                Ok(Brought::Leftover(Some((status, asked_at))))
            }
            Err(error) => Err(error.of_what_repeats()),
        }
    }

    /// Which of some replicas a node has lost, because they are members of their groups and it does not have them. One that is
    /// no member yet is still to be brought.
    pub(super) async fn lost_on(
        self,
        node: NodeId,
        ranges: Vec<(RangeId, u64)>,
        metadata: Option<u64>,
    ) -> Result<Brought, Error> {
        const AT_ONCE: usize = 16;
        let held = self.inventory(node).await?.replicas;
        let holds = |group, id| {
            let mut held = held.iter();
            held.any(|held| (held.group, held.replica) == (group, id))
        };
        let missing: Vec<_> = ranges
            .into_iter()
            .filter(|(range, id)| !holds(group_of(*range), *id))
            .collect();
        let mut lost = BTreeSet::new();
        for missing in missing.chunks(AT_ONCE) {
            let asked = missing.iter().map(async |(range, id)| {
                let is_lost = self.is_member(group_of(*range), *id).await;
                is_lost.map(|is_lost| is_lost.then_some((*range, *id)))
            });
            for answer in join_all(asked).await {
                match answer {
                    Ok(found) => lost.extend(found),
                    // Its turn comes again; the others do not wait for it.
                    Err(error) => {
                        tracing::debug!(node = node.0, %error, "nobody says whether a replica is lost");
                    }
                }
            }
        }
        let group = crate::group::apply::METADATA_GROUP;
        let is_metadata_lost = match metadata {
            Some(id) if !holds(group, id) => self.is_member(group, id).await.unwrap_or_else(|error| {
                tracing::debug!(node = node.0, %error, "nobody says whether the metadata's replica is lost");
                false
            }),
            _ => false,
        };
        Ok(Brought::Lost(lost, is_metadata_lost))
    }

    /// What nodes have.
    pub(super) async fn held_by(self, nodes: Vec<NodeId>) -> Result<Brought, Error> {
        let inventories = nodes
            .into_iter()
            .map(async |node| match self.inventory(node).await {
                Ok(inventory) => Some((node, inventory)),
                // It is asked again at the next sweep.
                Err(error) => {
                    tracing::debug!(node = node.0, %error, "a node does not say what it has");
                    None
                }
            });
        let all = join_all(inventories).await;
        Ok(Brought::Held(all.into_iter().flatten().collect()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::sync::oneshot;

    use super::*;
    use crate::coordinator::tests::Appends;
    use crate::coordinator::tests::three::{Hub, three_with};

    fn about(range: u32) -> About {
        About::Range(RangeId(range))
    }

    #[test]
    fn one_that_does_not_end_holds_up_no_other_one() {
        let mut errands = Errands::default();
        let (answer, answered) = oneshot::channel::<()>();
        errands.begin(about(1), Duration::ZERO, async {
            drop(answered.await);
            Ok(Brought::Nothing)
        });
        errands.begin(about(2), Duration::ZERO, async { Ok(Brought::Leftover(None)) });
        let second = errands.ended().unwrap();
        assert!(matches!(second, (found, Brought::Leftover(None)) if found == about(2)));
        assert!(errands.ended().is_none());
        assert!(errands.runs(about(1)) && !errands.runs(about(2)));
        answer.send(()).unwrap();
        assert_eq!(errands.ended().unwrap().0, about(1));
        assert!(!errands.is_any_but(about(3)));
    }

    #[test]
    fn there_is_one_of_a_kind_and_it_waits_for_its_time() {
        let mut errands = Errands::default();
        let begun = Arc::new(());
        let errand = |begun: &Arc<()>| {
            let begun = Arc::clone(begun);
            async move {
                drop(begun);
                Ok(Brought::Nothing)
            }
        };
        for _ in 0..3 {
            errands.begin(about(1), Duration::from_secs(1), errand(&begun));
        }
        assert_eq!(Arc::strong_count(&begun), 2);
        errands.ended().unwrap();
        errands.wait(about(1), Duration::from_secs(5));
        errands.begin(about(1), Duration::from_secs(4), errand(&begun));
        assert!(errands.ended().is_none());
        errands.begin(about(1), Duration::from_secs(5), errand(&begun));
        assert!(errands.ended().is_some());
    }

    #[test]
    fn waiting_ends_with_the_first_that_ends_or_with_the_pause() {
        let mut errands = Errands::default();
        let pause = || -> Task { Box::pin(std::future::ready(())) };
        assert!(errands.wait_for(pause()).now_or_never().unwrap().is_none());
        errands.begin(about(1), Duration::ZERO, std::future::pending());
        assert!(errands.wait_for(pause()).now_or_never().unwrap().is_none());
        errands.begin(about(2), Duration::ZERO, async { Err(Error::NoSuchKeyspace) });
        let never = || -> Task { Box::pin(std::future::pending()) };
        let ended = errands.wait_for(never()).now_or_never().unwrap().unwrap();
        assert!(ended.0 == about(2) && matches!(ended.1, Brought::Nothing));
        assert!(errands.wait_for(never()).now_or_never().is_none());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn who_does_not_answer_takes_nothing_from_what_others_say() {
        let hub = Hub::default();
        let three = three_with(1, &hub, Arc::new(Appends)).await;
        let [asked, other, gone] = &three.nodes[..] else {
            panic!("there are three")
        };
        let plan = asked.plan().unwrap().unwrap();
        let first_on = |node| {
            let (range, replica) = plan.layout.replicas_on(NodeId(node)).next().unwrap();
            (range, replica.id)
        };
        let (led, without_leader) = (first_on(1), first_on(3));
        gone.close().unwrap();
        hub.inboxes.lock().remove(&NodeId(3)).unwrap();
        let is_led = async || asked.is_member(group_of(led.0), led.1).await;
        while is_led().await.is_err() {}

        // It has neither of them; of one nobody knows whether it should.
        let lost = asked.clone().lost_on(NodeId(2), vec![without_leader, led], None);
        let Brought::Lost(lost, false) = lost.await.unwrap() else {
            panic!("something else")
        };
        assert_eq!(lost, [led].into());
        let nodes = [3, 1, 2].map(NodeId).into();
        let Brought::Held(held) = asked.clone().held_by(nodes).await.unwrap() else {
            panic!("something else")
        };
        let answered: Vec<_> = held.into_iter().map(|(node, _)| node).collect();
        assert_eq!(answered, [1, 2].map(NodeId));
        asked.close().unwrap();
        other.close().unwrap();
    }
}
