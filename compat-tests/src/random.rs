//! Random numbers of a seed, so that a run can be asked for again: the same seed draws the same faults and the same
//! requests. What the machine's scheduler makes of them differs.

use std::time::Duration;

use rand_core::{Rng, SeedableRng};
use rand_xoshiro::Xoshiro256PlusPlus;

/// A stream of random numbers.
#[derive(Debug, Clone)]
pub struct Random(Xoshiro256PlusPlus);

impl Random {
    /// The stream of a seed and a purpose, which is a number.
    pub fn new(seed: u64, purpose: u64) -> Self {
        // Neighbouring purposes must not give neighbouring streams (the constant: splitmix64's, which is odd).
        let mixed = purpose.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31);
        Self(Xoshiro256PlusPlus::seed_from_u64(seed ^ mixed))
    }

    /// Any number.
    pub fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number below `bound`; 0 when that is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        let scaled = (u128::from(self.number()) * u128::from(bound)) >> 64;
        u64::try_from(scaled).unwrap_or_default()
    }

    /// True in so many cases of a hundred.
    pub fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    /// One of the choices; `None` when there is none.
    pub fn pick<'a, T>(&mut self, choices: &'a [T]) -> Option<&'a T> {
        let bound = u64::try_from(choices.len()).unwrap_or(u64::MAX);
        choices.get(usize::try_from(self.below(bound)).unwrap_or_default())
    }

    /// A duration below `bound`, to the microsecond.
    pub fn duration(&mut self, bound: Duration) -> Duration {
        Duration::from_micros(self.below(u64::try_from(bound.as_micros()).unwrap_or(u64::MAX)))
    }

    /// 32 hexadecimal digits in the form of a UUID, as SDKs name their calls.
    pub fn uuid(&mut self) -> String {
        let (high, low) = (self.number(), self.number());
        let digits = format!("{high:016x}{low:016x}");
        let parts: Vec<&str> = [0..8, 8..12, 12..16, 16..20, 20..32]
            .into_iter()
            .filter_map(|range| digits.get(range))
            .collect();
        parts.join("-")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_and_a_purpose_give_one_stream() {
        let draw = |seed, purpose| Random::new(seed, purpose).number();
        assert_eq!(draw(1, 2), draw(1, 2));
        assert_ne!(draw(1, 2), draw(1, 3));
        assert_ne!(draw(1, 2), draw(2, 2));
    }

    #[test]
    fn what_is_drawn_is_within_bounds() {
        let mut random = Random::new(7, 0);
        let mut seen = [false; 3];
        for _ in 0..100 {
            seen[usize::try_from(random.below(3)).unwrap()] = true;
            assert!(random.duration(Duration::from_millis(1)) < Duration::from_millis(1));
        }
        assert_eq!((seen, random.below(0)), ([true; 3], 0));
        assert_eq!(random.pick::<u8>(&[]), None);
        assert!(random.pick(&[5, 6]).is_some_and(|picked| [5, 6].contains(picked)));
    }

    #[test]
    fn a_uuid_has_five_groups_of_digits() {
        let uuid = Random::new(7, 0).uuid();
        let lengths: Vec<usize> = uuid.split('-').map(str::len).collect();
        assert_eq!(lengths, [8, 4, 4, 4, 12]);
    }
}
