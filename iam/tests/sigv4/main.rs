//! Signature version 4 through the public API: AWS's published requests, each refusal with its sentence, and the
//! signer of the AWS SDK for Rust as the other side.
#![expect(clippy::unwrap_used, reason = "a test stops where its assumption fails")]

mod presigned;
mod property;
mod refusals;
mod sessions;
mod signer;
mod vectors;
