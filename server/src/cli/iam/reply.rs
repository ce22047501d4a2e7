//! What a node answers: XML as the API writes it, read into JSON and shown as lines.

use serde_json::{Map, Value};

use super::IamError;

/// What is in the result of a call; `{}` when it has none.
///
/// # Errors
/// [`IamError::Refused`] with the code and sentence of an error, [`IamError::Answer`] for anything else.
pub(super) fn result(answer: &str, action: &str) -> Result<Value, IamError> {
    let mut reader = Reader { rest: answer };
    let (name, value) = reader.element().ok_or(IamError::Answer)?;
    if name == "ErrorResponse" {
        let member = |name: &str| {
            let text = value.get("Error").and_then(|error| error.get(name));
            text.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        return Err(IamError::Refused {
            code: member("Code"),
            message: member("Message"),
        });
    }
    if name != format!("{action}Response") {
        return Err(IamError::Answer);
    }
    let result = value.get(format!("{action}Result")).cloned();
    Ok(result
        .filter(Value::is_object)
        .unwrap_or_else(|| Value::Object(Map::new())))
}

/// Elements that are lists, also when there is nothing in them.
const LISTS: [&str; 7] = [
    "AccessKeyMetadata",
    "AttachedPolicies",
    "Groups",
    "Policies",
    "PolicyNames",
    "Roles",
    "Users",
];

/// Reads elements without attributes but for namespaces, and texts.
struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    /// An element: its name, and its text, its elements by name, or the list of its members.
    fn element(&mut self) -> Option<(&'a str, Value)> {
        let (tag, rest) = self.rest.trim_start().strip_prefix('<')?.split_once('>')?;
        self.rest = rest;
        let name = tag.split(' ').next()?;
        let mut map = Map::new();
        let mut list = Vec::new();
        let mut text = None;
        loop {
            if let Some(rest) = self.rest.strip_prefix("</") {
                self.rest = rest.strip_prefix(name)?.strip_prefix('>')?;
                break;
            }
            if self.rest.starts_with('<') {
                let (name, value) = self.element()?;
                if name == "member" {
                    list.push(value);
                } else {
                    map.insert(name.to_owned(), value);
                }
            } else {
                let end = self.rest.find('<')?;
                text = Some(unescaped(&self.rest[..end]));
                self.rest = &self.rest[end..];
            }
        }
        let value = match text {
            Some(text) if map.is_empty() && list.is_empty() => Value::String(text),
            _ if map.is_empty() && (!list.is_empty() || LISTS.contains(&name)) => Value::Array(list),
            _ if map.is_empty() => Value::String(String::new()),
            _ => Value::Object(map),
        };
        Some((name, value))
    }
}

fn unescaped(text: &str) -> String {
    [
        ("&lt;", "<"),
        ("&gt;", ">"),
        ("&quot;", "\""),
        ("&#xD;", "\r"),
        ("&amp;", "&"),
    ]
    .iter()
    .fold(text.to_owned(), |text, (escaped, plain)| {
        text.replace(escaped, plain)
    })
}

/// A result as lines: members with their values, and each item of a list by itself.
pub(super) fn text(result: &Value) -> String {
    let mut lines = String::new();
    write(&mut lines, result, "");
    lines
}

fn write(lines: &mut String, value: &Value, indent: &str) {
    let Value::Object(members) = value else { return };
    for (name, value) in members {
        match value {
            Value::String(text) if name != "IsTruncated" && !text.is_empty() => {
                lines.extend([indent, &format!("{name:<24} {text}\n")]);
            }
            Value::Object(_) => {
                lines.extend([indent, name.as_str(), "\n"]);
                write(lines, value, &format!("{indent}  "));
            }
            Value::Array(items) => {
                for item in items {
                    match item {
                        Value::String(text) => lines.extend([indent, text.as_str(), "\n"]),
                        item => {
                            write(lines, item, indent);
                            lines.push('\n');
                        }
                    }
                }
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_become_json() {
        let answer = "<ListUsersResponse xmlns=\"https://x/\"><ListUsersResult><Users><member><UserName>a&lt;&amp;amp;</UserName>\
                      </member><member><UserName>b</UserName></member></Users><IsTruncated>false</IsTruncated>\
                      </ListUsersResult><ResponseMetadata><RequestId>R</RequestId></ResponseMetadata></ListUsersResponse>";
        let value = result(answer, "ListUsers").unwrap();
        assert_eq!(
            value,
            serde_json::json!({"Users": [{"UserName": "a<&amp;"}, {"UserName": "b"}], "IsTruncated": "false"})
        );
        assert_eq!(
            text(&value),
            "UserName                 a<&amp;\n\nUserName                 b\n\n"
        );
        let none =
            "<DeleteUserResponse xmlns=\"x\"><ResponseMetadata></ResponseMetadata></DeleteUserResponse>";
        assert_eq!(result(none, "DeleteUser").unwrap(), serde_json::json!({}));
        let empty =
            "<ListRolesResponse><ListRolesResult><Roles></Roles></ListRolesResult></ListRolesResponse>";
        assert_eq!(
            result(empty, "ListRoles").unwrap(),
            serde_json::json!({"Roles": []})
        );
    }

    #[test]
    fn refusals_are_told_and_nonsense_is_not_understood() {
        let answer = "<ErrorResponse xmlns=\"x\"><Error><Type>Sender</Type><Code>NoSuchEntity</Code><Message>no</Message>\
                      </Error><RequestId>R</RequestId></ErrorResponse>";
        assert_eq!(
            result(answer, "GetUser").unwrap_err().to_string(),
            "NoSuchEntity: no"
        );
        for answer in ["", "<a>", "<a></b>", "{}", "<a></a>", "<a><b></a></b>"] {
            assert!(
                matches!(result(answer, "GetUser"), Err(IamError::Answer)),
                "{answer}"
            );
        }
    }
}
