//! DynamoDB's expression language: conditions, updates, projections and key conditions, from their text to what they do
//! with items in stored form.
//!
//! The way of an expression: [`Placeholders`] are filled, each text is parsed with them, [`Placeholders::check_all_used`]
//! finds the superfluous ones, and then expression and placeholders together may travel to where the item is. What can
//! be refused without an item is refused by `parse`.
//!
//! Invariants: no text and no item makes this room panic or recurse without bound; operands are compared as slices of
//! the stored form, without a copy. Which parameter of which operation a text came from, and what keys a table has, is
//! not known here.

pub mod condition;
mod error;
mod function;
pub mod key_condition;
mod lexer;
mod mention;
mod parser;
mod path;
mod placeholders;
pub mod projection;
mod reserved;
mod tree;
pub mod update;

pub use condition::Condition;
pub use error::{ExpressionError, UpdateError};
pub use key_condition::KeyCondition;
pub use mention::mentioned;
pub(crate) use path::INDEX_MAX;
pub use path::{Element, Path, Relation};
pub use placeholders::{Placeholders, ValueId};
pub use projection::Projection;
pub use update::Update;

#[cfg(test)]
mod tests;
