//! Random bytes from the operating system: the one door.

/// What fills a buffer with random bytes: [`fill`], but in tests.
pub(crate) type Fill = fn(&mut [u8]) -> std::io::Result<()>;

/// Fills a buffer.
///
/// # Errors
/// When the operating system has no randomness to give, which ends the start of the program.
pub(crate) fn fill(buffer: &mut [u8]) -> std::io::Result<()> {
    getrandom::fill(buffer).map_err(|error| std::io::Error::other(error.to_string()))
}
