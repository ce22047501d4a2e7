//! The decision: what all policies that count for a request say together, and why.
//!
//! Order: an explicit deny in any policy; then an allow by an identity policy or a resource policy, cut by the
//! permissions boundary and the session's policies; else an implicit deny. All principals and resources are of one
//! account.
//!
//! Source: IAM User Guide, "Policy evaluation logic" ("... for requests within a single account", "... resource-based
//! policies", "Permissions boundaries for IAM entities").

use std::fmt;
use std::sync::Arc;

use super::Policy;
use super::document::Effect;
use super::principal::Reach;
use super::principal_policies::{PrincipalKind, PrincipalPolicies};
use super::request::{Request, Scope};

/// Whether a request may be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// It may.
    Allowed,
    /// It may not.
    Denied(Denial),
}

impl Decision {
    /// True when the request may be carried out.
    pub fn is_allowed(self) -> bool {
        self == Self::Allowed
    }
}

/// Why a request may not be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Denial {
    /// True when a statement denies it, false when none allows it.
    pub explicit: bool,
    /// The policies in which the statement is, or is missing.
    pub by: PolicyType,
}

/// What a policy is attached to, and what its allow counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PolicyType {
    /// Policies of the user, its groups or the role.
    Identity,
    /// The policy of the resource, or the trust policy of a role.
    Resource,
    /// The permissions boundary of the user or role.
    Boundary,
    /// The policies of the session.
    Session,
}

impl PolicyType {
    /// As AWS's sentences name it, with its article.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::Identity => ("an", "identity-based policy"),
            Self::Resource => ("a", "resource-based policy"),
            Self::Boundary => ("a", "permissions boundary"),
            Self::Session => ("a", "session policy"),
        }
    }
}

impl Denial {
    const fn explicit(by: PolicyType) -> Self {
        Self { explicit: true, by }
    }

    const fn implicit(by: PolicyType) -> Self {
        Self { explicit: false, by }
    }

    /// AWS's sentence for the denial of an action on a resource.
    ///
    /// Source: IAM User Guide, "Troubleshoot access denied error messages".
    pub fn sentence(self, principal: &PrincipalPolicies, action: &str, resource: &str) -> String {
        struct Cause<'a>(Denial, &'a str);
        impl fmt::Display for Cause<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let Self(Denial { explicit, by }, action) = self;
                let (article, name) = by.named();
                if *explicit {
                    write!(f, "with an explicit deny in {article} {name}")
                } else {
                    write!(f, "because no {name} allows the {action} action")
                }
            }
        }
        format!(
            "User: {} is not authorized to perform: {action} on resource: {resource} {}",
            principal.arn,
            Cause(self, action)
        )
    }
}

/// What one policy says of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// No statement is about it.
    Silent,
    /// A statement allows it, and none denies it.
    Allows,
    /// A statement denies it.
    Denies,
}

/// The same, with how the strongest allow reaches the principal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Finding {
    Denies,
    /// `None`: silent.
    Allows(Option<Reach>),
}

impl Policy {
    /// What this policy alone says of a request.
    pub fn verdict(&self, request: &Request<'_>, principal: &PrincipalPolicies) -> Verdict {
        match self.finding(&Scope::new(request, principal)) {
            Finding::Denies => Verdict::Denies,
            Finding::Allows(Some(_)) => Verdict::Allows,
            Finding::Allows(None) => Verdict::Silent,
        }
    }

    fn finding(&self, scope: &Scope<'_>) -> Finding {
        let mut reach = None;
        for statement in &self.statements {
            // An allow that reaches no further than what was found need not be looked at.
            if statement.effect == Effect::Allow && reach == Some(Reach::Itself) {
                continue;
            }
            if let Some(found) = statement.reach(scope) {
                match statement.effect {
                    Effect::Deny => return Finding::Denies,
                    Effect::Allow => reach = reach.max(Some(found)),
                }
            }
        }
        Finding::Allows(reach)
    }
}

/// What several policies of one type say together.
fn together<'p>(policies: impl IntoIterator<Item = &'p Arc<Policy>>, scope: &Scope<'_>) -> Finding {
    let mut strongest = None;
    for policy in policies {
        match policy.finding(scope) {
            Finding::Denies => return Finding::Denies,
            Finding::Allows(reach) => strongest = strongest.max(reach),
        }
    }
    Finding::Allows(strongest)
}

/// Whether a finding allows; an explicit deny ends the decision.
fn allows(finding: Finding, by: PolicyType) -> Result<Option<Reach>, Denial> {
    match finding {
        Finding::Denies => Err(Denial::explicit(by)),
        Finding::Allows(reach) => Ok(reach),
    }
}

/// Decides whether a principal may do what it requests, by its own policies and that of the resource, if it has one.
pub fn decide(request: &Request<'_>, principal: &PrincipalPolicies, resource: Option<&Policy>) -> Decision {
    if principal.kind == PrincipalKind::Root {
        return Decision::Allowed;
    }
    match judge(&Scope::new(request, principal), resource) {
        Ok(()) => Decision::Allowed,
        Err(denial) => Decision::Denied(denial),
    }
}

/// Decides whether a principal may assume a role: as [`decide`], but the trust policy has to allow it as well. Where it
/// names the principal, nothing else is needed; where it names the account, the principal needs a policy of its own.
pub fn decide_trust(request: &Request<'_>, principal: &PrincipalPolicies, trust: &Policy) -> Decision {
    match trust.finding(&Scope::new(request, principal)) {
        Finding::Denies => Decision::Denied(Denial::explicit(PolicyType::Resource)),
        Finding::Allows(None) => Decision::Denied(Denial::implicit(PolicyType::Resource)),
        Finding::Allows(Some(_)) => decide(request, principal, Some(trust)),
    }
}

/// Every policy is looked at, because an explicit deny in any of them decides.
fn judge(scope: &Scope<'_>, resource: Option<&Policy>) -> Result<(), Denial> {
    let principal = scope.principal;
    let identity = allows(together(&principal.identity, scope), PolicyType::Identity)?;
    let resource = match resource {
        Some(policy) => allows(policy.finding(scope), PolicyType::Resource)?,
        None => None,
    };
    let boundary = match &principal.boundary {
        Some(policy) => allows(policy.finding(scope), PolicyType::Boundary)?.is_some(),
        None => true,
    };
    let session = match &principal.session {
        Some(policies) => allows(together(policies, scope), PolicyType::Session)?.is_some(),
        None => true,
    };
    // Nothing cuts what a resource policy gives to the principal itself.
    if resource == Some(Reach::Itself) {
        return Ok(());
    }
    if resource != Some(Reach::Role) && identity.is_none() {
        return Err(Denial::implicit(PolicyType::Identity));
    }
    if !boundary {
        return Err(Denial::implicit(PolicyType::Boundary));
    }
    if !session {
        return Err(Denial::implicit(PolicyType::Session));
    }
    Ok(())
}
