//! The grammar of update expressions.

use super::{Action, SetOperand, SetValue, Update};
use crate::attribute::Kind;
use crate::expression::error::ExpressionError;
use crate::expression::function::{self, Function};
use crate::expression::lexer::TokenKind;
use crate::expression::parser::{Bounds, Call, Language, Parsed, Parser, Term};
use crate::expression::placeholders::{Placeholders, ValueId};

/// The sections of an update expression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Clause {
    Set,
    Remove,
    Add,
    Delete,
}

impl Clause {
    const fn starting_with(kind: TokenKind) -> Option<Self> {
        Some(match kind {
            TokenKind::Set => Self::Set,
            TokenKind::Remove => Self::Remove,
            TokenKind::Add => Self::Add,
            TokenKind::Delete => Self::Delete,
            _ => return None,
        })
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Set => "SET",
            Self::Remove => "REMOVE",
            Self::Add => "ADD",
            Self::Delete => "DELETE",
        }
    }
}

/// The right side of a `SET` as it stands in the text.
enum Side {
    Term(Term),
    Arithmetic {
        first: Term,
        /// The others, each with true for `+`; more than one only without the API's bounds.
        rest: Vec<(bool, Term)>,
    },
}

impl Update {
    /// Parses an update expression.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is not one, its targets get in each other's way, or it can be known to be wrong
    /// without an item.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::Api, text, placeholders)
    }

    /// Parses an update that this program has made, or has checked before: it may be longer, and have more operators,
    /// than the API allows. Nesting is bounded as everywhere.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is no update.
    pub fn parse_unbounded(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::None, text, placeholders)
    }

    fn parse_within(
        bounds: Bounds,
        text: &str,
        placeholders: &mut Placeholders,
    ) -> Result<Self, ExpressionError> {
        let parser = Parser::new(text, placeholders, Language::Update, bounds);
        let mut parser = parser.map_err(ExpressionError::without_size)?;
        let mut actions = Vec::new();
        let mut seen = Vec::new();
        while let Some(clause) = Clause::starting_with(parser.kind()) {
            if seen.contains(&clause) {
                let clause = clause.name();
                parser.misuse(parser.position(), ExpressionError::ClauseRepeated { clause });
            }
            seen.push(clause);
            parser.advance();
            loop {
                actions.extend(parser.action(clause)?);
                if !parser.accept(TokenKind::Comma) {
                    break;
                }
            }
        }
        if actions.is_empty() && seen.is_empty() {
            return Err(parser.syntax_error());
        }
        match Self::of_actions(actions) {
            Ok(update) => {
                parser.finish()?;
                Ok(update)
            }
            Err(error) => {
                parser.refuse_target(error.clone());
                parser.finish()?;
                Err(error)
            }
        }
    }
}

impl Parser<'_, '_> {
    /// One action; none when a part of it was refused.
    fn action(&mut self, clause: Clause) -> Parsed<Option<Action>> {
        let target = self.target()?;
        let action = match clause {
            Clause::Set => {
                self.expect(TokenKind::Equal)?;
                let side = self.set_side()?;
                let value = set_value(side);
                match (target, value) {
                    (Some(target), Some(value)) => Some(Action::Set { target, value }),
                    // The target still counts when paths are compared.
                    (Some(target), None) => Some(Action::Remove { target }),
                    (None, _) => None,
                }
            }
            Clause::Remove => target.map(|target| Action::Remove { target }),
            Clause::Add | Clause::Delete => {
                let value = self.clause_value(clause)?;
                match (target, value) {
                    (None, _) => None,
                    (Some(target), None) => Some(Action::Remove { target }),
                    (Some(target), Some(value)) if clause == Clause::Add => {
                        Some(Action::Add { target, value })
                    }
                    (Some(target), Some(value)) => Some(Action::Delete { target, value }),
                }
            }
        };
        Ok(action)
    }

    /// The value of `ADD` or `DELETE`.
    fn clause_value(&mut self, clause: Clause) -> Parsed<Option<ValueId>> {
        if self.kind() != TokenKind::ValuePlaceholder {
            return Err(self.syntax_error());
        }
        let Term::Value(id) = self.simple_term()? else {
            return Ok(None);
        };
        let kind = self.placeholders.value(id).kind();
        let works = kind.element().is_some() || (clause == Clause::Add && kind == Kind::Number);
        if !works {
            self.refuse(ExpressionError::ClauseOperandType {
                clause: clause.name(),
                kind: kind.long_name(),
            });
        }
        Ok(works.then_some(id))
    }

    fn set_side(&mut self) -> Parsed<Side> {
        let first = if self.kind() == TokenKind::OpenParenthesis {
            let group = self.open_group()?;
            let side = self.set_side()?;
            self.close_group(&group)?;
            match side {
                Side::Term(term) => term,
                Side::Arithmetic { .. } => return Ok(side),
            }
        } else {
            self.simple_term()?
        };
        let Some(sum) = self.accept_sign() else {
            return Ok(Side::Term(first));
        };
        self.count_operator();
        let first = self.placed(first, &[Function::IfNotExists]);
        let second = self.term(&[Function::IfNotExists])?;
        let terms = [first, second];
        self.check_numbers(sum, &terms);
        let [first, second] = terms;
        let mut rest = vec![(sum, second)];
        while !self.is_bounded()
            && let Some(sum) = self.accept_sign()
        {
            self.count_operator();
            let operand = self.term(&[Function::IfNotExists])?;
            self.check_numbers(sum, std::slice::from_ref(&operand));
            rest.push((sum, operand));
        }
        Ok(Side::Arithmetic { first, rest })
    }

    /// Takes `+` (true) or `-`, if one comes next.
    fn accept_sign(&mut self) -> Option<bool> {
        let sum = match self.kind() {
            TokenKind::Plus => true,
            TokenKind::Minus => false,
            _ => return None,
        };
        self.advance();
        Some(sum)
    }

    fn check_numbers(&mut self, sum: bool, terms: &[Term]) {
        let operator = if sum { "+" } else { "-" };
        let outcome = function::check_kinds(operator, terms, self.placeholders, |kind| kind == Kind::Number);
        self.check(outcome);
    }
}

/// The right side of a `SET`; `None` when it, or a part of it, was refused.
fn set_value(side: Side) -> Option<SetValue> {
    match side {
        Side::Arithmetic { first, rest } => {
            let first = operand(first)?;
            let rest = rest.into_iter().map(|(sum, term)| Some((sum, operand(term)?)));
            let mut rest: Vec<_> = rest.collect::<Option<_>>()?;
            Some(match (rest.len(), rest.pop()) {
                (1, Some((true, second))) => SetValue::Sum(first, second),
                (1, Some((false, second))) => SetValue::Difference(first, second),
                (_, last) => {
                    rest.extend(last);
                    SetValue::Chain(first, rest)
                }
            })
        }
        Side::Term(Term::Call(Call {
            function: Function::ListAppend,
            arguments,
            ..
        })) => {
            let [first, second] = <[Term; 2]>::try_from(arguments).ok()?;
            Some(SetValue::Append(operand(first)?, operand(second)?))
        }
        Side::Term(term) => operand(term).map(SetValue::Operand),
    }
}

/// The operand that a term is; `None` when it, or a part of it, was refused.
fn operand(mut term: Term) -> Option<SetOperand> {
    let mut paths = Vec::new();
    loop {
        match term {
            Term::Path(path) => {
                paths.push(path);
                return Some(SetOperand {
                    paths,
                    otherwise: None,
                });
            }
            Term::Value(id) => {
                return Some(SetOperand {
                    paths,
                    otherwise: Some(id),
                });
            }
            Term::Call(Call {
                function: Function::IfNotExists,
                arguments,
                ..
            }) => {
                let [first, second] = <[Term; 2]>::try_from(arguments).ok()?;
                let Term::Path(path) = first else {
                    return None;
                };
                paths.push(path);
                term = second;
            }
            Term::Call(_) | Term::Refused | Term::RefusedCall => return None,
        }
    }
}
