//! `bench backup`: how long a backup takes beside a copy of the node's files, what clients notice of both, and how much a second
//! backup writes when a hundredth of the items has changed.
//!
//! One node. The items that are backed up do not compress, so that the archive holds as many bytes as they have; clients work
//! on another table of the same node all the time. Invariant: the archive is a directory on the disk of the data, as that of
//! the copy is, and the copy is synced, as the archive's files are. Not here: whether a backup can be restored
//! (`compat-tests`).

use std::fmt::Write as _;
use std::fs::{self, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use clap::Args;

use super::api::{Bodies, Ours, member};
use super::foreground::{Clients, Figures, Foreground, LATENCIES};
use super::load::{Generator, Until};
use super::report::Row;
use super::rounds::Effort;
use super::sign::Pool;
use crate::cargo::Workspace;
use crate::{Result, clock};

const BENCH: &str = "backup";
const TABLE: &str = "kept";
const LOAD_CONNECTIONS: usize = 8;
/// Of an item, without its key.
const ITEM_BYTES: usize = 4096;
/// Items of one BatchWriteItem: the most that it takes.
const BATCH: usize = 25;
/// Batches whose bodies are in memory at once.
const BATCHES_AT_ONCE: usize = 200;
/// Every how many items one is changed for the second backup.
const CHANGED_OF: usize = 100;
/// Where `stator dev` has its archive, in its data directory.
const ARCHIVE: &str = "backups";
/// How often it is looked whether something is over.
const LOOK: Duration = Duration::from_millis(50);
/// What is not over after so long never is.
const STUCK_AFTER: Duration = Duration::from_mins(15);
/// For how long no file may change before the files are copied, so that no compaction is copied with them.
const QUIET: Duration = Duration::from_secs(3);
/// The part of the archive that a second backup may write.
const SECOND_AIM: f64 = 5.0;

#[derive(Args)]
pub(super) struct Arguments {
    /// How many MiB of items are backed up.
    #[arg(long, default_value_t = 1024, value_parser = clap::value_parser!(u32).range(1..))]
    megabytes: u32,
    #[command(flatten)]
    clients: Clients,
}

/// Runs the bench.
pub(super) fn run(workspace: &Workspace, arguments: &Arguments, effort: Effort) -> Result<Vec<Row>> {
    let stator = arguments.clients.server(workspace)?;
    let folder = tempfile::Builder::new()
        .prefix("bench-backup-")
        .tempdir_in(&workspace.target)?;
    let bodies = Bodies::new();
    let ours = Ours::start(&stator, folder.path(), "interval", &bodies, "")?;
    let data = only_folder_in(folder.path())?;
    let mut foreground = Foreground::new(&ours, &bodies)?;
    foreground.settle_rate(arguments.clients.rate, effort)?;
    eprintln!("bench backup: {:.0} requests/s", foreground.rate);
    let items = usize::try_from(arguments.megabytes)? * (1 << 20) / ITEM_BYTES;
    create_table(&ours)?;
    write_items(&ours, &(0..items).collect::<Vec<_>>(), 1)?;
    wait_until_quiet(&data)?;
    let before = foreground.work(for_a_while(effort.round * 5))?;

    let copy = folder.path().join("copy");
    let (copied, copying) = beside(&mut foreground, || copy_files(&data, &copy))?;
    eprintln!("bench backup: the files were copied in {:.1} s", copying.took);
    fs::remove_dir_all(&copy)?;
    let archive = data.join(ARCHIVE);
    let ((), backing) = beside(&mut foreground, || back_up(&ours, "first"))?;
    let first = bytes_in(&archive)?;
    eprintln!("bench backup: the backup took {:.1} s", backing.took);
    let changed: Vec<usize> = (0..items).step_by(CHANGED_OF).collect();
    write_items(&ours, &changed, 2)?;
    let ((), again) = beside(&mut foreground, || back_up(&ours, "second"))?;
    let second = bytes_in(&archive)?.saturating_sub(first);
    eprintln!(
        "bench backup: {copied} bytes of files; {first} bytes in the archive, and {second} more for the second backup"
    );
    Ok(rows(&before, [&copying, &backing, &again], (first, second)))
}

/// What happened while something else was done.
#[derive(Debug)]
struct Meanwhile {
    /// How long that took, in seconds.
    took: f64,
    clients: Figures,
}

/// Has clients work while something is done.
fn beside<T: Send>(
    foreground: &mut Foreground<'_>,
    work: impl FnOnce() -> Result<T> + Send,
) -> Result<(T, Meanwhile)> {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let start = clock::now();
            // An error of a chore stays on the thread that has met it.
            let done = work().map_err(|error| error.to_string());
            over.store(true, Ordering::Relaxed);
            done.map(|done| (done, start.elapsed().as_secs_f64()))
        });
        let clients = foreground.work(|| !over.load(Ordering::Relaxed));
        let (done, took) = working.join().map_err(|_| "who works has panicked")??;
        Ok((
            done,
            Meanwhile {
                took,
                clients: clients?,
            },
        ))
    })
}

fn for_a_while(length: Duration) -> impl FnMut() -> bool {
    let start = clock::now();
    move || start.elapsed() < length
}

/// The rows, beside their peers.
fn rows(before: &Figures, [copying, first, second]: [&Meanwhile; 3], (bytes, more): (u64, u64)) -> Vec<Row> {
    let row = |name: String, ours, (peer, theirs), unit| Row {
        bench: BENCH,
        name,
        ours,
        peer,
        theirs,
        unit,
    };
    let copied = ("a copy of the files", copying.took);
    let mut rows = vec![row("backup".to_owned(), first.took, copied, "s")];
    rows.push(row("second backup".to_owned(), second.took, copied, "s"));
    for (what, meanwhile) in [
        ("a copy", copying),
        ("a backup", first),
        ("a second backup", second),
    ] {
        for (place, (operation, unit)) in LATENCIES.iter().enumerate() {
            rows.push(row(
                format!("{operation} during {what}"),
                meanwhile.clients.us[place],
                ("before", before.us[place]),
                unit,
            ));
        }
    }
    // Bytes of files are far from where such numbers become inexact.
    #[expect(clippy::cast_precision_loss, reason = "a share to three digits")]
    let share = more as f64 * 100.0 / bytes.max(1) as f64;
    rows.push(row(
        "written by the second".to_owned(),
        share,
        ("the aim", SECOND_AIM),
        "% of the first",
    ));
    rows
}

/// Makes the table and waits until it can be used.
fn create_table(ours: &Ours) -> Result<()> {
    ours.call(
        "CreateTable",
        &format!(
            r#"{{"TableName":"{TABLE}","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[{{"AttributeName":"id","AttributeType":"S"}}],"KeySchema":[{{"AttributeName":"id","KeyType":"HASH"}}]}}"#
        ),
    )?;
    wait_until_active(ours, TABLE)
}

/// Waits until a table can be used.
pub(super) fn wait_until_active(ours: &Ours, table: &str) -> Result<()> {
    wait_until("the table is active", || {
        let told = ours.call("DescribeTable", &format!(r#"{{"TableName":"{table}"}}"#))?;
        Ok(told.contains(r#""TableStatus":"ACTIVE""#))
    })
}

/// Makes a backup, and waits until it is there.
fn back_up(ours: &Ours, name: &str) -> Result<()> {
    let made = ours.call(
        "CreateBackup",
        &format!(r#"{{"TableName":"{TABLE}","BackupName":"{name}"}}"#),
    )?;
    let arn = member(&made, &["BackupDetails", "BackupArn"])?;
    wait_until("the backup is there", || {
        let told = ours.call("DescribeBackup", &format!(r#"{{"BackupArn":{arn}}}"#))?;
        Ok(told.contains(r#""BackupStatus":"AVAILABLE""#))
    })
}

/// Waits until something holds, for as long as that may take.
pub(super) fn wait_until(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let start = clock::now();
    while !holds()? {
        if start.elapsed() > STUCK_AFTER {
            return Err(format!("still not so: {what}").into());
        }
        std::thread::park_timeout(LOOK);
    }
    Ok(())
}

/// Puts items, with values that belong to a generation.
fn write_items(ours: &Ours, numbers: &[usize], generation: u64) -> Result<()> {
    let mut generator = Generator::connect(ours.process.ready.address()?, LOAD_CONNECTIONS)?;
    for part in numbers.chunks(BATCH * BATCHES_AT_ONCE) {
        let bodies: Vec<String> = part.chunks(BATCH).map(|batch| body(batch, generation)).collect();
        let mut pool = Pool::new(&ours.signer, "BatchWriteItem", &bodies, clock::time_of_day())?;
        let mut requests = pool.requests(clock::time_of_day())?;
        generator.run(&mut requests, Until::Sent(bodies.len()))?;
    }
    Ok(())
}

/// The body of a BatchWriteItem.
fn body(numbers: &[usize], generation: u64) -> String {
    let mut puts = String::new();
    for number in numbers {
        let comma = if puts.is_empty() { "" } else { "," };
        let value = noise(generation << 32 | *number as u64, ITEM_BYTES);
        // Writing to a String cannot fail.
        write!(
            puts,
            r#"{comma}{{"PutRequest":{{"Item":{{"id":{{"S":"kept#{number:08}"}},"value":{{"B":"{value}"}}}}}}}}"#
        )
        .ok();
    }
    format!(r#"{{"RequestItems":{{"{TABLE}":[{puts}]}}}}"#)
}

/// So many bytes that do not compress, in Base64.
fn noise(seed: u64, bytes: usize) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const DIGITS_OF_A_NUMBER: usize = 10;
    // Whole groups of four digits.
    let digits = bytes / 3 * 4;
    // Seeds side by side would give rows of numbers that are parts of each other.
    let mut state = mixed(seed);
    let mut text = String::with_capacity(digits);
    while text.len() < digits {
        state = state.wrapping_add(GAMMA);
        let number = mixed(state);
        for at in 0..DIGITS_OF_A_NUMBER.min(digits - text.len()) {
            let digit = usize::try_from(number >> (6 * at) & 63).unwrap_or_default();
            text.push(char::from(DIGITS[digit]));
        }
    }
    text
}

/// What a state of SplitMix64 rises by.
const GAMMA: u64 = 0x9E37_79B9_7F4A_7C15;

/// The number that SplitMix64 makes of a state (Steele, Lea, Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
fn mixed(state: u64) -> u64 {
    let mut mixed = state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^ (mixed >> 31)
}

/// The folder that is alone in another one.
pub(super) fn only_folder_in(folder: &Path) -> Result<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        found.push(entry?.path());
    }
    match &found[..] {
        [one] => Ok(one.clone()),
        _ => Err(format!("{}: {} entries, not one", folder.display(), found.len()).into()),
    }
}

/// Waits until no file has come, gone or changed its size for a while.
fn wait_until_quiet(data: &Path) -> Result<()> {
    let mut last = (files_in(data)?, clock::now());
    wait_until("no file changes", || {
        let now = files_in(data)?;
        if now != last.0 {
            last = (now, clock::now());
        }
        Ok(last.1.elapsed() >= QUIET)
    })
}

/// All files below a folder, without the archive, and their sizes.
fn files_in(folder: &Path) -> Result<Vec<(PathBuf, u64)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let path = entry.path();
        if entry.file_name() == ARCHIVE {
            continue;
        }
        match entry.metadata() {
            Ok(found) if found.is_dir() => files.append(&mut files_in(&path)?),
            Ok(found) => files.push((path, found.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error.into()),
        }
    }
    files.sort();
    Ok(files)
}

/// How many bytes the files below a folder have.
fn bytes_in(folder: &Path) -> Result<u64> {
    Ok(files_in(folder)?.iter().map(|(_, bytes)| bytes).sum())
}

/// Copies the node's files, one after the other, each synced; gives how many bytes they have.
fn copy_files(from: &Path, to: &Path) -> Result<u64> {
    let mut all = 0;
    for (path, _) in files_in(from)? {
        let copy = to.join(path.strip_prefix(from)?);
        if let Some(folder) = copy.parent() {
            fs::create_dir_all(folder)?;
        }
        match fs::copy(&path, &copy) {
            Ok(bytes) => all += bytes,
            // A file of the log that was not needed any more.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error.into()),
        }
        OpenOptions::new().read(true).open(&copy)?.sync_all()?;
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::Value;

    use super::*;

    #[test]
    fn items_are_as_large_as_asked_for_and_all_different() {
        let numbers: Vec<usize> = (0..BATCH).collect();
        let mut values = HashSet::new();
        for generation in [1, 2] {
            let body: Value = serde_json::from_str(&body(&numbers, generation)).unwrap();
            for put in body["RequestItems"][TABLE].as_array().unwrap() {
                let value = put["PutRequest"]["Item"]["value"]["B"].as_str().unwrap();
                assert_eq!(value.len(), ITEM_BYTES / 3 * 4);
                values.insert(value.to_owned());
            }
        }
        assert_eq!(values.len(), 2 * BATCH);
    }

    #[test]
    fn a_copy_has_all_files_but_those_of_the_archive() {
        let folder = tempfile::tempdir().unwrap();
        let (data, copy) = (folder.path().join("data"), folder.path().join("copy"));
        for (name, text) in [("a", "1"), ("sub/b", "22"), ("backups/c", "333")] {
            let path = data.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        assert_eq!(copy_files(&data, &copy).unwrap(), 3);
        assert_eq!(fs::read_to_string(copy.join("sub/b")).unwrap(), "22");
        assert!(!copy.join("backups").exists());
        assert_eq!(bytes_in(&data.join(ARCHIVE)).unwrap(), 3);
    }
}
