//! `NextToken`: where a read goes on, as text that says nothing to clients.
//!
//! Base64 of the version of the form, the number of the partition among those that the statement asks for, and the key of
//! the last row that was read in it, in stored form; without one the partition is read from its beginning. A token grants
//! nothing: what it names is read only as far as the statement asks for it.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use stator_model::item::Item;

use crate::message;
use crate::wire::error::ApiError;

const VERSION: u8 = 1;
/// Bytes before the key.
const HEAD_BYTES: usize = 5;

/// See the head of the file.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct NextToken {
    /// Number of the partition, from 0 on.
    pub(super) partition: u32,
    /// Key of the last row that was read.
    pub(super) key: Option<Item>,
}

impl NextToken {
    /// Key of the last row that was read, if the page ended inside of a partition.
    pub(crate) fn key(&self) -> Option<&Item> {
        self.key.as_ref()
    }

    /// The token as clients get it.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.partition.to_be_bytes());
        if let Some(key) = &self.key {
            bytes.extend_from_slice(key.stored());
        }
        STANDARD.encode(bytes)
    }

    /// Reads a token.
    ///
    /// # Errors
    /// ValidationException for what is none.
    pub(crate) fn decode(text: &str) -> Result<Self, ApiError> {
        Self::read(text).ok_or_else(|| ApiError::validation(message::statement::NEXT_TOKEN))
    }

    fn read(text: &str) -> Option<Self> {
        let bytes = Bytes::from(STANDARD.decode(text).ok()?);
        let [VERSION, partition @ ..] = *bytes.first_chunk::<HEAD_BYTES>()? else {
            return None;
        };
        let key = bytes.slice(HEAD_BYTES..);
        Some(Self {
            partition: u32::from_be_bytes(partition),
            key: if key.is_empty() {
                None
            } else {
                Some(Item::from_stored(key).ok()?)
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use stator_model::item::ItemWriter;

    use super::*;

    #[test]
    fn a_token_comes_back_as_it_was_given() {
        let mut key = ItemWriter::with_capacity(16);
        key.writer().name(b"pk");
        key.writer().string("a");
        for key in [None, Some(key.finish()), Some(Item::empty())] {
            let token = NextToken { partition: 7, key };
            assert_eq!(NextToken::decode(&token.encode()), Ok(token));
        }
    }

    proptest! {
        #[test]
        fn what_is_no_token_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..40), text in "\\PC{0,20}") {
            let of_bytes = NextToken::decode(&STANDARD.encode(&bytes));
            prop_assert_eq!(of_bytes.is_ok(), of_bytes.is_ok_and(|token| STANDARD.decode(token.encode()) == Ok(bytes)));
            if let Ok(token) = NextToken::decode(&text) {
                prop_assert_eq!(token.encode(), text);
            }
        }
    }
}
