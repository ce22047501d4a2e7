//! The order of versions agrees with real time: the check for runs that are too long for a search.
//!
//! Every write of a key carries a value of its own and is told the version that it got; every read tells value and version.
//! Then the order in which operations took effect is known, and it takes one pass to see whether it is one that clients
//! may see: nobody who begins after an operation has ended sees or makes something older. Invariant: whatever is reported
//! is a violation; a removal whose version nobody knows, and reads that find nothing, are given the benefit of the doubt.

use std::collections::{BTreeMap, BTreeSet};

use crate::history::Operation;

/// A version: higher is later. 0 is before the first write.
pub type Version = u64;

/// What a client asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Puts a value that no other write of the key has.
    Write(u64),
    /// Removes what is there.
    Delete,
    /// Reads.
    Read,
}

/// What a client is told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// The write or removal stands, and got this version.
    Done(Version),
    /// There is this value, of this version.
    Found(u64, Version),
    /// There is nothing.
    Nothing,
}

/// One operation on a key.
pub type VersionedOperation = Operation<Input, Output>;

/// What must not be. Operations are named by their place in what was given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// Two writes have one version.
    #[error("operations {first} and {second} have both got version {version}")]
    SameVersion {
        /// One.
        first: usize,
        /// The other.
        second: usize,
        /// Their version.
        version: Version,
    },
    /// A value was read that nobody has written, or that was written only after the read had ended.
    #[error("operation {read} has found the value {value}, which nobody had written")]
    NeverWritten {
        /// The read.
        read: usize,
        /// What it found.
        value: u64,
    },
    /// A value was seen with two versions.
    #[error("operation {read} has found the value {value} with version {version}; it has version {known}")]
    OtherVersion {
        /// The read.
        read: usize,
        /// What it found.
        value: u64,
        /// With which version.
        version: Version,
        /// The version it has.
        known: Version,
    },
    /// Something older than what had been seen or made before it began.
    #[error(
        "operation {later} is at version {version}, though operation {earlier}, which had ended before it began, was at {known}"
    )]
    Backwards {
        /// What had ended.
        earlier: usize,
        /// The version that it had seen or made.
        known: Version,
        /// What began after it.
        later: usize,
        /// The version that this one saw or made.
        version: Version,
    },
    /// A read found nothing, though a later value had been seen and nothing was removed since.
    #[error(
        "operation {read} has found nothing, though operation {earlier} was at version {known} before it began and nobody removed that"
    )]
    Vanished {
        /// What had ended.
        earlier: usize,
        /// The version that it had seen or made.
        known: Version,
        /// The read.
        read: usize,
    },
}

/// A write as far as it is known.
struct Written {
    place: usize,
    began: u64,
    version: Option<Version>,
}

/// Checks the operations of one key.
///
/// # Errors
/// The first thing found that must not be.
pub fn check(operations: &[VersionedOperation]) -> Result<(), Broken> {
    let mut values = unique_versions(operations)?;
    reads_find_what_was_written(operations, &mut values)?;
    let versions: Vec<Option<Version>> = operations
        .iter()
        .map(|operation| match (operation.input, operation.ended) {
            (_, Some((_, Output::Done(version) | Output::Found(_, version)))) => Some(version),
            (Input::Write(value), None) => values.get(&value).and_then(|written| written.version),
            _ => None,
        })
        .collect();
    order_agrees_with_time(operations, &versions)
}

fn unique_versions(operations: &[VersionedOperation]) -> Result<BTreeMap<u64, Written>, Broken> {
    let mut owners = BTreeMap::new();
    let mut values = BTreeMap::new();
    for (place, operation) in operations.iter().enumerate() {
        let version = match operation.ended {
            Some((_, Output::Done(version))) => Some(version),
            _ => None,
        };
        if let Some(version) = version
            && let Some(first) = owners.insert(version, place)
        {
            let second = place;
            return Err(Broken::SameVersion {
                first,
                second,
                version,
            });
        }
        if let Input::Write(value) = operation.input {
            let began = operation.began;
            values.insert(
                value,
                Written {
                    place,
                    began,
                    version,
                },
            );
        }
    }
    Ok(values)
}

/// Learns the versions of writes without an answer from those who have found them.
fn reads_find_what_was_written(
    operations: &[VersionedOperation],
    values: &mut BTreeMap<u64, Written>,
) -> Result<(), Broken> {
    let mut owners: BTreeMap<Version, usize> = BTreeMap::new();
    for written in values.values() {
        owners.extend(written.version.map(|version| (version, written.place)));
    }
    for (read, operation) in operations.iter().enumerate() {
        let Some((ended, Output::Found(value, version))) = operation.ended else {
            continue;
        };
        let written = values.get_mut(&value).filter(|written| written.began < ended);
        let written = written.ok_or(Broken::NeverWritten { read, value })?;
        let known = *written.version.get_or_insert(version);
        if known != version {
            return Err(Broken::OtherVersion {
                read,
                value,
                version,
                known,
            });
        }
        let owner = *owners.entry(version).or_insert(written.place);
        if owner != written.place {
            let (first, second) = (owner.min(written.place), owner.max(written.place));
            return Err(Broken::SameVersion {
                first,
                second,
                version,
            });
        }
    }
    Ok(())
}

fn order_agrees_with_time(
    operations: &[VersionedOperation],
    versions: &[Option<Version>],
) -> Result<(), Broken> {
    let mut ends: Vec<(u64, usize)> = Vec::new();
    let mut begins: Vec<(u64, usize)> = Vec::new();
    for (place, operation) in operations.iter().enumerate() {
        begins.push((operation.began, place));
        ends.extend(operation.ended.map(|(ended, _)| (ended, place)));
    }
    begins.sort_unstable();
    ends.sort_unstable();
    let mut ends = ends.into_iter().peekable();
    // The latest version among what has ended, and who was at it.
    let mut latest: Option<(Version, usize)> = None;
    for (began, place) in begins {
        while let Some((_, ended)) = ends.next_if(|(ended, _)| *ended < began) {
            let version = versions.get(ended).copied().flatten();
            latest = latest.max(version.map(|version| (version, ended)));
        }
        let (Some((known, earlier)), Some(operation)) = (latest, operations.get(place)) else {
            continue;
        };
        match versions.get(place).copied().flatten() {
            Some(version) => {
                let is_read = operation.input == Input::Read;
                if version < known || (version == known && !is_read) {
                    let later = place;
                    return Err(Broken::Backwards {
                        earlier,
                        known,
                        later,
                        version,
                    });
                }
            }
            None if matches!(operation.ended, Some((_, Output::Nothing)))
                && !may_be_removed(operations, operation, known) =>
            {
                let read = place;
                return Err(Broken::Vanished { earlier, known, read });
            }
            None => {}
        }
    }
    Ok(())
}

/// Whether a read may have found nothing, though version `known` was there before it began.
fn may_be_removed(operations: &[VersionedOperation], read: &VersionedOperation, known: Version) -> bool {
    let ended = read.ended.map_or(u64::MAX, |(ended, _)| ended);
    operations.iter().any(|operation| {
        operation.input == Input::Delete
            && operation.began < ended
            && match operation.ended {
                Some((_, Output::Done(version))) => version >= known,
                _ => true,
            }
    })
}

/// Checks that no value was written twice, which the check relies on.
pub fn has_unique_values(operations: &[VersionedOperation]) -> bool {
    let mut values = BTreeSet::new();
    operations.iter().all(|operation| match operation.input {
        Input::Write(value) => values.insert(value),
        Input::Delete | Input::Read => true,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::history::Client;

    fn operation(began: u64, ended: Option<u64>, input: Input, output: Output) -> VersionedOperation {
        Operation {
            client: Client(began),
            input,
            began,
            ended: ended.map(|moment| (moment, output)),
            began_at: Duration::ZERO,
        }
    }

    fn write(began: u64, ended: u64, value: u64, version: Version) -> VersionedOperation {
        operation(began, Some(ended), Input::Write(value), Output::Done(version))
    }

    fn read(began: u64, ended: u64, value: u64, version: Version) -> VersionedOperation {
        operation(began, Some(ended), Input::Read, Output::Found(value, version))
    }

    fn delete(began: u64, ended: Option<u64>, version: Version) -> VersionedOperation {
        operation(began, ended, Input::Delete, Output::Done(version))
    }

    fn nothing(began: u64, ended: u64) -> VersionedOperation {
        operation(began, Some(ended), Input::Read, Output::Nothing)
    }

    fn lost(began: u64, value: u64) -> VersionedOperation {
        operation(began, None, Input::Write(value), Output::Nothing)
    }

    #[test]
    fn what_clients_may_see_is_accepted() {
        let history = [
            nothing(0, 1),
            write(2, 6, 1, 10),
            write(3, 5, 2, 11),
            // Between two writes that overlap it, either order is fine.
            read(4, 8, 1, 10),
            read(7, 9, 2, 11),
            lost(10, 3),
            read(11, 12, 2, 11),
            read(13, 14, 3, 20),
            delete(15, Some(16), 21),
            nothing(17, 18),
            write(19, 20, 4, 22),
            delete(21, None, 0),
            nothing(22, 23),
            read(24, 25, 4, 22),
        ];
        assert!(has_unique_values(&history));
        assert_eq!(check(&history), Ok(()));
    }

    #[test]
    fn each_way_of_being_wrong_is_told_apart() {
        let table = [
            (
                vec![write(0, 1, 1, 5), write(2, 3, 2, 5)],
                Broken::SameVersion {
                    first: 0,
                    second: 1,
                    version: 5,
                },
            ),
            (
                vec![write(0, 1, 1, 5), lost(2, 2), read(3, 4, 2, 5)],
                Broken::SameVersion {
                    first: 0,
                    second: 1,
                    version: 5,
                },
            ),
            (
                vec![write(0, 1, 1, 5), read(2, 3, 9, 6)],
                Broken::NeverWritten { read: 1, value: 9 },
            ),
            (
                vec![read(0, 1, 1, 5), write(2, 3, 1, 5)],
                Broken::NeverWritten { read: 0, value: 1 },
            ),
            (
                vec![write(0, 1, 1, 5), read(2, 3, 1, 6)],
                Broken::OtherVersion {
                    read: 1,
                    value: 1,
                    version: 6,
                    known: 5,
                },
            ),
            (
                vec![write(0, 1, 1, 5), write(2, 3, 2, 6), read(4, 5, 1, 5)],
                Broken::Backwards {
                    earlier: 1,
                    known: 6,
                    later: 2,
                    version: 5,
                },
            ),
            (
                vec![write(0, 1, 1, 5), write(2, 3, 2, 4)],
                Broken::Backwards {
                    earlier: 0,
                    known: 5,
                    later: 1,
                    version: 4,
                },
            ),
            (
                vec![
                    lost(0, 1),
                    read(1, 2, 1, 7),
                    read(3, 4, 1, 7),
                    lost(5, 2),
                    read(6, 7, 2, 3),
                ],
                Broken::Backwards {
                    earlier: 2,
                    known: 7,
                    later: 3,
                    version: 3,
                },
            ),
            (
                vec![write(0, 1, 1, 5), nothing(2, 3)],
                Broken::Vanished {
                    earlier: 0,
                    known: 5,
                    read: 1,
                },
            ),
            (
                vec![
                    delete(0, Some(1), 4),
                    write(2, 3, 1, 5),
                    nothing(4, 5),
                    delete(6, Some(7), 6),
                ],
                Broken::Vanished {
                    earlier: 1,
                    known: 5,
                    read: 2,
                },
            ),
        ];
        for (history, broken) in table {
            assert_eq!(check(&history), Err(broken), "{history:?}");
        }
    }

    #[test]
    fn a_value_that_is_written_twice_is_noticed() {
        assert!(!has_unique_values(&[write(0, 1, 1, 1), lost(2, 1)]));
    }
}
