//! CPU time of processes: `utime` and `stime` of `/proc/PID/stat` (Linux, `proc(5)`), threads that have ended included, in
//! clock ticks, which are usually 10 ms.

use std::time::Duration;

use compat_tests::Result;

/// The CPU time that these processes have used so far, user and system together.
pub(crate) fn time(pids: &[u32]) -> Result<Duration> {
    let mut ticks = 0;
    for pid in pids {
        let path = format!("/proc/{pid}/stat");
        let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
        ticks += parse(&text).ok_or_else(|| format!("{path} is not understood: {text}"))?;
    }
    let second = rustix::param::clock_ticks_per_second();
    Ok(Duration::from_nanos(ticks * (1_000_000_000 / second.max(1))))
}

/// The fields 14 and 15. The second one is the program's name in brackets, which may hold anything.
fn parse(text: &str) -> Option<u64> {
    let (_, after_name) = text.rsplit_once(") ")?;
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let system: u64 = fields.next()?.parse().ok()?;
    Some(user + system)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_found_behind_any_name() {
        let text = "4242 (a ) b) S 1 4242 4242 0 -1 4194560 95 0 1 0 17 25 3 4 20 0 8 0 1";
        assert_eq!(parse(text), Some(42));
        assert_eq!(parse("4242 (a) S 1"), None);
    }

    #[test]
    fn this_process_uses_time() {
        let own = [std::process::id()];
        let before = time(&own).unwrap();
        while time(&own).unwrap() == before {
            std::hint::spin_loop();
        }
        assert!(time(&[u32::MAX]).is_err());
    }
}
