//! From the bytes of a request to its typed form: one parse, after which nothing is JSON.
//!
//! One file an operation or family; each implements [`Decode`] for the operation's own type.

mod account;
pub(crate) mod attribute;
mod create_table;
mod list_tables;
pub(crate) mod reader;
mod table_reference;
mod table_settings;
mod tags;
mod update_table;

use reader::{Decoded, Reader};

/// A request that is read from JSON.
pub(crate) trait Decode: Sized {
    /// Reads the whole body.
    fn decode(reader: &mut Reader<'_>) -> Decoded<Self>;
}
