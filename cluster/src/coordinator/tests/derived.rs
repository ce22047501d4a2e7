//! What follows from writes arrives where it belongs, once, whoever leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;

use super::three::{Hub, retried, three_with};
use super::*;
use crate::derive::{Action, CellChange, Derived, DerivedRow, Route, Unfit, Value};

/// Derives from cells of keyspace `k`: a row beside each cell, a row of the index `inverse`, a record of `log`.
#[derive(Debug)]
struct Deriving {
    known: AtomicU64,
}

impl Deriving {
    fn new() -> Arc<Self> {
        let known = AtomicU64::new(u64::MAX);
        Arc::new(Self { known })
    }
}

/// Where the index has a cell: under the bytes of the cell, backwards, and then the key.
fn inverse_key(key: &[u8], cell: &[u8]) -> Bytes {
    let mut inverse: Vec<_> = cell.iter().rev().map(|byte| byte.wrapping_mul(37)).collect();
    inverse.resize(8, 0);
    inverse.extend_from_slice(key);
    inverse.into()
}

fn forwarded(keyspace: &str, key: Bytes, action: Action) -> DerivedRow {
    DerivedRow {
        keyspace: keyspace.into(),
        key,
        route: Route::Forward,
        action,
        change: (0, 0),
    }
}

fn with_cell(head: &[u8]) -> Value {
    Value {
        head: Bytes::copy_from_slice(head),
        with_cell: true,
    }
}

impl Commands for Deriving {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Appends.decide(command, current)
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        Appends.weigh(cell)
    }

    fn known(&self) -> u64 {
        self.known.load(Ordering::SeqCst)
    }

    fn derive(&self, change: &CellChange<'_>) -> Result<Derived, Unfit> {
        if change.keyspace != "k" {
            return Ok(Derived::default());
        }
        if change.after.is_some_and(|cell| cell.ends_with(&[66])) {
            let reason = "66 does not fit".to_owned();
            return Err(Unfit { code: 6, reason });
        }
        let mut rows = Vec::new();
        if let Some(before) = change.before {
            let key = inverse_key(change.key, before);
            rows.push(forwarded("inverse", key, Action::Delete));
        }
        if let Some(after) = change.after {
            let key = inverse_key(change.key, after);
            rows.push(forwarded("inverse", key, Action::Put(with_cell(b""))));
        }
        let action = match change.after {
            Some(_) => Action::Put(with_cell(b"<")),
            None => Action::Delete,
        };
        rows.push(DerivedRow {
            route: Route::Beside,
            ..forwarded("beside", Bytes::copy_from_slice(change.key), action)
        });
        let record = Action::Append(with_cell(change.key));
        rows.push(forwarded("log", Bytes::from_static(&[0; 8]), record));
        let note = Bytes::new();
        Ok(Derived { rows, note })
    }

    fn fill(&self, filling: &Bytes, keyspace: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        assert_eq!((&filling[..], keyspace), (&b"late"[..], "k"));
        let key = inverse_key(key, cell);
        vec![forwarded("late", key, Action::Put(with_cell(b"")))]
    }
}

fn everything() -> Bounds {
    Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    }
}

async fn rows(cluster: &Cluster, keyspace: &str) -> BTreeMap<Vec<u8>, Bytes> {
    let keyspace = cluster.keyspace(keyspace).unwrap();
    retried(async || {
        let seen = parking_lot::Mutex::new(BTreeMap::new());
        let quorum = ConsistencyLevel::Quorum;
        cluster
            .range(keyspace, &everything(), Direction::Forward, quorum, |row| {
                seen.lock().insert(row.key().to_vec(), row.to_cell());
                std::ops::ControlFlow::Continue(())
            })
            .await?;
        Ok(seen.into_inner())
    })
    .await
}

/// Index and rows beside are exactly those of the cells, and the log replays to them.
async fn check(cluster: &Cluster, writes: usize) {
    retried(async || cluster.settled().await).await;
    let cells = rows(cluster, "k").await;
    let inverse: BTreeMap<_, _> = cells
        .iter()
        .map(|(key, cell)| (inverse_key(key, cell).to_vec(), cell.clone()))
        .collect();
    assert_eq!(rows(cluster, "inverse").await, inverse);
    let beside: BTreeMap<_, _> = cells
        .iter()
        .map(|(key, cell)| (key.clone(), [b"<", &cell[..]].concat().into()))
        .collect();
    assert_eq!(rows(cluster, "beside").await, beside);
    let log = rows(cluster, "log").await;
    let (mut replayed, mut last_at_ms) = (BTreeMap::new(), BTreeMap::new());
    for (key, record) in &log {
        assert_eq!((key.len(), &key[..8]), (20, &[0; 8][..]));
        let (at_ms, record) = record.split_at(8);
        let at_ms = u64::from_le_bytes(at_ms.try_into().unwrap());
        let (cell_key, cell) = record.split_at(2);
        let before = last_at_ms.insert(cell_key.to_vec(), at_ms);
        assert!(before <= Some(at_ms), "records of a key are in order");
        if cell.is_empty() {
            replayed.remove(cell_key);
        } else {
            replayed.insert(cell_key.to_vec(), Bytes::copy_from_slice(cell));
        }
    }
    assert_eq!(replayed, cells);
    assert_eq!(log.len(), writes, "each write has one record");
}

async fn make_keyspaces(cluster: &Cluster) -> Keyspace {
    for name in ["inverse", "beside", "log", "late"] {
        retried(async || cluster.create_keyspace(name).await).await;
    }
    retried(async || cluster.create_keyspace("k").await).await
}

async fn put(cluster: &Cluster, keyspace: Keyspace, key: &[u8], byte: u8) {
    retried(async || {
        let options = WriteOptions::default();
        cluster.write(keyspace, key, options, &Append(byte)).await
    })
    .await;
}

fn key(number: usize) -> [u8; 2] {
    [u8::try_from(number * 11 % 256).unwrap(), 7]
}

#[tokio::test]
async fn rows_follow_their_cells_on_one_node_and_after_a_start() {
    let directory = TempDir::new().unwrap();
    let mut around = surroundings(&directory);
    around.commands = Deriving::new();
    let cluster = open_with(around.clone()).await;
    let keyspace = make_keyspaces(&cluster).await;
    for number in 0..40 {
        put(
            &cluster,
            keyspace,
            &key(number % 13),
            u8::try_from(number).unwrap(),
        )
        .await;
    }
    for number in 0..5 {
        put(&cluster, keyspace, &key(number), 255).await;
    }
    check(&cluster, 45).await;
    cluster.close().unwrap();
    let cluster = open_with(around).await;
    let keyspace = cluster.keyspace("k").unwrap();
    put(&cluster, keyspace, &key(3), 9).await;
    check(&cluster, 46).await;
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_write_that_does_not_fit_changes_nothing() {
    let directory = TempDir::new().unwrap();
    let mut around = surroundings(&directory);
    around.commands = Deriving::new();
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    put(&cluster, keyspace, &key(1), 1).await;
    let refused = cluster
        .write(keyspace, &key(1), WriteOptions::default(), &Append(66))
        .await;
    assert!(
        matches!(&refused, Err(Error::Unfit(Unfit { code: 6, reason })) if reason == "66 does not fit"),
        "{refused:?}"
    );
    check(&cluster, 1).await;
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_leader_takes_no_write_before_it_knows_what_its_range_asks_for() {
    let directory = TempDir::new().unwrap();
    let (mut around, commands) = (surroundings(&directory), Deriving::new());
    around.commands = Arc::clone(&commands) as Arc<dyn Commands>;
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    let index = cluster.metadata_index();
    cluster.require(index + 5).await.unwrap();
    for known in [0, index, index + 4] {
        commands.known.store(known, Ordering::SeqCst);
        let refused = cluster
            .write(keyspace, &key(1), WriteOptions::default(), &Append(1))
            .await;
        assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    }
    commands.known.store(index + 5, Ordering::SeqCst);
    put(&cluster, keyspace, &key(1), 1).await;
    check(&cluster, 1).await;
    cluster.close().unwrap();
}

#[tokio::test]
async fn cells_that_were_there_before_are_filled_through_the_log() {
    let directory = TempDir::new().unwrap();
    let mut around = surroundings(&directory);
    around.commands = Deriving::new();
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    for number in 0..200 {
        put(
            &cluster,
            keyspace,
            &key(number % 23),
            u8::try_from(number % 60).unwrap(),
        )
        .await;
    }
    let required = cluster.metadata_index();
    cluster.require(required).await.unwrap();
    let mut cells = 0;
    for range in cluster.ranges() {
        let mut fill = Fill {
            keyspace,
            filling: Bytes::from_static(b"late"),
            range,
            behind: None,
            required,
            count: 3,
        };
        loop {
            let filled = cluster.fill(&fill).await.unwrap();
            cells += filled.cells;
            assert!(filled.cells <= 3);
            match filled.last {
                Some(last) => fill.behind = Some(last),
                None => break,
            }
        }
    }
    assert_eq!(cells, 23);
    check(&cluster, 200).await;
    assert_eq!(rows(&cluster, "late").await, rows(&cluster, "inverse").await);
    cluster.close().unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn rows_are_taken_once_while_leaders_change() {
    let hub = Hub::default();
    let three = three_with(3, &hub, Deriving::new()).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(make_keyspaces(node).await);
    }
    let mut led = BTreeSet::new();
    for number in 0..120 {
        let (node, keyspace) = (&three.nodes[number % 3], keyspaces[number % 3]);
        put(
            node,
            keyspace,
            &key(number % 23),
            u8::try_from(number % 60).unwrap(),
        )
        .await;
        if number % 10 == 0 {
            // Leadership goes on to whoever has caught up.
            for (place, node) in three.nodes.iter().enumerate() {
                for replica in node.node.replicas().iter().flatten().skip(1) {
                    if replica.is_leader() {
                        led.insert((replica.group(), place));
                        replica.hand_over();
                    }
                }
                node.node.exchange.flush();
            }
        }
    }
    assert!(led.len() > 6, "leadership did not change: {led:?}");
    check(&three.nodes[0], 120).await;
    three.close();
}
