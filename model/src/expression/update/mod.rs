//! Update expressions: what they are made of. Parsing is in `parse.rs`, their effect in `apply.rs`.
//!
//! Invariant: the targets of an [`Update`] are apart from each other, so the order of its actions has no meaning. Whether
//! a target is a key attribute is the caller's question; see [`Update::touched_top_level`].

mod apply;
mod parse;

use super::error::ExpressionError;
use super::path::Path;
use super::placeholders::ValueId;
use super::tree::PathTree;

/// A parsed update. The default one has no action and is the update of a request without an expression.
#[derive(Debug, Clone, Default)]
pub struct Update {
    actions: Vec<Action>,
    /// The targets, each with the index of its action.
    targets: PathTree<usize>,
}

/// One change of one place in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// `SET target = value`
    Set {
        /// What is changed.
        target: Path,
        /// What it becomes.
        value: SetValue,
    },
    /// `REMOVE target`
    Remove {
        /// What goes.
        target: Path,
    },
    /// `ADD target value`: a sum for numbers, a union for sets.
    Add {
        /// What is changed.
        target: Path,
        /// A number or a set.
        value: ValueId,
    },
    /// `DELETE target value`: the difference of sets.
    Delete {
        /// What is changed.
        target: Path,
        /// A set.
        value: ValueId,
    },
}

/// The right side of a `SET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// An operand as it is.
    Operand(SetOperand),
    /// `+`
    Sum(SetOperand, SetOperand),
    /// `-`
    Difference(SetOperand, SetOperand),
    /// Three operands or more that are added (true) to the first or taken from it, one after the other. The API has no such
    /// update; statements have.
    Chain(SetOperand, Vec<(bool, SetOperand)>),
    /// `list_append`
    Append(SetOperand, SetOperand),
}

/// An operand of a `SET`: the first of some paths that exists, or else a given value.
///
/// This is what a path, a value and any nest of `if_not_exists` come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetOperand {
    /// The paths, in the order in which they are tried.
    pub paths: Vec<Path>,
    /// The value if none of them exists.
    pub otherwise: Option<ValueId>,
}

impl SetOperand {
    /// A given value.
    pub const fn value(id: ValueId) -> Self {
        Self {
            paths: Vec::new(),
            otherwise: Some(id),
        }
    }
}

impl Action {
    /// What the action changes.
    pub const fn target(&self) -> &Path {
        match self {
            Self::Set { target, .. }
            | Self::Remove { target }
            | Self::Add { target, .. }
            | Self::Delete { target, .. } => target,
        }
    }
}

impl Update {
    /// The update that consists of these actions.
    ///
    /// # Errors
    /// [`ExpressionError`] when the targets of two actions get in each other's way.
    pub fn of_actions(actions: Vec<Action>) -> Result<Self, ExpressionError> {
        let targets = actions.iter().enumerate();
        let targets = PathTree::new(targets.map(|(index, action)| (action.target(), index)))?;
        Ok(Self { actions, targets })
    }

    /// The actions, in the order of the text.
    pub fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Whether the update does nothing but take away. Where there is no item it makes none then.
    pub fn only_takes_away(&self) -> bool {
        let takes_away = |action: &Action| matches!(action, Action::Remove { .. } | Action::Delete { .. });
        !self.actions.is_empty() && self.actions.iter().all(takes_away)
    }

    /// Calls `visit` with every path that the update reads or changes.
    pub fn for_each_path<'a>(&'a self, visit: &mut impl FnMut(&'a Path)) {
        for action in &self.actions {
            visit(action.target());
            let Action::Set { value, .. } = action else {
                continue;
            };
            let (first, others) = match value {
                SetValue::Operand(operand) => (operand, Vec::new()),
                SetValue::Sum(left, right)
                | SetValue::Difference(left, right)
                | SetValue::Append(left, right) => (left, vec![right]),
                SetValue::Chain(first, others) => {
                    (first, others.iter().map(|(_, operand)| operand).collect())
                }
            };
            let operands = std::iter::once(first).chain(others);
            operands.flat_map(|operand| &operand.paths).for_each(&mut *visit);
        }
    }

    /// The names of the attributes in which something is changed, in the order of the text; one may come twice.
    pub fn touched_top_level(&self) -> impl Iterator<Item = &str> {
        self.actions.iter().map(|action| action.target().top_level())
    }
}
