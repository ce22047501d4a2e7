//! Which attributes an expression is about, by its tokens alone: asked where a request is to be permitted before it is
//! validated.
//!
//! Invariant: every attribute at which a path of a valid expression begins is mentioned. What is mentioned of an expression
//! that is none means nothing, because it is refused.

use super::lexer::{TokenKind, next_token};

/// The names at which the paths of an expression begin, in the order of the text; one may come twice. A placeholder is
/// given as it is written, with its `#`.
pub fn mentioned(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    let (mut before, mut token) = (TokenKind::End, next_token(text, 0));
    while token.kind != TokenKind::End {
        let next = next_token(text, token.end);
        let is_name = match token.kind {
            TokenKind::NamePlaceholder => true,
            // What a parenthesis follows is a function.
            TokenKind::Name => next.kind != TokenKind::OpenParenthesis,
            _ => false,
        };
        if is_name && before != TokenKind::Dot {
            found.push(&text[token.start..token.end]);
        }
        (before, token) = (token.kind, next);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_begin_with_what_is_mentioned() {
        for (text, names) in [
            ("a.b[0].c, #d.e, f", vec!["a", "#d", "f"]),
            ("size(a) > :v AND begins_with (#b, :p)", vec!["a", "#b"]),
            (
                "SET a = if_not_exists(b.c, :v) REMOVE d ADD e :x",
                vec!["a", "b", "d", "e"],
            ),
            ("NOT contains(tags, :t) OR size = :n", vec!["tags", "size"]),
            ("a . b", vec!["a"]),
            ("a IN (:x, b)", vec!["a", "b"]),
            ("", vec![]),
        ] {
            assert_eq!(mentioned(text), names, "{text}");
        }
    }
}
