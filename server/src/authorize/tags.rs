//! TagResource, UntagResource and ListTagsOfResource.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::list_tags_of_resource::ListTagsOfResource;
use crate::operation::tag_resource::TagResource;
use crate::operation::untag_resource::UntagResource;
use crate::wire::error::ApiError;

impl Authorize for TagResource {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts {
            tags: self.tags.as_deref(),
            ..Facts::default()
        };
        let table = Resource::of(self.resource_arn.as_deref(), None);
        judge.require("dynamodb:TagResource", table, &facts).await
    }
}

impl Authorize for UntagResource {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let facts = Facts {
            tag_keys: self.tag_keys.as_deref(),
            ..Facts::default()
        };
        let table = Resource::of(self.resource_arn.as_deref(), None);
        judge.require("dynamodb:UntagResource", table, &facts).await
    }
}

impl Authorize for ListTagsOfResource {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let table = Resource::of(self.resource_arn.as_deref(), None);
        judge
            .require("dynamodb:ListTagsOfResource", table, &Facts::default())
            .await
    }
}
