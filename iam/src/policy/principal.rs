//! The `Principal` and `NotPrincipal` of resource policies: who a statement is about.
//!
//! Invariant: principals are names, not patterns; the only wildcard is `*`, which is everybody. Trust policies name users and
//! roles by their ids, which `directory/trust.rs` puts there.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal" and "... NotPrincipal".

use super::document::{DocumentKind, Effect};
use super::error::{DocumentError, Problem};
use super::json::{Json, Node};
use super::principal_policies::{PrincipalKind, PrincipalPolicies};

/// Who a statement is about.
#[derive(Debug, Clone)]
pub(super) struct Principals {
    named: Vec<Named>,
    /// `NotPrincipal`
    negated: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Named {
    Everybody,
    /// All of an account, by its 12 digits or the ARN of its root.
    Account(Box<str>),
    /// A user, a role or a session.
    Arn(Box<str>),
    /// A user or a role, by its id.
    Id(Box<str>),
    /// Services and principals of other systems, which no principal here is.
    Foreign,
}

/// How a statement reaches a principal, from the weakest to the strongest: what it allows counts differently.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Reach {
    /// By its account, which only says that the account may give the permission.
    Account,
    /// By the role of its session: what cuts the role or the session cuts this.
    Role,
    /// By its own ARN, or as everybody: nothing but an explicit deny cuts this.
    Itself,
}

impl Principals {
    /// Reads the value of `Principal` or `NotPrincipal`.
    pub(super) fn parse(node: &Node, negated: bool, of: DocumentKind) -> Result<Self, DocumentError> {
        let mut named = Vec::new();
        match &node.value {
            Json::Text(text) if text == "*" => named.push(Named::Everybody),
            Json::Object(members) if !members.is_empty() => {
                for (kind, value) in members {
                    for node in value.one_or_many() {
                        named.push(parse_one(kind, node, of)?);
                    }
                }
            }
            _ => return Err(node.unexpected("Principal must be \"*\" or an object")),
        }
        Ok(Self { named, negated })
    }

    /// How the statement reaches a principal; `None` when it is not about it.
    pub(super) fn reach(&self, principal: &PrincipalPolicies, effect: Effect) -> Option<Reach> {
        if self.negated {
            return self.is_left(principal, effect).then_some(Reach::Itself);
        }
        self.named.iter().filter_map(|named| named.reach(principal)).max()
    }

    /// Whether `NotPrincipal` leaves a principal to the statement.
    ///
    /// The guide says that to spare a principal, a deny has to name its account and its role with it. So a deny spares
    /// who is named in full, and an allow is only about those who are not named in any way.
    fn is_left(&self, principal: &PrincipalPolicies, effect: Effect) -> bool {
        let names = |reach| {
            let mut named = self.named.iter();
            named.any(|named| *named == Named::Everybody || named.reaches(principal, reach))
        };
        let account = names(Reach::Account);
        let (role, itself) = match principal.kind {
            PrincipalKind::Root => (account, account),
            PrincipalKind::User => (names(Reach::Itself), names(Reach::Itself)),
            PrincipalKind::RoleSession => (names(Reach::Role), names(Reach::Itself)),
        };
        match effect {
            Effect::Deny => !(account && role && itself),
            Effect::Allow => !(account || role || itself),
        }
    }
}

impl Named {
    fn reach(&self, principal: &PrincipalPolicies) -> Option<Reach> {
        match self {
            Self::Everybody => Some(Reach::Itself),
            Self::Account(account) => (**account == *principal.account).then_some(Reach::Account),
            Self::Arn(arn) if **arn == *principal.arn => Some(Reach::Itself),
            Self::Arn(arn) => {
                let is_role =
                    principal.kind == PrincipalKind::RoleSession && **arn == *principal.principal_arn;
                is_role.then_some(Reach::Role)
            }
            Self::Id(id) => {
                let own = principal.user_id.split(':').next() == Some(id);
                match principal.kind {
                    PrincipalKind::User => own.then_some(Reach::Itself),
                    PrincipalKind::RoleSession => own.then_some(Reach::Role),
                    PrincipalKind::Root => None,
                }
            }
            Self::Foreign => None,
        }
    }

    fn reaches(&self, principal: &PrincipalPolicies, reach: Reach) -> bool {
        self.reach(principal) == Some(reach)
    }
}

fn parse_one(kind: &str, node: &Node, of: DocumentKind) -> Result<Named, DocumentError> {
    let text = node.text("a principal")?;
    let invalid = || {
        node.refuse(Problem::Principal {
            kind: kind.to_owned(),
            value: text.to_owned(),
        })
    };
    match kind {
        "AWS" if of == DocumentKind::Trust && is_id(text) => Ok(Named::Id(text.into())),
        "AWS" => aws(text).ok_or_else(invalid),
        "Service" | "Federated" | "CanonicalUser" if !text.is_empty() => Ok(Named::Foreign),
        _ => Err(invalid()),
    }
}

/// Reads a principal of AWS: `*`, an account, a user, a role, a session.
fn aws(text: &str) -> Option<Named> {
    if text == "*" {
        return Some(Named::Everybody);
    }
    if is_account(text) {
        return Some(Named::Account(text.into()));
    }
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    let [arn, partition, service, region, account, resource] = parts[..] else {
        return None;
    };
    let is_arn = arn == "arn" && partition.starts_with("aws") && region.is_empty() && is_account(account);
    let (kind, name) = resource.split_once('/').unwrap_or((resource, ""));
    let is_plain = !text.contains(['*', '?', ' ', '$']);
    if !is_arn || !is_plain {
        return None;
    }
    match (service, kind, name) {
        ("iam", "root", "") => Some(Named::Account(account.into())),
        ("iam", "user" | "role", name) if !name.is_empty() => Some(Named::Arn(text.into())),
        ("sts", "assumed-role" | "federated-user", name) if !name.is_empty() => Some(Named::Arn(text.into())),
        _ => None,
    }
}

/// Whether a text is an id of a user or a role. Source: IAM User Guide, "IAM identifiers", "Understanding unique ID prefixes".
fn is_id(text: &str) -> bool {
    let rest = ["AIDA", "AROA"]
        .iter()
        .find_map(|prefix| text.strip_prefix(prefix));
    rest.is_some_and(|rest| {
        !rest.is_empty()
            && rest
                .bytes()
                .all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
    })
}

fn is_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}
