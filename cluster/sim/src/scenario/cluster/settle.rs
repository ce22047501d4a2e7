//! The end of every run: once nothing is broken any more, everything is available, at rest and the same on all replicas,
//! and what the clients have seen fits together.
//!
//! Invariant: whatever is not so within the time that is given fails the run, and the reason says what was waited for.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use parking_lot::Mutex;
use stator_cluster::ring::RangeBits;
use stator_cluster::{ConsistencyLevel, NodeId};

use super::bank::{accounts, bank};
use super::deriving::{BESIDE, Deriving, INVERSE, LATE, LOG, SOURCE};
use super::everyone::{Attempt, Everyone};
use super::invariant::committed::{Histories, witness};
use super::invariant::converged::{self, Holdings};
use super::invariant::indexed::{self, Table};
use super::invariant::{Invariant, counted, serializable, streamed};
use super::keeper::{KEYS, Kept};
use super::list::decode_list;
use super::mover::{members, unsettled};
use super::place::{KeyspaceName, Place};
use super::work::{FIRST_COUNTER, FIRST_OWN};
use crate::check::cell::{Cell, Input};
use crate::check::linearizable::{CONFIGURATIONS_MAX, check_keys};
use crate::history::Client;
use crate::kernel::{Ended, Simulation};
use crate::scenario::Report;

/// How long after the last fault everything has to be available and at rest.
pub(super) const HEALED_WITHIN: Duration = Duration::from_secs(40);

/// And where a node may lose its disk in the end. The last messages of a link that was slow take half a minute, and those behind them
/// wait.
const REBUILT_WITHIN: Duration = Duration::from_secs(90);

/// What is waited for, in words.
type Waiting = Arc<Mutex<String>>;

/// The one who looks after everything at the end.
struct Steward {
    everyone: Everyone,
    places: Vec<Place>,
    kept: Kept,
    waiting: Waiting,
    is_compared: bool,
}

/// Waits until everything is as it should be. False when the run has failed.
pub(super) fn settle(
    simulation: &mut Simulation,
    everyone: &Everyone,
    places: Vec<Place>,
    kept: &Kept,
) -> bool {
    settle_as(simulation, everyone, (places, kept), (true, HEALED_WITHIN))
}

/// The same, where a node may have lost its disk shortly before.
pub(super) fn settle_rebuilt(
    simulation: &mut Simulation,
    everyone: &Everyone,
    places: Vec<Place>,
    kept: &Kept,
) -> bool {
    settle_as(simulation, everyone, (places, kept), (true, REBUILT_WITHIN))
}

/// Waits until everything is available, whatever replicas have. False when the run has failed.
pub(super) fn settle_uncompared(
    simulation: &mut Simulation,
    everyone: &Everyone,
    places: Vec<Place>,
) -> bool {
    let kept = Kept::default();
    settle_as(simulation, everyone, (places, &kept), (false, HEALED_WITHIN))
}

fn settle_as(
    simulation: &mut Simulation,
    everyone: &Everyone,
    (places, kept): (Vec<Place>, &Kept),
    (is_compared, within): (bool, Duration),
) -> bool {
    let waiting = Waiting::default();
    let steward = Steward {
        everyone: everyone.clone(),
        places,
        kept: Arc::clone(kept),
        waiting: Arc::clone(&waiting),
        is_compared,
    };
    let limit = everyone.control.now() + within;
    everyone.employ(steward.work());
    let is_done = simulation.run_while(limit, || everyone.is_busy());
    if !is_done {
        let what = waiting.lock().clone();
        everyone.breaks(
            Invariant::Available,
            format_args!("{} s after the last fault, {what}", within.as_secs()),
        );
    }
    is_done
}

impl Steward {
    fn waits(&self, what: String) {
        *self.waiting.lock() = what;
    }

    async fn work(mut self) {
        self.read_all(&self.places.clone()).await;
        self.waits("clients still wait for answers".to_owned());
        while *self.everyone.busy.lock() > 1 {
            self.everyone.pause(100).await;
        }
        let kept = self.kept.lock().clone();
        for keyspace in kept {
            let of_keyspace = |key| Place {
                keyspace: keyspace.clone(),
                key,
            };
            self.places.extend((0..KEYS).map(of_keyspace));
        }
        self.read_all(&self.places.clone()).await;
        if self.is_compared {
            self.come_to_rest().await;
            if self.everyone.deriving.is_some() {
                self.settle_rows().await;
                self.come_to_rest().await;
            }
            self.compare();
        }
    }

    /// Reads every place from every node, again and again until each has answered.
    async fn read_all(&self, places: &[Place]) {
        for node in &*self.everyone.nodes {
            for place in places {
                self.waits(format!("node {node} does not answer a read of {place} at QUORUM"));
                let level = ConsistencyLevel::Quorum;
                while self.everyone.read(Client(0), *node, place, level).await.is_none() {
                    if !members(&self.everyone).contains(node) {
                        // It has left, and need not serve.
                        break;
                    }
                    self.everyone.pause(100).await;
                }
            }
        }
    }

    async fn come_to_rest(&self) {
        loop {
            match self.at_rest() {
                Ok(()) => return,
                Err(why) => self.waits(why),
            }
            self.everyone.pause(100).await;
        }
    }

    fn at_rest(&self) -> Result<(), String> {
        let mut groups = BTreeMap::new();
        let mut keyspaces: Option<Vec<KeyspaceName>> = None;
        for id in &members(&self.everyone) {
            let node = self.everyone.node(*id);
            let node = node.ok_or_else(|| format!("node {id} is not open"))?;
            let hints = node.hints_waiting();
            if hints > 0 {
                return Err(format!("{hints} hints wait on node {id}"));
            }
            let mut known = node.keyspaces();
            known.sort();
            let first = keyspaces.get_or_insert_with(|| known.clone());
            if *first != known {
                return Err(format!(
                    "node {id} knows keyspaces {known:?}, another one {first:?}"
                ));
            }
            groups.insert(*id, node.groups());
        }
        if let Some(why) = unsettled(&self.everyone) {
            return Err(why);
        }
        converged::at_rest(&groups)
    }

    fn compare(&self) {
        // Only runs that sync everything are compared.
        for id in &*self.everyone.nodes {
            let groups = self
                .everyone
                .node(*id)
                .map(|node| node.groups())
                .unwrap_or_default();
            if let Some(view) = groups.iter().find(|view| view.is_diverged) {
                let what = format_args!(
                    "node {id} holds entries of group {} that the majority lacks",
                    view.group
                );
                return self.everyone.breaks(Invariant::Converged, what);
            }
        }
        let mut nodes = BTreeMap::new();
        let mut bits = None;
        for id in &*self.everyone.nodes {
            let Some(node) = self.everyone.node(*id) else {
                continue;
            };
            bits = Some(node.range_bits());
            let mut holdings = Holdings {
                groups: node.groups(),
                rows: BTreeMap::new(),
            };
            for keyspace in node.keyspaces().into_iter().chain([KeyspaceName::metadata()]) {
                match node.local_rows(&keyspace) {
                    Ok(rows) => {
                        holdings.rows.insert(keyspace, rows);
                    }
                    Err(trouble) => {
                        let what = format_args!("node {id} cannot read keyspace {keyspace}: {trouble}");
                        return self.everyone.breaks(Invariant::Sound, what);
                    }
                }
            }
            nodes.insert(*id, holdings);
        }
        let Some(bits) = bits else { return };
        let judged = converged::check(bits, &nodes)
            .and_then(|()| self.judge_bank(&nodes, bits))
            .and_then(|()| match &self.everyone.deriving {
                Some(deriving) => self.judge_rows(deriving, &nodes, bits),
                None => Ok(()),
            });
        if let Err(reason) = judged {
            self.everyone.control.fail(reason);
        }
    }

    /// Waits until all that follows from writes is where it belongs.
    async fn settle_rows(&self) {
        self.waits("rows that follow from writes are still under way".to_owned());
        loop {
            for node in &members(&self.everyone) {
                let attempt = self.everyone.ask(*node, "settle", |node| {
                    Box::pin(async move { node.settled().await })
                });
                if matches!(attempt.await, Attempt::Answered(())) {
                    return;
                }
            }
            self.everyone.pause(100).await;
        }
    }

    fn judge_bank(&self, nodes: &BTreeMap<NodeId, Holdings>, bits: RangeBits) -> Result<(), String> {
        let mut end = BTreeMap::new();
        let rows = table(nodes, bits, &bank());
        for account in accounts() {
            let place = Place {
                keyspace: bank(),
                key: account,
            };
            if let Some(cell) = rows.get(&place.key_bytes()) {
                let list = decode_list(cell).ok_or_else(|| {
                    Invariant::Sound.broken(format_args!("account {account} holds {cell:02x?}"))
                })?;
                end.insert(account, list);
            }
        }
        serializable::check(&self.everyone.ledger.lock(), &end)
    }

    fn judge_rows(
        &self,
        deriving: &Deriving,
        nodes: &BTreeMap<NodeId, Holdings>,
        bits: RangeBits,
    ) -> Result<(), String> {
        // Replicas have been found to be the same, and not every node has all.
        let rows_of = |name: &str| table(nodes, bits, &KeyspaceName::new(name));
        let cells = rows_of(SOURCE);
        indexed::check_index(INVERSE, &cells, &rows_of(INVERSE))?;
        indexed::check_beside(&cells, &rows_of(BESIDE))?;
        if deriving.is_complete.load(Ordering::SeqCst) {
            indexed::check_index(LATE, &cells, &rows_of(LATE))?;
        }
        let histories = self.everyone.history.by_key();
        let acknowledged = histories
            .iter()
            .filter(|(place, _)| place.keyspace.name == SOURCE)
            .flat_map(|(_, operations)| operations)
            .filter(|operation| !matches!(operation.input, Input::Delete { .. }))
            .filter(|operation| operation.ended.is_some_and(|(_, output)| output.is_done))
            .filter_map(|operation| operation.input.by());
        streamed::check(&cells, &rows_of(LOG), &acknowledged.collect())
    }
}

/// The rows of a keyspace: those of each node that are of a range that it has.
fn table(nodes: &BTreeMap<NodeId, Holdings>, bits: RangeBits, name: &KeyspaceName) -> Table {
    let of_node = |holdings: &Holdings| {
        let held: BTreeSet<_> = holdings.groups.iter().filter_map(|view| view.range).collect();
        let rows = holdings.rows.get(name).into_iter().flatten();
        let rows = rows.filter(|(key, _)| held.contains(&bits.range_of_key(key)));
        rows.cloned().collect::<Vec<_>>()
    };
    nodes.values().flat_map(of_node).collect()
}

/// Waits until all nodes serve and a keyspace is there. False when the run has failed.
pub(super) fn begin(
    simulation: &mut Simulation,
    everyone: &Everyone,
    keyspace: &KeyspaceName,
    limit: Duration,
) -> bool {
    let (own, name) = (everyone.clone(), keyspace.clone());
    everyone.employ(async move {
        let mut stream = own.control.stream("founder", 0);
        loop {
            let node = own.any_node(&mut stream);
            let name = name.clone();
            let attempt = own
                .ask(node, "create the first keyspace", move |node| {
                    Box::pin(async move {
                        node.ready().await?;
                        node.create_keyspace(&name).await
                    })
                })
                .await;
            if let Attempt::Answered(()) = attempt {
                return;
            }
            own.pause(50).await;
        }
    });
    let is_done = simulation.run_while(limit, || everyone.is_busy());
    if !is_done {
        let what = format_args!("the cluster has not begun to serve after {limit:?}");
        everyone.breaks(Invariant::Available, what);
    }
    is_done
}

/// Ends a run: checks what the clients have seen, and says what has come of it.
pub(super) fn report(simulation: Simulation, everyone: &Everyone) -> Report {
    let undecided = match judge(everyone) {
        Ok(undecided) => undecided,
        Err(reason) => {
            everyone.control.fail(reason);
            0
        }
    };
    Report {
        undecided,
        ..report_unjudged(simulation, everyone)
    }
}

/// Ends a run in which clients may have seen what does not fit together.
pub(super) fn report_unjudged(simulation: Simulation, everyone: &Everyone) -> Report {
    let (operations, operations_unknown) = (everyone.history.count(), everyone.history.count_unknown());
    let ended: Ended = simulation.finish();
    Report {
        ended,
        operations,
        operations_unknown,
        undecided: 0,
    }
}

fn judge(everyone: &Everyone) -> Result<usize, String> {
    let mut histories: Histories = everyone.history.by_key();
    for (place, operations) in &histories {
        if (FIRST_COUNTER..FIRST_OWN).contains(&place.key) {
            counted::check(place, operations)?;
        }
    }
    witness(&mut histories, &everyone.glimpses.lock())?;
    let judged = check_keys(&Cell, &histories, CONFIGURATIONS_MAX)
        .map_err(|reason| Invariant::Linearizable.broken(reason))?;
    Ok(judged.undecided)
}
