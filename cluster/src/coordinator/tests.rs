//! Typed commands and commands in bytes do the same to the same cells.

use std::sync::atomic::{AtomicU8, Ordering};

use stator_storage::{MASTER_KEY_BYTES, MasterKey};
use tempfile::TempDir;

use super::*;
use crate::command::{Answer, MalformedCommand};

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
struct Appends;

impl Commands for Appends {
    fn decide(&self, command: &Bytes, current: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
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

fn cluster() -> (TempDir, Cluster, Keyspace) {
    let directory = TempDir::new().unwrap();
    let next = AtomicU8::new(0);
    let secrets = Secrets {
        master_keys: MasterKeys::new(MasterKey::new([3; MASTER_KEY_BYTES])),
        random: Random::new(move |buffer| {
            buffer.fill_with(|| next.fetch_add(1, Ordering::Relaxed));
            Ok(())
        }),
        now_ms: 1,
    };
    let cluster = Cluster::open(directory.path(), Settings::default(), secrets, Arc::new(Appends)).unwrap();
    let keyspace = cluster.create_keyspace("k").unwrap();
    (directory, cluster, keyspace)
}

#[tokio::test]
async fn a_command_in_bytes_does_what_the_typed_one_does() {
    let (_directory, cluster, keyspace) = cluster();
    let options = WriteOptions {
        level: ConsistencyLevel::All,
        invocation: Some(InvocationId::hashed(b"request")),
    };
    for byte in [1, 0, 0, 2, 255, 0, 7] {
        let typed = Append(byte);
        let mut bytes = Vec::new();
        typed.encode(&mut bytes);
        let answer = cluster.write(keyspace, b"typed", options, &typed).await.unwrap();
        let encoded = cluster
            .write_encoded(keyspace, b"encoded", options, &bytes.into())
            .await
            .unwrap();
        assert_eq!(Length::decode(&encoded.into()), Ok(answer), "byte {byte}");
        let level = ConsistencyLevel::Quorum;
        let typed = cluster.read(keyspace, b"typed", level).await.unwrap();
        let encoded = cluster.read(keyspace, b"encoded", level).await.unwrap();
        assert_eq!(typed, encoded, "byte {byte}");
    }
    cluster.close().unwrap();
}

#[tokio::test]
async fn bytes_that_are_no_command_change_nothing() {
    let (_directory, cluster, keyspace) = cluster();
    let (options, key) = (WriteOptions::default(), b"key");
    cluster.write(keyspace, key, options, &Append(9)).await.unwrap();
    let result = cluster
        .write_encoded(keyspace, key, options, &Bytes::from_static(b"no"))
        .await;
    assert!(
        matches!(result, Err(Error::MalformedCommand(_))),
        "it was {result:?}"
    );
    let cell = cluster.read(keyspace, key, ConsistencyLevel::One).await.unwrap();
    assert_eq!(cell.as_deref(), Some(&[9][..]));
    cluster.close().unwrap();
}

#[tokio::test]
async fn a_write_with_no_known_end_names_its_invocation() {
    let (_directory, cluster, keyspace) = cluster();
    cluster.close().unwrap();
    let id = InvocationId::hashed(b"request");
    let (effect, Length(0)) = Effect::of(
        Append(1).decide(None),
        keyspace,
        b"key",
        WriteOptions {
            invocation: Some(id),
            ..WriteOptions::default()
        },
    ) else {
        panic!("a cell that is not there has length 0");
    };
    let effect = effect.unwrap();
    assert_eq!(effect.invocation, Some(id));
    let error = outcome_unknown("the engine was closed", effect.invocation);
    assert!(error.to_string().contains(&id.to_string()), "{error}");
}
