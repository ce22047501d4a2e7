//! The IAM policy language: documents of version 2012-10-17 (and 2008-10-17, which has no variables), compiled once and
//! evaluated for each request.
//!
//! The way in is [`Policy::parse`], when a document is put, and [`decide`], when a request is made. A [`Policy`] is
//! shared (`Arc`) by everybody whom it is attached to and never changes. Who has which policies is said by
//! the directory as [`PrincipalPolicies`]; what a request has for the keys of conditions is asked of its [`ContextKeys`].
//!
//! Source: IAM User Guide, "IAM JSON policy reference" and "Policy evaluation logic".

mod condition;
mod document;
mod error;
mod evaluate;
mod json;
mod pattern;
mod principal;
mod principal_policies;
mod rename;
mod request;
mod statement;
mod variable;

pub use document::{DocumentKind, Effect};
pub use error::{DocumentError, Position, Problem};
pub use evaluate::{Decision, Denial, PolicyType, Verdict, decide, decide_trust};
pub use principal_policies::{PrincipalKind, PrincipalPolicies};
pub use rename::rename_principals;
pub use request::{ContextKeys, Request, Value, Values};
pub use statement::Statement;

use request::Scope;

/// A policy that can be evaluated.
#[derive(Debug, Clone)]
pub struct Policy {
    statements: Vec<Statement>,
    id: Option<String>,
}

impl Policy {
    /// Reads and compiles a document.
    ///
    /// # Errors
    /// [`DocumentError`], which IAM answers as `MalformedPolicyDocument`.
    pub fn parse(text: &str, kind: DocumentKind) -> Result<Self, DocumentError> {
        document::parse(text, kind)
    }

    /// The statements, in the order of the text.
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The `Id` of the document.
    pub fn id(&self) -> Option<&str> {
        self.id.as_deref()
    }

    /// The statements that are about a request, in the order of the text.
    pub fn matching<'a>(
        &'a self,
        request: &'a Request<'a>,
        principal: &'a PrincipalPolicies,
    ) -> impl Iterator<Item = &'a Statement> {
        let scope = Scope::new(request, principal);
        let statements = self.statements.iter();
        statements.filter(move |statement| statement.reach(&scope).is_some())
    }

    /// The keys that conditions and variables of the policy ask for, in lower case, each once and in order.
    pub fn context_keys(&self) -> Vec<&str> {
        let mut keys: Vec<&str> = self.statements.iter().flat_map(Statement::keys).collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}
