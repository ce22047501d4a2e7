//! Asking for a permission: the caller's policies and the policy of the table, with what the request has for their keys.

use std::net::IpAddr;
use std::sync::Arc;

use stator_iam::policy::{
    ContextKeys, Decision, Policy, PrincipalKind, PrincipalPolicies, Request, Value, Values, decide,
};

use super::facts::Facts;
use super::resource::Resource;
use crate::arn;
use crate::catalog::Table;
use crate::message;
use crate::operation::Context;
use crate::operation::shards::label;
use crate::wire::error::ApiError;

/// Who asks, and over which connection.
#[derive(Debug, Clone)]
pub(crate) struct Caller<'a> {
    /// What it may do.
    pub(crate) policies: Arc<PrincipalPolicies>,
    /// `aws:SourceIp`
    pub(crate) source: Option<IpAddr>,
    /// `aws:SecureTransport`
    pub(crate) secure: bool,
    /// `aws:UserAgent`
    pub(crate) user_agent: Option<&'a str>,
}

/// Decides for one request.
pub(crate) struct Judge<'a> {
    caller: &'a Caller<'a>,
    context: &'a Context,
    now_ms: i64,
}

impl<'a> Judge<'a> {
    /// For a request of a caller.
    pub(crate) fn new(caller: &'a Caller<'a>, context: &'a Context) -> Self {
        Self {
            caller,
            context,
            now_ms: context.clock.now_ms(),
        }
    }

    /// True for a caller that need not be asked about.
    pub(crate) fn permits_everything(&self) -> bool {
        self.caller.policies.kind == PrincipalKind::Root
    }

    /// Asks for an action on a resource.
    ///
    /// # Errors
    /// AccessDeniedException, and ServiceUnavailable when the table is not known here and other nodes cannot be asked.
    pub(super) async fn require(
        &self,
        action: &str,
        resource: Resource<'_>,
        facts: &Facts<'_>,
    ) -> Result<(), ApiError> {
        if self.permits_everything() {
            return Ok(());
        }
        let table = self.table(resource).await?;
        self.decide(action, resource, facts, table.as_ref())
    }

    /// Asks for what is done with this node beside the API: `stator:` and a name.
    ///
    /// # Errors
    /// AccessDeniedException.
    pub(crate) async fn require_of_node(&self, name: &str) -> Result<(), ApiError> {
        let action = format!("stator:{name}");
        self.require(&action, Resource::Any, &Facts::default()).await
    }

    /// The table that a resource is or belongs to, with the index that it names if any node has made it.
    async fn table(&self, resource: Resource<'_>) -> Result<Option<Arc<Table>>, ApiError> {
        let catalog = &self.context.catalog;
        let Some(name) = resource.table().filter(|name| arn::is_table_name(name)) else {
            return Ok(None);
        };
        let found = catalog.find(name).await.map_err(message::table::catalog)?;
        match (&found, resource) {
            (Some(table), Resource::Index(_, index)) if table.index(index).is_none() => {
                catalog.latest(name).await.map_err(message::table::catalog)
            }
            _ => Ok(found),
        }
    }

    fn decide(
        &self,
        action: &str,
        resource: Resource<'_>,
        facts: &Facts<'_>,
        table: Option<&Arc<Table>>,
    ) -> Result<(), ApiError> {
        let arn = resource.arn(&self.context.region);
        let judge = self;
        let keys = Keys { judge, facts, table };
        let request = Request {
            action,
            resource: &arn,
            context: &keys,
        };
        let policies = &self.caller.policies;
        let of_resource = table.and_then(|table| policy_of(table, resource));
        match decide(&request, policies, of_resource) {
            Decision::Allowed => Ok(()),
            Decision::Denied(denial) => Err(ApiError::AccessDenied(denial.sentence(policies, action, &arn))),
        }
    }

    /// Whether an action on a resource would be permitted if this were its policy.
    pub(super) fn would_permit(&self, action: &str, resource: Resource<'_>, policy: &Policy) -> bool {
        let arn = resource.arn(&self.context.region);
        let keys = Keys {
            judge: self,
            facts: &Facts::default(),
            table: None,
        };
        let request = Request {
            action,
            resource: &arn,
            context: &keys,
        };
        decide(&request, &self.caller.policies, Some(policy)).is_allowed()
    }

    /// As [`Judge::require`], for an action on items. A table or index that there is not is told once the action is
    /// permitted: what the request has for the keys of its items cannot be known, and what comes to be meanwhile must not
    /// be reached without it.
    ///
    /// # Errors
    /// As [`Judge::require`], ResourceNotFoundException, and ValidationException for an index.
    pub(super) async fn require_on_items(
        &self,
        action: &str,
        resource: Resource<'_>,
        facts: &Facts<'_>,
    ) -> Result<(), ApiError> {
        if self.permits_everything() {
            return Ok(());
        }
        let table = self.table(resource).await?;
        self.decide(action, resource, facts, table.as_ref())?;
        match (table, resource) {
            (Some(table), Resource::Index(_, index)) if table.index(index).is_none() => {
                Err(message::index::no_index(index))
            }
            // What is no name of a table is refused as such.
            (None, _) if resource.table().is_some_and(arn::is_table_name) => Err(message::no_table()),
            _ => Ok(()),
        }
    }
}

/// The policy of a resource: a stream's own, or the table's, which is that of its indexes, too.
fn policy_of<'t>(table: &'t Table, resource: Resource<'_>) -> Option<&'t Policy> {
    let Resource::Stream(_) = resource else {
        return table.policy(None);
    };
    let wanted = resource.label()?;
    let mut streams = table.definition().streams.iter();
    let stream = streams.find(|stream| label(stream) == wanted)?;
    table.policy(Some(stream.id))
}

/// What a request has for all keys but those of its principal.
struct Keys<'a, 'f> {
    judge: &'a Judge<'a>,
    facts: &'a Facts<'f>,
    table: Option<&'a Arc<Table>>,
}

impl ContextKeys for Keys<'_, '_> {
    fn values(&self, key: &str) -> Values<'_> {
        let (caller, context) = (self.judge.caller, self.judge.context);
        match key {
            "aws:sourceip" => caller
                .source
                .map_or(Values::Absent, |address| Values::One(Value::Address(address))),
            "aws:securetransport" => Values::One(Value::Bool(caller.secure)),
            "aws:currenttime" => Values::One(Value::Time(self.judge.now_ms)),
            "aws:epochtime" => Values::One(Value::Number(self.judge.now_ms / 1000)),
            "aws:requestedregion" => Values::text(context.region.as_str()),
            "aws:useragent" => Values::optional(caller.user_agent),
            "aws:resourceaccount" => Values::text(arn::ACCOUNT),
            _ => match (key.strip_prefix("aws:resourcetag/"), self.table) {
                (Some(wanted), Some(table)) => {
                    let mut tags = table.definition().tags.iter();
                    let found = tags.find(|(key, _)| key.eq_ignore_ascii_case(wanted));
                    Values::optional(found.map(|(_, value)| value.as_str()))
                }
                _ => self.facts.values(key, self.table),
            },
        }
    }
}
