//! A JSON writer into one buffer: members, lists and scalars in the order in which they are given.
//!
//! It writes what it is told and adds the commas; that containers are closed follows from the closures.

/// Writes JSON.
#[derive(Debug, Default)]
pub(crate) struct Json {
    out: Vec<u8>,
    /// Whether the next member or element needs a comma before it.
    comma: bool,
}

impl Json {
    pub(crate) fn with_capacity(bytes: usize) -> Self {
        Self {
            out: Vec::with_capacity(bytes),
            comma: false,
        }
    }

    pub(crate) fn into_bytes(self) -> Vec<u8> {
        self.out
    }

    /// Where scalars that have their own way of being written go.
    pub(super) fn raw(&mut self) -> &mut Vec<u8> {
        self.comma = true;
        &mut self.out
    }

    /// An object; `members` writes names and values.
    pub(crate) fn object(&mut self, members: impl FnOnce(&mut Self)) {
        self.out.push(b'{');
        self.comma = false;
        members(self);
        self.out.push(b'}');
        self.comma = true;
    }

    /// A list; `write` writes one value for each of `values`.
    pub(crate) fn list<T>(
        &mut self,
        values: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.out.push(b'[');
        self.comma = false;
        for value in values {
            self.separate();
            write(self, value);
        }
        self.out.push(b']');
        self.comma = true;
    }

    /// A comma unless this is the first member or element.
    fn separate(&mut self) {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = false;
    }

    /// The name of the next member; its value follows.
    pub(crate) fn member(&mut self, name: &str) -> &mut Self {
        self.member_bytes(name.as_bytes())
    }

    pub(super) fn member_bytes(&mut self, name: &[u8]) -> &mut Self {
        self.separate();
        self.text_bytes(name);
        self.out.push(b':');
        self.comma = false;
        self
    }

    pub(crate) fn text(&mut self, text: &str) {
        self.text_bytes(text.as_bytes());
    }

    /// UTF-8 text, escaped where JSON asks for it and nowhere else.
    pub(super) fn text_bytes(&mut self, text: &[u8]) {
        self.out.push(b'"');
        let mut rest = text;
        while let Some(at) = first_escaped(rest) {
            self.out.extend_from_slice(&rest[..at]);
            self.escape(rest[at]);
            rest = &rest[at + 1..];
        }
        self.out.extend_from_slice(rest);
        self.out.push(b'"');
        self.comma = true;
    }

    /// Text in which nothing needs to be escaped, such as a number.
    pub(super) fn plain(&mut self, text: &str) {
        debug_assert_eq!(first_escaped(text.as_bytes()), None, "{text}");
        let out = self.raw();
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    }

    fn escape(&mut self, byte: u8) {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let short = match byte {
            b'"' | b'\\' => byte,
            b'\n' => b'n',
            b'\r' => b'r',
            b'\t' => b't',
            0x08 => b'b',
            0x0C => b'f',
            _ => {
                let (high, low) = (HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]);
                return self.out.extend_from_slice(&[b'\\', b'u', b'0', b'0', high, low]);
            }
        };
        self.out.extend_from_slice(&[b'\\', short]);
    }

    pub(crate) fn boolean(&mut self, value: bool) {
        self.raw()
            .extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// `null`
    pub(super) fn null(&mut self) {
        self.raw().extend_from_slice(b"null");
    }

    /// A whole number.
    pub(crate) fn integer(&mut self, value: impl Into<i128>) {
        self.raw().extend_from_slice(value.into().to_string().as_bytes());
    }

    /// A count or length.
    pub(crate) fn size(&mut self, value: usize) {
        self.raw().extend_from_slice(value.to_string().as_bytes());
    }

    /// A number with a fraction, as AWS writes capacity units and times: `1.0`, `0.5`, `1732420800.123`.
    pub(crate) fn decimal(&mut self, value: f64) {
        self.raw().extend_from_slice(format!("{value:?}").as_bytes());
    }
}

/// Where the first byte is that JSON wants escaped.
///
/// Chunks are looked at as a whole, which compilers turn into vector instructions, and what is left of the text in words:
/// most text has nothing to escape, and most texts are short.
fn first_escaped(text: &[u8]) -> Option<usize> {
    let (chunks, _) = text.as_chunks::<CHUNK>();
    let clean = chunks.iter().take_while(|chunk| !any_escaped(chunk)).count() * CHUNK;
    let (words, rest) = text[clean..].as_chunks();
    for (place, word) in words.iter().enumerate() {
        let escaped = escaped_of_word(u64::from_le_bytes(*word));
        if escaped != 0 {
            let byte = escaped.trailing_zeros() / u8::BITS;
            return Some(clean + place * size_of::<u64>() + usize::try_from(byte).unwrap_or_default());
        }
    }
    let found = rest.iter().position(|byte| is_escaped(*byte));
    found.map(|at| text.len() - rest.len() + at)
}

/// Bytes that are looked at as a whole.
const CHUNK: usize = 32;

fn any_escaped(chunk: &[u8; CHUNK]) -> bool {
    let any = chunk
        .iter()
        .fold(0, |any, byte| any | u8::from(is_escaped(*byte)));
    any != 0
}

/// The highest bit of each byte of a word that JSON wants escaped, of the least such byte for certain: a borrow may mark bytes
/// above one that is marked. Source: Bit Twiddling Hacks, "Determine if a word has a byte less than n".
const fn escaped_of_word(word: u64) -> u64 {
    const ONES: u64 = u64::MAX / 255;
    let quote = word ^ (ONES * b'"' as u64);
    let backslash = word ^ (ONES * b'\\' as u64);
    let control = word.wrapping_sub(ONES * 0x20) & !word;
    let quotes = quote.wrapping_sub(ONES) & !quote;
    let backslashes = backslash.wrapping_sub(ONES) & !backslash;
    (control | quotes | backslashes) & (ONES * 0x80)
}

fn is_escaped(byte: u8) -> bool {
    byte < 0x20 || byte == b'"' || byte == b'\\'
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escaped_bytes_are_found_wherever_they_are() {
        for length in [0, 1, 7, 8, 9, 31, 32, 33, 100] {
            assert_eq!(first_escaped(&vec![b'a'; length]), None);
            for at in 0..length {
                let mut text = vec![0xC3; length];
                text[at..].fill(b'"');
                assert_eq!(first_escaped(&text), Some(at));
                text[at] = 0x1F;
                assert_eq!(first_escaped(&text), Some(at));
            }
        }
        for byte in 0..=u8::MAX {
            let expected = byte < 0x20 || byte == b'"' || byte == b'\\';
            assert_eq!(first_escaped(&[byte]).is_some(), expected, "{byte}");
        }
    }

    #[test]
    fn what_is_written_is_json() {
        let mut json = Json::default();
        json.object(|json| {
            json.member("text").text("a\"\\\n\u{1}ä");
            json.member("numbers").list([1, 2], Json::integer);
            json.member("objects")
                .list([(), ()], |json, ()| json.object(|_| ()));
            json.member("none").list([0; 0], Json::integer);
            json.member("yes").boolean(true);
            json.member("half").decimal(0.5);
            json.member("one").decimal(1.0);
        });
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(
            text,
            r#"{"text":"a\"\\\n\u0001ä","numbers":[1,2],"objects":[{},{}],"none":[],"yes":true,"half":0.5,"one":1.0}"#
        );
    }
}
