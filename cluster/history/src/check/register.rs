//! A register: one value, or none, under one key; the model of an item.
//!
//! Values are numbers; a test that stores items gives each of its writes a number of its own. Answers may leave out what
//! a system does not tell: a blind write knows nothing of the old value.

use super::model::Model;

/// A value, or `None` when there is none.
pub type Value = Option<i64>;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// The value.
    Read,
    /// Makes it this.
    Write(i64),
    /// Makes it `new` if it is `expected`.
    CompareAndSet {
        /// What it must be.
        expected: Value,
        /// What it becomes then; `None` removes it.
        new: Value,
    },
    /// Removes it.
    Delete,
    /// Adds to it; without a value, to 0.
    Add(i64),
}

/// What a client has learnt of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Seen {
    /// Nothing.
    Untold,
    /// What it was.
    Was(Value),
}

impl Seen {
    fn agrees(self, value: Value) -> bool {
        match self {
            Self::Untold => true,
            Self::Was(seen) => seen == value,
        }
    }
}

/// An answer: the value before and after, as far as it was told, and whether a condition held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Output {
    /// The value before the operation.
    pub old: Seen,
    /// The value after it.
    pub new: Seen,
    /// False when a compare-and-set found something else than it expected, and changed nothing.
    pub is_done: bool,
}

impl Output {
    /// The answer of a read.
    pub const fn read(value: Value) -> Self {
        Self {
            old: Seen::Was(value),
            new: Seen::Was(value),
            is_done: true,
        }
    }

    /// The answer of something that was done and tells no values.
    pub const fn done() -> Self {
        Self {
            old: Seen::Untold,
            new: Seen::Untold,
            is_done: true,
        }
    }

    /// The answer of something that was done and tells the value before and after.
    pub const fn changed(old: Value, new: Value) -> Self {
        Self {
            old: Seen::Was(old),
            new: Seen::Was(new),
            is_done: true,
        }
    }

    /// The answer of a compare-and-set that found something else.
    pub const fn refused(old: Seen) -> Self {
        Self {
            old,
            new: old,
            is_done: false,
        }
    }
}

/// The register, with the value that it begins with.
#[derive(Clone, Copy, Debug, Default)]
pub struct Register {
    /// The first value.
    pub initial: Value,
}

/// The value after an operation, and whether it was done.
pub fn apply(value: Value, input: &Input) -> (Value, bool) {
    match *input {
        Input::Read => (value, true),
        Input::Write(new) => (Some(new), true),
        Input::CompareAndSet { expected, new } if expected == value => (new, true),
        Input::CompareAndSet { .. } => (value, false),
        Input::Delete => (None, true),
        Input::Add(by) => (Some(value.unwrap_or(0).wrapping_add(by)), true),
    }
}

impl Model for Register {
    type State = Value;
    type Input = Input;
    type Output = Output;

    fn initial(&self) -> Value {
        self.initial
    }

    fn step(&self, state: &Value, input: &Input, observed: Option<&Output>) -> Option<Value> {
        let (new, is_done) = apply(*state, input);
        let agrees = observed.is_none_or(|observed| {
            observed.is_done == is_done && observed.old.agrees(*state) && observed.new.agrees(new)
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

    #[test]
    fn a_register_does_what_dynamodb_does_to_one_attribute() {
        let table = [
            (None, Input::Read, None, true),
            (None, Input::Write(3), Some(3), true),
            (Some(3), Input::Delete, None, true),
            (None, Input::Add(4), Some(4), true),
            (Some(4), Input::Add(-5), Some(-1), true),
            (
                Some(1),
                Input::CompareAndSet {
                    expected: Some(1),
                    new: Some(2),
                },
                Some(2),
                true,
            ),
            (
                Some(1),
                Input::CompareAndSet {
                    expected: Some(1),
                    new: None,
                },
                None,
                true,
            ),
            (
                Some(1),
                Input::CompareAndSet {
                    expected: None,
                    new: Some(2),
                },
                Some(1),
                false,
            ),
        ];
        for (before, input, after, is_done) in table {
            assert_eq!(apply(before, &input), (after, is_done), "{input:?}");
        }
    }

    #[test]
    fn an_answer_agrees_as_far_as_it_tells() {
        let register = Register::default();
        let step = |input, observed| register.step(&Some(1), &input, Some(&observed));
        assert_eq!(step(Input::Write(2), Output::done()), Some(Some(2)));
        assert_eq!(
            step(Input::Write(2), Output::changed(Some(1), Some(2))),
            Some(Some(2))
        );
        assert_eq!(step(Input::Write(2), Output::changed(Some(3), Some(2))), None);
        assert_eq!(step(Input::Read, Output::read(Some(1))), Some(Some(1)));
        assert_eq!(step(Input::Read, Output::read(None)), None);
        let compare = Input::CompareAndSet {
            expected: None,
            new: Some(2),
        };
        assert_eq!(step(compare, Output::done()), None);
        assert_eq!(step(compare, Output::refused(Seen::Untold)), Some(Some(1)));
        assert_eq!(step(compare, Output::refused(Seen::Was(None))), None);
    }
}
