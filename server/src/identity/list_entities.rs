//! ListUsers, ListGroups and ListRoles.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::view::{self, Entity};
use super::{Asks, Call, IdentityOperation};

/// ListUsers, ListGroups or ListRoles.
#[derive(Debug, Clone)]
pub(crate) struct ListEntities {
    pub(crate) kind: Kind,
    pub(crate) path_prefix: String,
    pub(crate) page: PageRequest,
}

/// A page of entities of a kind.
#[derive(Debug, Clone)]
pub(crate) struct Entities {
    pub(crate) kind: Kind,
    pub(crate) page: Page<Entity>,
}

impl IdentityOperation for ListEntities {
    type Output = Entities;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let action = match self.kind {
            Kind::Group => "ListGroups",
            Kind::Role => "ListRoles",
            Kind::User | Kind::Policy => "ListUsers",
        };
        let path = self.path_prefix.trim_end_matches('/');
        Ok(Some(Asks::iam(action, directory.arn_of(self.kind, path, "/"))))
    }

    async fn run(self, call: &Call<'_>) -> Result<Entities, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let entities = directory
            .all(self.kind)
            .filter(|record| record.path().starts_with(&self.path_prefix))
            .map(|record| (view::key(record), Entity::listed(directory, record)));
        Ok(Entities {
            kind: self.kind,
            page: Page::of(entities, &self.page),
        })
    }
}
