//! The token stream of a statement, and the errors about its form.

use super::error::{Problem, StatementError};
use super::lexer::{Span, Token, TokenKind, next_token, unquoted};

pub(super) type Parsed<T> = Result<T, StatementError>;

/// Words of the grammar, which are names only between quotes.
const RESERVED: [&str; 48] = [
    "ALL",
    "AND",
    "AS",
    "ASC",
    "AT",
    "BETWEEN",
    "BY",
    "CASE",
    "CREATE",
    "CROSS",
    "DELETE",
    "DESC",
    "DISTINCT",
    "DROP",
    "EXISTS",
    "FALSE",
    "FROM",
    "GROUP",
    "HAVING",
    "IN",
    "INNER",
    "INSERT",
    "INTO",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "MISSING",
    "NOT",
    "NULL",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "PIVOT",
    "REMOVE",
    "RETURNING",
    "RIGHT",
    "SELECT",
    "SET",
    "TRUE",
    "UNPIVOT",
    "UPDATE",
    "VALUE",
    "VALUES",
    "WHERE",
    "WITH",
];

/// One pass over the text of one statement.
pub(super) struct Parser<'t> {
    whole: &'t str,
    current: Token,
    pub(super) depth: usize,
    pub(super) operators: usize,
    /// How many parameters have come.
    pub(super) parameters: usize,
}

impl<'t> Parser<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self {
            whole: text,
            current: next_token(text, 0),
            depth: 0,
            operators: 0,
            parameters: 0,
        }
    }

    pub(super) const fn kind(&self) -> TokenKind {
        self.current.kind
    }

    pub(super) const fn span(&self) -> Span {
        self.current.span
    }

    /// The whole statement.
    pub(super) const fn whole(&self) -> &'t str {
        self.whole
    }

    /// The current token as it is written.
    pub(super) fn text(&self) -> &'t str {
        let Span { start, end } = self.current.span;
        &self.whole[start..end]
    }

    pub(super) fn advance(&mut self) {
        self.current = next_token(self.whole, self.current.span.end);
    }

    fn next(&self) -> Token {
        next_token(self.whole, self.current.span.end)
    }

    /// True when this symbol comes right after the current token.
    pub(super) fn follows(&self, symbol: u8) -> bool {
        self.next().kind == TokenKind::Symbol(symbol)
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
            Err(self.malformed())
        }
    }

    /// True when the current token is this word, in any capitals.
    pub(super) fn at_word(&self, word: &str) -> bool {
        self.current.kind == TokenKind::Word && self.text().eq_ignore_ascii_case(word)
    }

    pub(super) fn accept_word(&mut self, word: &str) -> bool {
        let found = self.at_word(word);
        if found {
            self.advance();
        }
        found
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.accept_word(word) {
            Ok(())
        } else {
            Err(self.malformed())
        }
    }

    /// True when the current token can be a name.
    pub(super) fn at_name(&self) -> bool {
        match self.current.kind {
            TokenKind::Quoted => true,
            TokenKind::Word => !RESERVED.iter().any(|word| self.text().eq_ignore_ascii_case(word)),
            _ => false,
        }
    }

    /// Takes a name.
    pub(super) fn name(&mut self) -> Parsed<String> {
        if !self.at_name() {
            return Err(self.malformed());
        }
        let name = match self.current.kind {
            TokenKind::Quoted => unquoted(self.text()),
            _ => self.text().to_owned(),
        };
        if name.is_empty() {
            return Err(self.problem(Problem::EmptyName));
        }
        self.advance();
        Ok(name)
    }

    /// The current token does not fit.
    pub(super) fn malformed(&self) -> StatementError {
        self.problem(Problem::Malformed(self.whole.to_owned()))
    }

    /// A problem of the current token.
    pub(super) fn problem(&self, problem: impl Into<Problem>) -> StatementError {
        self.problem_at(self.current.span, problem)
    }

    pub(super) fn problem_at(&self, span: Span, problem: impl Into<Problem>) -> StatementError {
        StatementError::new(self.whole, span, problem)
    }
}
