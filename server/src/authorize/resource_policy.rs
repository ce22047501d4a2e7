//! PutResourcePolicy, GetResourcePolicy and DeleteResourcePolicy.

use super::facts::Facts;
use super::resource::Resource;
use super::{Authorize, Judge};
use crate::operation::delete_resource_policy::DeleteResourcePolicy;
use crate::operation::get_resource_policy::GetResourcePolicy;
use crate::operation::put_resource_policy::PutResourcePolicy;
use crate::operation::resource_policy;
use crate::wire::error::ApiError;

const PUT: &str = "dynamodb:PutResourcePolicy";

impl Authorize for PutResourcePolicy {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let resource = Resource::table_or_stream(self.resource_arn.as_deref());
        judge.require(PUT, resource, &Facts::default()).await?;
        if let Some(policy) = self
            .policy
            .as_deref()
            .and_then(|text| resource_policy::read(text).ok())
        {
            self.locks_out = !judge.would_permit(PUT, resource, &policy);
        }
        Ok(())
    }
}

impl Authorize for GetResourcePolicy {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let resource = Resource::table_or_stream(self.resource_arn.as_deref());
        let action = "dynamodb:GetResourcePolicy";
        judge.require(action, resource, &Facts::default()).await
    }
}

impl Authorize for DeleteResourcePolicy {
    async fn authorize(&mut self, judge: &Judge<'_>) -> Result<(), ApiError> {
        let resource = Resource::table_or_stream(self.resource_arn.as_deref());
        let action = "dynamodb:DeleteResourcePolicy";
        judge.require(action, resource, &Facts::default()).await
    }
}
