//! The `stator` binary.
fn main() {}
