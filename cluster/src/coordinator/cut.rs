//! All cells of some keyspaces as they were at one moment: a cut through the logs of all groups.
//!
//! 1. The leader of every range **holds** the writes of the keyspaces and says so when all that it proposed before is
//!    applied. From when the last one has said so nothing changes in any of them: that is the moment.
//! 2. Every leader keeps a snapshot of its engine, and says which transactions it has prepared that came to no end.
//! 3. The ledger says which of those stand. What is prepared in one range may be carried out in another before the moment;
//!    it stands then. Rows only ever come to say that a transaction stands, so that two looks in a row that find the same
//!    ones give those of one moment between them, at which all writes were still held: this is the one that the cut shows.
//! 4. The holds are **lifted**, and every leader says that its own was in place until then. If any was not, the cut is made
//!    anew.
//!
//! So a cut contains exactly the writes whose commit point is before its moment: none is torn, and none is in it without
//! those that came before. Invariant: writes wait for no longer than [`hold_max`], whatever becomes of whoever makes the cut;
//! a cut that is given to a caller was held from its beginning to its end. Not here: holds (`group/hold.rs`), what is kept
//! (`node/cuts.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{join_all, try_join_all};
use futures_util::stream::FuturesUnordered;

use super::metadata::nothing_changed;
use super::route::{unexpected, within};
use super::{Cluster, Keyspace};
use crate::command::Cell;
use crate::error::Error;
use crate::group::hold::{Undecided, hold_max};
use crate::group::replica::Refused;
use crate::ledger::{LEDGER, LedgerRow, LedgerState};
use crate::level::ConsistencyLevel;
use crate::node::group_of;
use crate::node::message::cut::{CutPage, HoldOf, Lift};
use crate::node::message::{Ask, Tell};
use crate::ring::RangeId;
use crate::transaction::TransactionId;
use crate::world::NodeId;

/// How often a cut is tried.
const TRIES: u32 = 8;
/// How long writes go on between two tries; twice as long after each.
const PAUSE: Duration = Duration::from_millis(100);
/// How long to wait for an answer about what is kept.
const PATIENCE: Duration = Duration::from_secs(10);

/// Cells of keyspaces at one moment. They are kept by the nodes that led their ranges then, in memory and in files that
/// the engine would have given up, until [`Cluster::end_cut`], a restart of such a node, or until nobody has asked for five
/// minutes.
#[derive(Clone, Debug)]
pub struct Cut {
    id: u64,
    at_ms: u64,
    keepers: BTreeMap<RangeId, NodeId>,
}

impl Cut {
    /// Its moment by the clock of the node that has made it, in milliseconds since the Unix epoch.
    pub fn at_ms(&self) -> u64 {
        self.at_ms
    }

    /// The token ranges, in the order of their keys.
    pub fn ranges(&self) -> impl Iterator<Item = RangeId> + '_ {
        self.keepers.keys().copied()
    }
}

/// Cells in the order of their keys.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CutRows {
    /// Key bytes and cells.
    pub rows: Vec<(Bytes, Cell)>,
    /// The key to go on behind; `None` when the range has no more.
    pub next: Option<Bytes>,
}

/// A group that is held.
struct Held {
    group: u32,
    keeper: NodeId,
    undecided: Vec<Undecided>,
}

/// Parts of transactions that stand, by their groups.
type Standing = BTreeSet<(TransactionId, u32)>;

impl Cluster {
    /// Cuts keyspaces: keeps all of their cells as they are at one moment between the call and its return.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when ranges have no leaders, or when writes could not be held for as long as it takes: it may be
    /// tried again. [`Error::NoSuchKeyspace`].
    pub async fn cut(&self, keyspaces: &[Keyspace]) -> Result<Cut, Error> {
        let numbers: Vec<u32> = keyspaces.iter().map(|keyspace| keyspace.number).collect();
        let world = &self.node.surroundings.world;
        let mut cause = String::new();
        for attempt in 0..TRIES {
            if attempt > 0 {
                world.sleep(PAUSE * 2_u32.pow(attempt - 1)).await;
            }
            let id = world.random_u64();
            match self.try_cut(id, &numbers).await {
                Ok(cut) => return Ok(cut),
                Err(error @ (Error::Unavailable { .. } | Error::OutcomeUnknown { .. })) => {
                    tracing::debug!(%error, "a cut is tried again");
                    cause = error.to_string();
                }
                Err(error) => return Err(error),
            }
        }
        Err(Error::Unavailable {
            cause: format!("no moment was found at which all writes could be held: {cause}"),
        })
    }

    /// One try. Whatever comes of it, nothing is held when it is over.
    async fn try_cut(&self, id: u64, keyspaces: &[u32]) -> Result<Cut, Error> {
        let mut held = BTreeMap::new();
        let world = &self.node.surroundings.world;
        let most = hold_max(&self.node.settings.timing);
        let made = within(world, most, self.hold_and_cut(id, keyspaces, &mut held)).await;
        let (at_ms, stands) = match made {
            Some(Ok(made)) => made,
            Some(Err(error)) => {
                self.abandon(id, &held).await;
                return Err(error);
            }
            None => {
                self.abandon(id, &held).await;
                return Err(unheld());
            }
        };
        let lifted = held.values().map(|held| self.lift(id, held, &stands));
        if let Err(error) = try_join_all(lifted).await {
            self.abandon(id, &held).await;
            return Err(error);
        }
        let keepers = held.iter().map(|(range, held)| (*range, held.keeper)).collect();
        Ok(Cut { id, at_ms, keepers })
    }

    /// Holds everything and has it kept; says when everything was held, and which parts of the transactions that were prepared
    /// stand.
    async fn hold_and_cut(
        &self,
        cut: u64,
        keyspaces: &[u32],
        held: &mut BTreeMap<RangeId, Held>,
    ) -> Result<(u64, Standing), Error> {
        let of = |group| HoldOf {
            cut,
            group,
            keyspaces: keyspaces.to_vec(),
        };
        let ranges = self.ranges()?;
        let holds = ranges.iter().map(async |range| {
            let group = group_of(*range);
            let is_done = |tell| matches!(tell, Tell::Index(_)).then_some(());
            let answer = self.ask_leader(group, || Ask::Hold(of(group)), is_done).await;
            (*range, group, answer)
        });
        let mut holds: FuturesUnordered<_> = holds.collect();
        let mut refused = None;
        // Each is noted as it comes, so that all that is held can be let go.
        while let Some((range, group, answer)) = holds.next().await {
            match answer {
                Ok((keeper, ())) => {
                    let undecided = Vec::new();
                    held.insert(
                        range,
                        Held {
                            group,
                            keeper,
                            undecided,
                        },
                    );
                }
                Err(error) => refused = Some(error),
            }
        }
        drop(holds);
        if let Some(error) = refused {
            return Err(error);
        }
        let at_ms = self.node.surroundings.world.unix_ms();
        let cuts = held.values_mut().map(async |held| {
            let ask = Ask::Cut(of(held.group));
            match self.ask_keeper(held.keeper, ask).await? {
                Tell::Cut(head) => held.undecided = head.undecided().map_err(given_up)?,
                _ => return Err(given_up(unexpected(held.keeper))),
            }
            Ok(())
        });
        try_join_all(cuts).await?;
        Ok((at_ms, self.standing(held).await?))
    }

    /// Which parts of the transactions that were prepared stand, at one moment during this call.
    async fn standing(&self, held: &BTreeMap<RangeId, Held>) -> Result<Standing, Error> {
        let mut before = None;
        loop {
            let stands = self.look_up(held).await?;
            if stands.is_empty() && held.values().all(|held| held.undecided.is_empty()) {
                return Ok(stands);
            }
            if before.as_ref() == Some(&stands) {
                return Ok(stands);
            }
            before = Some(stands);
        }
    }

    async fn look_up(&self, held: &BTreeMap<RangeId, Held>) -> Result<Standing, Error> {
        let mut parts: BTreeMap<(TransactionId, Bytes), Vec<(u32, u64)>> = BTreeMap::new();
        for held in held.values() {
            for one in &held.undecided {
                let key = (one.transaction, one.ledger.clone());
                parts.entry(key).or_default().push((held.group, one.prepared_at));
            }
        }
        let Some(ledger) = self.keyspace(LEDGER).filter(|_| !parts.is_empty()) else {
            return Ok(Standing::new());
        };
        let looks = parts.iter().map(async |((transaction, key), parts)| {
            let cell = self.read(ledger, key, ConsistencyLevel::Quorum).await?;
            let row = cell.map(|cell| LedgerRow::decode(&cell)).transpose()?;
            Ok::<_, Error>(parts_that_stand(*transaction, parts, row))
        });
        let found = try_join_all(looks).await?;
        Ok(found.into_iter().flatten().collect())
    }

    async fn lift(&self, cut: u64, held: &Held, stands: &Standing) -> Result<(), Error> {
        let stands = held
            .undecided
            .iter()
            .filter(|one| stands.contains(&(one.transaction, held.group)));
        let lift = Lift {
            cut,
            group: held.group,
            stands: stands
                .map(|one| Bytes::copy_from_slice(&one.transaction.0))
                .collect(),
        };
        match self.ask_keeper(held.keeper, Ask::Lift(lift)).await? {
            Tell::Index(1) => Ok(()),
            _ => Err(unheld()),
        }
    }

    /// Lets all writes go on that are held for a cut, and forgets it.
    async fn abandon(&self, cut: u64, held: &BTreeMap<RangeId, Held>) {
        let lifts = held.values().map(async |held| {
            let lift = Lift {
                cut,
                group: held.group,
                stands: Vec::new(),
            };
            // Those that it does not reach are lifted when their time is over.
            drop(self.ask_keeper(held.keeper, Ask::Lift(lift)).await);
        });
        join_all(lifts).await;
        let keepers: BTreeSet<_> = held.values().map(|held| held.keeper).collect();
        self.forget(cut, &keepers).await;
    }

    async fn forget(&self, cut: u64, keepers: &BTreeSet<NodeId>) {
        let ends = keepers.iter().map(async |keeper| {
            // One that it does not reach goes when nobody asks for it.
            drop(self.ask_keeper(*keeper, Ask::EndCut(cut)).await);
        });
        join_all(ends).await;
    }

    async fn ask_keeper(&self, keeper: NodeId, ask: Ask) -> Result<Tell, Error> {
        let world = &self.node.surroundings.world;
        let told = within(world, PATIENCE, self.ask_node(keeper, ask, PATIENCE)).await;
        told.unwrap_or_else(|| Err(Refused::NotNow(format!("node {keeper} has not answered"))))
            .map_err(given_up)
    }

    /// Cells of a cut: those of a keyspace in a token range, behind a key, about so many bytes of them.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when the node that keeps them does not answer or keeps them no longer; once that it keeps them no
    /// longer, another try fails as well. [`Error::NoSuchKeyspace`] for one that was not cut, or is gone.
    pub async fn read_cut(
        &self,
        cut: &Cut,
        keyspace: Keyspace,
        range: RangeId,
        behind: Option<Bytes>,
        bytes_max: u32,
    ) -> Result<CutRows, Error> {
        let keeper = *cut.keepers.get(&range).ok_or_else(|| Error::Invalid {
            cause: format!("the cut has no range {}", range.0),
        })?;
        let page = CutPage {
            cut: cut.id,
            group: group_of(range),
            keyspace: keyspace.number,
            behind,
            bytes_max,
        };
        match self.ask_keeper(keeper, Ask::CutPage(page)).await? {
            Tell::Rows(rows) => {
                let next = rows.keys.last().filter(|_| !rows.is_last).cloned();
                Ok(CutRows {
                    rows: rows.keys.into_iter().zip(rows.cells).collect(),
                    next,
                })
            }
            _ => Err(given_up(unexpected(keeper))),
        }
    }

    /// Has all nodes keep a cut that is being read, though perhaps not from them; to be called once a minute.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a node does not keep it any more, or does not answer.
    pub async fn keep_cut(&self, cut: &Cut) -> Result<(), Error> {
        let keepers: BTreeSet<_> = cut.keepers.values().copied().collect();
        let kept = keepers.into_iter().map(async |keeper| {
            self.ask_keeper(keeper, Ask::KeepCut(cut.id)).await?;
            Ok::<(), Error>(())
        });
        try_join_all(kept).await?;
        Ok(())
    }

    /// Has all nodes forget a cut. Those that are not reached forget it by themselves.
    pub async fn end_cut(&self, cut: Cut) {
        let keepers = cut.keepers.values().copied().collect();
        self.forget(cut.id, &keepers).await;
    }
}

/// Those of the parts that are prepared with which a transaction stands, as its row in the ledger says. One that was prepared
/// again by a question that came late is none of them; the others are all the same.
fn parts_that_stand(transaction: TransactionId, parts: &[(u32, u64)], row: Option<LedgerRow>) -> Standing {
    let row = row.filter(|row| row.transaction == transaction);
    match row.map(|row| row.state) {
        Some(LedgerState::Stands { parts: those, .. }) => {
            let stand = parts.iter().filter(|part| those.contains(part));
            stand.map(|(group, _)| (transaction, *group)).collect()
        }
        Some(LedgerState::Preparing | LedgerState::InOne { .. } | LedgerState::Cancelled) | None => {
            Standing::new()
        }
    }
}

fn unheld() -> Error {
    Error::Unavailable {
        cause: "a range has taken writes meanwhile".to_owned(),
    }
}

/// Why a keeper does not do what it was asked. Nobody else can.
fn given_up(refused: Refused) -> Error {
    let cause = match refused {
        Refused::Finally(error) => return error,
        Refused::NotLeader(_) => "the range has another leader now".to_owned(),
        Refused::NotNow(cause) | Refused::Unknown(cause) => cause,
    };
    nothing_changed(Error::Unavailable { cause })
}
