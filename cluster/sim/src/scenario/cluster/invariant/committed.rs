//! Reads at ONE show committed writes only, and a refused write is never seen.
//!
//! A cell names the write that has made it. Whoever has seen it at ONE proves that the write had been committed by then:
//! so its operation ends, for the check of linearizability, no later than that. If the write is lost after all, the
//! history has no order. Invariant: an operation is only ever made shorter, and only to a moment at which it is known to
//! have taken effect.

use std::collections::{BTreeMap, BTreeSet};

use crate::check::cell::{Input, Output, Seen, Stored};
use crate::history::{Client, Operation, Operations};
use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::place::Place;

/// What a read at ONE has found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::scenario::cluster) struct Glimpse {
    pub(in crate::scenario::cluster) client: Client,
    pub(in crate::scenario::cluster) place: Place,
    /// The moment after which it was seen, in the history's count.
    pub(in crate::scenario::cluster) began: u64,
    /// The moment before which it was seen.
    pub(in crate::scenario::cluster) ended: u64,
    pub(in crate::scenario::cluster) found: Option<Stored>,
}

pub(in crate::scenario::cluster) type Histories = BTreeMap<Place, Operations<Input, Output>>;

/// Ends writes when they were seen, at the latest.
///
/// # Errors
/// The first cell that no write can have made by then.
pub(in crate::scenario::cluster) fn witness(
    histories: &mut Histories,
    glimpses: &[Glimpse],
) -> Result<(), String> {
    nobody_sees_what_was_refused(histories)?;
    for glimpse in glimpses {
        let Some(found) = glimpse.found else {
            continue;
        };
        let nothing = Vec::new();
        let operations = histories.get(&glimpse.place).unwrap_or(&nothing);
        let writer = operations
            .iter()
            .position(|operation| operation.began < glimpse.ended && may_have_made(operation, found));
        let Some(writer) = writer else {
            return Err(Invariant::Committed.broken(format_args!(
                "{} has read {found:?} of {} at ONE between {} and {}, which no write had made that was not refused",
                glimpse.client, glimpse.place, glimpse.began, glimpse.ended
            )));
        };
        let operation = histories
            .get_mut(&glimpse.place)
            .and_then(|operations| operations.get_mut(writer));
        if let Some(operation) = operation {
            operation.ended = Some(match operation.ended.take() {
                Some((ended, output)) => (ended.min(glimpse.ended), output),
                None => (glimpse.ended, Output::done()),
            });
        }
    }
    Ok(())
}

/// Whether a write may have made this cell.
fn may_have_made(operation: &Operation<Input, Output>, found: Stored) -> bool {
    let is_done = operation.ended.is_none_or(|(_, output)| output.is_done);
    is_done
        && match operation.input {
            Input::Put(new) | Input::CompareAndSet { new, .. } => new == found,
            Input::Add { by, .. } => by == found.by,
            Input::Read | Input::Delete { .. } => false,
        }
}

/// Operations that were refused are not in the history: what they would have made must not be seen.
fn nobody_sees_what_was_refused(histories: &Histories) -> Result<(), String> {
    for (place, operations) in histories {
        let writers: BTreeSet<u64> = operations
            .iter()
            .filter(|operation| operation.ended.is_none_or(|(_, output)| output.is_done))
            .filter_map(|operation| operation.input.by())
            .collect();
        for operation in operations {
            if let Some((_, output)) = operation.ended
                && let Seen::Was(Some(found)) = output.old
                && !writers.contains(&found.by)
            {
                return Err(Invariant::Committed.broken(format_args!(
                    "of {place}, {operation} has seen a write that was refused, or that nobody has made"
                )));
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::cell::Cell;
    use crate::check::linearizable::{CONFIGURATIONS_MAX, check_keys};
    use crate::scenario::cluster::place::KeyspaceName;

    const A: Stored = Stored { value: 1, by: 1 };
    const B: Stored = Stored { value: 2, by: 2 };

    fn place() -> Place {
        Place {
            keyspace: KeyspaceName::new("main"),
            key: 1,
        }
    }

    fn at(began: u64, ended: Option<u64>, input: Input, output: Output) -> Operation<Input, Output> {
        Operation {
            client: Client(1),
            input,
            began,
            ended: ended.map(|ended| (ended, output)),
            began_at: Duration::ZERO,
        }
    }

    fn glimpse(began: u64, found: Stored) -> Glimpse {
        Glimpse {
            client: Client(2),
            place: place(),
            began,
            ended: began + 1,
            found: Some(found),
        }
    }

    /// A is written, B is lost, and later A is still there.
    fn lost() -> Histories {
        let operations = vec![
            at(0, Some(1), Input::Put(A), Output::done()),
            at(2, None, Input::Put(B), Output::done()),
            at(8, Some(9), Input::Read, Output::found(Some(A))),
        ];
        [(place(), operations)].into()
    }

    #[test]
    fn a_lost_write_may_be_lost_unless_somebody_has_seen_it() {
        for (glimpses, is_fine) in [
            (vec![], true),
            (vec![glimpse(4, A)], true),
            (vec![glimpse(4, B)], false),
        ] {
            let mut histories = lost();
            witness(&mut histories, &glimpses).unwrap();
            let judged = check_keys(&Cell, &histories, CONFIGURATIONS_MAX);
            assert_eq!(judged.is_ok(), is_fine, "{glimpses:?}: {judged:?}");
        }
    }

    #[test]
    fn what_was_never_written_or_not_yet_must_not_be_seen_at_one() {
        let other = Stored { value: 2, by: 9 };
        for wrong in [glimpse(4, other), glimpse(0, B)] {
            let reason = witness(&mut lost(), &[wrong]).unwrap_err();
            assert!(reason.starts_with("committed: client 2 has read"), "{reason}");
        }
    }

    #[test]
    fn an_answer_that_tells_of_a_refused_write_is_wrong() {
        let mut histories = lost();
        let refused = Output {
            old: Seen::Was(Some(Stored { value: 3, by: 77 })),
            is_done: false,
        };
        let compare = Input::CompareAndSet {
            expected: None,
            new: Stored { value: 4, by: 4 },
        };
        histories
            .entry(place())
            .or_default()
            .push(at(10, Some(11), compare, refused));
        let reason = witness(&mut histories, &[]).unwrap_err();
        assert!(reason.contains("a write that was refused"), "{reason}");
    }
}
