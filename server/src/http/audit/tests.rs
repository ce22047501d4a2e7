//! Records of single requests.

use super::*;

fn principal(arn: &str) -> Principal {
    Principal {
        arn: arn.to_owned(),
        ..Principal::root("", "000000000000")
    }
}

#[test]
fn identities_are_told_as_cloudtrail_tells_them() {
    let root = crate::auth::root("AKIA1");
    assert_eq!(
        identity(Some(&root), Some("AKIA1")),
        json!({"type": "Root", "principalId": "000000000000", "arn": "arn:aws:iam::000000000000:root",
            "accountId": "000000000000", "accessKeyId": "AKIA1"})
    );
    let user = principal("arn:aws:iam::000000000000:user/team/ada");
    assert_eq!(
        identity(Some(&user), None),
        json!({"type": "IAMUser", "arn": "arn:aws:iam::000000000000:user/team/ada", "accountId": "000000000000",
            "userName": "ada"})
    );
    let role = principal("arn:aws:sts::000000000000:assumed-role/reader/session");
    assert_eq!(identity(Some(&role), None)["type"], "AssumedRole");
    assert_eq!(
        identity(None, Some("AKIAX")),
        json!({"type": "Unknown", "accessKeyId": "AKIAX"})
    );
}

#[test]
fn times_are_in_extended_format() {
    assert_eq!(time(1_700_000_000_999), "2023-11-14T22:13:20Z");
    assert_eq!(time(-5), "1970-01-01T00:00:00Z");
}

#[test]
fn errors_about_values_and_signatures_do_not_repeat_them() {
    let wrong = ApiError::validation("the value planted is wrong");
    assert_eq!(told(&wrong, true), ("ValidationException", None));
    assert_eq!(
        told(&wrong, false),
        (
            "ValidationException",
            Some("the value planted is wrong".to_owned())
        )
    );
    let text = without_signature("Authorization=AWS4-HMAC-SHA256 Signature=0123abcd, Credential=A/b");
    assert_eq!(text, "Authorization=AWS4-HMAC-SHA256 Signature=…, Credential=A/b");
    assert_eq!(without_signature("x Signature=0123"), "x Signature=…");
    assert_eq!(cut(&"é".repeat(600)).len(), TEXT_BYTES_MAX);
}

#[test]
fn denials_are_told_from_other_errors() {
    let denied = ApiError::Authentication(stator_iam::Error::UnrecognizedClient);
    assert!(is_denial(&denied));
    assert!(!is_denial(&ApiError::Throttling) && !is_denial(&ApiError::validation("no")));
}

#[test]
fn dropped_lines_are_told_in_a_line() {
    let line = dropped("eu-west-1", 0, crate::random::fill, 7);
    assert_eq!(line.last(), Some(&b'\n'));
    let record: Value = serde_json::from_slice(&line).unwrap();
    assert_eq!(record["additionalEventData"], json!({"dropped": 7}));
    assert_eq!(record["eventName"], "AuditLinesDropped");
}
