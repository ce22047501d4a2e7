//! Looks at what the nodes say of their groups, again and again.

use super::everyone::Everyone;
use super::invariant::one_leader::Leaders;

/// How often.
const EVERY_MS: u64 = 20;

/// Watches until the run ends.
pub(super) fn watch(everyone: &Everyone) {
    let own = everyone.clone();
    everyone.control.spawn(Box::pin(async move {
        let mut leaders = Leaders::default();
        loop {
            for id in &*own.nodes {
                let seen = own.node(*id).map(|node| node.groups()).unwrap_or_default();
                if let Err(reason) = leaders.observe(*id, &seen) {
                    own.control.fail(reason);
                }
            }
            own.pause(EVERY_MS).await;
        }
    }));
}
