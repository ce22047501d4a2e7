//! The commit log: many streams in one row of segment files (`docs/format/log.md`).
//!
//! From the bottom up: `frame.rs` seals and checks what one write puts on disk, `record.rs` says what lies in a frame,
//! `segment.rs` is a file of frames, `writer.rs` the end where frames are appended, `recovery.rs` the way back,
//! `stream.rs` what a stream is, and `log.rs` what all threads share. Invariant: only the last segment can be torn. Not
//! here: who writes when (`commit.rs`), what the engine's own records mean (`batch.rs`).

pub(crate) mod batch;
pub(crate) mod frame;
pub(crate) mod log;
pub(crate) mod record;
pub(crate) mod recovery;
pub(crate) mod segment;
pub(crate) mod stream;
pub(crate) mod writer;
