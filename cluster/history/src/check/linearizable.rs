//! Whether a history of one key is linearizable: each operation seems to take effect at one moment between its beginning
//! and its end.
//!
//! The search is Wing and Gong's ("Testing and Verifying Concurrent Objects", 1993) with Lowe's memory of configurations
//! ("Testing for linearizability", 2017): operations are put in order one by one, and a set of operations that has led to
//! a state is looked at once. An operation without an answer may be put anywhere after its beginning, or nowhere; so a
//! configuration that has used more of them for the same end is no better than one that has used fewer, and is not
//! looked at either. Those with fewer come first, and one is put only where an answered operation follows. A read whose
//! answer fits is put at once, since that hinders nothing.
//!
//! Invariant: a verdict is exact; a search that would take too long says `Undecided`. Linearizability is local (Herlihy
//! and Wing, 1990): a history is linearizable if each key's is.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::Debug;

use super::model::Model;
use crate::history::{Operation, Operations};

/// How many configurations are looked at before a search gives up, unless told otherwise: about a second.
pub const CONFIGURATIONS_MAX: usize = 1_000_000;

/// What a search has found. Operations are named by their place in what was given.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict<S> {
    /// The history is linearizable: in this order. Operations without an answer that had no effect are left out.
    Linearizable(Vec<usize>),
    /// It is not.
    Violation(Violation<S>),
    /// The search was broken off after so many configurations.
    Undecided(usize),
}

/// Why a history is not linearizable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation<S> {
    /// An order of the longest beginning of the history that has one.
    pub prefix: Vec<usize>,
    /// The state after it.
    pub state: S,
    /// The operation whose end leaves no order.
    pub last: usize,
    /// What else was under way when it ended, or may have been, and is not a part of the order.
    pub open: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Set(Vec<u64>);

impl Set {
    fn new(size: usize) -> Self {
        Self(vec![0; size.div_ceil(64)])
    }

    fn holds(&self, index: usize) -> bool {
        let word = self.0.get(index / 64);
        word.is_some_and(|word| word & (1 << (index % 64)) != 0)
    }

    fn with(&self, index: usize) -> Self {
        let mut more = self.clone();
        if let Some(word) = more.0.get_mut(index / 64) {
            *word |= 1 << (index % 64);
        }
        more
    }

    fn is_within(&self, other: &Self) -> bool {
        self.0.iter().zip(&other.0).all(|(own, other)| own & !other == 0)
    }
}

/// An operation as the search sees it.
struct Step<'a, M: Model> {
    /// Its place in what was given.
    place: usize,
    began: u64,
    /// `u64::MAX` without an answer.
    ended: u64,
    input: &'a M::Input,
    output: Option<&'a M::Output>,
    /// Without an answer: the last one before it that asks the same.
    twin: Option<usize>,
}

/// A state that a set of answered operations can lead to, and the unanswered ones that it takes.
#[derive(Clone)]
struct Way<S> {
    state: S,
    unanswered: Set,
    /// What has led here from the frame below, in order.
    taken: Vec<usize>,
}

/// A place in the search: a set of answered operations, and the ways to have done them.
struct Frame<S> {
    answered: Set,
    /// No answered operation before this one is left.
    first: usize,
    /// Answered operations that may come next, the most promising first.
    next: Vec<usize>,
    /// Unanswered operations that may come next.
    open: Vec<usize>,
    /// The way that is looked at, and how many of `next` were tried on it.
    way: Way<S>,
    tried: usize,
    /// The one thing that need be tried on it was tried.
    is_settled: bool,
    /// Further ways, by the number of unanswered operations.
    ways: VecDeque<Way<S>>,
}

struct Search<'a, M: Model> {
    model: &'a M,
    answered: Vec<Step<'a, M>>,
    unanswered: Vec<Step<'a, M>>,
    /// For each set of answered operations and state: the smallest sets of unanswered ones that have led there.
    seen: HashMap<(Set, M::State), Vec<Set>>,
    /// The latest moment such that what had ended before it was put into an order.
    reached: u64,
}

enum Found<S> {
    Order(Vec<usize>, S),
    /// There is none, though there is one of what had ended before this moment.
    None(u64),
    TooMany,
}

impl<'a, M: Model> Search<'a, M> {
    /// The history as it was known at a moment: what ended later has no answer, what began later is not there.
    fn new(model: &'a M, operations: &'a [Operation<M::Input, M::Output>], moment: u64) -> Self {
        let steps = operations.iter().enumerate();
        let steps = steps.filter(|(_, operation)| operation.began <= moment);
        let steps = steps.map(|(place, operation)| {
            let ended = operation.ended.as_ref().filter(|(ended, _)| *ended <= moment);
            Step {
                place,
                began: operation.began,
                ended: ended.map_or(u64::MAX, |(ended, _)| *ended),
                input: &operation.input,
                output: ended.map(|(_, output)| output),
                twin: None,
            }
        });
        let (mut answered, mut unanswered): (Vec<_>, Vec<_>) =
            steps.partition(|step: &Step<'a, M>| step.output.is_some());
        unanswered.retain(|step| !model.is_read(step.input));
        answered.sort_by_key(|step| step.began);
        unanswered.sort_by_key(|step| step.began);
        for index in 1..unanswered.len() {
            let (earlier, later) = unanswered.split_at_mut(index);
            if let Some(step) = later.first_mut() {
                step.twin = earlier.iter().rposition(|other| other.input == step.input);
            }
        }
        Self {
            model,
            answered,
            unanswered,
            seen: HashMap::new(),
            reached: 0,
        }
    }

    fn frame(&mut self, answered: Set, first: usize, way: Way<M::State>) -> Frame<M::State> {
        let mut first = first;
        while answered.holds(first) {
            first += 1;
        }
        // Whatever began before any of the rest has ended may be next.
        let mut deadline = u64::MAX;
        let mut next = Vec::new();
        for (index, step) in self.answered.iter().enumerate().skip(first) {
            if step.began > deadline {
                break;
            }
            if !answered.holds(index) {
                deadline = deadline.min(step.ended);
                next.push((step.ended, index));
            }
        }
        self.reached = self.reached.max(deadline);
        // What ended first has probably taken effect first.
        next.sort_unstable();
        let open = self.unanswered.iter().enumerate();
        let open = open.filter(|(index, step)| step.began < deadline && !way.unanswered.holds(*index));
        Frame {
            open: open.map(|(index, _)| index).collect(),
            next: next.into_iter().map(|(_, index)| index).collect(),
            answered,
            first,
            way,
            tried: 0,
            is_settled: false,
            ways: VecDeque::new(),
        }
    }

    /// Takes down that a set of answered operations has led to a state; false if it has done so before with no more
    /// unanswered ones.
    fn is_new(&mut self, answered: &Set, state: &M::State, unanswered: &Set) -> bool {
        let ways = self.seen.entry((answered.clone(), state.clone())).or_default();
        if ways.iter().any(|way| way.is_within(unanswered)) {
            return false;
        }
        ways.retain(|way| !unanswered.is_within(way));
        ways.push(unanswered.clone());
        true
    }

    /// Lets an answered operation follow; `None` if its answer does not fit or it leads where the search has been.
    fn follow(&mut self, frame: &Frame<M::State>, index: usize) -> Option<Frame<M::State>> {
        let step = self.answered.get(index)?;
        let state = self.model.step(&frame.way.state, step.input, step.output)?;
        let place = step.place;
        let answered = frame.answered.with(index);
        if !self.is_new(&answered, &state, &frame.way.unanswered) {
            return None;
        }
        let way = Way {
            state,
            unanswered: frame.way.unanswered.clone(),
            taken: vec![place],
        };
        Some(self.frame(answered, frame.first, way))
    }

    /// A read that may come next and whose answer fits: whatever comes later, it may as well come now, so that nothing
    /// else need be tried.
    fn fitting_read(&self, frame: &Frame<M::State>) -> Option<usize> {
        let mut next = frame.next.iter().copied();
        next.find(|index| {
            self.answered.get(*index).is_some_and(|step| {
                self.model.is_read(step.input)
                    && self
                        .model
                        .step(&frame.way.state, step.input, step.output)
                        .is_some()
            })
        })
    }

    /// Lets unanswered operations follow the way that is looked at, and says how many new ways that makes.
    fn branch(&mut self, frame: &mut Frame<M::State>) -> usize {
        let before = frame.ways.len();
        for index in &frame.open {
            let used = &frame.way.unanswered;
            // Of several that ask the same, the earliest serves as well as any.
            let is_free =
                |step: &&Step<'_, M>| !used.holds(*index) && step.twin.is_none_or(|twin| used.holds(twin));
            let Some(step) = self.unanswered.get(*index).filter(is_free) else {
                continue;
            };
            let Some(state) = self.model.step(&frame.way.state, step.input, None) else {
                continue;
            };
            let place = step.place;
            let unanswered = frame.way.unanswered.with(*index);
            // What changes nothing may as well not be.
            if state != frame.way.state && self.is_new(&frame.answered, &state, &unanswered) {
                let mut taken = frame.way.taken.clone();
                taken.push(place);
                frame.ways.push_back(Way {
                    state,
                    unanswered,
                    taken,
                });
            }
        }
        frame.ways.len() - before
    }

    fn run(mut self, configurations_max: usize) -> Found<M::State> {
        let mut left = configurations_max;
        let way = Way {
            state: self.model.initial(),
            unanswered: Set::new(self.unanswered.len()),
            taken: Vec::new(),
        };
        let mut path = vec![self.frame(Set::new(self.answered.len()), 0, way)];
        while let Some(frame) = path.last_mut() {
            if frame.first == self.answered.len() {
                let state = frame.way.state.clone();
                let order = path.iter().flat_map(|frame| frame.way.taken.iter().copied());
                return Found::Order(order.collect(), state);
            }
            let mut made = 0;
            if frame.tried == 0
                && let Some(index) = self.fitting_read(frame)
            {
                frame.tried = frame.next.len();
                frame.is_settled = true;
                if let Some(next) = self.follow(frame, index) {
                    made = 1;
                    path.push(next);
                }
            } else if let Some(index) = frame.next.get(frame.tried).copied() {
                frame.tried += 1;
                if let Some(next) = self.follow(frame, index) {
                    made = 1;
                    path.push(next);
                }
            } else {
                if !frame.is_settled {
                    made = self.branch(frame);
                }
                if let Some(way) = frame.ways.pop_front() {
                    frame.way = way;
                    frame.tried = 0;
                    frame.is_settled = false;
                } else {
                    path.pop();
                }
            }
            let Some(rest) = left.checked_sub(made) else {
                return Found::TooMany;
            };
            left = rest;
        }
        Found::None(self.reached)
    }
}

/// Checks the operations of one key.
pub fn check<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    configurations_max: usize,
) -> Verdict<M::State> {
    match Search::new(model, operations, u64::MAX).run(configurations_max) {
        Found::Order(order, _) => Verdict::Linearizable(order),
        Found::TooMany => Verdict::Undecided(configurations_max),
        Found::None(reached) => match explain(model, operations, configurations_max, reached) {
            Some(violation) => Verdict::Violation(violation),
            None => Verdict::Undecided(configurations_max),
        },
    }
}

/// Finds the first end of an operation after which there is no order, which is not before `reached`. What has an order at
/// a moment has one at every earlier one; so steps that double find a later end without one, and halving the first.
fn explain<M: Model>(
    model: &M,
    operations: &[Operation<M::Input, M::Output>],
    configurations_max: usize,
    reached: u64,
) -> Option<Violation<M::State>> {
    let ends = operations.iter().enumerate();
    let ends = ends.filter_map(|(place, operation)| Some((operation.ended.as_ref()?.0, place)));
    let mut ends: Vec<_> = ends.collect();
    ends.sort_unstable();
    let search = |count: usize| {
        let moment = count.checked_sub(1).and_then(|last| ends.get(last));
        Search::new(model, operations, moment.map_or(0, |(ended, _)| *ended)).run(configurations_max)
    };
    // The first `low` ends have an order, the first `high` have none.
    let mut low = ends.partition_point(|(ended, _)| *ended < reached);
    let mut high = ends.len();
    let Found::Order(order, state) = search(low) else {
        return None;
    };
    let mut prefix = (order, state);
    let mut step = Some(1);
    while high - low > 1 {
        let count = step.map_or(low.midpoint(high), |step| (low + step).min(high - 1));
        match search(count) {
            Found::Order(order, state) => {
                low = count;
                prefix = (order, state);
                step = step.map(|step| step * 2);
            }
            Found::None(_) => {
                high = count;
                step = None;
            }
            Found::TooMany => break,
        }
    }
    let (moment, last) = *ends.get(high.checked_sub(1)?)?;
    let (prefix, state) = prefix;
    let before = ends.get(low.wrapping_sub(1)).map_or(0, |(ended, _)| *ended);
    let is_open = |place: &usize| {
        operations.get(*place).is_some_and(|operation| {
            operation.began < moment && operation.ended.as_ref().is_none_or(|(ended, _)| *ended > before)
        })
    };
    let open =
        (0..operations.len()).filter(|place| *place != last && !prefix.contains(place) && is_open(place));
    Some(Violation {
        open: open.collect(),
        prefix,
        state,
        last,
    })
}

impl<S: Debug> Violation<S> {
    /// Says it to people: the end of the order, and what does not fit.
    pub fn describe<I: Debug, O: Debug>(&self, operations: &[Operation<I, O>]) -> String {
        const SHOWN: usize = 8;
        let hidden = self.prefix.len().saturating_sub(SHOWN);
        let lines = |places: &mut dyn Iterator<Item = &usize>| -> String {
            let shown = places.filter_map(|place| operations.get(*place));
            shown.fold(String::new(), |text, operation| {
                text + &format!("    {operation}\n")
            })
        };
        let order = lines(&mut self.prefix.iter().skip(hidden));
        let last = lines(&mut std::iter::once(&self.last));
        let open = lines(&mut self.open.iter());
        format!(
            "not linearizable. There is an order of {} operations ({hidden} not shown):\n{order}  after which the state \
             is {:?}. This one fits nowhere:\n{last}  although these may come before it:\n{open}",
            self.prefix.len(),
            self.state,
        )
    }
}

/// How the keys of a history were judged, when none was wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Judged {
    /// Keys that are linearizable.
    pub linearizable: usize,
    /// Keys for which the search was broken off.
    pub undecided: usize,
}

/// Checks all keys of a history.
///
/// # Errors
/// The first key that is not linearizable, and why, in words.
pub fn check_keys<M: Model, K: Debug>(
    model: &M,
    keys: &BTreeMap<K, Operations<M::Input, M::Output>>,
    configurations_max: usize,
) -> Result<Judged, String> {
    let mut judged = Judged::default();
    for (key, operations) in keys {
        match check(model, operations, configurations_max) {
            Verdict::Linearizable(_) => judged.linearizable += 1,
            Verdict::Undecided(_) => judged.undecided += 1,
            Verdict::Violation(violation) => {
                return Err(format!("key {key:?} is {}", violation.describe(operations)));
            }
        }
    }
    Ok(judged)
}
