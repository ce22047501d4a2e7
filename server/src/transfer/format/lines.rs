//! Lines of an object, no longer in memory than they may be.

use std::io::{self, BufRead};

/// A line, or nothing in the place of one that is too long, and how many bytes were read for it.
pub(super) type Found<'a> = (Option<&'a [u8]>, u64);

/// Reads lines.
pub(crate) struct Lines<R> {
    input: R,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: BufRead> Lines<R> {
    /// Lines of so many bytes at most.
    pub(super) fn new(input: R, bytes_max: usize) -> Self {
        Self {
            input,
            line: Vec::new(),
            bytes_max,
        }
    }

    /// The next line that is not empty, without its end, and how many bytes were read for it. One that is too long is passed
    /// over and is `None`.
    pub(super) fn next(&mut self) -> io::Result<Option<Found<'_>>> {
        let mut bytes = 0;
        loop {
            self.line.clear();
            let mut is_too_long = false;
            let mut is_at_end = false;
            loop {
                let found = self.input.fill_buf()?;
                if found.is_empty() {
                    is_at_end = true;
                    break;
                }
                let end = memchr_newline(found);
                let taken = end.unwrap_or(found.len());
                if self.line.len() + taken > self.bytes_max {
                    is_too_long = true;
                } else {
                    self.line.extend_from_slice(&found[..taken]);
                }
                let consumed = end.map_or(taken, |end| end + 1);
                self.input.consume(consumed);
                bytes += consumed as u64;
                if end.is_some() {
                    break;
                }
            }
            if is_too_long {
                return Ok(Some((None, bytes)));
            }
            if !self.line.trim_ascii().is_empty() {
                return Ok(Some((Some(self.line.trim_ascii()), bytes)));
            }
            if is_at_end {
                return Ok(None);
            }
        }
    }
}

fn memchr_newline(bytes: &[u8]) -> Option<usize> {
    bytes.iter().position(|byte| *byte == b'\n')
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    #[test]
    fn lines_come_without_their_ends_and_empty_ones_do_not_come() {
        let text = b"a\r\n\n  \nlonger than five\nb\n\nc";
        // The buffer is smaller than the lines.
        let mut lines = Lines::new(BufReader::with_capacity(3, &text[..]), 5);
        let mut read = Vec::new();
        while let Some((line, bytes)) = lines.next().unwrap() {
            read.push((line.map(<[u8]>::to_vec), bytes));
        }
        let some = |text: &str| Some(text.as_bytes().to_vec());
        assert_eq!(read, [(some("a"), 3), (None, 21), (some("b"), 2), (some("c"), 2)]);
    }
}
