//! ListPolicies.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::view::{self, Entity};
use super::{Asks, Call, IdentityOperation};

/// ListPolicies.
#[derive(Debug, Clone)]
pub(crate) struct ListPolicies {
    /// Whether policies of customers are among them; there are no others.
    pub(crate) customers: bool,
    pub(crate) only_attached: bool,
    pub(crate) path_prefix: String,
    pub(crate) usage: Option<PolicyUsage>,
    pub(crate) page: PageRequest,
}

/// What a policy is used as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum PolicyUsage {
    Permissions,
    Boundary,
}

impl IdentityOperation for ListPolicies {
    type Output = Page<Entity>;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let path = self.path_prefix.trim_end_matches('/');
        let resource = directory.arn_of(Kind::Policy, path, "/");
        Ok(Some(Asks::iam("ListPolicies", resource)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Page<Entity>, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let wanted = |entity: &Entity| {
            let (attachments, boundaries) = (entity.usage.attachments, entity.usage.boundaries);
            let attached = match self.usage {
                None => attachments + boundaries > 0,
                Some(PolicyUsage::Permissions) => attachments > 0,
                Some(PolicyUsage::Boundary) => boundaries > 0,
            };
            let used = self.usage.is_none() || attached;
            self.customers
                && used
                && (attached || !self.only_attached)
                && entity.record.path().starts_with(&self.path_prefix)
        };
        let policies = directory
            .all(Kind::Policy)
            .map(|record| (view::key(record), Entity::listed(directory, record)))
            .filter(|(_, entity)| wanted(entity));
        Ok(Page::of(policies, &self.page))
    }
}
