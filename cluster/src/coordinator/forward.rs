//! What the cluster does about derived rows: brings them to their ranges, and makes those of cells that were there before.
//!
//! Invariant: an online change is complete in this order: the definition is in the metadata; every range asks its leaders to
//! know it ([`Cluster::require`]); the cells of every range are filled ([`Cluster::fill`]); what the ranges had to send
//! until then is taken ([`Cluster::settled`]). Not here: rows (`group/`), definitions (the caller's).

use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;

use super::metadata::nothing_changed;
use super::route::{Place, Route, unexpected};
use super::{Bounds, Cluster, Keyspace};
use crate::error::Error;
use crate::group::apply::METADATA_GROUP;
use crate::group::fill::Filling;
use crate::group::host::{Courier, Delivery};
use crate::group::replica::Refused;
use crate::node::message::{Accept, Ask, Fill as FillMessage, Require, Tell};
use crate::node::{Node, group_of, key_span};
use crate::ring::{RangeBits, RangeId};
use crate::transaction::TransactionId;

/// How long to wait before what is to be settled is looked at again; twice as long each time, up to [`LOOK_MAX`]: many may wait for
/// the same, and for long.
const LOOK: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_millis(640);
/// How many ranges are asked at the same time.
const AT_ONCE: usize = 32;

/// Brings rows to their ranges as long as the node is there.
#[derive(Debug)]
pub(crate) struct Carrier(Weak<Node>);

impl Carrier {
    pub(crate) fn new(node: &Arc<Node>) -> Self {
        Self(Arc::downgrade(node))
    }
}

impl Courier for Carrier {
    fn group_of(&self, key: &[u8]) -> Option<u32> {
        let layout = self.0.upgrade()?.layout()?;
        Some(group_of(layout.bits().range_of_key(key)))
    }

    fn deliver(&self, group: u32, rows: Bytes) -> Delivery {
        let node = self.0.upgrade();
        Box::pin(async move {
            let node = node.ok_or_else(|| Error::Unavailable {
                cause: "the node was closed".to_owned(),
            })?;
            Cluster::of(node).deliver_rows(group, rows).await
        })
    }

    fn resolve(&self, group: u32, ledger: &Bytes, prepared: (TransactionId, u64)) -> Delivery {
        let (node, ledger) = (self.0.upgrade(), ledger.clone());
        Box::pin(async move {
            let node = node.ok_or_else(|| Error::Unavailable {
                cause: "the node was closed".to_owned(),
            })?;
            Cluster::of(node).resolve(group, &ledger, prepared).await
        })
    }
}

/// A part of a fill.
#[derive(Clone, Debug)]
pub struct Fill {
    /// Whose cells.
    pub keyspace: Keyspace,
    /// What is to be derived, for [`crate::Commands::fill`].
    pub filling: Bytes,
    /// Of which token range.
    pub range: RangeId,
    /// Only cells behind this key.
    pub behind: Option<Bytes>,
    /// The metadata that was asked for ([`Cluster::require`]).
    pub required: u64,
    /// How many cells at most.
    pub count: u32,
}

/// What a part of a fill has come to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filled {
    /// Cells that were looked at.
    pub cells: u64,
    /// The key to go on behind; `None` when the range is filled.
    pub last: Option<Bytes>,
}

/// A token range that this node leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LedRange {
    /// Its number.
    pub range: RangeId,
    /// The keys in it.
    pub bounds: Bounds,
}

impl Cluster {
    /// The last entry of the metadata that has taken effect on this node.
    pub fn metadata_index(&self) -> u64 {
        self.node.host.keyspaces.applied_index()
    }

    /// Whether this node leads the metadata group, so that it is the one to do what one node has to.
    pub fn leads_metadata(&self) -> bool {
        let replica = self.node.replica(METADATA_GROUP);
        replica.is_some_and(|replica| replica.is_leader())
    }

    /// All token ranges.
    ///
    /// # Errors
    /// [`Error::Unavailable`] before there is a layout: who knows of no ranges cannot say anything about all of them.
    pub fn ranges(&self) -> Result<Vec<RangeId>, Error> {
        Ok(self.node.known_layout()?.bits().ranges().collect())
    }

    /// The token ranges that this node leads; none before there is a layout.
    pub fn led_ranges(&self) -> Vec<LedRange> {
        let leads = |range: &RangeId| {
            let replica = self.node.replica(group_of(*range));
            replica.is_some_and(|replica| replica.is_leader())
        };
        let Some(layout) = self.node.layout() else {
            return Vec::new();
        };
        let bits = layout.bits();
        let led = bits.ranges().filter(leads);
        led.map(|range| LedRange {
            range,
            bounds: bounds_of(bits, range),
        })
        .collect()
    }

    async fn deliver_rows(&self, group: u32, rows: Bytes) -> Result<(), Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let outcome = route
                .attempt(left, self.deliver_rows_at(place, left, group, rows.clone()))
                .await;
            if let Some(done) = route.settle(outcome)? {
                return Ok(done);
            }
        }
    }

    async fn deliver_rows_at(
        &self,
        place: Place,
        patience: Duration,
        group: u32,
        record: Bytes,
    ) -> Result<(), Refused> {
        match place {
            Place::Here(replica) => replica.accept(record).await,
            Place::There(node) => {
                let accept = Accept { group, record };
                match self.ask(node, Ask::Accept(accept), patience).await? {
                    Tell::Index(_) => Ok(()),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }

    /// Has every token range ask its leaders to know the metadata up to an entry before they take a write: whatever is
    /// written after this has returned is derived by what the metadata says there.
    ///
    /// # Errors
    /// As [`Cluster::write`]; it may be tried again.
    pub async fn require(&self, known: u64) -> Result<(), Error> {
        for ranges in self.ranges()?.chunks(AT_ONCE) {
            let all = ranges
                .iter()
                .map(|range| self.require_of(group_of(*range), known));
            futures_util::future::try_join_all(all).await?;
        }
        Ok(())
    }

    async fn require_of(&self, group: u32, known: u64) -> Result<(), Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = async {
                match place {
                    Place::Here(replica) => replica.require(known).await,
                    Place::There(node) => {
                        let require = Require { group, known };
                        match self.ask(node, Ask::Require(require), left).await? {
                            Tell::Index(_) => Ok(()),
                            _ => Err(unexpected(node)),
                        }
                    }
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(done) = route.settle(outcome)? {
                return Ok(done);
            }
        }
    }

    /// Makes the derived rows of the next cells of a token range, through its log.
    ///
    /// # Errors
    /// As [`Cluster::write`]; it may be tried again from the same place.
    pub async fn fill(&self, fill: &Fill) -> Result<Filled, Error> {
        let group = group_of(fill.range);
        let mut bounds = bounds_of(self.node.known_layout()?.bits(), fill.range);
        if let Some(key) = &fill.behind {
            bounds.start = std::ops::Bound::Excluded(key.to_vec());
        }
        let filling = Filling {
            keyspace: fill.keyspace.number,
            what: fill.filling.clone(),
            start: bounds.start,
            end: bounds.end,
            required: fill.required,
            count: fill.count,
        };
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await?;
            let attempt = async {
                match place {
                    Place::Here(replica) => {
                        let filled = replica.fill(&filling).await?;
                        Ok(Filled {
                            cells: filled.cells,
                            last: filled.last,
                        })
                    }
                    Place::There(node) => {
                        let message = FillMessage::new(group, &filling);
                        match self.ask(node, Ask::Fill(message), left).await? {
                            Tell::Filled(part) => Ok(Filled {
                                cells: part.cells,
                                last: part.last,
                            }),
                            _ => Err(unexpected(node)),
                        }
                    }
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(filled) = route.settle(outcome)? {
                return Ok(filled);
            }
        }
    }

    /// Waits until every row that follows from what was acknowledged before the call has been taken by its range.
    ///
    /// # Errors
    /// [`Error::Unavailable`] when a range has no leader; it may be tried again.
    pub async fn settled(&self) -> Result<(), Error> {
        for ranges in self.ranges()?.chunks(AT_ONCE) {
            let all = ranges.iter().map(|range| self.settled_range(group_of(*range)));
            futures_util::future::try_join_all(all).await?;
        }
        Ok(())
    }

    async fn settled_range(&self, group: u32) -> Result<(), Error> {
        let index = self.read_index(group).await?;
        let mut pause = LOOK;
        while self.taken(group).await? < index {
            self.node.surroundings.world.sleep(pause).await;
            pause = (pause * 2).min(LOOK_MAX);
        }
        Ok(())
    }

    async fn taken(&self, group: u32) -> Result<u64, Error> {
        let mut route = Route::new(self, group, true);
        loop {
            let (place, left) = route.next().await.map_err(nothing_changed)?;
            let attempt = async {
                match place {
                    Place::Here(replica) => replica.taken(),
                    Place::There(node) => match self.ask(node, Ask::Taken(group), left).await? {
                        Tell::Index(index) => Ok(index),
                        _ => Err(unexpected(node)),
                    },
                }
            };
            let outcome = route.attempt(left, attempt).await;
            if let Some(index) = route.settle(outcome)? {
                return Ok(index);
            }
        }
    }
}

/// The keys of a range.
fn bounds_of(bits: RangeBits, range: RangeId) -> Bounds {
    let (start, end) = key_span(bits, group_of(range));
    Bounds { start, end }
}
