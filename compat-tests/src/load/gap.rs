//! Silence: the longest time between two answers.

use std::time::Duration;

/// A time in which nothing was answered. The longer one is the greater one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Gap {
    /// How long it was.
    pub length: Duration,
    /// When it began, since the load did.
    pub from: Duration,
}

impl Gap {
    /// The longest of the gaps between `begun`, the moments, and `ended`. Moments may come in any order; those after `ended`
    /// count as it.
    pub fn longest(moments: impl Iterator<Item = Duration>, begun: Duration, ended: Duration) -> Self {
        let mut moments: Vec<Duration> = moments.map(|moment| moment.min(ended)).collect();
        moments.push(ended);
        moments.sort_unstable();
        let mut longest = Self::default();
        let mut from = begun;
        for moment in moments {
            let length = moment.saturating_sub(from);
            longest = longest.max(Self { length, from });
            from = moment;
        }
        longest
    }
}

impl std::fmt::Display for Gap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (length, from) = (self.length.as_secs_f64(), self.from.as_secs_f64());
        write!(f, "{length:.3} s (from {from:.3} s on)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gap_may_be_first_between_or_last() {
        let longest = |moments: &[u64], begun, ended| {
            let moments = moments.iter().copied().map(Duration::from_secs);
            let gap = Gap::longest(moments, Duration::from_secs(begun), Duration::from_secs(ended));
            (gap.from.as_secs(), gap.length.as_secs())
        };
        assert_eq!(longest(&[14, 11, 12], 10, 15), (12, 2));
        assert_eq!(longest(&[14, 15], 10, 15), (10, 4));
        assert_eq!(longest(&[11, 12], 10, 15), (12, 3));
        assert_eq!(longest(&[], 10, 15), (10, 5));
        assert_eq!(longest(&[11, 20], 10, 15), (11, 4));
    }
}
