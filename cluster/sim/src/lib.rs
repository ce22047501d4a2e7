//! Deterministic simulation of a cluster: whole runs in one thread under one seed, broken on purpose, and checked.
//!
//! `kernel` is the world (time, randomness, tasks, network, disks, crashes), `fault` breaks it by a schedule that the seed
//! decides, `history` takes down what clients did, `check` looks for what must not be, `shrink` makes a failing schedule
//! short, `scenario` puts them together, `runner` runs many seeds. Invariant: the same seed gives the same trace. Not
//! here: the cluster itself, which is given its `World` and `Network` by the kernel.

pub mod check;
mod clock;
pub mod fault;
pub mod kernel;
pub mod random;
pub mod runner;
pub mod scenario;
pub mod shrink;
pub mod trace;

pub use stator_history::history;
