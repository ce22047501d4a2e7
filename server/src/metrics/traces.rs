//! Numbers of traces.

use std::sync::atomic::Ordering;

use super::{Kind, Text};
use crate::trace::TraceCounters;

impl Text {
    /// Adds them.
    pub(super) fn traces(&mut self, counters: &TraceCounters) {
        let sent = counters.sent.load(Ordering::Relaxed);
        let help = "Spans of traces that the collector has taken.";
        self.value("stator_trace_spans_sent_total", Kind::Counter, help, sent);
        let name = "stator_trace_spans_dropped_total";
        let help = "Spans of traces that were dropped, by reason: the queue was full, or the collector has not taken them.";
        self.metric(name, Kind::Counter, help);
        for (reason, counter) in [
            ("queue", &counters.queue_full),
            ("collector", &counters.not_taken),
        ] {
            let dropped = counter.load(Ordering::Relaxed);
            self.line(format_args!("{name}{{reason=\"{reason}\"}} {dropped}"));
        }
    }
}
