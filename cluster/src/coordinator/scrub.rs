//! Comparing the replicas of a group, and putting right what one of them has wrong: what a leader does for the integrity of its groups.
//!
//! Every replica digests its cells as they are at one entry of the log; most of those that are believed say what is right. Who has something
//! else is put under suspicion first, and gets the cells of the leaves that differ from the leader's snapshot; then all are compared again. A
//! leader that is wrong itself hands over, and the next one goes on. Invariant: only a leader that most agree with puts anything right; a replica is believed
//! again only after a comparison in which it had everything as it should be. Not here: digests (`group/merkle.rs`), what a replica does with
//! what it is told (`group/scrub.rs`, `node/scrub.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;

use super::Cluster;
use super::route::unexpected;
use crate::error::Error;
use crate::group::merkle::{Digest, Judgement, PIECE, Voice, judge, span_of_leaf};
use crate::group::replica::{Refused, Replica};
use crate::group::scrub::{Healing, Scrub};
use crate::group::snapshot::{KeySpan, span_of};
use crate::node::Node;
use crate::node::message::scrub::{DigestsOf, Heal, PiecesOf, ScrubOf, ScrubProgress};
use crate::node::message::{Ask, Tell};
use crate::node::scrub::LOOK;
use crate::world::NodeId;

/// How often it is asked whether digests are there.
const ASK_EVERY: Duration = Duration::from_millis(100);

/// A replica that says nothing of a comparison for so long takes no part in it.
const SILENCE_MAX: Duration = Duration::from_secs(10);

/// How long a question may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// The same for what an operator waits for.
const PATIENCE_OF_OPERATORS: Duration = Duration::from_secs(3);

/// So many bytes of cells are sent at a time.
const HEALED_AT_A_TIME: usize = 512 << 10;

/// A comparison that has come to nothing is tried again after so long.
const PAUSE: Duration = Duration::from_secs(2);

/// One that was not compared as a whole because it was its time rests for so long, unless somebody wants it.
const POSTPONED: Duration = Duration::from_secs(10 * 60);

/// Groups that were never compared are, this part of the interval after the start of the node.
const FIRST_PART: u32 = 16;

/// What has come of a comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compared {
    /// All that have taken part have the same; whether these were all.
    Same { is_complete: bool },
    /// Something was put right, or is to be by another leader: it is to be compared again.
    Again,
    /// Those that are believed differ, and nobody can say who is right.
    Undecided,
}

/// What the replicas have, by their nodes.
type Reports = BTreeMap<NodeId, DigestsOf>;

/// Leaves that a node has wrong, by the node.
type Wrong = BTreeMap<NodeId, BTreeSet<usize>>;

impl Cluster {
    /// Compares the groups that this node leads, when they are due or somebody wants it, one after the other.
    pub(crate) async fn scrubber(node: Weak<Node>) {
        // Groups that were not compared as a whole because it is their time, and until when they rest.
        let mut postponed = BTreeMap::new();
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                let cluster = Self { node };
                let mut pause = LOOK;
                let now = cluster.node.surroundings.world.now();
                postponed.retain(|_, until| *until > now);
                for replica in cluster.due(&postponed) {
                    let group = replica.group();
                    let compared = cluster.scrub_group(&replica).await;
                    let is_whole = matches!(compared, Ok(Compared::Same { is_complete: true }));
                    if !is_whole {
                        postponed.insert(group, now + POSTPONED);
                    }
                    let mut wanted = cluster.node.scrubbing.wanted.lock();
                    match compared {
                        Ok(Compared::Same { .. } | Compared::Undecided) => drop(wanted.remove(&group)),
                        Ok(Compared::Again) => drop(wanted.insert(group)),
                        Err(error) => {
                            tracing::debug!(group, ?error, "replicas could not be compared yet");
                            wanted.insert(group);
                            pause = PAUSE;
                        }
                    }
                }
                cluster.node.surroundings.world.sleep(pause)
            };
            pause.await;
        }
    }

    /// The replicas of this node whose groups it leads and that are to be compared.
    fn due(&self, postponed: &BTreeMap<u32, Duration>) -> Vec<Arc<Replica>> {
        let node = &self.node;
        let replicas = node.replicas();
        let led = replicas
            .iter()
            .flatten()
            .filter(|replica| replica.is_leader() && replica.nodes().len() > 1);
        let mut wanted = node.scrubbing.wanted.lock();
        // What others lead, they are asked for.
        let is_led = |group: &u32| node.replica(*group).is_some_and(|replica| replica.is_leader());
        wanted.retain(is_led);
        let is_time =
            |replica: &Replica| !postponed.contains_key(&replica.group()) && self.is_time_for(replica);
        led.filter(|replica| wanted.contains(&replica.group()) || is_time(replica))
            .cloned()
            .collect()
    }

    fn is_time_for(&self, replica: &Replica) -> bool {
        let Some(interval) = self.node.settings.scrub.interval() else {
            return false;
        };
        let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        let due = match replica.scrubbed_at_ms() {
            0 => (self.node.started_at_ms()).saturating_add(ms(interval / FIRST_PART)),
            last => last.saturating_add(ms(interval)),
        };
        self.node.surroundings.world.unix_ms() >= due
    }

    /// Compares the replicas of a group that this node leads.
    async fn scrub_group(&self, replica: &Arc<Replica>) -> Result<Compared, Refused> {
        let id = self.node.surroundings.world.random_u64();
        replica.begin_scrub(id).await?;
        let compared = self.compare(replica, id).await;
        if let Some(scrub) = replica.scrub().filter(|scrub| scrub.id == id) {
            scrub.let_go();
            replica.forget_scrub(id);
        }
        let scrubbing = &self.node.scrubbing;
        let compared = compared?;
        if let Compared::Same { is_complete } = compared {
            let now = self.node.surroundings.world.unix_ms();
            if is_complete {
                replica.end_scrub(now).await?;
            }
            scrubbing.ranges.fetch_add(1, Ordering::Relaxed);
            scrubbing.last_at_ms.store(now, Ordering::Relaxed);
        }
        Ok(compared)
    }

    async fn compare(&self, replica: &Arc<Replica>, id: u64) -> Result<Compared, Refused> {
        let of = ScrubOf {
            group: replica.group(),
            id,
        };
        let me = self.node.settings.node;
        let nodes = replica.nodes();
        let reports = self.reports(&nodes, of).await;
        let scrub = replica
            .scrub()
            .filter(|scrub| scrub.id == id)
            .ok_or_else(|| Refused::NotNow("another comparison has begun".to_owned()))?;
        let Some(mine) = reports.get(&me) else {
            // What is damaged here is noted, and put under suspicion.
            return Ok(Compared::Again);
        };
        if reports.values().any(|report| report.keyspaces != mine.keyspaces) {
            let cause = "keyspaces are being made or dropped".to_owned();
            return Err(Refused::NotNow(cause));
        }
        let (wrong, undecided) = self.compare_digests(&reports, of).await?;
        let scrubbing = &self.node.scrubbing;
        let differences: usize = wrong.values().map(BTreeSet::len).sum();
        scrubbing
            .differences
            .fetch_add((differences + undecided) as u64, Ordering::Relaxed);
        if undecided > 0 {
            scrubbing.undecided.fetch_add(undecided as u64, Ordering::Relaxed);
            tracing::error!(
                group = of.group,
                undecided,
                nodes = ?reports.keys(),
                "replicas differ, and too few are believed to say which of them is right"
            );
        }
        if wrong.contains_key(&me) {
            self.node.suspect(replica).await;
            return Ok(Compared::Again);
        }
        for (node, leaves) in &wrong {
            tracing::error!(
                group = of.group,
                node = node.0,
                leaves = leaves.len(),
                "a replica has something wrong"
            );
            self.tell(*node, Ask::Suspect(of)).await?;
            for leaf in leaves {
                self.heal_leaf(*node, (of.group, &scrub), *leaf).await?;
            }
        }
        if !wrong.is_empty() {
            return Ok(Compared::Again);
        }
        if undecided > 0 {
            return Ok(Compared::Undecided);
        }
        for node in reports.keys().filter(|node| **node != me) {
            self.tell(*node, Ask::Trust(of)).await?;
        }
        let is_complete = reports.len() == nodes.len();
        Ok(Compared::Same { is_complete })
    }

    /// The digests of all nodes that have them; waits for those that are at it.
    async fn reports(&self, nodes: &[NodeId], of: ScrubOf) -> Reports {
        let asked = nodes
            .iter()
            .map(async |node| (*node, self.report(*node, of).await));
        let reports = join_all(asked).await.into_iter();
        reports
            .filter_map(|(node, report)| Some((node, report?)))
            .collect()
    }

    async fn report(&self, node: NodeId, of: ScrubOf) -> Option<DigestsOf> {
        let world = &self.node.surroundings.world;
        let mut heard = world.now();
        loop {
            let answer = self.ask_node(node, Ask::Digests(of), PATIENCE).await;
            if let Ok(Tell::Digests(report)) = answer {
                match report.progress {
                    DigestsOf::DONE => return Some(report),
                    DigestsOf::UNDER => heard = world.now(),
                    DigestsOf::UNREADABLE => return None,
                    _ => {}
                }
            }
            if world.now().saturating_sub(heard) >= SILENCE_MAX {
                return None;
            }
            world.sleep(ASK_EVERY).await;
        }
    }

    /// Which leaves which nodes have wrong, and of how many nobody can say.
    async fn compare_digests(&self, reports: &Reports, of: ScrubOf) -> Result<(Wrong, usize), Refused> {
        let all: Vec<_> = reports.values().map(DigestsOf::digests).collect();
        let mut pieces = Vec::new();
        for at in 0..all.first().map_or(0, Vec::len) {
            let mut digests = all.iter().map(|digests| digests.get(at));
            let first = digests.next();
            if !digests.all(|digest| Some(digest) == first) {
                pieces.push(u32::try_from(at).unwrap_or(u32::MAX));
            }
        }
        if pieces.is_empty() {
            return Ok((Wrong::new(), 0));
        }
        let asked = reports.iter().map(async |(node, report)| {
            let ask = PiecesOf {
                group: of.group,
                id: of.id,
                pieces: pieces.clone(),
            };
            let Tell::Digests(leaves) = self.ask_node(*node, Ask::Pieces(ask), PATIENCE).await? else {
                return Err(unexpected(*node));
            };
            Ok((*node, (report.is_suspect, leaves.digests())))
        });
        let leaves: Result<BTreeMap<NodeId, (bool, Vec<Digest>)>, Refused> =
            join_all(asked).await.into_iter().collect();
        let leaves = leaves?;
        let (mut wrong, mut undecided) = (Wrong::new(), 0);
        let count = leaves
            .values()
            .map(|(_, digests)| digests.len())
            .max()
            .unwrap_or(0);
        for at in 0..count {
            let voices = leaves.iter().filter_map(|(node, (is_suspect, digests))| {
                let voice = Voice {
                    digest: *digests.get(at)?,
                    is_suspect: *is_suspect,
                };
                Some((*node, voice))
            });
            // Only the last piece has fewer leaves.
            let leaf = pieces.get(at / PIECE).map_or(0, |piece| *piece as usize * PIECE) + at % PIECE;
            match judge(&voices.collect()) {
                Judgement::Wrong(nodes) => {
                    for node in nodes {
                        wrong.entry(node).or_default().insert(leaf);
                    }
                }
                Judgement::Undecided => undecided += 1,
            }
        }
        Ok((wrong, undecided))
    }

    async fn tell(&self, node: NodeId, ask: Ask) -> Result<(), Refused> {
        match self.ask_node(node, ask, PATIENCE).await? {
            Tell::Index(_) => Ok(()),
            _ => Err(unexpected(node)),
        }
    }

    /// Gives a node all cells of a leaf as this node had them at the entry of the comparison.
    async fn heal_leaf(
        &self,
        node: NodeId,
        (group, scrub): (u32, &Arc<Scrub>),
        leaf: usize,
    ) -> Result<(), Refused> {
        let bits = self.node.known_layout()?.bits();
        let range = self.node.span_of_group(group)?;
        for (number, id) in &scrub.keyspaces {
            let all = span_of(group, *number, &range);
            let Some((mut start, end)) = span_of_leaf(bits, *number, &all, leaf) else {
                continue;
            };
            loop {
                let (mut cells, mut bytes) = (Vec::new(), 0);
                scrub.each((*id, (start.clone(), end.clone())), &mut |key, cell| {
                    bytes += key.len() + cell.len();
                    cells.push((Bytes::copy_from_slice(key), Bytes::copy_from_slice(cell)));
                    bytes < HEALED_AT_A_TIME
                })?;
                let behind = cells.last().map(|(key, _)| key.to_vec());
                let behind = behind.filter(|_| bytes >= HEALED_AT_A_TIME);
                let until = behind.clone().map_or(end.clone(), Bound::Included);
                let span: KeySpan = (start, until);
                let healing = Healing {
                    index: scrub.index,
                    keyspace: *number,
                    span,
                    cells,
                };
                self.tell(node, Ask::Heal(Heal::new(group, healing))).await?;
                match behind {
                    Some(key) => start = Bound::Excluded(key),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Has every node that is there compare what it leads and check its files, as soon as possible; says which nodes could not be asked.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the node does not know yet which nodes there are.
    pub async fn begin_repair(&self) -> Result<Vec<NodeId>, Error> {
        let nodes = self.all_nodes()?;
        let asked = nodes.iter().map(async |node| {
            let ask = Ask::WantAllScrubs(true);
            let asked = self.ask_node(*node, ask, PATIENCE_OF_OPERATORS).await;
            (*node, asked.is_ok())
        });
        let asked = join_all(asked).await.into_iter();
        Ok(asked
            .filter(|(_, is_asked)| !is_asked)
            .map(|(node, _)| node)
            .collect())
    }

    /// How far comparisons and checks are on every node; `None` for one that does not answer.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the node does not know yet which nodes there are.
    pub async fn repair_progress(&self) -> Result<BTreeMap<NodeId, Option<RepairProgress>>, Error> {
        let nodes = self.all_nodes()?;
        let asked = nodes.iter().map(async |node| {
            let progress = match self
                .ask_node(*node, Ask::ScrubProgress(true), PATIENCE_OF_OPERATORS)
                .await
            {
                Ok(Tell::ScrubProgress(progress)) => Some(RepairProgress::of(&progress)),
                Ok(_) | Err(_) => None,
            };
            (*node, progress)
        });
        Ok(join_all(asked).await.into_iter().collect())
    }

    fn all_nodes(&self) -> Result<Vec<NodeId>, Error> {
        let layout = self.node.known_layout()?;
        Ok(layout.nodes().keys().copied().collect())
    }
}

/// How far the comparisons and checks of a node are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
pub struct RepairProgress {
    /// Ranges that it leads and that wait to be compared.
    pub ranges_waiting: u64,
    /// Its replicas that are under suspicion: not read from until they are put right.
    pub suspects: u64,
    /// Its files that wait to be checked.
    pub files_waiting: u64,
    /// Their bytes.
    pub bytes_waiting: u64,
    /// Its files that are damaged.
    pub files_damaged: u64,
    /// Ranges that it has compared since it was started.
    pub ranges: u64,
    /// Cells of it that were put right since it was started.
    pub healed: u64,
    /// Differences since it was started of which nobody can say who is right.
    pub undecided: u64,
    /// Whether something is damaged that no other node has: only a backup has it.
    pub is_beyond_repair: bool,
}

impl RepairProgress {
    fn of(progress: &ScrubProgress) -> Self {
        Self {
            ranges_waiting: progress.ranges_waiting,
            suspects: progress.suspects,
            files_waiting: progress.files_waiting,
            bytes_waiting: progress.bytes_waiting,
            files_damaged: progress.files_damaged,
            ranges: progress.ranges,
            healed: progress.healed,
            undecided: progress.undecided,
            is_beyond_repair: progress.is_beyond_repair,
        }
    }
}
