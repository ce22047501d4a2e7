//! What holds for every document: reading ends with a policy or a reason, and never with a panic; a decision likewise.

use proptest::prelude::{Just, Strategy, any, prop, prop_oneof, proptest};
use stator_iam::policy::{
    ContextKeys, DocumentKind, Policy, PrincipalPolicies, Request, Values, Verdict, decide,
};

struct Texts(String);

impl ContextKeys for Texts {
    fn values(&self, key: &str) -> Values<'_> {
        match key.len() % 3 {
            0 => Values::Absent,
            1 => Values::text(self.0.as_str()),
            _ => Values::texts([self.0.as_str(), "x"]),
        }
    }
}

/// Pieces of documents, so that many texts are nearly policies.
fn piece() -> impl Strategy<Value = String> {
    let words = [
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\"Version\":\"2012-10-17\"",
        "\"Statement\"",
        "\"Effect\":\"Allow\"",
        "\"Effect\":\"Deny\"",
        "\"Action\":\"*\"",
        "\"NotAction\":\"s3:*\"",
        "\"Resource\":\"*\"",
        "\"Resource\":\"arn:aws:a:b:c:${aws:username}\"",
        "\"Condition\"",
        "\"StringLike\"",
        "\"ForAllValues:ArnLike\"",
        "\"Null\"",
        "\"a:b\"",
        "\"${a:b,'c'}*\"",
        "true",
        "1.5",
        "null",
        "\"\\u0000\"",
        "\"Principal\":{\"AWS\":\"*\"}",
    ];
    prop_oneof![
        8 => prop::sample::select(words.to_vec()).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ]
}

/// Whole policies with parts of any text.
fn policy() -> impl Strategy<Value = String> {
    let text = prop_oneof![
        "[a-z*?${}:,' ]{0,12}",
        Just("arn:aws:dynamodb:*:*:table/${aws:username}".to_owned()),
        Just("*".to_owned()),
        Just("dynamodb:Get*".to_owned()),
        Just("2026-01-01T00:00:00Z".to_owned()),
    ];
    let operator = prop::sample::select(vec![
        "StringEquals",
        "StringNotLike",
        "ForAnyValue:StringLike",
        "ForAllValues:ArnLike",
        "NumericLessThan",
        "DateGreaterThanIfExists",
        "Bool",
        "BinaryEquals",
        "NotIpAddress",
        "Null",
    ]);
    let effect = prop::sample::select(vec!["Allow", "Deny"]);
    (effect, operator, prop::collection::vec(text, 5)).prop_map(|(effect, operator, texts)| {
        let [action, resource, key, one, two] = &texts[..] else {
            unreachable!("five texts")
        };
        serde_json::json!({
            "Version": "2012-10-17",
            "Statement": {"Effect": effect, "Action": action, "Resource": resource,
                          "Condition": {operator: {format!("x:{key}"): [one, two]}}},
        })
        .to_string()
    })
}

fn judge(document: &str, action: &str, resource: &str, value: String) -> Option<Verdict> {
    let mut user = PrincipalPolicies::user("123456789012", "/", "ann", "AIDAANN");
    let context = Texts(value);
    let request = Request {
        action,
        resource,
        context: &context,
    };
    let policy = Policy::parse(document, DocumentKind::Identity).ok()?;
    let verdict = policy.verdict(&request, &user);
    user.identity.push(policy.into());
    assert_eq!(
        decide(&request, &user, None).is_allowed(),
        verdict == Verdict::Allows
    );
    Some(verdict)
}

proptest! {
    #[test]
    fn no_text_brings_reading_down(text in ".{0,200}") {
        for kind in [DocumentKind::Identity, DocumentKind::Resource, DocumentKind::Trust] {
            drop(Policy::parse(&text, kind));
        }
    }

    #[test]
    fn no_text_of_pieces_brings_reading_down(pieces in prop::collection::vec(piece(), 0..40)) {
        let text = pieces.concat();
        for kind in [DocumentKind::Identity, DocumentKind::Resource, DocumentKind::Trust] {
            if let Err(error) = Policy::parse(&text, kind) {
                assert!(error.position.line >= 1, "{error}");
                assert!(!error.to_string().is_empty());
            }
        }
    }

    #[test]
    fn what_is_read_is_judged(
        document in policy(),
        action in "dynamodb:[A-Za-z]{0,8}",
        resource in "arn:aws:dynamodb:[a-z]{0,3}:1:table/(ann|[a-zé*]{0,6})",
        value in "\\PC{0,12}",
    ) {
        judge(&document, &action, &resource, value);
    }
}

#[test]
fn the_properties_reach_decisions() {
    let document = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:Get*",
        "Resource":"*","Condition":{"ForAnyValue:StringLike":{"x:1":["x","y"]}}}}"#;
    let verdict = judge(document, "dynamodb:GetItem", "*", "z".to_owned());
    assert_eq!(verdict, Some(Verdict::Silent));
    let verdict = judge(document, "dynamodb:GetItem", "*", "y".to_owned());
    assert_eq!(verdict, Some(Verdict::Silent));
}
