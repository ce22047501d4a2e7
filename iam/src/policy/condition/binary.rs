//! Conditions on bytes, which policies write in base64.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::super::request::Value;

/// The bytes that a value is.
pub(super) fn of(value: &Value<'_>) -> Option<Vec<u8>> {
    match value {
        Value::Binary(bytes) => Some(bytes.to_vec()),
        other => parse(&other.text()),
    }
}

/// Reads base64.
pub(super) fn parse(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}
