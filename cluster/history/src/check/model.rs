//! What an object does when one client uses it after the other: the measure that histories are held against.

use std::fmt::Debug;
use std::hash::Hash;

/// A sequential object. Deterministic: a state and a question have one answer and one next state.
pub trait Model {
    /// Everything that later answers depend on.
    type State: Clone + Eq + Hash + Debug;
    /// A question.
    type Input: Clone + PartialEq + Debug;
    /// What was observed as the answer to a question.
    type Output: Clone + Debug;

    /// The state before the first operation.
    fn initial(&self) -> Self::State;

    /// The state after an operation, if it may answer like this; `None` if it may not. Without an answer, what the state
    /// becomes if the operation takes effect.
    fn step(
        &self,
        state: &Self::State,
        input: &Self::Input,
        observed: Option<&Self::Output>,
    ) -> Option<Self::State>;

    /// Whether an operation never changes the state; without an answer it then says nothing at all.
    fn is_read(&self, input: &Self::Input) -> bool;
}
