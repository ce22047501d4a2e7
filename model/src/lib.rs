//! The DynamoDB data model.

pub mod attribute;
pub mod codec;
pub mod expression;
pub mod item;
pub mod number;
