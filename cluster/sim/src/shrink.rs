//! Makes a failing schedule shorter: leaves out what the failure does not need.
//!
//! Invariant: what comes out fails, by the last word of whoever was asked. Parts are left out by halves first and one by
//! one at last, as in Zeller and Hildebrandt's "Simplifying and Isolating Failure-Inducing Input" (2002).

/// Finds a part of `0..length` that still fails, asking `fails` at most so many times. The whole is taken to fail.
pub fn shrink(length: usize, attempts_max: usize, mut fails: impl FnMut(&[usize]) -> bool) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..length).collect();
    let mut attempts = attempts_max;
    let mut size = kept.len();
    while size > 0 {
        let mut start = 0;
        let mut has_shrunk = false;
        while start < kept.len() {
            if attempts == 0 {
                return kept;
            }
            attempts -= 1;
            let left_out = start..start.saturating_add(size).min(kept.len());
            let places = kept.iter().enumerate();
            let rest: Vec<usize> = places
                .filter(|(place, _)| !left_out.contains(place))
                .map(|(_, entry)| *entry)
                .collect();
            if fails(&rest) {
                kept = rest;
                has_shrunk = true;
            } else {
                start += size;
            }
        }
        // One by one until nothing more can go: leaving out one thing may have made another one needless.
        if size > 1 || !has_shrunk {
            size /= 2;
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_is_left_and_nothing_else() {
        for needed in [vec![], vec![0], vec![13], vec![2, 3], vec![0, 7, 15]] {
            let kept = shrink(16, 1_000, |rest| needed.iter().all(|one| rest.contains(one)));
            assert_eq!(kept, needed);
        }
    }

    #[test]
    fn a_thing_that_becomes_needless_goes_too() {
        // 1 is needed only as long as 5 is there.
        let kept = shrink(8, 1_000, |rest| {
            rest.contains(&7) && (rest.contains(&1) || !rest.contains(&5))
        });
        assert_eq!(kept, [7]);
    }

    #[test]
    fn it_stops_when_it_was_asked_often_enough() {
        let mut asked = 0;
        let kept = shrink(100, 10, |_| {
            asked += 1;
            false
        });
        assert_eq!((asked, kept.len()), (10, 100));
    }
}
