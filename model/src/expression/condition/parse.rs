//! The grammar of condition, filter and key condition expressions.
//!
//! Invariant: `OR` binds loosest, then `AND`, then `NOT`. Groups are kept on a stack of their own, so that their depth
//! costs no stack of the thread.

use super::{Comparator, Condition, Operand};
use crate::expression::error::ExpressionError;
use crate::expression::function::{self, Function};
use crate::expression::lexer::TokenKind;
use crate::expression::parser::{Bounds, Call, Group, Language, Parsed, Parser, Term};
use crate::expression::path::Path;
use crate::expression::placeholders::Placeholders;

/// What may stand between parentheses.
enum Side {
    Condition(Condition),
    /// An operand alone, which a comparator has to follow after the parenthesis.
    Operand(Term),
}

/// A group that is being read; the outermost one has no parentheses.
struct Frame {
    group: Option<Group>,
    alternatives: Vec<Condition>,
    conjunction: Vec<Condition>,
    /// How many `NOT` stand before the next condition.
    negations: usize,
}

impl Frame {
    const fn new(group: Option<Group>) -> Self {
        Self {
            group,
            alternatives: Vec::new(),
            conjunction: Vec::new(),
            negations: 0,
        }
    }

    /// True when an operand that comes now would be all that is between the parentheses.
    fn may_be_operand(&self) -> bool {
        self.group.is_some()
            && self.negations == 0
            && self.conjunction.is_empty()
            && self.alternatives.is_empty()
    }

    fn push(&mut self, mut condition: Condition) {
        for _ in 0..self.negations.min(NEGATIONS_KEPT) {
            condition = Condition::Not(Box::new(condition));
        }
        self.negations = 0;
        self.conjunction.push(condition);
    }

    fn end_conjunction(&mut self) {
        let conjunction = joined(&mut self.conjunction, Condition::All);
        self.alternatives.push(conjunction);
    }
}

impl Condition {
    /// Parses a condition or filter expression.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is not one, or can be known to be wrong without an item.
    pub fn parse(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::Api, text, placeholders)
    }

    /// Parses a condition that this program has made, or has checked before: it may be longer, and have more operators,
    /// than the API allows. Nesting is bounded as everywhere.
    ///
    /// # Errors
    /// [`ExpressionError`] when the text is no condition.
    pub fn parse_unbounded(text: &str, placeholders: &mut Placeholders) -> Result<Self, ExpressionError> {
        Self::parse_within(Bounds::None, text, placeholders)
    }

    fn parse_within(
        bounds: Bounds,
        text: &str,
        placeholders: &mut Placeholders,
    ) -> Result<Self, ExpressionError> {
        let mut parser = Parser::new(text, placeholders, Language::Condition, bounds)?;
        let condition = parser.condition()?;
        parser.finish()?;
        Ok(condition)
    }
}

impl Parser<'_, '_> {
    /// Conditions joined by `AND` and `OR`, up to where they end.
    fn condition(&mut self) -> Parsed<Condition> {
        let mut outer = Vec::new();
        let mut frame = Frame::new(None);
        loop {
            while self.accept(TokenKind::Not) {
                self.count_operator();
                frame.negations += 1;
            }
            if self.kind() == TokenKind::OpenParenthesis {
                let group = self.open_group()?;
                outer.push(std::mem::replace(&mut frame, Frame::new(Some(group))));
                continue;
            }
            let term = self.simple_term()?;
            let mut side = self.comparison(term, frame.may_be_operand())?;
            // A condition may end its group, and that group the one around it.
            loop {
                let whole = match side {
                    Side::Condition(condition) => {
                        frame.push(condition);
                        match self.kind() {
                            TokenKind::And => break,
                            TokenKind::Or => {
                                frame.end_conjunction();
                                break;
                            }
                            _ => {}
                        }
                        frame.end_conjunction();
                        Side::Condition(joined(&mut frame.alternatives, Condition::Any))
                    }
                    operand @ Side::Operand(_) => operand,
                };
                let Some((group, enclosing)) = frame.group.zip(outer.pop()) else {
                    return match whole {
                        Side::Condition(condition) => Ok(condition),
                        Side::Operand(_) => Err(self.syntax_error()),
                    };
                };
                self.close_group(&group)?;
                frame = enclosing;
                side = match whole {
                    Side::Condition(_) => whole,
                    Side::Operand(term) => self.comparison(term, frame.may_be_operand())?,
                };
            }
            self.count_operator();
            self.advance();
        }
    }

    /// What follows an operand; `alone` allows that nothing does.
    fn comparison(&mut self, term: Term, alone: bool) -> Parsed<Side> {
        let comparator = match self.kind() {
            TokenKind::Equal => Comparator::Equal,
            TokenKind::NotEqual => Comparator::NotEqual,
            TokenKind::Less => Comparator::Less,
            TokenKind::LessEqual => Comparator::LessOrEqual,
            TokenKind::Greater => Comparator::Greater,
            TokenKind::GreaterEqual => Comparator::GreaterOrEqual,
            TokenKind::Between => return self.between(term).map(Side::Condition),
            TokenKind::In => return self.in_list(term).map(Side::Condition),
            TokenKind::CloseParenthesis if alone => return Ok(Side::Operand(term)),
            // A function may be a condition by itself.
            _ if matches!(term, Term::Call(_)) => {
                let term = self.placed(term, &Function::CONDITIONS);
                return Ok(Side::Condition(function_condition(term, self.placeholders)));
            }
            _ if matches!(term, Term::RefusedCall) => return Ok(Side::Condition(stand_in())),
            _ => return Err(self.syntax_error()),
        };
        self.advance();
        self.count_operator();
        let left = self.placed(term, &[Function::Size]);
        let right = self.term(&[Function::Size])?;
        let terms = [left, right];
        let outcome = match comparator {
            Comparator::Equal | Comparator::NotEqual => function::check_distinct(comparator.symbol(), &terms),
            _ => function::check_ordered(comparator.symbol(), &terms, self.placeholders),
        };
        self.check(outcome);
        let [left, right] = terms.map(operand);
        Ok(Side::Condition(Condition::Compare {
            comparator,
            left,
            right,
        }))
    }

    fn between(&mut self, term: Term) -> Parsed<Condition> {
        self.advance();
        self.count_operator();
        let term = self.placed(term, &[Function::Size]);
        let lower = self.term(&[Function::Size])?;
        self.expect(TokenKind::And)?;
        let upper = self.term(&[Function::Size])?;
        let terms = [term, lower, upper];
        let outcome = function::check_ordered("BETWEEN", &terms, self.placeholders)
            .and_then(|()| function::check_bounds(&terms[1], &terms[2], self.placeholders));
        self.check(outcome);
        let [operand, lower, upper] = terms.map(operand);
        Ok(Condition::Between {
            operand,
            lower,
            upper,
        })
    }

    fn in_list(&mut self, term: Term) -> Parsed<Condition> {
        self.advance();
        self.count_operator();
        let mut terms = vec![self.placed(term, &[Function::Size])];
        self.expect(TokenKind::OpenParenthesis)?;
        loop {
            terms.push(self.term(&[Function::Size])?);
            if !self.accept(TokenKind::Comma) {
                break;
            }
        }
        self.expect(TokenKind::CloseParenthesis)?;
        let outcome = function::check_in(&terms);
        self.check(outcome);
        let mut operands = terms.into_iter().map(operand);
        Ok(Condition::In {
            operand: operands.next().unwrap_or_else(|| operand(Term::Refused)),
            candidates: operands.collect(),
        })
    }
}

/// More negations than this are too many operators anyway.
const NEGATIONS_KEPT: usize = 300;

/// Joins conditions unless there is only one.
fn joined(conditions: &mut Vec<Condition>, join: fn(Vec<Condition>) -> Condition) -> Condition {
    match conditions.len() {
        1 => conditions.remove(0),
        _ => join(std::mem::take(conditions)),
    }
}

/// Stands for a condition that was refused.
fn stand_in() -> Condition {
    Condition::All(Vec::new())
}

fn function_condition(term: Term, placeholders: &Placeholders) -> Condition {
    let Term::Call(Call {
        function, arguments, ..
    }) = term
    else {
        return stand_in();
    };
    let mut arguments = arguments.into_iter();
    match (function, arguments.next(), arguments.next()) {
        (Function::AttributeExists, Some(Term::Path(path)), _) => Condition::AttributeExists(path),
        (Function::AttributeNotExists, Some(Term::Path(path)), _) => Condition::AttributeNotExists(path),
        (Function::AttributeType, Some(term), Some(Term::Value(id))) => {
            function::type_named(id, placeholders).map_or_else(stand_in, |kind| Condition::AttributeType {
                operand: operand(term),
                kind,
            })
        }
        (Function::BeginsWith, Some(term), Some(prefix)) => Condition::BeginsWith {
            operand: operand(term),
            prefix: operand(prefix),
        },
        (Function::Contains, Some(container), Some(element)) => Condition::Contains {
            container: operand(container),
            element: operand(element),
        },
        _ => stand_in(),
    }
}

/// The operand that a term is. Terms that are none have been refused.
fn operand(term: Term) -> Operand {
    let refused = || Operand::Path(Path::attribute(""));
    match term {
        Term::Path(path) => Operand::Path(path),
        Term::Value(id) => Operand::Value(id),
        Term::Call(Call {
            function: Function::Size,
            arguments,
            ..
        }) => match arguments.into_iter().next() {
            Some(Term::Path(path)) => Operand::SizeOfPath(path),
            Some(Term::Value(id)) => Operand::SizeOfValue(id),
            _ => refused(),
        },
        Term::Call(_) | Term::Refused | Term::RefusedCall => refused(),
    }
}
