//! What is read of a node's metrics: Prometheus' text form, as far as `stator top` shows it.
//!
//! Invariant: a line that is not understood is skipped, so that nodes of other versions can be shown.

/// The counters and gauges of a node at one moment.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Scraped {
    /// Requests answered.
    pub(super) requests: u64,
    /// Requests that were refused or failed.
    pub(super) errors: u64,
    /// Requests that took no longer than so many seconds, by ascending bounds; the last bound is infinite.
    pub(super) buckets: Vec<(f64, u64)>,
    /// Entries that the slowest follower is behind.
    pub(super) lag: Option<u64>,
}

impl Scraped {
    /// Reads the text form.
    pub(super) fn parse(text: &str) -> Self {
        let mut scraped = Self::default();
        for line in text.lines().filter(|line| !line.starts_with('#')) {
            let Some((series, value)) = line.rsplit_once(' ') else {
                continue;
            };
            let Ok(value) = value.parse::<u64>() else {
                continue;
            };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            match name {
                "stator_operation_duration_seconds_bucket" => scraped.add(bound(labels), value),
                "stator_operation_duration_seconds_count" => scraped.requests += value,
                "stator_operation_errors_total" => scraped.errors += value,
                "stator_lag_entries_max" => scraped.lag = Some(value),
                _ => {}
            }
        }
        scraped
    }

    /// Buckets of all operations are added up.
    fn add(&mut self, bound: Option<f64>, count: u64) {
        let Some(bound) = bound else { return };
        match self.buckets.binary_search_by(|(own, _)| own.total_cmp(&bound)) {
            Ok(place) => self.buckets[place].1 += count,
            Err(place) => self.buckets.insert(place, (bound, count)),
        }
    }
}

/// The upper bound of a bucket; `+Inf` is one.
fn bound(labels: &str) -> Option<f64> {
    let (_, rest) = labels.split_once("le=\"")?;
    let (bound, _) = rest.split_once('"')?;
    bound.parse().ok().filter(|bound: &f64| !bound.is_nan())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::metrics::operations_text;
    use crate::wire::target::Target;

    #[test]
    fn what_the_exporter_writes_is_read() {
        let text = operations_text(&[
            (Target::GetItem, Duration::from_micros(900), None),
            (Target::GetItem, Duration::from_millis(7), None),
            (
                Target::PutItem,
                Duration::from_secs(60),
                Some("InternalServerError"),
            ),
        ]);
        let scraped = Scraped::parse(&text);
        assert_eq!((scraped.requests, scraped.errors), (3, 1));
        assert_eq!(scraped.buckets.first(), Some(&(0.001, 1)));
        assert_eq!(scraped.buckets.last(), Some(&(f64::INFINITY, 3)));
        let within = |bound: f64| scraped.buckets.iter().find(|(own, _)| (own - bound).abs() < 1e-9);
        assert_eq!(within(0.01).unwrap().1, 2);
    }

    #[test]
    fn what_is_not_understood_is_skipped() {
        let scraped = Scraped::parse("# HELP x y\nnonsense\nother{a=\"b\"} 1.5\nstator_lag_entries_max 4\n");
        let expected = Scraped {
            lag: Some(4),
            ..Scraped::default()
        };
        assert_eq!(scraped, expected);
    }
}
