//! Randomness of a run: every number that is drawn anywhere comes from its seed.
//!
//! Invariant: each purpose has a stream of its own, made of the seed, a name and a number, so that one more draw in one
//! place does not shift what another place draws. Only whole numbers are used, and the way from a stream's bits to a
//! number is written down here: a seed means the same run on every machine and after every update of a library.

use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A million, the whole of which chances are parts.
const MILLION: u64 = 1_000_000;

/// What a run is made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seed(pub u64);

impl Seed {
    /// The stream of a purpose. The same seed, purpose and number give the same stream.
    pub fn stream(self, purpose: &str, number: u64) -> Stream {
        let named = xxh3_64_with_seed(purpose.as_bytes(), self.0);
        let numbered = xxh3_64_with_seed(&number.to_le_bytes(), named);
        Stream(Xoshiro256PlusPlus::seed_from_u64(numbered))
    }
}

/// Numbers for one purpose.
#[derive(Clone, Debug)]
pub struct Stream(Xoshiro256PlusPlus);

impl Stream {
    /// Any number.
    pub fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when that is 0. The bias of the multiplication is below `bound` in 2^64.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.next_u64()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or(0)
    }

    /// A number from `low` to `high`, both included; `low` when `high` is below it.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low).saturating_add(1))
    }

    /// True in so many cases of a million.
    pub fn chance(&mut self, ppm: u32) -> bool {
        self.below(MILLION) < u64::from(ppm)
    }

    /// One of `choices`; `None` when there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let index = self.index(choices.len());
        choices.get(index)
    }

    /// Puts `items` into an order in which each is as likely as any other.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// A time out of a spread.
    pub fn duration(&mut self, spread: &Spread) -> Duration {
        let (low, high) = if self.chance(spread.tail_ppm) {
            (spread.usual, spread.tail)
        } else {
            (spread.least, spread.usual)
        };
        Duration::from_nanos(self.between(nanoseconds(low), nanoseconds(high)))
    }

    fn index(&mut self, length: usize) -> usize {
        let bound = u64::try_from(length).unwrap_or(u64::MAX);
        usize::try_from(self.below(bound)).unwrap_or(0)
    }
}

/// How long something takes: usually between `least` and `usual`, sometimes between `usual` and `tail`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// The shortest time.
    pub least: Duration,
    /// The longest of the usual times.
    pub usual: Duration,
    /// How many of a million take longer than usual.
    pub tail_ppm: u32,
    /// The longest time.
    pub tail: Duration,
}

impl Spread {
    /// Always the same time.
    pub const fn exactly(time: Duration) -> Self {
        Self {
            least: time,
            usual: time,
            tail_ppm: 0,
            tail: time,
        }
    }

    /// Any time between two, equally likely.
    pub const fn uniform(least: Duration, usual: Duration) -> Self {
        Self {
            least,
            usual,
            tail_ppm: 0,
            tail: usual,
        }
    }
}

/// Whole nanoseconds; 584 years and everything above are the same.
pub(crate) fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_is_made_of_seed_purpose_and_number() {
        let draw = |seed, purpose, number| Seed(seed).stream(purpose, number).next_u64();
        assert_eq!(draw(1, "a", 1), draw(1, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(2, "a", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "b", 1));
        assert_ne!(draw(1, "a", 1), draw(1, "a", 2));
    }

    #[test]
    fn the_first_draws_of_a_seed_never_change() {
        let mut stream = Seed(7).stream("golden", 0);
        let drawn: Vec<u64> = (0..4).map(|_| stream.below(1000)).collect();
        assert_eq!(drawn, [153, 369, 866, 500]);
    }

    #[test]
    fn numbers_stay_within_their_bounds_and_reach_both_ends() {
        let mut stream = Seed(1).stream("bounds", 0);
        let drawn: Vec<u64> = (0..1000).map(|_| stream.between(3, 5)).collect();
        assert!(drawn.iter().all(|number| (3..=5).contains(number)));
        assert!((3..=5).all(|number| drawn.contains(&number)));
        assert_eq!(stream.below(0), 0);
        assert_eq!(stream.between(9, 2), 9);
        assert!(!stream.chance(0));
        assert!(stream.chance(1_000_000));
        assert_eq!(stream.pick::<u8>(&[]), None);
    }

    #[test]
    fn a_spread_has_usual_times_and_a_tail() {
        let spread = Spread {
            least: Duration::from_millis(1),
            usual: Duration::from_millis(2),
            tail_ppm: 100_000,
            tail: Duration::from_secs(1),
        };
        let mut stream = Seed(1).stream("spread", 0);
        let drawn: Vec<Duration> = (0..10_000).map(|_| stream.duration(&spread)).collect();
        let long = drawn.iter().filter(|time| **time > spread.usual).count();
        assert!((800..1200).contains(&long), "{long}");
        assert!(
            drawn
                .iter()
                .all(|time| (spread.least..=spread.tail).contains(time))
        );
    }
}
