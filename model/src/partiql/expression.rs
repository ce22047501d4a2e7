//! Expressions as they stand in the text, before it is known what they are for.
//!
//! Invariant: the depth of a tree is bounded by [`NESTING_MAX`] and [`OPERATORS_MAX`]; `AND` and `OR` are flat.

use super::error::Problem;
use super::lexer::{Span, TokenKind, unquoted};
use super::parser::{AFTER_EXPRESSION, NO_NAME_IN_PATH, NO_RIGHT_SIDE, Parsed, Parser};
use crate::expression::{Element, ExpressionError, INDEX_MAX, Path};
use crate::number::Number;

/// Deepest nesting of expressions: more than 32 levels of a value have, and little enough for any stack.
const NESTING_MAX: usize = 64;

/// Most operators and functions in one statement, as in one expression.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: expression parameters".
const OPERATORS_MAX: usize = 300;

/// How tightly operators bind.
mod precedence {
    pub(super) const OR: u8 = 1;
    pub(super) const AND: u8 = 2;
    pub(super) const NOT: u8 = 3;
    pub(super) const COMPARISON: u8 = 4;
    pub(super) const CONCATENATION: u8 = 5;
    pub(super) const SUM: u8 = 6;
    pub(super) const PRODUCT: u8 = 7;
}

/// An expression, with the token that names it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Expression {
    pub(super) node: Node,
    pub(super) span: Span,
}

/// What an expression is.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Node {
    Path(Path),
    Text(String),
    Number(Number),
    Bool(bool),
    Null,
    Missing,
    /// A value between backticks.
    Ion,
    /// The parameter with this number, counted from 0.
    Parameter(usize),
    /// `[...]`
    List(Vec<Expression>),
    /// `<<...>>`
    Bag(Vec<Expression>),
    /// `(..., ...)`
    Group(Vec<Expression>),
    /// `{... : ...}`
    Tuple(Vec<(Expression, Expression)>),
    Call {
        name: String,
        arguments: Vec<Expression>,
    },
    Not(Box<Expression>),
    /// `-` before something that is no number.
    Negative(Box<Expression>),
    All(Vec<Expression>),
    Any(Vec<Expression>),
    /// An operator between two operands, but `AND` and `OR`.
    Binary {
        operator: String,
        left: Box<Expression>,
        right: Box<Expression>,
    },
    Between {
        operand: Box<Expression>,
        lower: Box<Expression>,
        upper: Box<Expression>,
    },
    In {
        operand: Box<Expression>,
        among: Box<Expression>,
    },
    Is {
        operand: Box<Expression>,
        kind: String,
    },
}

impl Expression {
    /// The kind of expression in DynamoDB's messages.
    pub(super) fn kind(&self) -> &'static str {
        match &self.node {
            Node::Path(path) if path.is_attribute() => "VariableReference",
            Node::Path(_) => "Path",
            Node::Parameter(_) => "Parameter",
            Node::Missing => "LiteralMissing",
            Node::List(_) | Node::Bag(_) | Node::Group(_) => "Seq",
            Node::Tuple(_) => "Struct",
            Node::Text(_) | Node::Number(_) | Node::Bool(_) | Node::Null | Node::Ion => "Literal",
            Node::Call { .. } => "Call",
            _ => "NAry",
        }
    }
}

impl Parser<'_> {
    /// An expression of any kind.
    pub(super) fn expression(&mut self) -> Parsed<Expression> {
        self.bound_by(precedence::OR)
    }

    /// An expression of operators that bind at least as tightly as `least`.
    fn bound_by(&mut self, least: u8) -> Parsed<Expression> {
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(self.repeated());
        }
        let mut left = self.prefix()?;
        while let Some((operator, precedence)) = self.infix() {
            if precedence < least {
                break;
            }
            left = self.operation(left, operator, precedence)?;
        }
        self.depth -= 1;
        Ok(left)
    }

    /// The operator that comes next: how it is written and how it binds.
    fn infix(&self) -> Option<(&'static str, u8)> {
        Some(match self.kind() {
            TokenKind::Equal => ("=", precedence::COMPARISON),
            TokenKind::NotEqual => ("<>", precedence::COMPARISON),
            TokenKind::Less => ("<", precedence::COMPARISON),
            TokenKind::LessEqual => ("<=", precedence::COMPARISON),
            TokenKind::Greater => (">", precedence::COMPARISON),
            TokenKind::GreaterEqual => (">=", precedence::COMPARISON),
            TokenKind::Concatenate => ("||", precedence::CONCATENATION),
            TokenKind::Symbol(b'+') => ("+", precedence::SUM),
            TokenKind::Symbol(b'-') => ("-", precedence::SUM),
            TokenKind::Symbol(b'*') => ("*", precedence::PRODUCT),
            TokenKind::Symbol(b'/') => ("/", precedence::PRODUCT),
            TokenKind::Symbol(b'%') => ("%", precedence::PRODUCT),
            TokenKind::Word => {
                let words = [
                    ("OR", precedence::OR),
                    ("AND", precedence::AND),
                    ("NOT", precedence::COMPARISON),
                    ("IN", precedence::COMPARISON),
                    ("IS", precedence::COMPARISON),
                    ("BETWEEN", precedence::COMPARISON),
                    ("LIKE", precedence::COMPARISON),
                ];
                return words.into_iter().find(|(word, _)| self.at_word(word));
            }
            _ => return None,
        })
    }

    fn count_operator(&mut self) -> Parsed<()> {
        self.operators += 1;
        if self.operators <= OPERATORS_MAX {
            return Ok(());
        }
        let error = ExpressionError::TooManyOperators {
            count: OPERATORS_MAX + 1,
        };
        Err(self.problem(error))
    }

    /// What an operator, which comes next, makes of the operand before it.
    fn operation(&mut self, left: Expression, operator: &'static str, precedence: u8) -> Parsed<Expression> {
        self.count_operator()?;
        let span = self.span();
        self.advance();
        if self.kind() == TokenKind::End && !matches!(operator, "NOT" | "IS") {
            return Err(self.malformed(NO_RIGHT_SIDE));
        }
        let node = match operator {
            "NOT" => {
                let operator = ["IN", "BETWEEN", "LIKE"]
                    .into_iter()
                    .find(|word| self.at_word(word));
                let operator = operator.ok_or_else(|| self.malformed(AFTER_EXPRESSION))?;
                let denied = self.operation(left, operator, precedence)?;
                Node::Not(Box::new(denied))
            }
            "OR" => {
                let right = self.bound_by(precedence + 1)?;
                let mut any = match left.node {
                    Node::Any(any) => any,
                    _ => vec![left],
                };
                any.push(right);
                Node::Any(any)
            }
            "AND" => {
                let right = self.bound_by(precedence + 1)?;
                let mut all = match left.node {
                    Node::All(all) => all,
                    _ => vec![left],
                };
                all.push(right);
                Node::All(all)
            }
            "BETWEEN" => {
                let lower = self.bound_by(precedence + 1)?;
                self.expect_word("AND")?;
                let upper = self.bound_by(precedence + 1)?;
                Node::Between {
                    operand: Box::new(left),
                    lower: Box::new(lower),
                    upper: Box::new(upper),
                }
            }
            "IN" => {
                let among = if self.kind() == TokenKind::Symbol(b'(') {
                    self.group()?
                } else {
                    self.bound_by(precedence + 1)?
                };
                Node::In {
                    operand: Box::new(left),
                    among: Box::new(among),
                }
            }
            "IS" => return self.is(left),
            _ => {
                let right = self.bound_by(precedence + 1)?;
                let operator = operator.to_lowercase();
                let (left, right) = (Box::new(left), Box::new(right));
                Node::Binary {
                    operator,
                    left,
                    right,
                }
            }
        };
        Ok(Expression { node, span })
    }

    /// What follows `IS`.
    fn is(&mut self, operand: Expression) -> Parsed<Expression> {
        let denied = self.accept_word("NOT");
        let span = self.span();
        let kind = self.text().to_uppercase();
        if self.kind() != TokenKind::Word || matches!(&*kind, "TRUE" | "FALSE") {
            return Err(self.malformed("Expected type name"));
        }
        self.advance();
        let operand = Box::new(operand);
        let is = Expression {
            node: Node::Is { operand, kind },
            span,
        };
        Ok(if denied {
            Expression {
                node: Node::Not(Box::new(is)),
                span,
            }
        } else {
            is
        })
    }

    /// An operand, with what stands before it.
    fn prefix(&mut self) -> Parsed<Expression> {
        let span = self.span();
        if self.at_word("NOT") {
            self.count_operator()?;
            self.advance();
            let denied = self.bound_by(precedence::NOT)?;
            let node = Node::Not(Box::new(denied));
            return Ok(Expression { node, span });
        }
        let negative = self.kind() == TokenKind::Symbol(b'-');
        if !negative && self.kind() != TokenKind::Symbol(b'+') {
            return self.operand();
        }
        self.advance();
        self.depth += 1;
        if self.depth > NESTING_MAX {
            return Err(self.repeated());
        }
        let operand = self.prefix()?;
        self.depth -= 1;
        let node = match operand.node {
            Node::Number(number) if negative => {
                let negated = Number::from(0).checked_sub(number);
                Node::Number(negated.map_err(|error| self.problem_at(operand.span, error))?)
            }
            node if !negative => node,
            _ => {
                self.count_operator()?;
                Node::Negative(Box::new(operand))
            }
        };
        Ok(Expression { node, span })
    }

    fn operand(&mut self) -> Parsed<Expression> {
        let span = self.span();
        let text = self.text();
        let node = match self.kind() {
            TokenKind::Text => Node::Text(unquoted(text)),
            TokenKind::Number => {
                let number = Number::parse(text);
                Node::Number(number.map_err(|error| self.problem(error))?)
            }
            TokenKind::Ion => Node::Ion,
            TokenKind::Parameter => {
                self.parameters += 1;
                Node::Parameter(self.parameters - 1)
            }
            TokenKind::Symbol(b'[') => {
                let elements = self.elements(TokenKind::Symbol(b']'))?;
                let node = Node::List(elements);
                return Ok(Expression { node, span });
            }
            TokenKind::OpenBag => {
                let elements = self.elements(TokenKind::CloseBag)?;
                let node = Node::Bag(elements);
                return Ok(Expression { node, span });
            }
            TokenKind::Symbol(b'{') => return self.tuple(),
            TokenKind::Symbol(b'(') => {
                let group = self.group()?;
                return Ok(match group.node {
                    Node::Group(mut members) if members.len() == 1 => members.remove(0),
                    _ => group,
                });
            }
            TokenKind::Word if self.follows(b'(') => return self.call(),
            TokenKind::Word => match &*text.to_uppercase() {
                "TRUE" => Node::Bool(true),
                "FALSE" => Node::Bool(false),
                "NULL" => Node::Null,
                "MISSING" => Node::Missing,
                _ => return self.path(),
            },
            TokenKind::Quoted => return self.path(),
            _ => return Err(self.unexpected()),
        };
        self.advance();
        Ok(Expression { node, span })
    }

    /// Expressions between parentheses.
    fn group(&mut self) -> Parsed<Expression> {
        let span = self.span();
        let members = self.elements(TokenKind::Symbol(b')'))?;
        let node = Node::Group(members);
        Ok(Expression { node, span })
    }

    /// Expressions separated by commas, from an opening token up to `close`.
    fn elements(&mut self, close: TokenKind) -> Parsed<Vec<Expression>> {
        self.advance();
        if self.at_word("SELECT") {
            return Err(self.problem(Problem::Token("SELECT".to_owned())));
        }
        let mut elements = Vec::new();
        if self.accept(close) {
            return Ok(elements);
        }
        loop {
            elements.push(self.expression()?);
            if !self.accept(TokenKind::Symbol(b',')) {
                break;
            }
        }
        self.expect(close)?;
        Ok(elements)
    }

    fn tuple(&mut self) -> Parsed<Expression> {
        let span = self.span();
        self.advance();
        let mut entries = Vec::new();
        if !self.accept(TokenKind::Symbol(b'}')) {
            loop {
                let key = self.expression()?;
                self.expect(TokenKind::Symbol(b':'))?;
                entries.push((key, self.expression()?));
                if !self.accept(TokenKind::Symbol(b',')) {
                    break;
                }
            }
            self.expect(TokenKind::Symbol(b'}'))?;
        }
        let node = Node::Tuple(entries);
        Ok(Expression { node, span })
    }

    fn call(&mut self) -> Parsed<Expression> {
        self.count_operator()?;
        let span = self.span();
        let name = self.text().to_owned();
        self.advance();
        let arguments = if self.follows(b'*') {
            self.advance();
            self.advance();
            self.expect(TokenKind::Symbol(b')'))?;
            Vec::new()
        } else {
            self.elements(TokenKind::Symbol(b')'))?
        };
        let node = Node::Call { name, arguments };
        Ok(Expression { node, span })
    }

    /// A document path.
    pub(super) fn path(&mut self) -> Parsed<Expression> {
        let span = self.span();
        let mut path = Path::attribute(&self.name()?);
        loop {
            if self.accept(TokenKind::Symbol(b'.')) {
                if self.kind() == TokenKind::Symbol(b'*') {
                    return Err(self.problem(Problem::Hierarchy));
                }
                if !self.at_name() {
                    return Err(self.malformed(NO_NAME_IN_PATH));
                }
                path.push(Element::Name(self.name()?.into()));
            } else if self.accept(TokenKind::Symbol(b'[')) {
                path.push(self.step()?);
                self.expect(TokenKind::Symbol(b']'))?;
            } else {
                break;
            }
        }
        if let Some(error) = path.depth_error() {
            return Err(self.problem_at(span, error));
        }
        let node = Node::Path(path);
        Ok(Expression { node, span })
    }

    /// What stands between the brackets of a path.
    fn step(&mut self) -> Parsed<Element> {
        let negative = self.accept(TokenKind::Symbol(b'-'));
        let text = self.text();
        let element = match self.kind() {
            TokenKind::Number => match text.parse() {
                Ok(index) if index <= INDEX_MAX && !negative => Element::Index(index),
                _ => {
                    let sign = if negative { "-" } else { "" };
                    return Err(self.problem(Problem::ListIndex(format!("{sign}{text}"))));
                }
            },
            TokenKind::Text if !negative => {
                let name = unquoted(text);
                if name.is_empty() {
                    return Err(self.problem(Problem::EmptyName));
                }
                Element::Name(name.into())
            }
            TokenKind::Parameter => return Err(self.problem(Problem::PathComponent)),
            _ => return Err(self.repeated()),
        };
        self.advance();
        Ok(element)
    }
}
