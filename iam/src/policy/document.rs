//! From the text of a policy to statements that can be evaluated: the grammar, and what IAM refuses when a document is
//! put.
//!
//! Invariant: a document that is accepted can be evaluated without further checks. How long a document may be depends
//! on where it is put, and is the affair of whoever puts it.
//!
//! Source: IAM User Guide, "Grammar of the IAM JSON policy language".

use super::Policy;
use super::condition::Condition;
use super::error::{DocumentError, Problem};
use super::json::{Json, Node, read};
use super::pattern::{Case, Pattern};
use super::principal::Principals;
use super::statement::{Selection, Statement};
use super::variable::Syntax;

/// Where a policy is to be put: which members its statements have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DocumentKind {
    /// A policy of a user, group or role, a permissions boundary or a session policy: no principals.
    Identity,
    /// The policy of a table or stream: with principals.
    Resource,
    /// Who may assume a role: with principals, without resources.
    Trust,
}

/// What a statement does with the requests that it is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Permits them.
    Allow,
    /// Refuses them, whatever permits them.
    Deny,
}

/// Reads a document.
pub(super) fn parse(text: &str, kind: DocumentKind) -> Result<Policy, DocumentError> {
    let root = read(text)?;
    let mut variables = false;
    let mut statements = None;
    let mut id = None;
    for (name, node) in root.members("a policy")? {
        match name.as_str() {
            "Version" => {
                variables = match node.text("Version")? {
                    "2012-10-17" => true,
                    "2008-10-17" => false,
                    _ => return Err(node.refuse(Problem::Version)),
                };
            }
            "Id" => id = Some(node.text("Id")?.to_owned()),
            "Statement" => statements = Some(node),
            other => return Err(node.unexpected(&format!("unknown element {other}"))),
        }
    }
    let Some(nodes) = statements else {
        return Err(root.unexpected("Statement is missing"));
    };
    let reader = Reader { kind, variables };
    let mut parsed: Vec<Statement> = Vec::new();
    for node in nodes.one_or_many() {
        let statement = reader.statement(node)?;
        let twice = |other: &Statement| statement.sid.is_some() && other.sid == statement.sid;
        if parsed.iter().any(twice) {
            return Err(node.refuse(Problem::SidTwice));
        }
        parsed.push(statement);
    }
    if parsed.is_empty() {
        return Err(nodes.unexpected("Statement is empty"));
    }
    Ok(Policy {
        statements: parsed,
        id,
    })
}

#[derive(Clone, Copy)]
struct Reader {
    kind: DocumentKind,
    variables: bool,
}

/// The members of a statement as they came.
#[derive(Default)]
struct Members<'n> {
    sid: Option<&'n Node>,
    effect: Option<&'n Node>,
    /// With whether it is `Not...`.
    principal: Option<(&'n Node, bool)>,
    action: Option<(&'n Node, bool)>,
    resource: Option<(&'n Node, bool)>,
    condition: Option<&'n Node>,
}

impl<'n> Members<'n> {
    fn of(node: &'n Node) -> Result<Self, DocumentError> {
        let mut members = Self::default();
        for (name, value) in node.members("a statement")? {
            let (place, negated) = match name.as_str() {
                "Sid" => {
                    members.sid = Some(value);
                    continue;
                }
                "Effect" => {
                    members.effect = Some(value);
                    continue;
                }
                "Condition" => {
                    members.condition = Some(value);
                    continue;
                }
                "Principal" => (&mut members.principal, false),
                "NotPrincipal" => (&mut members.principal, true),
                "Action" => (&mut members.action, false),
                "NotAction" => (&mut members.action, true),
                "Resource" => (&mut members.resource, false),
                "NotResource" => (&mut members.resource, true),
                other => return Err(value.unexpected(&format!("unknown element {other}"))),
            };
            if place.replace((value, negated)).is_some() {
                let name = name.trim_start_matches("Not");
                return Err(value.unexpected(&format!("{name} and Not{name} exclude each other")));
            }
        }
        Ok(members)
    }
}

impl Reader {
    fn statement(self, node: &Node) -> Result<Statement, DocumentError> {
        let members = Members::of(node)?;
        let sid = members.sid.map(|node| self.sid(node)).transpose()?;
        let effect = members
            .effect
            .ok_or_else(|| node.unexpected("Effect is missing"))?;
        let effect = match effect.text("Effect")? {
            "Allow" => Effect::Allow,
            "Deny" => Effect::Deny,
            other => return Err(effect.unexpected(&format!("Effect {other} is neither Allow nor Deny"))),
        };
        Ok(Statement {
            sid,
            effect,
            principals: self.principals(node, &members)?,
            actions: Self::actions(node, &members)?,
            resources: self.resources(node, &members)?,
            conditions: members
                .condition
                .map_or(Ok(Vec::new()), |node| self.conditions(node))?,
            begin: node.begin,
            end: node.end,
        })
    }

    fn sid(self, node: &Node) -> Result<Box<str>, DocumentError> {
        let sid = node.text("Sid")?;
        // Resource policies may have spaces too, as the guide says.
        let is_spaced = self.kind == DocumentKind::Resource;
        let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || (is_spaced && byte == b' ');
        if sid.bytes().all(is_letter) {
            Ok(sid.into())
        } else {
            Err(node.refuse(Problem::Sid))
        }
    }

    fn principals(self, node: &Node, members: &Members<'_>) -> Result<Option<Principals>, DocumentError> {
        match (self.kind, members.principal) {
            (DocumentKind::Identity, None) => Ok(None),
            (DocumentKind::Identity, Some((node, _))) => Err(node.refuse(Problem::PrincipalForbidden)),
            (_, None) => Err(node.refuse(Problem::NoPrincipal)),
            (_, Some((node, negated))) => Principals::parse(node, negated, self.kind).map(Some),
        }
    }

    fn actions(node: &Node, members: &Members<'_>) -> Result<Selection, DocumentError> {
        let (list, negated) = members.action.ok_or_else(|| node.refuse(Problem::NoActions))?;
        let syntax = Syntax {
            wildcards: true,
            variables: false,
        };
        let patterns = patterns(list, "Action", syntax, &Problem::NoActions, check_action)?;
        Ok(Selection {
            patterns,
            negated,
            case: Case::Ignored,
        })
    }

    fn resources(self, node: &Node, members: &Members<'_>) -> Result<Option<Selection>, DocumentError> {
        if self.kind == DocumentKind::Trust {
            return match members.resource {
                None => Ok(None),
                Some((node, _)) => Err(node.refuse(Problem::Prohibited("Resource"))),
            };
        }
        let (list, negated) = members
            .resource
            .ok_or_else(|| node.refuse(Problem::NoResources))?;
        let syntax = Syntax {
            wildcards: true,
            variables: self.variables,
        };
        let patterns = patterns(list, "Resource", syntax, &Problem::NoResources, check_resource)?;
        Ok(Some(Selection {
            patterns,
            negated,
            case: Case::Exact,
        }))
    }

    fn conditions(self, node: &Node) -> Result<Vec<Condition>, DocumentError> {
        let mut conditions = Vec::new();
        for (operator, keys) in node.members("Condition")? {
            for (key, values) in keys.members("a condition operator")? {
                if !key.contains(':') {
                    return Err(values.refuse(Problem::NoVendor));
                }
                let nodes = values.one_or_many();
                let mut texts = Vec::with_capacity(nodes.len());
                for node in nodes {
                    texts.push(scalar(node)?);
                }
                let condition = Condition::parse(operator, key, &texts, self.variables);
                conditions.push(condition.map_err(|(index, problem)| {
                    let place = index.and_then(|index| nodes.get(index)).unwrap_or(values);
                    place.refuse(problem)
                })?);
            }
        }
        Ok(conditions)
    }
}

/// A value of a condition as text: numbers and booleans may be written without quotes.
fn scalar(node: &Node) -> Result<&str, DocumentError> {
    match &node.value {
        Json::Text(text) | Json::Number(text) => Ok(text),
        Json::Bool(true) => Ok("true"),
        Json::Bool(false) => Ok("false"),
        Json::Null | Json::List(_) | Json::Object(_) => {
            Err(node.unexpected("a value of a condition must be a string, a number or a boolean"))
        }
    }
}

/// Reads the texts of a list as patterns, each checked for its form.
fn patterns(
    list: &Node,
    what: &str,
    syntax: Syntax,
    empty: &Problem,
    check: fn(&str) -> Result<(), Problem>,
) -> Result<Vec<Pattern>, DocumentError> {
    let nodes = list.one_or_many();
    if nodes.is_empty() {
        return Err(list.refuse(empty.clone()));
    }
    let mut patterns = Vec::with_capacity(nodes.len());
    for node in nodes {
        let text = node.text(what)?;
        check(text).map_err(|problem| node.refuse(problem))?;
        patterns.push(Pattern::parse(text, syntax).map_err(|problem| node.refuse(problem))?);
    }
    Ok(patterns)
}

/// Checks the form of an action: `*`, or a service and a name with wildcards.
fn check_action(text: &str) -> Result<(), Problem> {
    if text == "*" {
        return Ok(());
    }
    let (vendor, name) = text.split_once(':').ok_or(Problem::NoVendor)?;
    if vendor.is_empty() {
        return Err(Problem::NoVendor);
    }
    if !vendor
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
    {
        return Err(Problem::Vendor(vendor.to_owned()));
    }
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'*' | b'?');
    if name.is_empty() || !name.bytes().all(is_name) {
        return Err(Problem::Action(text.to_owned()));
    }
    Ok(())
}

/// Checks the form of a resource: `*`, or an ARN of which a `*` may stand for all that is missing.
fn check_resource(text: &str) -> Result<(), Problem> {
    if text == "*" {
        return Ok(());
    }
    let no_arn = || Problem::NoArn(text.to_owned());
    let rest = text.strip_prefix("arn:").ok_or_else(no_arn)?;
    let parts: Vec<&str> = rest.splitn(5, ':').collect();
    let is_whole = parts.len() == 5 && parts.last().is_some_and(|resource| !resource.is_empty());
    if !is_whole && !text.ends_with('*') {
        return Err(no_arn());
    }
    let partition = parts.first().copied().unwrap_or_default();
    let is_partition = partition.contains(['*', '?'])
        || partition == "aws"
        || partition.strip_prefix("aws-").is_some_and(|rest| {
            !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-')
        });
    if is_partition {
        Ok(())
    } else {
        Err(Problem::Partition {
            partition: partition.to_owned(),
            resource: text.to_owned(),
        })
    }
}
