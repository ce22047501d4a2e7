//! The canonical request: the one byte string that signer and verifier both derive from a request.
//!
//! It is written piece by piece into a [`Sink`], usually the hasher, so that it never lies in memory as a whole.
//! Source: AWS IAM User Guide, "Create a signed AWS API request", step 1, with the rules that the AWS signature test
//! suite pins down (path normalization, folding of spaces, order of equal headers).

use std::borrow::Cow;

use sha2::{Digest, Sha256};

use super::RequestView;

/// Where the pieces of a canonical request go.
pub(super) trait Sink {
    fn put(&mut self, bytes: &[u8]);
}

impl Sink for Sha256 {
    fn put(&mut self, bytes: &[u8]) {
        Digest::update(self, bytes);
    }
}

impl Sink for Vec<u8> {
    fn put(&mut self, bytes: &[u8]) {
        self.extend_from_slice(bytes);
    }
}

/// The signed headers have no canonical form: a name is not in order, or names a header that is not there.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct NotCanonical;

/// Writes the canonical request that ends in `payload_hash`, the hexadecimal SHA-256 of the body or a keyword.
///
/// AWS requires the names in `signed_headers` to be sorted; that is checked, since names that ascend strictly are no
/// more than there are headers, which bounds the work a client can cause.
///
/// Parameters of the query string whose names are in `left_out` are not part of it: a presigned request cannot sign its
/// signature.
pub(super) fn write_canonical_request(
    sink: &mut impl Sink,
    request: &RequestView<'_>,
    signed_headers: &str,
    left_out: &[&str],
    payload_hash: &[u8],
) -> Result<(), NotCanonical> {
    sink.put(request.method.as_bytes());
    sink.put(b"\n");
    write_path(sink, request.path);
    sink.put(b"\n");
    if !request.query.is_empty() {
        write_query(sink, request.query, left_out);
    }
    sink.put(b"\n");
    let mut last = "";
    for name in signed_headers.split(';') {
        if name <= last {
            return Err(NotCanonical);
        }
        last = name;
        write_header(sink, request, name)?;
    }
    sink.put(b"\n");
    sink.put(signed_headers.as_bytes());
    sink.put(b"\n");
    sink.put(payload_hash);
    Ok(())
}

/// `name:value,value\n`, each value trimmed and its runs of spaces folded to one.
fn write_header(sink: &mut impl Sink, request: &RequestView<'_>, name: &str) -> Result<(), NotCanonical> {
    let mut separator: &[u8] = b":";
    for value in request.values(name) {
        if separator == b":" {
            sink.put(name.as_bytes());
        }
        sink.put(separator);
        write_folded(sink, value);
        separator = b",";
    }
    if separator == b":" {
        return Err(NotCanonical);
    }
    sink.put(b"\n");
    Ok(())
}

fn write_folded(sink: &mut impl Sink, value: &[u8]) {
    if !has_fold(value) {
        sink.put(value);
        return;
    }
    let mut words = value.split(|byte| *byte == b' ').filter(|word| !word.is_empty());
    if let Some(first) = words.next() {
        sink.put(first);
    }
    for word in words {
        sink.put(b" ");
        sink.put(word);
    }
}

/// Whether folding would change the value: a space at either end, or two in a row.
fn has_fold(value: &[u8]) -> bool {
    value.first() == Some(&b' ') || value.last() == Some(&b' ') || value.windows(2).any(|pair| pair == b"  ")
}

/// The path, normalized and percent-encoded once more (so that what the client encoded is encoded twice; S3 alone does
/// otherwise).
fn write_path(sink: &mut impl Sink, path: &str) {
    if path == "/" || path.is_empty() {
        sink.put(b"/");
        return;
    }
    let mut segments: Vec<&str> = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" | "." => {}
            ".." => {
                segments.pop();
            }
            _ => segments.push(segment),
        }
    }
    for segment in &segments {
        sink.put(b"/");
        write_encoded(sink, segment.as_bytes());
    }
    let is_folder = ["/", "/.", "/.."].iter().any(|end| path.ends_with(end));
    if is_folder || segments.is_empty() {
        sink.put(b"/");
    }
}

/// The parameters, decoded, encoded the canonical way and sorted by name, then value.
fn write_query(sink: &mut impl Sink, query: &str, left_out: &[&str]) {
    let canonical = |text: &str| {
        let mut encoded = Vec::with_capacity(text.len());
        write_encoded(&mut encoded, &decoded(text.as_bytes()));
        encoded
    };
    let mut parameters: Vec<(Vec<u8>, Vec<u8>)> = query
        .split('&')
        .filter(|pair| !pair.is_empty())
        .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
        .filter(|(name, _)| !left_out.contains(name))
        .map(|(name, value)| (canonical(name), canonical(value)))
        .collect();
    parameters.sort_unstable();
    let mut separator: &[u8] = b"";
    for (name, value) in &parameters {
        sink.put(separator);
        sink.put(name);
        sink.put(b"=");
        sink.put(value);
        separator = b"&";
    }
}

/// AWS's `UriEncode`: everything but `A-Z a-z 0-9 - . _ ~` becomes `%XX` with upper-case digits.
fn write_encoded(sink: &mut impl Sink, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in bytes {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
            sink.put(&[*byte]);
        } else {
            sink.put(&[
                b'%',
                DIGITS[usize::from(byte >> 4)],
                DIGITS[usize::from(byte & 15)],
            ]);
        }
    }
}

/// Undoes `%XX` and the `+` that stands for a space in a query; a stray `%` stands for itself.
pub(super) fn decoded(bytes: &[u8]) -> Cow<'_, [u8]> {
    if !bytes.iter().any(|byte| b"%+".contains(byte)) {
        return Cow::Borrowed(bytes);
    }
    let mut out = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((first, tail)) = rest.split_first() {
        let escaped = match (first, tail) {
            (b'%', [high, low, ..]) => hex_digit(*high).zip(hex_digit(*low)),
            _ => None,
        };
        if let Some((high, low)) = escaped {
            out.push(high << 4 | low);
            rest = &tail[2..];
        } else {
            out.push(if *first == b'+' { b' ' } else { *first });
            rest = tail;
        }
    }
    Cow::Owned(out)
}

fn hex_digit(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        b'A'..=b'F' => Some(digit - b'A' + 10),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{NotCanonical, write_canonical_request};
    use crate::sigv4::RequestView;

    fn canonical(
        path: &str,
        query: &str,
        headers: &[(&str, &[u8])],
        signed: &str,
    ) -> Result<String, NotCanonical> {
        let mut out = Vec::new();
        let request = RequestView {
            method: "GET",
            path,
            query,
            headers,
            body: b"",
        };
        write_canonical_request(&mut out, &request, signed, &["X-Amz-Signature"], b"hash")?;
        Ok(String::from_utf8(out).unwrap())
    }

    #[test]
    fn documented_iam_example_byte_for_byte() {
        let headers: &[(&str, &[u8])] = &[
            (
                "content-type",
                b"application/x-www-form-urlencoded; charset=utf-8",
            ),
            ("host", b"iam.amazonaws.com"),
            ("x-amz-date", b"20150830T123600Z"),
        ];
        assert_eq!(
            canonical(
                "/",
                "Action=ListUsers&Version=2010-05-08",
                headers,
                "content-type;host;x-amz-date"
            )
            .unwrap(),
            "GET\n/\nAction=ListUsers&Version=2010-05-08\n\
             content-type:application/x-www-form-urlencoded; charset=utf-8\nhost:iam.amazonaws.com\n\
             x-amz-date:20150830T123600Z\n\ncontent-type;host;x-amz-date\nhash"
        );
    }

    #[test]
    fn header_values_are_trimmed_folded_and_joined_in_order() {
        let headers: &[(&str, &[u8])] = &[
            ("a", b"  x   y  "),
            ("b", b"second, \"q  q\""),
            ("a", b""),
            ("a", b"   "),
            ("b", b"first"),
            ("c", b"tab\t\there"),
        ];
        let text = canonical("/", "", headers, "a;b;c").unwrap();
        assert_eq!(
            text,
            "GET\n/\n\na:x y,,\nb:second, \"q q\",first\nc:tab\t\there\n\na;b;c\nhash"
        );
    }

    #[test]
    fn path_is_normalized_then_encoded_a_second_time() {
        let path = |path| {
            canonical(path, "", &[("host", b"h")], "host")
                .unwrap()
                .split('\n')
                .nth(1)
                .map(String::from)
        };
        for (raw, encoded) in [
            ("", "/"),
            ("//", "/"),
            ("/a/./b/../c", "/a/c"),
            ("/../../a", "/a"),
            ("/a/b/..", "/a/"),
            ("/a/.", "/a/"),
            ("/a//b//", "/a/b/"),
            ("/%20+ *", "/%2520%2B%20%2A"),
            ("/\u{1234}", "/%E1%88%B4"),
        ] {
            assert_eq!(path(raw).as_deref(), Some(encoded), "{raw}");
        }
    }

    #[test]
    fn query_is_decoded_encoded_and_sorted() {
        let query = |query| {
            canonical("/", query, &[("host", b"h")], "host")
                .unwrap()
                .split('\n')
                .nth(2)
                .map(String::from)
        };
        for (raw, encoded) in [
            ("b=2&a=1&a=0&B=3", "B=3&a=0&a=1&b=2"),
            ("a", "a="),
            ("&a=1&&", "a=1"),
            ("b=1&X-Amz-Signature=00&a=1", "a=1&b=1"),
            ("a=b=c", "a=b%3Dc"),
            ("a=%2f%2F/&b=x+y", "a=%2F%2F%2F&b=x%20y"),
            ("a=100%&b=%zz&c=%4", "a=100%25&b=%25zz&c=%254"),
            ("%E1%88%B4=v&Param=1&Param-3=2", "%E1%88%B4=v&Param=1&Param-3=2"),
        ] {
            assert_eq!(query(raw).as_deref(), Some(encoded), "{raw}");
        }
    }

    #[test]
    fn signed_headers_must_ascend_and_be_there() {
        let headers: &[(&str, &[u8])] = &[("a", b"1"), ("b", b"2")];
        assert!(canonical("/", "", headers, "a;b").is_ok());
        for signed in ["b;a", "a;a", "a;b;c", "a;;b", "a;b;", ";a", "", "A;b"] {
            assert_eq!(canonical("/", "", headers, signed), Err(NotCanonical), "{signed}");
        }
    }
}
