//! Entries of a chunk as bytes: keys in ascending order, each with a value or without.
//!
//! Invariant: what does not decode is an error, never a wrong entry. Pure.

use bytes::{Buf as _, Bytes};

/// Adds a number, seven bits a byte, the least first.
fn put_number(into: &mut Vec<u8>, mut number: usize) {
    while number >= 0x80 {
        into.push(u8::try_from(number & 0x7f).unwrap_or_default() | 0x80);
        number >>= 7;
    }
    into.push(u8::try_from(number).unwrap_or_default());
}

fn get_number(from: &mut Bytes) -> Option<usize> {
    let mut number = 0_usize;
    for shift in (0..usize::BITS).step_by(7) {
        let byte = from.try_get_u8().ok()?;
        let part = usize::from(byte & 0x7f);
        number |= part
            .checked_shl(shift)
            .filter(|shifted| shifted >> shift == part)?;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// Adds an entry; one without a value says that there is nothing under the key any more.
pub(crate) fn put_entry(into: &mut Vec<u8>, key: &[u8], value: Option<&[u8]>) {
    put_number(into, key.len());
    into.extend_from_slice(key);
    put_number(into, value.map_or(0, |value| value.len() + 1));
    into.extend_from_slice(value.unwrap_or_default());
}

/// Takes the first entry; `None` if there is none that decodes.
pub(crate) fn get_entry(from: &mut Bytes) -> Option<(Bytes, Option<Bytes>)> {
    let length = get_number(from)?;
    if length > from.len() {
        return None;
    }
    let key = from.split_to(length);
    let value = match get_number(from)? {
        0 => None,
        length if length - 1 > from.len() => return None,
        length => Some(from.split_to(length - 1)),
    };
    Some((key, value))
}

#[cfg(test)]
mod tests {
    use proptest::collection::vec;
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_come_back(entries in vec((vec(any::<u8>(), 0..300), proptest::option::of(vec(any::<u8>(), 0..300))), 0..9)) {
            let mut bytes = Vec::new();
            for (key, value) in &entries {
                put_entry(&mut bytes, key, value.as_deref());
            }
            let mut bytes = Bytes::from(bytes);
            for (key, value) in &entries {
                let found = get_entry(&mut bytes).unwrap();
                prop_assert_eq!((&found.0[..], found.1.as_deref()), (&key[..], value.as_deref()));
            }
            prop_assert!(bytes.is_empty());
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in vec(any::<u8>(), 0..40)) {
            let mut bytes = Bytes::from(bytes);
            while get_entry(&mut bytes).is_some() {}
        }
    }
}
