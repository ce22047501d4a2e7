//! Servers under measurement: processes of their own, started for one bench and ended with it, and the CPU time that
//! they have used.
//!
//! Stator and the peers all say that they are ready by one JSON line on standard output.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::mpsc;
use std::time::Duration;

use serde::Deserialize;

use crate::Result;

const READY_TIMEOUT: Duration = Duration::from_secs(30);

/// What a server says of itself when it is ready.
#[derive(Debug, Clone, Deserialize)]
pub(crate) struct Ready {
    /// `http://127.0.0.1:8000`.
    pub(crate) endpoint: String,
    pub(crate) region: String,
    pub(crate) access_key_id: String,
    pub(crate) secret_access_key: String,
}

impl Ready {
    /// Where the endpoint listens.
    pub(crate) fn address(&self) -> Result<SocketAddr> {
        self.endpoint
            .strip_prefix("http://")
            .and_then(|rest| rest.trim_end_matches('/').parse().ok())
            .ok_or_else(|| format!("not an endpoint with an address: {}", self.endpoint).into())
    }
}

/// A running server; it ends when this is dropped.
#[derive(Debug)]
pub(crate) struct ServerProcess {
    child: Child,
    pub(crate) ready: Ready,
}

impl ServerProcess {
    /// Starts a server and waits until it is ready. What it writes to standard error is shown as ours.
    pub(crate) fn start(program: &Path, arguments: &[&str]) -> Result<Self> {
        let name = program.display();
        let mut child = Command::new(program)
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{name}: {error}"))?;
        match read_ready(child.stdout.take()) {
            Ok(ready) => Ok(Self { child, ready }),
            Err(error) => {
                end(&mut child);
                Err(format!("{name}: {error}").into())
            }
        }
    }

    /// The CPU time that the process has used so far.
    pub(super) fn cpu_time(&self) -> Result<CpuTime> {
        CpuTime::of(self.child.id())
    }

    /// The CPU time that the process has used so far, those of its threads that have ended included, to 10 ms.
    ///
    /// Fields 14 and 15 of `/proc/PID/stat`, in ticks of which Linux shows 100 a second (`proc_pid_stat(5)`).
    pub(super) fn all_cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        parse_stat(&text)
    }

    /// How many bytes the process has passed to `write` and its kin so far: files, not sockets (`send` does not count).
    /// Field `wchar` of `/proc/PID/io` (Linux, `Documentation/filesystems/proc.rst`).
    pub(super) fn written_bytes(&self) -> Result<u64> {
        let path = format!("/proc/{}/io", self.child.id());
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        parse_written(&text)
    }
}

impl Drop for ServerProcess {
    fn drop(&mut self) {
        end(&mut self.child);
    }
}

fn end(child: &mut Child) {
    // Both fail only for a process that has ended already.
    child.kill().ok();
    child.wait().ok();
}

fn read_ready(stdout: Option<ChildStdout>) -> Result<Ready> {
    let mut stdout = BufReader::new(stdout.ok_or("no standard output")?);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || {
        let mut line = String::new();
        let read = stdout.read_line(&mut line).map(|_| line);
        // Nobody waits any more after the timeout.
        sender.send(read).ok();
        // A server that goes on printing must not meet a closed or a full pipe.
        std::io::copy(&mut stdout, &mut std::io::sink()).ok();
    });
    let line = receiver
        .recv_timeout(READY_TIMEOUT)
        .map_err(|_| format!("not ready after {} s", READY_TIMEOUT.as_secs()))??;
    serde_json::from_str(&line).map_err(|error| format!("not ready: {error} in `{}`", line.trim_end()).into())
}

/// CPU time of a process by thread, user and system together, in nanoseconds.
///
/// From `/proc/PID/task/*/schedstat`, whose first field is the time that the scheduler has given to the thread (Linux,
/// `Documentation/scheduler/sched-stats.rst`). `/proc/PID/stat` counts in ticks of 10 ms, too coarse for short rounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct CpuTime(BTreeMap<u32, u64>);

impl CpuTime {
    fn of(process: u32) -> Result<Self> {
        let folder = format!("/proc/{process}/task");
        let entries =
            std::fs::read_dir(&folder).map_err(|error| format!("{folder}: {error} (a bench needs Linux)"))?;
        let mut threads = BTreeMap::new();
        for entry in entries {
            let entry = entry?;
            // A thread may end between the listing and the reading; `since` notices.
            let Ok(text) = std::fs::read_to_string(entry.path().join("schedstat")) else {
                continue;
            };
            let thread = entry.file_name().to_string_lossy().parse()?;
            threads.insert(thread, parse_schedstat(&text)?);
        }
        Ok(Self(threads))
    }

    /// What the process has used since `earlier`; `None` if a thread has ended in between and taken its count along.
    pub(super) fn since(&self, earlier: &Self) -> Option<Duration> {
        let all_there = earlier.0.keys().all(|thread| self.0.contains_key(thread));
        let used = self
            .0
            .iter()
            .map(|(thread, now)| now.saturating_sub(earlier.0.get(thread).copied().unwrap_or(0)));
        all_there.then(|| Duration::from_nanos(used.sum()))
    }
}

fn parse_stat(text: &str) -> Result<Duration> {
    // The name of the program, in parentheses, may have anything in it.
    let behind_name = text.rsplit_once(')').map(|(_, rest)| rest);
    let fields: Vec<&str> = behind_name.unwrap_or_default().split_whitespace().collect();
    let ticks = |at: usize| fields.get(at).and_then(|field| field.parse::<u64>().ok());
    match (ticks(11), ticks(12)) {
        (Some(user), Some(system)) => Ok(Duration::from_millis(10 * (user + system))),
        _ => Err(format!("no times in `{text}`").into()),
    }
}

fn parse_written(text: &str) -> Result<u64> {
    text.lines()
        .find_map(|line| line.strip_prefix("wchar:"))
        .and_then(|count| count.trim().parse().ok())
        .ok_or_else(|| format!("no wchar in `{text}`").into())
}

fn parse_schedstat(text: &str) -> Result<u64> {
    text.split_ascii_whitespace()
        .next()
        .and_then(|field| field.parse().ok())
        .ok_or_else(|| format!("not a schedstat: `{text}`").into())
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Duration;

    use super::{CpuTime, Ready, ServerProcess, parse_schedstat, parse_stat, parse_written};

    fn times<const N: usize>(threads: [(u32, u64); N]) -> CpuTime {
        CpuTime(threads.into())
    }

    #[test]
    fn schedstat_starts_with_the_time_on_the_cpu() {
        assert_eq!(parse_schedstat("169261 2051750 2\n").unwrap(), 169_261);
        assert!(parse_schedstat("").is_err());
        assert!(parse_schedstat("1.5 0 0").is_err());
    }

    #[test]
    fn times_stand_behind_the_name_whatever_that_is() {
        let text = "71 (a) b) S 1 71 71 0 -1 4194304 103 0 0 0 25 17 3 4 20 0 1 0 5 6 7\n";
        assert_eq!(parse_stat(text).unwrap(), Duration::from_millis(420));
        assert!(parse_stat("71 (a) S 1").is_err());
    }

    #[test]
    fn bytes_written_have_a_line_of_their_own() {
        assert_eq!(
            parse_written("rchar: 9\nwchar: 2044\nsyscr: 1\nwrite_bytes: 4096\n").unwrap(),
            2044
        );
        assert!(parse_written("write_bytes: 4096\n").is_err());
    }

    #[test]
    fn time_is_summed_over_threads_old_and_new() {
        let before = times([(1, 100), (2, 50)]);
        let after = times([(1, 130), (2, 50), (3, 7)]);
        assert_eq!(after.since(&before), Some(Duration::from_nanos(37)));
    }

    #[test]
    fn a_thread_that_has_ended_spoils_the_count() {
        assert_eq!(times([(1, 900)]).since(&times([(1, 100), (2, 50)])), None);
    }

    #[test]
    fn this_process_uses_time() {
        let process = std::process::id();
        let before = CpuTime::of(process).unwrap();
        assert!(before.0.contains_key(&process));
        // Spins until the scheduler has booked some of it; tests of other threads may end meanwhile.
        while CpuTime::of(process).unwrap().0.values().sum::<u64>() <= before.0[&process] {
            std::hint::spin_loop();
        }
    }

    #[test]
    fn an_endpoint_has_an_address() {
        let ready = |endpoint: &str| Ready {
            endpoint: endpoint.to_owned(),
            region: String::new(),
            access_key_id: String::new(),
            secret_access_key: String::new(),
        };
        let address = ready("http://127.0.0.1:8000").address().unwrap();
        assert_eq!(address, ([127, 0, 0, 1], 8000).into());
        assert_eq!(ready("http://127.0.0.1:8000/").address().unwrap(), address);
        assert!(ready("127.0.0.1:8000").address().is_err());
        assert!(ready("http://localhost").address().is_err());
    }

    #[test]
    fn a_server_is_ready_with_its_first_line() {
        let script = r#"echo '{"endpoint":"e","region":"r","access_key_id":"a","secret_access_key":"s","pid":1}'; cat"#;
        let server = ServerProcess::start(Path::new("sh"), &["-c", script]).unwrap();
        assert_eq!(
            (server.ready.endpoint.as_str(), server.ready.region.as_str()),
            ("e", "r")
        );
        for (script, said) in [("exit 1", "not ready"), ("echo hello", "in `hello`")] {
            let error = ServerProcess::start(Path::new("sh"), &["-c", script]).unwrap_err();
            assert!(error.to_string().contains(said), "{error}");
        }
    }
}
