//! Trust policies: whom they mean is settled when they are stored.
//!
//! Source: IAM User Guide, "AWS JSON policy elements: Principal", on user and role principals.

use stator_iam::directory::{DirectoryError, Edit, ErrorCode, Kind, NewRole};
use stator_iam::policy::{
    ContextKeys, DocumentKind, Policy, PrincipalPolicies, Request, Values, decide_trust,
};

use crate::world::World;

struct NoContext;

impl ContextKeys for NoContext {
    fn values(&self, _: &str) -> Values<'_> {
        Values::Absent
    }
}

fn trust(principal: &str) -> String {
    format!(
        "{{\"Version\": \"2012-10-17\",\n \"Statement\": {{\"Effect\": \"Allow\", \"Principal\": {{\"AWS\": {principal}}}, \
         \"Action\": \"sts:AssumeRole\"}}}}"
    )
}

fn arn(resource: &str) -> String {
    format!("\"arn:aws:iam::000000000000:{resource}\"")
}

/// What is told of the role's trust policy.
fn shown(world: &World) -> String {
    let role = world.directory.role("writer").unwrap();
    world.directory.trust_policy(role).into_owned()
}

fn update(world: &World, document: &str) -> Result<Vec<Edit>, DirectoryError> {
    world.plan(|changes| changes.update_trust("writer", document))
}

fn trusts(world: &World, principal: &PrincipalPolicies) -> bool {
    let role = world.directory.role("writer").unwrap();
    let policy = Policy::parse(&role.trust_policy, DocumentKind::Trust).unwrap();
    let request = Request {
        action: "sts:AssumeRole",
        resource: "arn:aws:iam::000000000000:role/writer",
        context: &NoContext,
    };
    decide_trust(&request, principal, &policy).is_allowed()
}

fn user(world: &World, name: &str) -> PrincipalPolicies {
    let id = &world.directory.user(name).unwrap().id;
    world.directory.policies_of_id(id).unwrap().as_ref().clone()
}

/// A session of a role.
fn session(world: &World, name: &str) -> PrincipalPolicies {
    let id = &world.directory.role(name).unwrap().id;
    let mut own = world.directory.policies_of_id(id).unwrap().as_ref().clone();
    own.arn = format!("arn:aws:sts::000000000000:assumed-role/{name}/s");
    own.user_id = format!("{id}:s");
    own
}

/// Users ann and bea, a role reader, and a role writer that trusts whom `principal` names.
fn world(principal: &str) -> World {
    let mut world = World::new();
    world.user("ann");
    world.user("bea");
    world.role("reader");
    let (random, new) = (
        world.random(),
        NewRole {
            name: "writer".to_owned(),
            path: "/".to_owned(),
            trust_policy: trust(principal),
            ..NewRole::default()
        },
    );
    world.change(|changes| changes.create_role(&new, &random));
    world
}

#[test]
fn a_user_made_anew_is_not_the_one_who_is_trusted() {
    let mut world = world(&arn("user/ann"));
    assert_eq!(shown(&world), trust(&arn("user/ann")));
    assert!(trusts(&world, &user(&world, "ann")) && !trusts(&world, &user(&world, "bea")));
    let id = world.directory.user("ann").unwrap().id.clone();
    world.change(|changes| changes.delete(Kind::User, "ann"));
    assert_eq!(shown(&world), trust(&format!("\"{id}\"")));
    world.user("ann");
    assert!(!trusts(&world, &user(&world, "ann")));
    assert_eq!(shown(&world), trust(&format!("\"{id}\"")));
    // The id of nobody is no principal; the ARN means the new one from now on.
    let refused = update(&world, &shown(&world)).unwrap_err();
    assert_eq!(refused.code, ErrorCode::MalformedPolicyDocument);
    let sentence = format!("Invalid principal in policy: \"AWS\":\"{id}\"");
    assert!(refused.message.starts_with(&sentence), "{}", refused.message);
    let edits = update(&world, &trust(&arn("user/ann"))).unwrap();
    world.install(edits);
    assert!(trusts(&world, &user(&world, "ann")));
    assert_eq!(shown(&world), trust(&arn("user/ann")));
}

#[test]
fn a_role_made_anew_is_not_the_one_that_is_trusted() {
    let mut world = world(&format!(
        "[{}, \"arn:aws:sts::000000000000:assumed-role/reader/t\"]",
        arn("role/reader")
    ));
    assert!(trusts(&world, &session(&world, "reader")));
    let before = shown(&world);
    assert!(before.contains("role/reader\""), "{before}");
    let id = world.directory.role("reader").unwrap().id.clone();
    world.change(|changes| changes.delete(Kind::Role, "reader"));
    world.role("reader");
    assert!(!trusts(&world, &session(&world, "reader")));
    assert_eq!(
        shown(&world),
        before.replace("arn:aws:iam::000000000000:role/reader", &id)
    );
    // A session is named by its name.
    let mut named = session(&world, "reader");
    named.arn = "arn:aws:sts::000000000000:assumed-role/reader/t".to_owned();
    assert!(trusts(&world, &named));
}

#[test]
fn who_is_renamed_is_trusted_under_the_new_name() {
    let mut world = world(&arn("user/ann"));
    world.change(|changes| changes.rename(Kind::User, "ann", Some("eve"), Some("/team/")));
    assert!(trusts(&world, &user(&world, "eve")));
    assert_eq!(shown(&world), trust(&arn("user/team/eve")));
    // Whoever takes the name that has become free is somebody else.
    world.user("ann");
    assert!(!trusts(&world, &user(&world, "ann")));
}

#[test]
fn a_deny_and_an_exception_follow_the_id_as_well() {
    let mut world = world(&arn("user/ann"));
    let document = format!(
        "{{\"Version\":\"2012-10-17\",\"Statement\":[{{\"Effect\":\"Allow\",\"Principal\":\"*\",\"Action\":\"sts:AssumeRole\"}},\
         {{\"Effect\":\"Deny\",\"NotPrincipal\":{{\"AWS\":[{},\"000000000000\"]}},\"Action\":\"sts:AssumeRole\"}}]}}",
        arn("user/ann")
    );
    let edits = update(&world, &document).unwrap();
    world.install(edits);
    assert!(trusts(&world, &user(&world, "ann")) && !trusts(&world, &user(&world, "bea")));
    assert_eq!(shown(&world), document);
    world.change(|changes| changes.delete(Kind::User, "ann"));
    world.user("ann");
    assert!(!trusts(&world, &user(&world, "ann")));
}

#[test]
fn who_is_not_there_is_refused_and_others_stay_as_they_are_named() {
    let world = world("\"*\"");
    for principal in [
        arn("user/nobody"),
        arn("user/team/ann"),
        arn("user/ANN"),
        arn("role/ann"),
        arn("user/reader"),
        "\"arn:aws:iam::111111111111:user/ann\"".to_owned(),
        "\"AIDAAAAAAAAAAAAAAAAAA\"".to_owned(),
    ] {
        let refused = update(&world, &trust(&principal)).unwrap_err();
        assert_eq!(refused.code, ErrorCode::MalformedPolicyDocument, "{principal}");
        let sentence = format!("Invalid principal in policy: \"AWS\":{principal}");
        assert!(refused.message.starts_with(&sentence), "{}", refused.message);
    }
    for principal in [
        "\"*\"",
        "\"000000000000\"",
        "\"arn:aws:iam::000000000000:root\"",
        "\"arn:aws:sts::000000000000:assumed-role/none/s\"",
    ] {
        let mut edits = update(&world, &trust(principal)).unwrap();
        let bytes = edits.pop().unwrap().record.unwrap().to_bytes();
        let stored = trust(principal);
        assert!(
            bytes.windows(stored.len()).any(|part| part == stored.as_bytes()),
            "{principal}"
        );
    }
    // Whoever knows the id may give it.
    let id = format!("\"{}\"", world.directory.user("ann").unwrap().id);
    assert!(update(&world, &trust(&id)).is_ok());
    // Nobody acts as a group.
    let id = world.directory.role("reader").unwrap().id.replace("AROA", "AGPA");
    assert!(update(&world, &trust(&format!("\"{id}\""))).is_err());
}
