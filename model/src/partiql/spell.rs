//! From the types of statements to the words of the expression language.
//!
//! Names and values stand in these texts as placeholders made here (`#q0`, `:q1`), so that no name is a reserved word and
//! no value is spelled. Invariant: a text that is made here says what the statement says.

use std::fmt::Write as _;

use super::condition::{Condition, Operand};
use super::error::{Problem, StatementError};
use super::literal::{Literal, Value};
use super::update::{Change, SetValue};
use crate::attribute::RawValue;
use crate::expression::{Element, Path, Placeholders};

/// Spells what one statement says.
#[derive(Debug)]
pub struct Speller<'p> {
    placeholders: &'p mut Placeholders,
    /// Where the values of the parameters start in the writer of the placeholders.
    parameters: &'p [usize],
    count: usize,
}

/// What stands around a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Around {
    Nothing,
    Any,
    All,
    Not,
}

impl<'p> Speller<'p> {
    /// A speller that makes placeholders among these; `parameters` says where the values of the parameters start in their
    /// writer.
    pub fn new(placeholders: &'p mut Placeholders, parameters: &'p [usize]) -> Self {
        // Another speller may have made some before.
        let count = placeholders.names().count() + placeholders.values().count();
        Self {
            placeholders,
            parameters,
            count,
        }
    }

    /// A value of the statement.
    ///
    /// # Errors
    /// [`Problem::Parameters`] when there is no such parameter.
    pub fn value<'a>(&'a self, value: &'a Value) -> Result<RawValue<'a>, StatementError> {
        match value {
            Value::Literal(literal) => Ok(literal.value()),
            Value::Parameter(number) => Ok(self.placeholders.written_at(self.start(*number)?)),
        }
    }

    fn start(&self, number: usize) -> Result<usize, StatementError> {
        let missing = || StatementError::of_whole(Problem::Parameters);
        self.parameters.get(number).copied().ok_or_else(missing)
    }

    /// The text of a condition.
    ///
    /// # Errors
    /// [`Problem::Parameters`] when a parameter is missing.
    pub fn condition(&mut self, condition: &Condition) -> Result<String, StatementError> {
        let mut text = String::new();
        self.spell_condition(&mut text, condition, Around::Nothing)?;
        Ok(text)
    }

    /// The text of an update.
    ///
    /// # Errors
    /// [`Problem::Parameters`] when a parameter is missing, [`Problem::SetValue`] when one is no set that has to be.
    pub fn update(&mut self, changes: &[Change]) -> Result<String, StatementError> {
        let (mut set, mut remove, mut add, mut delete) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for change in changes {
            let mut text = String::new();
            match change {
                Change::Set { target, value } => {
                    self.spell_path(&mut text, target)?;
                    text.push_str(" = ");
                    self.spell_set_value(&mut text, value)?;
                    set.push(text);
                }
                Change::Remove { target } => {
                    self.spell_path(&mut text, target)?;
                    remove.push(text);
                }
                Change::Add { target, value } => {
                    self.spell_set(&mut text, "ADD", target, value)?;
                    add.push(text);
                }
                Change::Delete { target, value } => {
                    self.spell_set(&mut text, "DELETE", target, value)?;
                    delete.push(text);
                }
            }
        }
        let clauses = [("SET", set), ("REMOVE", remove), ("ADD", add), ("DELETE", delete)];
        let clauses = clauses.iter().filter(|(_, actions)| !actions.is_empty());
        let clauses: Vec<String> = clauses
            .map(|(clause, actions)| format!("{clause} {}", actions.join(", ")))
            .collect();
        Ok(clauses.join(" "))
    }

    fn spell_condition(
        &mut self,
        out: &mut String,
        condition: &Condition,
        around: Around,
    ) -> Result<(), StatementError> {
        match condition {
            Condition::All(members) => {
                self.spell_members(out, members, " AND ", Around::All, around == Around::Not)?;
            }
            Condition::Any(members) => {
                let enclosed = matches!(around, Around::Not | Around::All);
                self.spell_members(out, members, " OR ", Around::Any, enclosed)?;
            }
            Condition::Not(denied) => {
                out.push_str("NOT ");
                self.spell_condition(out, denied, Around::Not)?;
            }
            Condition::Compare {
                comparator,
                left,
                right,
            } => {
                self.spell_operand(out, left)?;
                // Writing to a string does not fail.
                let _infallible = write!(out, " {} ", comparator.symbol());
                self.spell_operand(out, right)?;
            }
            Condition::Between {
                operand,
                lower,
                upper,
            } => {
                self.spell_operand(out, operand)?;
                out.push_str(" BETWEEN ");
                self.spell_operand(out, lower)?;
                out.push_str(" AND ");
                self.spell_operand(out, upper)?;
            }
            Condition::In { operand, candidates } => {
                self.spell_operand(out, operand)?;
                out.push_str(" IN ");
                self.spell_arguments(out, candidates)?;
            }
            Condition::Missing(path) => {
                out.push_str("attribute_not_exists(");
                self.spell_path(out, path)?;
                out.push(')');
            }
            Condition::Is { operand, kind } => {
                out.push_str("attribute_type(");
                self.spell_operand(out, operand)?;
                let kind = Literal::written(|writer| writer.string(kind.descriptor()));
                let kind = self.place(&Value::Literal(kind))?;
                let _infallible = write!(out, ", {kind})");
            }
            Condition::Call { function, arguments } => {
                out.push_str(function);
                self.spell_arguments(out, arguments)?;
            }
        }
        Ok(())
    }

    fn spell_members(
        &mut self,
        out: &mut String,
        members: &[Condition],
        separator: &str,
        around: Around,
        enclosed: bool,
    ) -> Result<(), StatementError> {
        if enclosed {
            out.push('(');
        }
        for (index, member) in members.iter().enumerate() {
            if index > 0 {
                out.push_str(separator);
            }
            self.spell_condition(out, member, around)?;
        }
        if enclosed {
            out.push(')');
        }
        Ok(())
    }

    fn spell_arguments(&mut self, out: &mut String, arguments: &[Operand]) -> Result<(), StatementError> {
        for (index, argument) in arguments.iter().enumerate() {
            out.push_str(if index == 0 { "(" } else { ", " });
            self.spell_operand(out, argument)?;
        }
        out.push(')');
        Ok(())
    }

    fn spell_operand(&mut self, out: &mut String, operand: &Operand) -> Result<(), StatementError> {
        match operand {
            Operand::Path(path) => self.spell_path(out, path),
            Operand::Value(value) => {
                let value = self.place(value)?;
                out.push_str(&value);
                Ok(())
            }
            Operand::Size(of) => {
                out.push_str("size(");
                self.spell_operand(out, of)?;
                out.push(')');
                Ok(())
            }
        }
    }

    fn spell_set_value(&mut self, out: &mut String, value: &SetValue) -> Result<(), StatementError> {
        match value {
            SetValue::Path(path) => self.spell_path(out, path),
            SetValue::Value(value) => {
                let value = self.place(value)?;
                out.push_str(&value);
                Ok(())
            }
            SetValue::Call { function, arguments } => {
                out.push_str(function);
                for (index, argument) in arguments.iter().enumerate() {
                    out.push_str(if index == 0 { "(" } else { ", " });
                    self.spell_set_value(out, argument)?;
                }
                out.push(')');
                Ok(())
            }
            SetValue::Arithmetic { first, rest } => {
                self.spell_set_value(out, first)?;
                for (sum, operand) in rest {
                    out.push_str(if *sum { " + " } else { " - " });
                    self.spell_set_value(out, operand)?;
                }
                Ok(())
            }
        }
    }

    /// An action of an `ADD` or `DELETE` clause on a set.
    fn spell_set(
        &mut self,
        out: &mut String,
        operator: &'static str,
        target: &Path,
        value: &Value,
    ) -> Result<(), StatementError> {
        if self.value(value)?.kind().element().is_none() {
            return Err(StatementError::of_whole(Problem::SetValue(operator)));
        }
        self.spell_path(out, target)?;
        let value = self.place(value)?;
        let _infallible = write!(out, " {value}");
        Ok(())
    }

    fn spell_path(&mut self, out: &mut String, path: &Path) -> Result<(), StatementError> {
        out.push_str(&self.name(path.top_level())?);
        for element in path.below() {
            match element {
                Element::Name(name) => {
                    out.push('.');
                    out.push_str(&self.name(name)?);
                }
                Element::Index(index) => {
                    let _infallible = write!(out, "[{index}]");
                }
            }
        }
        Ok(())
    }

    fn next(&mut self, first: char) -> String {
        let placeholder = format!("{first}q{}", self.count);
        self.count += 1;
        placeholder
    }

    /// A placeholder of a name.
    fn name(&mut self, name: &str) -> Result<String, StatementError> {
        let placeholder = self.next('#');
        self.placeholders
            .add_name(placeholder.clone(), name.to_owned())
            .map_err(StatementError::of_whole)?;
        Ok(placeholder)
    }

    /// A placeholder of a value.
    fn place(&mut self, value: &Value) -> Result<String, StatementError> {
        let start = match value {
            Value::Literal(literal) => {
                let writer = self.placeholders.values_writer();
                let start = writer.len();
                writer.raw(literal.value());
                start
            }
            Value::Parameter(number) => self.start(*number)?,
        };
        let placeholder = self.next(':');
        self.placeholders
            .add_value(placeholder.clone(), start)
            .map_err(StatementError::of_whole)?;
        Ok(placeholder)
    }
}
