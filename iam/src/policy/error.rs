//! Why a policy document is refused: what is wrong with it, and where.
//!
//! Sentences are those that IAM answers `MalformedPolicyDocument` with, where AWS documents them or users quote them;
//! what AWS leaves at "Syntax errors in policy." is told more exactly here. Which exception carries them is the
//! caller's affair.

use std::fmt;

/// A place in a document, as editors count it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Position {
    /// Counted from 1.
    pub line: usize,
    /// In bytes, counted from 1.
    pub column: usize,
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}", self.line, self.column)
    }
}

/// A document that is no policy of the wanted kind. `Display` gives sentence and place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{problem} ({position})")]
pub struct DocumentError {
    /// Where the problem is.
    pub position: Position,
    /// What it is.
    pub problem: Problem,
}

/// What is wrong with a document. `Display` gives the sentence without a place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// Not JSON, or the same member twice.
    #[error("The policy is not in the valid JSON format: {0}.")]
    Json(String),
    /// JSON of another shape than the grammar of policies has.
    #[error("Syntax errors in policy: {0}.")]
    Syntax(String),
    /// A version that is none.
    #[error("Policy document must be version 2012-10-17 or greater.")]
    Version,
    /// A `Sid` with other characters.
    #[error(
        "Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*"
    )]
    Sid,
    /// One `Sid` twice.
    #[error("Statement IDs (SID) in a single policy must be unique.")]
    SidTwice,
    /// Neither `Action` nor `NotAction`, or an empty list.
    #[error("Policy statement must contain actions.")]
    NoActions,
    /// Neither `Resource` nor `NotResource`, or an empty list.
    #[error("Policy statement must contain resources.")]
    NoResources,
    /// A resource policy without `Principal`.
    #[error("Policy statement must contain a principal.")]
    NoPrincipal,
    /// An identity policy with `Principal`.
    #[error("Policy document should not specify a principal.")]
    PrincipalForbidden,
    /// A member that this kind of policy has not.
    #[error("Has prohibited field {0}")]
    Prohibited(&'static str),
    /// An action or a condition key without a service before it.
    #[error("Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.")]
    NoVendor,
    /// A service with wildcards or other characters.
    #[error("Vendor {0} is not valid")]
    Vendor(String),
    /// The part behind the service has other characters than letters, digits and wildcards.
    #[error("Action {0} is not valid")]
    Action(String),
    /// A resource that is no ARN.
    #[error("Resource {0} must be in ARN format or \"*\".")]
    NoArn(String),
    /// The second part of an ARN.
    #[error("Partition \"{partition}\" is not valid for resource \"{resource}\".")]
    Partition {
        /// The part.
        partition: String,
        /// The whole resource.
        resource: String,
    },
    /// A principal that is nobody.
    #[error("Invalid principal in policy: \"{kind}\":\"{value}\"")]
    Principal {
        /// `AWS`, `Service`, `Federated` or `CanonicalUser`.
        kind: String,
        /// What was given.
        value: String,
    },
    /// An operator that there is not.
    #[error("Invalid Condition type : {0}.")]
    Operator(String),
    /// A value that the operator cannot compare with.
    #[error("Value {value} is not valid for the condition operator {operator}.")]
    Operand {
        /// The operator as written.
        operator: String,
        /// The value as written.
        value: String,
    },
    /// `${` without end, or without a name.
    #[error("The policy variable in {0} is not valid.")]
    Variable(String),
}
