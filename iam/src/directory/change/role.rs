//! Roles: making and changing them.

use super::{Changes, Edit};
use crate::directory::error::DirectoryError;
use crate::directory::id::{self, ENTITY_RANDOM_BYTES};
use crate::directory::record::{Kind, Record, Role};
use crate::directory::rules::{SESSION_S_DEFAULT, TRUST_SIZE_MAX};
use crate::directory::{compile, rules};
use crate::policy::DocumentKind;

/// A role to be made.
#[derive(Debug, Clone, Default)]
pub struct NewRole {
    /// Its name.
    pub name: String,
    /// Its path.
    pub path: String,
    /// Who may assume it.
    pub trust_policy: String,
    /// Free text.
    pub description: Option<String>,
    /// The longest session in seconds; an hour when nothing is said.
    pub session_s_max: Option<u32>,
    /// ARN of the policy that is its permissions boundary.
    pub boundary: Option<String>,
    /// Its tags.
    pub tags: Vec<(String, String)>,
}

impl Changes<'_> {
    /// CreateRole.
    ///
    /// # Errors
    /// EntityAlreadyExists, LimitExceeded, MalformedPolicyDocument (also for a trust policy that names who is not there),
    /// NoSuchEntity for the boundary, what is wrong with the tags.
    pub fn create_role(
        &self,
        new: &NewRole,
        random: &[u8; ENTITY_RANDOM_BYTES],
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.check_new(Kind::Role, &new.name)?;
        let trust_policy = self.trust_policy(&new.trust_policy)?;
        let role = Role {
            name: new.name.clone(),
            path: new.path.clone(),
            id: id::entity(Kind::Role.id_prefix(), random),
            created_at_ms: self.now_ms,
            tags: rules::tags(&new.tags)?,
            boundary: self.boundary(new.boundary.as_deref())?,
            trust_policy,
            description: new.description.clone(),
            session_s_max: new.session_s_max.unwrap_or(SESSION_S_DEFAULT),
            ..Role::default()
        };
        Ok(vec![Edit::put(Record::Role(role))])
    }

    /// UpdateRole: another description, another longest session.
    ///
    /// # Errors
    /// NoSuchEntity.
    pub fn update_role(
        &self,
        name: &str,
        description: Option<&str>,
        session_s_max: Option<u32>,
    ) -> Result<Vec<Edit>, DirectoryError> {
        self.change(Kind::Role, name, |record| {
            if let Record::Role(role) = record {
                if let Some(description) = description {
                    role.description = Some(description.to_owned());
                }
                role.session_s_max = session_s_max.unwrap_or(role.session_s_max);
            }
            Ok(())
        })
    }

    /// UpdateAssumeRolePolicy.
    ///
    /// # Errors
    /// NoSuchEntity, MalformedPolicyDocument, LimitExceeded.
    pub fn update_trust(&self, name: &str, document: &str) -> Result<Vec<Edit>, DirectoryError> {
        self.change(Kind::Role, name, |record| {
            let bound = self.trust_policy(document)?;
            if let Record::Role(role) = record {
                role.trust_policy = bound;
            }
            Ok(())
        })
    }

    /// A trust policy as it is stored, from what a client has put.
    fn trust_policy(&self, document: &str) -> Result<String, DirectoryError> {
        compile(document, DocumentKind::Trust)?;
        if rules::size(document) > TRUST_SIZE_MAX {
            return Err(DirectoryError::limit(format!(
                "Cannot exceed quota for ACLSizePerRole: {TRUST_SIZE_MAX}"
            )));
        }
        self.directory.bound_trust(document)
    }
}
