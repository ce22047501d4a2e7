//! The one lexer of the expression language: text in, tokens with their places out.
//!
//! Invariant: every byte of the text is white space or belongs to exactly one token; tokens begin and end at character
//! boundaries. What the grammar makes of them is not known here.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An attribute or function name.
    Name,
    /// `#name`
    NamePlaceholder,
    /// `:value`
    ValuePlaceholder,
    /// Digits without a leading zero.
    Number,
    And,
    Or,
    Not,
    In,
    Between,
    Set,
    Remove,
    Add,
    Delete,
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    OpenParenthesis,
    CloseParenthesis,
    OpenBracket,
    CloseBracket,
    Comma,
    Dot,
    Plus,
    Minus,
    /// One character that begins no token.
    Unknown,
    /// The end of the text; its span is empty.
    End,
}

/// A token and where it lies in the text, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) start: usize,
    pub(super) end: usize,
}

/// The first token at or after `position`.
pub(super) fn next_token(text: &str, position: usize) -> Token {
    let bytes = text.as_bytes();
    let space = |byte: &u8| matches!(byte, b' ' | b'\t' | b'\r' | b'\n');
    let start = position + bytes[position..].iter().take_while(|byte| space(byte)).count();
    let rest = &bytes[start..];
    let word = |from: usize| {
        let is_word = |byte: &u8| byte.is_ascii_alphanumeric() || *byte == b'_';
        from + rest[from..].iter().take_while(|byte| is_word(byte)).count()
    };
    let (kind, length) = match *rest {
        [] => (TokenKind::End, 0),
        [b'A'..=b'Z' | b'a'..=b'z', ..] => {
            let length = word(0);
            (keyword(&rest[..length]).unwrap_or(TokenKind::Name), length)
        }
        [b'#', ..] if word(1) > 1 => (TokenKind::NamePlaceholder, word(1)),
        [b':', ..] if word(1) > 1 => (TokenKind::ValuePlaceholder, word(1)),
        [b'0', ..] => (TokenKind::Number, 1),
        [b'1'..=b'9', ..] => (
            TokenKind::Number,
            rest.iter().take_while(|byte| byte.is_ascii_digit()).count(),
        ),
        [b'<', b'>', ..] => (TokenKind::NotEqual, 2),
        [b'<', b'=', ..] => (TokenKind::LessEqual, 2),
        [b'>', b'=', ..] => (TokenKind::GreaterEqual, 2),
        [byte, ..] => match symbol(byte) {
            Some(kind) => (kind, 1),
            None => (
                TokenKind::Unknown,
                text[start..].chars().next().map_or(1, char::len_utf8),
            ),
        },
    };
    Token {
        kind,
        start,
        end: start + length,
    }
}

fn symbol(byte: u8) -> Option<TokenKind> {
    Some(match byte {
        b'=' => TokenKind::Equal,
        b'<' => TokenKind::Less,
        b'>' => TokenKind::Greater,
        b'(' => TokenKind::OpenParenthesis,
        b')' => TokenKind::CloseParenthesis,
        b'[' => TokenKind::OpenBracket,
        b']' => TokenKind::CloseBracket,
        b',' => TokenKind::Comma,
        b'.' => TokenKind::Dot,
        b'+' => TokenKind::Plus,
        b'-' => TokenKind::Minus,
        _ => return None,
    })
}

fn keyword(word: &[u8]) -> Option<TokenKind> {
    [
        ("AND", TokenKind::And),
        ("OR", TokenKind::Or),
        ("NOT", TokenKind::Not),
        ("IN", TokenKind::In),
        ("BETWEEN", TokenKind::Between),
        ("SET", TokenKind::Set),
        ("REMOVE", TokenKind::Remove),
        ("ADD", TokenKind::Add),
        ("DELETE", TokenKind::Delete),
    ]
    .into_iter()
    .find_map(|(keyword, kind)| word.eq_ignore_ascii_case(keyword.as_bytes()).then_some(kind))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn words(text: &str) -> Vec<&str> {
        let mut words = Vec::new();
        let mut token = next_token(text, 0);
        while token.kind != TokenKind::End {
            words.push(&text[token.start..token.end]);
            token = next_token(text, token.end);
        }
        words
    }

    #[test]
    fn tokens_need_no_space_between_them() {
        assert_eq!(
            words("a.b[10]<=:v AND#n<>c"),
            ["a", ".", "b", "[", "10", "]", "<=", ":v", "AND", "#n", "<>", "c"]
        );
        assert_eq!(
            words("01 1a _a #- :é"),
            ["0", "1", "1", "a", "_", "a", "#", "-", ":", "é"]
        );
        assert_eq!(words(" \t\r\n"), [""; 0]);
    }

    #[test]
    fn keywords_are_words_in_any_capitals() {
        assert_eq!(next_token("bEtWeEn", 0).kind, TokenKind::Between);
        assert_eq!(next_token("between_", 0).kind, TokenKind::Name);
    }

    proptest! {
        #[test]
        fn tokens_and_white_space_are_the_whole_text(text in "\\PC*|[ a-c#:0-9<>=().,\\[\\]+-]*") {
            let mut position = 0;
            loop {
                let token = next_token(&text, position);
                prop_assert!(text[position..token.start].chars().all(char::is_whitespace));
                if token.kind == TokenKind::End {
                    break;
                }
                prop_assert!(token.end > token.start);
                position = token.end;
            }
            prop_assert!(text[position..].chars().all(char::is_whitespace));
        }
    }
}
