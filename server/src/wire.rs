//! The wire: the DynamoDB JSON 1.0 protocol. The only room beside `http` that knows JSON.

pub(crate) mod decode;
pub(crate) mod encode;
pub(crate) mod error;
pub(crate) mod head;
pub(crate) mod query;
pub(crate) mod target;
