//! The token stream of a statement, and the errors about its form.
//!
//! DynamoDB tells what PartiQL's own parser stumbles over, in the words of that parser ("Expected data manipulation", "Unexpected
//! keyword", "Invalid path dot component"). Sources: the service's answers in awsdocs/aws-sdk-for-javascript-v3 issue 98 and
//! passren/PyDynamoDB issues 26 and 28; `SqlParser.kt` of partiql-lang-kotlin. Where it is not known what it says, the statement
//! is repeated, as DynamoDB Local does.

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

/// Neither a change nor anything else that is known to be wrong comes where a change is wanted.
pub(super) const NO_CHANGE: &str = "Expected data manipulation";
/// What may be a whole expression goes on.
pub(super) const AFTER_EXPRESSION: &str = "Unexpected token after expression";
/// A point in a path with no name behind it.
pub(super) const NO_NAME_IN_PATH: &str = "Invalid path dot component";
/// An operator that has nothing on its right.
pub(super) const NO_RIGHT_SIDE: &str = "Missing right-hand side expression of infix operator";

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
            return Ok(());
        }
        let cause = match kind {
            TokenKind::Equal => "Expected '='",
            TokenKind::CloseBag => "Expected RIGHT_DOUBLE_ANGLE_BRACKET",
            TokenKind::Symbol(b')') => "Expected RIGHT_PAREN",
            TokenKind::Symbol(b']') => "Expected RIGHT_BRACKET",
            TokenKind::Symbol(b'}') => "Expected RIGHT_CURLY",
            TokenKind::Symbol(b':') => "Expected COLON",
            _ => return Err(self.repeated()),
        };
        Err(self.malformed(cause))
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
            Err(self.repeated())
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
            return Err(self.unexpected());
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

    /// The current token does not fit, for this reason. What is no token at all does so for another one.
    pub(super) fn malformed(&self, cause: &str) -> StatementError {
        if self.current.kind == TokenKind::Unknown {
            return self.repeated();
        }
        self.problem(Problem::Malformed(cause.to_owned()))
    }

    /// The current token does not fit, and it is not known what DynamoDB says.
    pub(super) fn repeated(&self) -> StatementError {
        self.problem(Problem::Malformed(self.whole.to_owned()))
    }

    /// The current token begins no expression.
    pub(super) fn unexpected(&self) -> StatementError {
        let cause = match self.current.kind {
            // `FROM table` begins a change of its items in PartiQL.
            TokenKind::Word if self.at_word("FROM") => NO_CHANGE,
            TokenKind::Word => "Unexpected keyword",
            TokenKind::Equal
            | TokenKind::NotEqual
            | TokenKind::Less
            | TokenKind::LessEqual
            | TokenKind::Greater
            | TokenKind::GreaterEqual
            | TokenKind::Concatenate
            | TokenKind::Symbol(b'/' | b'%') => "Unexpected operator",
            _ => "Unexpected term",
        };
        self.malformed(cause)
    }

    /// A problem of the current token.
    pub(super) fn problem(&self, problem: impl Into<Problem>) -> StatementError {
        self.problem_at(self.current.span, problem)
    }

    pub(super) fn problem_at(&self, span: Span, problem: impl Into<Problem>) -> StatementError {
        StatementError::new(self.whole, span, problem)
    }
}
