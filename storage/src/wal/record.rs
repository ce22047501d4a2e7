//! Frames.
pub(crate) const FRAME_BYTES: usize = 28;
