//! Range reads: over the token ranges that a span touches, each read where it may be read.
//!
//! Invariant: rows come in the order of their keys, those of one token range of one moment. Not here: what rows mean.

use std::borrow::Cow;
use std::ops::{Bound, ControlFlow};
use std::time::Duration;

use bytes::Bytes;
use stator_storage::RangeIterator;

use super::metadata::nothing_changed;
use super::route::{Place, Route, Whom, unexpected};
use super::{Bounds, Cluster, Direction, Keyspace};
use crate::command::Cell;
use crate::error::Error;
use crate::follow::{self, Step};
use crate::group::apply::METADATA_GROUP;
use crate::group::replica::Refused;
use crate::level::ConsistencyLevel;
use crate::metadata::keyspaces::METADATA;
use crate::metadata::rows::OWN;
use crate::node::group_of;
use crate::node::message::{Ask, Page, Rows, Tell};
use crate::ring::{RangeBits, RangeId};

/// Rows that another node sends at once, in bytes.
const PAGE_BYTES: u32 = 1 << 20;

/// How long a read for which only the leader will do waits that has met damage there, before it goes on.
const DAMAGE_PAUSE: Duration = Duration::from_millis(20);

/// A row that a range read visits.
#[derive(Debug)]
pub struct Row<'a>(Source<'a>);

#[derive(Debug)]
enum Source<'a> {
    Here(&'a RangeIterator),
    There(&'a Bytes, &'a Bytes),
}

impl Row<'_> {
    /// Key bytes.
    pub fn key(&self) -> &[u8] {
        match self.0 {
            Source::Here(rows) => rows.key(),
            Source::There(key, _) => key,
        }
    }

    /// The cell, to look at.
    pub fn cell(&self) -> &[u8] {
        match self.0 {
            Source::Here(rows) => rows.value(),
            Source::There(_, cell) => cell,
        }
    }

    /// The cell, to keep; shares memory.
    pub fn to_cell(&self) -> Cell {
        match self.0 {
            Source::Here(rows) => rows.value_shared().into_bytes(),
            Source::There(_, cell) => Cell::clone(cell),
        }
    }
}

impl Cluster {
    /// Visits the rows of a range in order until the visitor breaks off or the range ends. The rows of one partition are
    /// of one moment.
    ///
    /// # Errors
    /// As [`Cluster::read`].
    pub async fn range(
        &self,
        keyspace: Keyspace,
        bounds: &Bounds,
        direction: Direction,
        level: ConsistencyLevel,
        mut visit: impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        if keyspace.number == METADATA {
            let bounds = above_own(bounds);
            let group = METADATA_GROUP;
            let span = Span {
                keyspace,
                bounds,
                direction,
                level,
            };
            return self.read_group(group, span, &mut visit).await.map(drop);
        }
        let layout = self.node.known_layout()?;
        let bits = layout.bits();
        let mut bounds = Cow::Borrowed(bounds);
        if self.reads_all_here(level) {
            // One moment for all, and no search for each range.
            if layout.nodes().len() == 1 {
                // Nobody else has what is damaged here, so that it need not be known how far the read came.
                let visited = self.visit_here(keyspace, &bounds, direction, &mut visit);
                return visited.map(drop);
            }
            match self.visit_noting(keyspace, &bounds, direction, &mut visit) {
                // Another replica may have what is damaged here: what is left is read range by range.
                (Err(error), last) if error.is_damage() => {
                    if let Some(last) = last {
                        go_on_behind(bounds.to_mut(), direction, last);
                    }
                }
                (visited, _) => return visited.map(drop),
            }
        }
        for range in bits.touched(&bounds, direction) {
            let span = Span {
                keyspace,
                bounds: clip(&bounds, bits, range),
                direction,
                level,
            };
            if self
                .read_group(group_of(range), span, &mut visit)
                .await?
                .is_break()
            {
                break;
            }
        }
        Ok(())
    }

    /// Whether every range can be read from this node's engine without asking anybody.
    fn reads_all_here(&self, level: ConsistencyLevel) -> bool {
        let groups = self.node.replicas();
        let count = self.node.layout().map_or(0, |layout| layout.bits().range_count());
        if groups.len() <= usize::try_from(count).unwrap_or(usize::MAX) {
            return false;
        }
        let mut ranges = groups.iter().skip(1);
        match level {
            ConsistencyLevel::One => {
                ranges.all(|replica| replica.as_ref().is_some_and(|replica| replica.is_readable()))
            }
            ConsistencyLevel::Quorum | ConsistencyLevel::All => {
                ranges.all(|replica| replica.as_ref().is_some_and(|replica| replica.serves_alone()))
            }
        }
    }

    fn visit_here(
        &self,
        keyspace: Keyspace,
        bounds: &Bounds,
        direction: Direction,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let span = follow::open(Step::Scan);
        let mut visited = Ok(ControlFlow::Continue(()));
        let mut rows = self.node.open_rows(keyspace.id, bounds, direction)?;
        while rows.advance()? {
            if visit(&Row(Source::Here(&rows))).is_break() {
                visited = Ok(ControlFlow::Break(()));
                break;
            }
        }
        follow::end(span, &visited);
        visited
    }

    /// Visits rows on this node, and says which was the last one.
    fn visit_noting(
        &self,
        keyspace: Keyspace,
        bounds: &Bounds,
        direction: Direction,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> (Result<ControlFlow<()>, Error>, Option<Vec<u8>>) {
        let mut last = None;
        let mut note = |row: &Row<'_>| {
            let key: &mut Vec<u8> = last.get_or_insert_default();
            key.clear();
            key.extend_from_slice(row.key());
            visit(row)
        };
        let visited = self.visit_here(keyspace, bounds, direction, &mut note);
        (visited, last)
    }

    /// Visits the rows of a span on this node. If that fails, the rest of the span is what was not visited.
    fn visit_or_note(
        &self,
        span: &mut Span,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let (visited, last) = self.visit_noting(span.keyspace, &span.bounds, span.direction, visit);
        if let (Err(_), Some(last)) = (&visited, last) {
            span.go_on_behind(last);
        }
        visited
    }

    /// Whether somebody else may have what is damaged here, and there is time for it to lead.
    fn may_wait(&self, group: u32, begun: Duration) -> bool {
        let spent = self.node.surroundings.world.now().saturating_sub(begun);
        self.nodes_of(group).len() > 1 && spent < self.node.settings.timing.patience()
    }

    /// Visits the rows of one group.
    async fn read_group(
        &self,
        group: u32,
        mut span: Span,
        visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>, Error> {
        let leader = span.level != ConsistencyLevel::One;
        let begun = self.node.surroundings.world.now();
        let mut whom = if leader { Whom::Leader } else { Whom::Any };
        let mut damage = None;
        loop {
            let is_here = whom == Whom::Any && self.node.readable(group).is_some();
            let page = if is_here {
                None
            } else {
                let page = self.page(group, whom, &span).await;
                page.map_err(|error| with_damage(error, damage.as_deref()))?
            };
            let Some(page) = page else {
                match self.visit_or_note(&mut span, visit) {
                    // Another replica has what is damaged here.
                    Err(error) if error.is_damage() && !leader && self.nodes_of(group).len() > 1 => {
                        whom = Whom::AnyOther;
                        damage = Some(error.to_string());
                        continue;
                    }
                    Err(error) if error.is_damage() && self.may_wait(group, begun) => {
                        // Another one leads soon.
                        self.node.surroundings.world.sleep(DAMAGE_PAUSE).await;
                        continue;
                    }
                    Err(error) if error.is_damage() && self.nodes_of(group).len() > 1 => {
                        let cause = error.to_string();
                        return Err(Error::Unavailable { cause });
                    }
                    visited => return visited,
                }
            };
            if visit_page(&page, visit).is_break() {
                return Ok(ControlFlow::Break(()));
            }
            match page.keys.last().filter(|_| !page.is_last) {
                Some(last) => span.go_on_behind(last.to_vec()),
                None => return Ok(ControlFlow::Continue(())),
            }
        }
    }
}

impl Cluster {
    /// The next rows of a group on another node; `None` if this node may read them itself.
    async fn page(&self, group: u32, whom: Whom, span: &Span) -> Result<Option<Rows>, Error> {
        let leader = whom == Whom::Leader;
        let mut route = Route::to(self, group, whom);
        loop {
            let (place, left) = route.next().await.map_err(nothing_changed)?;
            let outcome = route
                .attempt(left, self.page_at(place, left, (group, leader), span))
                .await;
            if let Some(page) = route.settle(outcome)? {
                return Ok(page);
            }
        }
    }

    async fn page_at(
        &self,
        place: Place,
        patience: Duration,
        (group, leader): (u32, bool),
        span: &Span,
    ) -> Result<Option<Rows>, Refused> {
        match place {
            Place::Here(replica) => {
                replica.read_barrier().await?;
                Ok(None)
            }
            Place::There(node) => {
                let numbers = (group, span.keyspace.number);
                let page = Page::new(numbers, &span.bounds, span.direction, leader, PAGE_BYTES);
                match self.ask(node, Ask::Page(page), patience).await? {
                    Tell::Rows(rows) => Ok(Some(rows)),
                    _ => Err(unexpected(node)),
                }
            }
        }
    }
}

/// Why nobody else could be asked, with what is damaged here.
fn with_damage(error: Error, damage: Option<&str>) -> Error {
    match (error, damage) {
        (Error::Unavailable { cause }, Some(damage)) => Error::Unavailable {
            cause: format!("{damage}; and of other replicas: {cause}"),
        },
        (error, _) => error,
    }
}

fn visit_page(page: &Rows, visit: &mut impl FnMut(&Row<'_>) -> ControlFlow<()>) -> ControlFlow<()> {
    for (key, cell) in page.keys.iter().zip(&page.cells) {
        visit(&Row(Source::There(key, cell)))?;
    }
    ControlFlow::Continue(())
}

/// What is left to read of a group.
struct Span {
    keyspace: Keyspace,
    bounds: Bounds,
    direction: Direction,
    level: ConsistencyLevel,
}

impl Span {
    fn go_on_behind(&mut self, last: Vec<u8>) {
        go_on_behind(&mut self.bounds, self.direction, last);
    }
}

/// Leaves of a span what comes behind a row.
fn go_on_behind(bounds: &mut Bounds, direction: Direction, last: Vec<u8>) {
    let behind = Bound::Excluded(last);
    match direction {
        Direction::Forward => bounds.start = behind,
        Direction::Backward => bounds.end = behind,
    }
}

/// The part of a span that lies in a token range.
pub(super) fn clip(bounds: &Bounds, bits: RangeBits, range: RangeId) -> Bounds {
    let first = bits
        .first_token(range)
        .map(|token| token.0.to_be_bytes().to_vec());
    let next = bits
        .first_token(RangeId(range.0 + 1))
        .map(|token| token.0.to_be_bytes().to_vec());
    let start = match (&bounds.start, first) {
        (Bound::Included(start) | Bound::Excluded(start), Some(first)) if *start < first => {
            Bound::Included(first)
        }
        (Bound::Unbounded, Some(first)) => Bound::Included(first),
        (start, _) => start.clone(),
    };
    let end = match (&bounds.end, next) {
        (Bound::Included(end) | Bound::Excluded(end), Some(next)) if *end >= next => Bound::Excluded(next),
        (Bound::Unbounded, Some(next)) => Bound::Excluded(next),
        (end, _) => end.clone(),
    };
    Bounds { start, end }
}

/// A span of group 0 without the cluster's own rows, whose keys come before all others.
fn above_own(bounds: &Bounds) -> Bounds {
    let least = vec![OWN + 1];
    let start = match &bounds.start {
        Bound::Included(start) | Bound::Excluded(start) if *start >= least => bounds.start.clone(),
        Bound::Unbounded | Bound::Included(_) | Bound::Excluded(_) => Bound::Included(least),
    };
    Bounds {
        start,
        end: bounds.end.clone(),
    }
}
