//! Conditions on ARNs: each of the six parts is compared for itself, so that a wildcard stays in its part.

use super::super::error::Problem;
use super::super::pattern::{Case, Pattern, Piece};
use super::super::request::Scope;
use super::super::variable::{Syntax, pieces};

/// Parts of an ARN: `arn:partition:service:region:account:resource`.
const PARTS: usize = 6;

/// An ARN with wildcards and variables.
#[derive(Debug, Clone)]
pub(super) struct ArnPattern {
    /// Six parts, or one when the pattern is no ARN, such as `*`, and is compared as a whole.
    parts: Vec<Pattern>,
}

impl ArnPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Problem::Variable`].
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, Problem> {
        let whole = pieces(text, syntax)?;
        let mut parts = vec![Vec::new()];
        for piece in whole.clone() {
            split(piece, &mut parts);
        }
        let parts = if parts.len() == PARTS { parts } else { vec![whole] };
        Ok(Self {
            parts: parts.into_iter().map(Pattern::of).collect(),
        })
    }

    /// What its parts are compared with.
    pub(super) fn parts(&self) -> &[Pattern] {
        &self.parts
    }

    /// Whether an ARN is one of those that the pattern stands for.
    pub(super) fn matches(&self, arn: &str, scope: &Scope<'_>) -> bool {
        if let [whole] = self.parts.as_slice() {
            return whole.matches(arn, Case::Exact, scope);
        }
        let mut patterns = self.parts.iter();
        let mut found = 0;
        for part in arn.splitn(PARTS, ':') {
            found += 1;
            if !patterns
                .next()
                .is_some_and(|pattern| pattern.matches(part, Case::Exact, scope))
            {
                return false;
            }
        }
        found == PARTS
    }
}

/// Adds a piece to the last part; its colons begin new parts, until there are six.
fn split(piece: Piece, parts: &mut Vec<Vec<Piece>>) {
    let literal = match piece {
        Piece::Literal(literal) => literal,
        other => return push(other, parts),
    };
    for (index, text) in literal.splitn(PARTS + 1 - parts.len(), ':').enumerate() {
        if index > 0 {
            parts.push(Vec::new());
        }
        if !text.is_empty() {
            push(Piece::Literal(text.into()), parts);
        }
    }
}

/// Adds a piece to the last part.
fn push(piece: Piece, parts: &mut [Vec<Piece>]) {
    if let Some(part) = parts.last_mut() {
        part.push(piece);
    }
}
