//! From typed answers to the bytes of a response, written once.
//!
//! One file an operation or family; each implements [`Encode`] for the operation's own output type.

mod account;
pub(crate) mod backup;
pub(crate) mod bulk;
mod item;
mod items;
pub(crate) mod json;
mod list_tables;
mod resource_policy;
mod statement;
mod stream;
mod table_description;
mod tags;
mod time_to_live;
mod transact;
pub(crate) mod transfer;

use json::Json;

/// An answer that is written as JSON.
pub(crate) trait Encode {
    /// Writes the whole body: one object.
    fn encode(&self, out: &mut Json);

    /// About how many bytes that will be, so that the buffer need not grow on its way.
    fn size_hint(&self) -> usize {
        512
    }
}

/// The bytes of an answer.
pub(crate) fn encode<T: Encode>(answer: &T) -> Vec<u8> {
    let mut json = Json::with_capacity(answer.size_hint());
    answer.encode(&mut json);
    json.into_bytes()
}
