//! The lexer of PartiQL: text in, tokens with their places out.
//!
//! Invariant: every byte of the text is white space, part of a comment or belongs to exactly one token; tokens begin and
//! end at character boundaries. Keywords are words here; what they mean is the grammar's.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name or keyword without quotes.
    Word,
    /// `"name"`
    Quoted,
    /// `'text'`
    Text,
    /// Digits, with a fraction or an exponent perhaps.
    Number,
    /// A value of another language between backticks.
    Ion,
    /// `?`
    Parameter,
    /// `=`
    Equal,
    /// `<>` or `!=`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterEqual,
    /// `<<`
    OpenBag,
    /// `>>`
    CloseBag,
    /// `||`
    Concatenate,
    /// One of `( ) [ ] { } , . ; : * + - / %`.
    Symbol(u8),
    /// One character that begins no token, or quotes that do not end.
    Unknown,
    /// The end of the text; its span is empty.
    End,
}

/// A stretch of the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: usize,
    pub(super) end: usize,
}

/// A token and where it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// The first token at or after `position`.
pub(super) fn next_token(text: &str, position: usize) -> Token {
    let start = skip_space(text.as_bytes(), position);
    let rest = &text.as_bytes()[start..];
    let (kind, length) = match *rest {
        [] => (TokenKind::End, 0),
        [first, ..] if is_word(first) && !first.is_ascii_digit() => (
            TokenKind::Word,
            rest.iter().take_while(|byte| is_word(**byte)).count(),
        ),
        [b'"', ..] => quoted(rest, b'"', TokenKind::Quoted),
        [b'\'', ..] => quoted(rest, b'\'', TokenKind::Text),
        [b'`', ..] => quoted(rest, b'`', TokenKind::Ion),
        [b'0'..=b'9', ..] | [b'.', b'0'..=b'9', ..] => (TokenKind::Number, number(rest)),
        [b'<', b'<', ..] => (TokenKind::OpenBag, 2),
        [b'>', b'>', ..] => (TokenKind::CloseBag, 2),
        [b'<', b'>', ..] | [b'!', b'=', ..] => (TokenKind::NotEqual, 2),
        [b'<', b'=', ..] => (TokenKind::LessEqual, 2),
        [b'>', b'=', ..] => (TokenKind::GreaterEqual, 2),
        [b'|', b'|', ..] => (TokenKind::Concatenate, 2),
        [b'<', ..] => (TokenKind::Less, 1),
        [b'>', ..] => (TokenKind::Greater, 1),
        [b'=', ..] => (TokenKind::Equal, 1),
        [b'?', ..] => (TokenKind::Parameter, 1),
        [byte, ..] if b"()[]{},.;:*+-/%".contains(&byte) => (TokenKind::Symbol(byte), 1),
        _ => (
            TokenKind::Unknown,
            text[start..].chars().next().map_or(1, char::len_utf8),
        ),
    };
    Token {
        kind,
        span: Span {
            start,
            end: start + length,
        },
    }
}

/// What stands between quotes; a doubled quote is one.
pub(super) fn unquoted(token: &str) -> String {
    let mut characters = token.chars();
    let quote = characters.next();
    characters.next_back();
    let content = characters.as_str();
    match quote {
        Some(quote) => content.replace(&format!("{quote}{quote}"), &quote.to_string()),
        None => String::new(),
    }
}

const fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'$')
}

/// Where white space and comments end that begin at `position`.
fn skip_space(bytes: &[u8], mut position: usize) -> usize {
    loop {
        position += match &bytes[position..] {
            [b' ' | b'\t' | b'\r' | b'\n', ..] => 1,
            [b'-', b'-', rest @ ..] => 2 + rest.iter().take_while(|byte| **byte != b'\n').count(),
            [b'/', b'*', rest @ ..] => match rest.windows(2).position(|pair| pair == b"*/") {
                Some(length) => length + 4,
                None => return position,
            },
            _ => return position,
        };
    }
}

/// A quoted token up to the quote that is not doubled.
fn quoted(rest: &[u8], quote: u8, kind: TokenKind) -> (TokenKind, usize) {
    let mut at = 1;
    while let Some(length) = rest[at..].iter().position(|byte| *byte == quote) {
        at += length + 1;
        if rest.get(at) != Some(&quote) {
            return (kind, at);
        }
        at += 1;
    }
    (TokenKind::Unknown, rest.len())
}

/// Length of a number.
fn number(rest: &[u8]) -> usize {
    let digits = |from: usize| {
        from + rest[from..]
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count()
    };
    let mut end = digits(0);
    if rest.get(end) == Some(&b'.') {
        end = digits(end + 1);
    }
    if matches!(rest.get(end), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(rest.get(end + 1), Some(b'+' | b'-')));
        let exponent = digits(end + 1 + sign);
        if exponent > end + 1 + sign {
            end = exponent;
        }
    }
    end
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        let mut token = next_token(text, 0);
        while token.kind != TokenKind::End {
            words.push(&text[token.span.start..token.span.end]);
            token = next_token(text, token.span.end);
        }
        words
    }

    #[test]
    fn tokens_need_no_space_between_them() {
        assert_eq!(
            words("a.\"b\"\"c\"[10]<=?<>'it''s'<<1>>!=-1.5e-3||x"),
            [
                "a",
                ".",
                "\"b\"\"c\"",
                "[",
                "10",
                "]",
                "<=",
                "?",
                "<>",
                "'it''s'",
                "<<",
                "1",
                ">>",
                "!=",
                "-",
                "1.5e-3",
                "||",
                "x"
            ]
        );
        assert_eq!(
            words(".5 1. 1e 1e+ 1e+2"),
            [".5", "1.", "1", "e", "1", "e", "+", "1e+2"]
        );
    }

    #[test]
    fn comments_are_white_space() {
        assert_eq!(words("a -- b\n c /* d\n */ e"), ["a", "c", "e"]);
        assert_eq!(words("a /* b"), ["a", "/", "*", "b"]);
        assert_eq!(words("-- a"), [""; 0]);
    }

    #[test]
    fn quotes_that_do_not_end_are_no_token() {
        assert_eq!(next_token("'a", 0).kind, TokenKind::Unknown);
        assert_eq!(next_token("'a''", 0).kind, TokenKind::Unknown);
        assert_eq!(unquoted("'it''s'"), "it's");
        assert_eq!(unquoted("\"\"\"\""), "\"");
    }

    proptest! {
        #[test]
        fn tokens_go_on_to_the_end(text in "\\PC*|[ a-c'\"`?0-9<>=().,*/|\\[\\]{}+-]*") {
            let mut position = 0;
            loop {
                let token = next_token(&text, position);
                prop_assert!(token.span.start >= position);
                prop_assert!(text.is_char_boundary(token.span.start) && text.is_char_boundary(token.span.end));
                if token.kind == TokenKind::End {
                    prop_assert_eq!(token.span.start, text.len());
                    break;
                }
                prop_assert!(token.span.end > token.span.start);
                position = token.span.end;
            }
        }
    }
}
