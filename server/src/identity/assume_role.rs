//! AssumeRole: temporary credentials of a role, cut by what the call says.
//!
//! Source: AWS STS API reference, AssumeRole; IAM User Guide, "Using session tags", "Role chaining". The role's trust policy
//! and the caller's own policies decide together.

use stator_iam::directory::{Directory, DirectoryError, ErrorCode, Kind, Record, Role, check_tags, compile};
use stator_iam::policy::DocumentKind;
use stator_iam::{Identity, Session};

use super::error::IdentityError;
use super::session::{self, Credentials};
use super::{Asks, Call, IdentityOperation, authorize};

/// How long a session lasts when nothing is said, and at most when a role assumes another one, in seconds.
const DURATION_S_DEFAULT: u32 = 3600;
/// Longest that the policy and the ARNs of policies may be together, in characters.
const POLICY_CHARACTERS_MAX: usize = 2048;
/// Most managed policies that a session names.
const POLICY_ARNS_MAX: usize = 10;

/// AssumeRole.
#[derive(Debug, Clone, Default)]
pub(crate) struct AssumeRole {
    pub(crate) role_arn: String,
    pub(crate) session_name: String,
    pub(crate) policy: Option<String>,
    pub(crate) policy_arns: Vec<String>,
    pub(crate) duration_s: Option<u32>,
    pub(crate) tags: Vec<(String, String)>,
    pub(crate) transitive_tag_keys: Vec<String>,
    pub(crate) external_id: Option<String>,
    pub(crate) source_identity: Option<String>,
}

/// What it answers.
#[derive(Debug, Clone)]
pub(crate) struct AssumedRole {
    pub(crate) credentials: Credentials,
    /// `AROA...:session`
    pub(crate) id: String,
    pub(crate) arn: String,
    /// How much of the room for policies is taken, in percent.
    pub(crate) packed_policy_percent: usize,
    pub(crate) source_identity: Option<String>,
}

impl IdentityOperation for AssumeRole {
    type Output = AssumedRole;

    /// Authorized by [`AssumeRole::run`], because the trust policy has a say.
    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(None)
    }

    async fn run(self, call: &Call<'_>) -> Result<AssumedRole, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let inherited = call.principal.session.as_deref();
        let role = self.authorized(call, directory)?;
        check_tags(&self.tags)?;
        self.check_chain(inherited)?;
        let duration_s = self.duration(call, role)?;
        let policies = self.policies(directory)?;
        let session = Session {
            policies: policies.clone(),
            tags: self.tags(inherited),
            transitive_tag_keys: self.transitive_tag_keys(inherited),
            source_identity: self.source_identity(inherited),
            ..Session::default()
        };
        let account = directory.account();
        let arn = format!(
            "arn:aws:sts::{account}:assumed-role/{}/{}",
            role.name, self.session_name
        );
        let identity = Identity::Role {
            id: role.id.clone(),
            session_name: self.session_name.clone(),
        };
        let source_identity = session.source_identity.clone();
        let characters: usize = policies
            .iter()
            .flatten()
            .map(|policy| policy.chars().count())
            .sum();
        let id = format!("{}:{}", role.id, self.session_name);
        Ok(AssumedRole {
            credentials: session::issue(call, arn.clone(), identity, session, duration_s).await?,
            id,
            arn,
            packed_policy_percent: characters * 100 / POLICY_CHARACTERS_MAX,
            source_identity,
        })
    }
}

impl AssumeRole {
    /// The role, when the caller may assume it. Who may not is not told whether it is there.
    fn authorized<'d>(&self, call: &Call<'_>, directory: &'d Directory) -> Result<&'d Role, IdentityError> {
        if call.principal.identity == Identity::Root {
            return Err(IdentityError::AccessDenied(
                "Roles may not be assumed by root accounts.".to_owned(),
            ));
        }
        let denied = || {
            IdentityError::AccessDenied(format!(
                "User: {} is not authorized to perform: sts:AssumeRole on resource: {}",
                call.principal.arn, self.role_arn
            ))
        };
        let name = self.role_arn.rsplit('/').next().unwrap_or_default();
        let record = directory.find(Kind::Role, name).ok_or_else(denied)?;
        let Record::Role(role) = record.as_ref() else {
            return Err(denied());
        };
        if directory.arn(record) != self.role_arn {
            return Err(denied());
        }
        let trust = compile(&role.trust_policy, DocumentKind::Trust)?;
        let mut keys = vec![("sts:rolesessionname", self.session_name.clone())];
        keys.extend(self.external_id.clone().map(|id| ("sts:externalid", id)));
        keys.extend(self.source_identity.clone().map(|id| ("sts:sourceidentity", id)));
        let asks = |action: &str| Asks {
            action: format!("sts:{action}"),
            resource: self.role_arn.clone(),
            tags: self.tags.clone(),
            transitive_tag_keys: self.transitive_tag_keys.clone(),
            keys: keys.clone(),
            ..Asks::default()
        };
        let permitted = authorize::check_trust(call, directory, &asks("AssumeRole"), &trust);
        permitted.map_err(|error| match error {
            IdentityError::AccessDenied(_) => denied(),
            error => error,
        })?;
        // What the chain hands on needs the same permissions as what the call says.
        let inherited = call.principal.session.as_deref();
        if !self.tags.is_empty() || handed_on(inherited).next().is_some() {
            authorize::check_trust(call, directory, &asks("TagSession"), &trust)?;
        }
        if self.source_identity(inherited).is_some() {
            authorize::check_trust(call, directory, &asks("SetSourceIdentity"), &trust)?;
        }
        Ok(role)
    }

    /// What the chain has settled cannot be set anew.
    fn check_chain(&self, inherited: Option<&Session>) -> Result<(), IdentityError> {
        let settled = inherited.and_then(|session| session.source_identity.as_ref());
        if settled.is_some() && self.source_identity.is_some() && settled != self.source_identity.as_ref() {
            return Err(invalid(
                "The source identity is already set for this assume role session",
            ));
        }
        let is_set = |key: &str| self.tags.iter().any(|(own, _)| own.eq_ignore_ascii_case(key));
        if handed_on(inherited).any(|(key, _)| is_set(key)) {
            return Err(refused(
                ErrorCode::InvalidParameterValue,
                "One of the specified transitive tag keys can't be set because it conflicts with a transitive tag key from \
                 the calling session.",
            ));
        }
        Ok(())
    }

    fn duration(&self, call: &Call<'_>, role: &Role) -> Result<u32, IdentityError> {
        let duration_s = self.duration_s.unwrap_or(DURATION_S_DEFAULT);
        if matches!(call.principal.identity, Identity::Role { .. }) && duration_s > DURATION_S_DEFAULT {
            return Err(invalid(
                "The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining.",
            ));
        }
        if duration_s > role.session_s_max {
            return Err(invalid(
                "The requested DurationSeconds exceeds the MaxSessionDuration set for this role.",
            ));
        }
        Ok(duration_s)
    }

    /// The documents that cut the session.
    fn policies(&self, directory: &Directory) -> Result<Option<Vec<String>>, IdentityError> {
        if self.policy.is_none() && self.policy_arns.is_empty() {
            return Ok(None);
        }
        let own = self.policy.iter().map(|policy| policy.chars().count());
        let named = self.policy_arns.iter().map(|arn| arn.chars().count());
        let characters: usize = own.chain(named).sum();
        if characters > POLICY_CHARACTERS_MAX || self.policy_arns.len() > POLICY_ARNS_MAX {
            let percent = characters * 100 / POLICY_CHARACTERS_MAX;
            return Err(IdentityError::PackedPolicyTooLarge(format!(
                "Packed size of session tags and session policies consumes {percent}% of allotted space."
            )));
        }
        let mut documents = Vec::new();
        if let Some(policy) = &self.policy {
            compile(policy, DocumentKind::Identity)?;
            documents.push(policy.clone());
        }
        for arn in &self.policy_arns {
            let policy = directory.policy(arn)?;
            documents.extend(policy.document().map(str::to_owned));
        }
        Ok(Some(documents))
    }

    /// The tags of the session: those that the chain hands on, and those of the call.
    fn tags(&self, inherited: Option<&Session>) -> Vec<(String, String)> {
        let mut tags: Vec<_> = handed_on(inherited).cloned().collect();
        for (key, value) in &self.tags {
            if !tags.iter().any(|(other, _)| other.eq_ignore_ascii_case(key)) {
                tags.push((key.clone(), value.clone()));
            }
        }
        tags
    }

    fn transitive_tag_keys(&self, inherited: Option<&Session>) -> Vec<String> {
        let mut keys = inherited.map_or_else(Vec::new, |session| session.transitive_tag_keys.clone());
        keys.extend(self.transitive_tag_keys.iter().cloned());
        keys.sort();
        keys.dedup();
        keys
    }

    /// Once set, it stays for all sessions of a chain.
    fn source_identity(&self, inherited: Option<&Session>) -> Option<String> {
        inherited
            .and_then(|session| session.source_identity.clone())
            .or_else(|| self.source_identity.clone())
    }
}

/// The tags that a session hands on to the next one of its chain. Keys are the same whatever their case.
fn handed_on(inherited: Option<&Session>) -> impl Iterator<Item = &(String, String)> {
    inherited.into_iter().flat_map(|session| {
        let transitive = &session.transitive_tag_keys;
        let is_transitive = move |key: &str| transitive.iter().any(|other| other.eq_ignore_ascii_case(key));
        session.tags.iter().filter(move |(key, _)| is_transitive(key))
    })
}

fn invalid(message: &str) -> IdentityError {
    refused(ErrorCode::ValidationError, message)
}

fn refused(code: ErrorCode, message: &str) -> IdentityError {
    let message = message.to_owned();
    DirectoryError { code, message }.into()
}
