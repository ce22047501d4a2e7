//! A rename is three rows: it may stop after each, and others may change the same user at any point.

use std::collections::BTreeMap;

use crate::world::{ALLOW_GET, Changed, World};
use stator_iam::directory::{Changes, Edit, Kind, Record, Row};

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
        assert_eq!(names(&world), ["Third"], "renamed after {installed}");
        world.change(|changes| changes.delete(Kind::User, "third"));
        assert_eq!(names(&world), [""; 0], "deleted after {installed}");
        // The names are free.
        for name in ["old", "new", "third"] {
            world.user(name);
        }
        assert_eq!(names(&world), ["new", "old", "third"]);
    }
}

#[test]
fn a_deleted_user_does_not_come_back_wherever_its_rename_stopped() {
    for installed in 0..=3 {
        let (mut world, edits) = renaming();
        world.install(edits.into_iter().take(installed));
        let user = world.directory.users().next().unwrap().clone();
        world.change(|changes| changes.delete_key(&user.name, &user.keys[0].id));
        world.change(|changes| changes.delete(Kind::User, &user.name));
        assert_eq!(names(&world), [""; 0], "after {installed}");
    }
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

type Rows = BTreeMap<Row, Vec<u8>>;

/// What somebody wants to do to the one user that there is, whatever it is called at that time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Want {
    RenameTo(&'static str),
    Put(&'static str),
    Delete,
}

impl Want {
    fn plan(self, changes: Changes<'_>, name: &str) -> Changed {
        match self {
            Self::RenameTo(new) => changes.rename(Kind::User, name, Some(new), None),
            Self::Put(policy) => changes.put_inline(Kind::User, name, policy, ALLOW_GET),
            Self::Delete => changes.delete(Kind::User, name),
        }
    }
}

/// Somebody on the way: what there was when it was planned, and what is still to be installed.
#[derive(Debug, Clone)]
struct Actor {
    want: Want,
    /// `None` before the first plan and after a compare-and-set that did not fit.
    plan: Option<(Rows, Vec<Edit>)>,
    /// `Some(false)`: it found nobody, or was refused.
    done: Option<bool>,
    tries: usize,
}

impl Actor {
    fn new(want: Want) -> Self {
        Self {
            want,
            plan: None,
            done: None,
            tries: 0,
        }
    }

    /// One step: a plan, or one compare-and-set.
    fn step(&mut self, world: &mut World) {
        let Some((seen, edits)) = &mut self.plan else {
            self.tries += 1;
            let only = world.directory.users().next().map(|user| user.name.clone());
            let planned = only.map(|name| world.plan(|changes| self.want.plan(changes, &name)));
            match planned {
                Some(Ok(edits)) => self.plan = Some((world.rows.clone(), edits)),
                Some(Err(_)) | None => self.done = Some(false),
            }
            return;
        };
        let edit = edits.remove(0);
        let wanted = edit.record.as_ref().map(Record::to_bytes);
        let current = world.rows.get(&edit.row).cloned();
        // As a node does it: what is as wanted already counts as done.
        let fits = current.as_ref() == seen.get(&edit.row) || current == wanted;
        if !fits && !edit.is_tidying {
            self.plan = None;
            return;
        }
        match wanted {
            Some(cell) => seen.insert(edit.row.clone(), cell),
            None => seen.remove(&edit.row),
        };
        if edits.is_empty() {
            self.done = Some(true);
        }
        if fits {
            world.install([edit]);
        }
    }
}

/// Every order of the steps of some actors, each checked at every point and at its end.
fn explore(rows: &Rows, actors: &[Actor], ends: &mut usize) {
    let mut world = World::new();
    world.rows.clone_from(rows);
    world.show();
    assert!(names(&world).len() <= 1, "{:?} {actors:?}", names(&world));
    let mut moved = false;
    for at in 0..actors.len() {
        if actors[at].done.is_some() || actors[at].tries > 3 {
            continue;
        }
        moved = true;
        let (mut world, mut actors) = (World::new(), actors.to_vec());
        world.rows.clone_from(rows);
        world.show();
        actors[at].step(&mut world);
        explore(&world.rows, &actors, ends);
    }
    if !moved {
        *ends += 1;
        check_end(&world, actors);
    }
}

/// What was done stands: a deleted user is gone, and a policy that was put is there.
fn check_end(world: &World, actors: &[Actor]) {
    let done = |want: fn(Want) -> bool| {
        actors
            .iter()
            .filter(move |actor| actor.done == Some(true) && want(actor.want))
    };
    let user = world.directory.users().next();
    if done(|want| want == Want::Delete).next().is_some() {
        assert!(user.is_none(), "{actors:?}");
        return;
    }
    for actor in done(|want| matches!(want, Want::Put(_))) {
        let Want::Put(policy) = actor.want else {
            unreachable!()
        };
        assert!(user.unwrap().inline.contains_key(policy), "{actors:?}");
    }
}

fn explore_all(wants: &[Want]) -> usize {
    let mut world = World::new();
    world.user("Old");
    let actors: Vec<_> = wants.iter().map(|want| Actor::new(*want)).collect();
    let mut ends = 0;
    explore(&world.rows, &actors, &mut ends);
    ends
}

#[test]
fn in_every_order_of_steps_nothing_that_was_done_is_lost() {
    use Want::{Delete, Put, RenameTo};
    for wants in [
        [RenameTo("new"), Put("p")],
        [RenameTo("new"), Delete],
        [RenameTo("new"), RenameTo("new")],
        [RenameTo("new"), RenameTo("third")],
    ] {
        let ends = explore_all(&wants);
        assert!(ends > 20, "{wants:?}: {ends}");
    }
}
