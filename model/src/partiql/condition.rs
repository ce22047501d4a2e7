//! What a `WHERE` clause says, in types.
//!
//! Invariant: what is a [`Condition`] here has a counterpart in the expression language; whether operands fit their operators
//! is checked there.

use super::error::{Problem, StatementError};
use super::expression::{Expression, Node};
use super::lexer::Span;
use super::literal::{Value, value};
use super::parser::Parsed;
use super::update::update_function;
use crate::attribute::Kind;
use crate::expression::condition::Comparator;
use crate::expression::{ExpressionError, Path};

/// A condition on an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// `AND`: true when all are.
    All(Vec<Condition>),
    /// `OR`: true when one is.
    Any(Vec<Condition>),
    /// `NOT`
    Not(Box<Condition>),
    /// `=`, `<>`, `<`, `<=`, `>`, `>=`
    Compare {
        /// How the operands are to stand to each other.
        comparator: Comparator,
        /// The operand before the comparator.
        left: Operand,
        /// The operand after it.
        right: Operand,
    },
    /// `BETWEEN`, with both bounds included.
    Between {
        /// What is compared.
        operand: Operand,
        /// Lower bound.
        lower: Operand,
        /// Upper bound.
        upper: Operand,
    },
    /// `IN`
    In {
        /// What is compared.
        operand: Operand,
        /// What it may be equal to; at least one.
        candidates: Vec<Operand>,
    },
    /// `IS MISSING`
    Missing(Path),
    /// `IS` with the name of a type.
    Is {
        /// What is looked at.
        operand: Operand,
        /// The type it is to have.
        kind: Kind,
    },
    /// A function of the expression language that is a condition by itself.
    Call {
        /// Its name there.
        function: &'static str,
        /// Its arguments, at least one.
        arguments: Vec<Operand>,
    },
}

impl Condition {
    /// The condition that an attribute is there, or that it is not.
    pub fn presence(attribute: &str, present: bool) -> Self {
        let path = Path::attribute(attribute);
        if present {
            Self::Call {
                function: ATTRIBUTE_EXISTS,
                arguments: vec![Operand::Path(path)],
            }
        } else {
            Self::Missing(path)
        }
    }

    /// The conditions of which this one says that all hold.
    pub fn into_conjuncts(self) -> Vec<Self> {
        match self {
            Self::All(members) => members.into_iter().flat_map(Self::into_conjuncts).collect(),
            other => vec![other],
        }
    }

    /// The attribute of which this condition says that it is equal to a value, and no more.
    pub fn equality(&self) -> Option<(&str, &Value)> {
        match self {
            Self::Compare {
                comparator: Comparator::Equal,
                left: Operand::Path(path),
                right: Operand::Value(value),
            }
            | Self::Compare {
                comparator: Comparator::Equal,
                left: Operand::Value(value),
                right: Operand::Path(path),
            } if path.is_attribute() => Some((path.top_level(), value)),
            _ => None,
        }
    }
}

/// Something that has a value once there is an item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operand {
    /// What the item has at a path.
    Path(Path),
    /// A given value.
    Value(Value),
    /// `size`
    Size(Box<Operand>),
}

const ATTRIBUTE_EXISTS: &str = "attribute_exists";

const SIZE: &str = "size";

/// The functions of conditions; all but `size` are conditions themselves.
const FUNCTIONS: [&str; 6] = [
    ATTRIBUTE_EXISTS,
    "attribute_not_exists",
    "attribute_type",
    "begins_with",
    "contains",
    SIZE,
];

/// The function of conditions with this name, in any capitals.
pub(super) fn condition_function(name: &str) -> Option<&'static str> {
    FUNCTIONS
        .into_iter()
        .find(|function| function.eq_ignore_ascii_case(name))
}

/// What is wrong with a function that is none of conditions.
fn unknown_function(name: String) -> Problem {
    match update_function(&name) {
        Some(function) => ExpressionError::NotInCondition { function }.into(),
        None => Problem::Function(name),
    }
}

/// The condition that an expression states.
///
/// # Errors
/// [`StatementError`] when it is none.
pub(super) fn condition(text: &str, expression: Expression) -> Parsed<Condition> {
    let error = |problem| Err(StatementError::new(text, expression.span, problem));
    let all = |members: Vec<Expression>| -> Parsed<Vec<Condition>> {
        members
            .into_iter()
            .map(|member| condition(text, member))
            .collect()
    };
    Ok(match expression.node {
        Node::All(members) => Condition::All(all(members)?),
        Node::Any(members) => Condition::Any(all(members)?),
        Node::Not(denied) => Condition::Not(Box::new(condition(text, *denied)?)),
        Node::Binary {
            operator,
            left,
            right,
        } => {
            let Some(comparator) = comparator(&operator) else {
                return error(Problem::ConditionOperator(operator));
            };
            return comparison(text, comparator, left, right);
        }
        Node::Between {
            operand: compared,
            lower,
            upper,
        } => Condition::Between {
            operand: operand(text, *compared)?,
            lower: operand(text, *lower)?,
            upper: operand(text, *upper)?,
        },
        Node::In {
            operand: compared,
            among,
        } => {
            let members = match among.node {
                Node::List(members) | Node::Bag(members) | Node::Group(members) if !members.is_empty() => {
                    members
                }
                _ => return error(Problem::In),
            };
            let candidates: Parsed<_> = members.into_iter().map(|member| operand(text, member)).collect();
            Condition::In {
                operand: operand(text, *compared)?,
                candidates: candidates?,
            }
        }
        Node::Is {
            operand: looked_at,
            kind,
        } => match (&*kind, operand(text, *looked_at)?) {
            ("MISSING", Operand::Path(path)) => Condition::Missing(path),
            ("MISSING", _) => return error(Problem::IsOperand),
            (_, operand) => match kind_named(&kind) {
                Some(kind) => Condition::Is { operand, kind },
                None => return error(Problem::IsType(kind)),
            },
        },
        Node::Call { name, arguments } => return call(text, expression.span, name, arguments),
        Node::Missing => return error(Problem::Missing),
        _ => return error(Problem::NotBoolean),
    })
}

/// The condition that two operands stand to each other in some way.
fn comparison(
    text: &str,
    comparator: Comparator,
    left: Box<Expression>,
    right: Box<Expression>,
) -> Parsed<Condition> {
    // `begins_with(a, 'x') = true` is a longer way to say `begins_with(a, 'x')`.
    match truth(comparator, left, right) {
        Ok((call, true)) => condition(text, *call),
        Ok((call, false)) => Ok(Condition::Not(Box::new(condition(text, *call)?))),
        Err((left, right)) => Ok(Condition::Compare {
            comparator,
            left: operand(text, *left)?,
            right: operand(text, *right)?,
        }),
    }
}

/// Both sides of a comparison.
type Sides = (Box<Expression>, Box<Expression>);

/// A call of a function that is a condition and is compared with `true` or `false`, and what it is to come to; the operands
/// as they are for any other comparison.
fn truth(
    comparator: Comparator,
    left: Box<Expression>,
    right: Box<Expression>,
) -> Result<(Box<Expression>, bool), Sides> {
    let is_condition = |side: &Expression| match &side.node {
        Node::Call { name, .. } => condition_function(name).is_some_and(|function| function != SIZE),
        _ => false,
    };
    let equal = match comparator {
        Comparator::Equal => true,
        Comparator::NotEqual => false,
        _ => return Err((left, right)),
    };
    match (&left.node, &right.node) {
        (_, Node::Bool(truth)) if is_condition(&left) => {
            let truth = *truth == equal;
            Ok((left, truth))
        }
        (Node::Bool(truth), _) if is_condition(&right) => {
            let truth = *truth == equal;
            Ok((right, truth))
        }
        _ => Err((left, right)),
    }
}

/// The condition that a call of a function is.
fn call(text: &str, span: Span, name: String, arguments: Vec<Expression>) -> Parsed<Condition> {
    let problem = match condition_function(&name) {
        None => unknown_function(name),
        Some(SIZE) => Problem::NotBoolean,
        Some(operator) if arguments.is_empty() => Problem::OperandCount {
            operator: operator.to_owned(),
            count: 0,
        },
        Some(function) => {
            let arguments = arguments.into_iter().map(|argument| operand(text, argument));
            let arguments = arguments.collect::<Parsed<_>>()?;
            return Ok(Condition::Call { function, arguments });
        }
    };
    Err(StatementError::new(text, span, problem))
}

fn comparator(operator: &str) -> Option<Comparator> {
    [
        Comparator::Equal,
        Comparator::NotEqual,
        Comparator::Less,
        Comparator::LessOrEqual,
        Comparator::Greater,
        Comparator::GreaterOrEqual,
    ]
    .into_iter()
    .find(|comparator| comparator.symbol() == operator)
}

/// The types that `IS` may name.
fn kind_named(name: &str) -> Option<Kind> {
    Some(match name {
        "NULL" => Kind::Null,
        "BOOLEAN" => Kind::Bool,
        "BLOB" => Kind::Binary,
        "STRING" => Kind::String,
        "NUMERIC" => Kind::Number,
        "STRUCT" | "TUPLE" => Kind::Map,
        "LIST" => Kind::List,
        _ => return None,
    })
}

fn operand(text: &str, expression: Expression) -> Parsed<Operand> {
    let problem = match expression.node {
        Node::Path(path) => return Ok(Operand::Path(path)),
        Node::Call { name, mut arguments } if name.eq_ignore_ascii_case(SIZE) => {
            if arguments.len() == 1 {
                return Ok(Operand::Size(Box::new(operand(text, arguments.remove(0))?)));
            }
            Problem::OperandCount {
                operator: SIZE.to_owned(),
                count: arguments.len(),
            }
        }
        Node::Call { name, .. } => match condition_function(&name) {
            Some(function) => ExpressionError::MisplacedFunction { function }.into(),
            None => unknown_function(name),
        },
        Node::Missing => Problem::Missing,
        Node::Negative(_) => Problem::OperandCount {
            operator: "-".to_owned(),
            count: 1,
        },
        Node::Binary { operator, .. } => Problem::ConditionOperator(operator),
        Node::All(_) | Node::Any(_) | Node::Not(_) => Problem::NotBoolean,
        Node::In { .. } => Problem::ConditionOperator("in".to_owned()),
        Node::Between { .. } => Problem::ConditionOperator("between".to_owned()),
        Node::Is { .. } => Problem::ConditionOperator("is".to_owned()),
        _ => return Ok(Operand::Value(value(text, &expression)?)),
    };
    Err(StatementError::new(text, expression.span, problem))
}
