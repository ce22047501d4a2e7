//! A counter is what was added, each addition once: no less than what was acknowledged, and no more than that and what
//! may have been done.

use crate::check::cell::{Input, Output, Seen};
use crate::history::Operations;
use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::place::Place;

/// Checks a counter: a place where every write is an addition of something above zero.
///
/// # Errors
/// When its last answered read found too little or too much.
pub(in crate::scenario::cluster) fn check(
    place: &Place,
    operations: &Operations<Input, Output>,
) -> Result<(), String> {
    let reads = operations.iter().filter_map(|operation| match operation.ended {
        Some((ended, output)) if operation.input == Input::Read => Some((operation.began, ended, output)),
        _ => None,
    });
    let Some((began, ended, output)) = reads.max_by_key(|(began, ..)| *began) else {
        return Ok(());
    };
    let Seen::Was(found) = output.old else {
        return Ok(());
    };
    let found = found.map_or(0, |cell| cell.value);
    let additions = operations.iter().filter_map(|operation| match operation.input {
        Input::Add { delta, .. } => Some((operation, delta)),
        _ => None,
    });
    let (mut least, mut most) = (0, 0);
    for (operation, delta) in additions {
        if operation.ended.is_some_and(|(end, _)| end < began) {
            least += delta;
        }
        if operation.began < ended {
            most += delta;
        }
    }
    if (least..=most).contains(&found) {
        Ok(())
    } else {
        Err(Invariant::Counted.broken(format_args!(
            "{place} is {found}; {least} was acknowledged, and with what may have been done it is {most}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::check::cell::Stored;
    use crate::history::{Client, Operation};
    use crate::scenario::cluster::place::KeyspaceName;

    #[test]
    fn a_counter_lies_between_what_was_acknowledged_and_what_may_be() {
        let at = |began: u64, is_answered: bool, input: Input, output: Output| Operation {
            client: Client(1),
            input,
            began,
            ended: is_answered.then_some((began + 1, output)),
            began_at: Duration::ZERO,
        };
        let place = Place {
            keyspace: KeyspaceName::new("main"),
            key: 100,
        };
        let found = |value| {
            let operations = vec![
                at(0, true, Input::Add { delta: 5, by: 1 }, Output::done()),
                at(2, false, Input::Add { delta: 3, by: 2 }, Output::done()),
                at(
                    4,
                    true,
                    Input::Read,
                    Output::found(Some(Stored { value: 1, by: 1 })),
                ),
                at(6, true, Input::Read, Output::found(Some(Stored { value, by: 2 }))),
                at(9, true, Input::Add { delta: 100, by: 3 }, Output::done()),
            ];
            check(&place, &operations)
        };
        assert_eq!([found(5), found(8)], [Ok(()), Ok(())]);
        for wrong in [4, 9, 10, 108] {
            let reason = found(wrong).unwrap_err();
            assert!(reason.starts_with("counted: main/100 is "), "{reason}");
        }
    }
}
