//! One statement of a policy, and whether it is about a request.
//!
//! Invariant: everything that can be read before a request is there has been read; a statement only compares.

use super::condition::Condition;
use super::document::Effect;
use super::error::Position;
use super::pattern::{Case, Pattern};
use super::principal::{Principals, Reach};
use super::request::Scope;

/// One statement.
#[derive(Debug, Clone)]
pub struct Statement {
    pub(super) sid: Option<Box<str>>,
    pub(super) effect: Effect,
    pub(super) principals: Option<Principals>,
    pub(super) actions: Selection,
    /// `None`: trust policies, which are about the role that they belong to.
    pub(super) resources: Option<Selection>,
    pub(super) conditions: Vec<Condition>,
    pub(super) begin: Position,
    pub(super) end: Position,
}

/// What is listed, or, with `Not...`, everything else.
#[derive(Debug, Clone)]
pub(super) struct Selection {
    pub(super) patterns: Vec<Pattern>,
    pub(super) negated: bool,
    pub(super) case: Case,
}

impl Selection {
    fn has(&self, text: &str, scope: &Scope<'_>) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.matches(text, self.case, scope)) != self.negated
    }
}

impl Statement {
    /// Its name, if it has one.
    pub fn sid(&self) -> Option<&str> {
        self.sid.as_deref()
    }

    /// What it says of the requests that it is about.
    pub fn effect(&self) -> Effect {
        self.effect
    }

    /// Where its text begins and ends in the document.
    pub fn place(&self) -> (Position, Position) {
        (self.begin, self.end)
    }

    /// The keys that its conditions and resources ask for, in lower case; one may come twice.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        let resources = self.resources.iter().flat_map(|selection| &selection.patterns);
        let conditions = self.conditions.iter();
        let of_operands = conditions.clone().flat_map(Condition::patterns);
        let variables = resources.chain(of_operands).flat_map(Pattern::keys);
        conditions.map(Condition::key).chain(variables)
    }

    /// How the statement reaches the principal of a request; `None` when it is not about the request. A statement
    /// without principals is about whoever its policy belongs to.
    pub(super) fn reach(&self, scope: &Scope<'_>) -> Option<Reach> {
        if !self.actions.has(scope.request.action, scope) {
            return None;
        }
        let resources = self.resources.as_ref();
        if resources.is_some_and(|resources| !resources.has(scope.request.resource, scope)) {
            return None;
        }
        let reach = match &self.principals {
            None => Reach::Itself,
            Some(principals) => principals.reach(scope.principal, self.effect)?,
        };
        let mut conditions = self.conditions.iter();
        conditions
            .all(|condition| condition.holds(scope, self.effect))
            .then_some(reach)
    }
}
