//! What is told of the process and its clock. The names of the process's numbers are those that Prometheus' own clients use.
//!
//! What the operating system does not tell is left out.

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

use super::{Kind, Text, count};

impl Text {
    /// The numbers of this process, and the node's time.
    pub(super) fn process(&mut self, now_ms: i64) {
        let name = "stator_time_seconds";
        let help = "The node's clock, in seconds since the Unix epoch; less `timestamp()` of the same it is the offset to the collector's.";
        self.metric(name, Kind::Gauge, help);
        self.line(format_args!(
            "{name} {}.{:03}",
            now_ms.div_euclid(1000),
            now_ms.rem_euclid(1000)
        ));

        let name = "process_cpu_seconds_total";
        self.metric(name, Kind::Counter, "Processor time of the process.");
        let spent = clock_gettime(ClockId::ProcessCPUTime);
        self.line(format_args!("{name} {}.{:09}", spent.tv_sec, spent.tv_nsec));

        let status = std::fs::read_to_string("/proc/self/status");
        if let Some(bytes) = status.ok().and_then(|status| resident_bytes(&status)) {
            let help = "Memory of the process that is resident.";
            self.value("process_resident_memory_bytes", Kind::Gauge, help, bytes);
        }
        if let Ok(files) = std::fs::read_dir("/proc/self/fd") {
            let help = "Files and sockets that the process has open.";
            self.value("process_open_fds", Kind::Gauge, help, count(files.count()));
        }
        if let Some(limit) = getrlimit(Resource::Nofile).current {
            let help = "How many it may have open.";
            self.value("process_max_fds", Kind::Gauge, help, limit);
        }
    }

    /// When certificates expire, in seconds since the Unix epoch, by what they are for.
    pub(super) fn certificates(&mut self, expiry: &[(&str, i64)]) {
        let name = "stator_certificate_expires_seconds";
        let help = "When the certificate in use expires, in seconds since the Unix epoch.";
        self.metric(name, Kind::Gauge, help);
        for (purpose, until_s) in expiry {
            self.line(format_args!("{name}{{for=\"{purpose}\"}} {until_s}"));
        }
    }
}

/// `VmRSS` of `/proc/self/status` (proc(5)), which is in KiB.
fn resident_bytes(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_is_told_with_the_names_of_prometheus() {
        assert_eq!(resident_bytes("Name:\tx\nVmRSS:\t    1234 kB\n"), Some(1_263_616));
        assert_eq!(resident_bytes("Name:\tx\n"), None);
        let mut text = Text::default();
        text.process(1_700_000_000_042);
        assert!(
            text.0.contains("\nstator_time_seconds 1700000000.042\n"),
            "{}",
            text.0
        );
        let value = |name: &str| {
            let line = text.0.lines().find_map(|line| line.strip_prefix(name)).unwrap();
            line.trim().parse::<f64>().unwrap()
        };
        for name in [
            "process_cpu_seconds_total",
            "process_resident_memory_bytes",
            "process_open_fds",
        ] {
            assert!(value(name) > 0.0, "{name}");
        }
        assert!(value("process_max_fds") >= value("process_open_fds"));
    }

    #[test]
    fn certificates_are_told_by_what_they_are_for() {
        let mut text = Text::default();
        text.certificates(&[("nodes", 17), ("clients", 18)]);
        assert!(
            text.0
                .ends_with("{for=\"nodes\"} 17\nstator_certificate_expires_seconds{for=\"clients\"} 18\n"),
            "{}",
            text.0
        );
    }
}
