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

/// The same for a `TableName` that lies deeper in the request.
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

/// [`check`] and [`resolve`] for a request that has nothing else.
///
/// # Errors
/// As [`resolve`], and ValidationException for what breaks the service model.
pub(super) fn only(table_name: Option<String>) -> Result<String, ApiError> {
    let mut constraints = Constraints::default();
    check(&mut constraints, table_name.as_ref());
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
        assert_eq!(refusal(Some("a b")), ApiError::validation(message::TABLE_NAME));
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
                "1 validation error detected: Value '' at 'tableName' failed to satisfy constraint: Member must have \
                 length greater than or equal to 1"
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
