//! Tags of users, roles and managed policies: `Tag...`, `Untag...`, `List...Tags`.

use stator_iam::directory::{Directory, Kind, Tagging};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation, arn_of};

/// What has the tags: a name, or the ARN of a managed policy.
#[derive(Debug, Clone)]
pub(crate) struct Tagged {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The call, such as `TagUser`.
    pub(crate) action: &'static str,
}

impl Tagged {
    fn asks(&self, directory: &Directory) -> Asks {
        let resource = match self.kind {
            Kind::Policy => self.name.clone(),
            kind => arn_of(directory, kind, &self.name),
        };
        Asks::iam(self.action, resource)
    }

    fn name<'d>(&'d self, directory: &'d Directory) -> Result<&'d str, IdentityError> {
        match self.kind {
            Kind::Policy => Ok(&directory.policy(&self.name)?.name),
            _ => Ok(&self.name),
        }
    }
}

/// TagUser, UntagUser and the like.
#[derive(Debug, Clone)]
pub(crate) struct ChangeTags {
    pub(crate) tagged: Tagged,
    pub(crate) tagging: Tagging,
}

impl IdentityOperation for ChangeTags {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        let tags = match &self.tagging {
            Tagging::Add(tags) => tags.clone(),
            Tagging::Remove(keys) => keys.iter().map(|key| (key.clone(), String::new())).collect(),
        };
        Ok(Some(Asks {
            tags,
            ..self.tagged.asks(directory)
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let shown = call.identities.latest().await?;
        let name = self.tagged.name(shown.directory())?.to_owned();
        call.change(|changes| changes.tag(self.tagged.kind, &name, &self.tagging))
            .await?;
        Ok(())
    }
}

/// ListUserTags, ListRoleTags or ListPolicyTags.
#[derive(Debug, Clone)]
pub(crate) struct ListTags {
    pub(crate) tagged: Tagged,
    pub(crate) page: PageRequest,
}

impl IdentityOperation for ListTags {
    type Output = Page<(String, String)>;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.tagged.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Self::Output, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let record = directory.get(self.tagged.kind, self.tagged.name(directory)?)?;
        let tags = record.tags().into_iter().flatten();
        let tags = tags.map(|(key, value)| (key.clone(), (key.clone(), value.clone())));
        Ok(Page::of(tags, &self.page))
    }
}
