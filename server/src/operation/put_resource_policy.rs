//! PutResourcePolicy: gives a table or a stream a policy, in the place of the one that it has.

use super::resource_policy::{self, Subject};
use super::{Context, Operation};
use crate::constraint::Constraints;
use crate::message;
use crate::wire::error::ApiError;

/// The request.
#[derive(Debug, Clone, Default)]
pub(crate) struct PutResourcePolicy {
    pub(crate) resource_arn: Option<String>,
    pub(crate) policy: Option<String>,
    pub(crate) expected_revision: Option<String>,
    /// `ConfirmRemoveSelfResourceAccess`
    pub(crate) confirms: Option<bool>,
    /// Whether the policy takes from who asks the right to change it again. Told when the request is authorized.
    pub(crate) locks_out: bool,
}

/// The answer.
#[derive(Debug)]
pub(crate) struct PutResourcePolicyOutput {
    pub(crate) revision: String,
}

impl Operation for PutResourcePolicy {
    type Output = PutResourcePolicyOutput;

    async fn run(self, context: &Context) -> Result<Self::Output, ApiError> {
        let mut constraints = Constraints::default();
        let expected = self.expected_revision;
        resource_policy::check(&mut constraints, self.resource_arn.as_ref(), expected.as_ref());
        constraints.required("policy", self.policy.as_ref());
        constraints.finish()?;
        let resource_arn = self.resource_arn.unwrap_or_default();
        let subject = Subject::of(&resource_arn)?;
        let document = self.policy.unwrap_or_default();
        resource_policy::read(&document)?;
        if self.locks_out && self.confirms != Some(true) {
            return Err(ApiError::validation(message::policy::LOCKS_OUT));
        }
        let now_ms = context.clock.now_ms();
        let mut revision = String::new();
        let changed = context.catalog.change(subject.table, |definition| {
            let stream = subject.stream(definition)?;
            let found = resource_policy::find(definition, stream);
            resource_policy::check_expected(found, expected.as_deref(), subject)?;
            revision = resource_policy::put(definition, stream, &document, now_ms);
            Ok::<(), ApiError>(())
        });
        changed.await.map_err(message::table::catalog)??;
        Ok(PutResourcePolicyOutput { revision })
    }
}
