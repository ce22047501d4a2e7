//! What clients of a store saw, and whether a store without faults could have shown it to them.
//!
//! `history` takes down what clients did, `check` judges it. Nothing here knows how the store is made or how it was
//! asked: simulated clusters and running ones are held against the same measure.

pub mod check;
pub mod history;
