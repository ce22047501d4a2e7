//! DescribeEndpoints: where clients that discover endpoints find this one.

use super::{Context, Operation};
use crate::wire::error::ApiError;

/// How long clients keep the answer: a day, as DynamoDB says.
const CACHE_PERIOD_MINUTES: i64 = 1440;

/// The request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct DescribeEndpoints;

/// The answer: one endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DescribeEndpointsOutput {
    pub(crate) address: String,
    pub(crate) cache_period_in_minutes: i64,
}

impl Operation for DescribeEndpoints {
    type Output = DescribeEndpointsOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        Ok(DescribeEndpointsOutput {
            address: context.endpoint.clone(),
            cache_period_in_minutes: CACHE_PERIOD_MINUTES,
        })
    }
}
