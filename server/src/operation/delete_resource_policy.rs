//! DeleteResourcePolicy: takes its policy from a table or a stream. One that has none is no error, unless a revision is
//! expected.

use super::resource_policy::{self, Subject};
use super::{Context, Operation};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct DeleteResourcePolicy {
    pub(crate) resource_arn: Option<String>,
    pub(crate) expected_revision: Option<String>,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct DeleteResourcePolicyOutput {
    /// Of the policy that was there.
    pub(crate) revision: Option<String>,
}

impl Operation for DeleteResourcePolicy {
    type Output = DeleteResourcePolicyOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        let expected = self.expected_revision;
        resource_policy::check(&mut constraints, self.resource_arn.as_ref(), expected.as_ref());
        constraints.finish()?;
        let resource_arn = self.resource_arn.unwrap_or_default();
        let subject = Subject::of(&resource_arn)?;
        let mut revision = None;
        let changed = context.catalog.change(subject.table, |definition| {
            let stream = subject.stream(definition)?;
            let found = resource_policy::find(definition, stream);
            resource_policy::check_expected(found, expected.as_deref(), subject)?;
            revision = found.map(|found| found.revision.clone());
            definition
                .resource_policies
                .retain(|policy| policy.stream != stream);
            Ok::<(), ApiError>(())
        });
        changed.await.map_err(message::table::catalog)??;
        Ok(DeleteResourcePolicyOutput { revision })
    }
}
