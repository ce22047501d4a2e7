//! JSON as a tree in which every value knows where it was: what a document is read from.
//!
//! Invariant: no object has a member twice, and nothing lies deeper than the grammar of policies can use. What the
//! values mean is the part of `document.rs`.

use std::ops::Range;

use jiter::{Jiter, JiterError, Peek};

use super::error::{DocumentError, Position, Problem};

/// Deepest nesting: a policy needs seven levels.
const DEPTH_MAX: usize = 12;

/// A value and where it begins and ends.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) value: Json,
    pub(super) begin: Position,
    pub(super) end: Position,
    /// Where it stands in the text.
    pub(super) bytes: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Json {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<(String, Node)>),
}

impl Node {
    /// The refusal of this value.
    pub(super) fn refuse(&self, problem: Problem) -> DocumentError {
        DocumentError {
            position: self.begin,
            problem,
        }
    }

    /// The same, for JSON of another shape than is wanted here.
    pub(super) fn unexpected(&self, wanted: &str) -> DocumentError {
        self.refuse(Problem::Syntax(wanted.to_owned()))
    }

    /// The text, or the refusal that says that `what` is to be text.
    pub(super) fn text(&self, what: &str) -> Result<&str, DocumentError> {
        match &self.value {
            Json::Text(text) => Ok(text),
            _ => Err(self.unexpected(&format!("{what} must be a string"))),
        }
    }

    /// The members, or the refusal that says that `what` is to be an object.
    pub(super) fn members(&self, what: &str) -> Result<&[(String, Self)], DocumentError> {
        match &self.value {
            Json::Object(members) => Ok(members),
            _ => Err(self.unexpected(&format!("{what} must be an object"))),
        }
    }

    /// The elements of a list, or the one value that stands for a list of one.
    pub(super) fn one_or_many(&self) -> &[Self] {
        match &self.value {
            Json::List(nodes) => nodes,
            _ => std::slice::from_ref(self),
        }
    }
}

/// Reads a whole document.
///
/// # Errors
/// [`Problem::Json`] with its place.
pub(super) fn read(text: &str) -> Result<Node, DocumentError> {
    let mut reader = Reader {
        json: Jiter::new(text.as_bytes()),
    };
    let node = reader.node(0)?;
    let end = reader.json.finish();
    end.map_err(|error| reader.broken(&error))?;
    Ok(node)
}

struct Reader<'t> {
    json: Jiter<'t>,
}

impl Reader<'_> {
    fn broken(&self, error: &JiterError) -> DocumentError {
        let position = error.get_position(&self.json);
        DocumentError {
            position: Position {
                line: position.line,
                column: position.column,
            },
            problem: Problem::Json(error.error_type.to_string()),
        }
    }

    /// Where the reader is.
    fn here(&self) -> Position {
        let position = self.json.current_position();
        Position {
            line: position.line,
            column: position.column,
        }
    }

    fn node(&mut self, depth: usize) -> Result<Node, DocumentError> {
        let peek = self.json.peek().map_err(|error| self.broken(&error))?;
        let (begin, first) = (self.here(), self.json.current_index());
        if depth > DEPTH_MAX {
            return Err(DocumentError {
                position: begin,
                problem: Problem::Syntax("nested too deeply".to_owned()),
            });
        }
        let value = match peek {
            Peek::Null => self.json.known_null().map(|()| Json::Null),
            Peek::True | Peek::False => self.json.known_bool(peek).map(Json::Bool),
            Peek::String => self.json.known_str().map(|text| Json::Text(text.to_owned())),
            Peek::Array => Ok(self.list(depth)?),
            Peek::Object => Ok(self.object(depth)?),
            number => self
                .json
                .known_number_bytes(number)
                .map(|bytes| Json::Number(String::from_utf8_lossy(bytes).into_owned())),
        };
        let value = value.map_err(|error| self.broken(&error))?;
        let end = self.here();
        let bytes = first..self.json.current_index();
        Ok(Node {
            value,
            begin,
            end,
            bytes,
        })
    }

    fn list(&mut self, depth: usize) -> Result<Json, DocumentError> {
        let mut nodes = Vec::new();
        let mut next = self.json.known_array().map_err(|error| self.broken(&error))?;
        while next.is_some() {
            nodes.push(self.node(depth + 1)?);
            next = self.json.array_step().map_err(|error| self.broken(&error))?;
        }
        Ok(Json::List(nodes))
    }

    fn object(&mut self, depth: usize) -> Result<Json, DocumentError> {
        let mut members: Vec<(String, Node)> = Vec::new();
        let first = self.json.known_object().map(|name| name.map(str::to_owned));
        let mut next = first.map_err(|error| self.broken(&error))?;
        while let Some(name) = next {
            let node = self.node(depth + 1)?;
            if members.iter().any(|(other, _)| *other == name) {
                return Err(node.refuse(Problem::Json(format!("duplicate member \"{name}\""))));
            }
            members.push((name, node));
            let step = self.json.next_key().map(|name| name.map(str::to_owned));
            next = step.map_err(|error| self.broken(&error))?;
        }
        Ok(Json::Object(members))
    }
}
