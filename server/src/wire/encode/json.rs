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

    /// A list; `elements` calls [`Json::element`] before each value.
    pub(crate) fn list(&mut self, elements: impl FnOnce(&mut Self)) {
        self.out.push(b'[');
        self.comma = false;
        elements(self);
        self.out.push(b']');
        self.comma = true;
    }

    /// Announces the next element of a list.
    pub(crate) fn element(&mut self) -> &mut Self {
        if self.comma {
            self.out.push(b',');
        }
        self.comma = false;
        self
    }

    /// The name of the next member; its value follows.
    pub(crate) fn member(&mut self, name: &str) -> &mut Self {
        self.member_bytes(name.as_bytes())
    }

    pub(super) fn member_bytes(&mut self, name: &[u8]) -> &mut Self {
        self.element();
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
        let mut clean_from = 0;
        for (at, &byte) in text.iter().enumerate() {
            if byte >= 0x20 && byte != b'"' && byte != b'\\' {
                continue;
            }
            self.out.extend_from_slice(&text[clean_from..at]);
            clean_from = at + 1;
            self.escape(byte);
        }
        self.out.extend_from_slice(&text[clean_from..]);
        self.out.push(b'"');
        self.comma = true;
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_json() {
        let mut json = Json::default();
        json.object(|json| {
            json.member("text").text("a\"\\\n\u{1}ä");
            json.member("list").list(|json| {
                json.element().integer(1);
                json.element().object(|_| ());
                json.element().list(|_| ());
            });
            json.member("yes").boolean(true);
            json.member("half").decimal(0.5);
            json.member("one").decimal(1.0);
        });
        let text = String::from_utf8(json.into_bytes()).unwrap();
        assert_eq!(
            text,
            r#"{"text":"a\"\\\n\u0001ä","list":[1,{},[]],"yes":true,"half":0.5,"one":1.0}"#
        );
    }
}
