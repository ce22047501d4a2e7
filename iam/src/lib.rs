//! Identity of Stator: who signed a request, and what they may do.
//!
//! This crate is pure: it is given bytes, a time and a store of credentials, and returns a principal or the error
//! that AWS would answer with. It knows no HTTP types, no async runtime, no tables and no disk.
//!
//! The way in is [`parse_authorization`], which judges the form of a signature, followed by [`Verifier::verify`],
//! which needs the secret and judges the signature itself. What a principal may do is decided by [`policy`],
//! and who there is, is what the [`directory`] says.

pub mod directory;
mod error;
pub mod policy;
mod principal;
mod sigv4;

pub use error::{Error, ExpiresProblem, MissingParts, ScopeProblem};
pub use principal::{
    Credential, CredentialStore, Identity, Principal, SecretKey, Session, StaticCredentials,
};
pub use sigv4::{
    Authorization, Expected, MAX_EXPIRES_S, MAX_SKEW_S, RequestView, Service, Timestamp, Transport, Verifier,
    iso_8601, parse_authorization,
};
