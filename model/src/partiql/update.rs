//! What the `SET` and `REMOVE` clauses of an `UPDATE` say, in types.

use super::condition::condition_function;
use super::error::{Problem, StatementError};
use super::expression::{Expression, Node};
use super::literal::{Value, value};
use super::parser::Parsed;
use crate::expression::{ExpressionError, Path};

/// One change of one place in an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
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
    /// `SET target = set_add(target, value)`
    Add {
        /// What is changed.
        target: Path,
        /// A set, if it is no parameter.
        value: Value,
    },
    /// `SET target = set_delete(target, value)`
    Delete {
        /// What is changed.
        target: Path,
        /// A set, if it is no parameter.
        value: Value,
    },
}

/// The right side of a `SET`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SetValue {
    /// What the item has at a path.
    Path(Path),
    /// A given value.
    Value(Value),
    /// `list_append` or `if_not_exists`
    Call {
        /// Its name in the expression language.
        function: &'static str,
        /// Its arguments, at least one.
        arguments: Vec<SetValue>,
    },
    /// `+` and `-` of two or more operands that are no arithmetic themselves: what parentheses say lies in the signs.
    Arithmetic {
        /// The first operand.
        first: Box<SetValue>,
        /// The others, each with true for `+`.
        rest: Vec<(bool, SetValue)>,
    },
}

/// The function of updates with this name, in any capitals.
pub(super) fn update_function(name: &str) -> Option<&'static str> {
    let known = ["list_append", "if_not_exists"];
    known
        .into_iter()
        .find(|function| function.eq_ignore_ascii_case(name))
}

/// The change that `SET target = side` states.
///
/// # Errors
/// [`StatementError`] when the right side is none.
pub(super) fn set(text: &str, target: Path, side: Expression) -> Parsed<Change> {
    if let Node::Call { name, arguments } = &side.node {
        for (operator, adds) in [("ADD", true), ("DELETE", false)] {
            if name.eq_ignore_ascii_case(&format!("set_{operator}")) {
                let value = set_operand(text, operator, &target, &side, arguments)?;
                return Ok(if adds {
                    Change::Add { target, value }
                } else {
                    Change::Delete { target, value }
                });
            }
        }
    }
    let value = set_value(text, side, true)?;
    Ok(Change::Set { target, value })
}

/// The second argument of `set_add` or `set_delete`.
fn set_operand(
    text: &str,
    operator: &'static str,
    target: &Path,
    call: &Expression,
    arguments: &[Expression],
) -> Parsed<Value> {
    let [first, second] = arguments else {
        return Err(StatementError::new(
            text,
            call.span,
            Problem::SetArguments(operator),
        ));
    };
    if !matches!(&first.node, Node::Path(path) if path == target) {
        return Err(StatementError::new(
            text,
            first.span,
            Problem::SetTarget(operator),
        ));
    }
    let no_set = || StatementError::new(text, first.span, Problem::SetValue(operator));
    if matches!(second.node, Node::Path(_) | Node::Call { .. }) {
        return Err(no_set());
    }
    let value = value(text, second)?;
    match value.kind() {
        Some(kind) if kind.element().is_none() => Err(no_set()),
        _ => Ok(value),
    }
}

/// `left + right` or `left - right`, with the operands of both in one row.
fn arithmetic_of(left: SetValue, sum: bool, right: SetValue) -> SetValue {
    let (first, mut rest) = match left {
        SetValue::Arithmetic { first, rest } => (first, rest),
        left => (Box::new(left), Vec::new()),
    };
    match right {
        SetValue::Arithmetic { first, rest: others } => {
            rest.push((sum, *first));
            rest.extend(others.into_iter().map(|(plus, value)| (plus == sum, value)));
        }
        right => rest.push((sum, right)),
    }
    SetValue::Arithmetic { first, rest }
}

fn set_value(text: &str, side: Expression, arithmetic: bool) -> Parsed<SetValue> {
    let problem = match side.node {
        Node::Path(path) => return Ok(SetValue::Path(path)),
        Node::Binary {
            operator,
            left,
            right,
        } if arithmetic && matches!(&*operator, "+" | "-") => {
            let (left, right) = (set_value(text, *left, true)?, set_value(text, *right, true)?);
            return Ok(arithmetic_of(left, operator == "+", right));
        }
        Node::Binary { operator, .. } => Problem::UpdateOperator(operator),
        Node::Call { name, arguments } => match update_function(&name) {
            Some(operator) if arguments.is_empty() => Problem::OperandCount {
                operator: operator.to_owned(),
                count: 0,
            },
            Some(function) => {
                let arguments = arguments
                    .into_iter()
                    .map(|argument| set_value(text, argument, false));
                let arguments = arguments.collect::<Parsed<_>>()?;
                return Ok(SetValue::Call { function, arguments });
            }
            None => match condition_function(&name) {
                Some(function) => ExpressionError::NotInUpdate { function }.into(),
                None => Problem::Function(name),
            },
        },
        Node::Negative(_) => Problem::OperandCount {
            operator: "-".to_owned(),
            count: 1,
        },
        Node::Missing => Problem::Missing,
        Node::All(_) => Problem::UpdateOperator("and".to_owned()),
        Node::Any(_) => Problem::UpdateOperator("or".to_owned()),
        Node::Not(_) => Problem::UpdateOperator("not".to_owned()),
        Node::In { .. } => Problem::UpdateOperator("in".to_owned()),
        Node::Between { .. } => Problem::UpdateOperator("between".to_owned()),
        Node::Is { .. } => Problem::IsInUpdate,
        _ => return Ok(SetValue::Value(value(text, &side)?)),
    };
    Err(StatementError::new(text, side.span, problem))
}
