//! Replicas are compared, and what one of them has wrong is put right, whether its disk says so or not.

use std::ops::{Bound, ControlFlow};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use stator_storage::{StreamId, WriteBatch};

use super::three::{Hub, Three, retried, three_with};
use super::*;

/// Keys of all ranges.
fn keys() -> impl Iterator<Item = Vec<u8>> {
    (0..200_u64).map(|number| number.wrapping_mul(0x9E37_79B9_7F4A_7C15).to_be_bytes().to_vec())
}

/// Three nodes, each with a replica of every range, and cells.
async fn filled() -> (Three, Vec<Keyspace>) {
    let three = three_with(3, &Hub::default(), Arc::new(Appends)).await;
    let mut keyspaces = Vec::new();
    for node in &three.nodes {
        keyspaces.push(retried(async || node.create_keyspace("k").await).await);
    }
    for key in keys() {
        let options = WriteOptions {
            level: ConsistencyLevel::All,
            invocation: None,
        };
        retried(async || {
            three.nodes[0]
                .write(keyspaces[0], &key, options, &Set(key[0]))
                .await
        })
        .await;
    }
    (three, keyspaces)
}

/// Waits until every node has compared what it leads, and nobody is under suspicion.
async fn repaired(three: &Three) {
    assert_eq!(three.nodes[0].begin_repair().await.unwrap(), []);
    loop {
        let progress = three.nodes[0].repair_progress().await.unwrap();
        let left = |progress: RepairProgress| {
            let files = progress.files_waiting + progress.files_damaged;
            progress.ranges_waiting + progress.suspects + files
        };
        let is_done = progress.values().all(|it| it.is_some_and(|it| left(it) == 0));
        // Who was under suspicion leads nothing for a while.
        let ranges: u64 = progress.values().flatten().map(|it| it.ranges).sum();
        if progress.len() == 3 && is_done && ranges >= 4 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Holds every cell against what was written, as a node has it now and as everybody does.
async fn read_all(three: &Three, keyspaces: &[Keyspace]) {
    for (node, keyspace) in three.nodes.iter().zip(keyspaces) {
        for key in keys() {
            for level in [ConsistencyLevel::One, ConsistencyLevel::Quorum] {
                let cell = retried(async || node.read(*keyspace, &key, level).await).await;
                assert_eq!(cell.as_deref(), Some(&key[..1]), "{level:?} {key:?}");
            }
        }
    }
}

/// Holds the rows that a node reads itself against what was written. Nothing is tried again: a client must not see damage.
async fn read_in_order(node: &Cluster, keyspace: Keyspace) {
    let everything = Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    let mut expected: Vec<_> = keys().collect();
    expected.sort();
    for direction in [Direction::Forward, Direction::Backward] {
        let mut seen = Vec::new();
        node.range(keyspace, &everything, direction, ConsistencyLevel::One, |row| {
            assert_eq!(row.cell(), &row.key()[..1]);
            seen.push(row.key().to_vec());
            ControlFlow::Continue(())
        })
        .await
        .unwrap();
        assert_eq!(seen, expected, "{direction:?}");
        expected.reverse();
    }
}

/// Changes a byte in the middle of every sstable of a directory.
pub(crate) fn damage(directory: &Path) -> usize {
    let mut damaged = 0;
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "sst") {
            let file = std::fs::File::options()
                .read(true)
                .write(true)
                .open(&path)
                .unwrap();
            // Behind the header: in the first data block.
            let mut byte = [0];
            file.read_exact_at(&mut byte, 70).unwrap();
            file.write_all_at(&[!byte[0]], 70).unwrap();
            damaged += 1;
        }
    }
    damaged
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_rots_on_one_disk_is_found_and_put_right_and_never_served() {
    let (three, keyspaces) = filled().await;
    let rotten = three.nodes[1].inner();
    rotten.engine.flush().unwrap();
    assert!(damage(&rotten.surroundings.directory) >= 2);
    read_in_order(&three.nodes[1], keyspaces[1]).await;
    read_all(&three, &keyspaces).await;
    repaired(&three).await;
    let status = three.nodes[1].status().scrub;
    assert!(status.healed > 0, "{status:?}");
    assert_eq!(
        (status.files_damaged, status.suspects, status.is_beyond_repair),
        (0, 0, false)
    );
    assert_eq!(rotten.engine.damaged(), []);
    for other in [0, 2] {
        assert_eq!(three.nodes[other].status().scrub.healed, 0);
    }
    read_all(&three, &keyspaces).await;
    // Everything that the engines have is the same now.
    for node in &three.nodes {
        for (group, replica) in node
            .inner()
            .replicas()
            .iter()
            .enumerate()
            .filter_map(|(group, it)| Some((group, it.clone()?)))
        {
            assert!(replica.is_readable(), "group {group}");
        }
    }
    let healed = three.nodes[1].status().scrub.healed;
    repaired(&three).await;
    assert_eq!(
        three.nodes[1].status().scrub.healed,
        healed,
        "there is nothing left to heal"
    );
    three.close();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cell_that_one_replica_has_otherwise_is_put_right() {
    let (three, keyspaces) = filled().await;
    let all: Vec<_> = keys().collect();
    let mut batch = WriteBatch::new();
    let wrong = three.nodes[2].inner();
    batch.put(keyspaces[2].id, &all[7], b"wrong");
    batch.delete(keyspaces[2].id, &all[8]);
    batch.put(keyspaces[2].id, &[all[9].clone(), vec![1]].concat(), b"too much");
    wrong.engine.apply_now(batch, StreamId(1 << 40), 1).unwrap();
    repaired(&three).await;
    // A leader that is wrong hands over, and the next one compares.
    let status = three.nodes[2].status().scrub;
    assert_eq!((status.healed, status.undecided), (3, 0));
    read_all(&three, &keyspaces).await;
    assert_eq!(
        wrong
            .engine
            .get(keyspaces[2].id, &[all[9].clone(), vec![1]].concat())
            .unwrap(),
        None
    );
    three.close();
}

#[tokio::test]
async fn a_node_alone_never_serves_what_is_damaged_and_says_that_nobody_has_it() {
    let directory = TempDir::new().unwrap();
    let cluster = open(&directory).await;
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    for key in keys() {
        cluster
            .write(keyspace, &key, WriteOptions::default(), &Set(key[0]))
            .await
            .unwrap();
    }
    cluster.inner().engine.flush().unwrap();
    assert!(damage(directory.path()) > 0);
    let mut failed = 0;
    for key in keys() {
        match cluster.read(keyspace, &key, ConsistencyLevel::One).await {
            Ok(cell) => assert_eq!(cell.as_deref(), Some(&key[..1])),
            Err(error) => {
                assert!(error.to_string().contains("is corrupt at offset"), "{error}");
                failed += 1;
            }
        }
    }
    assert!(failed > 0);
    assert_eq!(cluster.begin_repair().await.unwrap(), []);
    while !cluster.status().scrub.is_beyond_repair {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(cluster.status().scrub.files_damaged > 0);
    cluster.close().unwrap();
}

#[tokio::test]
async fn suspicion_is_remembered_by_a_start() {
    let (directory, cluster, _) = cluster().await;
    let replica = cluster.inner().replica(1).unwrap();
    replica.set_suspect(true).await;
    assert!(!replica.is_readable() && !replica.is_leader());
    drop(replica);
    cluster.close().unwrap();
    drop(cluster);
    for is_suspect in [true, false] {
        let cluster = open(&directory).await;
        let replica = cluster.inner().replica(1).unwrap();
        assert_eq!(replica.is_suspect(), is_suspect);
        replica.campaign();
        assert_eq!(replica.is_leader(), !is_suspect);
        replica.set_suspect(false).await;
        drop(replica);
        cluster.close().unwrap();
    }
}
