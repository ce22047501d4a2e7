//! Request ids: 52 characters of `0-9A-Z`, as DynamoDB makes them, unique over all nodes and restarts.

use std::sync::atomic::{AtomicU64, Ordering};

use stator_cluster::follow::RequestName;

const ALPHABET: &[u8; 32] = b"0123456789ABCDEFGHIJKLMNOPQRSTUV";
/// Characters in an id.
const LENGTH: usize = 52;

/// Makes request ids from a random seed and a counter.
#[derive(Debug)]
pub(crate) struct RequestIds {
    seed: [u64; 4],
    counter: AtomicU64,
}

/// One id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId([u8; LENGTH]);

impl RequestIds {
    /// A maker of ids; `seed` is random, so that no two nodes or starts share it.
    pub(crate) fn new(seed: [u64; 4]) -> Self {
        Self {
            seed,
            counter: AtomicU64::new(0),
        }
    }

    /// The next id.
    pub(crate) fn next(&self) -> RequestId {
        let count = self.counter.fetch_add(1, Ordering::Relaxed);
        let mut id = [b'0'; LENGTH];
        for (word, part) in self.seed.iter().zip(id.chunks_mut(LENGTH / 4)) {
            // For one seed the mix is a bijection of the counter, so ids of one process never repeat.
            let mut bits = mix(word.wrapping_add(count));
            for character in part {
                *character = ALPHABET[usize::try_from(bits & 31).unwrap_or(0)];
                bits >>= 5;
            }
        }
        RequestId(id)
    }
}

impl RequestId {
    /// The id as text.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The id as what a task knows of its request.
    pub(crate) fn name(&self) -> Option<RequestName> {
        RequestName::new(&self.0)
    }

    /// The id as text.
    pub(crate) fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood: "Fast splittable pseudorandom number generators", 2014).
pub(crate) fn mix(mut bits: u64) -> u64 {
    bits = (bits ^ (bits >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    bits = (bits ^ (bits >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    bits ^ (bits >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_have_the_right_form_and_do_not_repeat() {
        let ids = RequestIds::new([1, 2, 3, 4]);
        let mut seen = std::collections::HashSet::new();
        for _ in 0..10_000 {
            let id = ids.next();
            assert_eq!(id.as_str().len(), 52);
            assert!(
                id.as_bytes()
                    .iter()
                    .all(|byte| byte.is_ascii_digit() || byte.is_ascii_uppercase())
            );
            assert!(seen.insert(id.as_str().to_owned()));
        }
    }
}
