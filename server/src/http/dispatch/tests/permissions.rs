//! What every operation has to be permitted, and that it is refused without: a matrix of all targets, and the keys of
//! conditions that requests have.

mod conditions;
mod resource_policies;
mod samples;

use std::net::{IpAddr, Ipv4Addr};

use stator_iam::policy::{DocumentKind, Policy, PrincipalPolicies};

use self::samples::{Sample, TABLE};
use super::*;
use crate::arn;
use crate::http::dispatch::run_as;

/// A table with an index, a stream and a lock on it.
const CREATE: &str = r#"{"TableName":"Tab","BillingMode":"PAY_PER_REQUEST","DeletionProtectionEnabled":true,
    "KeySchema":[{"AttributeName":"pk","KeyType":"HASH"}],"StreamSpecification":{"StreamEnabled":true,"StreamViewType":"KEYS_ONLY"},
    "AttributeDefinitions":[{"AttributeName":"pk","AttributeType":"S"},{"AttributeName":"g","AttributeType":"S"}],
    "GlobalSecondaryIndexes":[{"IndexName":"by_g","KeySchema":[{"AttributeName":"g","KeyType":"HASH"}],
    "Projection":{"ProjectionType":"ALL"}}],"Tags":[{"Key":"team","Value":"red"}]}"#;

async fn node() -> Node {
    Node::start_with(Limits::default(), CREATE).await
}

fn policy(statements: &str, kind: DocumentKind) -> Arc<Policy> {
    let text = format!(r#"{{"Version":"2012-10-17","Statement":[{statements}]}}"#);
    Arc::new(Policy::parse(&text, kind).unwrap_or_else(|error| panic!("{error}: {text}")))
}

/// The user `ann` of team `red`, with one policy of these statements, or none.
fn user(statements: &str) -> Caller<'static> {
    let mut policies = PrincipalPolicies::user(arn::ACCOUNT, "/", "ann", "AIDAANN");
    policies.tags.push(("team".to_owned(), "red".to_owned()));
    if !statements.is_empty() {
        policies.identity.push(policy(statements, DocumentKind::Identity));
    }
    Caller {
        policies: Arc::new(policies),
        source: Some(IpAddr::V4(Ipv4Addr::new(10, 1, 2, 3))),
        secure: true,
        user_agent: Some("test/1"),
    }
}

/// The same within a permissions boundary.
fn bounded(statements: &str, boundary: &str) -> Caller<'static> {
    let mut caller = user(statements);
    let mut policies = PrincipalPolicies::clone(&caller.policies);
    policies.boundary = Some(policy(boundary, DocumentKind::Identity));
    caller.policies = Arc::new(policies);
    caller
}

impl Node {
    async fn ask_as(&self, caller: &Caller<'_>, target: Target, body: &str) -> Result<String, ApiError> {
        let headers = HeaderMap::new();
        let head = Head::new(&headers);
        let answer = run_as(target, body.as_bytes(), (head, caller), &self.context).await;
        answer.map(|json| String::from_utf8(json).unwrap())
    }

    /// The sentence of the denial, if it is one; a batch of statements has it in its answer.
    async fn denial(&self, caller: &Caller<'_>, target: Target, body: &str) -> Option<String> {
        match self.ask_as(caller, target, body).await {
            Err(ApiError::AccessDenied(sentence)) => Some(sentence),
            Ok(answer) => {
                let (_, rest) = answer.split_once(r#""Code":"AccessDenied","Message":""#)?;
                rest.split_once('"').map(|(sentence, _)| sentence.to_owned())
            }
            Err(_) => None,
        }
    }
}

/// Every operation with its name.
fn targets() -> Vec<(String, Target)> {
    let named = |target: &Target| (target.name().to_owned(), *target);
    Target::ALL.iter().map(named).collect()
}

fn allow(action: &str, resource: &str) -> String {
    format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}"}}"#)
}

/// An action of a sample with its service.
fn full(action: &str) -> String {
    if action.contains(':') {
        action.to_owned()
    } else {
        format!("dynamodb:{action}")
    }
}

fn allow_all(needs: &[(&str, String)], condition: &str) -> String {
    let allows = needs.iter().map(|(action, resource)| {
        let action = full(action);
        format!(r#"{{"Effect":"Allow","Action":"{action}","Resource":"{resource}","Condition":{condition}}}"#)
    });
    allows.collect::<Vec<_>>().join(",")
}

/// One condition: all values of a key are among these.
fn only(key: &str, values: &[&str]) -> String {
    format!(r#"{{"ForAllValues:StringEquals":{{"dynamodb:{key}":{values:?}}}}}"#)
}

#[tokio::test]
async fn every_operation_needs_what_it_does_and_nothing_else() {
    let node = node().await;
    for (name, target) in targets() {
        let Sample { body, needs, .. } = Sample::of(target);
        assert!(!needs.is_empty(), "{name}");
        let denial = node.denial(&user(""), target, &body).await;
        let (action, resource) = &needs[0];
        let expected = format!(
            "User: arn:aws:iam::000000000000:user/ann is not authorized to perform: dynamodb:{action} on resource: \
             {resource} because no identity-based policy allows the dynamodb:{action} action"
        );
        assert_eq!(denial, Some(expected), "{name} without a policy");
        let enough = user(&allow_all(&needs, "{}"));
        assert_eq!(
            node.denial(&enough, target, &body).await,
            None,
            "{name} with what it needs"
        );
        for left_out in 0..needs.len() {
            let mut others = needs.clone();
            let (action, _) = others.remove(left_out);
            let denial = node.denial(&user(&allow_all(&others, "{}")), target, &body).await;
            let perform = format!("perform: {} on", full(action));
            assert!(
                denial.is_some_and(|denial| denial.contains(&perform)),
                "{name} without {action}"
            );
        }
    }
}

#[tokio::test]
async fn every_operation_is_held_to_its_table_and_index() {
    let node = node().await;
    for (name, target) in targets() {
        let Sample { body, needs, .. } = Sample::of(target);
        if needs[0].1 == "*" {
            let table_only = user(&allow("dynamodb:*", &format!("{TABLE}*")));
            assert!(
                node.denial(&table_only, target, &body).await.is_some(),
                "{name}: no table"
            );
            continue;
        }
        for other in [
            TABLE.replace("Tab", "Tabs"),
            TABLE.replace("us-east-1", "eu-west-1"),
            TABLE.replace("000000000000", "000000000001"),
        ] {
            let elsewhere = [
                allow("dynamodb:*", &other),
                allow("dynamodb:*", &format!("{other}/*")),
            ];
            let denial = node.denial(&user(&elsewhere.join(",")), target, &body).await;
            assert!(denial.is_some(), "{name} with {other}");
        }
        // A table, its indexes and its streams are permitted each for itself.
        let others = if needs[0].1 == TABLE {
            vec![format!("{TABLE}/*")]
        } else {
            vec![
                TABLE.to_owned(),
                format!("{TABLE}/index/other"),
                format!("{TABLE}/stream/other"),
            ]
        };
        for other in others {
            let denial = node
                .denial(&user(&allow("dynamodb:*", &other)), target, &body)
                .await;
            assert!(denial.is_some(), "{name} with {other}");
        }
    }
}

#[tokio::test]
async fn every_operation_on_items_is_held_to_keys_and_attributes() {
    let node = node().await;
    let mut held = 0;
    for (name, target) in targets() {
        let sample = Sample::of(target);
        let body = &sample.body;
        let with = |condition: String| user(&allow_all(&sample.needs, &condition));
        if let Some(key) = sample.leading {
            let own = with(only("LeadingKeys", &[key, "x"]));
            assert_eq!(node.denial(&own, target, body).await, None, "{name} of its key");
            let other = with(only("LeadingKeys", &["x"]));
            assert!(
                node.denial(&other, target, body).await.is_some(),
                "{name} of another key"
            );
            held += 1;
        }
        if sample.attributes.is_empty() {
            continue;
        }
        let all = with(only("Attributes", sample.attributes));
        assert_eq!(
            node.denial(&all, target, body).await,
            None,
            "{name} of its attributes"
        );
        for left_out in sample.attributes {
            let others: Vec<&str> = sample
                .attributes
                .iter()
                .copied()
                .filter(|name| name != left_out)
                .collect();
            let denial = node
                .denial(&with(only("Attributes", &others)), target, body)
                .await;
            assert!(denial.is_some(), "{name} without {left_out}");
        }
        let named = format!(
            r#"{{"ForAnyValue:StringEquals":{{"dynamodb:Attributes":{:?}}}}}"#,
            sample.attributes
        );
        assert_eq!(
            node.denial(&with(named), target, body).await,
            None,
            "{name}: attributes are told"
        );
        held += 1;
    }
    assert_eq!(held, 25, "operations on items whose keys or attributes are held");
}

#[tokio::test]
async fn every_operation_can_be_denied_and_bounded() {
    let node = node().await;
    for (name, target) in targets() {
        let Sample { body, needs, .. } = Sample::of(target);
        for (action, resource) in &needs {
            let (action, everything) = (full(action), allow("*", "*"));
            let deny =
                format!(r#"{everything},{{"Effect":"Deny","Action":"{action}","Resource":"{resource}"}}"#);
            let denial = node.denial(&user(&deny), target, &body).await.unwrap_or_default();
            assert!(
                denial.ends_with("with an explicit deny in an identity-based policy"),
                "{name}: {action}: {denial}"
            );
            let boundary = format!(r#"{{"Effect":"Allow","NotAction":"{action}","Resource":"*"}}"#);
            let denial = node.denial(&bounded(&everything, &boundary), target, &body).await;
            let expected = format!("because no permissions boundary allows the {action} action");
            assert!(
                denial.is_some_and(|denial| denial.ends_with(&expected)),
                "{name}: {action}"
            );
        }
    }
}
