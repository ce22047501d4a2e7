//! What counts for whom: the policies that a principal has, and what becomes of them when something goes.

use std::sync::Arc;

use crate::world::{ACCOUNT, ALLOW_ALL, ALLOW_GET, World};
use stator_iam::directory::{Kind, token};
use stator_iam::policy::{ContextKeys, Request, Values, decide};
use stator_iam::{Identity, Principal, SecretKey, Session};

struct NoContext;

impl ContextKeys for NoContext {
    fn values(&self, _: &str) -> Values<'_> {
        Values::Absent
    }
}

/// Whether a policy of the principal is about it under a condition.
fn holds(world: &mut World, principal: &Principal, condition: &str) -> bool {
    let document = format!(
        r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{condition}}}}}"#
    );
    world.change(|changes| changes.put_inline(Kind::Role, "R", "p", &document));
    allows(world, principal, GET)
}

fn allows(world: &World, principal: &Principal, action: &str) -> bool {
    let Some(policies) = world.directory.policies(principal) else {
        return false;
    };
    let request = Request {
        action,
        resource: "arn:aws:dynamodb:us-east-1:000000000000:table/T",
        context: &NoContext,
    };
    decide(&request, &policies, None).is_allowed()
}

fn user(world: &World, name: &str) -> Principal {
    let user = world.directory.user(name).unwrap();
    world
        .directory
        .principal(&world.directory.arn_of(Kind::User, &user.path, &user.name))
        .unwrap()
}

const GET: &str = "dynamodb:GetItem";
const PUT: &str = "dynamodb:PutItem";

#[test]
fn inline_attached_and_group_policies_add_up() {
    let mut world = World::new();
    world.user("ann");
    world.group("readers");
    let ann = user(&world, "ann");
    assert!(!allows(&world, &ann, GET));
    world.change(|changes| changes.put_inline(Kind::User, "ann", "p", ALLOW_GET));
    assert!(allows(&world, &ann, GET) && !allows(&world, &ann, PUT));
    world.change(|changes| changes.delete_inline(Kind::User, "ann", "p"));
    assert!(!allows(&world, &ann, GET));

    let arn = world.policy("get", ALLOW_GET);
    world.change(|changes| changes.attach(Kind::Group, "readers", &arn));
    assert!(!allows(&world, &ann, GET));
    world.change(|changes| changes.add_to_group("ann", "readers"));
    assert!(allows(&world, &ann, GET) && !allows(&world, &ann, PUT));
    world.change(|changes| changes.create_version(&arn, ALLOW_ALL, true));
    assert!(allows(&world, &ann, PUT));
    world.change(|changes| changes.set_default_version(&arn, "v1"));
    assert!(!allows(&world, &ann, PUT));
    world.change(|changes| changes.remove_from_group("ann", "readers"));
    assert!(!allows(&world, &ann, GET));
}

#[test]
fn a_boundary_cuts_and_one_that_is_gone_cuts_everything() {
    let mut world = World::new();
    world.user("ann");
    let (all, get) = (world.policy("all", ALLOW_ALL), world.policy("get", ALLOW_GET));
    world.change(|changes| changes.attach(Kind::User, "ann", &all));
    world.change(|changes| changes.put_boundary(Kind::User, "ann", &get));
    let ann = user(&world, "ann");
    assert!(allows(&world, &ann, GET) && !allows(&world, &ann, PUT));
    // As if the policy had been deleted by another node while it was made the boundary here.
    world.rows.retain(|row, _| row.name != "get");
    world.show();
    assert!(!allows(&world, &ann, GET));
    world.change(|changes| changes.delete_boundary(Kind::User, "ann"));
    assert!(allows(&world, &ann, PUT));
}

#[test]
fn a_new_policy_or_group_of_an_old_name_inherits_nothing() {
    let mut world = World::new();
    world.user("ann");
    world.group("g");
    let arn = world.policy("p", ALLOW_GET);
    world.change(|changes| changes.attach(Kind::User, "ann", &arn));
    world.change(|changes| changes.add_to_group("ann", "g"));
    world.rows.retain(|row, _| row.name != "p" && row.name != "g");
    world.show();
    world.policy("p", ALLOW_ALL);
    world.group("g");
    world.change(|changes| changes.put_inline(Kind::Group, "g", "i", ALLOW_ALL));
    let ann = user(&world, "ann");
    assert!(!allows(&world, &ann, GET) && !allows(&world, &ann, PUT));
    assert_eq!(
        world
            .directory
            .members(world.directory.group("g").unwrap())
            .count(),
        0
    );
}

#[test]
fn a_session_is_cut_by_its_policies_and_ends_with_its_role() {
    let mut world = World::new();
    world.role("R");
    world.change(|changes| changes.put_inline(Kind::Role, "R", "p", ALLOW_ALL));
    let id = world.directory.role("R").unwrap().id.clone();
    let session = |access_key: &str, policies: Option<Vec<String>>| Principal {
        access_key_id: access_key.to_owned(),
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/R/s"),
        identity: Identity::Role {
            id: id.clone(),
            session_name: "s".to_owned(),
        },
        session: Some(Arc::new(Session {
            policies,
            tags: vec![("team".to_owned(), "a".to_owned())],
            ..Session::default()
        })),
    };
    let (whole, cut, none) = (
        session("ASIA1", None),
        session("ASIA2", Some(vec![ALLOW_GET.to_owned()])),
        session("ASIA3", Some(Vec::new())),
    );
    assert!(allows(&world, &whole, PUT));
    assert!(allows(&world, &cut, GET) && !allows(&world, &cut, PUT));
    assert!(!allows(&world, &none, GET));
    let policies = world.directory.policies(&whole).unwrap();
    assert_eq!(policies.user_id, format!("{id}:s"));
    assert_eq!(policies.tags, [("team".to_owned(), "a".to_owned())]);
    assert_eq!(policies.principal_arn, format!("arn:aws:iam::{ACCOUNT}:role/R"));

    world.change(|changes| changes.delete_inline(Kind::Role, "R", "p"));
    assert!(!allows(&world, &whole, GET));
    world.change(|changes| changes.delete(Kind::Role, "R"));
    assert!(world.directory.policies(&whole).is_none());
    world.role("R");
    assert!(world.directory.policies(&whole).is_none());
}

#[test]
fn a_session_tells_when_it_was_issued_and_by_whom() {
    let mut world = World::new();
    world.role("R");
    let session = |source_identity: Option<&str>| Principal {
        access_key_id: format!("ASIA{source_identity:?}"),
        arn: format!("arn:aws:sts::{ACCOUNT}:assumed-role/R/s"),
        identity: Identity::Role {
            id: world.directory.role("R").unwrap().id.clone(),
            session_name: "s".to_owned(),
        },
        session: Some(Arc::new(Session {
            issued_at_s: 1_445_412_480,
            source_identity: source_identity.map(str::to_owned),
            ..Session::default()
        })),
    };
    let (named, plain) = (session(Some("ann")), session(None));
    // What revokes sessions: IAM User Guide, "Revoke IAM role temporary security credentials".
    for (operator, time, expected) in [
        ("DateLessThan", "2015-10-21T07:28:00.001Z", true),
        ("DateLessThan", "2015-10-21T07:28:00Z", false),
        ("DateGreaterThanEquals", "2015-10-21T07:28:00Z", true),
    ] {
        let condition = format!(r#"{{"{operator}":{{"aws:TokenIssueTime":"{time}"}}}}"#);
        assert_eq!(holds(&mut world, &plain, &condition), expected, "{condition}");
    }
    for (condition, of_named, of_plain) in [
        (r#"{"Bool":{"aws:MultiFactorAuthPresent":"false"}}"#, true, true),
        (
            r#"{"BoolIfExists":{"aws:MultiFactorAuthPresent":"true"}}"#,
            false,
            false,
        ),
        (r#"{"StringEquals":{"aws:SourceIdentity":"ann"}}"#, true, false),
        (r#"{"StringEquals":{"aws:SourceIdentity":"bea"}}"#, false, false),
        (r#"{"Null":{"aws:SourceIdentity":"true"}}"#, false, true),
    ] {
        let found = [&named, &plain].map(|principal| holds(&mut world, principal, condition));
        assert_eq!(found, [of_named, of_plain], "{condition}");
    }
}

#[test]
fn long_term_credentials_tell_nothing_of_a_session() {
    let mut world = World::new();
    world.user("ann");
    let ann = user(&world, "ann");
    let policies = world.directory.policies(&ann).unwrap();
    assert_eq!((policies.issued_at_s, &policies.source_identity), (None, &None));
    for key in [
        "aws:TokenIssueTime",
        "aws:MultiFactorAuthPresent",
        "aws:SourceIdentity",
    ] {
        let document = format!(
            r#"{{"Version":"2012-10-17","Statement":{{"Effect":"Allow","Action":"*","Resource":"*","Condition":{{"Null":{{"{key}":"true"}}}}}}}}"#
        );
        world.change(|changes| changes.put_inline(Kind::User, "ann", "p", &document));
        assert!(allows(&world, &ann, GET), "{key}");
    }
}

#[test]
fn keys_are_known_while_they_are_active() {
    let mut world = World::new();
    world.user("ann");
    let (id, secret) = world.key("ann");
    let known = world.directory.credential(&id).unwrap();
    assert_eq!(known.secret.expose(), secret.expose());
    assert_eq!(known.principal.arn, format!("arn:aws:iam::{ACCOUNT}:user/ann"));
    assert!(allows(&world, &known.principal, GET) == allows(&world, &user(&world, "ann"), GET));
    let (_, used) = world.directory.key(&id).unwrap();
    used.note(5, "dynamodb");

    world.change(|changes| changes.update_key("ann", &id, false));
    assert!(world.directory.credential(&id).is_none());
    world.change(|changes| changes.update_key("ann", &id, true));
    assert!(world.directory.credential(&id).is_some());
    // What was noted outlives changes.
    assert_eq!(
        world.directory.key(&id).unwrap().1.get().map(|used| used.at_s),
        Some(5)
    );
    world.change(|changes| changes.delete_key("ann", &id));
    assert!(world.directory.credential(&id).is_none());
}

#[test]
fn a_secret_that_was_moved_to_another_key_does_not_open() {
    let mut world = World::new();
    world.user("ann");
    let (id, _) = world.key("ann");
    let sealed = world.directory.user("ann").unwrap().keys[0].sealed_secret.clone();
    world.change(|changes| changes.delete_key("ann", &id));
    world.change(|changes| changes.create_key("ann", "AKIAOTHER", &sealed));
    assert!(world.directory.credential("AKIAOTHER").is_none());
}

#[test]
fn a_token_opens_on_any_node_with_the_keys() {
    let mut world = World::new();
    world.user("ann");
    let principal = Principal {
        access_key_id: "ASIA1".to_owned(),
        session: Some(Arc::new(Session {
            expires_at_s: 9,
            ..Session::default()
        })),
        ..user(&world, "ann")
    };
    let secret = SecretKey::new("s".to_owned());
    let issued = token::issue(&World::sealing(), &principal, &secret, [1; 12]);
    let opened = world.directory.session("ASIA1", &issued).unwrap();
    assert_eq!(*opened.principal, principal);
    assert!(world.directory.session("ASIA2", &issued).is_none());
    assert!(
        stator_iam::directory::Directory::empty(ACCOUNT)
            .session("ASIA1", &issued)
            .is_none()
    );
}
