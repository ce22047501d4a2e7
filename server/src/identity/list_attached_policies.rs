//! ListAttachedUserPolicies, ListAttachedGroupPolicies and ListAttachedRolePolicies.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::inline_policy::Owner;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation};

/// ListAttachedUserPolicies and the like.
#[derive(Debug, Clone)]
pub(crate) struct ListAttachedPolicies {
    pub(crate) owner: Owner,
    pub(crate) path_prefix: String,
    pub(crate) page: PageRequest,
}

/// A policy that is attached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AttachedPolicy {
    pub(crate) name: String,
    pub(crate) arn: String,
}

impl IdentityOperation for ListAttachedPolicies {
    type Output = Page<AttachedPolicy>;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.owner.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Self::Output, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let record = directory.get(self.owner.kind, &self.owner.name)?;
        let mut attached: Vec<_> = directory
            .policies_of(record.attached())
            .filter(|policy| policy.path.starts_with(&self.path_prefix))
            .map(|policy| {
                let view = AttachedPolicy {
                    name: policy.name.clone(),
                    arn: directory.arn_of(Kind::Policy, &policy.path, &policy.name),
                };
                (policy.name.to_ascii_lowercase(), view)
            })
            .collect();
        attached.sort_by(|one, two| one.0.cmp(&two.0));
        Ok(Page::of(attached, &self.page))
    }
}
