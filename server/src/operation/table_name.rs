//! `TableName`: a name or the ARN of a table, wherever a request names one.

use crate::arn;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// Longest `TableName`. Source: service model of DynamoDB, shape TableArn.
const LENGTH_MAX: usize = 1024;

/// Notes what the service model has against a `TableName`.
pub(super) fn check(constraints: &mut Constraints, table_name: Option<&String>) {
    check_at(constraints, "tableName", table_name);
}

/// The same for operations on tables, which hold a name, though not an ARN, to the length and the pattern of names.
///
/// Source: the service's answers in aws-controllers-k8s/dynamodb-controller, docs/api-quirks/details/DDB-TABLE-457.md and
/// docs/api-quirks/table-policy-kinesis-autoscaling.md, DDB-TABLE-014.
pub(super) fn check_of_table(constraints: &mut Constraints, table_name: Option<&String>) {
    let Some(name) = table_name.filter(|text| !text.starts_with("arn:")) else {
        check(constraints, table_name);
        return;
    };
    constraints.length("tableName", name, name.chars().count(), 3, 255);
    if name.is_empty() || !name.bytes().all(arn::is_table_name_byte) {
        let rule = "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        constraints.violated("tableName", name, rule);
    }
}

/// [`check`] for a `TableName` that lies deeper in the request.
pub(super) fn check_at(constraints: &mut Constraints, member: &str, table_name: Option<&String>) {
    constraints.required(member, table_name);
    if let Some(text) = table_name {
        constraints.length(member, text, text.chars().count(), 1, LENGTH_MAX);
    }
}

/// The table's name in a `TableName`.
///
/// # Errors
/// ValidationException for what is neither a name nor the ARN of a table.
pub(super) fn resolve(text: &str) -> Result<&str, ApiError> {
    let name = if text.starts_with("arn:") {
        arn::table_name(text).ok_or_else(|| message::table::invalid_arn(text))?
    } else {
        text
    };
    if arn::is_table_name(name) {
        Ok(name)
    } else {
        Err(ApiError::validation(message::TABLE_NAME))
    }
}

/// The table's name in a `TableName` that may be missing or wrong.
pub(super) fn given(text: Option<&String>) -> Option<&str> {
    text.and_then(|text| resolve(text).ok())
}

/// [`check_of_table`] and [`resolve`] for a request that has nothing else.
///
/// # Errors
/// As [`resolve`], and ValidationException for what breaks the service model.
pub(super) fn only(table_name: Option<String>) -> Result<String, ApiError> {
    let mut constraints = Constraints::default();
    check_of_table(&mut constraints, table_name.as_ref());
    constraints.finish()?;
    Ok(resolve(&table_name.unwrap_or_default())?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_named_by_its_name_or_its_arn() {
        for text in ["Music", "arn:aws:dynamodb:eu-west-1:000000000000:table/Music"] {
            assert_eq!(only(Some(text.to_owned())), Ok("Music".to_owned()));
        }
    }

    #[test]
    fn what_names_no_table_is_refused() {
        let refusal = |text: Option<&str>| only(text.map(str::to_owned)).unwrap_err();
        assert_eq!(resolve("a b"), Err(ApiError::validation(message::TABLE_NAME)));
        for (name, constraint) in [
            (
                "a b",
                "Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
            ),
            ("ab", "Member must have length greater than or equal to 3"),
        ] {
            assert_eq!(
                refusal(Some(name)),
                ApiError::Validation(format!(
                    "1 validation error detected: Value '{name}' at 'tableName' failed to satisfy constraint: {constraint}"
                ))
            );
        }
        assert_eq!(
            refusal(Some("arn:aws:dynamodb:eu-west-1:1:table/a b")),
            ApiError::validation(message::TABLE_NAME)
        );
        assert_eq!(
            refusal(Some("arn:aws:s3:::bucket")),
            message::table::invalid_arn("arn:aws:s3:::bucket")
        );
        assert_eq!(
            refusal(Some("")),
            ApiError::validation(
                "2 validation errors detected: Value '' at 'tableName' failed to satisfy constraint: Member must have \
                 length greater than or equal to 3; Value '' at 'tableName' failed to satisfy constraint: Member must \
                 satisfy regular expression pattern: [a-zA-Z0-9_.-]+"
            )
        );
        assert_eq!(
            refusal(None),
            ApiError::validation(
                "1 validation error detected: Value null at 'tableName' failed to satisfy constraint: Member must not \
                 be null"
            )
        );
    }
}
