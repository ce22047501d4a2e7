//! From the bytes of a request to its typed form: one parse, after which nothing is JSON.
//!
//! One file an operation or family; each implements [`Decode`] for the operation's own type.

mod account;
pub(crate) mod attribute;
mod backup;
mod batch;
pub(crate) mod bulk;
mod create_table;
mod expressions;
mod item;
mod legacy;
mod list_tables;
mod page;
pub(crate) mod reader;
mod resource_policy;
mod statement;
mod stream;
mod table_reference;
mod table_settings;
mod tags;
mod time_to_live;
mod transact;
pub(crate) mod transfer;
mod update_table;

use reader::{DecodeError, Decoded, Reader};

use crate::wire::error::ApiError;
use crate::wire::head::Head;

/// A request that is read from JSON.
pub(crate) trait Decode: Sized {
    /// Reads the whole body.
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self>;

    /// Takes what the headers say, for a request that has a use for it.
    fn take_head(&mut self, _: Head<'_>) {}
}

/// Reads a body, with the headers it came with, as a request.
///
/// # Errors
/// SerializationException for what is not JSON or not of the request's types.
pub(crate) fn decode<T: Decode>(body: &[u8], head: Head<'_>) -> Result<T, ApiError> {
    let mut reader = Reader::new(body);
    let mut request: T = read_object(&mut reader)
        .and_then(|request| reader.finish().map(|()| request))
        .map_err(|error| {
            ApiError::Serialization(match error {
                DecodeError::NotJson => None,
                mismatch => Some(mismatch.to_string()),
            })
        })?;
    request.take_head(head);
    Ok(request)
}

/// A body is an object; `null`, which elsewhere counts as absent, is no request.
fn read_object<T: Decode>(reader: &mut Reader<'_>) -> Decoded<T> {
    if reader.is_object()? {
        T::decode(reader)
    } else {
        Err(DecodeError::NotJson)
    }
}

/// Whether a body is JSON at all; asked only for requests that are refused anyway, to say why.
pub(crate) fn is_json(body: &[u8]) -> bool {
    let mut reader = Reader::new(body);
    reader.skip().is_ok() && reader.finish().is_ok()
}
