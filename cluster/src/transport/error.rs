//! What can go wrong between two nodes, and what the one who sets up a transport can do wrong.
//!
//! Invariant: the text of an error says the same as long as the cause is the same, with no times and ports in it, so that
//! it can be told when it changes.

use std::io;
use std::time::Duration;

use rustls::CertificateError;

use super::frame::FrameError;
use super::hello::HelloError;
use super::identity::IdentityError;

/// Errors of setting up a transport.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// A certificate or key is of no use.
    #[error("the {what} cannot be used: {cause}")]
    Credentials {
        /// Which of the three files.
        what: &'static str,
        /// What is wrong with it, and what to do.
        cause: String,
    },
    /// A setting is out of its range.
    #[error("{setting} is {value}, must be {range}")]
    Setting {
        /// Its name.
        setting: &'static str,
        /// What it is.
        value: u64,
        /// What it may be.
        range: String,
    },
    /// The socket to listen on is of no use.
    #[error("the address to listen on cannot be told: {0}")]
    Listener(#[from] io::Error),
}

/// Why a connection was not made, or ended.
#[derive(Debug, thiserror::Error)]
pub(super) enum PeerError {
    #[error("cannot connect to {address}: {cause}")]
    Connect { address: String, cause: String },
    #[error("{step} took longer than {} ms", after.as_millis())]
    Timeout { step: &'static str, after: Duration },
    #[error("its certificate is not accepted here: {0}")]
    Certificate(String),
    #[error(
        "it does not accept this node's certificate ({alert}): check that both have the same ca.pem, that node.pem has \
         not expired, and its own log"
    )]
    NotAccepted { alert: String },
    #[error("it is not the node that was called: {0}")]
    Stranger(#[from] IdentityError),
    #[error("{0}")]
    Hello(#[from] HelloError),
    #[error("it refuses: {0}")]
    Refused(String),
    #[error("it sent what no node sends: {0}")]
    Protocol(String),
    #[error("it does not answer: {0}")]
    Broken(String),
    #[error("it has not answered a ping within {} ms", after.as_millis())]
    Silent { after: Duration },
    #[error("it ended the connection")]
    Ended,
}

impl From<FrameError> for PeerError {
    fn from(error: FrameError) -> Self {
        Self::Protocol(error.to_string())
    }
}

impl PeerError {
    /// An error of the TLS handshake.
    pub(super) fn handshake(error: &io::Error) -> Self {
        match error
            .get_ref()
            .and_then(|inner| inner.downcast_ref::<rustls::Error>())
        {
            Some(inner) => Self::tls(inner),
            None if error.kind() == io::ErrorKind::UnexpectedEof => Self::Ended,
            None => Self::Broken(error.to_string()),
        }
    }

    /// An error of TLS.
    pub(super) fn tls(error: &rustls::Error) -> Self {
        match error {
            rustls::Error::InvalidCertificate(error) => Self::Certificate(certificate(error)),
            rustls::Error::NoCertificatesPresented => Self::Certificate("it has none".to_owned()),
            rustls::Error::AlertReceived(alert) => Self::NotAccepted {
                alert: format!("{alert:?}"),
            },
            rustls::Error::NoApplicationProtocol => {
                Self::Protocol("TLS without HTTP/2, as if it were no node".to_owned())
            }
            other => Self::Protocol(other.to_string()),
        }
    }

    /// An error of HTTP/2.
    pub(super) fn http2(error: &h2::Error) -> Self {
        if error.get_io().is_some_and(|io| {
            matches!(
                io.kind(),
                io::ErrorKind::UnexpectedEof
                    | io::ErrorKind::ConnectionReset
                    | io::ErrorKind::BrokenPipe
                    | io::ErrorKind::NotConnected
            )
        }) {
            return Self::Ended;
        }
        match error.reason() {
            Some(h2::Reason::NO_ERROR | h2::Reason::CANCEL) => Self::Ended,
            _ => Self::Broken(error.to_string()),
        }
    }
}

/// What is wrong with a certificate, without the time of looking at it.
fn certificate(error: &CertificateError) -> String {
    let date = |time: &rustls::pki_types::UnixTime| {
        i64::try_from(time.as_secs())
            .ok()
            .and_then(|seconds| time::OffsetDateTime::from_unix_timestamp(seconds).ok())
            .map_or_else(|| "a distant time".to_owned(), |time| time.date().to_string())
    };
    match error {
        CertificateError::ExpiredContext { not_after, .. } => format!(
            "it expired on {}; renew it, or set the clocks right",
            date(not_after)
        ),
        CertificateError::Expired => "it has expired; renew it, or set the clocks right".to_owned(),
        CertificateError::NotValidYetContext { not_before, .. } => {
            format!("it is valid from {} on; set the clocks right", date(not_before))
        }
        CertificateError::NotValidYet => "it is not valid yet; set the clocks right".to_owned(),
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "it was not issued by this cluster's certificate authority".to_owned()
        }
        CertificateError::Other(other) => other.0.to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use rustls::pki_types::UnixTime;

    use super::*;

    #[test]
    fn an_expired_certificate_is_told_in_the_same_words_at_any_time() {
        let told = |seconds| {
            let error = CertificateError::ExpiredContext {
                time: UnixTime::since_unix_epoch(Duration::from_secs(seconds)),
                not_after: UnixTime::since_unix_epoch(Duration::from_secs(1_000_000_000)),
            };
            PeerError::tls(&error.into()).to_string()
        };
        assert_eq!(told(1_000_000_001), told(1_500_000_000));
        assert!(told(1_000_000_001).contains("it expired on 2001-09-09"));
    }

    #[test]
    fn a_foreign_certificate_is_told_apart_from_a_broken_line() {
        let foreign = io::Error::other(rustls::Error::from(CertificateError::UnknownIssuer));
        assert!(matches!(
            PeerError::handshake(&foreign),
            PeerError::Certificate(_)
        ));
        let alert = io::Error::other(rustls::Error::AlertReceived(rustls::AlertDescription::UnknownCA));
        assert!(matches!(
            PeerError::handshake(&alert),
            PeerError::NotAccepted { .. }
        ));
        let broken = io::Error::from(io::ErrorKind::ConnectionReset);
        assert!(matches!(PeerError::handshake(&broken), PeerError::Broken(_)));
    }
}
