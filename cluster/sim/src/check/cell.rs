//! A cell that says who has made it: a number and the write that it comes from; the model of an item in the cluster.
//!
//! Every write has a number of its own, which stays the same when it is sent again. So a reader learns not only what is
//! there but by whom, and a write that takes effect twice, or after it was refused, shows itself. Not here: how a cell is
//! put into bytes.

use super::model::Model;

/// What is in a cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Stored {
    /// The number.
    pub value: i64,
    /// The write that has made it so.
    pub by: u64,
}

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// What is there.
    Read,
    /// Makes it this, whatever it was.
    Put(Stored),
    /// Makes it `new` if the number is `expected`; `None` is no cell.
    CompareAndSet {
        /// What the number must be.
        expected: Option<i64>,
        /// What the cell becomes then.
        new: Stored,
    },
    /// Adds to the number; without a cell, to 0.
    Add {
        /// How much.
        delta: i64,
        /// The write.
        by: u64,
    },
    /// Removes the cell.
    Delete {
        /// The write.
        by: u64,
    },
}

impl Input {
    /// The number of the write; `None` for a read.
    pub fn by(&self) -> Option<u64> {
        match *self {
            Self::Read => None,
            Self::Put(new) | Self::CompareAndSet { new, .. } => Some(new.by),
            Self::Add { by, .. } | Self::Delete { by } => Some(by),
        }
    }
}

/// What a client has learnt of the cell before its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Nothing.
    Untold,
    /// What it was.
    Was(Option<Stored>),
}

/// An answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// The cell before the operation; what a read has found.
    pub old: Seen,
    /// False when a compare-and-set has found another number than it expected, and changed nothing.
    pub is_done: bool,
}

impl Output {
    /// The answer of a read.
    pub const fn found(cell: Option<Stored>) -> Self {
        Self {
            old: Seen::Was(cell),
            is_done: true,
        }
    }

    /// The answer of a write that was done and tells nothing.
    pub const fn done() -> Self {
        Self {
            old: Seen::Untold,
            is_done: true,
        }
    }
}

/// A cell that is not there at first.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cell;

/// The cell after an operation, and whether it was done.
pub fn apply(cell: Option<Stored>, input: &Input) -> (Option<Stored>, bool) {
    let number = cell.map(|cell| cell.value);
    match *input {
        Input::Read => (cell, true),
        Input::Put(new) => (Some(new), true),
        Input::CompareAndSet { expected, new } if expected == number => (Some(new), true),
        Input::CompareAndSet { .. } => (cell, false),
        Input::Add { delta, by } => {
            let value = number.unwrap_or(0).wrapping_add(delta);
            (Some(Stored { value, by }), true)
        }
        Input::Delete { .. } => (None, true),
    }
}

impl Model for Cell {
    type State = Option<Stored>;
    type Input = Input;
    type Output = Output;

    fn initial(&self) -> Option<Stored> {
        None
    }

    fn step(
        &self,
        state: &Option<Stored>,
        input: &Input,
        observed: Option<&Output>,
    ) -> Option<Option<Stored>> {
        let (new, is_done) = apply(*state, input);
        let agrees = observed.is_none_or(|observed| {
            let knows = match observed.old {
                Seen::Untold => true,
                Seen::Was(old) => old == *state,
            };
            observed.is_done == is_done && knows
        });
        agrees.then_some(new)
    }

    fn is_read(&self, input: &Input) -> bool {
        matches!(input, Input::Read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn cell(value: i64, by: u64) -> Stored {
        Stored { value, by }
    }

    #[test]
    fn a_cell_becomes_what_the_write_says() {
        let new = Stored { value: 7, by: 9 };
        let compare = |expected| Input::CompareAndSet { expected, new };
        let table = [
            (Some(cell(1, 1)), Input::Read, Some(cell(1, 1)), true),
            (None, Input::Put(new), Some(new), true),
            (Some(cell(1, 1)), compare(Some(1)), Some(new), true),
            (Some(cell(1, 1)), compare(Some(2)), Some(cell(1, 1)), false),
            (None, compare(None), Some(new), true),
            (Some(cell(1, 1)), compare(None), Some(cell(1, 1)), false),
            (
                Some(cell(1, 1)),
                Input::Add { delta: 3, by: 2 },
                Some(cell(4, 2)),
                true,
            ),
            (None, Input::Add { delta: 3, by: 2 }, Some(cell(3, 2)), true),
            (Some(cell(1, 1)), Input::Delete { by: 3 }, None, true),
            (None, Input::Delete { by: 3 }, None, true),
        ];
        for (before, input, after, is_done) in table {
            assert_eq!(apply(before, &input), (after, is_done), "{input:?}");
        }
    }

    #[test]
    fn an_answer_fits_only_the_cell_that_it_tells_of() {
        let state = Some(cell(1, 1));
        let step = |input, output| Cell.step(&state, &input, Some(&output));
        assert_eq!(step(Input::Read, Output::found(state)), Some(state));
        assert_eq!(
            step(Input::Read, Output::found(Some(cell(1, 2)))),
            None,
            "made by another"
        );
        let add = Input::Add { delta: 1, by: 5 };
        assert_eq!(step(add, Output::found(state)), Some(Some(cell(2, 5))));
        assert_eq!(step(add, Output::found(None)), None);
        assert_eq!(step(add, Output::done()), Some(Some(cell(2, 5))));
        let new = Stored { value: 7, by: 9 };
        let compare = Input::CompareAndSet {
            expected: Some(2),
            new,
        };
        let refused = Output {
            old: Seen::Was(state),
            is_done: false,
        };
        assert_eq!(step(compare, refused), Some(state));
        assert_eq!(step(compare, Output::done()), None);
        assert!(Cell.is_read(&Input::Read) && !Cell.is_read(&add));
        assert_eq!(
            (Input::Read.by(), add.by(), compare.by()),
            (None, Some(5), Some(9))
        );
    }
}
