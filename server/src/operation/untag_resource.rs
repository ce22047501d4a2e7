//! UntagResource: takes tags off a table. A key that the table does not have is no error.

use super::{Context, Operation, tags};
use crate::constraint::Constraints;
use crate::message::table;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct UntagResource {
    pub(crate) resource_arn: Option<String>,
    pub(crate) tag_keys: Option<Vec<String>>,
}

/// The answer, which says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct UntagResourceOutput;

impl Operation for UntagResource {
    type Output = UntagResourceOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (resource_arn, keys) = self.validate()?;
        let name = tags::table_of(&resource_arn)?;
        context
            .catalog
            .change(name, |definition| {
                definition.tags.retain(|key, _| !keys.contains(key));
                Ok::<(), ApiError>(())
            })
            .await
            .map_err(|error| tags::catalog(&resource_arn, error))??;
        Ok(UntagResourceOutput)
    }
}

impl UntagResource {
    /// The resource and the keys to be removed.
    fn validate(self) -> Result<(String, Vec<String>), ApiError> {
        let mut constraints = Constraints::default();
        tags::check_arn(&mut constraints, self.resource_arn.as_ref());
        constraints.required("tagKeys", self.tag_keys.as_ref());
        let keys = self.tag_keys.unwrap_or_default();
        constraints.finish()?;
        if keys.is_empty() {
            return Err(ApiError::validation(table::NO_TAG_KEYS));
        }
        tags::check_keys(&keys)?;
        Ok((self.resource_arn.unwrap_or_default(), keys))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_has_to_be_a_key() {
        let request = |keys: &[&str]| {
            UntagResource {
                resource_arn: Some("arn".to_owned()),
                tag_keys: Some(keys.iter().map(|&key| key.to_owned()).collect()),
            }
            .validate()
        };
        assert_eq!(request(&[]), Err(ApiError::validation(table::NO_TAG_KEYS)));
        assert!(request(&["a", "a"]).is_ok());
        assert_eq!(
            request(&["a", ""]),
            Err(ApiError::validation("The Tag Key provided is invalid, Key: "))
        );
        assert_eq!(
            request(&["a"; 51]),
            Err(ApiError::validation(table::TOO_MANY_TAGS))
        );
    }
}
