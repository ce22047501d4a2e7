//! What a node does for the integrity of its data: digests of cells that are compared, checks of its files, and what follows when one
//! of them is damaged.
//!
//! All of it goes on beside everything else, at a limited rate. When a file is damaged, the replicas that have lost cells with it are put
//! under suspicion; when that is durable, what cannot be read is given up; then the leaders of their groups are asked to compare, which puts the cells
//! right. Invariant: nothing is given up that no other replica may have. Not here: comparing (`coordinator/scrub.rs`), what suspicion means
//! (`group/scrub.rs`).

#[cfg(test)]
mod tests;
mod trust;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stator_storage::{CheckableFile, DamagedFile, KeyspaceId};

use super::message::Ask;
use super::message::scrub::{DigestsOf, Heal, PiecesOf, ScrubOf, ScrubProgress};
use super::serve::malformed;
use super::{Node, group_of};
use crate::coordinator::Cluster;
use crate::group::merkle::Digest;
use crate::group::replica::{Refused, Replica};
use crate::group::scrub::{Progress, Scrub};
use crate::node::message::Tell;
use crate::status::ScrubStatus;

/// How often it is looked for something to digest.
const DIGEST_LOOK: Duration = Duration::from_millis(100);

/// As much is digested at a time.
const DIGESTED_AT_A_TIME: u64 = 256 << 10;

/// How often it is looked for damage and for what is due.
pub(crate) const LOOK: Duration = Duration::from_millis(500);

/// The first check of the files begins when the node has been up for so long.
const FIRST_CHECK: Duration = Duration::from_secs(10 * 60);

/// How long a replica that is put under suspicion waits for another one to lead.
const HAND_OVER: Duration = Duration::from_secs(2);

/// What a node knows of its comparisons and checks. Counters count since the start.
#[derive(Debug, Default)]
pub(crate) struct Scrubbing {
    /// Groups that are to be compared as soon as this node leads them.
    pub(crate) wanted: Mutex<BTreeSet<u32>>,
    /// Whether all files are to be checked now.
    is_check_wanted: AtomicBool,
    /// What waits for the check that is under way.
    unchecked: Mutex<Vec<CheckableFile>>,
    /// Files that were given up, with the groups that lose cells with them (none of files with hints), until it is seen that new ones have taken their place.
    pub(crate) given_up: Mutex<BTreeMap<u64, BTreeSet<u32>>>,
    /// Whether something is damaged that cannot be had from anywhere.
    is_beyond_repair: AtomicBool,
    pub(crate) ranges: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) differences: AtomicU64,
    pub(crate) healed: AtomicU64,
    pub(crate) undecided: AtomicU64,
    pub(crate) last_at_ms: AtomicU64,
    files: AtomicU64,
    file_bytes: AtomicU64,
    files_at_ms: AtomicU64,
}

impl Node {
    /// Begins what is done for the integrity of the data.
    pub(super) fn begin_scrubbing(self: &Arc<Self>) {
        let world = &self.surroundings.world;
        world.spawn(Box::pin(Self::digest(Arc::downgrade(self))));
        world.spawn(Box::pin(Self::check_files(Arc::downgrade(self))));
        world.spawn(Box::pin(Self::tend_damage(Arc::downgrade(self))));
        world.spawn(Box::pin(Cluster::scrubber(Arc::downgrade(self))));
    }

    /// Has everything compared and checked as soon as possible: the groups that this node leads, and its files.
    pub(crate) fn want_scrub(&self) {
        let replicas = self.replicas();
        let led = replicas.iter().flatten().filter(|replica| replica.is_leader());
        self.scrubbing
            .wanted
            .lock()
            .extend(led.map(|replica| replica.group()));
        self.scrubbing.is_check_wanted.store(true, Ordering::Release);
    }

    /// How long so many bytes take at the rate that integrity may have.
    fn pace(&self, bytes: u64) -> Duration {
        let rate = self.settings.scrub.bytes_per_second.get();
        Duration::from_micros(bytes.saturating_mul(1_000_000) / rate)
    }

    /// Digests the cells of comparisons, one after the other.
    async fn digest(node: Weak<Self>) {
        loop {
            let (next, look) = {
                let Some(node) = node.upgrade() else { return };
                let next = node.host.scrubs.lock().pop_front();
                (next, node.surroundings.world.sleep(DIGEST_LOOK))
            };
            let Some((group, scrub)) = next else {
                look.await;
                continue;
            };
            drop(look);
            let mut walk = Scrub::walk();
            loop {
                let pause = {
                    let Some(node) = node.upgrade() else { return };
                    let replica = node.replica(group);
                    let is_wanted =
                        |replica: &Arc<Replica>| replica.scrub().is_some_and(|latest| latest.id == scrub.id);
                    let Some(replica) = replica.filter(is_wanted) else {
                        break;
                    };
                    let (Some(layout), Ok(span)) = (node.layout(), node.span_of_group(group)) else {
                        break;
                    };
                    let Some(bytes) =
                        scrub.step(&mut walk, (group, layout.bits()), &span, DIGESTED_AT_A_TIME)
                    else {
                        if !replica.is_leader() {
                            // Only a leader hands out what it has.
                            scrub.let_go();
                        }
                        break;
                    };
                    node.scrubbing.bytes.fetch_add(bytes, Ordering::Relaxed);
                    node.surroundings.world.sleep(node.pace(bytes))
                };
                pause.await;
            }
        }
    }

    /// Checks the files of the engine from end to end, again and again.
    async fn check_files(node: Weak<Self>) {
        let mut due = FIRST_CHECK;
        loop {
            let look = {
                let Some(node) = node.upgrade() else { return };
                let world = &node.surroundings.world;
                let scrubbing = &node.scrubbing;
                let interval = node.settings.scrub.interval();
                let is_due = interval.is_some() && world.now() >= due;
                if scrubbing.is_check_wanted.swap(false, Ordering::AcqRel) || is_due {
                    let files = node.engine.sstables_to_check();
                    *scrubbing.unchecked.lock() = files.into_iter().rev().collect();
                    due = world.now().saturating_add(interval.unwrap_or(Duration::MAX));
                }
                world.sleep(LOOK)
            };
            let mut has_checked = false;
            while let Some(file) = Self::next_file(&node) {
                has_checked = true;
                Self::check_file(&node, file.number).await;
                if let Some(node) = node.upgrade() {
                    // Only now it does not wait any more.
                    node.scrubbing.unchecked.lock().pop();
                }
            }
            if has_checked && let Some(node) = node.upgrade() {
                let now = node.surroundings.world.unix_ms();
                node.scrubbing.files_at_ms.store(now, Ordering::Relaxed);
            }
            look.await;
        }
    }

    fn next_file(node: &Weak<Self>) -> Option<CheckableFile> {
        let node = node.upgrade()?;
        node.scrubbing.unchecked.lock().last().copied()
    }

    /// Checks a file from end to end, unless it goes meanwhile.
    async fn check_file(node: &Weak<Self>, number: u64) {
        let Some(check) = node.upgrade().map(|node| node.engine.check_sstable(number)) else {
            return;
        };
        let Some(mut check) = check else { return };
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                match check.step() {
                    Ok(Some(bytes)) => {
                        node.scrubbing.file_bytes.fetch_add(bytes, Ordering::Relaxed);
                        node.surroundings.world.sleep(node.pace(bytes))
                    }
                    Ok(None) => {
                        node.scrubbing.files.fetch_add(1, Ordering::Relaxed);
                        return;
                    }
                    Err(error) => return node.host.fail(&error.to_string()),
                }
            };
            pause.await;
        }
    }

    /// Does what follows when files are damaged, and has replicas under suspicion compared.
    async fn tend_damage(node: Weak<Self>) {
        loop {
            let pause = {
                let Some(node) = node.upgrade() else { return };
                if node.engine.damages() > 0 {
                    let mut is_beyond_repair = false;
                    let damaged = node.engine.damaged();
                    node.forget_mended(&damaged);
                    for file in damaged {
                        is_beyond_repair |= !node.tend_file(file).await;
                    }
                    let scrubbing = &node.scrubbing;
                    scrubbing
                        .is_beyond_repair
                        .store(is_beyond_repair, Ordering::Relaxed);
                }
                let replicas = node.replicas();
                for suspect in replicas.iter().flatten().filter(|replica| replica.is_suspect()) {
                    node.ask_for_scrub(suspect.group()).await;
                }
                node.surroundings.world.sleep(LOOK)
            };
            pause.await;
        }
    }

    /// Does the next thing about a damaged file; `false` if nothing can be done because nobody else has what it has.
    async fn tend_file(self: &Arc<Self>, file: DamagedFile) -> bool {
        if file.is_given_up {
            return true;
        }
        let Some(lost) = file.lost else {
            Self::check_file(&Arc::downgrade(self), file.number).await;
            return true;
        };
        if file.keyspace == self.hints.keyspace() {
            self.give_up_hints(file.number).await;
            return true;
        }
        let mut concerned = BTreeSet::new();
        for span in &lost {
            let Some(groups) = self.groups_between(file.keyspace, &span.first, &span.last) else {
                return false;
            };
            concerned.extend(groups);
        }
        let replicas: Vec<_> = concerned
            .iter()
            .filter_map(|group| self.replica(*group))
            .collect();
        if replicas
            .iter()
            .any(|replica| !replica.is_unfilled() && !replica.has_other_voter())
        {
            return false;
        }
        for replica in &replicas {
            self.suspect(replica).await;
        }
        // Any that was put in the place of another one meanwhile is looked at again.
        let is_safe = |group: &u32| {
            self.replica(*group)
                .is_none_or(|replica| replica.is_suspect() || replica.is_unfilled())
        };
        if concerned.iter().all(is_safe) {
            // What was compared so far may have been read from the cache, and is gone with the file.
            self.void_scrubs(&concerned);
            self.scrubbing.given_up.lock().insert(file.number, concerned);
            if let Err(error) = self.engine.give_up(file.number) {
                self.host.fail(&error.to_string());
            }
        }
        true
    }

    /// Gives up what cannot be read of hints. Nobody else has them, but those that can be read need not wait for them.
    async fn give_up_hints(&self, file: u64) {
        if let Err(error) = self.hints.keep_floors().await {
            return self.host.fail(&error.to_string());
        }
        self.scrubbing.given_up.lock().insert(file, BTreeSet::new());
        if let Err(error) = self.engine.give_up(file) {
            self.host.fail(&error.to_string());
        }
    }

    /// Says which hints have gone with a file.
    fn forget_lost_hints(&self) {
        match self.hints.forget_lost() {
            Ok(lost) => {
                for (group, hints) in lost {
                    tracing::error!(
                        group,
                        hints,
                        "writes that were acknowledged at level ONE, while their range had no majority, are lost with bytes of this \
                         node's disk"
                    );
                }
            }
            Err(error) => tracing::error!(%error, "hints cannot be read"),
        }
    }

    /// Files that were given up and have gone: what was compared before is void.
    fn forget_mended(&self, damaged: &[DamagedFile]) {
        let mut has_lost_hints = false;
        let mut given_up = self.scrubbing.given_up.lock();
        given_up.retain(|number, concerned| {
            let is_there = damaged.iter().any(|file| file.number == *number);
            if !is_there {
                self.void_scrubs(concerned);
                has_lost_hints |= concerned.is_empty();
            }
            is_there
        });
        drop(given_up);
        if has_lost_hints {
            self.forget_lost_hints();
        }
    }

    fn void_scrubs(&self, groups: &BTreeSet<u32>) {
        for replica in groups.iter().filter_map(|group| self.replica(*group)) {
            replica.void_scrub();
        }
    }

    /// The groups with keys of a keyspace of the engine between two keys; `None` for a keyspace that is this node's alone.
    fn groups_between(&self, keyspace: KeyspaceId, first: &Bytes, last: &Bytes) -> Option<Vec<u32>> {
        use crate::group::apply::METADATA_GROUP;
        let keyspaces = &self.host.keyspaces;
        if keyspace == keyspaces.metadata() {
            return Some(vec![METADATA_GROUP]);
        }
        if keyspace == keyspaces.marks() {
            let group = |key: &Bytes| key.first_chunk().map_or(0, |group| u32::from_be_bytes(*group));
            // Bounds are prefixes of keys at times.
            let last = if last.len() < 4 { u32::MAX } else { group(last) };
            let replicas = self.replicas();
            let groups = replicas.iter().flatten().map(|replica| replica.group());
            return Some(groups.filter(|it| (group(first)..=last).contains(it)).collect());
        }
        if !keyspaces.all().iter().any(|(_, id, _)| *id == keyspace) {
            return None;
        }
        let bits = self.layout()?.bits();
        let ranges = bits.range_of_key(first).0..=bits.range_of_key(last).0;
        Some(
            ranges
                .map(|range| group_of(crate::ring::RangeId(range)))
                .collect(),
        )
    }

    /// Puts a replica under suspicion. Another one leads before, if there is one that can.
    pub(crate) async fn suspect(self: &Arc<Self>, replica: &Arc<Replica>) {
        if replica.is_suspect() || replica.is_unfilled() {
            return;
        }
        let world = &self.surroundings.world;
        let begun = world.now();
        while replica.hand_over() && world.now().saturating_sub(begun) < HAND_OVER {
            self.exchange.flush();
            world.sleep(self.settings.timing.tick()).await;
        }
        tracing::warn!(
            group = replica.group(),
            "this replica has lost cells, or has others than most: nothing is read from it until it was compared and put right"
        );
        replica.set_suspect(true).await;
    }

    /// Has the leader of a group compare its replicas.
    async fn ask_for_scrub(self: &Arc<Self>, group: u32) {
        let cluster = Cluster::of(Arc::clone(self));
        let asked = cluster.ask_leader(
            group,
            || Ask::WantScrub(group),
            |tell| match tell {
                Tell::Index(_) => Some(()),
                _ => None,
            },
        );
        if let Err(error) = asked.await {
            tracing::debug!(group, %error, "nobody compares a replica that is under suspicion yet");
        }
    }

    pub(super) async fn carry_out_scrub(self: &Arc<Self>, ask: Ask) -> Result<Tell, Refused> {
        let done = Tell::Index(0);
        match ask {
            Ask::Digests(of) => Ok(Tell::Digests(self.digests(of)?)),
            Ask::Pieces(of) => Ok(Tell::Digests(self.pieces(&of)?)),
            Ask::Suspect(of) => {
                let replica = self.compared(of)?;
                self.suspect(&replica).await;
                Ok(done)
            }
            Ask::Trust(of) => self.trust(of).await.map(|()| done),
            Ask::Heal(heal) => {
                let replica = self.asked(heal.group)?;
                Ok(Tell::Index(self.heal(&replica, heal).await?))
            }
            Ask::WantScrub(group) => {
                if !self.asked(group)?.is_leader() {
                    return Err(Refused::NotLeader(self.asked(group)?.leader()));
                }
                self.scrubbing.wanted.lock().insert(group);
                Ok(done)
            }
            Ask::WantAllScrubs(_) => {
                self.want_scrub();
                Ok(done)
            }
            Ask::ScrubProgress(_) => Ok(Tell::ScrubProgress(self.scrub_progress())),
            _ => Err(malformed("the node does not know the question")),
        }
    }

    /// The replica that takes part in a comparison.
    fn compared(&self, of: ScrubOf) -> Result<Arc<Replica>, Refused> {
        let replica = self.asked(of.group)?;
        if replica.scrub().is_none_or(|scrub| scrub.id != of.id) {
            let cause = "the replica knows of no such comparison".to_owned();
            return Err(Refused::NotNow(cause));
        }
        Ok(replica)
    }

    fn digests(&self, of: ScrubOf) -> Result<DigestsOf, Refused> {
        let replica = self.asked(of.group)?;
        let is_suspect = replica.is_suspect();
        let Some(scrub) = replica.scrub().filter(|scrub| scrub.id == of.id) else {
            return Ok(DigestsOf::without(DigestsOf::UNKNOWN, is_suspect));
        };
        Ok(match scrub.progress() {
            Progress::Under => DigestsOf::without(DigestsOf::UNDER, is_suspect),
            Progress::Unreadable(cause) => {
                tracing::warn!(
                    group = of.group,
                    cause,
                    "a replica that is compared cannot be read"
                );
                DigestsOf::without(DigestsOf::UNREADABLE, is_suspect)
            }
            Progress::Done(tree) => {
                let keyspaces = scrub.keyspaces.iter().map(|(number, _)| *number).collect();
                DigestsOf::with(&tree.pieces(), keyspaces, is_suspect)
            }
        })
    }

    fn pieces(&self, of: &PiecesOf) -> Result<DigestsOf, Refused> {
        let replica = self.compared(ScrubOf {
            group: of.group,
            id: of.id,
        })?;
        let is_suspect = replica.is_suspect();
        let Some(Progress::Done(tree)) = replica.scrub().map(|scrub| scrub.progress()) else {
            return Ok(DigestsOf::without(DigestsOf::UNKNOWN, is_suspect));
        };
        let mut leaves: Vec<Digest> = Vec::new();
        for piece in &of.pieces {
            leaves.extend(tree.piece(*piece as usize));
        }
        Ok(DigestsOf::with(&leaves, Vec::new(), is_suspect))
    }

    async fn heal(&self, replica: &Arc<Replica>, heal: Heal) -> Result<u64, Refused> {
        if !replica.is_suspect() {
            return Err(Refused::NotNow("the replica is not under suspicion".to_owned()));
        }
        let healing = heal
            .healing()
            .ok_or_else(|| malformed("its cells have no keys"))?;
        let bytes: usize = healing
            .cells
            .iter()
            .map(|(key, cell)| key.len() + cell.len())
            .sum();
        self.host.admit(bytes).await;
        let healed = replica.heal(healing).await?;
        self.scrubbing.healed.fetch_add(healed, Ordering::Relaxed);
        Ok(healed)
    }

    /// How far comparisons and checks are.
    pub(crate) fn scrub_progress(&self) -> ScrubProgress {
        let scrubbing = &self.scrubbing;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let replicas = self.replicas();
        let all = || replicas.iter().flatten();
        let wanted = scrubbing.wanted.lock();
        let leads = |group: &u32| self.replica(*group).is_some_and(|replica| replica.is_leader());
        let unchecked = scrubbing.unchecked.lock();
        let files_waiting =
            unchecked.len() as u64 + u64::from(scrubbing.is_check_wanted.load(Ordering::Acquire));
        ScrubProgress {
            ranges_waiting: wanted.iter().filter(|group| leads(group)).count() as u64,
            suspects: all().filter(|replica| replica.is_suspect()).count() as u64,
            files_waiting,
            bytes_waiting: unchecked.iter().map(|file| file.bytes).sum(),
            files_damaged: self.engine.statistics().damaged_sstables,
            ranges: read(&scrubbing.ranges),
            healed: read(&scrubbing.healed),
            undecided: read(&scrubbing.undecided),
            is_beyond_repair: scrubbing.is_beyond_repair.load(Ordering::Relaxed),
        }
    }

    /// The same with everything that was counted.
    pub(crate) fn scrub_status(&self) -> ScrubStatus {
        let scrubbing = &self.scrubbing;
        let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let progress = self.scrub_progress();
        ScrubStatus {
            ranges: progress.ranges,
            bytes: read(&scrubbing.bytes),
            differences: read(&scrubbing.differences),
            undecided: progress.undecided,
            healed: progress.healed,
            last_at_ms: read(&scrubbing.last_at_ms),
            files: read(&scrubbing.files),
            file_bytes: read(&scrubbing.file_bytes),
            files_at_ms: read(&scrubbing.files_at_ms),
            files_damaged: progress.files_damaged,
            suspects: progress.suspects,
            is_beyond_repair: progress.is_beyond_repair,
        }
    }
}
