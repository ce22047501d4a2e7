//! The audit log: who has asked a node for what, as lines in files that are replaced by size.
//!
//! Invariant: no request waits for the disk. Lines wait in a queue of bounded size, and what does not fit is dropped, counted,
//! and told in a line of its own as soon as there is room. Not here: what a line says (`http/audit.rs`).

mod writer;

use std::collections::VecDeque;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use serde::Deserialize;

use self::writer::Writer;
use crate::clock::Clock;

/// How long the end of a node waits for lines to be written.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(5);

/// `[audit]`
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuditSettings {
    /// Where lines are appended. Files that it replaces are named `<file>.1`, the latest, to `<file>.N`.
    pub(crate) file: PathBuf,
    /// Whether operations on items are written down, beside those on tables and denials.
    #[serde(default)]
    pub(crate) data_events: bool,
    /// Whether keys, items and expressions are among what is written down of them.
    #[serde(default)]
    pub(crate) item_data: bool,
    /// A file that has reached this size is replaced by another, in bytes.
    #[serde(default = "file_bytes_max")]
    pub(crate) file_bytes_max: u64,
    /// How many files that were replaced are kept.
    #[serde(default = "files_kept")]
    pub(crate) files_kept: u32,
    /// When lines are synced.
    #[serde(default)]
    pub(crate) sync: AuditSync,
    /// With `sync = "interval"`: how often, in milliseconds.
    #[serde(default = "sync_interval_ms")]
    pub(crate) sync_interval_ms: u64,
    /// What may wait to be written, in bytes.
    #[serde(default = "queue_bytes_max")]
    pub(crate) queue_bytes_max: u64,
}

fn file_bytes_max() -> u64 {
    64 << 20
}

fn files_kept() -> u32 {
    10
}

fn sync_interval_ms() -> u64 {
    1000
}

fn queue_bytes_max() -> u64 {
    16 << 20
}

/// When lines are synced. A power cut takes what was not; the end of the process takes nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum AuditSync {
    /// After every piece that is written.
    Always,
    /// Now and then.
    #[default]
    Interval,
    /// When the operating system likes.
    Never,
}

impl AuditSettings {
    /// What is out of range, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        let checks = [
            ("file_bytes_max", self.file_bytes_max, 4096),
            ("sync_interval_ms", self.sync_interval_ms, 1),
            ("queue_bytes_max", self.queue_bytes_max, 4096),
        ];
        checks.into_iter().find_map(|(name, value, least)| {
            (value < least).then(|| format!("{name} is {value}, must be at least {least}"))
        })
    }
}

/// What has become of lines since the start of the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AuditCounts {
    /// Written.
    pub(crate) written: u64,
    /// Dropped because too many were waiting.
    pub(crate) dropped: u64,
    /// Lost because the disk refused them.
    pub(crate) lost: u64,
}

/// A running audit log. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    settings: AuditSettings,
    queue: Mutex<Queue>,
    /// Raised when there is something to do for the writer.
    due: Condvar,
    /// Raised when the writer has ended.
    ended: Condvar,
    written: AtomicU64,
    dropped: AtomicU64,
    lost: AtomicU64,
}

#[derive(Debug, Default)]
struct Queue {
    lines: VecDeque<Vec<u8>>,
    /// Of the lines that wait and of those that are being written.
    bytes: u64,
    /// Dropped lines that were not told yet.
    untold: u64,
    closing: bool,
    ended: bool,
}

/// Makes the line that tells how many were dropped.
pub(crate) type TellDropped = Box<dyn Fn(u64) -> Vec<u8> + Send>;

impl AuditLog {
    /// Opens the file and starts the thread that writes.
    ///
    /// # Errors
    /// When the file cannot be opened or written to.
    pub(crate) fn start(
        settings: AuditSettings,
        clock: Arc<dyn Clock>,
        tell_dropped: TellDropped,
    ) -> io::Result<Self> {
        let writer = Writer::open(&settings)?;
        let log = Self {
            shared: Arc::new(Shared {
                settings,
                queue: Mutex::default(),
                due: Condvar::new(),
                ended: Condvar::new(),
                written: AtomicU64::new(0),
                dropped: AtomicU64::new(0),
                lost: AtomicU64::new(0),
            }),
        };
        let shared = Arc::clone(&log.shared);
        let _detached: JoinHandle<()> = std::thread::Builder::new()
            .name("audit".to_owned())
            .spawn(move || shared.write_all(writer, &*clock, &tell_dropped))?;
        Ok(log)
    }

    /// What it was started with.
    pub(crate) fn settings(&self) -> &AuditSettings {
        &self.shared.settings
    }

    /// Appends a line, which ends with a newline; drops it when too much waits already. Never waits.
    pub(crate) fn offer(&self, line: Vec<u8>) {
        let shared = &self.shared;
        let bytes = line.len() as u64;
        let mut queue = shared.queue.lock();
        if queue.closing || queue.bytes + bytes > shared.settings.queue_bytes_max {
            queue.untold += 1;
            shared.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        queue.bytes += bytes;
        queue.lines.push_back(line);
        drop(queue);
        shared.due.notify_one();
    }

    /// What has become of lines.
    pub(crate) fn counts(&self) -> AuditCounts {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        AuditCounts {
            written: count(&self.shared.written),
            dropped: count(&self.shared.dropped),
            lost: count(&self.shared.lost),
        }
    }

    /// Writes and syncs what waits, for a bounded time; later lines are dropped.
    pub(crate) fn close(&self) {
        let mut queue = self.shared.queue.lock();
        queue.closing = true;
        self.shared.due.notify_one();
        while !queue.ended {
            if self.shared.ended.wait_for(&mut queue, CLOSE_TIMEOUT).timed_out() {
                tracing::warn!("the audit log could not be written in time");
                return;
            }
        }
    }
}

impl Shared {
    /// The thread that writes.
    fn write_all(&self, mut writer: Writer, clock: &dyn Clock, tell_dropped: &TellDropped) {
        let interval = Duration::from_millis(self.settings.sync_interval_ms);
        loop {
            let mut queue = self.queue.lock();
            if queue.lines.is_empty() && queue.untold == 0 && !queue.closing {
                if writer.is_synced() {
                    self.due.wait(&mut queue);
                } else {
                    self.due.wait_for(&mut queue, interval);
                }
            }
            let lines = std::mem::take(&mut queue.lines);
            let untold = std::mem::take(&mut queue.untold);
            let closing = queue.closing;
            drop(queue);
            let mut bytes = 0;
            for line in &lines {
                bytes += line.len() as u64;
                self.note(writer.write(line));
            }
            if untold > 0 {
                self.note(writer.write(&tell_dropped(untold)));
            }
            self.sync(&mut writer, clock, closing);
            let mut queue = self.queue.lock();
            queue.bytes -= bytes;
            if closing && queue.lines.is_empty() {
                queue.ended = true;
                self.ended.notify_all();
                return;
            }
        }
    }

    fn note(&self, is_written: bool) {
        let counter = if is_written { &self.written } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    fn sync(&self, writer: &mut Writer, clock: &dyn Clock, closing: bool) {
        match self.settings.sync {
            AuditSync::Never if !closing => writer.forget_sync(),
            AuditSync::Interval if !closing => {
                writer.sync_after(clock.now_ms(), self.settings.sync_interval_ms);
            }
            _ => writer.sync(clock.now_ms()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::clock::SystemClock;

    fn settings(file: PathBuf) -> AuditSettings {
        AuditSettings {
            file,
            data_events: false,
            item_data: false,
            file_bytes_max: 4096,
            files_kept: 2,
            sync: AuditSync::Always,
            sync_interval_ms: 1,
            queue_bytes_max: 4096,
        }
    }

    fn start(settings: AuditSettings) -> io::Result<AuditLog> {
        let tell = |count| format!("dropped {count}\n").into_bytes();
        AuditLog::start(settings, Arc::new(SystemClock), Box::new(tell))
    }

    #[test]
    fn lines_are_appended_in_order_and_files_are_replaced_by_size() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("deep/audit.jsonl");
        for run in 0..2 {
            let log = start(AuditSettings {
                queue_bytes_max: 1 << 20,
                ..settings(file.clone())
            })
            .unwrap();
            for number in 0..100 {
                log.offer(format!("{run} {number:03} {}\n", "x".repeat(92)).into_bytes());
            }
            log.close();
            let counts = log.counts();
            assert_eq!((counts.written, counts.dropped, counts.lost), (100, 0, 0));
        }
        let read = |suffix: &str| fs::read_to_string(format!("{}{suffix}", file.display()));
        // 41 lines of 99 bytes fit a file; of 200 lines the last 118 are kept.
        let kept = [".2", ".1", ""].map(|suffix| read(suffix).unwrap()).concat();
        assert!(read(".3").is_err());
        let lines: Vec<&str> = kept.lines().collect();
        assert_eq!(
            lines.len() % 41,
            lines.len() - 82,
            "two full files, then the last one"
        );
        assert!(lines.last().unwrap().starts_with("1 099 "));
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        assert_eq!(lines, sorted);
    }

    #[test]
    fn what_does_not_fit_the_queue_is_dropped_counted_and_told() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("audit.jsonl");
        let log = start(settings(file.clone())).unwrap();
        // Larger than the queue may ever be, whatever the writer does meanwhile.
        log.offer(vec![b'x'; 5000]);
        log.offer(vec![b'x'; 5000]);
        log.offer(b"small\n".to_vec());
        log.close();
        let text = fs::read_to_string(&file).unwrap();
        let told: u64 = text
            .lines()
            .filter_map(|line| line.strip_prefix("dropped "))
            .map(|count| count.parse::<u64>().unwrap())
            .sum();
        assert_eq!(told, 2, "{text}");
        assert!(text.contains("small\n"), "{text}");
        assert_eq!(log.counts().dropped, 2);
        log.offer(b"late\n".to_vec());
        assert_eq!(log.counts().dropped, 3);
    }

    #[test]
    fn a_file_that_cannot_be_opened_is_an_error_and_one_that_fails_later_loses_lines_only() {
        let directory = tempfile::tempdir().unwrap();
        assert!(start(settings(directory.path().to_owned())).is_err());
        // Always full (null(4), full(4)).
        if let Ok(log) = start(settings("/dev/full".into())) {
            log.offer(b"lost\n".to_vec());
            log.close();
            assert_eq!(log.counts().lost, 1);
        }
    }
}
