//! The policies of a principal, as a decision needs them.
//!
//! Invariant: they are whole and of one moment. A change of a user or a policy makes new [`PrincipalPolicies`]; those that a
//! request holds stay as they are until its decision is made. How principals are kept and changed is not here
//! (`directory/`).

use std::sync::Arc;

use super::Policy;

/// What kind of principal acts. Decides how a resource policy that names it counts (see `evaluate.rs`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrincipalKind {
    /// The root of the account, or a session of it. Nothing denies it anything.
    Root,
    /// A user, or a session of one by `GetSessionToken`.
    User,
    /// A session of a role by `AssumeRole`.
    RoleSession,
}

/// Everything that a decision needs to know of a principal. Made once when something of it changes, not per request.
#[derive(Debug, Clone)]
pub struct PrincipalPolicies {
    /// What it is.
    pub kind: PrincipalKind,
    /// The 12 digits of its account: `aws:PrincipalAccount`.
    pub account: String,
    /// Who AWS's sentences name: a user's ARN, or `arn:aws:sts::<account>:assumed-role/<role>/<session>`.
    pub arn: String,
    /// `aws:PrincipalArn`: a user's ARN, or the ARN of the role of a session.
    pub principal_arn: String,
    /// `aws:userid`: the id of a user (`AIDA…`), the account of root, or `<id of the role>:<session>`.
    pub user_id: String,
    /// `aws:username`: only users have one.
    pub user_name: Option<String>,
    /// `aws:PrincipalTag/<key>`: tags of the user or role, with the session's over them.
    pub tags: Vec<(String, String)>,
    /// Inline and attached policies of the user and its groups, or of the role.
    pub identity: Vec<Arc<Policy>>,
    /// What the most is that the identity policies can allow. `None`: they are not cut.
    pub boundary: Option<Arc<Policy>>,
    /// What the most is that the session can do; several count as one. `None`: it is not cut; an empty list cuts all.
    pub session: Option<Vec<Arc<Policy>>>,
    /// When its credentials were issued, in seconds since the Unix epoch: `aws:TokenIssueTime`. Only temporary ones say so.
    pub issued_at_s: Option<u64>,
    /// `aws:SourceIdentity`: what the session, or the first one of its chain, has set.
    pub source_identity: Option<String>,
}

impl PrincipalPolicies {
    /// The root of an account, which may do everything.
    pub fn root(account: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:root");
        Self {
            kind: PrincipalKind::Root,
            account: account.to_owned(),
            principal_arn: arn.clone(),
            arn,
            user_id: account.to_owned(),
            user_name: None,
            tags: Vec::new(),
            identity: Vec::new(),
            boundary: None,
            session: None,
            issued_at_s: None,
            source_identity: None,
        }
    }

    /// A user of an account without any policy: what a source fills in.
    pub fn user(account: &str, path: &str, name: &str, id: &str) -> Self {
        let arn = format!("arn:aws:iam::{account}:user{path}{name}");
        Self {
            kind: PrincipalKind::User,
            account: account.to_owned(),
            principal_arn: arn.clone(),
            arn,
            user_id: id.to_owned(),
            user_name: Some(name.to_owned()),
            tags: Vec::new(),
            identity: Vec::new(),
            boundary: None,
            session: None,
            issued_at_s: None,
            source_identity: None,
        }
    }

    /// A session of a role without any policy: what a source fills in. `role` is the role's ARN, `id` its id.
    pub fn role_session(account: &str, role: &str, id: &str, session: &str) -> Self {
        let name = role.rsplit('/').next().unwrap_or(role);
        Self {
            kind: PrincipalKind::RoleSession,
            account: account.to_owned(),
            arn: format!("arn:aws:sts::{account}:assumed-role/{name}/{session}"),
            principal_arn: role.to_owned(),
            user_id: format!("{id}:{session}"),
            user_name: None,
            tags: Vec::new(),
            identity: Vec::new(),
            boundary: None,
            session: None,
            issued_at_s: None,
            source_identity: None,
        }
    }
}
