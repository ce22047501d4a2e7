//! The `stator` binary.

mod arn;
mod catalog;
mod clock;
mod constraint;
mod message;
mod operation;
mod random;
mod wire;

fn main() {}
