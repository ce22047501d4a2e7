//! Two catalogs over one cluster stand for two nodes that change the same tables.

use std::future::poll_fn;
use std::task::Poll;

use futures_util::future::join_all;
use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey, Tally, WriteOptions};
use tempfile::TempDir;

use super::*;
use crate::command::{Fits, Install};
use crate::limits::Limits;
use crate::node::{self, Opened};
use crate::operation::create_table::tests::definition as some_definition;

struct Nodes {
    cluster: Cluster,
    one: Arc<Catalog>,
    two: Arc<Catalog>,
    _directory: TempDir,
}

impl Nodes {
    async fn start() -> Self {
        let directory = TempDir::new().unwrap();
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let Opened {
            cluster, derivations, ..
        } = node::open_alone(Durability::Interval, directory.path(), key, Limits::default()).unwrap();
        cluster.ready().await.unwrap();
        Self {
            one: Catalog::open(cluster.clone(), Arc::clone(&derivations))
                .await
                .unwrap(),
            two: Catalog::open(cluster.clone(), Arc::clone(&derivations))
                .await
                .unwrap(),
            cluster,
            _directory: directory,
        }
    }

    /// Sets a definition as a node does that ends before the next step.
    async fn install(&self, expected: Option<&TableDefinition>, cell: Option<&TableDefinition>) -> bool {
        let name = &expected.or(cell).unwrap().name;
        let install = Install {
            expected: expected.map(TableDefinition::to_bytes),
            cell: cell.map(TableDefinition::to_bytes),
        };
        let metadata = self.cluster.metadata();
        let Fits(fits) = self
            .cluster
            .write(metadata, &definition_key(name), WriteOptions::default(), &install)
            .await
            .unwrap();
        fits
    }

    /// The names of keyspaces that hold rows.
    fn keyspaces(&self) -> Vec<String> {
        let names = self.cluster.keyspaces().into_iter().map(|(_, name)| name);
        names.filter(|name| name.starts_with(TABLE_KEYSPACE)).collect()
    }
}

/// A definition of its own.
fn table(name: &str, id: u128) -> TableDefinition {
    TableDefinition {
        name: name.to_owned(),
        id: uuid::Uuid::from_u128(id),
        ..some_definition()
    }
}

/// Adds a tag, or refuses one that is there.
fn tagged(definition: &mut TableDefinition, tag: &str) -> Result<(), ()> {
    match definition.tags.insert(tag.to_owned(), String::new()) {
        None => Ok(()),
        Some(_) => Err(()),
    }
}

/// Everything that is ready to run has run.
async fn settle() {
    for _ in 0..100 {
        let mut yielded = false;
        poll_fn(|context| {
            context.waker().wake_by_ref();
            if std::mem::replace(&mut yielded, true) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_one_node_has_acknowledged_the_other_finds() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("a", 1)).await.unwrap();
    assert!(nodes.two.table("a").is_none(), "nobody has told it yet");
    assert_eq!(
        nodes.two.find("a").await.unwrap().unwrap().definition(),
        &table("a", 1)
    );
    nodes.one.create(&table("b", 2)).await.unwrap();
    let all = nodes.two.all().await.unwrap();
    assert_eq!(all.keys().collect::<Vec<_>>(), ["a", "b"]);
    nodes
        .one
        .change("a", |definition| tagged(definition, "t"))
        .await
        .unwrap()
        .unwrap();
    assert!(nodes.two.table("a").unwrap().definition().tags.is_empty());
    let latest = nodes.two.latest("a").await.unwrap().unwrap();
    assert!(latest.definition().tags.contains_key("t"));
    nodes
        .one
        .remove("a", 7, |_| Ok::<(), ()>(()))
        .await
        .unwrap()
        .unwrap();
    assert!(nodes.two.latest("a").await.unwrap().is_none());
    assert!(nodes.two.find("a").await.unwrap().is_none());
    assert_eq!(nodes.keyspaces(), [keyspace_name(&table("b", 2))]);
}

#[tokio::test]
async fn a_table_is_made_by_one_of_those_who_make_it_at_once() {
    let nodes = Nodes::start().await;
    let definitions: Vec<_> = (1..9).map(|id| table("t", id)).collect();
    let made = definitions.iter().enumerate().map(|(place, definition)| {
        let node = if place % 2 == 0 { &nodes.one } else { &nodes.two };
        node.create(definition)
    });
    let made = join_all(made).await;
    assert_eq!(made.iter().filter(|result| result.is_ok()).count(), 1);
    assert!(
        made.iter()
            .filter_map(|result| result.as_ref().err())
            .all(|error| matches!(error, CatalogError::Exists { name } if name == "t"))
    );
    let table = nodes.two.latest("t").await.unwrap().unwrap();
    assert_eq!(nodes.keyspaces(), [keyspace_name(table.definition())]);
    // A node that has not heard of it does not make another one either.
    let another = nodes.one.create(&self::table("t", 99)).await;
    assert!(matches!(another, Err(CatalogError::Exists { .. })));
}

#[tokio::test]
async fn changes_at_once_are_all_made() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("t", 1)).await.unwrap();
    let tags: Vec<String> = (0..8).map(|tag| format!("tag {tag}")).collect();
    let changes = tags.iter().enumerate().map(|(place, tag)| {
        let node = if place % 2 == 0 { &nodes.one } else { &nodes.two };
        node.change("t", |definition| tagged(definition, tag))
    });
    for changed in join_all(changes).await {
        changed.unwrap().unwrap();
    }
    let latest = nodes.two.latest("t").await.unwrap().unwrap();
    assert_eq!(
        latest.definition().tags.keys().collect::<Vec<_>>(),
        tags.iter().collect::<Vec<_>>()
    );
}

#[tokio::test]
async fn a_refusal_is_given_back_and_changes_nothing() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("t", 1)).await.unwrap();
    let refused = nodes
        .two
        .change("t", |definition| {
            definition.deletion_protection = true;
            Err("no")
        })
        .await;
    assert_eq!(refused.unwrap().unwrap_err(), "no");
    assert_eq!(
        nodes
            .one
            .remove("t", 7, |_| Err("never"))
            .await
            .unwrap()
            .unwrap_err(),
        "never"
    );
    assert_eq!(
        nodes.one.latest("t").await.unwrap().unwrap().definition(),
        &table("t", 1)
    );
    let missing = nodes.one.change("u", |definition| tagged(definition, "x")).await;
    assert!(matches!(missing, Err(CatalogError::Missing { name }) if name == "u"));
}

#[tokio::test]
async fn a_deletion_says_what_there_was_and_may_be_asked_for_twice() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("t", 1)).await.unwrap();
    let remove = |node: &Arc<Catalog>| {
        let node = Arc::clone(node);
        async move { node.remove("t", 7, |_| Ok::<(), ()>(())).await }
    };
    for removed in join_all([remove(&nodes.one), remove(&nodes.two)]).await {
        let (removed, tally) = match removed {
            Err(CatalogError::Missing { .. }) => continue,
            removed => removed.unwrap().unwrap(),
        };
        assert_eq!((removed.definition(), tally), (&table("t", 1), Tally::default()));
    }
    assert!(nodes.keyspaces().is_empty());
    assert!(nodes.one.table("t").is_none() || nodes.one.find("t").await.unwrap().is_none());
    // The name is free again, and the new table has nothing of the old one.
    nodes.two.create(&table("t", 2)).await.unwrap();
    assert_eq!(
        nodes
            .one
            .latest("t")
            .await
            .unwrap()
            .unwrap()
            .definition()
            .id
            .as_u128(),
        2
    );
}

#[tokio::test]
async fn a_definition_without_a_keyspace_gets_one_from_whoever_asks_for_the_table() {
    let nodes = Nodes::start().await;
    assert!(nodes.install(None, Some(&table("t", 1))).await);
    // Who only follows leaves it to the one who is making the table.
    nodes.one.refresh(WithoutKeyspace::Hide).await.unwrap();
    assert!(nodes.one.table("t").is_none() && nodes.keyspaces().is_empty());
    assert!(nodes.one.find("t").await.unwrap().is_some());
    assert_eq!(nodes.keyspaces(), [keyspace_name(&table("t", 1))]);
    // And a node that starts makes it as well.
    assert!(nodes.install(None, Some(&table("u", 2))).await);
    let three = Catalog::open(nodes.cluster.clone(), Arc::default())
        .await
        .unwrap();
    assert!(three.table("u").is_some() && three.table("t").is_some());
}

#[tokio::test]
async fn a_keyspace_of_a_table_that_was_deleted_meanwhile_is_dropped_again() {
    let nodes = Nodes::start().await;
    let made = nodes.one.make_keyspaces("t", &table("t", 1)).await.unwrap();
    assert!(made.is_none() && nodes.keyspaces().is_empty());
    // Another table of that name is there by now.
    nodes.two.create(&table("t", 2)).await.unwrap();
    let made = nodes.one.make_keyspaces("t", &table("t", 1)).await.unwrap();
    assert!(made.is_none());
    assert_eq!(nodes.keyspaces(), [keyspace_name(&table("t", 2))]);
}

#[tokio::test]
async fn a_start_drops_what_a_deletion_has_left_behind_and_nothing_else() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("kept", 1)).await.unwrap();
    nodes.one.create(&table("gone", 2)).await.unwrap();
    nodes.cluster.create_keyspace("something else").await.unwrap();
    assert!(nodes.install(Some(&table("gone", 2)), None).await);
    assert_eq!(nodes.keyspaces().len(), 2);
    let three = Catalog::open(nodes.cluster.clone(), Arc::default())
        .await
        .unwrap();
    assert_eq!(three.all().await.unwrap().keys().collect::<Vec<_>>(), ["kept"]);
    assert_eq!(nodes.keyspaces(), [keyspace_name(&table("kept", 1))]);
    assert!(nodes.cluster.keyspace("something else").is_some());
}

#[tokio::test]
async fn who_follows_sees_changes_without_asking_and_keeps_what_is_unchanged() {
    let nodes = Nodes::start().await;
    nodes.one.create(&table("a", 1)).await.unwrap();
    nodes.two.catch_up().await.unwrap();
    let before = nodes.two.table("a").unwrap();
    let follower = tokio::spawn(Catalog::follow(Arc::downgrade(&nodes.two)));
    nodes.one.create(&table("b", 2)).await.unwrap();
    settle().await;
    assert!(nodes.two.table("b").is_some());
    assert!(Arc::ptr_eq(&before, &nodes.two.table("a").unwrap()));
    // It ends with the catalog, at the next change.
    let Nodes {
        one,
        two,
        cluster,
        _directory,
    } = nodes;
    drop(two);
    one.create(&table("c", 3)).await.unwrap();
    follower.await.unwrap();
    drop(cluster);
}

#[tokio::test]
async fn a_definition_that_cannot_be_read_is_named() {
    let nodes = Nodes::start().await;
    let install = Install {
        expected: None,
        cell: Some(Bytes::from_static(&[9])),
    };
    let metadata = nodes.cluster.metadata();
    let options = WriteOptions::default();
    nodes
        .cluster
        .write(metadata, &definition_key("bad"), options, &install)
        .await
        .unwrap();
    let error = Catalog::open(nodes.cluster.clone(), Arc::default())
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("table bad cannot be read: format version 9"),
        "{error}"
    );
}
