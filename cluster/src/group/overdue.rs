//! Transactions that are prepared in a group and that nobody ends: its leader finds out what has become of them.
//!
//! Invariant: a coordinator that is gone leaves a lock for no longer than that takes. Not here: the ledger, which knows
//! (`coordinator/ledger.rs`), parts that are prepared (`transact.rs`).

use std::sync::Arc;

use super::replica::{Replica, State};

/// A part that is prepared for so long, in milliseconds, belongs to a transaction whose coordinator may be gone.
const OVERDUE_MS: u64 = 1_000;

impl Replica {
    /// Finds out what has become of transactions that have been prepared here for long. The caller holds the state.
    pub(super) fn tend_locks(self: &Arc<Self>, state: &mut State) {
        if state.locks.is_empty() || !state.core.may_serve() {
            return;
        }
        let ticks = OVERDUE_MS.div_ceil(self.host.settings.timing.tick_ms.max(1));
        let tick = state.ticks;
        for held in state.locks.overdue(tick, ticks) {
            let Some(courier) = self.host.courier().map(Arc::clone) else {
                return;
            };
            let replica = Arc::clone(self);
            let transaction = held.prepare.transaction;
            tracing::debug!(group = self.group, %transaction, "a transaction is long in coming to an end");
            self.host.world.spawn(Box::pin(async move {
                let resolved = courier.resolve(replica.group, &held.prepare.ledger, (transaction, held.index));
                if let Err(error) = resolved.await {
                    tracing::debug!(%transaction, %error, "what has become of a transaction is not known yet");
                }
                let mut state = replica.state.lock();
                let tick = state.ticks;
                state.locks.resolved(transaction, tick);
            }));
        }
    }
}
