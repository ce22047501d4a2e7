//! Numbers of exports and imports.

use std::sync::atomic::Ordering;

use super::{Kind, Text};
use crate::transfer::TransferCounters;

impl Text {
    /// Adds them.
    pub(super) fn transfers(&mut self, counters: &TransferCounters) {
        let help = "Exports and imports that this node is busy with.";
        let under_way = counters.jobs.under_way.load(Ordering::Relaxed);
        self.value("stator_transfer_jobs", Kind::Gauge, help, under_way);
        for (name, help, counter) in [
            (
                "stator_transfer_jobs_completed_total",
                "Exports and imports that ended, since the node was started.",
                &counters.jobs.completed,
            ),
            (
                "stator_transfer_jobs_failed_total",
                "Tries of exports and imports that were not completed.",
                &counters.jobs.failed,
            ),
            (
                "stator_import_items_total",
                "Items that were written into imported tables.",
                &counters.items_imported,
            ),
            (
                "stator_import_errors_total",
                "Records that could not be imported.",
                &counters.records_refused,
            ),
            (
                "stator_export_items_total",
                "Items that were written into buckets.",
                &counters.items_exported,
            ),
        ] {
            self.value(name, Kind::Counter, help, counter.load(Ordering::Relaxed));
        }
    }
}
