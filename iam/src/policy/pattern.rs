//! Texts with wildcards and variables, and whether a text is one of them.
//!
//! Invariant: what a variable stands for is taken letter by letter, so that nobody's name widens a policy. A variable
//! that has no value in a request matches nothing.

use super::error::Problem;
use super::request::Scope;
use super::variable::{Syntax, Variable, pieces};

/// A part of a pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Piece {
    /// These characters.
    Literal(Box<str>),
    /// `?`: any one character.
    One,
    /// `*`: any number of any characters.
    Run,
    /// What a request has for a key.
    Variable(Variable),
}

/// A text with wildcards and variables.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pattern(Box<[Piece]>);

/// Whether letters of different case are the same (A to Z only).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Exact,
    Ignored,
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// [`Problem::Variable`].
    pub(super) fn parse(text: &str, syntax: Syntax) -> Result<Self, Problem> {
        Ok(Self::of(pieces(text, syntax)?))
    }

    pub(super) fn of(pieces: Vec<Piece>) -> Self {
        Self(pieces.into())
    }

    /// The keys of its variables.
    pub(super) fn keys(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|piece| match piece {
            Piece::Variable(variable) => Some(&*variable.key),
            Piece::Literal(_) | Piece::One | Piece::Run => None,
        })
    }

    /// Whether a text is one of those that the pattern stands for.
    pub(super) fn matches(&self, text: &str, case: Case, scope: &Scope<'_>) -> bool {
        let pieces = &*self.0;
        let (mut piece, mut at) = (0, 0);
        // The piece behind the last run, and how far the run reaches.
        let mut run: Option<(usize, usize)> = None;
        loop {
            let length = match pieces.get(piece) {
                None if at == text.len() => return true,
                None => None,
                Some(Piece::Run) if piece + 1 == pieces.len() => return true,
                Some(Piece::Run) => {
                    run = Some((piece + 1, at));
                    Some(0)
                }
                Some(Piece::One) => text[at..].chars().next().map(char::len_utf8),
                Some(Piece::Literal(literal)) => begins(&text[at..], literal, case),
                Some(Piece::Variable(variable)) => match scope.variable(variable) {
                    None => return false,
                    Some(value) => begins(&text[at..], &value, case),
                },
            };
            if let Some(length) = length {
                piece += 1;
                at += length;
                continue;
            }
            // The last run takes one more character. An earlier one need not: what it could take, the last one can.
            let Some((behind, reach)) = run else { return false };
            let Some(next) = text[reach..].chars().next() else {
                return false;
            };
            let reach = reach + next.len_utf8();
            run = Some((behind, reach));
            (piece, at) = (behind, reach);
        }
    }
}

/// The length of `prefix` when `text` begins with it.
fn begins(text: &str, prefix: &str, case: Case) -> Option<usize> {
    let head = text.as_bytes().get(..prefix.len())?;
    let equal = match case {
        Case::Exact => head == prefix.as_bytes(),
        Case::Ignored => head.eq_ignore_ascii_case(prefix.as_bytes()),
    };
    equal.then_some(prefix.len())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{prop_assert_eq, proptest};

    use super::super::principal_policies::PrincipalPolicies;
    use super::super::request::{ContextKeys, Request, Values};
    use super::*;

    struct Nothing;

    impl ContextKeys for Nothing {
        fn values(&self, _: &str) -> Values<'_> {
            Values::Absent
        }
    }

    fn is(pattern: &str, text: &str, case: Case) -> bool {
        let syntax = Syntax {
            wildcards: true,
            variables: true,
        };
        let mut principal = PrincipalPolicies::user("123456789012", "/", "a*", "AIDA1");
        principal.tags.push(("Team".to_owned(), "red".to_owned()));
        let request = Request {
            action: "",
            resource: "",
            context: &Nothing,
        };
        let scope = Scope::new(&request, &principal);
        Pattern::parse(pattern, syntax)
            .unwrap()
            .matches(text, case, &scope)
    }

    /// The definition, followed letter by letter.
    fn oracle(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| oracle(rest, &text[skipped..])),
            Some(('?', rest)) => !text.is_empty() && oracle(rest, &text[1..]),
            Some((letter, rest)) => text.first() == Some(letter) && oracle(rest, &text[1..]),
        }
    }

    proptest! {
        #[test]
        fn wildcards_are_what_their_definition_says(pattern in "[ab*?é]{0,8}", text in "[abé]{0,10}") {
            let (letters, chars): (Vec<_>, Vec<_>) = (pattern.chars().collect(), text.chars().collect());
            prop_assert_eq!(is(&pattern, &text, Case::Exact), oracle(&letters, &chars));
        }
    }

    #[test]
    fn case_counts_where_it_is_to() {
        assert!(is("dynamodb:get*", "dynamodb:GetItem", Case::Ignored));
        assert!(!is("dynamodb:get*", "dynamodb:GetItem", Case::Exact));
        assert!(!is("É", "é", Case::Ignored));
    }

    #[test]
    fn values_of_variables_are_letters() {
        assert!(is("x/${aws:username}/*", "x/a*/b", Case::Exact));
        assert!(!is("x/${aws:username}", "x/ab", Case::Exact));
        assert!(is("${aws:PrincipalTag/TEAM}", "red", Case::Exact));
        assert!(!is("*${aws:PrincipalTag/none}", "red", Case::Exact));
        assert!(is("${aws:PrincipalTag/none, 'blue'}", "blue", Case::Exact));
    }
}
