//! Compaction: merging sstables down the levels.
//!
//! Invariant: [`picker`] decides and touches nothing, [`job`] carries out and decides nothing, [`retention`] says
//! which versions a snapshot may still ask for, [`filter`] what the owner has to say about the rest; [`mend`] writes what
//! is left of a damaged file.

use std::collections::BTreeSet;

use parking_lot::Mutex;

pub(crate) mod filter;
pub(crate) mod job;
mod mend;
pub(crate) mod pace;
pub(crate) mod picker;
pub(crate) mod retention;

/// The sstables that running compactions read or replace, so that no two touch the same.
#[derive(Debug, Default)]
pub(crate) struct Compactions(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    busy: BTreeSet<u64>,
    running: u64,
}

/// Sstables that are reserved for one compaction, until it is dropped.
#[derive(Debug)]
pub(crate) struct Reservation<'a> {
    of: &'a Compactions,
    numbers: Vec<u64>,
}

impl Compactions {
    /// Lets `choose` make a choice with the sstables that are in use, and reserves what `numbers` says of it.
    pub(crate) fn reserve<C>(
        &self,
        choose: impl FnOnce(&BTreeSet<u64>) -> Option<C>,
        numbers: impl FnOnce(&C) -> Vec<u64>,
    ) -> Option<(C, Reservation<'_>)> {
        let mut state = self.0.lock();
        let choice = choose(&state.busy)?;
        let numbers = numbers(&choice);
        state.busy.extend(&numbers);
        state.running += 1;
        Some((choice, Reservation { of: self, numbers }))
    }

    /// How many compactions run.
    pub(crate) fn running(&self) -> u64 {
        self.0.lock().running
    }
}

impl Drop for Reservation<'_> {
    fn drop(&mut self) {
        let mut state = self.of.0.lock();
        for number in &self.numbers {
            state.busy.remove(number);
        }
        state.running -= 1;
    }
}
