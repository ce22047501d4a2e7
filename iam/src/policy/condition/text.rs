//! Conditions on texts: equal, equal but for case, like.

use super::super::error::Problem;
use super::super::pattern::{Case, Pattern};
use super::super::request::Scope;
use super::super::variable::Syntax;
use super::operator::each;

/// The texts that a value may be.
#[derive(Debug, Clone)]
pub(super) struct Operands {
    patterns: Vec<Pattern>,
    case: Case,
}

impl Operands {
    /// Reads the texts of a policy.
    ///
    /// # Errors
    /// The index of a text with a variable that is none.
    pub(super) fn parse(
        operands: &[&str],
        syntax: Syntax,
        ignores_case: bool,
    ) -> Result<Self, (usize, Option<Problem>)> {
        let case = if ignores_case { Case::Ignored } else { Case::Exact };
        let patterns = each(operands, |text| Pattern::parse(text, syntax).map_err(Some))?;
        Ok(Self { patterns, case })
    }

    /// The texts.
    pub(super) fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether a text is one of them.
    pub(super) fn fit(&self, text: &str, scope: &Scope<'_>) -> bool {
        let mut patterns = self.patterns.iter();
        patterns.any(|pattern| pattern.matches(text, self.case, scope))
    }
}
