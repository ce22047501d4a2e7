//! Why an expression is refused, in DynamoDB's words: the one table of sentences of this room.
//!
//! Invariant: `Display` is the sentence that a client sees, without the "Invalid UpdateExpression: " in front of it;
//! [`ExpressionError::is_syntactic`] says whether that prefix belongs there. The server chooses the prefix, since only it
//! knows which parameter of which operation held the text.
//!
//! Sources: the wording of DynamoDB and of DynamoDB Local as their clients see it; the limits are those of the Amazon
//! DynamoDB Developer Guide, "Quotas: expression parameters".

use crate::number::NumberError;

/// Names of the types that `attribute_type` takes, in the order in which DynamoDB lists them.
pub(super) const TYPE_NAMES: &str = "{B,NULL,SS,BOOL,L,BS,N,NS,S,M}";

/// Why an expression, or the placeholders given with it, is refused before any item is read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is empty.
    #[error("The expression can not be empty;")]
    Empty,
    /// The text is longer than 4,096 bytes, or than 1 MB with what its placeholders stand for.
    #[error("Expression size has exceeded the maximum allowed size; expression size: {size}")]
    TooLong {
        /// Length in bytes.
        size: usize,
    },
    /// The text of an update or projection is longer than 4,096 bytes: DynamoDB does not say how long it is.
    ///
    /// Source: the service's answers in aws/aws-sdk-java-v2 issue 4597 and awslabs/aws-athena-query-federation issue 388.
    #[error("Expression size has exceeded the maximum allowed size;")]
    TextTooLong,
    /// The text does not follow the grammar.
    #[error("Syntax error; token: \"{token}\", near: \"{near}\"")]
    Syntax {
        /// The token that does not fit.
        token: String,
        /// It with its neighbours on both sides.
        near: String,
    },
    /// Parentheses directly within parentheses.
    #[error("The expression has redundant parentheses;")]
    RedundantParentheses,
    /// More than 300 operators and functions.
    #[error("The expression contains too many operators; operator count: {count}")]
    TooManyOperators {
        /// Where counting stopped.
        count: usize,
    },
    /// More than 100 values for `IN`.
    #[error("The IN operator is provided with too many operands; number of operands: {count}")]
    TooManyInOperands {
        /// How many there were.
        count: usize,
    },
    /// A path of more than 32 elements.
    #[error("The document path has too many nesting levels; nesting levels: {levels}")]
    PathTooDeep {
        /// How many there were.
        levels: usize,
    },
    /// A list index that no list can have.
    #[error("List index is not within the allowable range; index: [{index}]")]
    IndexOutOfRange {
        /// The index as written.
        index: String,
    },
    /// A reserved word as an attribute name.
    #[error("Attribute name is a reserved keyword; reserved keyword: {name}")]
    ReservedWord {
        /// The name as written.
        name: String,
    },
    /// A `#name` that is not among the given ones.
    #[error(
        "An expression attribute name used in the document path is not defined; attribute name: {placeholder}"
    )]
    UndefinedName {
        /// The placeholder, with its `#`.
        placeholder: String,
    },
    /// A `:value` that is not among the given ones.
    #[error(
        "An expression attribute value used in expression is not defined; attribute value: {placeholder}"
    )]
    UndefinedValue {
        /// The placeholder, with its `:`.
        placeholder: String,
    },
    /// A function that does not exist.
    #[error("Invalid function name; function: {name}")]
    UnknownFunction {
        /// The name as written.
        name: String,
    },
    /// A function of update expressions in a condition.
    #[error("The function is not allowed in a condition expression; function: {function}")]
    NotInCondition {
        /// The function.
        function: &'static str,
    },
    /// A function of conditions in an update expression.
    #[error("The function is not allowed in an update expression; function: {function}")]
    NotInUpdate {
        /// The function.
        function: &'static str,
    },
    /// A condition where a value is wanted, or the reverse.
    #[error("The function is not allowed to be used this way in an expression; function: {function}")]
    MisplacedFunction {
        /// The function.
        function: &'static str,
    },
    /// Too few or too many arguments.
    #[error(
        "Incorrect number of operands for operator or function; operator or function: {operator}, number of operands: {count}"
    )]
    OperandCount {
        /// The function.
        operator: &'static str,
        /// How many arguments it was given.
        count: usize,
    },
    /// A value or a function result where only an attribute makes sense.
    #[error("Operator or function requires a document path; operator or function: {operator}")]
    PathRequired {
        /// The function.
        operator: &'static str,
    },
    /// One path on both sides of an operator.
    #[error(
        "The first operand must be distinct from the remaining operands for this operator or function; operator: {operator}, first operand: {operand}"
    )]
    SameOperand {
        /// The operator or function.
        operator: &'static str,
        /// The path.
        operand: String,
    },
    /// A value of a type with which the operator never works.
    #[error(
        "Incorrect operand type for operator or function; operator or function: {operator}, operand type: {kind}"
    )]
    OperandType {
        /// The operator or function.
        operator: &'static str,
        /// Descriptor of the type.
        kind: &'static str,
    },
    /// A value of a type that `ADD` or `DELETE` does not take.
    #[error(
        "Incorrect operand type for operator or function; operator: {clause}, operand type: {kind}, typeSet: ALLOWED_FOR_{clause}_OPERAND"
    )]
    ClauseOperandType {
        /// `ADD` or `DELETE`.
        clause: &'static str,
        /// Name of the type in capitals.
        kind: &'static str,
    },
    /// `attribute_type` with something that is not the name of a type.
    #[error("Invalid attribute type name found; type: {name}, valid types: {TYPE_NAMES}")]
    UnknownTypeName {
        /// The text given.
        name: String,
    },
    /// `BETWEEN` with bounds of two types.
    #[error(
        "The BETWEEN operator requires same data type for lower and upper bounds; lower bound operand: AttributeValue: {lower}, upper bound operand: AttributeValue: {upper}"
    )]
    BoundTypesDiffer {
        /// The lower bound.
        lower: String,
        /// The upper bound.
        upper: String,
    },
    /// `BETWEEN` with the greater bound first.
    #[error(
        "The BETWEEN operator requires upper bound to be greater than or equal to lower bound; lower bound operand: AttributeValue: {lower}, upper bound operand: AttributeValue: {upper}"
    )]
    BoundsInverted {
        /// The lower bound.
        lower: String,
        /// The upper bound.
        upper: String,
    },
    /// A clause of an update expression that comes twice.
    #[error("The \"{clause}\" section can only be used once in an update expression;")]
    ClauseRepeated {
        /// `SET`, `REMOVE`, `ADD` or `DELETE`.
        clause: &'static str,
    },
    /// Two paths of which one contains the other.
    #[error(
        "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
    )]
    PathsOverlap {
        /// The path that came first.
        one: String,
        /// The later one.
        two: String,
    },
    /// Two paths of which one takes for a list what the other takes for a map.
    #[error(
        "Two document paths conflict with each other; must remove or rewrite one of these paths; path one: {one}, path two: {two}"
    )]
    PathsConflict {
        /// The path that came first.
        one: String,
        /// The later one.
        two: String,
    },
    /// A key of `ExpressionAttributeNames` or `ExpressionAttributeValues` is not a placeholder.
    #[error("{parameter} contains invalid key: Syntax error; key: \"{key}\"")]
    PlaceholderSyntax {
        /// The parameter.
        parameter: &'static str,
        /// The key as given.
        key: String,
    },
    /// A key of `ExpressionAttributeNames` or `ExpressionAttributeValues` is empty.
    #[error("{parameter} contains invalid key: The expression attribute map contains an empty key;")]
    PlaceholderEmpty {
        /// The parameter.
        parameter: &'static str,
    },
    /// A key of `ExpressionAttributeNames` or `ExpressionAttributeValues` is longer than 255 bytes.
    #[error(
        "{parameter} contains invalid key: The expression attribute map contains a key that is too long; size of key: {size}"
    )]
    PlaceholderTooLong {
        /// The parameter.
        parameter: &'static str,
        /// Length of the key in bytes.
        size: usize,
    },
    /// Names or values with their placeholders, or all of them together, have more than 2 MB.
    #[error("{parameters} exceeds max size")]
    VariablesTooLarge {
        /// The parameters.
        parameters: &'static str,
    },
    /// A placeholder stands for an empty name.
    #[error("ExpressionAttributeNames contains invalid value: Empty attribute name for key {placeholder}")]
    EmptyName {
        /// The placeholder, with its `#`.
        placeholder: String,
    },
    /// Placeholders that no expression uses.
    #[error("Value provided in {parameter} unused in expressions: keys: {{{keys}}}")]
    UnusedPlaceholders {
        /// The parameter.
        parameter: &'static str,
        /// The placeholders, separated by commas.
        keys: String,
    },
    /// An operator or function that does not select by key.
    #[error("Invalid operator used in KeyConditionExpression: {operator}")]
    KeyOperator {
        /// The operator or function.
        operator: &'static str,
    },
    /// A function within a key condition.
    #[error("KeyConditionExpressions cannot contain nested operations")]
    KeyNestedOperation,
    /// Two attributes in one comparison.
    #[error("Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition")]
    KeyManyNames,
    /// A comparison between values only.
    #[error("Invalid condition in KeyConditionExpression: No key attribute specified")]
    KeyNoName,
    /// A value where the key attribute belongs.
    #[error(
        "Invalid condition in KeyConditionExpression: {operator} operator must have the key attribute as its first operand"
    )]
    KeyNotFirst {
        /// The operator or function.
        operator: &'static str,
    },
    /// A path into an attribute.
    ///
    /// Source: the service's answers in ExtendDB/extenddb pull request 195, with the name of the parameter in front.
    #[error("KeyConditionExpressions cannot have conditions on nested attributes")]
    KeyNested,
    /// Two conditions on one attribute.
    #[error("KeyConditionExpressions must only contain one condition per key")]
    KeyRepeated,
    /// Three conditions or more.
    #[error("Conditions can be of length 1 or 2 only")]
    KeyTooManyConditions,
    /// A key attribute that has no condition.
    #[error("Query condition missed key schema element: {name}")]
    KeyMissing {
        /// The attribute.
        name: String,
    },
    /// Anything but equality for the partition key, or a condition on an attribute that is not in the key.
    #[error("Query key condition not supported")]
    KeyNotSupported,
    /// A value whose type is not that of the key attribute.
    #[error("One or more parameter values were invalid: Condition parameter type does not match schema type")]
    KeyType,
    /// An empty value for a key attribute.
    #[error(
        "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty {kind} value. Key: {name}"
    )]
    KeyEmpty {
        /// `string` or `binary`.
        kind: &'static str,
        /// The attribute.
        name: String,
    },
}

impl ExpressionError {
    /// The same for a text of which DynamoDB does not say how long it is.
    pub(super) fn without_size(self) -> Self {
        match self {
            Self::TooLong { .. } => Self::TextTooLong,
            error => error,
        }
    }

    /// True when DynamoDB puts `Invalid <parameter>: ` in front of the sentence.
    pub const fn is_syntactic(&self) -> bool {
        !matches!(
            self,
            Self::PlaceholderSyntax { .. }
                | Self::PlaceholderEmpty { .. }
                | Self::PlaceholderTooLong { .. }
                | Self::VariablesTooLarge { .. }
                | Self::EmptyName { .. }
                | Self::UnusedPlaceholders { .. }
                | Self::KeyOperator { .. }
                | Self::KeyNestedOperation
                | Self::KeyManyNames
                | Self::KeyNoName
                | Self::KeyNotFirst { .. }
                | Self::KeyRepeated
                | Self::KeyTooManyConditions
                | Self::KeyMissing { .. }
                | Self::KeyNotSupported
                | Self::KeyType
                | Self::KeyEmpty { .. }
        )
    }
}

/// Why an update does not fit the item that it meets. None of these has a prefix.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UpdateError {
    /// A path leads through something that is absent, or that is neither the map nor the list it is taken for.
    #[error("The document path provided in the update expression is invalid for update")]
    InvalidPath,
    /// An operand read from the item does not exist.
    #[error("The provided expression refers to an attribute that does not exist in the item")]
    MissingAttribute,
    /// An operand read from the item has a type with which the operator does not work.
    #[error("An operand in the update expression has an incorrect data type")]
    OperandType,
    /// The result would be nested deeper than 32 levels.
    #[error(
        "Nesting Levels have exceeded supported limits: Attributes in the item have nested levels beyond supported limit"
    )]
    TooDeep,
    /// A sum or difference is not a number that DynamoDB stores.
    #[error(transparent)]
    Number(#[from] NumberError),
}
