//! The one thing the engine knows about keys: where the partition part ends.
//!
//! A key of the owner is `token (8 bytes, big-endian) | partition key, escaped | rest`. Escaping turns each `00` byte
//! into `00 FF`, and `00 00` ends the partition key, so that the order of encoded keys is the order of their parts and
//! no partition's prefix is a prefix of another's. Invariant: two keys have the same complete prefix exactly if they
//! lie in the same partition. Not here: how tokens and sort keys are made.

use std::ops::Bound;

const TOKEN_BYTES: usize = 8;

/// The length of the partition part of `key`, with its terminator, or `None` if the key does not have that shape.
pub(crate) fn complete_prefix_len(key: &[u8]) -> Option<usize> {
    let mut at = TOKEN_BYTES;
    loop {
        at += memchr::memchr(0, key.get(at..)?)?;
        match key.get(at + 1)? {
            0x00 => return Some(at + 2),
            0xFF => at += 2,
            _ => return None,
        }
    }
}

/// The partition part of `key`. A key that does not have the shape is a partition of its own.
pub(crate) fn partition_prefix(key: &[u8]) -> &[u8] {
    complete_prefix_len(key).map_or(key, |len| &key[..len])
}

/// The partition prefix that every key within the bounds has, if the bounds lie in one partition.
pub(crate) fn common_partition<'a>(start: Bound<&'a [u8]>, end: Bound<&[u8]>) -> Option<&'a [u8]> {
    let (Bound::Included(first) | Bound::Excluded(first)) = start else {
        return None;
    };
    let prefix = &first[..complete_prefix_len(first)?];
    let inside = match end {
        Bound::Included(last) => last.starts_with(prefix),
        Bound::Excluded(last) => last.starts_with(prefix) || is_successor(prefix, last),
        Bound::Unbounded => false,
    };
    inside.then_some(prefix)
}

/// Whether `bytes` is the first key behind all keys that begin with `prefix`, which ends with a zero byte.
fn is_successor(prefix: &[u8], bytes: &[u8]) -> bool {
    match (prefix.split_last(), bytes.split_last()) {
        (Some((&last, head)), Some((&next, bytes_head))) => {
            head == bytes_head && last.checked_add(1) == Some(next)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_prefix_ends_with_the_terminator_and_not_with_an_escaped_zero() {
        assert_eq!(
            partition_prefix(b"\0\0\0\0\0\0\0\x01pk\0\xFFx\0\0sort"),
            b"\0\0\0\0\0\0\0\x01pk\0\xFFx\0\0"
        );
        assert_eq!(partition_prefix(b"12345678\0\0"), b"12345678\0\0");
    }

    #[test]
    fn a_key_of_another_shape_is_its_own_prefix() {
        for key in [
            &b""[..],
            b"short",
            b"12345678",
            b"12345678pk",
            b"12345678pk\0",
            b"12345678pk\0\x01",
        ] {
            assert_eq!(partition_prefix(key), key);
        }
    }

    #[test]
    fn bounds_within_one_partition_are_recognized() {
        let prefix = b"12345678pk\0\0";
        let included = |bytes: &'static [u8]| Bound::Included(bytes);
        assert_eq!(
            common_partition(included(prefix), Bound::Excluded(b"12345678pk\0\x01")),
            Some(&prefix[..])
        );
        assert_eq!(
            common_partition(included(b"12345678pk\0\0a"), included(b"12345678pk\0\0b")),
            Some(&prefix[..])
        );
        assert_eq!(
            common_partition(included(prefix), included(b"12345678pk\0\x01")),
            None
        );
        assert_eq!(common_partition(included(prefix), Bound::Unbounded), None);
        assert_eq!(
            common_partition(included(b"12345678"), included(b"12345678pk\0\0")),
            None
        );
        assert_eq!(common_partition(Bound::Unbounded, Bound::Excluded(prefix)), None);
    }
}
