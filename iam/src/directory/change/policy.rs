//! Managed policies and their versions.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::id::{self, ENTITY_RANDOM_BYTES};
use crate::directory::index::Usage;
use crate::directory::record::{Kind, ManagedPolicy, PolicyVersion, Record};
use crate::directory::rules::{MANAGED_SIZE_MAX, VERSIONS_MAX};
use crate::directory::{compile, rules};
use crate::policy::DocumentKind;

/// A managed policy to be made.
#[derive(Debug, Clone, Default)]
pub struct NewPolicy {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Its first version.
    pub document: String,
    /// Free text.
    pub description: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

impl Changes<'_> {
    /// CreatePolicy.
    ///
    /// # Errors
    /// EntityAlreadyExists, LimitExceeded, MalformedPolicyDocument, what is wrong with the tags.
    pub fn create_policy(
        &self,
        new: &NewPolicy,
        random: &[u8; ENTITY_RANDOM_BYTES],
    ) -> Result<Vec<Edit>, DirectoryError> {
        check(&new.document)?;
        self.check_new(Kind::Policy, &new.name)?;
        let version = PolicyVersion {
            number: 1,
            document: new.document.clone(),
            created_at_ms: self.now_ms,
        };
        let policy = ManagedPolicy {
            name: new.name.clone(),
            path: new.path.clone(),
            id: id::entity(Kind::Policy.id_prefix(), random),
            created_at_ms: self.now_ms,
            tags: rules::tags(&new.tags)?,
            description: new.description.clone(),
            updated_at_ms: self.now_ms,
            versions: vec![version],
            default_version: 1,
            last_version: 1,
        };
        Ok(vec![Edit::put(Record::Policy(policy))])
    }

    /// DeletePolicy.
    ///
    /// # Errors
    /// NoSuchEntity; DeleteConflict while it is used, or has other versions than the default.
    pub fn delete_policy(&self, arn: &str) -> Result<Vec<Edit>, DirectoryError> {
        let policy = self.directory.policy(arn)?;
        if self.directory.usage(policy) != Usage::default() {
            return Err(DirectoryError::conflict(
                "Cannot delete a policy attached to entities.",
            ));
        }
        if policy.versions.len() > 1 {
            return Err(DirectoryError::conflict(
                "This policy has more than one version. Before you delete a policy, you must delete the policy's \
                 versions. The default version is deleted with the policy.",
            ));
        }
        Ok(vec![Edit::remove(Kind::Policy, &policy.name)])
    }

    /// CreatePolicyVersion.
    ///
    /// # Errors
    /// NoSuchEntity, MalformedPolicyDocument, LimitExceeded.
    pub fn create_version(
        &self,
        arn: &str,
        document: &str,
        set_default: bool,
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.change_policy(arn, |policy| {
            check(document)?;
            if policy.versions.len() >= VERSIONS_MAX {
                return Err(DirectoryError::limit(
                    "A managed policy can have up to 5 versions. Before you create a new version, you must delete an \
                     existing version.",
                ));
            }
            policy.last_version += 1;
            policy.versions.push(PolicyVersion {
                number: policy.last_version,
                document: document.to_owned(),
                created_at_ms: self.now_ms,
            });
            if set_default {
                policy.default_version = policy.last_version;
            }
            policy.updated_at_ms = self.now_ms;
            Ok(())
        })
    }

    /// DeletePolicyVersion.
    ///
    /// # Errors
    /// NoSuchEntity; DeleteConflict for the default version.
    pub fn delete_version(&self, arn: &str, version: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change_policy(arn, |policy| {
            let number = version_number(policy, arn, version)?;
            if number == policy.default_version {
                return Err(DirectoryError::conflict(
                    "Cannot delete the default version of a policy.",
                ));
            }
            policy.versions.retain(|version| version.number != number);
            Ok(())
        })
    }

    /// SetDefaultPolicyVersion.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn set_default_version(&self, arn: &str, version: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change_policy(arn, |policy| {
            policy.default_version = version_number(policy, arn, version)?;
            policy.updated_at_ms = self.now_ms;
            Ok(())
        })
    }

    fn change_policy(
        &self,
        arn: &str,
        change: impl FnOnce(&mut ManagedPolicy) -> Result<(), DirectoryError>,
    ) -> Result<Vec<Edit>, DirectoryError> {
        let mut policy = self.directory.policy(arn)?.clone();
        change(&mut policy)?;
        Ok(vec![Edit::put(Record::Policy(policy))])
    }
}

/// The number of a version that is named `v1`.
pub(in crate::directory) fn version_number(
    policy: &ManagedPolicy,
    arn: &str,
    version: &str,
) -> Result<u32, DirectoryError> {
    let number = version.strip_prefix('v').and_then(|number| number.parse().ok());
    number
        .filter(|number| policy.version(*number).is_some())
        .ok_or_else(|| {
            DirectoryError::missing(format!(
                "Policy {arn} version {version} does not exist or is not attachable."
            ))
        })
}

fn check(document: &str) -> Result<(), DirectoryError> {
    compile(document, DocumentKind::Identity)?;
    if rules::size(document) > MANAGED_SIZE_MAX {
        return Err(DirectoryError::limit(format!(
            "Cannot exceed quota for PolicySize: {MANAGED_SIZE_MAX}"
        )));
    }
    Ok(())
}
