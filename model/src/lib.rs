//! The DynamoDB data model: values, 38-digit numbers, items, keys and expressions, all on one stored form.
//!
//! Pure and synchronous: no I/O, no clock, no HTTP and no JSON. The layout of stored bytes is in `docs/format/`.

pub mod attribute;
pub mod codec;
pub mod expression;
pub mod index;
pub mod item;
pub mod key;
pub mod number;
pub mod partiql;
