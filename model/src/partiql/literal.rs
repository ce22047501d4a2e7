//! Values that a statement states: literals in stored form, and parameters.
//!
//! Invariant: a [`Literal`] is one complete value in stored form. A parameter stands for a whole value, never for a part of
//! one.

use super::error::{Problem, StatementError};
use super::expression::{Expression, Node};
use super::parser::Parsed;
use crate::attribute::{Kind, RawValue};
use crate::codec::{DEPTH_MAX, Writer};

/// A value that is written in the statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Literal(Box<[u8]>);

/// A value of a statement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Written in the statement.
    Literal(Literal),
    /// The parameter with this number, counted from 0.
    Parameter(usize),
}

impl Literal {
    /// Writes one value; `write` writes exactly one.
    pub(super) fn written(write: impl FnOnce(&mut Writer)) -> Self {
        let mut writer = Writer::default();
        write(&mut writer);
        Self(writer.into_bytes().into_boxed_slice())
    }

    /// The value.
    pub fn value(&self) -> RawValue<'_> {
        RawValue::trusted(&self.0)
    }
}

impl Value {
    /// The type, if the statement says it.
    pub fn kind(&self) -> Option<Kind> {
        match self {
            Self::Literal(literal) => Some(literal.value().kind()),
            Self::Parameter(_) => None,
        }
    }
}

/// Writes literals of one statement.
struct Converter<'t> {
    text: &'t str,
    writer: Writer,
    /// Keys and indexes of the containers around what is being written.
    under: Vec<String>,
}

/// The value that an expression is; `under` is the key that it is of, for messages.
///
/// # Errors
/// [`StatementError`] when it is none.
pub(super) fn value(text: &str, expression: &Expression) -> Parsed<Value> {
    if let Node::Parameter(number) = expression.node {
        return Ok(Value::Parameter(number));
    }
    let mut converter = Converter {
        text,
        writer: Writer::default(),
        under: Vec::new(),
    };
    converter.convert(expression)?;
    Ok(Value::Literal(Literal(
        converter.writer.into_bytes().into_boxed_slice(),
    )))
}

/// The entries of the tuple that an item is given as.
///
/// # Errors
/// [`StatementError`] when it is no tuple of values with names.
pub(super) fn entries(text: &str, item: &Expression) -> Parsed<Vec<(String, Value)>> {
    let Node::Tuple(entries) = &item.node else {
        return Err(StatementError::new(text, item.span, Problem::ItemFormat));
    };
    let mut values: Vec<(String, Value)> = Vec::with_capacity(entries.len());
    for (key, of_key) in entries {
        let name = key_text(text, key, "root")?;
        if name.is_empty() {
            return Err(StatementError::new(text, key.span, Problem::EmptyName));
        }
        if values.iter().any(|(other, _)| other == name) {
            let (key_name, under) = (name.to_owned(), "root".to_owned());
            let problem = Problem::DuplicateKey { key: key_name, under };
            return Err(StatementError::new(text, key.span, problem));
        }
        values.push((name.to_owned(), value(text, of_key)?));
    }
    Ok(values)
}

/// The name that the key of a tuple is.
fn key_text<'e>(text: &str, key: &'e Expression, under: &str) -> Parsed<&'e str> {
    if let Node::Text(name) = &key.node {
        return Ok(name);
    }
    let (kind, under) = (key.kind(), under.to_owned());
    let problem = Problem::TupleKey { kind, under };
    Err(StatementError::new(text, key.span, problem))
}

impl Converter<'_> {
    fn error(&self, at: &Expression, problem: Problem) -> StatementError {
        StatementError::new(self.text, at.span, problem)
    }

    /// The way to what is being written, as messages show it.
    fn under(&self) -> String {
        let mut under = "root".to_owned();
        for key in &self.under {
            under.push('.');
            under.push_str(key);
        }
        under
    }

    fn convert(&mut self, expression: &Expression) -> Parsed<()> {
        match &expression.node {
            Node::Text(text) => self.writer.string(text),
            Node::Number(number) => self.writer.number(number),
            Node::Bool(flag) => self.writer.bool(*flag),
            Node::Null => self.writer.null(),
            Node::List(elements) => return self.list(expression, elements),
            Node::Bag(elements) => return self.set(expression, elements),
            Node::Tuple(entries) => return self.map(expression, entries),
            Node::Ion => {
                let (kind, under) = ("Literal", self.under());
                return Err(self.error(expression, Problem::Ion { kind, under }));
            }
            _ => {
                let kind = if self.under.is_empty() {
                    self.text[expression.span.start..expression.span.end].to_owned()
                } else {
                    expression.kind().to_owned()
                };
                let kind = if matches!(expression.node, Node::Missing) {
                    "MISSING".to_owned()
                } else {
                    kind
                };
                let under = self.under();
                return Err(self.error(expression, Problem::DataType { kind, under }));
            }
        }
        Ok(())
    }

    /// Checks that a container may be written here.
    fn enter(&self, at: &Expression) -> Parsed<()> {
        if self.under.len() < DEPTH_MAX {
            return Ok(());
        }
        Err(self.error(at, Problem::TooDeep))
    }

    fn list(&mut self, at: &Expression, elements: &[Expression]) -> Parsed<()> {
        self.enter(at)?;
        let scope = self.writer.begin_list();
        for (index, element) in elements.iter().enumerate() {
            self.under.push(index.to_string());
            self.writer.element();
            self.convert(element)?;
            self.under.pop();
        }
        self.writer.end_list(&scope);
        Ok(())
    }

    fn map(&mut self, at: &Expression, entries: &[(Expression, Expression)]) -> Parsed<()> {
        self.enter(at)?;
        let scope = self.writer.begin_map();
        let mut names: Vec<&str> = Vec::with_capacity(entries.len());
        for (key, value) in entries {
            let name = key_text(self.text, key, &self.under())?;
            if name.is_empty() {
                return Err(self.error(key, Problem::EmptyName));
            }
            if names.contains(&name) {
                let (name, under) = (name.to_owned(), self.under());
                return Err(self.error(key, Problem::DuplicateKey { key: name, under }));
            }
            names.push(name);
            self.under.push(name.to_owned());
            self.writer.name(name.as_bytes());
            self.convert(value)?;
            self.under.pop();
        }
        self.writer.end_map(&scope);
        Ok(())
    }

    fn set(&mut self, at: &Expression, elements: &[Expression]) -> Parsed<()> {
        let kind = match elements.first().map(|element| &element.node) {
            None => return Err(self.error(at, Problem::EmptyBag)),
            Some(Node::Number(_)) => Kind::Number,
            Some(_) => Kind::String,
        };
        let scope = self.writer.begin_set(kind);
        for element in elements {
            match &element.node {
                Node::Text(text) if kind == Kind::String => self.writer.set_element(text.as_bytes()),
                Node::Number(number) if kind == Kind::Number => {
                    self.writer.set_element(number.encode().as_bytes());
                }
                _ => return Err(self.error(element, Problem::BagType)),
            }
        }
        let ended = self.writer.end_set(&scope);
        ended.map_err(|_| self.error(at, Problem::DuplicateElements))
    }
}
