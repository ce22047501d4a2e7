//! What is refused, in IAM's words; quotas; what hangs on what.

use crate::world::{ALLOW_ALL, ALLOW_GET, TRUST, World};
use stator_iam::directory::{ErrorCode, Kind, NewRole, NewUser, Tagging};

#[test]
fn names_are_unique_without_regard_to_case() {
    let mut world = World::new();
    world.user("Ann");
    let random = world.random();
    let new = NewUser {
        name: "aNN".to_owned(),
        path: "/".to_owned(),
        ..NewUser::default()
    };
    assert_eq!(
        world.refused(|changes| changes.create_user(&new, &random)),
        (
            ErrorCode::EntityAlreadyExists,
            "User with name aNN already exists.".to_owned()
        )
    );
    // A group of that name is something else.
    world.group("ann");
    assert_eq!(world.directory.user("ANN").unwrap().name, "Ann");
    assert!(world.directory.user("ann").unwrap().id.starts_with("AIDA"));
    assert!(world.directory.group("ann").unwrap().id.starts_with("AGPA"));
}

#[test]
fn what_is_not_there_is_named() {
    let world = World::new();
    let missing = |message: &str| (ErrorCode::NoSuchEntity, message.to_owned());
    let arn = "arn:aws:iam::000000000000:policy/p";
    assert_eq!(
        world.refused(|changes| changes.delete(Kind::User, "x")),
        missing("The user with name x cannot be found.")
    );
    assert_eq!(
        world.refused(|changes| changes.attach(Kind::Role, "x", arn)),
        missing("Policy arn:aws:iam::000000000000:policy/p does not exist or is not attachable.")
    );
    assert_eq!(
        world.refused(|changes| changes.delete_policy(arn)),
        missing("Policy arn:aws:iam::000000000000:policy/p was not found.")
    );
    assert_eq!(
        world.refused(|changes| changes.delete_policy("arn:aws:iam::000000000000:user/p")),
        (
            ErrorCode::InvalidInput,
            "ARN arn:aws:iam::000000000000:user/p is not valid.".to_owned()
        )
    );
}

#[test]
fn nothing_is_deleted_on_which_something_hangs() {
    let mut world = World::new();
    world.user("ann");
    world.group("g");
    world.role("r");
    let arn = world.policy("p", ALLOW_GET);
    let conflict = |what: &str| {
        (
            ErrorCode::DeleteConflict,
            format!("Cannot delete entity, must {what} first."),
        )
    };
    let (id, _) = world.key("ann");
    assert_eq!(
        world.refused(|changes| changes.delete(Kind::User, "ann")),
        conflict("delete access keys")
    );
    world.change(|changes| changes.delete_key("ann", &id));
    world.change(|changes| changes.add_to_group("ann", "g"));
    for (kind, name) in [(Kind::User, "ann"), (Kind::Group, "g")] {
        assert_eq!(
            world.refused(|changes| changes.delete(kind, name)),
            conflict("remove users from group")
        );
    }
    world.change(|changes| changes.remove_from_group("ann", "g"));
    for (kind, name) in [(Kind::User, "ann"), (Kind::Group, "g"), (Kind::Role, "r")] {
        world.change(|changes| changes.put_inline(kind, name, "i", ALLOW_GET));
        assert_eq!(
            world.refused(|changes| changes.delete(kind, name)),
            conflict("delete policies")
        );
        world.change(|changes| changes.delete_inline(kind, name, "i"));
        world.change(|changes| changes.attach(kind, name, &arn));
        assert_eq!(
            world.refused(|changes| changes.delete(kind, name)),
            conflict("detach all policies")
        );
        assert_eq!(
            world.refused(|changes| changes.delete_policy(&arn)).1,
            "Cannot delete a policy attached to entities."
        );
        world.change(|changes| changes.detach(kind, name, &arn));
        world.change(|changes| changes.delete(kind, name));
    }
    world.change(|changes| changes.delete_policy(&arn));
    assert!(world.rows.is_empty());
}

#[test]
fn a_user_has_two_keys_and_ten_groups_and_ten_policies() {
    let mut world = World::new();
    world.user("ann");
    world.key("ann");
    world.key("ann");
    assert_eq!(
        world.refused(|changes| changes.create_key("ann", "AKIA3", b"")),
        (
            ErrorCode::LimitExceeded,
            "Cannot exceed quota for AccessKeysPerUser: 2".to_owned()
        )
    );
    for number in 0..11 {
        world.group(&format!("g{number}"));
        let arn = world.policy(&format!("p{number}"), ALLOW_GET);
        let group = format!("g{number}");
        if number < 10 {
            world.change(|changes| changes.add_to_group("ann", &group));
            world.change(|changes| changes.attach(Kind::User, "ann", &arn));
        } else {
            assert_eq!(
                world.refused(|changes| changes.add_to_group("ann", &group)).1,
                "Cannot exceed quota for GroupsPerUser: 10"
            );
            assert_eq!(
                world.refused(|changes| changes.attach(Kind::User, "ann", &arn)).1,
                "Cannot exceed quota for PoliciesPerUser: 10"
            );
        }
    }
    // Again is no more.
    world.change(|changes| changes.add_to_group("ann", "g1"));
    assert_eq!(world.directory.user("ann").unwrap().groups.len(), 10);
}

#[test]
fn a_policy_has_five_versions_whose_numbers_do_not_come_again() {
    let mut world = World::new();
    let arn = world.policy("p", ALLOW_GET);
    for _ in 0..4 {
        world.change(|changes| changes.create_version(&arn, ALLOW_ALL, false));
    }
    assert_eq!(
        world
            .refused(|changes| changes.create_version(&arn, ALLOW_ALL, true))
            .0,
        ErrorCode::LimitExceeded
    );
    assert_eq!(
        world.refused(|changes| changes.delete_version(&arn, "v1")),
        (
            ErrorCode::DeleteConflict,
            "Cannot delete the default version of a policy.".to_owned()
        )
    );
    world.change(|changes| changes.set_default_version(&arn, "v5"));
    world.change(|changes| changes.delete_version(&arn, "v1"));
    world.change(|changes| changes.create_version(&arn, ALLOW_GET, true));
    let policy = world.directory.policy(&arn).unwrap();
    assert_eq!((policy.default_version, policy.document()), (6, Some(ALLOW_GET)));
    assert_eq!(
        world.refused(|changes| changes.delete_policy(&arn)).0,
        ErrorCode::DeleteConflict
    );
    assert_eq!(
        world.refused(|changes| changes.set_default_version(&arn, "v1")).1,
        "Policy arn:aws:iam::000000000000:policy/p version v1 does not exist or is not attachable."
    );
}

#[test]
fn documents_are_judged_and_measured_when_they_are_put() {
    let mut world = World::new();
    world.user("ann");
    world.role("r");
    let malformed = |refused: (ErrorCode, String)| refused.0 == ErrorCode::MalformedPolicyDocument;
    for document in ["", "{}", "[]", TRUST] {
        assert!(malformed(world.refused(|changes| changes.put_inline(
            Kind::User,
            "ann",
            "p",
            document
        ))));
    }
    assert!(malformed(
        world.refused(|changes| changes.update_trust("r", ALLOW_GET))
    ));
    world.change(|changes| changes.update_trust("r", TRUST));

    let long = |characters: usize| {
        let (head, tail) = ALLOW_GET.split_once("\"*\"").unwrap();
        let fill = characters - head.len() - tail.len() - 2 - "arn:aws:dynamodb:::".len();
        format!("{head}\"arn:aws:dynamodb:::{}\"{tail}", "t".repeat(fill)).replace(',', ", \n")
    };
    world.change(|changes| changes.put_inline(Kind::User, "ann", "p", &long(2048)));
    assert_eq!(
        world.refused(|changes| changes.put_inline(Kind::User, "ann", "p", &long(2049))),
        (
            ErrorCode::LimitExceeded,
            "Maximum policy size of 2048 bytes exceeded for user ann".to_owned()
        )
    );
    assert_eq!(
        world
            .refused(|changes| changes.put_inline(Kind::User, "ann", "q", ALLOW_GET))
            .0,
        ErrorCode::LimitExceeded
    );
}

#[test]
fn tags_are_replaced_and_removed_by_key() {
    let mut world = World::new();
    world.user("ann");
    let pair = |key: &str, value: &str| (key.to_owned(), value.to_owned());
    let add = |tags: &[(String, String)]| Tagging::Add(tags.to_vec());
    world.change(|changes| changes.tag(Kind::User, "ann", &add(&[pair("a", "1"), pair("b", "2")])));
    world.change(|changes| changes.tag(Kind::User, "ann", &add(&[pair("A", "3")])));
    let tags = world.directory.user("ann").unwrap().tags.clone();
    assert_eq!(
        tags.into_iter().collect::<Vec<_>>(),
        [pair("A", "3"), pair("b", "2")]
    );
    let gone = Tagging::Remove(vec!["B".to_owned(), "other".to_owned()]);
    world.change(|changes| changes.tag(Kind::User, "ann", &gone));
    assert_eq!(world.directory.user("ann").unwrap().tags.len(), 1);
    let many: Vec<_> = (0..50).map(|number| pair(&format!("k{number}"), "")).collect();
    assert_eq!(
        world
            .refused(|changes| changes.tag(Kind::User, "ann", &add(&many)))
            .0,
        ErrorCode::LimitExceeded
    );
}

#[test]
fn roles_have_a_longest_session_and_a_description() {
    let mut world = World::new();
    world.role("r");
    assert_eq!(world.directory.role("r").unwrap().session_s_max, 3600);
    world.change(|changes| changes.update_role("r", Some("d"), Some(7200)));
    world.change(|changes| changes.update_role("r", None, None));
    let role = world.directory.role("r").unwrap();
    assert_eq!(
        (role.session_s_max, role.description.as_deref()),
        (7200, Some("d"))
    );
    let random = world.random();
    let bad = NewRole {
        name: "s".to_owned(),
        path: "/".to_owned(),
        trust_policy: ALLOW_GET.to_owned(),
        ..NewRole::default()
    };
    assert_eq!(
        world.refused(|changes| changes.create_role(&bad, &random)).0,
        ErrorCode::MalformedPolicyDocument
    );
}
