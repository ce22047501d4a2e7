//! GetGroup: a group with its users.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::view::{self, Entity};
use super::{Asks, Call, IdentityOperation, arn_of};

/// GetGroup.
#[derive(Debug, Clone)]
pub(crate) struct GetGroup {
    pub(crate) name: String,
    pub(crate) page: PageRequest,
}

/// A group with its users.
#[derive(Debug, Clone)]
pub(crate) struct GroupUsers {
    pub(crate) group: Entity,
    pub(crate) users: Page<Entity>,
}

impl IdentityOperation for GetGroup {
    type Output = GroupUsers;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam(
            "GetGroup",
            arn_of(directory, Kind::Group, &self.name),
        )))
    }

    async fn run(self, call: &Call<'_>) -> Result<GroupUsers, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let group = directory.group(&self.name)?;
        let users = directory.members(group).filter_map(|user| {
            let record = directory.find(Kind::User, &user.name)?;
            Some((view::key(record), Entity::listed(directory, record)))
        });
        Ok(GroupUsers {
            group: Entity::new(directory, directory.get(Kind::Group, &self.name)?),
            users: Page::of(users, &self.page),
        })
    }
}
