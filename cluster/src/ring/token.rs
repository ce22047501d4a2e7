//! Tokens, token ranges, and the ranges that a span of key bytes touches.
//!
//! Invariant: order is kept all the way down. Key bytes in ascending order have tokens in ascending order, and these
//! lie in ranges in ascending order, so that a span of keys touches a run of neighbouring ranges. Not here: the hash
//! that makes a token (`stator_model::key`), and which nodes hold a range.

use std::fmt;
use std::iter::FusedIterator;
use std::ops::Bound;

use crate::coordinator::{Bounds, Direction};

/// Bytes of a token at the head of key bytes (`docs/format/key.md`).
const TOKEN_BYTES: usize = 8;

/// A place on the ring: the first eight of a cell's key bytes, big-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(pub u64);

impl Token {
    /// The token of key bytes. What is missing of the first eight counts as zero, so that prefixes of keys, which occur
    /// as ends of spans, keep their order.
    pub fn of_key(key: &[u8]) -> Self {
        let mut head = [0; TOKEN_BYTES];
        for (to, from) in head.iter_mut().zip(key) {
            *to = *from;
        }
        Self(u64::from_be_bytes(head))
    }
}

/// A token range: its number is the top bits of every token in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub struct RangeId(pub u32);

impl fmt::Display for RangeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// How many top bits of a token make its range: from 1 to 16. Chosen when a cluster is made, and kept for its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RangeBits(u8);

impl Default for RangeBits {
    /// 256 ranges.
    fn default() -> Self {
        Self(8)
    }
}

impl RangeBits {
    /// The fewest bits: two ranges.
    pub const MIN: Self = Self(1);
    /// The most bits: 65,536 ranges.
    pub const MAX: Self = Self(16);

    /// So many bits; `None` when they are fewer than 1 or more than 16.
    pub fn new(bits: u8) -> Option<Self> {
        let bits = Self(bits);
        (Self::MIN..=Self::MAX).contains(&bits).then_some(bits)
    }

    /// The number of bits.
    pub fn get(self) -> u8 {
        self.0
    }

    /// How many ranges there are.
    pub fn range_count(self) -> u32 {
        1 << self.0
    }

    /// All ranges, ascending.
    pub fn ranges(self) -> TouchedRanges {
        TouchedRanges {
            first: 0,
            end: self.range_count(),
            direction: Direction::Forward,
        }
    }

    /// The range of a token.
    pub fn range_of(self, token: Token) -> RangeId {
        let [high, low, ..] = token.0.to_be_bytes();
        RangeId(u32::from(u16::from_be_bytes([high, low])) >> (Self::MAX.0 - self.0))
    }

    /// The range of key bytes.
    pub fn range_of_key(self, key: &[u8]) -> RangeId {
        self.range_of(Token::of_key(key))
    }

    /// The first token of a range; `None` when there is no such range.
    pub fn first_token(self, range: RangeId) -> Option<Token> {
        (range.0 < self.range_count()).then(|| Token(u64::from(range.0) << (u64::BITS - u32::from(self.0))))
    }

    /// The last token of a range; `None` when there is no such range.
    pub fn last_token(self, range: RangeId) -> Option<Token> {
        let others = u64::MAX >> self.0;
        self.first_token(range).map(|first| Token(first.0 | others))
    }

    /// The ranges in which a cell can lie whose key is inside the bounds, in the order in which a read of that direction
    /// comes to them. A cell's key has a whole token; so an upper end that is no longer than a token is passed by every
    /// key of that token, but possibly by the token alone, and only when it is included.
    pub fn touched(self, bounds: &Bounds, direction: Direction) -> TouchedRanges {
        let first = match &bounds.start {
            Bound::Unbounded => Token(0),
            Bound::Included(key) | Bound::Excluded(key) => Token::of_key(key),
        };
        let last = match &bounds.end {
            Bound::Unbounded => Some(Token(u64::MAX)),
            Bound::Included(key) if key.len() >= TOKEN_BYTES => Some(Token::of_key(key)),
            Bound::Excluded(key) if key.len() > TOKEN_BYTES => Some(Token::of_key(key)),
            Bound::Included(key) | Bound::Excluded(key) => Token::of_key(key).0.checked_sub(1).map(Token),
        };
        let (first, end) = match last {
            Some(last) if first <= last => (self.range_of(first).0, self.range_of(last).0 + 1),
            _ => (0, 0),
        };
        TouchedRanges {
            first,
            end,
            direction,
        }
    }
}

/// A run of neighbouring ranges, walked one way. It allocates nothing.
#[derive(Clone, Debug)]
pub struct TouchedRanges {
    first: u32,
    end: u32,
    direction: Direction,
}

impl Iterator for TouchedRanges {
    type Item = RangeId;

    fn next(&mut self) -> Option<RangeId> {
        if self.first >= self.end {
            return None;
        }
        match self.direction {
            Direction::Forward => {
                self.first += 1;
                Some(RangeId(self.first - 1))
            }
            Direction::Backward => {
                self.end -= 1;
                Some(RangeId(self.end))
            }
        }
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::try_from(self.end.saturating_sub(self.first)).unwrap_or(usize::MAX);
        (left, Some(left))
    }
}

impl ExactSizeIterator for TouchedRanges {}
impl FusedIterator for TouchedRanges {}

#[cfg(test)]
mod tests {
    use proptest::prelude::{Just, Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};

    use super::*;

    fn bits() -> impl Strategy<Value = RangeBits> {
        (1_u8..=16).prop_map(|bits| RangeBits::new(bits).unwrap())
    }

    /// Keys that often lie next to the border of a range, and often are cut short.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let byte = prop_oneof![Just(0_u8), Just(0xFF), Just(0x80), any::<u8>()];
        proptest::collection::vec(byte, 0..12)
    }

    fn ends() -> impl Strategy<Value = Bound<Vec<u8>>> {
        prop_oneof![
            Just(Bound::Unbounded),
            keys().prop_map(Bound::Included),
            keys().prop_map(Bound::Excluded),
        ]
    }

    fn span(start: Bound<&[u8]>, end: Bound<&[u8]>) -> Bounds {
        Bounds {
            start: start.map(<[u8]>::to_vec),
            end: end.map(<[u8]>::to_vec),
        }
    }

    fn touched(bits: u8, bounds: &Bounds, direction: Direction) -> Vec<u32> {
        let ranges = RangeBits::new(bits).unwrap().touched(bounds, direction);
        ranges.map(|range| range.0).collect()
    }

    #[test]
    fn bits_are_from_1_to_16_and_8_unless_said_otherwise() {
        assert_eq!(RangeBits::new(0), None);
        assert_eq!(RangeBits::new(17), None);
        assert_eq!(RangeBits::default().range_count(), 256);
        assert_eq!(RangeBits::MAX.range_count(), 65_536);
        assert_eq!(RangeBits::MIN.ranges().len(), 2);
    }

    #[test]
    fn a_range_that_does_not_exist_has_no_tokens() {
        let bits = RangeBits::new(3).unwrap();
        assert_eq!(bits.first_token(RangeId(8)), None);
        assert_eq!(bits.last_token(RangeId(u32::MAX)), None);
        assert_eq!(bits.last_token(RangeId(7)), Some(Token(u64::MAX)));
    }

    #[test]
    fn a_span_between_borders_touches_what_lies_between_them() {
        let border = |range: u8| [range << 5, 0, 0, 0, 0, 0, 0, 0];
        let (from, to) = (border(2), border(5));
        let half_open = span(Bound::Included(&from), Bound::Excluded(&to));
        assert_eq!(touched(3, &half_open, Direction::Forward), [2, 3, 4]);
        assert_eq!(touched(3, &half_open, Direction::Backward), [4, 3, 2]);
        let closed = span(Bound::Excluded(&from), Bound::Included(&to));
        assert_eq!(touched(3, &closed, Direction::Forward), [2, 3, 4, 5]);
        let cut_short = span(Bound::Unbounded, Bound::Included(&to[..1]));
        assert_eq!(touched(3, &cut_short, Direction::Forward), [0, 1, 2, 3, 4]);
        let everything = span(Bound::Unbounded, Bound::Unbounded);
        assert_eq!(touched(1, &everything, Direction::Backward), [1, 0]);
    }

    #[test]
    fn a_span_without_keys_touches_nothing() {
        let (low, high) = ([1_u8; 9], [2_u8; 9]);
        let backward = span(Bound::Included(&high), Bound::Excluded(&low));
        assert_eq!(touched(8, &backward, Direction::Forward), [0; 0]);
        let before_all = span(Bound::Unbounded, Bound::Excluded(&[0; 8]));
        assert_eq!(touched(8, &before_all, Direction::Forward), [0; 0]);
        let empty_end = span(Bound::Unbounded, Bound::Included(&[]));
        assert_eq!(touched(8, &empty_end, Direction::Backward), [0; 0]);
    }

    proptest! {
        #[test]
        fn a_token_lies_between_the_ends_of_its_range(bits in bits(), token in any::<u64>().prop_map(Token)) {
            let range = bits.range_of(token);
            prop_assert!(range.0 < bits.range_count());
            prop_assert!(bits.first_token(range).unwrap() <= token);
            prop_assert!(token <= bits.last_token(range).unwrap());
        }

        #[test]
        fn ranges_follow_each_other_without_a_gap(bits in bits()) {
            let mut next = 0_u64;
            for range in bits.ranges() {
                prop_assert_eq!(bits.first_token(range), Some(Token(next)));
                next = bits.last_token(range).unwrap().0.wrapping_add(1);
            }
            prop_assert_eq!(next, 0);
        }

        #[test]
        fn keys_in_order_have_ranges_in_order(bits in bits(), one in keys(), other in keys()) {
            let (low, high) = if one < other { (one, other) } else { (other, one) };
            prop_assert!(bits.range_of_key(&low) <= bits.range_of_key(&high));
        }

        #[test]
        fn a_cell_inside_a_span_lies_in_a_touched_range(
            bits in bits(),
            start in ends(),
            end in ends(),
            token in keys().prop_map(|key| Token::of_key(&key)),
            rest in proptest::collection::vec(any::<u8>(), 0..4),
        ) {
            let bounds = Bounds { start, end };
            let mut key = token.0.to_be_bytes().to_vec();
            key.extend(rest);
            let above = match &bounds.start {
                Bound::Unbounded => true,
                Bound::Included(start) => key >= *start,
                Bound::Excluded(start) => key > *start,
            };
            let below = match &bounds.end {
                Bound::Unbounded => true,
                Bound::Included(end) => key <= *end,
                Bound::Excluded(end) => key < *end,
            };
            let mut ranges = bits.touched(&bounds, Direction::Forward);
            prop_assert!(!(above && below) || ranges.any(|range| range == bits.range_of_key(&key)));
        }

        #[test]
        fn the_outermost_touched_ranges_can_hold_a_cell_of_the_span(bits in bits(), start in ends(), end in ends()) {
            let bounds = Bounds { start, end };
            let mut forward = bits.touched(&bounds, Direction::Forward).collect::<Vec<_>>();
            if let (Some(first), Some(last)) = (forward.first(), forward.last()) {
                // The greatest keys of the first range are above the start, the smallest of the last below the end.
                let greatest = [bits.last_token(*first).unwrap().0.to_be_bytes().as_slice(), &[0xFF; 12]].concat();
                let smallest = bits.first_token(*last).unwrap().0.to_be_bytes().to_vec();
                let above = match &bounds.start {
                    Bound::Unbounded => true,
                    Bound::Included(start) | Bound::Excluded(start) => greatest > *start,
                };
                let below = match &bounds.end {
                    Bound::Unbounded => true,
                    Bound::Included(end) => smallest <= *end,
                    Bound::Excluded(end) => smallest < *end,
                };
                prop_assert!(above && below, "{} to {}", first, last);
            }
            let backward = bits.touched(&bounds, Direction::Backward).collect::<Vec<_>>();
            forward.reverse();
            prop_assert_eq!(forward, backward);
        }
    }
}
