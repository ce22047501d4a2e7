//! A look at a line of Ion before the reader of the crate gets it, which takes more stack, time or memory for some lines than they
//! are worth, or panics at them.
//!
//! Source: Amazon Ion specification, "Ion Text Encoding". Invariant: what an item can be written as passes; what passes costs the
//! reader no more than the line is long. Pure.

use super::BRACKETS_MAX;

/// A number of more digits is none that an attribute can have, nor one with zeros that do not count: the crate takes time that grows
/// with their square, and counts them in 16 bits.
const DIGITS_MAX: usize = 300;

/// More names and values than an item has room for: each costs two bytes of its 400 KB at least.
const WORDS_MAX: usize = 1 << 19;

/// Symbols with so many digits are in no table, and in no number of the machine.
const SYMBOL_DIGITS_MAX: usize = 9;

/// Refuses a line that is not to be read.
///
/// # Errors
/// A sentence.
pub(super) fn look(line: &[u8]) -> Result<(), String> {
    let mut look = Look { depth: 0, words: 0 };
    let mut at = 0;
    while let Some(rest) = line.get(at..).filter(|rest| !rest.is_empty()) {
        at += look.step(rest)?;
    }
    Ok(())
}

struct Look {
    depth: usize,
    words: usize,
}

impl Look {
    /// Looks at what a rest of the line begins with; gives how long that is.
    fn step(&mut self, rest: &[u8]) -> Result<usize, String> {
        Ok(match rest[0] {
            b'"' | b'\'' => {
                self.word()?;
                quoted(rest)?
            }
            b'/' if rest.starts_with(b"/*") => ends_with(rest, 2, b"*/"),
            b'/' if rest.starts_with(b"//") => {
                let end = rest.iter().position(|byte| matches!(byte, b'\n' | b'\r'));
                end.unwrap_or(rest.len())
            }
            // A comment cannot be in there, but its beginning can, in Base64.
            b'{' if is_blob(rest) => {
                self.word()?;
                ends_with(rest, 2, b"}}")
            }
            b'{' | b'[' | b'(' => {
                self.word()?;
                self.depth += 1;
                if self.depth > BRACKETS_MAX {
                    return Err("The value is nested too deeply".to_owned());
                }
                1
            }
            b'}' | b']' | b')' => {
                self.depth = self.depth.saturating_sub(1);
                1
            }
            byte if is_of_word(byte) => {
                self.word()?;
                word(rest)?
            }
            _ => 1,
        })
    }

    fn word(&mut self) -> Result<(), String> {
        self.words += 1;
        if self.words > WORDS_MAX {
            return Err("The line has more values than an item can have".to_owned());
        }
        Ok(())
    }
}

/// How long something is that ends so, from behind so many bytes on.
fn ends_with(text: &[u8], behind: usize, end: &[u8]) -> usize {
    let found = text[behind..].windows(end.len()).position(|some| some == end);
    found.map_or(text.len(), |found| behind + found + end.len())
}

/// Whether bytes in Base64 begin here: two brackets, and no quoted text in them.
fn is_blob(text: &[u8]) -> bool {
    let Some(inner) = text.strip_prefix(b"{{") else {
        return false;
    };
    !matches!(inner.trim_ascii_start().first(), Some(b'"' | b'\''))
}

fn is_of_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

/// How long the number, symbol or keyword is that begins here.
fn word(text: &[u8]) -> Result<usize, String> {
    let length = text.iter().take_while(|byte| is_of_word(**byte)).count();
    let word = &text[..length];
    if word[0].is_ascii_digit() && length > DIGITS_MAX {
        return Err("A number has too many digits".to_owned());
    }
    let id = word.strip_prefix(b"$").unwrap_or_default();
    if id.len() > SYMBOL_DIGITS_MAX && id.iter().all(u8::is_ascii_digit) {
        return Err("A symbol is not known".to_owned());
    }
    Ok(length)
}

/// How long the quoted text is that begins here.
fn quoted(text: &[u8]) -> Result<usize, String> {
    let quote = if text.starts_with(b"'''") {
        &text[..3]
    } else {
        &text[..1]
    };
    let mut at = quote.len();
    while at < text.len() && !text[at..].starts_with(quote) {
        if text[at..].starts_with(b"\\U") {
            let digits = text
                .get(at + 2..at + 10)
                .and_then(|digits| std::str::from_utf8(digits).ok());
            let code = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
            code.and_then(char::from_u32)
                .ok_or("A text has an escape sequence that is no character")?;
        }
        at += if text[at] == b'\\' { 2 } else { 1 };
    }
    Ok((at + quote.len()).min(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_item_can_be_is_looked_at_and_passes() {
        for line in [
            r#"{Item:{pk:"a",n:1.5e-7,b:{{aGVsbG8=}},c:{{ //// }},l:[1,2,[true]],s:$dynamodb_SS::["x","y"]}}"#,
            r#"$ion_1_0 {Item:{'a b':'''long''',"x\U0001F600":null,t:2020-01-01T}}"#,
            r#"{a:{{"clob } ]]"}}} // [[["#,
        ] {
            assert_eq!(look(line.as_bytes()), Ok(()), "{line}");
        }
    }

    #[test]
    fn brackets_behind_a_blob_are_counted() {
        for blob in ["{{////}}", "{{ // // }}", "{{'''a'''}}", "{{\"a\"}}"] {
            let line = format!("{{Item:{{b:{blob},c:{}", "[".repeat(BRACKETS_MAX));
            assert!(
                look(line.as_bytes()).unwrap_err().contains("too deeply"),
                "{blob}"
            );
        }
    }

    #[test]
    fn what_costs_more_than_it_is_long_is_refused() {
        let refused = |line: String| look(line.as_bytes()).unwrap_err();
        assert!(refused(format!("{{n:7{}.}}", "0".repeat(65_536))).contains("digits"));
        assert!(refused(format!("[{}]", "1,".repeat(WORDS_MAX))).contains("more values"));
        assert!(refused(format!("({})", "a ".repeat(WORDS_MAX))).contains("more values"));
        assert!(refused("{x:$99999999999999999999}".to_owned()).contains("symbol"));
        for text in [
            r#""\U00110000""#,
            r"'\U0000d800'",
            r#""\U12""#,
            r"'''\UFFFFFFFF'''",
        ] {
            assert!(refused(text.to_owned()).contains("escape"), "{text}");
        }
    }
}
