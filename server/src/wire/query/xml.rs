//! Writing XML: elements and texts, nothing else.

/// A document being written.
#[derive(Debug, Default)]
pub(super) struct Xml(String);

impl Xml {
    /// An element with what `content` writes.
    pub(super) fn element(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.open(name, None);
        content(self);
        self.close(name);
    }

    /// An element in a namespace.
    pub(super) fn root(&mut self, name: &str, namespace: &str, content: impl FnOnce(&mut Self)) {
        self.open(name, Some(namespace));
        content(self);
        self.close(name);
    }

    /// An element with a text.
    pub(super) fn text(&mut self, name: &str, text: &str) {
        self.element(name, |xml| xml.escaped(text));
    }

    /// An element with a text, if there is one.
    pub(super) fn optional(&mut self, name: &str, text: Option<&str>) {
        if let Some(text) = text {
            self.text(name, text);
        }
    }

    /// `true` or `false`.
    pub(super) fn boolean(&mut self, name: &str, value: bool) {
        self.text(name, if value { "true" } else { "false" });
    }

    /// A time in milliseconds since the Unix epoch, as `2015-08-30T12:36:00Z`.
    pub(super) fn time(&mut self, name: &str, ms: i64) {
        self.text(name, &stator_iam::iso_8601(ms));
    }

    /// A policy document, which is percent-encoded (RFC 3986).
    pub(super) fn document(&mut self, name: &str, document: &str) {
        let mut encoded = String::with_capacity(document.len() * 2);
        for byte in document.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                encoded.push(char::from(byte));
            } else {
                encoded.push('%');
                let digits = [byte >> 4, byte & 15].map(|digit| char::from_digit(u32::from(digit), 16));
                encoded.extend(
                    digits
                        .into_iter()
                        .flatten()
                        .map(|digit| digit.to_ascii_uppercase()),
                );
            }
        }
        self.text(name, &encoded);
    }

    /// A list: `member` elements in an element.
    pub(super) fn list<T>(
        &mut self,
        name: &str,
        items: impl IntoIterator<Item = T>,
        mut write: impl FnMut(&mut Self, T),
    ) {
        self.element(name, |xml| {
            for item in items {
                xml.element("member", |xml| write(xml, item));
            }
        });
    }

    /// A text where an element's content goes.
    pub(super) fn escaped(&mut self, text: &str) {
        for character in text.chars() {
            match character {
                '&' => self.0.push_str("&amp;"),
                '<' => self.0.push_str("&lt;"),
                '>' => self.0.push_str("&gt;"),
                '"' => self.0.push_str("&quot;"),
                // Carriage returns would be read as line feeds, and other control characters are no XML.
                '\r' => self.0.push_str("&#xD;"),
                '\t' | '\n' => self.0.push(character),
                control if control < ' ' => self.0.push('\u{fffd}'),
                other => self.0.push(other),
            }
        }
    }

    pub(super) fn into_string(self) -> String {
        self.0
    }

    fn open(&mut self, name: &str, namespace: Option<&str>) {
        self.0.push('<');
        self.0.push_str(name);
        if let Some(namespace) = namespace {
            self.0.push_str(" xmlns=\"");
            self.0.push_str(namespace);
            self.0.push('"');
        }
        self.0.push('>');
    }

    fn close(&mut self, name: &str) {
        self.0.push_str("</");
        self.0.push_str(name);
        self.0.push('>');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_escaped_and_documents_encoded() {
        let mut xml = Xml::default();
        xml.root("R", "ns", |xml| {
            xml.text("T", "a<b>&\"c\"\r\n\u{1}");
            xml.document("D", "{\"a\": \u{e4}}");
            xml.list("L", ["x", "y"], Xml::escaped);
            xml.time("C", 1_440_938_160_123);
        });
        assert_eq!(
            xml.into_string(),
            "<R xmlns=\"ns\"><T>a&lt;b&gt;&amp;&quot;c&quot;&#xD;\n\u{fffd}</T><D>%7B%22a%22%3A%20%C3%A4%7D</D>\
             <L><member>x</member><member>y</member></L><C>2015-08-30T12:36:00Z</C></R>"
        );
    }
}
