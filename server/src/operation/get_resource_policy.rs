//! GetResourcePolicy: the policy of a table or a stream, as it was put.

use super::resource_policy::{self, Subject};
use super::{Context, Operation};
use crate::catalog::ResourcePolicy;
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct GetResourcePolicy {
    pub(crate) resource_arn: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct GetResourcePolicyOutput {
    pub(crate) policy: ResourcePolicy,
}

impl Operation for GetResourcePolicy {
    type Output = GetResourcePolicyOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        resource_policy::check(&mut constraints, self.resource_arn.as_ref(), None);
        constraints.finish()?;
        let resource_arn = self.resource_arn.unwrap_or_default();
        let subject = Subject::of(&resource_arn)?;
        let table = context.catalog.latest(subject.table).await;
        let table = table
            .map_err(message::table::catalog)?
            .ok_or_else(|| message::no_table_named(subject.table))?;
        let stream = subject.stream(table.definition())?;
        let found = resource_policy::find(table.definition(), stream);
        let policy = found
            .cloned()
            .ok_or_else(|| message::policy::none(&resource_arn))?;
        Ok(GetResourcePolicyOutput { policy })
    }
}
