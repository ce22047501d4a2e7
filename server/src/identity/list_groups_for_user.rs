//! ListGroupsForUser.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::list_entities::Entities;
use super::page::{Page, PageRequest};
use super::view::{self, Entity};
use super::{Asks, Call, IdentityOperation, arn_of};

/// ListGroupsForUser.
#[derive(Debug, Clone)]
pub(crate) struct ListGroupsForUser {
    pub(crate) user: String,
    pub(crate) page: PageRequest,
}

impl IdentityOperation for ListGroupsForUser {
    type Output = Entities;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let resource = arn_of(directory, Kind::User, &self.user);
        Ok(Some(Asks::iam("ListGroupsForUser", resource)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entities, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let user = directory.user(&self.user)?;
        let mut groups: Vec<_> = directory
            .groups_of(user)
            .filter_map(|group| directory.find(Kind::Group, &group.name))
            .map(|record| (view::key(record), Entity::listed(directory, record)))
            .collect();
        groups.sort_by(|one, two| one.0.cmp(&two.0));
        Ok(Entities {
            kind: Kind::Group,
            page: Page::of(groups, &self.page),
        })
    }
}
