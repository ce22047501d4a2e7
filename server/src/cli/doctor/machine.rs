//! The machine under a node: its disk, its limits, its memory.
//!
//! What is measured is separate from what is said of it, which is pure.

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use tokio::time::Instant;

use super::Check;
use crate::cli::status::bytes;
use crate::config::Config;

/// How many times a small piece is written and synced.
const SYNCS: usize = 50;
/// It ends after so long, however many that were.
const SYNCS_TIME_MAX: Duration = Duration::from_secs(3);
/// About what a small write to the log has.
const SYNC_BYTES: usize = 4096;
/// A write waits for a sync: beyond these, clients notice, and elections are held.
const SYNC_SLOW: Duration = Duration::from_millis(20);
const SYNC_TOO_SLOW: Duration = Duration::from_millis(200);
/// A disk with less than a fifth has no room for compactions, with less than a twentieth it is about to stop the node.
const FREE_PERCENT_FEW: u64 = 20;
const FREE_PERCENT_TOO_FEW: u64 = 5;
/// Files of the engine, connections of other nodes.
const FILES_BESIDE_CLIENTS: u64 = 4096;
/// Percent of the memory that caches and memtables may take.
const MEMORY_PERCENT: u64 = 75;

/// Examines the machine.
pub(super) fn examine(config: &Config) -> Vec<Check> {
    let data_dir = &config.node.data_dir;
    // A node makes the directory at its first start.
    let there: PathBuf = data_dir
        .ancestors()
        .find(|path| path.is_dir())
        .unwrap_or(Path::new("/"))
        .to_owned();
    let unknown = |check, error: io::Error| {
        Check::fail(
            check,
            format!("{}: {error}", there.display()),
            "is the disk mounted and writable?",
        )
    };
    let file_system = match rustix::fs::statfs(&there) {
        Ok(disk) => file_system(&there, disk.f_type),
        Err(error) => unknown("file system", error.into()),
    };
    let space = match rustix::fs::statvfs(&there) {
        Ok(disk) => space(
            &there,
            disk.f_bavail.saturating_mul(disk.f_frsize),
            disk.f_blocks.saturating_mul(disk.f_frsize),
        ),
        Err(error) => unknown("disk space", error.into()),
    };
    let sync = match measure_syncs(&there) {
        Ok(took) => syncs(took),
        Err(error) => unknown("disk sync", error),
    };
    let limit = getrlimit(Resource::Nofile).current;
    let engine = &config.storage.engine;
    let memtables = u64::try_from(engine.memtable_bytes_max * (1 + engine.memtables_waiting_max));
    // Filters and indices take a quarter of the cache's size beside it.
    let wanted = memtables.unwrap_or(u64::MAX) + engine.block_cache_bytes / 4 * 5;
    let mut checks = vec![
        file_system,
        space,
        sync,
        open_files(limit, config.http.limits.connections_max),
    ];
    checks.extend(memory_of_machine().map(|there| memory(wanted, there)));
    checks
}

/// The file systems that are known, by the magic numbers of `statfs(2)`: names, and what speaks against them.
const FILE_SYSTEMS: [(i64, &str, Option<&str>); 13] = [
    (0xEF53, "ext4", None),
    (0x5846_5342, "xfs", None),
    (0x2FC1_2FC1, "zfs", None),
    (0xF2F5_2010, "f2fs", None),
    (0x9123_683E, "btrfs", None),
    (
        0x0102_1994,
        "tmpfs",
        Some("it is memory, and goes with the machine"),
    ),
    (
        0x8584_58F6,
        "ramfs",
        Some("it is memory, and goes with the machine"),
    ),
    (0x794C_7630, "overlayfs", Some("it goes with its container")),
    (
        0x6969,
        "nfs",
        Some("its locks and syncs are those of another machine"),
    ),
    (
        0xFF53_4D42,
        "cifs",
        Some("its locks and syncs are those of another machine"),
    ),
    (
        0xFE53_4D42,
        "smb",
        Some("its locks and syncs are those of another machine"),
    ),
    (
        0x0102_1997,
        "9p",
        Some("its locks and syncs are those of another machine"),
    ),
    (
        0x6573_5546,
        "fuse",
        Some("what its syncs mean depends on what is behind it"),
    ),
];

fn file_system(path: &Path, magic: i64) -> Check {
    let name = "file system";
    let known = FILE_SYSTEMS.iter().find(|(own, ..)| *own == magic);
    match known {
        Some((_, kind, None)) => Check::ok(name, format!("{} is {kind}", path.display())),
        Some((_, kind, Some(against))) => Check::warn(
            name,
            format!("{} is {kind}: {against}", path.display()),
            "put node.data_dir on a local disk with ext4 or xfs",
        ),
        None => Check::warn(
            name,
            format!("{} is of an unknown kind ({magic:#x})", path.display()),
            "see that its syncs survive a power cut; ext4 and xfs are tried",
        ),
    }
}

fn space(path: &Path, free: u64, all: u64) -> Check {
    let name = "disk space";
    let percent = free.saturating_mul(100).checked_div(all).unwrap_or_default();
    let found = format!(
        "{} of {} are free ({percent} %) at {}",
        bytes(free),
        bytes(all),
        path.display()
    );
    if percent < FREE_PERCENT_TOO_FEW {
        Check::fail(
            name,
            found,
            "make room now: a node whose disk is full stops; then add disks or nodes",
        )
    } else if percent < FREE_PERCENT_FEW {
        Check::warn(
            name,
            found,
            "compactions need room: add disks or nodes (`stator plan`)",
        )
    } else {
        Check::ok(name, found)
    }
}

/// How long each of some syncs took.
fn measure_syncs(directory: &Path) -> io::Result<Vec<Duration>> {
    let mut file = tempfile::tempfile_in(directory)?;
    let piece = [0x5A; SYNC_BYTES];
    let (begin, mut took) = (Instant::now(), Vec::with_capacity(SYNCS));
    while took.len() < SYNCS && begin.elapsed() < SYNCS_TIME_MAX {
        let before = Instant::now();
        file.write_all(&piece)?;
        file.sync_data()?;
        took.push(before.elapsed());
    }
    Ok(took)
}

fn syncs(mut took: Vec<Duration>) -> Check {
    let name = "disk sync";
    took.sort_unstable();
    let at = |percent: usize| {
        let place = (took.len() * percent).div_ceil(100).saturating_sub(1);
        took.get(place).copied().unwrap_or_default()
    };
    let (half, most) = (at(50), at(95));
    let ms = |took: Duration| format!("{:.2} ms", took.as_secs_f64() * 1000.0);
    let found = format!(
        "{} of {} syncs: half within {}, 95 % within {}",
        bytes(SYNC_BYTES as u64),
        took.len(),
        ms(half),
        ms(most)
    );
    if most > SYNC_TOO_SLOW {
        Check::fail(
            name,
            found,
            "every write waits for this: use a disk of its own, an SSD with power-loss protection",
        )
    } else if most > SYNC_SLOW {
        Check::warn(
            name,
            found,
            "every write waits for this: use an SSD, and nothing else that writes on it",
        )
    } else {
        Check::ok(name, found)
    }
}

fn open_files(limit: Option<u64>, connections_max: u32) -> Check {
    let name = "open files";
    let needed = FILES_BESIDE_CLIENTS + u64::from(connections_max);
    match limit {
        Some(limit) if limit < needed => Check::warn(
            name,
            format!("{limit} may be open where this command runs, while a node may want {needed}"),
            "raise the limit (LimitNOFILE= of the systemd unit, or ulimit -n), or lower http.limits.connections_max",
        ),
        Some(limit) => Check::ok(name, format!("{limit} may be open")),
        None => Check::ok(name, "any number may be open"),
    }
}

/// The machine's memory in bytes, or what its control group may have of it.
fn memory_of_machine() -> Option<u64> {
    let meminfo = std::fs::read_to_string("/proc/meminfo").ok()?;
    let total = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let total = total.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()? * 1024;
    let group = std::fs::read_to_string("/sys/fs/cgroup/memory.max");
    let group = group.ok().and_then(|text| text.trim().parse::<u64>().ok());
    Some(group.map_or(total, |group| group.min(total)))
}

fn memory(wanted: u64, there: u64) -> Check {
    let name = "memory";
    let found = format!(
        "block cache and memtables may take {} of {}",
        bytes(wanted),
        bytes(there)
    );
    let advice =
        "lower storage.engine.block_cache_bytes or memtable_bytes_max, or give the machine more memory";
    if wanted > there {
        Check::fail(name, found, advice)
    } else if wanted > there / 100 * MEMORY_PERCENT {
        Check::warn(name, found, advice)
    } else {
        Check::ok(name, found)
    }
}

#[cfg(test)]
mod tests {
    use super::super::State;
    use super::*;

    #[test]
    fn disks_are_judged_by_what_they_are() {
        let at = Path::new("/d");
        assert_eq!(file_system(at, 0xEF53).found, "/d is ext4");
        assert_eq!(file_system(at, 0x6969).state, State::Warn);
        assert_eq!(file_system(at, 0x1234).found, "/d is of an unknown kind (0x1234)");
        let state = |free| space(at, free, 1000).state;
        assert_eq!(
            (state(200), state(199), state(49)),
            (State::Ok, State::Warn, State::Fail)
        );
        assert_eq!(space(at, 0, 0).state, State::Fail);
    }

    #[test]
    fn syncs_are_judged_by_the_slow_ones() {
        let of = |slow_ms: u64, slow: usize| {
            let fast = vec![Duration::from_micros(500); SYNCS - slow];
            let slow = vec![Duration::from_millis(slow_ms); slow];
            syncs([slow, fast].concat())
        };
        assert_eq!(of(1000, 2).state, State::Ok);
        assert_eq!(of(30, 5).state, State::Warn);
        let check = of(300, 5);
        assert_eq!(check.state, State::Fail);
        assert_eq!(
            check.found,
            "4096 B of 50 syncs: half within 0.50 ms, 95 % within 300.00 ms"
        );
    }

    #[test]
    fn syncs_are_measured_and_leave_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let took = measure_syncs(directory.path()).unwrap();
        assert!(!took.is_empty() && took.len() <= SYNCS);
        assert_eq!(directory.path().read_dir().unwrap().count(), 0);
        assert!(measure_syncs(&directory.path().join("nowhere")).is_err());
    }

    #[test]
    fn limits_and_memory_are_held_against_the_configuration() {
        assert_eq!(open_files(Some(1024), 10_000).state, State::Warn);
        assert_eq!(open_files(Some(14_096), 10_000).state, State::Ok);
        assert_eq!(open_files(None, 10_000).state, State::Ok);
        let state = |wanted| memory(wanted, 1000).state;
        assert_eq!(
            (state(750), state(751), state(1001)),
            (State::Ok, State::Warn, State::Fail)
        );
        assert!(memory_of_machine().is_some_and(|bytes| bytes > 0));
    }
}
