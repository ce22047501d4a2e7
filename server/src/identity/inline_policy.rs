//! The inline policies of users, groups and roles: `Put...Policy`, `Get...Policy`, `Delete...Policy`, `List...Policies`.

use stator_iam::directory::{Directory, Kind};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation, arn_of};

/// Whose policy it is.
#[derive(Debug, Clone)]
pub(crate) struct Owner {
    pub(crate) kind: Kind,
    pub(crate) name: String,
    /// The call, such as `PutUserPolicy`.
    pub(crate) action: &'static str,
}

impl Owner {
    pub(crate) fn asks(&self, directory: &Directory) -> Asks {
        Asks::iam(self.action, arn_of(directory, self.kind, &self.name))
    }
}

/// PutUserPolicy, PutGroupPolicy or PutRolePolicy.
#[derive(Debug, Clone)]
pub(crate) struct PutInlinePolicy {
    pub(crate) owner: Owner,
    pub(crate) policy: String,
    pub(crate) document: String,
}

impl IdentityOperation for PutInlinePolicy {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.owner.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let Owner { kind, name, .. } = &self.owner;
        call.change(|changes| changes.put_inline(*kind, name, &self.policy, &self.document))
            .await?;
        Ok(())
    }
}

/// GetUserPolicy, GetGroupPolicy or GetRolePolicy.
#[derive(Debug, Clone)]
pub(crate) struct GetInlinePolicy {
    pub(crate) owner: Owner,
    pub(crate) policy: String,
}

/// An inline policy.
#[derive(Debug, Clone)]
pub(crate) struct InlinePolicy {
    pub(crate) kind: Kind,
    pub(crate) owner: String,
    pub(crate) policy: String,
    pub(crate) document: String,
}

impl IdentityOperation for GetInlinePolicy {
    type Output = InlinePolicy;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.owner.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<InlinePolicy, IdentityError> {
        let shown = call.identities.latest().await?;
        let Owner { kind, name, .. } = &self.owner;
        let document = shown.directory().inline(*kind, name, &self.policy)?.to_owned();
        Ok(InlinePolicy {
            kind: *kind,
            owner: shown.directory().get(*kind, name)?.name().to_owned(),
            policy: self.policy,
            document,
        })
    }
}

/// DeleteUserPolicy, DeleteGroupPolicy or DeleteRolePolicy.
#[derive(Debug, Clone)]
pub(crate) struct DeleteInlinePolicy {
    pub(crate) owner: Owner,
    pub(crate) policy: String,
}

impl IdentityOperation for DeleteInlinePolicy {
    type Output = ();

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.owner.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        let Owner { kind, name, .. } = &self.owner;
        call.change(|changes| changes.delete_inline(*kind, name, &self.policy))
            .await?;
        Ok(())
    }
}

/// ListUserPolicies, ListGroupPolicies or ListRolePolicies: names alone.
#[derive(Debug, Clone)]
pub(crate) struct ListInlinePolicies {
    pub(crate) owner: Owner,
    pub(crate) page: PageRequest,
}

impl IdentityOperation for ListInlinePolicies {
    type Output = Page<String>;

    fn asks(&self, _: &Call<'_>, directory: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(self.owner.asks(directory)))
    }

    async fn run(self, call: &Call<'_>) -> Result<Page<String>, IdentityError> {
        let shown = call.identities.latest().await?;
        let record = shown.directory().get(self.owner.kind, &self.owner.name)?;
        let names = record.inline().into_iter().flatten();
        let names = names.map(|(name, _)| (name.clone(), name.clone()));
        Ok(Page::of(names, &self.page))
    }
}
