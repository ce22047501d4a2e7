//! The LSM engine.
