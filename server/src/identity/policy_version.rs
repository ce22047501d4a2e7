//! GetPolicyVersion, ListPolicyVersions, DeletePolicyVersion and SetDefaultPolicyVersion.

use stator_iam::directory::{Directory, ManagedPolicy, PolicyVersion};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation};

/// A version as it is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct VersionView {
    pub(crate) number: u32,
    pub(crate) is_default: bool,
    pub(crate) created_at_ms: i64,
    pub(crate) document: Option<String>,
}

impl VersionView {
    pub(crate) fn new(policy: &ManagedPolicy, version: &PolicyVersion, with_document: bool) -> Self {
        Self {
            number: version.number,
            is_default: version.number == policy.default_version,
            created_at_ms: version.created_at_ms,
            document: with_document.then(|| version.document.clone()),
        }
    }
}

/// GetPolicyVersion.
#[derive(Debug, Clone)]
pub(crate) struct GetPolicyVersion {
    pub(crate) arn: String,
    pub(crate) version: String,
}

impl IdentityOperation for GetPolicyVersion {
    type Output = VersionView;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("GetPolicyVersion", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<VersionView, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let version = directory.version(&self.arn, &self.version)?;
        Ok(VersionView::new(directory.policy(&self.arn)?, version, true))
    }
}

/// ListPolicyVersions: the newest first.
#[derive(Debug, Clone)]
pub(crate) struct ListPolicyVersions {
    pub(crate) arn: String,
    pub(crate) page: PageRequest,
}

impl IdentityOperation for ListPolicyVersions {
    type Output = Page<VersionView>;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(Asks::iam("ListPolicyVersions", self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<Self::Output, IdentityError> {
        let shown = call.identities.latest().await?;
        let policy = shown.directory().policy(&self.arn)?;
        let newest_first = policy.versions.iter().rev().map(|version| {
            let key = format!("{:010}", u32::MAX - version.number);
            (key, VersionView::new(policy, version, false))
        });
        Ok(Page::of(newest_first, &self.page))
    }
}

/// DeletePolicyVersion or SetDefaultPolicyVersion.
#[derive(Debug, Clone)]
pub(crate) struct ChangePolicyVersion {
    pub(crate) arn: String,
    pub(crate) version: String,
    /// Whether it goes, rather than becoming the default.
    pub(crate) delete: bool,
}

impl IdentityOperation for ChangePolicyVersion {
    type Output = ();

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        let action = if self.delete {
            "DeletePolicyVersion"
        } else {
            "SetDefaultPolicyVersion"
        };
        Ok(Some(Asks::iam(action, self.arn.clone())))
    }

    async fn run(self, call: &Call<'_>) -> Result<(), IdentityError> {
        call.change(|changes| {
            if self.delete {
                changes.delete_version(&self.arn, &self.version)
            } else {
                changes.set_default_version(&self.arn, &self.version)
            }
        })
        .await?;
        Ok(())
    }
}
