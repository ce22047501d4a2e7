//! How long operations take, and how they end: counted where they are answered, by operation, and for those on one table by
//! table as well.
//!
//! Invariant: the number of series is bounded. Operations and errors are those of the API; tables are those that exist, at
//! most [`TABLES_MAX`] of them, and go with their table. Counting takes no lock but to find a table's series.

use std::collections::HashMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::{Mutex, RwLock};

use super::histogram::{Bounds, Histogram};
use super::{Kind, Text};
use crate::wire::target::Target;

/// Upper bounds of the buckets.
const BUCKETS: Bounds = &[
    (1_000, "0.001"),
    (2_000, "0.002"),
    (5_000, "0.005"),
    (10_000, "0.01"),
    (20_000, "0.02"),
    (50_000, "0.05"),
    (100_000, "0.1"),
    (250_000, "0.25"),
    (500_000, "0.5"),
    (1_000_000, "1"),
    (2_500_000, "2.5"),
    (5_000_000, "5"),
    (10_000_000, "10"),
];

/// Tables that have series of their own. Those beyond are counted by operation only.
const TABLES_MAX: usize = 1_000;

/// One histogram for each operation, made when it is first needed.
#[derive(Debug)]
struct Operations([OnceLock<Box<Histogram>>; Target::ALL.len()]);

impl Default for Operations {
    fn default() -> Self {
        Self([const { OnceLock::new() }; Target::ALL.len()])
    }
}

impl Operations {
    fn observe(&self, target: Target, took: Duration) {
        self.0[target.place()]
            .get_or_init(|| Box::new(Histogram::new(BUCKETS)))
            .observe(took);
    }

    fn write(&self, text: &mut Text, name: &str, table: &str) {
        for target in Target::ALL {
            if let Some(histogram) = self.0[target.place()].get() {
                let labels = format!("{table}operation=\"{}\"", target.name());
                histogram.write(text, name, &labels);
            }
        }
    }
}

/// What is counted of the operations on one table.
#[derive(Debug, Default)]
pub(crate) struct TableSeries {
    /// The table's.
    pub(crate) name: String,
    operations: Operations,
}

/// What is counted of all operations.
#[derive(Debug, Default)]
pub(crate) struct OperationMetrics {
    operations: Operations,
    tables: RwLock<HashMap<String, Arc<TableSeries>>>,
    /// Refusals, by operation (none when it is not known which) and by the name of the error.
    errors: Mutex<HashMap<(Option<Target>, &'static str), u64>>,
}

impl OperationMetrics {
    /// The series of a table, which are made if the table exists.
    fn table(&self, name: &str, exists: impl FnOnce() -> bool) -> Option<Arc<TableSeries>> {
        if let Some(series) = self.tables.read().get(name) {
            return Some(Arc::clone(series));
        }
        if !exists() {
            return None;
        }
        let mut tables = self.tables.write();
        let has_room = tables.len() < TABLES_MAX || tables.contains_key(name);
        let series = || {
            let name = name.to_owned();
            Arc::new(TableSeries {
                name,
                ..TableSeries::default()
            })
        };
        has_room.then(|| Arc::clone(tables.entry(name.to_owned()).or_insert_with(series)))
    }

    /// An operation has been answered after a time, with an error of this name or none.
    pub(crate) fn answered(
        &self,
        target: Option<Target>,
        table: Option<&TableSeries>,
        took: Duration,
        error: Option<&'static str>,
    ) {
        if let Some(target) = target {
            self.operations.observe(target, took);
            if let Some(table) = table {
                table.operations.observe(target, took);
            }
        }
        if let Some(error) = error {
            *self.errors.lock().entry((target, error)).or_default() += 1;
        }
    }

    /// Writes all of it; series of tables that do not exist any more go.
    pub(super) fn write(&self, text: &mut Text, exists: impl Fn(&str) -> bool) {
        let name = "stator_operation_duration_seconds";
        let help = "From the head of a request to its answer, refusals included.";
        text.metric(name, Kind::Histogram, help);
        self.operations.write(text, name, "");

        let name = "stator_table_operation_duration_seconds";
        let help = "The same, for operations on one table.";
        text.metric(name, Kind::Histogram, help);
        self.tables.write().retain(|table, _| exists(table));
        let mut tables: Vec<_> = self
            .tables
            .read()
            .iter()
            .map(|(table, series)| (table.clone(), Arc::clone(series)))
            .collect();
        tables.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        for (table, series) in tables {
            series
                .operations
                .write(text, name, &format!("table=\"{table}\","));
        }

        let name = "stator_operation_errors_total";
        let help = "Requests that were refused or failed, by the name of the error.";
        text.metric(name, Kind::Counter, help);
        let mut errors: Vec<_> = self
            .errors
            .lock()
            .iter()
            .map(|((target, error), count)| (target.map_or("", Target::name), *error, *count))
            .collect();
        errors.sort_unstable();
        for (operation, error, count) in errors {
            let labels = format!("operation=\"{operation}\",error=\"{error}\"");
            text.line(format_args!("{name}{{{labels}}} {count}"));
        }
    }
}

/// Which table a request under way is about.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Concern<'a> {
    pub(crate) metrics: &'a OperationMetrics,
    pub(crate) table: &'a OnceLock<Arc<TableSeries>>,
}

impl Concern<'_> {
    /// It is about the table of this name.
    pub(crate) fn is(self, name: &str, exists: impl FnOnce() -> bool) {
        if let Some(series) = self.metrics.table(name, exists) {
            // A request that is carried out anew because its table has changed stays with the first.
            self.table.get_or_init(|| series);
        }
    }
}

/// What is told of these operations alone, all of them on one table.
#[cfg(test)]
pub(crate) fn operations_text(answered: &[(Target, Duration, Option<&'static str>)]) -> String {
    let metrics = OperationMetrics::default();
    let table = metrics.table("Music", || true);
    for (target, took, error) in answered {
        metrics.answered(Some(*target), table.as_deref(), *took, *error);
    }
    let mut text = Text::default();
    metrics.write(&mut text, |_| true);
    text.0
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(metrics: &OperationMetrics, exists: impl Fn(&str) -> bool) -> String {
        let mut text = Text::default();
        metrics.write(&mut text, exists);
        text.0
    }

    #[test]
    fn a_duration_is_counted_in_all_buckets_that_are_not_below_it() {
        let metrics = OperationMetrics::default();
        let get = Some(Target::GetItem);
        for took_us in [900, 1_000, 1_001, 30_000_000] {
            metrics.answered(get, None, Duration::from_micros(took_us), None);
        }
        let text = written(&metrics, |_| true);
        let line = |rest: &str| format!("stator_operation_duration_seconds{rest}\n");
        for expected in [
            r#"_bucket{operation="GetItem",le="0.001"} 2"#,
            r#"_bucket{operation="GetItem",le="0.002"} 3"#,
            r#"_bucket{operation="GetItem",le="10"} 3"#,
            r#"_bucket{operation="GetItem",le="+Inf"} 4"#,
            r#"_sum{operation="GetItem"} 30.002901"#,
            r#"_count{operation="GetItem"} 4"#,
        ] {
            assert!(text.contains(&line(expected)), "{expected} in\n{text}");
        }
        assert!(!text.contains("PutItem"));
    }

    #[test]
    fn series_of_a_table_begin_when_it_exists_and_end_with_it() {
        let metrics = OperationMetrics::default();
        let table = OnceLock::new();
        let concern = Concern {
            metrics: &metrics,
            table: &table,
        };
        concern.is("no", || false);
        assert!(table.get().is_none());
        concern.is("yes", || true);
        let took = Duration::from_millis(1);
        metrics.answered(
            Some(Target::Query),
            table.get().map(Arc::as_ref),
            took,
            Some("ValidationException"),
        );
        metrics.answered(None, None, took, Some("UnknownOperationException"));
        let text = written(&metrics, |name| name == "yes");
        for expected in [
            r#"stator_table_operation_duration_seconds_count{table="yes",operation="Query"} 1"#,
            r#"stator_operation_errors_total{operation="Query",error="ValidationException"} 1"#,
            r#"stator_operation_errors_total{operation="",error="UnknownOperationException"} 1"#,
        ] {
            assert!(text.contains(expected), "{expected} in\n{text}");
        }
        assert!(!written(&metrics, |_| false).contains("table="));
        assert!(metrics.table("yes", || false).is_none());
    }

    #[test]
    fn tables_beyond_the_most_are_counted_by_operation_only() {
        let metrics = OperationMetrics::default();
        for number in 0..TABLES_MAX {
            assert!(metrics.table(&format!("t{number}"), || true).is_some());
        }
        assert!(metrics.table("one-more", || true).is_none());
        assert!(metrics.table("t0", || true).is_some());
    }
}
