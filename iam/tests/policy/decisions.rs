//! Decisions one by one, each with its reason and the page that it follows from: `decisions.json`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value as Json;
use stator_iam::policy::{
    ContextKeys, Decision, DocumentKind, Policy, PolicyType, PrincipalPolicies, Request, Value, Values,
    decide, decide_trust,
};

const ACCOUNT: &str = "123456789012";

/// Decisions that share their policies.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Group {
    page: String,
    /// `root`, `user` or `role`.
    principal: String,
    #[serde(default)]
    identity: Vec<Json>,
    boundary: Option<Json>,
    session: Option<Vec<Json>>,
    resource: Option<Json>,
    trust: Option<Json>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    why: String,
    action: String,
    resource: String,
    #[serde(default)]
    context: HashMap<String, Json>,
    /// `allow`, or `explicit` or `implicit` and the type of the policy.
    expect: String,
}

/// What a row has for keys, whose names come in any case.
struct Context(HashMap<String, Json>);

impl ContextKeys for Context {
    fn values(&self, key: &str) -> Values<'_> {
        match self.0.get(key) {
            None => Values::Absent,
            Some(Json::Array(values)) => Values::Many(values.iter().map(value).collect()),
            Some(one) => Values::One(value(one)),
        }
    }
}

fn value(json: &Json) -> Value<'_> {
    match json {
        Json::Bool(flag) => Value::Bool(*flag),
        Json::String(text) => Value::Text(Cow::Borrowed(text)),
        other => panic!("{other} is no value of a key"),
    }
}

fn policy(json: &Json, kind: DocumentKind) -> Arc<Policy> {
    let text = json.to_string();
    Arc::new(Policy::parse(&text, kind).unwrap_or_else(|error| panic!("{error}: {text}")))
}

fn principal(group: &Group) -> PrincipalPolicies {
    let role = format!("arn:aws:iam::{ACCOUNT}:role/app/Reader");
    let mut principal = match group.principal.as_str() {
        "root" => PrincipalPolicies::root(ACCOUNT),
        "user" => PrincipalPolicies::user(ACCOUNT, "/team/", "ann", "AIDAANN"),
        "role" => PrincipalPolicies::role_session(ACCOUNT, &role, "AROAREADER", "s1"),
        other => panic!("{other} is no principal"),
    };
    let identity = |json| policy(json, DocumentKind::Identity);
    principal.tags.push(("Team".to_owned(), "red".to_owned()));
    principal.identity = group.identity.iter().map(identity).collect();
    principal.boundary = group.boundary.as_ref().map(identity);
    let session = group.session.as_ref();
    principal.session = session.map(|policies| policies.iter().map(identity).collect());
    principal
}

fn spelled(decision: Decision) -> String {
    match decision {
        Decision::Allowed => "allow".to_owned(),
        Decision::Denied(denial) => {
            let how = if denial.explicit { "explicit" } else { "implicit" };
            let by = match denial.by {
                PolicyType::Identity => "identity",
                PolicyType::Resource => "resource",
                PolicyType::Boundary => "boundary",
                PolicyType::Session => "session",
            };
            format!("{how} {by}")
        }
    }
}

#[test]
fn every_decision_is_the_documented_one() {
    let groups: Vec<Group> = serde_json::from_str(include_str!("decisions.json")).unwrap();
    let (mut count, mut wrong) = (0, Vec::new());
    for group in groups {
        let principal = principal(&group);
        let resource = group
            .resource
            .as_ref()
            .map(|json| policy(json, DocumentKind::Resource));
        let trust = group.trust.as_ref().map(|json| policy(json, DocumentKind::Trust));
        for case in group.cases {
            let keys = case.context.into_iter();
            let context = Context(keys.map(|(key, value)| (key.to_lowercase(), value)).collect());
            let request = Request {
                action: &case.action,
                resource: &case.resource,
                context: &context,
            };
            let decision = match &trust {
                Some(trust) => decide_trust(&request, &principal, trust),
                None => decide(&request, &principal, resource.as_deref()),
            };
            count += 1;
            if spelled(decision) != case.expect {
                wrong.push(format!(
                    "{}: {}: expected {}, got {}",
                    group.page,
                    case.why,
                    case.expect,
                    spelled(decision)
                ));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "{} of {count}:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(count >= 250, "only {count} decisions are left");
}

#[test]
fn a_denial_says_what_aws_says() {
    let table = "arn:aws:dynamodb:eu-west-1:123456789012:table/Music";
    let context = Context(HashMap::new());
    let request = Request {
        action: "dynamodb:GetItem",
        resource: table,
        context: &context,
    };
    let allow = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*"}}"#;
    let deny = r#"{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*"}}"#;
    let other = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"s3:*","Resource":"*"}}"#;
    let read = |text| Arc::new(Policy::parse(text, DocumentKind::Identity).unwrap());
    let user = PrincipalPolicies::user(ACCOUNT, "/", "ann", "AIDAANN");
    let sentence = |principal: &PrincipalPolicies, resource: Option<&Policy>| {
        let Decision::Denied(denial) = decide(&request, principal, resource) else {
            panic!("allowed");
        };
        let sentence = denial.sentence(principal, request.action, request.resource);
        let start = format!(
            "User: arn:aws:iam::{ACCOUNT}:user/ann is not authorized to perform: dynamodb:GetItem on resource: {table} "
        );
        sentence.strip_prefix(&start).unwrap().to_owned()
    };
    assert_eq!(
        sentence(&user, None),
        "because no identity-based policy allows the dynamodb:GetItem action"
    );
    let with = |change: &dyn Fn(&mut PrincipalPolicies)| {
        let mut user = user.clone();
        user.identity.push(read(allow));
        change(&mut user);
        sentence(&user, None)
    };
    assert_eq!(
        with(&|user| user.identity.push(read(deny))),
        "with an explicit deny in an identity-based policy"
    );
    assert_eq!(
        with(&|user| user.boundary = Some(read(other))),
        "because no permissions boundary allows the dynamodb:GetItem action"
    );
    assert_eq!(
        with(&|user| user.boundary = Some(read(deny))),
        "with an explicit deny in a permissions boundary"
    );
    assert_eq!(
        with(&|user| user.session = Some(vec![read(other)])),
        "because no session policy allows the dynamodb:GetItem action"
    );
    assert_eq!(
        with(&|user| user.session = Some(Vec::new())),
        "because no session policy allows the dynamodb:GetItem action"
    );
    assert_eq!(
        with(&|user| user.session = Some(vec![read(deny)])),
        "with an explicit deny in a session policy"
    );
    let resource = r#"{"Statement":{"Effect":"Deny","Principal":"*","Action":"*","Resource":"*"}}"#;
    let resource = Policy::parse(resource, DocumentKind::Resource).unwrap();
    assert_eq!(
        sentence(&user, Some(&resource)),
        "with an explicit deny in a resource-based policy"
    );
}

#[test]
fn statements_that_match_are_told_with_their_place() {
    let text = "{\"Statement\": [\n  {\"Sid\": \"one\", \"Effect\": \"Allow\", \"Action\": \"dynamodb:*\", \"Resource\": \"*\"},\n  \
                {\"Effect\": \"Deny\", \"Action\": \"s3:*\", \"Resource\": \"*\"},\n  \
                {\"Sid\": \"three\", \"Effect\": \"Deny\", \"NotAction\": \"s3:*\", \"Resource\": \"*\"}]}";
    let policy = Policy::parse(text, DocumentKind::Identity).unwrap();
    let context = Context(HashMap::new());
    let request = Request {
        action: "dynamodb:GetItem",
        resource: "*",
        context: &context,
    };
    let user = PrincipalPolicies::user(ACCOUNT, "/", "ann", "AIDAANN");
    let found: Vec<_> = policy
        .matching(&request, &user)
        .map(|statement| {
            let (begin, end) = statement.place();
            (statement.sid(), begin.line, begin.column, end.line)
        })
        .collect();
    assert_eq!(found, [(Some("one"), 2, 3, 2), (Some("three"), 4, 3, 4)]);
}

#[test]
fn keys_that_are_asked_for_are_listed() {
    let text = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*",
        "Resource":"arn:aws:dynamodb:*:*:table/${aws:username}",
        "Condition":{"StringEquals":{"dynamodb:LeadingKeys":"${aws:PrincipalTag/Team}"},
        "ArnLike":{"aws:SourceArn":"arn:aws:a:b:${aws:userid}:d"},"Bool":{"aws:SecureTransport":"true"}}}}"#;
    let policy = Policy::parse(text, DocumentKind::Identity).unwrap();
    assert_eq!(
        policy.context_keys(),
        [
            "aws:principaltag/team",
            "aws:securetransport",
            "aws:sourcearn",
            "aws:userid",
            "aws:username",
            "dynamodb:leadingkeys"
        ]
    );
}
