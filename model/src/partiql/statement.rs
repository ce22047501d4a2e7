//! The statements, and their grammar.
//!
//! Invariant: a statement that changes an item names a table, never an index.

use super::condition::{Condition, condition};
use super::error::{Problem, StatementError};
use super::expression::Node;
use super::lexer::TokenKind;
use super::literal::{Value, entries};
use super::parser::{AFTER_EXPRESSION, NO_CHANGE, NO_NAME_IN_PATH, Parsed, Parser};
use super::update::{Change, set};
use crate::expression::{Element, Path, Projection};

/// A `*` in a list that has other members.
const STAR_IN_LIST: &str =
    "Other expressions may not be present in the select list when '*' is used without dot notation.";
/// No name where a path of names is wanted.
const NO_SIMPLE_PATH: &str = "Expected identifier for simple path";

/// A statement on one table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Statement {
    /// `SELECT`
    Select(Select),
    /// `INSERT`
    Insert(Insert),
    /// `UPDATE`
    Update(Update),
    /// `DELETE`
    Delete(Delete),
    /// `EXISTS(SELECT ...)`: a condition of a transaction.
    Exists(Select),
}

/// What is read from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Name of the table, as it is written.
    pub table: String,
    /// Name of one of its indexes.
    pub index: Option<String>,
}

/// `SELECT paths FROM source WHERE condition ORDER BY order`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Select {
    /// What is shown of the items; `None` is `*`. No two are shown under one name.
    pub paths: Option<Vec<Path>>,
    /// What is read from.
    pub source: Source,
    /// Which items are read.
    pub condition: Option<Condition>,
    /// In which order.
    pub order: Vec<Order>,
}

/// A part of `ORDER BY`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// Name of the attribute.
    pub attribute: String,
    /// `DESC`
    pub descending: bool,
}

/// `INSERT INTO table VALUE {...}`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Insert {
    /// Name of the table, as it is written.
    pub table: String,
    /// The attributes of the item, no two of one name.
    pub attributes: Vec<(String, Value)>,
}

/// `UPDATE table SET ... REMOVE ... WHERE condition RETURNING returning`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Update {
    /// Name of the table, as it is written.
    pub table: String,
    /// What is changed; at least one.
    pub changes: Vec<Change>,
    /// Which item, and what it has to be like.
    pub condition: Option<Condition>,
    /// What is shown of it.
    pub returning: Option<Returning>,
}

/// `DELETE FROM table WHERE condition RETURNING ALL OLD *`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Name of the table, as it is written.
    pub table: String,
    /// Which item, and what it has to be like.
    pub condition: Option<Condition>,
    /// Whether the item is shown.
    pub returns_old: bool,
}

/// `RETURNING`
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returning {
    /// `ALL OLD *`
    AllOld,
    /// `ALL NEW *`
    AllNew,
    /// `MODIFIED OLD *`
    ModifiedOld,
    /// `MODIFIED NEW *`
    ModifiedNew,
}

impl Returning {
    /// As it is written.
    const fn text(self) -> &'static str {
        match self {
            Self::AllOld => "ALL OLD *",
            Self::AllNew => "ALL NEW *",
            Self::ModifiedOld => "MODIFIED OLD *",
            Self::ModifiedNew => "MODIFIED NEW *",
        }
    }
}

/// The name under which a `SELECT` shows what it finds at a path: its last name, with the indexes behind it.
pub(super) fn shown_name(path: &Path) -> String {
    let mut name = path.top_level().to_owned();
    for element in path.below() {
        name = match element {
            Element::Name(last) => last.clone().into(),
            Element::Index(index) => format!("{name}[{index}]"),
        };
    }
    name
}

impl Select {
    /// What is shown of the items; `None` is all attributes.
    ///
    /// # Errors
    /// [`Problem::Expression`] when two of the paths get in each other's way.
    pub fn projection(&self) -> Result<Option<Projection>, StatementError> {
        let named = |paths: &Vec<Path>| {
            let named = paths.iter().map(|path| (shown_name(path), path.clone()));
            Projection::named(named.collect()).map_err(StatementError::of_whole)
        };
        self.paths.as_ref().map(named).transpose()
    }
}

impl Statement {
    /// Parses a statement. Returns it with the number of its parameters.
    ///
    /// # Errors
    /// [`StatementError`] when the text is none that DynamoDB supports.
    pub fn parse(text: &str) -> Result<(Self, usize), StatementError> {
        let mut parser = Parser::new(text);
        let statement = parser.statement()?;
        let is_ended = parser.accept(TokenKind::Symbol(b';'));
        if parser.kind() != TokenKind::End {
            return Err(parser.malformed(if is_ended {
                "Unexpected token after semicolon. (Only one query is allowed.)"
            } else {
                AFTER_EXPRESSION
            }));
        }
        Ok((statement, parser.parameters))
    }

    /// The table that the statement names.
    pub fn table(&self) -> &str {
        match self {
            Self::Select(select) | Self::Exists(select) => &select.source.table,
            Self::Insert(insert) => &insert.table,
            Self::Update(update) => &update.table,
            Self::Delete(delete) => &delete.table,
        }
    }
}

impl Parser<'_> {
    fn statement(&mut self) -> Parsed<Statement> {
        if self.accept_word("SELECT") {
            return self.select().map(Statement::Select);
        }
        if self.accept_word("INSERT") {
            return self.insert().map(Statement::Insert);
        }
        if self.accept_word("UPDATE") {
            return self.update().map(Statement::Update);
        }
        if self.accept_word("DELETE") {
            return self.delete().map(Statement::Delete);
        }
        if self.at_word("EXISTS") && self.follows(b'(') {
            self.advance();
            self.advance();
            self.expect_word("SELECT")?;
            let select = self.select()?;
            self.expect(TokenKind::Symbol(b')'))?;
            return Ok(Statement::Exists(select));
        }
        for (word, operation) in [("CREATE", "CreateTable"), ("DROP", "DropTable")] {
            if self.at_word(word) {
                return Err(self.problem(Problem::Operation(operation)));
            }
        }
        // Anything else is an expression in PartiQL.
        self.expression()?;
        Err(if self.kind() == TokenKind::End {
            self.repeated()
        } else {
            self.malformed(AFTER_EXPRESSION)
        })
    }

    fn select(&mut self) -> Parsed<Select> {
        let paths = self.projection()?;
        if !self.accept_word("FROM") {
            return Err(self.malformed("Expected FROM after SELECT list"));
        }
        let source = self.source()?;
        self.no_alias()?;
        if self.kind() == TokenKind::Symbol(b',') || self.at_any(&["JOIN", "INNER", "LEFT", "RIGHT", "CROSS"])
        {
            return Err(self.problem(Problem::ManySources));
        }
        let condition = self.where_clause()?;
        for (word, clause) in [("GROUP", "GROUP BY"), ("HAVING", "HAVING")] {
            if self.at_word(word) {
                return Err(self.problem(Problem::Clause(clause)));
            }
        }
        let order = if self.accept_word("ORDER") {
            self.order()?
        } else {
            Vec::new()
        };
        for clause in ["LIMIT", "OFFSET"] {
            if self.accept_word(clause) {
                return Err(self.problem(Problem::Clause(clause)));
            }
        }
        Ok(Select {
            paths,
            source,
            condition,
            order,
        })
    }

    fn at_any(&self, words: &[&str]) -> bool {
        words.iter().any(|word| self.at_word(word))
    }

    fn projection(&mut self) -> Parsed<Option<Vec<Path>>> {
        if self.at_word("DISTINCT") {
            return Err(self.problem(Problem::Token("DISTINCT".to_owned())));
        }
        if self.at_any(&["VALUE", "PIVOT"]) {
            return Err(self.problem(Problem::SelectValue));
        }
        if self.accept(TokenKind::Symbol(b'*')) {
            if self.kind() == TokenKind::Symbol(b',') {
                return Err(self.malformed(STAR_IN_LIST));
            }
            return Ok(None);
        }
        let mut paths: Vec<Path> = Vec::new();
        let mut names: Vec<String> = Vec::new();
        loop {
            if self.kind() == TokenKind::Symbol(b'*') {
                return Err(self.malformed(STAR_IN_LIST));
            }
            let expression = self.expression()?;
            let Node::Path(path) = expression.node else {
                return Err(self.problem_at(expression.span, Problem::PathComponent));
            };
            self.no_alias()?;
            let name = shown_name(&path);
            if names.contains(&name) {
                return Err(self.problem_at(expression.span, Problem::DuplicateName(name)));
            }
            names.push(name);
            paths.push(path);
            if !self.accept(TokenKind::Symbol(b',')) {
                return Ok(Some(paths));
            }
        }
    }

    fn no_alias(&self) -> Parsed<()> {
        if self.at_any(&["AS", "AT"]) || self.at_name() {
            return Err(self.problem(Problem::Alias));
        }
        Ok(())
    }

    fn source(&mut self) -> Parsed<Source> {
        if self.kind() == TokenKind::Text {
            return Err(self.problem(Problem::Source));
        }
        let source = self.named_source()?;
        match self.kind() {
            TokenKind::Symbol(b'-' | b'+' | b'*' | b'/' | b'[' | b'(') => Err(self.problem(Problem::Source)),
            _ => Ok(source),
        }
    }

    /// The names of a table and of an index.
    fn named_source(&mut self) -> Parsed<Source> {
        let table = self.name()?;
        let mut index = None;
        if self.accept(TokenKind::Symbol(b'.')) {
            if !self.at_name() {
                return Err(self.malformed(NO_NAME_IN_PATH));
            }
            index = Some(self.name()?);
        }
        if self.kind() == TokenKind::Symbol(b'.') {
            return Err(self.problem(Problem::SourcePath));
        }
        Ok(Source { table, index })
    }

    /// The table of a statement that changes an item. What follows it is no part of its name, whatever it is.
    fn table(&mut self) -> Parsed<String> {
        let at = self.span();
        if !self.at_name() {
            return Err(self.malformed(NO_SIMPLE_PATH));
        }
        let Source { table, index } = self.named_source()?;
        match index {
            Some(_) => Err(self.problem_at(at, Problem::OnIndex)),
            None => Ok(table),
        }
    }

    fn where_clause(&mut self) -> Parsed<Option<Condition>> {
        if !self.accept_word("WHERE") {
            return Ok(None);
        }
        let expression = self.expression()?;
        condition(self.whole(), expression).map(Some)
    }

    fn order(&mut self) -> Parsed<Vec<Order>> {
        self.expect_word("BY")?;
        let mut order = Vec::new();
        loop {
            let expression = self.expression()?;
            let kind = expression.kind();
            let attribute = match expression.node {
                Node::Path(path) if path.is_attribute() => path.top_level().to_owned(),
                _ => return Err(self.problem_at(expression.span, Problem::OrderArgument(kind))),
            };
            let descending = self.accept_word("DESC") || {
                self.accept_word("ASC");
                false
            };
            order.push(Order {
                attribute,
                descending,
            });
            if !self.accept(TokenKind::Symbol(b',')) {
                return Ok(order);
            }
        }
    }

    fn insert(&mut self) -> Parsed<Insert> {
        if !self.accept_word("INTO") {
            return Err(self.malformed("Unexpected keyword"));
        }
        let table = self.table()?;
        if !self.accept_word("VALUE") {
            return Err(self.insertion());
        }
        let item = self.expression()?;
        if self.at_word("RETURNING") {
            return Err(self.problem(Problem::ReturningInInsert));
        }
        let attributes = entries(self.whole(), &item)?;
        Ok(Insert { table, attributes })
    }

    /// What is wrong with an `INSERT` without `VALUE`, which inserts what an expression gives.
    fn insertion(&mut self) -> StatementError {
        if self.at_word("VALUES") && !self.follows(b'(') {
            return self.malformed("Expected LEFT_PAREN for row value constructor");
        }
        if let Err(error) = self.expression() {
            return error;
        }
        self.accept(TokenKind::Symbol(b';'));
        if self.kind() == TokenKind::End {
            self.problem(Problem::Operation("InsertOp"))
        } else {
            self.malformed(AFTER_EXPRESSION)
        }
    }

    fn update(&mut self) -> Parsed<Update> {
        let table = self.table()?;
        let mut changes = Vec::new();
        loop {
            if self.accept_word("SET") {
                loop {
                    let target = self.target()?;
                    self.expect(TokenKind::Equal)?;
                    let side = self.expression()?;
                    changes.push(set(self.whole(), target, side)?);
                    if !self.accept(TokenKind::Symbol(b',')) {
                        break;
                    }
                }
            } else if self.accept_word("REMOVE") {
                let target = self.target()?;
                changes.push(Change::Remove { target });
            } else {
                break;
            }
        }
        if changes.is_empty() {
            return Err(self.malformed(NO_CHANGE));
        }
        let condition = self.where_clause()?;
        let returning = self.returning()?;
        Ok(Update {
            table,
            changes,
            condition,
            returning,
        })
    }

    fn target(&mut self) -> Parsed<Path> {
        if !self.at_name() {
            return Err(self.malformed(NO_SIMPLE_PATH));
        }
        let expression = self.path()?;
        match expression.node {
            Node::Path(path) => Ok(path),
            _ => Err(self.repeated()),
        }
    }

    fn delete(&mut self) -> Parsed<Delete> {
        if !self.accept_word("FROM") {
            return Err(self.malformed("Expected FROM after DELETE"));
        }
        let table = self.table()?;
        let condition = self.where_clause()?;
        let at = self.span();
        let returns_old = match self.returning()? {
            None => false,
            Some(Returning::AllOld) => true,
            Some(other) => return Err(self.problem_at(at, Problem::ReturningInDelete(other.text()))),
        };
        Ok(Delete {
            table,
            condition,
            returns_old,
        })
    }

    fn returning(&mut self) -> Parsed<Option<Returning>> {
        if !self.accept_word("RETURNING") {
            return Ok(None);
        }
        let all = self.accept_word("ALL");
        if !all {
            self.expect_word("MODIFIED")?;
        }
        let old = self.accept_word("OLD");
        if !old {
            self.expect_word("NEW")?;
        }
        if !self.accept(TokenKind::Symbol(b'*')) {
            return Err(self.problem(Problem::ReturningStar));
        }
        if self.kind() == TokenKind::Symbol(b',') {
            return Err(self.problem(Problem::ManyReturning));
        }
        Ok(Some(match (all, old) {
            (true, true) => Returning::AllOld,
            (true, false) => Returning::AllNew,
            (false, true) => Returning::ModifiedOld,
            (false, false) => Returning::ModifiedNew,
        }))
    }
}
