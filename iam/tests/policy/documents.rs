//! Documents that are refused, with the place and the reason, and some that look odd and are not.

use stator_iam::policy::{DocumentKind, Policy};

/// `line, column: sentence`, or `accepted`.
fn outcome(text: &str, kind: DocumentKind) -> String {
    match Policy::parse(text, kind) {
        Ok(_) => "accepted".to_owned(),
        Err(error) => format!(
            "{},{}: {}",
            error.position.line, error.position.column, error.problem
        ),
    }
}

fn identity(text: &str) -> String {
    outcome(text, DocumentKind::Identity)
}

/// A statement of an identity policy, from line 2 on.
fn statement(text: &str) -> String {
    identity(&format!("{{\"Version\":\"2012-10-17\",\"Statement\":\n{text}}}"))
}

#[test]
fn what_is_not_json_is_refused_where_it_stops_being_json() {
    for text in [
        "",
        "{",
        "[1,]",
        "{\"Statement\":[}",
        "{\"a\":1}x",
        "nul",
        "{\"Version\":\"2012-10-17\"",
    ] {
        let outcome = identity(text);
        assert!(
            outcome.contains("The policy is not in the valid JSON format"),
            "{text}: {outcome}"
        );
    }
    let outcome = identity("{\"Version\":\"2012-10-17\",\n\"Statement\": @}");
    assert!(outcome.starts_with("2,14: "), "{outcome}");
    let outcome = identity("{\"Id\":\"a\",\n\"Id\":\"b\"}");
    assert_eq!(
        outcome,
        "2,6: The policy is not in the valid JSON format: duplicate member \"Id\"."
    );
}

#[test]
fn the_grammar_is_held() {
    let syntax = |what: &str| format!("Syntax errors in policy: {what}.");
    for (text, place, what) in [
        ("[]", "1,1", "a policy must be an object"),
        ("{}", "1,1", "Statement is missing"),
        ("{\"Statement\":[]}", "1,14", "Statement is empty"),
        ("{\"Statement\":[1]}", "1,15", "a statement must be an object"),
        ("{\"statement\":[]}", "1,14", "unknown element statement"),
        ("{\"Version\":1}", "1,12", "Version must be a string"),
    ] {
        assert_eq!(identity(text), format!("{place}: {}", syntax(what)), "{text}");
    }
    for (text, place, what) in [
        (
            "{\"Action\":\"*\",\"Resource\":\"*\"}",
            "2,1",
            "Effect is missing",
        ),
        (
            "{\"Effect\":\"allow\"}",
            "2,11",
            "Effect allow is neither Allow nor Deny",
        ),
        (
            "{\"Effect\":\"Allow\",\"Actions\":\"*\"}",
            "2,29",
            "unknown element Actions",
        ),
        (
            "{\"Effect\":\"Allow\",\"Action\":\"*\",\"NotAction\":\"a:b\"}",
            "2,44",
            "Action and NotAction exclude each other",
        ),
        (
            "{\"Effect\":\"Allow\",\"Action\":[1]}",
            "2,29",
            "Action must be a string",
        ),
        (
            "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":[]}",
            "2,59",
            "Condition must be an object",
        ),
        (
            "{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":{\"Bool\":{\"a:b\":null}}}",
            "2,74",
            "a value of a condition must be a string, a number or a boolean",
        ),
    ] {
        assert_eq!(statement(text), format!("{place}: {}", syntax(what)), "{text}");
    }
}

#[test]
fn nesting_has_an_end() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    assert!(identity(&deep).ends_with("Syntax errors in policy: nested too deeply."));
}

#[test]
fn elements_have_their_rules() {
    let of = |sid: &str, action: &str, resource: &str| {
        statement(&format!(
            "{{\"Sid\":{sid},\"Effect\":\"Allow\",\n\"Action\":{action},\n\"Resource\":{resource}}}"
        ))
    };
    for (sid, action, resource, expected) in [
        (
            "\"a-b\"",
            "\"*\"",
            "\"*\"",
            "2,8: Statement IDs (SID) must be alpha-numeric. Check that your input satisfies the regular expression [0-9A-Za-z]*",
        ),
        (
            "\"\"",
            "[]",
            "\"*\"",
            "3,10: Policy statement must contain actions.",
        ),
        (
            "\"\"",
            "\"GetItem\"",
            "\"*\"",
            "3,10: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            "\"\"",
            "\":GetItem\"",
            "\"*\"",
            "3,10: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            "\"\"",
            "[\"*\",\"dyn*:GetItem\"]",
            "\"*\"",
            "3,15: Vendor dyn* is not valid",
        ),
        (
            "\"\"",
            "\"dynamodb:\"",
            "\"*\"",
            "3,10: Action dynamodb: is not valid",
        ),
        (
            "\"\"",
            "\"dynamodb:Get Item\"",
            "\"*\"",
            "3,10: Action dynamodb:Get Item is not valid",
        ),
        (
            "\"\"",
            "\"*\"",
            "[]",
            "4,12: Policy statement must contain resources.",
        ),
        (
            "\"\"",
            "\"*\"",
            "\"Music\"",
            "4,12: Resource Music must be in ARN format or \"*\".",
        ),
        (
            "\"\"",
            "\"*\"",
            "\"arn:aws:dynamodb\"",
            "4,12: Resource arn:aws:dynamodb must be in ARN format or \"*\".",
        ),
        (
            "\"\"",
            "\"*\"",
            "\"arn:aws:dynamodb:::\"",
            "4,12: Resource arn:aws:dynamodb::: must be in ARN format or \"*\".",
        ),
        (
            "\"\"",
            "\"*\"",
            "[\"*\",\"arn:wsa:s3:::b\"]",
            "4,17: Partition \"wsa\" is not valid for resource \"arn:wsa:s3:::b\".",
        ),
        (
            "\"\"",
            "\"*\"",
            "\"arn:aws:s3:::${aws:x\"",
            "4,12: The policy variable in arn:aws:s3:::${aws:x is not valid.",
        ),
        ("\"a1\"", "\"*\"", "\"arn:aws-cn:s3:::b\"", "accepted"),
        ("\"\"", "\"s3-x:*\"", "\"arn:*\"", "accepted"),
    ] {
        assert_eq!(of(sid, action, resource), expected);
    }
    let nothing = statement("{\"Effect\":\"Allow\"}");
    assert_eq!(nothing, "2,1: Policy statement must contain actions.");
    let nowhere = statement("{\"Effect\":\"Allow\",\"Action\":\"*\"}");
    assert_eq!(nowhere, "2,1: Policy statement must contain resources.");
    let version = identity("{\"Version\":\"2012-10-18\"}");
    assert_eq!(
        version,
        "1,12: Policy document must be version 2012-10-17 or greater."
    );
    let twice = "{\"Sid\":\"a\",\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}";
    let twice = statement(&format!("[{twice},\n{twice}]"));
    assert_eq!(
        twice,
        "3,1: Statement IDs (SID) in a single policy must be unique."
    );
}

#[test]
fn conditions_are_read_when_the_policy_is() {
    let of = |condition: &str| {
        statement(&format!(
            "{{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\"Condition\":\n{condition}}}"
        ))
    };
    for (condition, expected) in [
        (
            "{\"StringEqual\":{\"a:b\":\"\"}}",
            "3,23: Invalid Condition type : StringEqual.",
        ),
        (
            "{\"StringEquals\":{\"b\":\"\"}}",
            "3,22: Actions/Conditions must be prefaced by a vendor, e.g., iam, sdb, ec2, etc.",
        ),
        (
            "{\"NumericEquals\":{\"a:b\":[\"1\",\"x\"]}}",
            "3,30: Value x is not valid for the condition operator NumericEquals.",
        ),
        (
            "{\"DateLessThan\":{\"a:b\":\"tomorrow\"}}",
            "3,24: Value tomorrow is not valid for the condition operator DateLessThan.",
        ),
        (
            "{\"Bool\":{\"a:b\":\"yes\"}}",
            "3,16: Value yes is not valid for the condition operator Bool.",
        ),
        (
            "{\"BinaryEquals\":{\"a:b\":\"%\"}}",
            "3,24: Value % is not valid for the condition operator BinaryEquals.",
        ),
        (
            "{\"IpAddress\":{\"a:b\":\"1.2.3.4/33\"}}",
            "3,21: Value 1.2.3.4/33 is not valid for the condition operator IpAddress.",
        ),
        (
            "{\"Null\":{\"a:b\":\"1\"}}",
            "3,16: Value 1 is not valid for the condition operator Null.",
        ),
        (
            "{\"NullIfExists\":{\"a:b\":\"true\"}}",
            "3,24: Invalid Condition type : NullIfExists.",
        ),
        (
            "{\"StringLike\":{\"a:b\":\"${}\"}}",
            "3,22: The policy variable in ${} is not valid.",
        ),
        (
            "{\"ArnLike\":{\"a:b\":\"${\"}}",
            "3,19: The policy variable in ${ is not valid.",
        ),
        ("{}", "accepted"),
        ("{\"Bool\":{}}", "accepted"),
        ("{\"StringEquals\":{\"a:b\":[]}}", "accepted"),
        (
            "{\"Bool\":{\"a:b\":true},\"NumericLessThan\":{\"a:b\":-1.5}}",
            "accepted",
        ),
    ] {
        assert_eq!(of(condition), expected, "{condition}");
    }
}

#[test]
fn kinds_have_their_own_elements() {
    let with = |principal: &str, kind| {
        outcome(
            &format!(
                "{{\"Statement\":{{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\",\n\"Principal\":{principal}}}}}"
            ),
            kind,
        )
    };
    let resource = |principal: &str| with(principal, DocumentKind::Resource);
    assert_eq!(
        with("\"*\"", DocumentKind::Identity),
        "2,13: Policy document should not specify a principal."
    );
    assert_eq!(
        with("\"*\"", DocumentKind::Trust),
        "1,56: Has prohibited field Resource"
    );
    let nobody = "{\"Statement\":{\"Effect\":\"Allow\",\"Action\":\"*\",\"Resource\":\"*\"}}";
    assert_eq!(
        outcome(nobody, DocumentKind::Resource),
        "1,14: Policy statement must contain a principal."
    );
    for good in [
        "\"*\"",
        "{\"AWS\":\"*\"}",
        "{\"AWS\":[\"123456789012\",\"arn:aws:iam::123456789012:root\"]}",
        "{\"AWS\":\"arn:aws:iam::123456789012:user/a/b\",\"Service\":\"x.amazonaws.com\"}",
        "{\"AWS\":\"arn:aws:sts::123456789012:assumed-role/r/s\"}",
        "{\"Federated\":\"cognito-identity.amazonaws.com\"}",
    ] {
        assert_eq!(resource(good), "accepted", "{good}");
    }
    for (bad, value) in [
        ("{\"AWS\":\"ann\"}", "\"AWS\":\"ann\""),
        ("{\"AWS\":\"12345678901\"}", "\"AWS\":\"12345678901\""),
        (
            "{\"AWS\":\"arn:aws:iam::123456789012:user/*\"}",
            "\"AWS\":\"arn:aws:iam::123456789012:user/*\"",
        ),
        (
            "{\"AWS\":\"arn:aws:iam::123456789012:group/g\"}",
            "\"AWS\":\"arn:aws:iam::123456789012:group/g\"",
        ),
        (
            "{\"AWS\":\"arn:aws:iam::123456789012:user/\"}",
            "\"AWS\":\"arn:aws:iam::123456789012:user/\"",
        ),
        ("{\"aws\":\"*\"}", "\"aws\":\"*\""),
    ] {
        let expected = format!("Invalid principal in policy: {value}");
        assert!(resource(bad).ends_with(&expected), "{bad}: {}", resource(bad));
    }
    for bad in ["\"ann\"", "{}", "[]"] {
        assert!(
            resource(bad).ends_with("Principal must be \"*\" or an object."),
            "{bad}"
        );
    }
}
