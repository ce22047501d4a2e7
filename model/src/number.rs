//! 38-digit decimal numbers: grammar, exact arithmetic, and the order-preserving bytes in which they are stored.
//!
//! Invariant: a [`Number`] is normalized (no trailing zero in the coefficient, one zero), so equal numbers have equal
//! stored bytes and comparing two stored forms byte by byte compares the numbers. Nothing here rounds.
//!
//! Rules: Amazon DynamoDB Developer Guide, "Data types: Number" (38 digits of precision, magnitudes from 1E-130 to
//! 9.9999999999999999999999999999999999999E+125). The byte layout is described in `docs/format/item.md`.

use std::cmp::Ordering;
use std::fmt;

/// Most significant digits a number can have.
pub const DIGITS_MAX: u32 = 38;
/// Largest decimal exponent of the leading digit.
const MAGNITUDE_MAX: i32 = 125;
/// Smallest decimal exponent of the leading digit.
const MAGNITUDE_MIN: i32 = -130;
/// Longest stored form: sign, exponent, 20 digit pairs, terminator.
const ENCODED_BYTES_MAX: usize = 23;

const CLASS_NEGATIVE: u8 = 1;
const CLASS_ZERO: u8 = 2;
const CLASS_POSITIVE: u8 = 3;
/// Added to the base-100 exponent (-64..=63) to make it an unsigned byte.
const EXPONENT_BIAS: i32 = 64;

/// Why a text or a result is not a number that DynamoDB stores. The texts are DynamoDB's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// The text does not follow the grammar of a number.
    #[error("The parameter cannot be converted to a numeric value{}{text}", if text.is_empty() { "" } else { ": " })]
    Syntax {
        /// What was given.
        text: String,
    },
    /// More than 38 significant digits.
    #[error("Attempting to store more than 38 significant digits in a Number")]
    TooManyDigits,
    /// The magnitude is above 9.99...E+125.
    #[error("Number overflow. Attempting to store a number with magnitude larger than supported range")]
    Overflow,
    /// The magnitude is below 1E-130.
    #[error("Number underflow. Attempting to store a number with magnitude smaller than supported range")]
    Underflow,
}

/// A normalized decimal number: `±coefficient × 10^exponent`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    coefficient: u128,
    exponent: i32,
}

/// The order-preserving bytes of a number, held in place without an allocation.
#[derive(Debug, Clone, Copy)]
pub struct EncodedNumber {
    bytes: [u8; ENCODED_BYTES_MAX],
    len: u8,
}

/// A number in its stored form. Comparing two of them compares the numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct NumberRef<'a>(&'a [u8]);

impl Number {
    /// Zero.
    pub const ZERO: Self = Self {
        negative: false,
        coefficient: 0,
        exponent: 0,
    };

    /// Reads a number by DynamoDB's grammar: sign, digits with at most one point (`5.` and `.5` are fine), exponent.
    ///
    /// # Errors
    /// [`NumberError`] for a text outside the grammar or a number outside the range; digits are never dropped.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let syntax = || NumberError::Syntax {
            text: text.to_owned(),
        };
        let (negative, rest) = split_sign(text.as_bytes());
        let mut digits = DigitReader::default();
        let mut rest = digits.read(rest, false);
        if let [b'.', tail @ ..] = rest {
            rest = digits.read(tail, true);
        }
        if !digits.seen {
            return Err(syntax());
        }
        let written_exponent = match rest {
            [] => 0,
            [b'e' | b'E', tail @ ..] => read_exponent(tail).ok_or_else(syntax)?,
            _ => return Err(syntax()),
        };
        if digits.too_many {
            return Err(NumberError::TooManyDigits);
        }
        if digits.coefficient == 0 {
            return Ok(Self::ZERO);
        }
        // An exponent beyond the range of i32 can only mean that the number is out of range, too.
        let exponent = i64::from(written_exponent) + digits.exponent;
        let magnitude = exponent + i64::from(digits.count) - 1;
        if magnitude > i64::from(MAGNITUDE_MAX) {
            return Err(NumberError::Overflow);
        }
        if magnitude < i64::from(MAGNITUDE_MIN) {
            return Err(NumberError::Underflow);
        }
        let exponent = i32::try_from(exponent).map_err(|_| syntax())?;
        Ok(Self {
            negative,
            coefficient: digits.coefficient,
            exponent,
        })
    }

    /// The exact sum.
    ///
    /// # Errors
    /// [`NumberError::TooManyDigits`] or [`NumberError::Overflow`] when the exact sum is not a DynamoDB number.
    pub fn checked_add(self, other: Self) -> Result<Self, NumberError> {
        if self.coefficient == 0 {
            return Ok(other);
        }
        if other.coefficient == 0 {
            return Ok(self);
        }
        let (high, low) = if self.exponent >= other.exponent {
            (self, other)
        } else {
            (other, self)
        };
        // The lowest digit of `low` is not zero and stays where it is unless the exponents are equal, in which case
        // nothing overflows. So whenever 128 bits do not hold the aligned sum, it has more than 38 digits.
        let shift = high.exponent.abs_diff(low.exponent);
        let aligned = 10_u128
            .checked_pow(shift)
            .and_then(|factor| high.coefficient.checked_mul(factor))
            .ok_or(NumberError::TooManyDigits)?;
        let (negative, coefficient) = if high.negative == low.negative {
            (
                high.negative,
                aligned
                    .checked_add(low.coefficient)
                    .ok_or(NumberError::TooManyDigits)?,
            )
        } else if aligned >= low.coefficient {
            (high.negative, aligned - low.coefficient)
        } else {
            (low.negative, low.coefficient - aligned)
        };
        Self::normalized(negative, coefficient, low.exponent)
    }

    /// The exact difference.
    ///
    /// # Errors
    /// As [`Number::checked_add`].
    pub fn checked_sub(self, other: Self) -> Result<Self, NumberError> {
        self.checked_add(Self {
            negative: !other.negative && other.coefficient != 0,
            ..other
        })
    }

    fn normalized(negative: bool, mut coefficient: u128, mut exponent: i32) -> Result<Self, NumberError> {
        if coefficient == 0 {
            return Ok(Self::ZERO);
        }
        while coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        let digits = coefficient.ilog10() + 1;
        let magnitude = exponent + digits.cast_signed() - 1;
        if magnitude > MAGNITUDE_MAX {
            Err(NumberError::Overflow)
        } else if magnitude < MAGNITUDE_MIN {
            Err(NumberError::Underflow)
        } else if digits > DIGITS_MAX {
            Err(NumberError::TooManyDigits)
        } else {
            Ok(Self {
                negative,
                coefficient,
                exponent,
            })
        }
    }

    /// The order-preserving stored form.
    pub fn encode(&self) -> EncodedNumber {
        let mut out = EncodedNumber {
            bytes: [0; ENCODED_BYTES_MAX],
            len: 0,
        };
        if self.coefficient == 0 {
            out.push(CLASS_ZERO);
            return out;
        }
        // Value = 0.p1p2p3... x 100^exponent_100 with base-100 digits p, so the last decimal digit has to sit at an
        // even distance from the point.
        let (mut coefficient, mut exponent) = (self.coefficient, self.exponent);
        let mut pairs = [0_u8; 20];
        let mut first = pairs.len();
        if exponent.rem_euclid(2) == 1 {
            // Padding the coefficient with a zero would overflow at 38 digits; the last digit is split off instead.
            first -= 1;
            pairs[first] = low_u8(low_u64(coefficient % 10)) * 10;
            coefficient /= 10;
            exponent += 1;
        }
        let split_off = i32::from(first < pairs.len());
        // 128-bit division is slow: take 18 digits at a time and split those in 64 bits.
        while coefficient != 0 {
            let chunk_size = 1_000_000_000_000_000_000_u128;
            let mut chunk = low_u64(coefficient % chunk_size);
            coefficient /= chunk_size;
            for _ in 0..9 {
                if chunk == 0 && coefficient == 0 {
                    break;
                }
                first -= 1;
                pairs[first] = low_u8(chunk % 100);
                chunk /= 100;
            }
        }
        let pairs = &pairs[first..];
        let pair_count = i32::try_from(pairs.len()).unwrap_or(i32::MAX);
        let biased = u8::try_from(exponent / 2 + pair_count - split_off + EXPONENT_BIAS).unwrap_or(u8::MAX);
        out.push(if self.negative {
            CLASS_NEGATIVE
        } else {
            CLASS_POSITIVE
        });
        let flip = if self.negative { 0xFF } else { 0 };
        out.push(biased ^ flip);
        for pair in pairs {
            out.push((pair + 1) ^ flip);
        }
        out.push(flip);
        out
    }
}

impl From<u32> for Number {
    fn from(value: u32) -> Self {
        let (mut coefficient, mut exponent) = (u128::from(value), 0);
        while coefficient != 0 && coefficient.is_multiple_of(10) {
            coefficient /= 10;
            exponent += 1;
        }
        Self {
            negative: false,
            coefficient,
            exponent,
        }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        self.encode().as_bytes().cmp(other.encode().as_bytes())
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let encoded = self.encode();
        let text = encoded.as_ref().format();
        f.pad_integral(!self.negative, "", text.as_str().trim_start_matches('-'))
    }
}

impl EncodedNumber {
    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.len)] = byte;
        self.len += 1;
    }

    /// The stored bytes.
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The number as a borrowed stored form.
    pub fn as_ref(&self) -> NumberRef<'_> {
        NumberRef(self.as_bytes())
    }
}

/// The plain decimal text of a number, held in place: at most a sign, "0.", 130 zeros and 38 digits.
#[derive(Debug, Clone)]
pub struct NumberText {
    bytes: [u8; 176],
    len: usize,
}

impl NumberText {
    fn push(&mut self, byte: u8) {
        self.bytes[self.len] = byte;
        self.len += 1;
    }

    /// The text. Only ASCII digits, a sign and a point are ever put into it.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

impl<'a> NumberRef<'a> {
    /// Takes stored bytes as a number after checking that they are one in its only, normalized form.
    pub fn new(bytes: &'a [u8]) -> Option<Self> {
        let (negative, pairs) = match bytes {
            [CLASS_ZERO] => return Some(Self(bytes)),
            [CLASS_POSITIVE, exponent, pairs @ .., 0] if *exponent < 128 => (false, pairs),
            [CLASS_NEGATIVE, exponent, pairs @ .., 0xFF] if *exponent >= 128 => (true, pairs),
            _ => return None,
        };
        let plain = |pair: u8| if negative { !pair } else { pair };
        if !pairs.iter().all(|&pair| (1..=100).contains(&plain(pair))) {
            return None;
        }
        let (first, last) = (plain(*pairs.first()?), plain(*pairs.last()?));
        let digits = pairs.len() * 2 - usize::from(first <= 10) - usize::from((last - 1).is_multiple_of(10));
        (first > 1 && last > 1 && digits <= 38).then_some(Self(bytes))
    }

    /// Takes bytes that are known to be a checked number.
    pub(crate) fn trusted(bytes: &'a [u8]) -> Self {
        debug_assert!(Self::new(bytes).is_some());
        Self(bytes)
    }

    /// The stored bytes.
    pub fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// True for numbers below zero.
    pub fn is_negative(self) -> bool {
        self.0[0] == CLASS_NEGATIVE
    }

    /// Base-100 exponent and digit pairs, most significant first; none for zero.
    fn parts(self) -> (i32, impl ExactSizeIterator<Item = u8> + Clone + 'a) {
        let flip = if self.is_negative() { 0xFF } else { 0 };
        let (exponent, pairs) = match self.0 {
            [_, exponent, pairs @ .., _] => (i32::from(exponent ^ flip) - EXPONENT_BIAS, pairs),
            _ => (0, &[][..]),
        };
        (exponent, pairs.iter().map(move |pair| (pair ^ flip) - 1))
    }

    /// The number as coefficient and exponent, for arithmetic.
    pub fn decode(self) -> Number {
        let (exponent, pairs) = self.parts();
        let mut coefficient = 0_u128;
        let count = i32::try_from(pairs.len()).unwrap_or(i32::MAX);
        let mut last_exponent = (exponent - count) * 2;
        // 38 digits at an odd distance from the point make 20 pairs, one more digit than 128 bits surely hold; the
        // zero that pads the last pair is left out.
        for (index, pair) in pairs.clone().enumerate() {
            if index + 1 == pairs.len() && pair.is_multiple_of(10) {
                coefficient = coefficient * 10 + u128::from(pair / 10);
                last_exponent += 1;
            } else {
                coefficient = coefficient * 100 + u128::from(pair);
            }
        }
        if coefficient == 0 {
            return Number::ZERO;
        }
        Number {
            negative: self.is_negative(),
            coefficient,
            exponent: last_exponent,
        }
    }

    /// The plain decimal text without an exponent, as DynamoDB returns it.
    pub fn format(self) -> NumberText {
        let mut text = NumberText {
            bytes: [0; 176],
            len: 0,
        };
        let (exponent, pairs) = self.parts();
        if pairs.len() == 0 {
            text.push(b'0');
            return text;
        }
        if self.is_negative() {
            text.push(b'-');
        }
        let start = text.len;
        if exponent <= 0 {
            text.push(b'0');
            text.push(b'.');
            for _ in exponent..0 {
                text.push(b'0');
                text.push(b'0');
            }
        }
        let count = pairs.len();
        let mut position = 0;
        for (index, pair) in pairs.enumerate() {
            let (tens, ones) = (b'0' + pair / 10, b'0' + pair % 10);
            if text.len > start || tens != b'0' {
                text.push(tens);
            }
            position += 1;
            // The zero that pads the last pair of a fraction is not part of the number.
            if index + 1 < count || position <= exponent || ones != b'0' {
                text.push(ones);
            }
            if position == exponent && index + 1 < count {
                text.push(b'.');
            }
        }
        for _ in position..exponent {
            text.push(b'0');
            text.push(b'0');
        }
        text
    }

    /// Significant digits before and after the point, zeros at both ends trimmed; what DynamoDB charges for.
    pub fn significant_digits(self) -> (usize, usize) {
        let (exponent, pairs) = self.parts();
        let count = pairs.len();
        if count == 0 {
            return (0, 0);
        }
        let (first, last) = (
            pairs.clone().next().unwrap_or(0),
            pairs.clone().last().unwrap_or(0),
        );
        let lead = usize::from(first < 10);
        let trail = usize::from(last.is_multiple_of(10));
        let integer_pairs = usize::try_from(exponent.max(0)).unwrap_or(0).min(count);
        let fraction_pairs = count - integer_pairs;
        let trimmed =
            |digits: usize, cut: bool, by: usize| if cut { digits.saturating_sub(by) } else { digits };
        let integer = trimmed(integer_pairs * 2, integer_pairs > 0, lead);
        let integer = trimmed(integer, fraction_pairs == 0, trail);
        let fraction = trimmed(fraction_pairs * 2, fraction_pairs > 0, trail);
        let fraction = trimmed(fraction, integer_pairs == 0, lead);
        (integer, fraction)
    }
}

/// Reads digits into a coefficient, leaving out zeros at both ends.
#[derive(Default)]
struct DigitReader {
    coefficient: u128,
    /// Significant digits in `coefficient` (and beyond, once there are too many).
    count: u32,
    /// Zeros read after the last significant digit; they count only when another digit follows.
    pending_zeros: u32,
    /// Exponent of the last significant digit, before the written exponent.
    exponent: i64,
    seen: bool,
    too_many: bool,
}

impl DigitReader {
    fn read<'a>(&mut self, text: &'a [u8], fraction: bool) -> &'a [u8] {
        let end = text
            .iter()
            .position(|byte| !byte.is_ascii_digit())
            .unwrap_or(text.len());
        for byte in &text[..end] {
            self.seen = true;
            self.digit(*byte - b'0');
        }
        let read = i64::try_from(end).unwrap_or(i64::MAX);
        if fraction {
            self.exponent -= read;
        }
        &text[end..]
    }

    fn digit(&mut self, digit: u8) {
        if digit == 0 {
            if self.count > 0 {
                self.pending_zeros += 1;
                self.exponent += 1;
            }
            return;
        }
        let shift = self.pending_zeros + 1;
        self.exponent -= i64::from(self.pending_zeros);
        self.pending_zeros = 0;
        self.count += shift;
        if self.count > DIGITS_MAX {
            self.too_many = true;
        } else {
            self.coefficient = self.coefficient * 10_u128.pow(shift) + u128::from(digit);
        }
    }
}

fn split_sign(text: &[u8]) -> (bool, &[u8]) {
    match text {
        [b'-', rest @ ..] => (true, rest),
        [b'+', rest @ ..] => (false, rest),
        _ => (false, text),
    }
}

/// Reads a written exponent; very long ones saturate, which puts the number out of range either way.
fn read_exponent(text: &[u8]) -> Option<i32> {
    let (negative, digits) = split_sign(text);
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value = digits.iter().fold(0_i32, |value, byte| {
        value.saturating_mul(10).saturating_add(i32::from(byte - b'0'))
    });
    Some(if negative { -value } else { value })
}

fn low_u64(value: u128) -> u64 {
    u64::try_from(value).unwrap_or(u64::MAX)
}

fn low_u8(value: u64) -> u8 {
    u8::try_from(value).unwrap_or(u8::MAX)
}

#[cfg(test)]
mod tests;
