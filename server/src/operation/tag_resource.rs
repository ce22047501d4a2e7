//! TagResource: adds tags to a table.

use std::collections::BTreeMap;

use super::{Context, Operation, tags, tags::Tag};
use crate::constraint::Constraints;
use crate::message::table;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct TagResource {
    pub(crate) resource_arn: Option<String>,
    pub(crate) tags: Option<Vec<Tag>>,
}

/// The answer, which says nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TagResourceOutput;

impl Operation for TagResource {
    type Output = TagResourceOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let (resource_arn, added) = self.validate()?;
        let name = tags::table_of(&resource_arn)?;
        context
            .catalog
            .change(name, |definition| {
                tags::merge(&mut definition.tags, added.clone())
            })
            .await
            .map_err(|error| tags::catalog(&resource_arn, error))??;
        Ok(TagResourceOutput)
    }
}

impl TagResource {
    /// The resource and its new tags.
    fn validate(self) -> Result<(String, BTreeMap<String, String>), ApiError> {
        let mut constraints = Constraints::default();
        tags::check_arn(&mut constraints, self.resource_arn.as_ref());
        constraints.required("tags", self.tags.as_ref());
        let new_tags = self.tags.unwrap_or_default();
        constraints.finish()?;
        if new_tags.is_empty() {
            return Err(ApiError::validation(table::NO_TAGS));
        }
        Ok((self.resource_arn.unwrap_or_default(), tags::by_key(new_tags)?))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_has_to_be_a_tag() {
        let request = TagResource {
            resource_arn: Some("arn".to_owned()),
            tags: Some(Vec::new()),
        };
        assert_eq!(request.validate(), Err(ApiError::validation(table::NO_TAGS)));
        assert_eq!(
            TagResource::default().validate(),
            Err(ApiError::validation(
                "2 validation errors detected: Value null at 'resourceArn' failed to satisfy constraint: Member must \
                 not be null; Value null at 'tags' failed to satisfy constraint: Member must not be null"
            ))
        );
    }
}
