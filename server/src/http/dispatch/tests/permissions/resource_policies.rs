//! Policies of tables and streams: what they permit and deny, and how they are put, told and removed.

use super::*;

/// A statement about GetItem on the table for the user `ann`.
fn for_ann(effect: &str, action: &str, resource: &str) -> String {
    format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"{effect}","Principal":{{"AWS":"arn:aws:iam::000000000000:user/ann"}},"Action":"{action}","Resource":"{resource}"}}}}"#
    )
}

/// The body of a request about the policy of a resource.
fn about(resource: &str, members: &str) -> String {
    format!(r#"{{"ResourceArn":"{resource}"{members}}}"#)
}

fn with_policy(resource: &str, policy: &str, members: &str) -> String {
    let policy = policy.replace('"', "\\\"");
    about(resource, &format!(r#","Policy":"{policy}"{members}"#))
}

/// The revision in an answer.
fn revision(answer: &str) -> String {
    let (_, rest) = answer.split_once(r#""RevisionId":""#).unwrap();
    rest.split_once('"').unwrap().0.to_owned()
}

const GET: &str = r#"{"TableName":"Tab","Key":{"pk":{"S":"k"}}}"#;

#[tokio::test]
async fn a_policy_permits_and_denies_until_it_is_removed() {
    let node = node().await;
    let nobody = user("");
    assert!(node.denial(&nobody, Target::GetItem, GET).await.is_some());
    let allow_ann = with_policy(TABLE, &for_ann("Allow", "dynamodb:GetItem", TABLE), "");
    node.ask(Target::PutResourcePolicy, &allow_ann, &[])
        .await
        .unwrap();
    assert_eq!(node.denial(&nobody, Target::GetItem, GET).await, None);
    let scan = r#"{"TableName":"Tab"}"#;
    assert!(node.denial(&nobody, Target::Scan, scan).await.is_some());
    let deny_ann = with_policy(TABLE, &for_ann("Deny", "dynamodb:GetItem", TABLE), "");
    node.ask(Target::PutResourcePolicy, &deny_ann, &[]).await.unwrap();
    let everything = user(&allow("*", "*"));
    let denial = node.denial(&everything, Target::GetItem, GET).await.unwrap();
    assert!(
        denial.ends_with("with an explicit deny in a resource-based policy"),
        "{denial}"
    );
    assert_eq!(node.denial(&everything, Target::Scan, scan).await, None);
    node.ask(Target::GetItem, GET, &[]).await.unwrap();
    node.ask(Target::DeleteResourcePolicy, &about(TABLE, ""), &[])
        .await
        .unwrap();
    assert_eq!(node.denial(&everything, Target::GetItem, GET).await, None);
    assert!(node.denial(&nobody, Target::GetItem, GET).await.is_some());
}

#[tokio::test]
async fn revisions_change_with_the_document_and_can_be_expected() {
    let node = node().await;
    let put = |policy: String, members: &str| with_policy(TABLE, &policy, members);
    let one = for_ann("Allow", "dynamodb:GetItem", TABLE);
    let two = for_ann("Allow", "dynamodb:PutItem", TABLE);
    let not_found = |answer: Result<String, ApiError>| matches!(answer, Err(ApiError::PolicyNotFound(_)));
    let ask = |target, body: String| {
        let node = &node;
        async move { node.ask(target, &body, &[]).await }
    };
    assert!(not_found(ask(Target::GetResourcePolicy, about(TABLE, "")).await));
    assert_eq!(
        ask(Target::DeleteResourcePolicy, about(TABLE, "")).await.unwrap(),
        "{}"
    );
    let expects = r#","ExpectedRevisionId":"1""#;
    assert!(not_found(
        ask(Target::DeleteResourcePolicy, about(TABLE, expects)).await
    ));
    assert!(not_found(
        ask(Target::PutResourcePolicy, put(one.clone(), expects)).await
    ));
    let none = r#","ExpectedRevisionId":"NO_POLICY""#;
    let first = revision(
        &ask(Target::PutResourcePolicy, put(one.clone(), none))
            .await
            .unwrap(),
    );
    assert!(not_found(
        ask(Target::PutResourcePolicy, put(two.clone(), none)).await
    ));
    let again = ask(Target::PutResourcePolicy, put(one.clone(), ""))
        .await
        .unwrap();
    assert_eq!(revision(&again), first, "the same document is the same revision");
    let told = ask(Target::GetResourcePolicy, about(TABLE, "")).await.unwrap();
    assert_eq!(
        told,
        format!(
            r#"{{"Policy":"{}","RevisionId":"{first}"}}"#,
            one.replace('"', "\\\"")
        )
    );
    let expects = format!(r#","ExpectedRevisionId":"{first}""#);
    let second = revision(&ask(Target::PutResourcePolicy, put(two, &expects)).await.unwrap());
    assert_ne!(first, second);
    assert!(not_found(
        ask(Target::DeleteResourcePolicy, about(TABLE, &expects)).await
    ));
    let expects = format!(r#","ExpectedRevisionId":"{second}""#);
    let removed = ask(Target::DeleteResourcePolicy, about(TABLE, &expects))
        .await
        .unwrap();
    assert_eq!(revision(&removed), second);
}

#[tokio::test]
async fn a_stream_has_a_policy_of_its_own() {
    let node = node().await;
    let listed = node.ask(Target::ListStreams, "{}", &[]).await.unwrap();
    let (_, rest) = listed.split_once(r#""StreamArn":""#).unwrap();
    let stream = rest.split_once('"').unwrap().0;
    let body = format!(r#"{{"StreamArn":"{stream}"}}"#);
    let nobody = user("");
    let of_table = with_policy(TABLE, &for_ann("Allow", "dynamodb:*", stream), "");
    node.ask(Target::PutResourcePolicy, &of_table, &[]).await.unwrap();
    assert!(
        node.denial(&nobody, Target::DescribeStream, &body)
            .await
            .is_some()
    );
    let of_stream = with_policy(stream, &for_ann("Allow", "dynamodb:DescribeStream", stream), "");
    node.ask(Target::PutResourcePolicy, &of_stream, &[])
        .await
        .unwrap();
    assert_eq!(node.denial(&nobody, Target::DescribeStream, &body).await, None);
    let other = format!("{TABLE}/stream/2020-01-01T00:00:00.000");
    let missing = node.ask(Target::GetResourcePolicy, &about(&other, ""), &[]).await;
    let sentence = "Requested resource not found: Stream: 2020-01-01T00:00:00.000 not found for Table: Tab";
    assert_eq!(missing, Err(ApiError::ResourceNotFound(sentence.to_owned())));
}

#[tokio::test]
async fn nobody_locks_himself_out_unless_he_says_so() {
    let node = node().await;
    let everything = user(&allow("*", "*"));
    let deny = for_ann("Deny", "dynamodb:PutResourcePolicy", TABLE);
    let refused = node
        .ask_as(
            &everything,
            Target::PutResourcePolicy,
            &with_policy(TABLE, &deny, ""),
        )
        .await;
    assert_eq!(refused, Err(ApiError::validation(message::policy::LOCKS_OUT)));
    let confirmed = with_policy(TABLE, &deny, r#","ConfirmRemoveSelfResourceAccess":true"#);
    node.ask_as(&everything, Target::PutResourcePolicy, &confirmed)
        .await
        .unwrap();
    assert!(
        node.denial(&everything, Target::PutResourcePolicy, &confirmed)
            .await
            .is_some()
    );
    // Root is never locked out.
    node.ask(Target::PutResourcePolicy, &confirmed, &[])
        .await
        .unwrap();
}

#[tokio::test]
async fn a_table_can_have_a_policy_from_the_beginning() {
    let policy = for_ann("Allow", "dynamodb:Scan", TABLE).replace('"', "\\\"");
    let body = CREATE.replacen('{', &format!(r#"{{"ResourcePolicy":"{policy}","#), 1);
    let node = Node::start_with(Limits::default(), &body).await;
    let scan = r#"{"TableName":"Tab"}"#;
    assert_eq!(node.denial(&user(""), Target::Scan, scan).await, None);
    let told = node
        .ask(Target::GetResourcePolicy, &about(TABLE, ""), &[])
        .await
        .unwrap();
    assert!(told.starts_with(&format!(r#"{{"Policy":"{policy}""#)), "{told}");
}
