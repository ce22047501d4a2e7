//! The principals of a document, put into other words where they stand: names into ids when a document is stored, and back
//! when it is shown.
//!
//! Invariant: nothing else of the document changes, not its white space either. Which words stand for whom is the affair of
//! whoever calls.

use super::error::{DocumentError, Problem};
use super::json::{Json, Node, read};

/// A document with each principal of AWS, in `Principal` and `NotPrincipal`, as `rename` writes it.
///
/// # Errors
/// [`Problem::Principal`] at the first one for which `rename` has no words; [`Problem::Json`].
pub fn rename_principals(
    document: &str,
    mut rename: impl FnMut(&str) -> Option<String>,
) -> Result<String, DocumentError> {
    let root = read(document)?;
    let mut out = String::with_capacity(document.len());
    let mut copied = 0;
    for node in principals(&root) {
        let Json::Text(text) = &node.value else { continue };
        let to = rename(text).ok_or_else(|| {
            node.refuse(Problem::Principal {
                kind: "AWS".to_owned(),
                value: text.clone(),
            })
        })?;
        if to == *text {
            continue;
        }
        out.push_str(document.get(copied..node.bytes.start).unwrap_or_default());
        push_quoted(&mut out, &to);
        copied = node.bytes.end;
    }
    out.push_str(document.get(copied..).unwrap_or_default());
    Ok(out)
}

/// The principals of AWS, in the order of the text.
fn principals(root: &Node) -> impl Iterator<Item = &Node> {
    let statements = members(root, &["Statement"]).flat_map(Node::one_or_many);
    let elements = statements.flat_map(|statement| members(statement, &["Principal", "NotPrincipal"]));
    let of_aws = elements.flat_map(|element| members(element, &["AWS"]));
    of_aws.flat_map(Node::one_or_many)
}

/// Members of an object by their names; none of anything else.
fn members<'n>(node: &'n Node, names: &'static [&'static str]) -> impl Iterator<Item = &'n Node> {
    let members = match &node.value {
        Json::Object(members) => members.as_slice(),
        _ => &[],
    };
    let named = members.iter().filter(|(name, _)| names.contains(&name.as_str()));
    named.map(|(_, value)| value)
}

/// As JSON writes a text. Names of principals have no control characters.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for character in text.chars() {
        if matches!(character, '"' | '\\') {
            out.push('\\');
        }
        out.push(character);
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_principals_of_aws_change_and_only_where_they_stand() {
        let document = r#" {"Version": "2012-10-17",
            "Statement": [ {"Effect":"Allow", "Principal": {"AWS": [ "ann" , "b\u0065a" ], "Service": "ann"},
                            "Action": "ann", "Condition": {"StringEquals": {"aws:username": "ann"}}},
                           {"NotPrincipal": {"AWS":"ann"}, "Sid":"ann"}, {"Principal": "ann"} ] } "#;
        let renamed = rename_principals(document, |name| Some(name.replace("ann", "a\"\\é")));
        let wanted = document
            .replace(r#"[ "ann""#, r#"[ "a\"\\é""#)
            .replace(r#":"ann"}, "S"#, r#":"a\"\\é"}, "S"#);
        assert_eq!(renamed.as_deref(), Ok(wanted.as_str()));
        let renamed = rename_principals(document, |name| Some(name.replace("bea", "eve"))).unwrap();
        assert_eq!(renamed, document.replace(r#""b\u0065a""#, r#""eve""#));
        assert_eq!(
            rename_principals(document, |name| Some(name.to_owned())).as_deref(),
            Ok(document)
        );
    }

    #[test]
    fn a_principal_without_words_is_refused_at_its_place() {
        let document = "{\"Statement\":{\n\"Principal\":{\"AWS\":[\"ann\",\"bea\"]}}}";
        let refused = rename_principals(document, |name| (name == "ann").then(|| "x".to_owned()));
        let refused = refused.unwrap_err();
        assert_eq!(
            refused.problem.to_string(),
            "Invalid principal in policy: \"AWS\":\"bea\""
        );
        assert_eq!(refused.position.line, 2);
        assert!(rename_principals("{", |_| None).is_err());
        assert_eq!(
            rename_principals("[{\"Statement\":1}]", |_| None).as_deref(),
            Ok("[{\"Statement\":1}]")
        );
    }
}
