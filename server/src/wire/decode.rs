//! From the bytes of a request to its typed form: one parse, after which nothing is JSON.
//!
//! One file an operation or family; each implements [`Decode`] for the operation's own type.

pub(crate) mod attribute;
pub(crate) mod reader;

use reader::{Decoded, Reader};

/// A request that is read from JSON.
pub(crate) trait Decode: Sized {
    /// Reads the whole body.
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self>;
}
