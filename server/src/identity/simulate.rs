//! SimulateCustomPolicy and SimulatePrincipalPolicy: what policies would decide.
//!
//! Source: IAM API reference, SimulatePrincipalPolicy. The decisions are those of the engine that decides requests.

use std::borrow::Cow;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use stator_iam::directory::{Directory, DirectoryError, ErrorCode, ManagedPolicy, Record, compile};
use stator_iam::policy::{
    ContextKeys, Decision, DocumentKind, Policy, PolicyType, Position, PrincipalPolicies, Request, Value,
    Values, decide,
};

use super::error::IdentityError;
use super::page::{Page, PageRequest};
use super::{Asks, Call, IdentityOperation};

/// A value that the simulated request has for a key of conditions.
#[derive(Debug, Clone)]
pub(crate) struct ContextEntry {
    pub(crate) key: String,
    pub(crate) values: Vec<String>,
    /// `string`, `numericList`, ...
    pub(crate) kind: String,
}

/// SimulateCustomPolicy, or with a principal SimulatePrincipalPolicy.
#[derive(Debug, Clone, Default)]
pub(crate) struct Simulate {
    /// ARN of the user, group or role whose policies count; `None` for none but those given.
    pub(crate) source: Option<String>,
    /// Documents that count as identity policies.
    pub(crate) policies: Vec<String>,
    /// Documents that count as permissions boundaries.
    pub(crate) boundaries: Vec<String>,
    pub(crate) resource_policy: Option<String>,
    pub(crate) actions: Vec<String>,
    /// `*` alone when none are named.
    pub(crate) resources: Vec<String>,
    /// Who makes the simulated request, when it is not the source.
    pub(crate) caller: Option<String>,
    pub(crate) context: Vec<ContextEntry>,
    pub(crate) page: PageRequest,
}

/// What is decided of an action on a resource.
#[derive(Debug, Clone)]
pub(crate) struct Evaluation {
    pub(crate) action: String,
    pub(crate) resource: String,
    /// `allowed`, `explicitDeny` or `implicitDeny`.
    pub(crate) decision: &'static str,
    pub(crate) matched: Vec<Matched>,
    /// Keys that the policies ask for and the request does not have.
    pub(crate) missing: Vec<String>,
    /// Whether the boundary allows it, if there is one.
    pub(crate) boundary: Option<bool>,
}

/// A statement that is about the request.
#[derive(Debug, Clone)]
pub(crate) struct Matched {
    pub(crate) policy: String,
    /// `user`, `group`, `role`, `user-managed`, `resource` or `none`.
    pub(crate) kind: &'static str,
    pub(crate) start: Position,
    pub(crate) end: Position,
}

/// A policy that counts, and how it is called.
struct Named {
    id: String,
    kind: &'static str,
    policy: Arc<Policy>,
}

impl IdentityOperation for Simulate {
    type Output = Page<Evaluation>;

    fn asks(&self, _: &Call<'_>, _: &Directory) -> Result<Option<Asks>, IdentityError> {
        Ok(Some(match &self.source {
            Some(source) => Asks::iam("SimulatePrincipalPolicy", source.clone()),
            None => Asks::iam("SimulateCustomPolicy", "*".to_owned()),
        }))
    }

    async fn run(self, call: &Call<'_>) -> Result<Page<Evaluation>, IdentityError> {
        let shown = call.identities.latest().await?;
        let directory = shown.directory();
        let simulation = Simulation::new(&self, directory)?;
        let evaluations = self.actions.iter().enumerate().flat_map(|(action_at, action)| {
            let simulation = &simulation;
            let resources = self.resources.iter().enumerate();
            resources.map(move |(resource_at, resource)| {
                let key = format!("{action_at:05}{resource_at:05}");
                (key, simulation.evaluate(action, resource))
            })
        });
        Ok(Page::of(evaluations, &self.page))
    }
}

/// Policies and context of a simulation.
struct Simulation {
    principal: PrincipalPolicies,
    named: Vec<Named>,
    resource_policy: Option<Named>,
    context: Context,
}

impl Simulation {
    fn new(simulate: &Simulate, directory: &Directory) -> Result<Self, IdentityError> {
        let mut named = Vec::new();
        let mut principal = PrincipalPolicies::user(directory.account(), "/", "simulated", "");
        if let Some(source) = &simulate.source {
            let record = entity(directory, source)?;
            name_policies(directory, record, &mut named)?;
            if let Some(own) = directory.policies_of_id(record.id()) {
                principal = own.as_ref().clone();
            }
        }
        for (at, document) in simulate.policies.iter().enumerate() {
            let id = format!("PolicyInputList.{}", at + 1);
            named.push(Named {
                id,
                kind: "none",
                policy: Arc::new(compile(document, DocumentKind::Identity)?),
            });
        }
        principal.identity = named.iter().map(|named| Arc::clone(&named.policy)).collect();
        if let Some(document) = simulate.boundaries.first() {
            principal.boundary = Some(Arc::new(compile(document, DocumentKind::Identity)?));
        }
        if let Some(caller) = &simulate.caller {
            principal.arn.clone_from(caller);
            principal.principal_arn.clone_from(caller);
        }
        let resource_policy = simulate.resource_policy.as_ref().map(|document| {
            let policy = compile(document, DocumentKind::Resource)?;
            Ok::<_, DirectoryError>(Named {
                id: "ResourcePolicy".to_owned(),
                kind: "resource",
                policy: Arc::new(policy),
            })
        });
        Ok(Self {
            principal,
            named,
            resource_policy: resource_policy.transpose()?,
            context: Context::new(&simulate.context)?,
        })
    }

    fn evaluate(&self, action: &str, resource: &str) -> Evaluation {
        let request = Request {
            action,
            resource,
            context: &self.context,
        };
        let resource_policy = self.resource_policy.as_ref().map(|named| &*named.policy);
        let decision = decide(&request, &self.principal, resource_policy);
        let mut matched = Vec::new();
        let mut missing = Vec::new();
        for named in self.named.iter().chain(&self.resource_policy) {
            for statement in named.policy.matching(&request, &self.principal) {
                let (start, end) = statement.place();
                matched.push(Matched {
                    policy: named.id.clone(),
                    kind: named.kind,
                    start,
                    end,
                });
            }
            let keys = named.policy.context_keys().into_iter();
            missing.extend(keys.filter(|key| !self.has(key)).map(str::to_owned));
        }
        missing.sort();
        missing.dedup();
        Evaluation {
            action: action.to_owned(),
            resource: resource.to_owned(),
            decision: match decision {
                Decision::Allowed => "allowed",
                Decision::Denied(denial) if denial.explicit => "explicitDeny",
                Decision::Denied(_) => "implicitDeny",
            },
            matched,
            missing,
            boundary: self
                .principal
                .boundary
                .as_ref()
                .map(|_| !matches!(decision, Decision::Denied(denial) if denial.by == PolicyType::Boundary)),
        }
    }

    /// Whether a key has a value; those of the principal are told by the engine.
    fn has(&self, key: &str) -> bool {
        let own = ["aws:username", "aws:userid", "aws:principal"];
        own.iter().any(|own| key.starts_with(own)) || self.context.values(key) != Values::Absent
    }
}

/// The user, group or role of an ARN.
fn entity<'d>(directory: &'d Directory, arn: &str) -> Result<&'d Record, IdentityError> {
    let found = [
        stator_iam::directory::Kind::User,
        stator_iam::directory::Kind::Group,
        stator_iam::directory::Kind::Role,
    ]
    .into_iter()
    .find_map(|kind| {
        let record = directory.find(kind, arn.rsplit('/').next()?)?;
        (directory.arn(record) == arn).then_some(record.as_ref())
    });
    found.ok_or_else(|| {
        IdentityError::Directory(DirectoryError {
            code: ErrorCode::NoSuchEntity,
            message: format!("The entity with ARN {arn} cannot be found."),
        })
    })
}

/// The policies of an entity, and of its groups when it is a user.
fn name_policies(
    directory: &Directory,
    record: &Record,
    named: &mut Vec<Named>,
) -> Result<(), IdentityError> {
    for (name, document) in record.inline().into_iter().flatten() {
        named.push(Named {
            id: format!("{}_{}_{name}", record.kind().word(), record.name()),
            kind: record.kind().word(),
            policy: Arc::new(compile(document, DocumentKind::Identity)?),
        });
    }
    let attached = directory.policies_of(record.attached());
    for (name, document) in
        attached.filter_map(|policy: &ManagedPolicy| Some((&policy.name, policy.document()?)))
    {
        named.push(Named {
            id: name.clone(),
            kind: "user-managed",
            policy: Arc::new(compile(document, DocumentKind::Identity)?),
        });
    }
    if let Record::User(user) = record {
        for group in directory.groups_of(user) {
            name_policies(directory, &Record::Group(group.clone()), named)?;
        }
    }
    Ok(())
}

/// What the simulated request has for the keys of conditions.
struct Context(Vec<(String, bool, Vec<Value<'static>>)>);

impl Context {
    fn new(entries: &[ContextEntry]) -> Result<Self, IdentityError> {
        let read = |entry: &ContextEntry| {
            let is_list = entry.kind.ends_with("List");
            let kind = entry.kind.trim_end_matches("List");
            let values = entry.values.iter().map(|text| value(kind, text));
            let values = values.collect::<Option<Vec<_>>>().ok_or_else(|| {
                IdentityError::Directory(DirectoryError {
                    code: ErrorCode::InvalidInput,
                    message: format!(
                        "Invalid Context Entry: the values of {} are not of type {}.",
                        entry.key, entry.kind
                    ),
                })
            })?;
            Ok((entry.key.to_ascii_lowercase(), is_list, values))
        };
        entries.iter().map(read).collect::<Result<_, _>>().map(Self)
    }
}

fn value(kind: &str, text: &str) -> Option<Value<'static>> {
    Some(match kind {
        "numeric" => match text.parse() {
            Ok(number) => Value::Number(number),
            Err(_) => Value::Text(Cow::Owned(text.to_owned())),
        },
        "boolean" => Value::Bool(text.parse().ok()?),
        "ip" => Value::Address(text.parse().ok()?),
        "binary" => Value::Binary(Cow::Owned(STANDARD.decode(text).ok()?)),
        // Dates and strings are compared by what they say.
        _ => Value::Text(Cow::Owned(text.to_owned())),
    })
}

impl ContextKeys for Context {
    fn values(&self, key: &str) -> Values<'_> {
        let Some((_, is_list, values)) = self.0.iter().find(|(other, ..)| other == key) else {
            return Values::Absent;
        };
        match values.as_slice() {
            [value] if !is_list => Values::One(value.clone()),
            values => Values::Many(values.to_vec()),
        }
    }
}
