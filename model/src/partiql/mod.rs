//! PartiQL as DynamoDB speaks it: from the text of a statement to what it asks of one table.
//!
//! The way of a statement: [`Statement::parse`] says which of the few statements it is, with typed conditions and changes;
//! a [`Speller`] then puts those into the words of the expression language, with placeholders made there, so that nothing
//! below knows a second language. Invariants: no text makes this room panic or recurse without bound, and what is refused is
//! refused with its place in the text ([`StatementError::position`]). Which keys a table has is not known here.
//!
//! Rules: Amazon DynamoDB Developer Guide, "PartiQL - a SQL-compatible query language for Amazon DynamoDB"; where it is
//! silent, DynamoDB Local.

mod condition;
mod error;
mod expression;
mod lexer;
mod literal;
mod parser;
mod spell;
mod statement;
mod update;

pub use condition::{Condition, Operand};
pub use error::{Place, Problem, StatementError};
pub use literal::{Literal, Value};
pub use spell::Speller;
pub use statement::{Delete, Insert, Order, Returning, Select, Source, Statement, Update};
pub use update::{Change, SetValue};

#[cfg(test)]
mod tests;
