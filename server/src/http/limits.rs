//! `[http.limits]`: what one client may take of a node.
//!
//! Each node counts for itself. Not here: who counts (`guard.rs`), and limits of the API, which nobody may change.

use std::time::Duration;

use serde::Deserialize;

/// The least that hyper can read headers into, in bytes.
const HEADER_BYTES_MIN: u32 = 8192;
/// Room for two of the largest bodies, each as it came and decompressed.
const BODIES_BYTES_MIN: u32 = 64 << 20;

/// See the head of the file. Times are in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct HttpLimits {
    /// Connections that are open at a time; more are closed at once.
    pub(crate) connections_max: u32,
    /// Connections of one address (of a /64, with IPv6) that are open at a time; more are closed at once. 0 for no limit.
    pub(crate) connections_per_address_max: u32,
    /// Requests of one principal that are answered at a time; more get a ThrottlingException.
    pub(crate) requests_per_principal_max: u32,
    /// Failed authentications of one address that are answered with their reason before the limit sets in; 0 for no limit.
    pub(crate) authentication_failures_burst: u32,
    /// How many more of them there may be in a minute. Beyond that the address gets ThrottlingExceptions.
    pub(crate) authentication_failures_per_minute: u32,
    /// All headers of a request together, in bytes.
    pub(crate) header_bytes_max: u32,
    /// How many headers a request may have.
    pub(crate) headers_max: u32,
    /// For the TLS handshake.
    pub(crate) handshake_timeout_ms: u32,
    /// For the headers of a request, and between requests of a connection.
    pub(crate) header_timeout_ms: u32,
    /// For a body, however short. A client that goes on sending is given more time for what it has sent.
    pub(crate) body_timeout_ms: u32,
    /// So many bytes a second, at least, a client has to send on the average to be given more time.
    pub(crate) body_bytes_per_second_min: u32,
    /// What bodies that are being read or carried out may take of memory together, of all clients, in bytes. Those that come in one
    /// piece, as short ones do, are not counted.
    pub(crate) bodies_bytes_max: u32,
}

impl Default for HttpLimits {
    fn default() -> Self {
        Self {
            connections_max: 10_000,
            connections_per_address_max: 5_000,
            requests_per_principal_max: 4_096,
            authentication_failures_burst: 100,
            authentication_failures_per_minute: 60,
            header_bytes_max: 65_536,
            headers_max: 100,
            handshake_timeout_ms: 10_000,
            header_timeout_ms: 30_000,
            body_timeout_ms: 30_000,
            body_bytes_per_second_min: 16_000,
            bodies_bytes_max: 1 << 30,
        }
    }
}

impl HttpLimits {
    /// For a node that serves its own machine only: all clients have one address, and tests fail to authenticate on purpose.
    pub(crate) fn for_development() -> Self {
        Self {
            connections_per_address_max: 0,
            authentication_failures_burst: 0,
            ..Self::default()
        }
    }

    /// What is out of range, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let checks = [
            ("connections_max", self.connections_max, 1),
            ("requests_per_principal_max", self.requests_per_principal_max, 1),
            ("header_bytes_max", self.header_bytes_max, HEADER_BYTES_MIN),
            ("headers_max", self.headers_max, 10),
            ("handshake_timeout_ms", self.handshake_timeout_ms, 100),
            ("header_timeout_ms", self.header_timeout_ms, 100),
            ("body_timeout_ms", self.body_timeout_ms, 100),
            ("body_bytes_per_second_min", self.body_bytes_per_second_min, 1),
            ("bodies_bytes_max", self.bodies_bytes_max, BODIES_BYTES_MIN),
        ];
        checks.into_iter().find_map(|(name, value, least)| {
            (value < least).then(|| format!("{name} is {value}, must be at least {least}"))
        })
    }
}

/// Milliseconds as a duration.
pub(crate) fn ms(milliseconds: u32) -> Duration {
    Duration::from_millis(milliseconds.into())
}
