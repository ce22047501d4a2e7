//! Policy variables: `${aws:username}`, `${aws:PrincipalTag/team, 'everyone'}` and the three that stand for characters.
//!
//! Invariant: a [`Variable`] has its key in lower case, as keys are asked for. What a variable stands for in a request
//! is the part of `request.rs`.
//!
//! Source: IAM User Guide, "IAM policy elements: Variables and tags".

use super::error::Problem;
use super::pattern::Piece;

/// A place in a pattern that a request fills in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Variable {
    pub(super) key: Box<str>,
    pub(super) default: Option<Box<str>>,
}

/// What of a text has a meaning of its own.
#[derive(Debug, Clone, Copy)]
pub(super) struct Syntax {
    /// `*` and `?`.
    pub(super) wildcards: bool,
    /// `${...}`: documents of version 2012-10-17.
    pub(super) variables: bool,
}

/// Cuts a text into pieces.
///
/// # Errors
/// [`Problem::Variable`].
pub(super) fn pieces(text: &str, syntax: Syntax) -> Result<Vec<Piece>, Problem> {
    let mut pieces = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some(next) = rest.chars().next() {
        let mut length = next.len_utf8();
        let special = match next {
            '*' if syntax.wildcards => Some(Piece::Run),
            '?' if syntax.wildcards => Some(Piece::One),
            '$' if syntax.variables && rest.starts_with("${") => {
                let invalid = || Problem::Variable(text.to_owned());
                let end = rest.find('}').ok_or_else(invalid)?;
                length = end + 1;
                match &rest[2..end] {
                    character @ ("*" | "?" | "$") => {
                        literal.push_str(character);
                        rest = &rest[length..];
                        continue;
                    }
                    inner => Some(Piece::Variable(variable(inner).ok_or_else(invalid)?)),
                }
            }
            _ => None,
        };
        match special {
            None => literal.push(next),
            Some(piece) => {
                flush(&mut literal, &mut pieces);
                // Two runs are one, and cheaper.
                if piece != Piece::Run || pieces.last() != Some(&Piece::Run) {
                    pieces.push(piece);
                }
            }
        }
        rest = &rest[length..];
    }
    flush(&mut literal, &mut pieces);
    Ok(pieces)
}

fn flush(literal: &mut String, pieces: &mut Vec<Piece>) {
    if !literal.is_empty() {
        pieces.push(Piece::Literal(std::mem::take(literal).into()));
    }
}

/// Reads `key` or `key, 'default'`.
fn variable(inner: &str) -> Option<Variable> {
    let (key, default) = match inner.split_once(',') {
        None => (inner, None),
        Some((key, default)) => {
            let default = default.trim().strip_prefix('\'')?.strip_suffix('\'')?;
            (key, Some(default.into()))
        }
    };
    let key = key.trim();
    let is_key = !key.is_empty() && !key.contains(['{', '$', '\'']);
    is_key.then(|| Variable {
        key: key.to_ascii_lowercase().into(),
        default,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: Syntax = Syntax {
        wildcards: true,
        variables: true,
    };

    fn literal(text: &str) -> Piece {
        Piece::Literal(text.into())
    }

    #[test]
    fn a_text_is_cut_at_what_means_something() {
        let user = Piece::Variable(Variable {
            key: "aws:username".into(),
            default: None,
        });
        assert_eq!(
            pieces("a*?${aws:UserName}$b", ALL),
            Ok(vec![
                literal("a"),
                Piece::Run,
                Piece::One,
                user.clone(),
                literal("$b")
            ])
        );
        assert_eq!(pieces("a${*}b${?}${$}", ALL), Ok(vec![literal("a*b?$")]));
        assert_eq!(pieces("**", ALL), Ok(vec![Piece::Run]));
        let plain = Syntax {
            wildcards: false,
            variables: false,
        };
        assert_eq!(pieces("a*${x:y}", plain), Ok(vec![literal("a*${x:y}")]));
    }

    #[test]
    fn a_default_stands_between_quotes() {
        let expected = Piece::Variable(Variable {
            key: "aws:principaltag/team".into(),
            default: Some("company-wide".into()),
        });
        assert_eq!(
            pieces("${aws:PrincipalTag/team, 'company-wide'}", ALL),
            Ok(vec![expected])
        );
        for text in ["${", "${}", "x${aws:username", "${aws:x, y}", "${a${b}}"] {
            assert_eq!(
                pieces(text, ALL),
                Err(Problem::Variable(text.to_owned())),
                "{text}"
            );
        }
    }
}
