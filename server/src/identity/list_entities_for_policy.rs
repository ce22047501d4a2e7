//! ListEntitiesForPolicy.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::list_policies::PolicyUsage;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation};

/// ListEntitiesForPolicy.
#[derive(Debug, Clone)]
pub(crate) struct ListEntitiesForPolicy {
    pub(crate) arn: String,
    /// `None` for all kinds.
    pub(crate) kind: Option<Kind>,
    pub(crate) path_prefix: String,
    pub(crate) usage: Option<PolicyUsage>,
    pub(crate) page: PageRequest,
}

/// An entity that uses the policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct PolicyUser {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    pub(crate) id: String,
}

impl IdentityOperation for ListEntitiesForPolicy {
    type Output = Page<PolicyUser>;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("ListEntitiesForPolicy", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<Self::Output, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let id = &directory.policy(&self.arn)?.id;
        let kinds = [Kind::Group, Kind::User, Kind::Role].into_iter().enumerate();
        let mut users = Vec::new();
        for (order, kind) in kinds.filter(|(_, kind)| self.kind.is_none_or(|wanted| wanted == *kind)) {
            for record in directory.all(kind) {
                let attached = self.usage != Some(PolicyUsage::Boundary) && record.attached().contains(id);
                let bounds = self.usage != Some(PolicyUsage::Permissions) && record.boundary() == Some(id);
                if (attached || bounds) && record.path().starts_with(&self.path_prefix) {
                    let user = PolicyUser {
                        kind,
                        name: record.name().to_owned(),
                        id: record.id().to_owned(),
                    };
                    users.push((format!("{order}{}", record.name().to_ascii_lowercase()), user));
                }
            }
        }
        Ok(Page::of(users, &self.page))
    }
}
