//! The tables that are looked after side by side: one errand a table.
//!
//! Invariant: of one table one errand is under way; a few tables take steps at a time, those that are being filled or wait for ranges
//! beside them; and of all fills together no more parts are under way than of one, so that many of them cost requests no more than one
//! does, but for a few whose ranges have not answered. What cannot go on is in nobody's way. Not here: what an errand does
//! (`steward.rs`).

use std::collections::HashMap;
use std::pin::pin;
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::{Semaphore, SemaphorePermit};
use uuid::Uuid;

/// So many tables take steps at the same time. A step may ask all ranges.
const TABLES_AT_ONCE: usize = 4;
/// How many parts of fills are under way at the same time, of all tables together: each of another range.
pub(super) const PARTS_AT_ONCE: usize = 8;
/// How many parts are tried beside those whose ranges have not answered the last time. Such a range may have no leader, and takes as
/// much time as patience has.
const LATE_AT_ONCE: usize = 4;
/// A table that waits for ranges keeps its turn for so long.
const WAITS_IN_TURN: Duration = Duration::from_secs(1);

/// What the errands share.
#[derive(Debug)]
pub(super) struct Places {
    tables: Semaphore,
    parts: Semaphore,
    late: Semaphore,
}

impl Default for Places {
    fn default() -> Self {
        Self {
            tables: Semaphore::new(TABLES_AT_ONCE),
            parts: Semaphore::new(PARTS_AT_ONCE),
            late: Semaphore::new(LATE_AT_ONCE),
        }
    }
}

impl Places {
    /// Waits for a place for a part of a fill; `is_late` says that its range has not answered the last time. Who has waited longest
    /// gets it, so that fills get further by turns.
    pub(super) async fn part(&self, is_late: bool) -> Option<SemaphorePermit<'_>> {
        let places = if is_late { &self.late } else { &self.parts };
        // Nobody closes it.
        places.acquire().await.ok()
    }
}

/// The turn of a table, which takes steps while it has one.
#[derive(Debug)]
pub(super) struct Turn<'a> {
    places: &'a Places,
    place: Option<SemaphorePermit<'a>>,
}

impl<'a> Turn<'a> {
    /// It is not its turn yet.
    pub(super) fn new(places: &'a Places) -> Self {
        Self { places, place: None }
    }

    /// Waits until it is its turn, unless it is.
    pub(super) async fn take(&mut self) {
        if self.place.is_none() {
            let places = self.places;
            // Nobody closes it.
            self.place = places.tables.acquire().await.ok();
        }
    }

    /// Lets others take steps.
    pub(super) fn give_back(&mut self) {
        self.place = None;
    }

    /// Waits in its turn for what ranges are asked for, if that does not take long; otherwise others take steps meanwhile, and it is
    /// its turn again afterwards. A range may have no leader for hours.
    pub(super) async fn wait_for<T>(&mut self, asked: impl Future<Output = T>) -> T {
        let mut asked = pin!(asked);
        if let Ok(answer) = tokio::time::timeout(WAITS_IN_TURN, asked.as_mut()).await {
            return answer;
        }
        self.give_back();
        let answer = asked.await;
        self.take().await;
        answer
    }

    /// What it shares with others.
    pub(super) fn places(&self) -> &'a Places {
        self.places
    }
}

/// The errands that are under way.
#[derive(Debug, Default)]
pub(super) struct Errands {
    running: FuturesUnordered<BoxFuture<'static, Uuid>>,
    /// Of which tables, and whether one was looked at again since its errand began: it may have more to do then.
    tables: HashMap<Uuid, bool>,
}

impl Errands {
    /// Begins one, unless one of the table is under way.
    pub(super) fn begin(&mut self, table: Uuid, errand: impl Future<Output = ()> + Send + 'static) {
        if let Some(is_looked_at) = self.tables.get_mut(&table) {
            *is_looked_at = true;
            return;
        }
        self.tables.insert(table, false);
        self.running.push(Box::pin(async move {
            errand.await;
            table
        }));
    }

    /// Waits until one has ended; says whether its table is to be looked at again. `None` when there is none.
    pub(super) async fn ended(&mut self) -> Option<bool> {
        let table = self.running.next().await?;
        Some(self.tables.remove(&table).unwrap_or_default())
    }

    /// Goes on with them while something else is waited for.
    pub(super) async fn beside<T>(&mut self, other: impl Future<Output = T>) -> T {
        let mut other = pin!(other);
        loop {
            tokio::select! {
                done = &mut other => return done,
                Some(_) = self.ended() => {}
            }
        }
    }

    /// Gives them up where they are.
    pub(super) fn give_up(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::FutureExt as _;
    use futures_util::future::{join_all, pending, ready};
    use tokio::sync::Notify;

    use super::*;

    fn table(number: u128) -> Uuid {
        Uuid::from_u128(number)
    }

    #[tokio::test]
    async fn of_a_table_one_errand_is_under_way_and_another_look_at_it_meanwhile_is_not_forgotten() {
        let (mut errands, go_on) = (Errands::default(), Arc::new(Notify::new()));
        let waits = Arc::clone(&go_on);
        errands.begin(table(1), async move { waits.notified().await });
        errands.begin(table(1), ready(()));
        errands.begin(table(2), ready(()));
        assert_eq!(errands.ended().await, Some(false), "the other table is done");
        assert_eq!(
            errands.ended().now_or_never(),
            None,
            "the second one was not begun"
        );
        go_on.notify_one();
        assert_eq!(errands.ended().await, Some(true));
        assert_eq!(errands.ended().await, None);
        errands.begin(table(1), ready(()));
        assert_eq!(errands.ended().await, Some(false));
    }

    #[tokio::test]
    async fn errands_go_on_while_something_else_is_waited_for_and_can_be_given_up() {
        let (mut errands, done) = (Errands::default(), Arc::new(Notify::new()));
        let tells = Arc::clone(&done);
        errands.begin(table(1), async move { tells.notify_one() });
        errands.begin(table(2), pending());
        errands.beside(done.notified()).await;
        errands.give_up();
        assert_eq!(errands.ended().await, None);
        errands.begin(table(2), ready(()));
        assert_eq!(errands.ended().await, Some(false));
    }

    #[tokio::test]
    async fn a_few_tables_take_steps_at_a_time_and_one_that_is_filled_is_in_nobodys_way() {
        let places = Places::default();
        let mut turns: Vec<_> = (0..=TABLES_AT_ONCE).map(|_| Turn::new(&places)).collect();
        let mut last = turns.pop().unwrap();
        for turn in &mut turns {
            turn.take().await;
            turn.take().await;
        }
        assert_eq!(last.take().now_or_never(), None, "it is not its turn");
        turns[0].give_back();
        last.take().await;
        assert_eq!(turns[0].take().now_or_never(), None);
        last.give_back();
        turns[0].take().await;
    }

    #[tokio::test]
    async fn fills_share_their_places_and_get_them_by_turns() {
        let places = Places::default();
        let mut taken = Vec::new();
        for _ in 0..PARTS_AT_ONCE {
            taken.push(places.part(false).await);
        }
        let mut one = pin!(places.part(false));
        let mut other = pin!(places.part(false));
        assert!(one.as_mut().now_or_never().is_none() && other.as_mut().now_or_never().is_none());
        drop(taken.pop());
        assert!(
            other.as_mut().now_or_never().is_none(),
            "who has waited longer is first"
        );
        assert!(one.as_mut().now_or_never().is_some());
    }

    #[tokio::test]
    async fn parts_whose_ranges_do_not_answer_are_in_nobodys_way() {
        let places = Places::default();
        let mut late = Vec::new();
        for _ in 0..LATE_AT_ONCE {
            late.push(places.part(true).await);
        }
        let mut next = pin!(places.part(true));
        assert!(next.as_mut().now_or_never().is_none());
        assert!(places.part(false).now_or_never().is_some());
        drop(late.pop());
        assert!(next.as_mut().now_or_never().is_some(), "they take turns");
    }

    #[tokio::test(start_paused = true)]
    async fn tables_that_wait_for_ranges_keep_their_turn_for_a_moment_and_get_another_one() {
        let (places, go_on) = (Places::default(), Notify::new());
        let waits = async || {
            let mut turn = Turn::new(&places);
            turn.take().await;
            assert_eq!(turn.wait_for(ready(7)).await, 7);
            assert!(turn.place.is_some(), "it did not wait");
            turn.wait_for(go_on.notified()).await;
            turn.place.is_some()
        };
        let other = async {
            let begun = tokio::time::Instant::now();
            let mut turn = Turn::new(&places);
            turn.take().await;
            assert!(begun.elapsed() >= WAITS_IN_TURN);
            go_on.notify_waiters();
        };
        let all = join_all((0..TABLES_AT_ONCE).map(|_| waits()));
        let (is_their_turn, ()) = tokio::join!(all, other);
        assert_eq!(is_their_turn, [true; TABLES_AT_ONCE]);
    }
}
