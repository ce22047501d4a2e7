//! The `stator` binary.

mod arn;
mod catalog;
mod constraint;
mod message;
mod operation;
mod wire;

fn main() {}
