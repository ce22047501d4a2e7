//! Where the operations of one request went and how long they took, for whoever wants to know.
//!
//! A request that is followed ([`follow`]) has a record that the coordinator adds to on the request's own task; without one nothing is
//! measured. Invariant: the record has a fixed size, however many operations there are. Not here: routes (`coordinator/route.rs`),
//! what is made of the record.

use std::cell::RefCell;
use std::time::Duration;

use crate::ring::RangeId;
use crate::world::NodeId;

tokio::task_local! {
    static FOLLOWED: RefCell<Option<Followed>>;
}

/// What was seen of the operations of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Operations that were carried out or given up.
    pub operations: u32,
    /// How long they took together; those that went at the same time count each.
    pub took: Duration,
    /// The one that took longest.
    pub slowest: Option<Hop>,
}

/// An operation: where it went in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The token range; none for the metadata.
    pub range: Option<RangeId>,
    /// The node whose replica was asked last.
    pub node: NodeId,
    /// How many replicas were asked, one after the other.
    pub tries: usize,
    /// From the first try to the end of the last one.
    pub took: Duration,
}

/// Follows a request, if that is `wanted`: what happens within the future is recorded until it ends.
pub fn follow<F: Future>(wanted: bool, request: F) -> impl Future<Output = F::Output> {
    FOLLOWED.scope(RefCell::new(wanted.then(Followed::default)), request)
}

/// What was seen so far of the request that this task is busy with; `None` when it is not followed.
pub fn followed() -> Option<Followed> {
    FOLLOWED.try_with(|followed| *followed.borrow()).ok().flatten()
}

/// Whether somebody wants to know.
pub(crate) fn is_followed() -> bool {
    followed().is_some()
}

/// Adds an operation that is over.
pub(crate) fn note(hop: Hop) {
    let note = |followed: &RefCell<Option<Followed>>| {
        let mut followed = followed.borrow_mut();
        let Some(followed) = &mut *followed else { return };
        followed.operations = followed.operations.saturating_add(1);
        followed.took = followed.took.saturating_add(hop.took);
        if followed.slowest.is_none_or(|slowest| slowest.took < hop.took) {
            followed.slowest = Some(hop);
        }
    };
    // Nobody wants to know otherwise.
    FOLLOWED.try_with(note).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(node: u64, took_ms: u64) -> Hop {
        Hop {
            range: Some(RangeId(7)),
            node: NodeId(node),
            tries: 1,
            took: Duration::from_millis(took_ms),
        }
    }

    #[tokio::test]
    async fn a_request_that_is_followed_has_the_sum_and_the_slowest_of_its_operations() {
        let seen = follow(true, async {
            for (node, took_ms) in [(1, 5), (2, 30), (3, 10)] {
                tokio::task::yield_now().await;
                note(hop(node, took_ms));
            }
            followed()
        });
        let (seen, other, unwanted) = tokio::join!(
            seen,
            follow(true, async { followed() }),
            follow(false, async { followed() })
        );
        let expected = Followed {
            operations: 3,
            took: Duration::from_millis(45),
            slowest: Some(hop(2, 30)),
        };
        assert_eq!(seen, Some(expected));
        assert_eq!((other, unwanted), (Some(Followed::default()), None));
    }

    #[test]
    fn nothing_is_recorded_of_a_request_that_is_not_followed() {
        note(hop(1, 1));
        assert!(!is_followed());
        assert_eq!(followed(), None);
    }
}
