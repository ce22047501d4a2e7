//! How much is answered, moment by moment.
//!
//! Invariant: what is answered in a window counts there, whatever it took. Windows are compared with what was usual before
//! anything was done to the cluster.

use std::time::Duration;

use super::gap::Gap;

/// The length of a window.
const WINDOW: Duration = Duration::from_millis(250);
/// The width of the longest bar of a chart, in letters.
const BAR: usize = 60;

/// Answers by window.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Throughput {
    windows: Vec<u32>,
}

impl Throughput {
    /// Of answers that came at these moments, up to `ended`; the last window is left out unless it is whole.
    pub fn of(moments: impl Iterator<Item = Duration>, ended: Duration) -> Self {
        let mut windows = vec![0_u32; place(ended)];
        for moment in moments {
            if let Some(count) = windows.get_mut(place(moment)) {
                *count += 1;
            }
        }
        Self { windows }
    }

    /// Answers per second in the middle one of the windows between two moments, sorted by what they have.
    pub fn usual(&self, from: Duration, to: Duration) -> f64 {
        let mut own = self
            .windows
            .get(place(from)..place(to))
            .unwrap_or_default()
            .to_vec();
        own.sort_unstable();
        per_second(own.get(own.len() / 2).copied().unwrap_or_default())
    }

    /// The longest time after a moment in which windows have less than `rate` answers per second, one after the other.
    pub fn longest_below(&self, rate: f64, from: Duration) -> Gap {
        let (mut longest, mut length) = (Gap::default(), 0_usize);
        let after = self.windows.iter().enumerate().skip(place(from));
        for (window, count) in after {
            length = if per_second(*count) < rate { length + 1 } else { 0 };
            longest = longest.max(Gap {
                length: time(length),
                from: time((window + 1).saturating_sub(length)),
            });
        }
        longest
    }

    /// A line for each second: a bar, answers per second, and what was done then.
    pub fn chart(&self, marks: &[(Duration, String)]) -> String {
        let seconds: Vec<u32> = self
            .windows
            .chunks(place(Duration::from_secs(1)))
            .map(|windows| windows.iter().sum())
            .collect();
        let most = seconds.iter().copied().max().unwrap_or(1).max(1);
        let mut chart = String::new();
        for (second, count) in seconds.iter().enumerate() {
            let length =
                usize::try_from(*count).unwrap_or_default() * BAR / usize::try_from(most).unwrap_or(1);
            let done: Vec<&str> = marks
                .iter()
                .filter(|(at, _)| usize::try_from(at.as_secs()).ok() == Some(second))
                .map(|(_, what)| what.as_str())
                .collect();
            let line = format!(
                "{second:4} s {:BAR$} {count:6}  {}",
                "#".repeat(length),
                done.join("; ")
            );
            chart.push_str(line.trim_end());
            chart.push('\n');
        }
        chart
    }
}

fn place(moment: Duration) -> usize {
    usize::try_from(moment.as_millis() / WINDOW.as_millis()).unwrap_or(usize::MAX)
}

fn time(windows: usize) -> Duration {
    WINDOW * u32::try_from(windows).unwrap_or(u32::MAX)
}

fn per_second(count: u32) -> f64 {
    f64::from(count) / WINDOW.as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn windows_are_compared_with_what_is_usual() {
        // Four seconds of 40 answers a second; in the third one, half a second without any and a window with few.
        let answers = (0..160).map(|number| ms(number * 25));
        let answers = answers.filter(|at| !(ms(2000)..ms(2600)).contains(at));
        let throughput = Throughput::of(answers, ms(4100));
        assert_eq!(throughput.windows.len(), 16);
        let usual = throughput.usual(Duration::ZERO, ms(2000));
        assert!((usual - 40.0).abs() < f64::EPSILON);
        let gap = |from| throughput.longest_below(usual / 2.0, from);
        assert_eq!((gap(ms(0)).length, gap(ms(0)).from), (ms(500), ms(2000)));
        assert_eq!(gap(ms(2750)).length, Duration::ZERO);
        assert_eq!(throughput.longest_below(usual, ms(0)).length, ms(750));
    }

    #[test]
    fn a_chart_names_what_was_done_in_its_second() {
        let answers = [100, 200, 300, 1100].map(ms);
        let throughput = Throughput::of(answers.into_iter(), ms(2000));
        let chart = throughput.chart(&[(ms(1900), "node 2 killed".to_owned())]);
        let lines: Vec<&str> = chart.lines().collect();
        assert_eq!(lines.len(), 2);
        assert!(lines[0].ends_with(" 3") && lines[0].contains(&"#".repeat(BAR)));
        assert!(lines[1].ends_with(" 1  node 2 killed") && !lines[1].contains(&"#".repeat(BAR / 3 + 1)));
    }
}
