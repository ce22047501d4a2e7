//! Keys, values and the order in which they are asked for: the same for every engine and in every run.
//!
//! Keys have the shape of Stator's (`docs/format/key.md`): `token (8 bytes) | partition key | 00 00 | sort key`, 16 to 40
//! bytes, 64 sort keys a partition. An entry is known by its number; its key can be made from that.

/// How many bytes a value has.
pub(crate) const VALUE_BYTES: usize = 400;
/// How many entries a partition has.
const SORT_KEYS: u64 = 64;
/// Values are cut from a pool of this size, where compression finds each only once within its window.
const POOL_BYTES: usize = 1 << 20;
/// A value starts with the number of its entry.
const STAMP_BYTES: usize = 8;

/// An entry as engines take it, with buffers that are used again.
#[derive(Clone, Debug, Default)]
pub(crate) struct Entry {
    pub(crate) key: Vec<u8>,
    pub(crate) value: Vec<u8>,
}

/// Spreads numbers over all of `u64` (splitmix64).
fn mixed(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(0x9E37_79B9_7F4A_7C15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// Writes `number` in decimal digits, at least `width` of them.
fn push_digits(key: &mut Vec<u8>, mut number: u64, width: usize) {
    let start = key.len();
    while number > 0 || key.len() - start < width {
        key.push(b'0' + u8::try_from(number % 10).unwrap_or(0));
        number /= 10;
    }
    key[start..].reverse();
}

/// Makes the key of an entry.
pub(crate) fn write_key(number: u64, key: &mut Vec<u8>) {
    let partition = number / SORT_KEYS;
    let (token, shape) = (mixed(partition), mixed(number ^ (1 << 40)));
    let (partition_filler, sort_filler) = (token % 6, shape % 13);
    key.clear();
    key.extend_from_slice(&token.to_be_bytes());
    push_digits(key, partition, 2);
    for index in 0..partition_filler {
        key.push(b"partit"[usize::try_from(index).unwrap_or(0)]);
    }
    key.extend_from_slice(&[0, 0]);
    push_digits(key, number % SORT_KEYS, 4);
    for index in 0..sort_filler {
        key.push(b"abcdefghijklm"[usize::try_from(index).unwrap_or(0)]);
    }
}

/// Makes a key that no entry has, in a partition that exists and between keys that do.
pub(crate) fn write_absent_key(number: u64, key: &mut Vec<u8>) {
    write_key(number, key);
    key.push(b'~');
}

/// Where values come from.
#[derive(Debug)]
pub(crate) struct Values {
    pool: Vec<u8>,
}

impl Values {
    /// About half of each value can be compressed away: runs of 50 random bytes, each followed by the same again.
    pub(crate) fn new() -> Self {
        const RUN: usize = 50;
        let mut pool = Vec::with_capacity(POOL_BYTES + 2 * RUN);
        let mut random = Random::new(0x00DD_BA11);
        while pool.len() < POOL_BYTES {
            let run: Vec<u8> = (0..RUN).map(|_| random.next().to_le_bytes()[0]).collect();
            pool.extend_from_slice(&run);
            pool.extend_from_slice(&run);
        }
        Self { pool }
    }

    /// Makes a value for an entry; another `version` gives another one.
    pub(crate) fn write(&self, number: u64, version: u64, value: &mut Vec<u8>) {
        let room = self.pool.len() - VALUE_BYTES;
        let offset = usize::try_from(mixed(number ^ (version << 48))).unwrap_or(0) % room;
        value.clear();
        value.extend_from_slice(&number.to_le_bytes());
        value.extend_from_slice(&self.pool[offset..offset + VALUE_BYTES - STAMP_BYTES]);
    }
}

/// Whether a value is one that was made for this entry.
pub(crate) fn is_value_of(number: u64, value: &[u8]) -> bool {
    value.len() == VALUE_BYTES && value[..STAMP_BYTES] == number.to_le_bytes()
}

/// All numbers below `count`, each once, in an order that looks random: steps that have no divisor in common with
/// `count`.
pub(crate) fn shuffled(count: u64) -> impl Iterator<Item = u64> {
    let divides = |a: u64, b: u64| {
        let (mut a, mut b) = (a, b);
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a == 1
    };
    // Near the golden section of the range, so that neighbours in time are far apart.
    let mut step = (count * 618 / 1000).max(1);
    while !divides(step, count.max(1)) {
        step += 1;
    }
    (0..count).scan(0, move |at, _| {
        *at = (*at + step) % count;
        Some(*at)
    })
}

/// Pseudo-random numbers (xorshift).
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(mixed(seed) | 1)
    }

    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_F491_4F6C_DD1D)
    }

    /// Below `bound`, which is small against 2^64.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        (self.next() >> 16) % bound.max(1)
    }

    fn fraction(&mut self) -> f64 {
        let bits = u32::try_from(self.next() >> 32).unwrap_or(0);
        f64::from(bits) / f64::from(u32::MAX)
    }
}

/// How a row picks the entries that it asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pick {
    /// Each as likely as any other.
    Uniform,
    /// Zipfian with exponent 0.99, as in YCSB: the most popular of 2,000,000 gets 1 in 15. Popular ones are neighbours
    /// of nobody.
    Zipfian,
}

/// `length` numbers of entries out of `entries`, made before the clock runs.
pub(crate) fn picks(pick: Pick, entries: u64, length: usize, seed: u64) -> Vec<u32> {
    let mut random = Random::new(seed);
    let zipfian = (pick == Pick::Zipfian).then(|| Zipfian::new(entries));
    (0..length)
        .map(|_| match &zipfian {
            Some(zipfian) => mixed(zipfian.rank(&mut random)) % entries,
            None => random.below(entries),
        })
        .map(|number| u32::try_from(number).unwrap_or(0))
        .collect()
}

/// The generator of Gray et al., "Quickly Generating Billion-Record Synthetic Databases".
#[derive(Debug)]
struct Zipfian {
    entries: f64,
    theta: f64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    fn new(entries: u64) -> Self {
        let theta = 0.99;
        let count = u32::try_from(entries).unwrap_or(u32::MAX);
        let zeta = |count: u32| (1..=count).map(|rank| f64::from(rank).powf(-theta)).sum::<f64>();
        let (all, two, entries) = (zeta(count), zeta(2), f64::from(count));
        Self {
            entries,
            theta,
            zeta: all,
            eta: (1.0 - (2.0 / entries).powf(1.0 - theta)) / (1.0 - two / all),
        }
    }

    fn rank(&self, random: &mut Random) -> u64 {
        let fraction = random.fraction();
        let scaled = fraction * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5_f64.powf(self.theta) {
            return 1;
        }
        let rank = self.entries * (self.eta * fraction - self.eta + 1.0).powf(1.0 / (1.0 - self.theta));
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a rank is a number of entries, not negative, and loses its fraction on purpose"
        )]
        let rank = rank as u64;
        rank
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeSet, HashSet};

    use super::*;

    fn key(number: u64) -> Vec<u8> {
        let mut key = Vec::new();
        write_key(number, &mut key);
        key
    }

    #[test]
    fn keys_differ_and_are_short() {
        let keys: HashSet<_> = (0..100_000).map(key).collect();
        assert_eq!(keys.len(), 100_000);
        for number in (0..3_000_000).step_by(97) {
            assert!((16..=40).contains(&key(number).len()), "{:?}", key(number));
        }
    }

    #[test]
    fn a_partition_is_one_run() {
        let keys: BTreeSet<_> = (0..6400).map(key).collect();
        let keys: Vec<_> = keys.into_iter().collect();
        for partition in keys.chunks(64) {
            let prefix_len = partition[0].windows(2).position(|pair| pair == [0, 0]).unwrap();
            assert!(
                partition
                    .iter()
                    .all(|key| key[..prefix_len] == partition[0][..prefix_len])
            );
        }
    }

    #[test]
    fn an_absent_key_is_no_key() {
        let keys: HashSet<_> = (0..10_000).map(key).collect();
        let mut absent = Vec::new();
        for number in 0..10_000 {
            write_absent_key(number, &mut absent);
            assert!(!keys.contains(&absent));
        }
    }

    #[test]
    fn values_are_known_by_their_entry() {
        let values = Values::new();
        let (mut first, mut second) = (Vec::new(), Vec::new());
        values.write(7, 0, &mut first);
        values.write(7, 1, &mut second);
        assert!(first != second && is_value_of(7, &first) && is_value_of(7, &second));
        assert!(!is_value_of(8, &first));
    }

    #[test]
    fn a_shuffle_has_each_number_once() {
        for count in [1, 2, 10, 200_000] {
            let seen: HashSet<_> = shuffled(count).collect();
            assert_eq!(seen.len() as u64, count);
            assert!(seen.iter().all(|number| *number < count));
        }
    }

    #[test]
    fn zipfian_picks_have_favourites() {
        let count_of_first = |pick| {
            let picks = picks(pick, 100_000, 100_000, 1);
            let mut counts = std::collections::HashMap::new();
            for number in &picks {
                *counts.entry(*number).or_insert(0) += 1;
            }
            (*counts.values().max().unwrap(), counts.len())
        };
        let (most, different) = count_of_first(Pick::Zipfian);
        assert!((6_000..10_000).contains(&most), "{most}");
        assert!(different < 40_000, "{different}");
        assert!(count_of_first(Pick::Uniform).0 < 20);
    }
}
