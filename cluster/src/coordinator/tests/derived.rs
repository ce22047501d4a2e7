//! What follows from writes arrives where it belongs, once, whoever leads.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64};

use super::three::{Hub, retried, three_with};
use super::*;
use crate::derive::{Action, CellChange, Derived, DerivedRow, Growth, Route, Unfit, Value};
use crate::formats::FORMATS;

/// Derives from cells of keyspace `k`: a row beside each cell, a row of the index `inverse`, a record of `log`.
#[derive(Debug)]
struct Deriving {
    known: AtomicU64,
    /// Since when it derives like this.
    since: AtomicU64,
    /// Whether rows of `late` follow from writes, too.
    knows_late: AtomicBool,
}

impl Deriving {
    fn new() -> Arc<Self> {
        Arc::new(Self {
            known: AtomicU64::new(u64::MAX),
            since: AtomicU64::new(0),
            knows_late: AtomicBool::new(false),
        })
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
        growth: Growth::By(0, 0),
    }
}

/// A row of what comes later than the cells.
fn late(key: Bytes, action: Action) -> DerivedRow {
    DerivedRow {
        growth: Growth::Found,
        ..forwarded("late", key, action)
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
        if self.knows_late.load(Ordering::SeqCst) {
            let before = change.before.map(|cell| inverse_key(change.key, cell));
            rows.extend(before.map(|key| late(key, Action::Delete)));
            let after = change.after.map(|cell| inverse_key(change.key, cell));
            rows.extend(after.map(|key| late(key, Action::Put(with_cell(b"")))));
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
        Ok(Derived {
            rows,
            since: self.since.load(Ordering::SeqCst),
            ..Derived::default()
        })
    }

    fn fill(&self, filling: &Bytes, keyspace: &str, key: &[u8], cell: &Cell) -> Vec<DerivedRow> {
        assert_eq!((&filling[..], keyspace), (&b"late"[..], "k"));
        let key = inverse_key(key, cell);
        vec![late(key, Action::Put(with_cell(b"")))]
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
async fn what_a_leader_has_derived_by_those_that_come_later_have_to_know() {
    let directory = TempDir::new().unwrap();
    let (mut around, commands) = (surroundings(&directory), Deriving::new());
    around.commands = Arc::clone(&commands) as Arc<dyn Commands>;
    let cluster = open_with(around.clone()).await;
    let keyspace = make_keyspaces(&cluster).await;
    let index = cluster.metadata_index();
    let learn = |known, since, knows_late| {
        commands.known.store(known, Ordering::SeqCst);
        commands.since.store(since, Ordering::SeqCst);
        commands.knows_late.store(knows_late, Ordering::SeqCst);
    };
    learn(index + 4, 0, false);
    put(&cluster, keyspace, &key(1), 1).await;
    // It knows of another index, which nobody has asked it to know.
    learn(index + 6, index + 5, true);
    put(&cluster, keyspace, &key(1), 2).await;
    // A request for less changes nothing about that, also after a start.
    cluster.require(index + 3).await.unwrap();
    cluster.settled().await.unwrap();
    assert_eq!(rows(&cluster, "late").await, rows(&cluster, "inverse").await);
    cluster.close().unwrap();
    let cluster = open_with(around).await;
    let keyspace = cluster.keyspace("k").unwrap();
    // One that has not heard of it would leave a row behind.
    learn(index + 4, 0, false);
    let refused = cluster
        .write(keyspace, &key(1), WriteOptions::default(), &Append(255))
        .await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    learn(index + 5, index + 5, true);
    put(&cluster, keyspace, &key(1), 255).await;
    check(&cluster, 3).await;
    assert_eq!(rows(&cluster, "late").await, BTreeMap::new());
    cluster.close().unwrap();
}

#[tokio::test]
async fn later_leaders_have_to_know_the_keyspaces_that_one_has_put_rows_into() {
    let directory = TempDir::new().unwrap();
    let (mut around, commands) = (surroundings(&directory), Deriving::new());
    around.commands = Arc::clone(&commands) as Arc<dyn Commands>;
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    let late = cluster.keyspace("late").unwrap();
    cluster.drop_keyspace(late).await.unwrap();
    let late = retried(async || cluster.create_keyspace("late").await).await;
    commands.knows_late.store(true, Ordering::SeqCst);
    put(&cluster, keyspace, &key(1), 1).await;
    let number = u64::from(late.number);
    commands.known.store(number - 1, Ordering::SeqCst);
    let refused = cluster
        .write(keyspace, &key(1), WriteOptions::default(), &Append(255))
        .await;
    assert!(matches!(refused, Err(Error::Unavailable { .. })), "{refused:?}");
    commands.known.store(number, Ordering::SeqCst);
    put(&cluster, keyspace, &key(1), 255).await;
    check(&cluster, 2).await;
    assert_eq!(rows(&cluster, "late").await, BTreeMap::new());
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
    for range in cluster.ranges().unwrap() {
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

#[tokio::test]
async fn a_leader_fills_nothing_before_it_knows_where_the_rows_go() {
    let directory = TempDir::new().unwrap();
    let (mut around, commands) = (surroundings(&directory), Deriving::new());
    around.commands = Arc::clone(&commands) as Arc<dyn Commands>;
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    for number in 0..10 {
        put(&cluster, keyspace, &key(number), 3).await;
    }
    // To a leader that lags, the keyspace of the rows is one that is not there.
    let late = cluster.keyspace("late").unwrap();
    cluster.drop_keyspace(late).await.unwrap();
    let index = cluster.metadata_index();
    let required = index + 1;
    cluster.require(required).await.unwrap();
    commands.known.store(index, Ordering::SeqCst);
    for range in cluster.ranges().unwrap() {
        let part = Fill {
            keyspace,
            filling: Bytes::from_static(b"late"),
            range,
            behind: None,
            required,
            count: 100,
        };
        match cluster.fill(&part).await {
            Ok(filled) => assert_eq!(filled.cells, 0, "nothing was derived from them"),
            Err(error) => assert!(matches!(error, Error::Unavailable { .. }), "{error:?}"),
        }
    }
    retried(async || cluster.create_keyspace("late").await).await;
    commands.known.store(cluster.metadata_index(), Ordering::SeqCst);
    fill_late(&cluster, keyspace, required).await;
    cluster.settled().await.unwrap();
    assert_eq!(rows(&cluster, "late").await, rows(&cluster, "inverse").await);
    cluster.close().unwrap();
}

/// Fills `late` range by range.
async fn fill_late(cluster: &Cluster, keyspace: Keyspace, required: u64) {
    for range in cluster.ranges().unwrap() {
        let mut fill = Fill {
            keyspace,
            filling: Bytes::from_static(b"late"),
            range,
            behind: None,
            required,
            count: 2,
        };
        while let Some(last) = retried(async || cluster.fill(&fill).await).await.last {
            fill.behind = Some(last);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_filled_while_cells_are_written_is_counted_exactly() {
    let directory = TempDir::new().unwrap();
    let (mut around, commands) = (surroundings(&directory), Deriving::new());
    around.commands = Arc::clone(&commands) as Arc<dyn Commands>;
    let cluster = open_with(around).await;
    let keyspace = make_keyspaces(&cluster).await;
    for number in 0..60 {
        put(&cluster, keyspace, &key(number % 40), 3).await;
    }
    commands.knows_late.store(true, Ordering::SeqCst);
    let required = cluster.metadata_index();
    cluster.require(required).await.unwrap();
    // Cells come, change and go before their turn has come and after it; and a part of the fill comes twice.
    let writes = async |from: usize| {
        for number in from..from + 40 {
            let byte = if number % 3 == 0 { 255 } else { 4 };
            put(&cluster, keyspace, &key(number % 55), byte).await;
        }
    };
    tokio::join!(writes(0), fill_late(&cluster, keyspace, required), writes(30));
    fill_late(&cluster, keyspace, required).await;
    writes(10).await;
    check(&cluster, 180).await;
    let late = rows(&cluster, "late").await;
    assert_eq!(late, rows(&cluster, "inverse").await);
    let tally = cluster.tally(cluster.keyspace("late").unwrap()).await;
    let bytes: usize = late.values().map(Bytes::len).sum();
    assert_eq!((tally.items, tally.bytes), (late.len() as u64, bytes as u64));
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_node_without_a_layout_does_not_speak_for_all_ranges() {
    let directory = TempDir::new().unwrap();
    let founders = (1..=3).map(|node| Founder {
        node: NodeId(node),
        address: format!("node-{node}:1"),
    });
    let settings = NodeSettings {
        founders: founders.collect(),
        address: "node-1:1".to_owned(),
        ..settings()
    };
    // The others are never heard of, so that nothing is agreed on.
    let connect = |_, _| Ok(Arc::new(Alone) as Arc<dyn Network>);
    let cluster = Cluster::open(settings, surroundings(&directory), connect).unwrap();
    let ranges = cluster.ranges();
    assert!(matches!(ranges, Err(Error::Unavailable { .. })), "{ranges:?}");
    let required = cluster.require(1).await;
    assert!(matches!(required, Err(Error::Unavailable { .. })), "{required:?}");
    let settled = cluster.settled().await;
    assert!(matches!(settled, Err(Error::Unavailable { .. })), "{settled:?}");
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_that_all_run_this_program_name_the_terms_of_rows() {
    let three = three_with(3, &Hub::default(), Deriving::new()).await;
    let keyspace = make_keyspaces(&three.nodes[0]).await;
    for number in 0..20 {
        put(&three.nodes[0], keyspace, &key(number), 3).await;
    }
    for node in &three.nodes {
        assert_eq!(node.nodes_before(FORMATS + 1).len(), 3);
        while !node.node.host.names_terms() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
    for number in 0..20 {
        put(&three.nodes[0], keyspace, &key(number), 4).await;
    }
    check(&three.nodes[0], 40).await;
    three.close();
}
