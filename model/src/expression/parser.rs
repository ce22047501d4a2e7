//! What all expressions are made of: the token stream with its syntax errors, paths, values, calls and groups.
//!
//! DynamoDB looks at an expression several times, and the first look that finds fault names the error: grammar, redundant
//! parentheses, names and functions, number of operators, and only then what the placeholders stand for. The parser
//! reads the text once: a syntax error ends it, the other errors are kept and [`Parser::finish`] reports the one that
//! comes first. A part that was refused is replaced by a stand-in, which no caller ever sees.
//!
//! Invariant: recursion is bounded by [`NESTING_MAX`]. The grammars themselves are in the modules of their expressions.

use super::error::ExpressionError;
use super::function::{self, Function};
use super::lexer::{Token, TokenKind, next_token};
use super::path::{Element, INDEX_MAX, PATH_ELEMENTS_MAX, Path};
use super::placeholders::{Placeholders, ValueId};
use super::reserved::is_reserved;

/// Longest text of an expression in bytes, before placeholders are replaced.
///
/// Source: Amazon DynamoDB Developer Guide, "Quotas: expression parameters".
const TEXT_BYTES_MAX: usize = 4096;
/// Most bytes of a text with what its placeholders stand for, as often as they are used. Source: DynamoDB Local.
const EXPANDED_BYTES_MAX: usize = 1024 * 1024;

/// Most operators and functions in one expression. Source: as above.
const OPERATORS_MAX: usize = 300;

/// Deepest nesting of groups and calls. What is nested deeper without redundant parentheses has too many operators.
const NESTING_MAX: usize = OPERATORS_MAX;

pub(super) type Parsed<T> = Result<T, ExpressionError>;

/// Whether a text has to keep within the API's bounds of its length and of the number of its operators.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Bounds {
    /// A client has written it.
    Api,
    /// This program has made it, or has checked it before.
    None,
}

/// Which functions an expression may call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Language {
    Condition,
    Update,
}

/// An operand as it stands in the text.
#[derive(Debug)]
pub(super) enum Term {
    Path(Path),
    Value(ValueId),
    Call(Call),
    /// A path or value that was refused; the error is recorded.
    Refused,
    /// A call that was refused; the error is recorded.
    RefusedCall,
}

/// A call of a known function.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) function: Function,
    pub(super) arguments: Vec<Term>,
    /// Where the call begins, for errors about its place.
    pub(super) at: usize,
}

/// A group that has been opened.
pub(super) struct Group {
    at: usize,
    /// Where a second parenthesis follows at once.
    inner_at: Option<usize>,
}

/// One pass over the text of one expression.
pub(super) struct Parser<'t, 'p> {
    text: &'t str,
    previous: Option<Token>,
    current: Token,
    pub(super) placeholders: &'p mut Placeholders,
    language: Language,
    bounds: Bounds,
    depth: usize,
    operators: usize,
    /// Bytes of the text, and of the names and values that stand in it.
    expanded: usize,
    /// Where the last closed group begins and ends.
    last_group: Option<(usize, usize)>,
    redundant_parentheses: bool,
    /// The first error about a name or a function, and where it is.
    misused: Option<(usize, ExpressionError)>,
    /// The first error about the targets of an update.
    target: Option<ExpressionError>,
    /// The first error about the meaning of an operand, in the order of evaluation.
    meaning: Option<ExpressionError>,
}

impl<'t, 'p> Parser<'t, 'p> {
    pub(super) fn new(
        text: &'t str,
        placeholders: &'p mut Placeholders,
        language: Language,
        bounds: Bounds,
    ) -> Parsed<Self> {
        if text.is_empty() {
            return Err(ExpressionError::Empty);
        }
        if bounds == Bounds::Api && text.len() > TEXT_BYTES_MAX {
            return Err(ExpressionError::TooLong { size: text.len() });
        }
        Ok(Self {
            text,
            previous: None,
            current: next_token(text, 0),
            placeholders,
            language,
            bounds,
            depth: 0,
            operators: 0,
            expanded: text.len(),
            last_group: None,
            redundant_parentheses: false,
            misused: None,
            target: None,
            meaning: None,
        })
    }

    /// Whether the text has to keep within the API's bounds.
    pub(super) fn is_bounded(&self) -> bool {
        self.bounds == Bounds::Api
    }

    /// Ends parsing: the text has to be used up, and the first recorded error is reported.
    pub(super) fn finish(self) -> Parsed<()> {
        if self.current.kind != TokenKind::End {
            return Err(self.syntax_error());
        }
        if self.redundant_parentheses {
            return Err(ExpressionError::RedundantParentheses);
        }
        let misused = self.misused.map(|(_, error)| error);
        let counted = self.bounds == Bounds::Api && self.operators > OPERATORS_MAX;
        let too_many = counted.then_some(ExpressionError::TooManyOperators {
            count: OPERATORS_MAX + 1,
        });
        let is_too_large = self.bounds == Bounds::Api && self.expanded > EXPANDED_BYTES_MAX;
        let too_large = is_too_large.then_some(ExpressionError::TooLong { size: self.expanded });
        match misused
            .or(too_many)
            .or(self.target)
            .or(self.meaning)
            .or(too_large)
        {
            Some(error) => Err(error),
            None => Ok(()),
        }
    }

    pub(super) fn kind(&self) -> TokenKind {
        self.current.kind
    }

    pub(super) fn position(&self) -> usize {
        self.current.start
    }

    pub(super) fn advance(&mut self) {
        self.previous = Some(self.current);
        self.current = next_token(self.text, self.current.end);
    }

    /// Takes the current token if it is of this kind.
    pub(super) fn accept(&mut self, kind: TokenKind) -> bool {
        let found = self.current.kind == kind;
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect(&mut self, kind: TokenKind) -> Parsed<()> {
        if self.accept(kind) {
            Ok(())
        } else {
            Err(self.syntax_error())
        }
    }

    fn slice(&self, token: Token) -> &'t str {
        &self.text[token.start..token.end]
    }

    /// The current token does not fit: named together with its neighbours, as DynamoDB does.
    pub(super) fn syntax_error(&self) -> ExpressionError {
        let end = match self.current.kind {
            TokenKind::End => self.text.len(),
            _ => match next_token(self.text, self.current.end) {
                Token {
                    kind: TokenKind::End, ..
                } => self.text.len(),
                next => next.end,
            },
        };
        let start = self.previous.map_or(0, |token| token.start);
        let token = match self.current.kind {
            TokenKind::End => "<EOF>",
            _ => self.slice(self.current),
        };
        ExpressionError::Syntax {
            token: token.to_owned(),
            near: self.text[start..end].to_owned(),
        }
    }

    /// Records an error about a name or function; the leftmost one is reported.
    pub(super) fn misuse(&mut self, at: usize, error: ExpressionError) {
        if self.misused.as_ref().is_none_or(|(other, _)| at < *other) {
            self.misused = Some((at, error));
        }
    }

    /// Records an error about what operands mean; the first one is reported.
    pub(super) fn refuse(&mut self, error: ExpressionError) {
        self.meaning.get_or_insert(error);
    }

    /// Records the outcome of a check of operands that are all known.
    pub(super) fn check(&mut self, outcome: Parsed<()>) {
        if let Err(error) = outcome {
            self.refuse(error);
        }
    }

    /// Records an error about the targets of an update.
    pub(super) fn refuse_target(&mut self, error: ExpressionError) {
        self.target.get_or_insert(error);
    }

    pub(super) fn count_operator(&mut self) {
        self.operators += 1;
    }

    fn enter(&mut self) -> Parsed<()> {
        self.depth += 1;
        if self.depth <= NESTING_MAX {
            return Ok(());
        }
        let nested = self
            .previous
            .is_some_and(|token| token.kind == TokenKind::OpenParenthesis);
        Err(if nested && self.current.kind == TokenKind::OpenParenthesis {
            ExpressionError::RedundantParentheses
        } else {
            ExpressionError::TooManyOperators {
                count: OPERATORS_MAX + 1,
            }
        })
    }

    pub(super) fn open_group(&mut self) -> Parsed<Group> {
        self.enter()?;
        let at = self.current.start;
        self.expect(TokenKind::OpenParenthesis)?;
        let inner_at = (self.current.kind == TokenKind::OpenParenthesis).then_some(self.current.start);
        Ok(Group { at, inner_at })
    }

    pub(super) fn close_group(&mut self, group: &Group) -> Parsed<()> {
        let end = self.current.start;
        let inner_end = self.previous.map(|token| token.start);
        self.expect(TokenKind::CloseParenthesis)?;
        if let (Some(inner_at), Some(inner_end)) = (group.inner_at, inner_end)
            && self.last_group == Some((inner_at, inner_end))
        {
            self.redundant_parentheses = true;
        }
        self.last_group = Some((group.at, end));
        self.depth -= 1;
        Ok(())
    }

    /// An operand; functions outside `allowed` are out of place here.
    pub(super) fn term(&mut self, allowed: &[Function]) -> Parsed<Term> {
        if self.current.kind == TokenKind::OpenParenthesis {
            let group = self.open_group()?;
            let term = self.term(allowed)?;
            self.close_group(&group)?;
            return Ok(term);
        }
        let term = self.simple_term()?;
        Ok(self.placed(term, allowed))
    }

    /// Refuses a call that is out of place.
    pub(super) fn placed(&mut self, term: Term, allowed: &[Function]) -> Term {
        match term {
            Term::Call(call) if !allowed.contains(&call.function) => {
                let function = call.function.name();
                self.misuse(call.at, ExpressionError::MisplacedFunction { function });
                Term::RefusedCall
            }
            term => term,
        }
    }

    /// A path, a value or a call, without parentheses around it.
    pub(super) fn simple_term(&mut self) -> Parsed<Term> {
        match self.current.kind {
            TokenKind::ValuePlaceholder => Ok(self.value()),
            TokenKind::Name if next_token(self.text, self.current.end).kind == TokenKind::OpenParenthesis => {
                self.call()
            }
            TokenKind::Name | TokenKind::NamePlaceholder => self.path(),
            _ => Err(self.syntax_error()),
        }
    }

    fn value(&mut self) -> Term {
        let placeholder = self.slice(self.current);
        self.advance();
        if let Some(id) = self.placeholders.use_value(placeholder) {
            self.expanded += self.placeholders.value(id).size();
            return Term::Value(id);
        }
        self.refuse(ExpressionError::UndefinedValue {
            placeholder: placeholder.to_owned(),
        });
        Term::Refused
    }

    fn call(&mut self) -> Parsed<Term> {
        self.enter()?;
        self.count_operator();
        let at = self.current.start;
        let name = self.slice(self.current);
        self.advance();
        self.expect(TokenKind::OpenParenthesis)?;
        let known = Function::named(name);
        match known {
            None => self.misuse(
                at,
                ExpressionError::UnknownFunction {
                    name: name.to_owned(),
                },
            ),
            Some(function) if !function.belongs_to(self.language) => {
                let function = function.name();
                let error = match self.language {
                    Language::Condition => ExpressionError::NotInCondition { function },
                    Language::Update => ExpressionError::NotInUpdate { function },
                };
                self.misuse(at, error);
            }
            Some(_) => {}
        }
        let allowed = match self.language {
            Language::Condition => &[Function::Size],
            Language::Update => &[Function::IfNotExists],
        };
        let mut arguments = vec![self.term(allowed)?];
        while self.accept(TokenKind::Comma) {
            arguments.push(self.term(allowed)?);
        }
        self.expect(TokenKind::CloseParenthesis)?;
        self.depth -= 1;
        let Some(function) = known.filter(|function| function.belongs_to(self.language)) else {
            return Ok(Term::RefusedCall);
        };
        let outcome = function::check_call(function, &arguments, self.placeholders);
        self.check(outcome);
        Ok(Term::Call(Call {
            function,
            arguments,
            at,
        }))
    }

    /// A document path.
    pub(super) fn path(&mut self) -> Parsed<Term> {
        let at = self.current.start;
        let mut levels = 1;
        let mut path = self.name()?.map(Path::attribute);
        loop {
            let element = match self.current.kind {
                TokenKind::Dot => {
                    self.advance();
                    self.name()?.map(|name| Element::Name(name.into()))
                }
                TokenKind::OpenBracket => {
                    self.advance();
                    let index = self.index()?;
                    self.expect(TokenKind::CloseBracket)?;
                    Some(Element::Index(index))
                }
                _ => break,
            };
            levels += 1;
            match (&mut path, element) {
                (Some(path), Some(element)) => path.push(element),
                _ => path = None,
            }
        }
        if levels > PATH_ELEMENTS_MAX {
            self.misuse(at, ExpressionError::PathTooDeep { levels });
        }
        Ok(path.map_or(Term::Refused, Term::Path))
    }

    /// One name of a path; nothing when its placeholder is not defined.
    fn name(&mut self) -> Parsed<Option<&str>> {
        let token = self.current;
        let text = self.slice(token);
        match token.kind {
            TokenKind::Name => {
                self.advance();
                if is_reserved(text) {
                    self.misuse(
                        token.start,
                        ExpressionError::ReservedWord {
                            name: text.to_owned(),
                        },
                    );
                }
                Ok(Some(text))
            }
            TokenKind::NamePlaceholder => {
                self.advance();
                let name = self.placeholders.use_name(text);
                self.expanded += name.map_or(0, str::len);
                if name.is_none() {
                    self.meaning
                        .get_or_insert_with(|| ExpressionError::UndefinedName {
                            placeholder: text.to_owned(),
                        });
                }
                Ok(name)
            }
            _ => Err(self.syntax_error()),
        }
    }

    fn index(&mut self) -> Parsed<u32> {
        let token = self.current;
        self.expect(TokenKind::Number)?;
        let text = self.slice(token);
        match text.parse() {
            Ok(index) if index <= INDEX_MAX => Ok(index),
            _ => {
                self.misuse(
                    token.start,
                    ExpressionError::IndexOutOfRange {
                        index: text.to_owned(),
                    },
                );
                Ok(0)
            }
        }
    }

    /// A path that an update changes. Errors about it come before those of operands.
    pub(super) fn target(&mut self) -> Parsed<Option<Path>> {
        let earlier = self.meaning.take();
        let term = self.path()?;
        if let Some(error) = std::mem::replace(&mut self.meaning, earlier) {
            self.refuse_target(error);
        }
        match term {
            Term::Path(path) => Ok(Some(path)),
            _ => Ok(None),
        }
    }
}
