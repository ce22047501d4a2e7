//! What a process has of the machine, as the kernel counts it: open files, threads, memory (proc(5)).
//!
//! Invariant: nothing is asked of the process itself.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;

use crate::Result;

/// More handles than at first that a process may have: those of connections with nodes and clients come and go.
const MORE_HANDLES: usize = 24;
/// Files that are removed and still open: a reader may have one for a moment.
const REMOVED_FILES: usize = 4;
/// How often files may be opened beside the first time.
const OPENED_AGAIN: usize = 8;
/// More threads than at first: those for calls that block end ten seconds after their last one (tokio, `thread_keep_alive`).
const MORE_THREADS: usize = 24;
/// More memory than at first, in KiB: memtables, the cache of blocks and what the allocator keeps.
const MORE_MEMORY_KIB: u64 = 160 << 10;

/// See the head of the file.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// Open sockets, pipes and whatever else has no name. Files with names come with data, as many as there are.
    pub handles: usize,
    /// Open files.
    pub files: usize,
    /// Those of them that are open already.
    pub again: usize,
    /// Those of them that have no name any more.
    pub removed: usize,
    /// Threads.
    pub threads: usize,
    /// Memory, in KiB (`VmRSS`).
    pub memory_kib: u64,
}

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} handles, {} files ({} twice, {} removed), {} threads, {} MiB",
            self.handles,
            self.files,
            self.again,
            self.removed,
            self.threads,
            self.memory_kib >> 10
        )
    }
}

impl Usage {
    /// What a process has now.
    ///
    /// # Errors
    /// When there is none of this number.
    pub fn of(process: u32) -> Result<Self> {
        let (mut usage, mut names) = (Self::default(), BTreeSet::new());
        for file in fs::read_dir(format!("/proc/{process}/fd"))? {
            // It may have been closed meanwhile.
            let Ok(target) = fs::read_link(file?.path()) else {
                continue;
            };
            if !target.is_absolute() {
                usage.handles += 1;
                continue;
            }
            usage.files += 1;
            usage.removed += usize::from(target.to_string_lossy().ends_with(" (deleted)"));
            usage.again += usize::from(!names.insert(target));
        }
        let status = fs::read_to_string(format!("/proc/{process}/status"))?;
        let number = |name: &str| {
            let mut lines = status.lines();
            let line = lines.find_map(|line| line.strip_prefix(name));
            line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok())
        };
        usage.threads = usize::try_from(number("Threads:").ok_or("no number of threads")?)?;
        usage.memory_kib = number("VmRSS:").ok_or("no resident memory")?;
        Ok(usage)
    }

    /// What it has that it should not, after it had this at first.
    pub(super) fn leaked_since(&self, first: &Self) -> Option<&'static str> {
        if self.handles > first.handles + MORE_HANDLES {
            Some("open sockets")
        } else if self.again > first.again + OPENED_AGAIN {
            Some("files that it has opened again")
        } else if self.removed > REMOVED_FILES {
            Some("files that have been removed")
        } else if self.threads > first.threads + MORE_THREADS {
            Some("threads")
        } else if self.memory_kib > first.memory_kib + MORE_MEMORY_KIB {
            Some("memory")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_this_process_opens_is_counted() {
        let me = std::process::id();
        let before = Usage::of(me).unwrap();
        assert!(before.threads > 0 && before.memory_kib > 0);
        let _removed = tempfile::tempfile().unwrap();
        let named = tempfile::NamedTempFile::new().unwrap();
        let _again = named.reopen().unwrap();
        let _socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let now = Usage::of(me).unwrap();
        assert!(
            now.removed > 0 && now.files > 2 && now.again > 0 && now.handles > 0,
            "{now}"
        );
    }

    #[test]
    fn what_is_more_than_at_first_is_named() {
        let first = Usage {
            handles: 20,
            files: 20,
            again: 0,
            removed: 0,
            threads: 10,
            memory_kib: 50 << 10,
        };
        assert_eq!(first.leaked_since(&first), None);
        let later = |change: fn(&mut Usage)| {
            let mut later = first;
            change(&mut later);
            later.leaked_since(&first)
        };
        assert_eq!(later(|usage| usage.files = 900), None);
        assert_eq!(later(|usage| usage.handles = 100), Some("open sockets"));
        assert_eq!(
            later(|usage| usage.again = 9),
            Some("files that it has opened again")
        );
        assert_eq!(
            later(|usage| usage.removed = 9),
            Some("files that have been removed")
        );
        assert_eq!(later(|usage| usage.threads = 90), Some("threads"));
        assert_eq!(later(|usage| usage.memory_kib = 500 << 10), Some("memory"));
    }
}
