//! Typed commands and commands in bytes do the same to the same cells, on one node and on three.

mod cut;
mod derived;
mod moves;
pub(crate) mod scrub;
mod sums;
pub(crate) mod three;
mod traces;
mod transact;
mod versions;

use std::sync::atomic::{AtomicU8, Ordering};

use std::num::{NonZeroU8, NonZeroU32};

use stator_storage::vfs::fault::{Fault, FaultVfs, Operation};
use stator_storage::vfs::posix::PosixVfs;
use stator_storage::{MASTER_KEY_BYTES, MasterKey};
use tempfile::TempDir;
use tokio::runtime::Handle;
use uuid::Uuid;

use super::*;
use crate::command::{Answer, Commands, MalformedCommand, Verdict};
use crate::gossip::GossipSettings;
use crate::group::settings::Timing;
use crate::group::write::Encoded;
use crate::node::settings::{Alone, Founder, MoveSettings, ScrubSettings};
use crate::ring::RangeBits;
use crate::runtime::TokioWorld;
use crate::world::NodeId;

/// Appends a byte to the cell; refuses a second byte 0; removes the cell on byte 255. Answers the length before.
struct Append(u8);

impl Applier for Append {
    type Answer = Length;

    fn decide(&self, current: Option<&Cell>) -> Verdict<Length> {
        let current = current.map_or(&[][..], AsRef::as_ref);
        let answer = Length(current.len());
        match self.0 {
            0 if current.contains(&0) => Verdict::Keep { answer },
            255 => Verdict::Delete { answer },
            byte => Verdict::Put {
                cell: [current, &[byte]].concat().into(),
                answer,
            },
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.push(self.0);
    }

    fn answer_unseen(&self) -> Option<Length> {
        None
    }
}

/// The cell becomes this byte, whatever it was.
pub(crate) struct Set(pub(crate) u8);

impl Applier for Set {
    type Answer = ();

    fn decide(&self, _: Option<&Cell>) -> Verdict<()> {
        Verdict::Put {
            cell: vec![self.0].into(),
            answer: (),
        }
    }

    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(&[SET, self.0]);
    }

    fn answer_unseen(&self) -> Option<()> {
        Some(())
    }
}

/// First of the two bytes of a [`Set`].
const SET: u8 = 200;

#[derive(Debug, PartialEq, Eq)]
struct Length(usize);

impl Answer for Length {
    fn encode(&self, into: &mut Vec<u8>) {
        into.extend_from_slice(self.0.to_string().as_bytes());
    }

    fn decode(bytes: &Bytes) -> Result<Self, crate::MalformedAnswer> {
        let text = std::str::from_utf8(bytes).map_err(|error| error.to_string());
        text.and_then(|text| text.parse().map_err(|_| format!("{text} is not a length")))
            .map(Self)
            .map_err(|detail| crate::MalformedAnswer { detail })
    }
}

#[derive(Debug)]
pub(crate) struct Appends;

impl Commands for Appends {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        if let [SET, byte] = command[..] {
            return Ok(Set(byte).decide(current).map(|()| Vec::new()));
        }
        let [byte] = command[..] else {
            return Err(MalformedCommand {
                detail: format!("{} bytes", command.len()),
            });
        };
        Ok(Append(byte).decide(current).map(|answer| {
            let mut bytes = Vec::new();
            answer.encode(&mut bytes);
            bytes
        }))
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

async fn cluster() -> (TempDir, Cluster, Keyspace) {
    let directory = TempDir::new().unwrap();
    let cluster = open(&directory).await;
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    (directory, cluster, keyspace)
}

async fn open(directory: &TempDir) -> Cluster {
    open_with(surroundings(directory)).await
}

async fn open_with(surroundings: Surroundings) -> Cluster {
    let connect = |_, _| Ok(Arc::new(Alone) as Arc<dyn Network>);
    let cluster = Cluster::open(settings(), surroundings, connect).unwrap();
    cluster.ready().await.unwrap();
    cluster
}

/// Of a node alone.
pub(crate) fn settings() -> NodeSettings {
    let founder = Founder {
        node: NodeId(1),
        address: "localhost:1".to_owned(),
    };
    NodeSettings {
        node: founder.node,
        cluster: Uuid::from_u128(7),
        address: founder.address.clone(),
        zone: String::new(),
        rack: String::new(),
        capacity: NonZeroU32::MIN,
        founders: vec![founder],
        replication: NonZeroU8::MIN,
        range_bits: RangeBits::MIN,
        rejoin: false,
        software: "0".to_owned(),
        storage: Settings::default(),
        timing: Timing::default(),
        gossip: GossipSettings::default(),
        moves: MoveSettings::default(),
        scrub: ScrubSettings::default(),
    }
}

pub(crate) fn surroundings(directory: &TempDir) -> Surroundings {
    let next = AtomicU8::new(0);
    let random = Random::new(move |buffer| {
        buffer.fill_with(|| next.fetch_add(1, Ordering::Relaxed));
        Ok(())
    });
    Surroundings {
        world: Arc::new(TokioWorld::new(Handle::current()).unwrap()),
        disk: Arc::new(PosixVfs),
        directory: directory.path().to_owned(),
        random,
        master_keys: MasterKeys::new(MasterKey::new([3; MASTER_KEY_BYTES])),
        clock: None,
        driven: false,
        commands: Arc::new(Appends),
        tracer: None,
    }
}

/// A command as another node would send it.
async fn write_encoded(
    cluster: &Cluster,
    keyspace: Keyspace,
    key: &[u8],
    options: &WriteOptions,
    command: &Bytes,
) -> Result<Bytes, Refused> {
    let group = cluster.group_of(keyspace, key).unwrap();
    let replica = cluster.node.replica(group).unwrap();
    let target = Target {
        keyspace: keyspace.number,
        key,
    };
    let commands = &Appends;
    let decision = Encoded {
        commands,
        command,
        asked_ms: None,
    };
    replica.write(target, options, &decision).await
}

#[tokio::test]
async fn a_command_in_bytes_does_what_the_typed_one_does() {
    let (_directory, cluster, keyspace) = cluster().await;
    for byte in [1, 0, 0, 2, 255, 0, 7] {
        let options = WriteOptions {
            level: ConsistencyLevel::All,
            invocation: None,
        };
        let typed = Append(byte);
        let mut bytes = Vec::new();
        typed.encode(&mut bytes);
        let answer = cluster.write(keyspace, b"typed", options, &typed).await.unwrap();
        let encoded = write_encoded(&cluster, keyspace, b"encoded", &options, &bytes.into())
            .await
            .unwrap();
        assert_eq!(Length::decode(&encoded), Ok(answer), "byte {byte}");
        let level = ConsistencyLevel::Quorum;
        let typed = cluster.read(keyspace, b"typed", level).await.unwrap();
        let encoded = cluster.read(keyspace, b"encoded", level).await.unwrap();
        assert_eq!(typed, encoded, "byte {byte}");
    }
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_disk_that_fails_in_the_background_is_noticed_though_nobody_asks_for_anything() {
    let directory = TempDir::new().unwrap();
    let disk = FaultVfs::new(Arc::new(PosixVfs));
    let cluster = open_with(Surroundings {
        disk: Arc::new(disk.clone()),
        ..surroundings(&directory)
    })
    .await;
    let keyspace = cluster.create_keyspace("k").await.unwrap();
    let options = WriteOptions::default();
    cluster
        .write(keyspace, b"key", options, &Append(9))
        .await
        .unwrap();
    disk.fail(Operation::Allocate, Fault::Enospc, 0, u64::MAX);
    cluster.inner().engine.flush().unwrap_err();
    let failed = tokio::time::timeout(Duration::from_secs(20), cluster.failed()).await;
    let cause = failed.unwrap();
    assert!(cause.contains("No space left on device"), "{cause}");
}

#[tokio::test]
async fn bytes_that_are_no_command_change_nothing() {
    let (_directory, cluster, keyspace) = cluster().await;
    let (options, key) = (WriteOptions::default(), b"key");
    cluster.write(keyspace, key, options, &Append(9)).await.unwrap();
    let result = write_encoded(&cluster, keyspace, key, &options, &Bytes::from_static(b"no")).await;
    assert!(
        matches!(result, Err(Refused::Finally(Error::MalformedCommand(_)))),
        "it was {result:?}"
    );
    let cell = cluster.read(keyspace, key, ConsistencyLevel::One).await.unwrap();
    assert_eq!(cell.as_deref(), Some(&[9][..]));
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_request_that_is_sent_again_takes_effect_once() {
    let (_directory, cluster, keyspace) = cluster().await;
    let options = WriteOptions {
        level: ConsistencyLevel::Quorum,
        invocation: Some(Invocation::first(InvocationId::hashed(b"request"))),
    };
    for _ in 0..3 {
        let answer = cluster
            .write(keyspace, b"key", options, &Append(9))
            .await
            .unwrap();
        assert_eq!(answer, Length(0));
    }
    let cell = cluster
        .read(keyspace, b"key", ConsistencyLevel::Quorum)
        .await
        .unwrap();
    assert_eq!(cell.as_deref(), Some(&[9][..]));
    assert_eq!(cluster.tally(keyspace).await, Tally { items: 1, bytes: 1 });
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_write_that_may_have_taken_effect_is_not_said_to_be_not_done_whatever_its_last_try_says() {
    let (_directory, cluster, keyspace) = cluster().await;
    let group = cluster.group_of(keyspace, b"key").unwrap();
    let gone = || Some(Err::<(), _>(Refused::Finally(Error::NoSuchKeyspace)));
    let mut route = Route::new(&cluster, group, true);
    let first = route.settle_write(gone());
    assert!(matches!(first, Err(Error::NoSuchKeyspace)), "{first:?}");
    for unknown in [None, Some(Err::<(), _>(Refused::Unknown("no answer".to_owned())))] {
        let mut route = Route::new(&cluster, group, true);
        assert!(matches!(route.settle_write(unknown), Ok(None)));
        // A read changes nothing, so that whatever its last try says holds.
        let read = route.settle(gone());
        assert!(matches!(read, Err(Error::NoSuchKeyspace)), "{read:?}");
        let later = route.settle_write(gone());
        assert!(matches!(later, Err(Error::OutcomeUnknown { .. })), "{later:?}");
    }
    cluster.close().unwrap();
}

#[tokio::test]
async fn rows_of_all_ranges_come_in_the_order_of_their_keys() {
    let (_directory, cluster, keyspace) = cluster().await;
    let keys = [[0x00, 1], [0x7F, 2], [0x80, 3], [0xFF, 4]];
    for key in keys {
        cluster
            .write(keyspace, &key, WriteOptions::default(), &Append(9))
            .await
            .unwrap();
    }
    let everything = Bounds {
        start: Bound::Unbounded,
        end: Bound::Unbounded,
    };
    for level in [ConsistencyLevel::One, ConsistencyLevel::Quorum] {
        let mut seen = Vec::new();
        let visited = cluster.range(keyspace, &everything, Direction::Backward, level, |row| {
            seen.push(row.key().to_vec());
            std::ops::ControlFlow::Continue(())
        });
        visited.await.unwrap();
        seen.reverse();
        assert_eq!(seen, keys);
    }
    let mut own = 0;
    let metadata = cluster.metadata();
    let visited = cluster.range(
        metadata,
        &everything,
        Direction::Forward,
        ConsistencyLevel::One,
        |_| {
            own += 1;
            std::ops::ControlFlow::Continue(())
        },
    );
    visited.await.unwrap();
    assert_eq!(own, 0, "the cluster's own rows are not shown");
    let refused = cluster
        .write(metadata, b"\0x", WriteOptions::default(), &Append(1))
        .await;
    assert!(matches!(refused, Err(Error::Invalid { .. })));
    cluster.close().unwrap();
}

#[tokio::test]
async fn rows_are_counted_again_after_a_start() {
    let (directory, cluster, keyspace) = cluster().await;
    for key in [b"a", b"b", b"c"] {
        cluster
            .write(keyspace, key, WriteOptions::default(), &Append(9))
            .await
            .unwrap();
    }
    let tally = Tally { items: 3, bytes: 3 };
    assert_eq!(cluster.tally(keyspace).await, tally);
    cluster.close().unwrap();
    drop(cluster);
    let cluster = open(&directory).await;
    let keyspace = cluster.keyspace("k").unwrap();
    cluster
        .write(keyspace, b"a", WriteOptions::default(), &Append(255))
        .await
        .unwrap();
    while cluster.tally(keyspace).await != (Tally { items: 2, bytes: 2 }) {
        tokio::task::yield_now().await;
    }
    cluster.close().unwrap();
}
