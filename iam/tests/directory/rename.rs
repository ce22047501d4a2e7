//! A rename is three rows, and may stop after each; somebody else may change the old row in between.

use crate::world::World;
use stator_iam::directory::{Edit, Kind};

fn names(world: &World) -> Vec<String> {
    world.directory.users().map(|user| user.name.clone()).collect()
}

/// A world with a user `Old`, and the three rows of its rename to `New`.
fn renaming() -> (World, Vec<Edit>) {
    let mut world = World::new();
    world.user("Old");
    world.key("Old");
    let edits = world
        .plan(|changes| changes.rename(Kind::User, "old", Some("New"), Some("/p/")))
        .unwrap();
    assert_eq!(edits.len(), 3);
    (world, edits)
}

#[test]
fn a_user_is_shown_once_wherever_its_rename_stops() {
    for (installed, expected) in [(0, "Old"), (1, "Old"), (2, "New"), (3, "New")] {
        let (mut world, edits) = renaming();
        world.install(edits.into_iter().take(installed));
        assert_eq!(names(&world), [expected], "after {installed}");
        let user = world.directory.user(expected).unwrap().clone();
        let (owner, _) = world.directory.key(&user.keys[0].id).unwrap();
        assert_eq!(owner.name, expected);
        // Whatever it has come to can be changed, renamed and deleted.
        let id = user.keys[0].id.clone();
        world.change(|changes| changes.delete_key(expected, &id));
        assert_eq!(names(&world), [expected], "changed after {installed}");
        world.change(|changes| changes.rename(Kind::User, expected, Some("Third"), None));
        assert_eq!(names(&world), ["Third"]);
        world.change(|changes| changes.delete(Kind::User, "third"));
        assert_eq!(names(&world), [""; 0], "deleted after {installed}");
    }
}

#[test]
fn who_changes_the_old_row_first_strikes_the_rename_out() {
    let (mut world, edits) = renaming();
    let mut edits = edits.into_iter();
    world.install(edits.by_ref().take(1));
    world.change(|changes| changes.put_inline(Kind::User, "old", "p", crate::world::ALLOW_GET));
    // The second row comes late; the third is a compare-and-set that no longer fits.
    world.install(edits.by_ref().take(1));
    assert_eq!(names(&world), ["Old"]);
    assert_eq!(world.directory.user("old").unwrap().inline.len(), 1);
    // The name that was struck out is free.
    world.user("new");
    assert_eq!(names(&world), ["new", "Old"]);
}

#[test]
fn a_name_that_was_left_is_free_and_a_taken_one_is_refused() {
    let (mut world, edits) = renaming();
    world.install(edits);
    world.user("OLD");
    assert_eq!(names(&world), ["New", "OLD"]);
    assert_ne!(
        world.directory.user("new").unwrap().id,
        world.directory.user("old").unwrap().id
    );
    let (_, message) = world.refused(|changes| changes.rename(Kind::User, "new", Some("old"), None));
    assert_eq!(message, "User with name old already exists.");
    // Another case of the own name is no other row.
    world.change(|changes| changes.rename(Kind::User, "new", Some("NEW"), None));
    assert_eq!(names(&world), ["NEW", "OLD"]);
}

#[test]
fn there_and_back_again() {
    let (mut world, edits) = renaming();
    world.install(edits);
    let back = world
        .plan(|changes| changes.rename(Kind::User, "new", Some("Old"), None))
        .unwrap();
    for (at, edit) in back.into_iter().enumerate() {
        world.install([edit]);
        assert_eq!(names(&world), [if at == 0 { "New" } else { "Old" }]);
    }
}
