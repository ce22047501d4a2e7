//! Tells followers up to where entries are committed, of many groups at once.
//!
//! Followers need it to apply entries, nobody waits for it: every next entry of a group says it as well. Sent by itself
//! after each commit it would double the messages of a group that is not busy, so that it is sent a little later, and for
//! all groups of the node together. Invariant: what is committed is on its way to all members after [`DELAY`]. Not here:
//! what is lost on the way, which the next heartbeat says again.

use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::replica::Replica;

/// How much later a follower may apply an entry for it: far less than a client at ONE expects to lag.
const DELAY: Duration = Duration::from_millis(5);

/// The replicas of a node that lead and owe their followers something.
#[derive(Debug, Default)]
pub(crate) struct Pulse {
    waiting: Mutex<Vec<Weak<Replica>>>,
}

impl Pulse {
    /// Lets the followers of `replica` know soon.
    pub(super) fn add(replica: &Arc<Replica>) {
        let mut waiting = replica.host.pulse.waiting.lock();
        waiting.push(Arc::downgrade(replica));
        if waiting.len() > 1 {
            return;
        }
        drop(waiting);
        let host = Arc::clone(&replica.host);
        replica.host.world.spawn(Box::pin(async move {
            host.world.sleep(DELAY).await;
            let waiting = std::mem::take(&mut *host.pulse.waiting.lock());
            for replica in waiting.iter().filter_map(Weak::upgrade) {
                replica.tell_commit();
            }
            host.outbox.flush();
        }));
    }
}
