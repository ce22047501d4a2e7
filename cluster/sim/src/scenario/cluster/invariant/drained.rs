//! Writes that were hinted arrive, in their order: a cell of which one client has hinted one write after the other goes
//! through some of them, never back, and ends with the last.

use crate::scenario::cluster::invariant::Invariant;
use crate::scenario::cluster::place::Place;

/// Checks what a cell was, read after read, while hints were on their way. Writes are numbered in the order in which they
/// were acknowledged, from 1; `before` is what the cell was before the first.
///
/// # Errors
/// When it was something else, went back, or did not end with write `last`.
pub(in crate::scenario::cluster) fn check(
    place: &Place,
    before: Option<i64>,
    last: i64,
    found: &[Option<i64>],
) -> Result<(), String> {
    let mut reached = 0;
    for value in found {
        let number = match *value {
            value if value == before => 0,
            Some(number) if (1..=last).contains(&number) => number,
            other => {
                return Err(Invariant::Drained.broken(format_args!(
                    "{place} was {other:?}, which is neither {before:?} nor one of {last} hinted writes"
                )));
            }
        };
        if number < reached {
            return Err(Invariant::Drained.broken(format_args!(
                "{place} went back from hinted write {reached} to {value:?}"
            )));
        }
        reached = number;
    }
    if reached == last {
        Ok(())
    } else {
        Err(Invariant::Drained.broken(format_args!(
            "{place} has ended with hinted write {reached} of {last}"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::cluster::place::KeyspaceName;

    #[test]
    fn hinted_writes_come_in_order_up_to_the_last() {
        let place = Place {
            keyspace: KeyspaceName::new("main"),
            key: 1,
        };
        let found = |found: &[i64]| {
            let found: Vec<_> = found.iter().map(|value| Some(*value)).collect();
            check(&place, Some(-1), 5, &found)
        };
        assert_eq!(found(&[-1, -1, 1, 2, 4, 5, 5]), Ok(()));
        assert_eq!(found(&[5]), Ok(()));
        for (wrong, why) in [
            (&[-1, 2, 1, 5][..], "went back from hinted write 2"),
            (&[5, -1], "went back from hinted write 5"),
            (&[-1, 4], "has ended with hinted write 4 of 5"),
            (&[7, 5], "neither"),
            (&[], "has ended with hinted write 0"),
        ] {
            let reason = found(wrong).unwrap_err();
            assert!(
                reason.starts_with("drained: ") && reason.contains(why),
                "{reason}"
            );
        }
        assert_eq!(check(&place, None, 1, &[None, Some(1)]), Ok(()));
    }
}
