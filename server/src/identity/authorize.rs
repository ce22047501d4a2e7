//! Whether a caller of the IAM and STS APIs may do what it asks for.
//!
//! Source of the actions and condition keys: Service Authorization Reference, "AWS Identity and Access Management (IAM)" and
//! "AWS Security Token Service". Invariant: without policies that allow it, nobody but root gets on.

use std::borrow::Cow;

use stator_iam::Identity;
use stator_iam::directory::{Directory, Record};
use stator_iam::policy::{ContextKeys, Decision, Policy, Request, Value, Values, decide, decide_trust};

use super::Call;
use super::error::IdentityError;

/// What a call asks for.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asks {
    /// Such as `iam:CreateUser`.
    pub(crate) action: String,
    /// The ARN of what it is done to, or `*`.
    pub(crate) resource: String,
    /// The policy that is attached or detached: `iam:PolicyARN`.
    pub(crate) policy_arn: Option<String>,
    /// The boundary that is set: `iam:PermissionsBoundary`.
    pub(crate) boundary: Option<String>,
    /// Tags of the request: `aws:RequestTag/...`, `aws:TagKeys`.
    pub(crate) tags: Vec<(String, String)>,
    /// Keys of tags that are to be handed on: `sts:TransitiveTagKeys`.
    pub(crate) transitive_tag_keys: Vec<String>,
    /// Other keys, in lower case.
    pub(crate) keys: Vec<(&'static str, String)>,
}

impl Asks {
    /// An action of IAM on a resource.
    pub(crate) fn iam(action: &str, resource: String) -> Self {
        Self {
            action: format!("iam:{action}"),
            resource,
            ..Self::default()
        }
    }
}

/// What a call has for the keys of conditions.
struct Context<'a> {
    call: &'a Call<'a>,
    asks: &'a Asks,
    /// The entity that the resource is, if it is there.
    record: Option<&'a Record>,
    /// What the boundary of that entity is.
    boundary: Option<String>,
    /// The 12 digits of the account that all entities are in.
    account: &'a str,
    now_ms: i64,
}

impl<'a> Context<'a> {
    fn new(call: &'a Call<'a>, directory: &'a Directory, asks: &'a Asks) -> Self {
        let record = record_of(directory, &asks.resource);
        let boundary = record
            .and_then(|record| directory.by_id(record.boundary()?))
            .map(|policy| directory.arn(policy));
        Self {
            call,
            asks,
            record,
            boundary: asks.boundary.clone().or(boundary),
            account: directory.account(),
            now_ms: call.identities.now_ms(),
        }
    }
}

/// The entity of an ARN.
fn record_of<'d>(directory: &'d Directory, arn: &str) -> Option<&'d Record> {
    let resource = arn.splitn(6, ':').nth(5)?;
    let word = resource.split('/').next()?;
    let name = resource.rsplit('/').next()?;
    let kind = stator_iam::directory::Kind::ALL
        .into_iter()
        .find(|kind| kind.word() == word)?;
    directory.find(kind, name).map(AsRef::as_ref)
}

impl ContextKeys for Context<'_> {
    fn values(&self, key: &str) -> Values<'_> {
        if let Some(wanted) = key.strip_prefix("aws:requesttag/") {
            return tag(wanted, self.asks.tags.iter().map(|(key, value)| (key, value)));
        }
        let resource_tag = key
            .strip_prefix("aws:resourcetag/")
            .or_else(|| key.strip_prefix("iam:resourcetag/"));
        if let Some(wanted) = resource_tag {
            let tags = self.record.and_then(Record::tags);
            return tag(wanted, tags.into_iter().flatten());
        }
        match key {
            "aws:tagkeys" if self.asks.tags.is_empty() => Values::Absent,
            "aws:tagkeys" => Values::texts(self.asks.tags.iter().map(|(key, _)| key.as_str())),
            "sts:transitivetagkeys" if self.asks.transitive_tag_keys.is_empty() => Values::Absent,
            "sts:transitivetagkeys" => {
                Values::texts(self.asks.transitive_tag_keys.iter().map(String::as_str))
            }
            "aws:sourceip" => self
                .call
                .source
                .map_or(Values::Absent, |address| Values::One(Value::Address(address))),
            "aws:securetransport" => Values::One(Value::Bool(self.call.is_secure)),
            "aws:currenttime" => Values::One(Value::Time(self.now_ms)),
            "aws:epochtime" => Values::One(Value::Number(self.now_ms / 1000)),
            "aws:requestedregion" => Values::text(self.call.region),
            "aws:useragent" => Values::optional(self.call.user_agent),
            "aws:resourceaccount" => Values::text(self.account),
            "iam:policyarn" => Values::optional(self.asks.policy_arn.as_deref()),
            "iam:permissionsboundary" => Values::optional(self.boundary.as_deref()),
            _ => {
                let found = self.asks.keys.iter().find(|(other, _)| *other == key);
                found.map_or(Values::Absent, |(_, value)| {
                    Values::One(Value::Text(Cow::Borrowed(value)))
                })
            }
        }
    }
}

/// The value of a tag among several.
fn tag<'t>(wanted: &str, mut tags: impl Iterator<Item = (&'t String, &'t String)>) -> Values<'t> {
    let found = tags.find(|(key, _)| key.eq_ignore_ascii_case(wanted));
    Values::optional(found.map(|(_, value)| value.as_str()))
}

/// Refuses what no policy of the caller allows, and all of IAM to a session of a user or of root: what it made there, such as
/// an access key, would outlive it. Source: AWS STS API reference, GetSessionToken, which excepts sessions with MFA.
///
/// # Errors
/// AccessDenied in AWS's words; a caller that is gone, and such a session, are refused like an unknown access key.
pub(super) fn check(call: &Call<'_>, directory: &Directory, asks: &Asks) -> Result<(), IdentityError> {
    let is_of_role = matches!(call.principal.identity, Identity::Role { .. });
    if call.principal.session.is_some() && !is_of_role && asks.action.starts_with("iam:") {
        return Err(IdentityError::Authentication(
            stator_iam::Error::UnrecognizedClient,
        ));
    }
    judge(call, directory, asks, None)
}

/// The same for a role that is to be assumed, whose trust policy has a say.
///
/// # Errors
/// As [`check`].
pub(super) fn check_trust(
    call: &Call<'_>,
    directory: &Directory,
    asks: &Asks,
    trust: &Policy,
) -> Result<(), IdentityError> {
    judge(call, directory, asks, Some(trust))
}

fn judge(
    call: &Call<'_>,
    directory: &Directory,
    asks: &Asks,
    trust: Option<&Policy>,
) -> Result<(), IdentityError> {
    let Some(policies) = directory.policies(call.principal) else {
        return Err(IdentityError::Authentication(
            stator_iam::Error::UnrecognizedClient,
        ));
    };
    let context = Context::new(call, directory, asks);
    let request = Request {
        action: &asks.action,
        resource: &asks.resource,
        context: &context,
    };
    let decision = match trust {
        Some(trust) => decide_trust(&request, &policies, trust),
        None => decide(&request, &policies, None),
    };
    match decision {
        Decision::Allowed => Ok(()),
        Decision::Denied(denial) => Err(IdentityError::AccessDenied(denial.sentence(
            &policies,
            &asks.action,
            &asks.resource,
        ))),
    }
}
