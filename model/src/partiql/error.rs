//! What can be wrong with a statement, in DynamoDB's sentences.

use std::fmt;

use super::lexer::Span;
use crate::expression::ExpressionError;
use crate::number::NumberError;

/// Why a text is no statement that can be carried out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatementError {
    problem: Box<Problem>,
    /// Nothing for a problem of no part of the text.
    place: Option<Place>,
    position: usize,
}

/// Where something stands in a statement, as messages show it: line and column from 1 on, and how many characters it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Line, from 1 on.
    pub line: usize,
    /// Column in characters, from 1 on.
    pub column: usize,
    /// Length in characters.
    pub length: usize,
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[expect(missing_docs, reason = "the sentences say what each is")]
pub enum Problem {
    #[error("Statement wasn't well formed, can't be processed: {0}")]
    Malformed(String),
    #[error("Unsupported operation: {0}")]
    Operation(&'static str),
    #[error("Only one operation is allowed in a statement.")]
    ManyOperations,
    #[error("Unsupported clause: {0}")]
    Clause(&'static str),
    #[error("Unsupported token in expression: {0}")]
    Token(String),
    #[error("Aliasing is not supported")]
    Alias,
    #[error("Select projection doesn't support value or pivot keywords")]
    SelectValue,
    #[error("Changing item's hierarchy while reading isn't supported")]
    Hierarchy,
    #[error("Unexpected path component")]
    PathComponent,
    #[error("A path may contain at most 2 components in the FROM clause")]
    SourcePath,
    #[error("Unexpected from source")]
    Source,
    #[error("Only select from a single table or index is supported.")]
    ManySources,
    #[error("This operation is not supported on an index")]
    OnIndex,
    #[error("Duplicate identifiers in select clause: {0}")]
    DuplicateName(String),
    #[error("List index is not within the allowable range; index: [{0}]")]
    ListIndex(String),
    #[error("Path component cannot be an empty string")]
    EmptyName,
    #[error(
        "Unsupported format in item expression. Please use struct format {{...}} to express item values for insert statement."
    )]
    ItemFormat,
    #[error("Tuple keys must be of type String. Actual type: {kind} under {under}")]
    TupleKey { kind: &'static str, under: String },
    #[error("Duplicate keys in tuple. Key: {key} under {under}")]
    DuplicateKey { key: String, under: String },
    #[error("Unsupported data type: {kind} under key {under}")]
    DataType { kind: String, under: String },
    #[error("Ion Literals are not supported: {kind} under key {under}")]
    Ion { kind: &'static str, under: String },
    #[error("Empty bags are not supported")]
    EmptyBag,
    #[error("Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags")]
    BagType,
    #[error(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )]
    TooDeep,
    #[error("Input collection contains duplicates")]
    DuplicateElements,
    #[error("RETURNING is not supported in INSERT")]
    ReturningInInsert,
    #[error(
        "Invalid returning clause: RETURNING {0}. Only RETURNING ALL OLD * is allowed in DELETE statements."
    )]
    ReturningInDelete(&'static str),
    #[error("Expected '*' after ( MODIFIED | ALL ) ( NEW | OLD ) in RETURNING clause")]
    ReturningStar,
    #[error("Invalid syntax with multiple returning elements in RETURNING clause")]
    ManyReturning,
    #[error("WHERE clause must contain an expression that resolves to a boolean")]
    NotBoolean,
    #[error("Unsupported operator in Condition Expression. Operator: {0}")]
    ConditionOperator(String),
    #[error("Unsupported operator in Update Expression. Operator: {0}")]
    UpdateOperator(String),
    #[error("MISSING must be compared using IS operator")]
    Missing,
    #[error(
        "IN operator must have a left hand argument of type Variable Reference and right hand argument of type Seq with at least one member"
    )]
    In,
    #[error("The left hand side argument to IS must be a Variable Reference, Literal, or Path")]
    IsOperand,
    #[error(
        "Unsupported data type for IS operator: {0}. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, STRING, NUMERIC, STRUCT, TUPLE, LIST]"
    )]
    IsType(String),
    #[error("IS operator is not supported in update expressions")]
    IsInUpdate,
    #[error("Unrecognized function: {0}")]
    Function(String),
    #[error("The first argument to SET_{0} must equal the assignment value")]
    SetTarget(&'static str),
    #[error("The second argument to SET_{0} must be a value with type SET")]
    SetValue(&'static str),
    #[error("SET_{0} must have exactly two arguments")]
    SetArguments(&'static str),
    #[error(
        "Incorrect number of operands for operator or function; operator or function: {operator}, number of operands: {count}"
    )]
    OperandCount { operator: String, count: usize },
    #[error("Argument to ORDER BY must be of type VariableReference. Type: {0}")]
    OrderArgument(&'static str),
    #[error("Number of parameters in request and statement don't match.")]
    Parameters,
    #[error(transparent)]
    Number(#[from] NumberError),
    #[error(transparent)]
    Expression(#[from] ExpressionError),
}

impl Problem {
    /// Whether the sentence ends with the place.
    fn shows_place(&self) -> bool {
        matches!(
            self,
            Self::PathComponent
                | Self::ListIndex(_)
                | Self::ItemFormat
                | Self::TupleKey { .. }
                | Self::DuplicateKey { .. }
                | Self::DataType { .. }
                | Self::Ion { .. }
                | Self::EmptyBag
                | Self::SetValue(_)
                | Self::SetArguments(_)
        ) || matches!(self, Self::Clause("LIMIT" | "OFFSET" | "HAVING"))
            || matches!(self, Self::Token(word) if word == "SELECT")
    }
}

impl StatementError {
    /// A problem of a part of `text`.
    pub(super) fn new(text: &str, span: Span, problem: impl Into<Problem>) -> Self {
        Self {
            problem: Box::new(problem.into()),
            place: Some(Place::of(text, span)),
            position: span.start,
        }
    }

    /// A problem that has no place of its own in the text.
    pub(super) fn of_whole(problem: impl Into<Problem>) -> Self {
        Self {
            problem: Box::new(problem.into()),
            place: None,
            position: 0,
        }
    }

    /// What is wrong.
    pub const fn problem(&self) -> &Problem {
        &self.problem
    }

    /// Where in the text, in bytes.
    pub const fn position(&self) -> usize {
        self.position
    }
}

impl fmt::Display for StatementError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.problem)?;
        match self.place {
            Some(Place { line, column, length }) if self.problem.shows_place() => {
                write!(f, " at {line}:{column}:{length}")
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for StatementError {}

impl Place {
    fn of(text: &str, span: Span) -> Self {
        let before = &text[..span.start];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        Self {
            line: 1 + before.bytes().filter(|byte| *byte == b'\n').count(),
            column: 1 + before[line_start..].chars().count(),
            length: text[span.start..span.end].chars().count(),
        }
    }
}
