//! The rules as a table of cases, and the file under power cuts, damage and later versions.

use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};
use stator_storage::vfs::mem::{MemVfs, Unsynced};

use super::*;

const OURS: Uuid = Uuid::from_u128(0x1234_5678_9abc_def0_1234_5678_9abc_def0);
const THEIRS: Uuid = Uuid::from_u128(7);
const NODE: NodeId = NodeId(5);

fn identity(incarnation: u64, standing: Standing) -> NodeIdentity {
    NodeIdentity {
        cluster: OURS,
        node: NODE,
        incarnation,
        standing,
    }
}

fn member(incarnation: u64) -> NodeIdentity {
    identity(incarnation, Standing::Member)
}

fn rejoining(incarnation: u64) -> NodeIdentity {
    identity(incarnation, Standing::Rejoining)
}

fn known(incarnation: u64) -> Answer {
    Answer::Known(Known {
        node: NODE,
        incarnation,
        wiped: false,
    })
}

fn wiped(incarnation: u64) -> Answer {
    Answer::Known(Known {
        node: NODE,
        incarnation,
        wiped: true,
    })
}

fn expected(rejoin: bool) -> Expected {
    Expected {
        cluster: OURS,
        node: NODE,
        rejoin,
    }
}

#[test]
fn the_rules_of_starting() {
    let old = |found, known| Err(Refusal::OldCopy { found, known });
    let exhausted = Err(Refusal::NoIncarnationLeft { node: NODE });
    let other_cluster = NodeIdentity {
        cluster: THEIRS,
        ..member(3)
    };
    let other_node = NodeIdentity {
        node: NodeId(6),
        ..member(3)
    };
    let about_another = Answer::Known(Known {
        node: NodeId(6),
        incarnation: 1,
        wiped: false,
    });
    let nobody = Err(Refusal::NobodyToAsk {
        cluster: OURS,
        node: NODE,
    });
    let cases = [
        (
            "a new node of a known cluster",
            None,
            Answer::Unknown,
            Ok(member(1)),
        ),
        ("an empty directory, nobody to ask", None, Answer::Nobody, nobody),
        (
            "an empty directory of a known node",
            None,
            known(7),
            Ok(rejoining(24)),
        ),
        (
            "an empty directory of a wiped node",
            None,
            wiped(7),
            Ok(rejoining(24)),
        ),
        (
            "a restart with nobody to ask",
            Some(member(3)),
            Answer::Nobody,
            Ok(member(4)),
        ),
        (
            "a node that never got through",
            Some(member(3)),
            Answer::Unknown,
            Ok(member(4)),
        ),
        ("a restart", Some(member(3)), known(3), Ok(member(4))),
        (
            "a restart after unseen starts",
            Some(member(3)),
            known(1),
            Ok(member(4)),
        ),
        ("an old copy", Some(member(3)), known(4), old(3, 4)),
        (
            "an old copy after the disk was wiped",
            Some(member(3)),
            wiped(9),
            old(3, 9),
        ),
        (
            "an old copy of a rejoining node",
            Some(rejoining(3)),
            known(4),
            old(3, 4),
        ),
        (
            "a restart while rejoining, untold",
            Some(rejoining(8)),
            known(7),
            Ok(rejoining(9)),
        ),
        (
            "a restart while rejoining",
            Some(rejoining(8)),
            wiped(8),
            Ok(rejoining(9)),
        ),
        (
            "a restart while rejoining, alone",
            Some(rejoining(8)),
            Answer::Nobody,
            Ok(rejoining(9)),
        ),
        (
            "the cluster still replaces its replicas",
            Some(member(8)),
            wiped(8),
            Ok(rejoining(9)),
        ),
        (
            "the last incarnation",
            Some(member(u64::MAX)),
            known(3),
            exhausted,
        ),
        (
            "another cluster",
            Some(other_cluster),
            known(3),
            Err(Refusal::OtherCluster {
                found: THEIRS,
                expected: OURS,
            }),
        ),
        (
            "another node",
            Some(other_node),
            known(3),
            Err(Refusal::OtherNode {
                found: NodeId(6),
                expected: NODE,
            }),
        ),
        (
            "an answer about another node",
            Some(member(3)),
            about_another,
            Err(Refusal::OtherAnswer {
                answered: NodeId(6),
                expected: NODE,
            }),
        ),
    ];
    for (name, found, answer, outcome) in cases {
        assert_eq!(
            decide(found.as_ref(), &expected(false), &answer),
            outcome,
            "{name}"
        );
    }
}

#[test]
fn an_old_copy_rejoins_where_the_operator_allows_it() {
    for (answer, incarnation) in [(known(4), 5), (wiped(9), 10)] {
        let decided = decide(Some(&member(3)), &expected(true), &answer);
        assert_eq!(decided, Ok(rejoining(incarnation)));
    }
    let decided = decide(Some(&member(3)), &expected(true), &known(3));
    assert_eq!(decided, Ok(member(4)), "the latest directory stays a member");
}

#[test]
fn a_refusal_says_what_to_do() {
    let refusal = decide(Some(&member(3)), &expected(false), &known(7)).unwrap_err();
    let message = refusal.to_string();
    assert!(
        message.starts_with("this directory was restored from an old copy: "),
        "{message}"
    );
    assert!(
        message.contains("empty the directory or allow `rejoin`"),
        "{message}"
    );
}

proptest! {
    #[test]
    fn who_lost_its_data_has_no_vote(
        found in proptest::option::of((any::<u32>(), any::<bool>())),
        seen in any::<u32>(),
        is_wiped in any::<bool>(),
        rejoin in any::<bool>(),
    ) {
        let found = found.map(|(incarnation, standing)| {
            identity(incarnation.into(), if standing { Standing::Member } else { Standing::Rejoining })
        });
        let answer = if is_wiped { wiped(seen.into()) } else { known(seen.into()) };
        let decided = decide(found.as_ref(), &expected(rejoin), &answer);
        let latest = found.is_some_and(|found| found.incarnation >= u64::from(seen));
        if let Ok(decided) = decided {
            prop_assert!(decided.incarnation > u64::from(seen), "no incarnation twice");
            prop_assert!(found.is_none_or(|found| decided.incarnation > found.incarnation));
            let may_vote = latest && !is_wiped && found.is_some_and(|found| found.standing == Standing::Member);
            prop_assert_eq!(decided.standing == Standing::Member, may_vote);
        } else {
            prop_assert!(found.is_some() && !latest && !rejoin);
        }
    }

    #[test]
    fn no_bytes_make_reading_panic(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
        prop_assert!(decode(&bytes, Path::new(FILE_NAME)).is_err());
    }

    #[test]
    fn an_identity_comes_back(cluster in any::<u128>(), node in any::<u64>(), incarnation in any::<u64>(), rejoins in any::<bool>()) {
        let identity = NodeIdentity {
            cluster: Uuid::from_u128(cluster),
            node: NodeId(node),
            incarnation,
            standing: if rejoins { Standing::Rejoining } else { Standing::Member },
        };
        prop_assert_eq!(decode(&encode(&identity), Path::new(FILE_NAME)).unwrap(), identity);
    }
}

/// A disk with an empty directory.
fn disk() -> (MemVfs, PathBuf) {
    let vfs = MemVfs::new();
    let directory = PathBuf::from("/data");
    vfs.create_dir_all(&directory).unwrap();
    (vfs, directory)
}

fn put(vfs: &MemVfs, directory: &Path, bytes: &[u8]) {
    let file = vfs.create(&directory.join(FILE_NAME)).unwrap();
    file.write_all_at(bytes, 0).unwrap();
}

#[test]
fn each_start_has_the_next_incarnation() {
    let (vfs, directory) = disk();
    assert_eq!(read(&vfs, &directory).unwrap(), None);
    for incarnation in 1..5 {
        let answer = if incarnation == 1 {
            Answer::Unknown
        } else {
            Answer::Nobody
        };
        let started = start(&vfs, &directory, &expected(false), &answer).unwrap();
        assert_eq!(started, member(incarnation));
        assert_eq!(read(&vfs, &directory).unwrap(), Some(started));
    }
}

#[test]
fn a_rejoin_goes_on_over_restarts_until_it_is_finished() {
    let (vfs, directory) = disk();
    let first = start(&vfs, &directory, &expected(false), &known(7)).unwrap();
    assert_eq!(first, rejoining(24));
    let second = start(&vfs, &directory, &expected(false), &Answer::Nobody).unwrap();
    assert_eq!(second, rejoining(25));
    assert_eq!(finish_rejoin(&vfs, &directory).unwrap(), member(25));
    assert_eq!(
        finish_rejoin(&vfs, &directory).unwrap(),
        member(25),
        "once more changes nothing"
    );
    let third = start(&vfs, &directory, &expected(false), &known(25)).unwrap();
    assert_eq!(third, member(26));
}

#[test]
fn a_refused_start_changes_nothing() {
    let (vfs, directory) = disk();
    start(&vfs, &directory, &expected(false), &Answer::Unknown).unwrap();
    let refused = start(&vfs, &directory, &expected(false), &known(2));
    assert!(matches!(
        refused,
        Err(Error::Refused(Refusal::OldCopy { found: 1, known: 2 }))
    ));
    assert_eq!(read(&vfs, &directory).unwrap(), Some(member(1)));
}

#[test]
fn finishing_a_rejoin_needs_an_identity() {
    let (vfs, directory) = disk();
    assert!(matches!(
        finish_rejoin(&vfs, &directory),
        Err(Error::Io { action: "open", .. })
    ));
}

#[test]
fn a_power_cut_at_any_moment_leaves_the_old_incarnation_or_the_new_one() {
    let operations = {
        let (vfs, directory) = disk();
        start(&vfs, &directory, &expected(false), &Answer::Unknown).unwrap();
        let before = vfs.operations();
        start(&vfs, &directory, &expected(false), &Answer::Nobody).unwrap();
        vfs.operations() - before
    };
    assert!(operations >= 5, "create, write, sync, rename, sync: {operations}");
    for cut in 0..=operations {
        for unsynced in [Unsynced::Lost, Unsynced::Kept, Unsynced::Torn { seed: cut }] {
            let (vfs, directory) = disk();
            start(&vfs, &directory, &expected(false), &Answer::Unknown).unwrap();
            vfs.cut_power_after(vfs.operations() + cut);
            let returned = start(&vfs, &directory, &expected(false), &Answer::Nobody);
            let vfs = vfs.after_power_cut(unsynced);
            let found = read(&vfs, &directory).unwrap().unwrap();
            match returned {
                Ok(started) => assert_eq!(found, started, "what was returned is durable"),
                Err(_) => assert!(found == member(1) || found == member(2), "{found}"),
            }
            let next = start(&vfs, &directory, &expected(false), &Answer::Nobody).unwrap();
            assert_eq!(next.incarnation, found.incarnation + 1);
        }
    }
}

#[test]
fn a_file_with_one_wrong_bit_is_corruption() {
    let bytes = encode(&member(3));
    for place in 0..bytes.len() {
        for bit in 0..8 {
            let mut damaged = bytes.clone();
            damaged[place] ^= 1 << bit;
            let decoded = decode(&damaged, Path::new(FILE_NAME));
            assert!(
                matches!(decoded, Err(Error::Corruption { .. })),
                "byte {place}, bit {bit}"
            );
        }
    }
}

#[test]
fn a_file_that_is_cut_or_too_long_is_corruption() {
    let bytes = encode(&member(3));
    for length in 0..bytes.len() {
        let decoded = decode(&bytes[..length], Path::new(FILE_NAME));
        assert!(matches!(decoded, Err(Error::Corruption { .. })), "{length} bytes");
    }
    let (vfs, directory) = disk();
    put(&vfs, &directory, &[0; 513]);
    assert!(matches!(
        read(&vfs, &directory),
        Err(Error::Corruption {
            cause: "it is too long",
            ..
        })
    ));
}

#[test]
fn a_later_version_is_named_and_left_alone() {
    let mut bytes = MAGIC.to_vec();
    bytes.extend_from_slice(&2u32.to_le_bytes());
    let body = [9; 100];
    let sum = checksum(&bytes, &body);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes.extend_from_slice(&body);
    let (vfs, directory) = disk();
    put(&vfs, &directory, &bytes);
    let refused = start(&vfs, &directory, &expected(true), &known(3)).unwrap_err();
    assert!(matches!(refused, Error::UnknownVersion { found: 2, .. }));
    assert!(refused.to_string().contains("version 2") && refused.to_string().contains("version 1"));
}

#[test]
fn the_bytes_are_those_of_the_document() {
    let bytes = encode(&rejoining(8));
    assert_eq!(&bytes[..12], b"STATORND\x01\x00\x00\x00");
    assert_eq!(&bytes[16..32], OURS.as_bytes());
    assert_eq!(&bytes[32..], [5, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 1]);
}
