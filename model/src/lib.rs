//! The DynamoDB data model.

pub mod attribute;
pub mod codec;
pub mod item;
pub mod number;
