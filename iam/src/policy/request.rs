//! What is to be decided: an action on a resource, and what a request has for the keys of conditions.
//!
//! Invariant: keys are asked for in lower case, as policies hold them; what comes from the principal
//! (`aws:username`, `aws:PrincipalTag/…`) is told here and by nobody else. Values have types, and a text for the
//! operators that compare texts.
//!
//! Source: IAM User Guide, "AWS global condition context keys".

use std::borrow::Cow;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::principal_policies::{PrincipalKind, PrincipalPolicies};
use super::variable::Variable;
use crate::sigv4::iso_8601;

/// One question.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// As AWS spells it, such as `dynamodb:GetItem`.
    pub action: &'a str,
    /// The ARN of the resource, or `*` for an action that has none.
    pub resource: &'a str,
    /// What the request has for other keys than the principal's.
    pub context: &'a (dyn ContextKeys + Sync),
}

/// Who knows what a request has for the keys of conditions.
pub trait ContextKeys {
    /// The values for a key, which comes in lower case (`dynamodb:leadingkeys`, `aws:resourcetag/team`).
    fn values(&self, key: &str) -> Values<'_>;
}

/// What a request has for a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Values<'a> {
    /// The request does not have the key.
    Absent,
    /// A key with one value.
    One(Value<'a>),
    /// A key of many values, how many ever there are.
    Many(Vec<Value<'a>>),
}

impl<'a> Values<'a> {
    /// One text.
    pub fn text(text: impl Into<Cow<'a, str>>) -> Self {
        Self::One(Value::Text(text.into()))
    }

    /// Many texts.
    pub fn texts<T: Into<Cow<'a, str>>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Many(texts.into_iter().map(|text| Value::Text(text.into())).collect())
    }

    /// A text that may not be there.
    pub fn optional(text: Option<&'a str>) -> Self {
        text.map_or(Self::Absent, Self::text)
    }
}

/// One value of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value<'a> {
    /// A text.
    Text(Cow<'a, str>),
    /// `true` or `false`.
    Bool(bool),
    /// A whole number.
    Number(i64),
    /// A time in milliseconds since the Unix epoch.
    Time(i64),
    /// An address.
    Address(IpAddr),
    /// Bytes, whose text is base64.
    Binary(Cow<'a, [u8]>),
}

impl Value<'_> {
    /// The value as text.
    pub(super) fn text(&self) -> Cow<'_, str> {
        match self {
            Self::Text(text) => Cow::Borrowed(text),
            Self::Bool(true) => Cow::Borrowed("true"),
            Self::Bool(false) => Cow::Borrowed("false"),
            Self::Number(number) => Cow::Owned(number.to_string()),
            Self::Time(ms) => Cow::Owned(iso_8601(*ms)),
            Self::Address(address) => Cow::Owned(address.to_string()),
            Self::Binary(bytes) => Cow::Owned(STANDARD.encode(bytes)),
        }
    }
}

/// A request as one principal makes it: everything that a statement can look at.
#[derive(Clone, Copy)]
pub(super) struct Scope<'a> {
    pub(super) request: &'a Request<'a>,
    pub(super) principal: &'a PrincipalPolicies,
}

impl<'a> Scope<'a> {
    pub(super) fn new(request: &'a Request<'a>, principal: &'a PrincipalPolicies) -> Self {
        Self { request, principal }
    }

    /// What the request has for a key.
    pub(super) fn values(&self, key: &str) -> Values<'a> {
        match key.strip_prefix("aws:").map(|name| self.of_principal(name)) {
            Some(Some(values)) => values,
            _ => self.request.context.values(key),
        }
    }

    /// What the principal has for a key of AWS's; `None` for keys that are none of its.
    fn of_principal(&self, name: &str) -> Option<Values<'a>> {
        let principal = self.principal;
        Some(match name {
            "username" => Values::optional(principal.user_name.as_deref()),
            "userid" => Values::text(principal.user_id.as_str()),
            "principalarn" => Values::text(principal.principal_arn.as_str()),
            "principalaccount" => Values::text(principal.account.as_str()),
            "principaltype" => Values::text(match principal.kind {
                PrincipalKind::Root => "Account",
                PrincipalKind::User => "User",
                PrincipalKind::RoleSession => "AssumedRole",
            }),
            "principalisawsservice" | "viaawsservice" => Values::One(Value::Bool(false)),
            "tokenissuetime" => {
                let issued_at_s = i64::try_from(principal.issued_at_s?).unwrap_or(i64::MAX);
                Values::One(Value::Time(issued_at_s.saturating_mul(1000)))
            }
            // All temporary credentials tell it, and none is issued for a code of an MFA device.
            "multifactorauthpresent" => {
                principal.issued_at_s?;
                Values::One(Value::Bool(false))
            }
            "sourceidentity" => Values::text(principal.source_identity.as_deref()?),
            _ => {
                let wanted = name.strip_prefix("principaltag/")?;
                let mut tags = principal.tags.iter();
                let found = tags.find(|(key, _)| key.eq_ignore_ascii_case(wanted));
                Values::optional(found.map(|(_, value)| value.as_str()))
            }
        })
    }

    /// What a variable stands for: the one value of its key, or else its default.
    pub(super) fn variable(&self, variable: &'a Variable) -> Option<Cow<'a, str>> {
        match self.values(&variable.key) {
            Values::One(Value::Text(text)) => Some(text),
            Values::One(value) => Some(Cow::Owned(value.text().into_owned())),
            Values::Absent | Values::Many(_) => variable.default.as_deref().map(Cow::Borrowed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_have_texts() {
        let text = |value: Value<'_>| value.text().into_owned();
        assert_eq!(text(Value::Time(1_445_412_480_123)), "2015-10-21T07:28:00Z");
        assert_eq!(text(Value::Bool(true)), "true");
        assert_eq!(text(Value::Number(-7)), "-7");
        assert_eq!(text(Value::Address("::1".parse().unwrap())), "::1");
        assert_eq!(text(Value::Binary(Cow::Borrowed(b"\x00\xff"))), "AP8=");
    }
}
