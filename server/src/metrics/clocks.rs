//! How far the clocks of nodes are from each other.

use std::time::Duration;

use stator_cluster::ClockOffset;

use super::{Kind, Text};

impl Text {
    /// Adds it.
    pub(super) fn clocks(&mut self, offsets: &[ClockOffset]) {
        let name = "stator_clock_offset_seconds";
        let help = "By how much the clock of another node is ahead of this one's, as far as the network lets it be known.";
        self.metric(name, Kind::Gauge, help);
        for ClockOffset { node, ahead_ms, .. } in offsets {
            let sign = if *ahead_ms < 0 { "-" } else { "" };
            let ahead = Duration::from_millis(ahead_ms.unsigned_abs()).as_secs_f64();
            self.line(format_args!("{name}{{node=\"{node}\"}} {sign}{ahead}"));
        }
        let name = "stator_clock_offset_max_seconds";
        let help = "How far the clock is from this one's that is farthest from it, less what the network may account for.";
        self.metric(name, Kind::Gauge, help);
        let certain = offsets.iter().map(|offset| {
            let offset_ms = Duration::from_millis(offset.ahead_ms.unsigned_abs());
            offset_ms.saturating_sub(offset.error)
        });
        let most = certain.max().unwrap_or_default();
        self.line(format_args!("{name} {}", most.as_secs_f64()));
    }
}

#[cfg(test)]
mod tests {
    use stator_cluster::NodeId;

    use super::*;

    #[test]
    fn the_largest_is_what_is_certain() {
        let of = |node, ahead_ms, error_ms| ClockOffset {
            node: NodeId(node),
            ahead_ms,
            error: Duration::from_millis(error_ms),
        };
        let mut text = Text::default();
        text.clocks(&[of(2, 250, 20), of(3, -1_500, 1_400), of(4, 1, 30)]);
        for line in [
            "stator_clock_offset_seconds{node=\"2\"} 0.25\n",
            "stator_clock_offset_seconds{node=\"3\"} -1.5\n",
            "stator_clock_offset_max_seconds 0.23\n",
        ] {
            assert!(text.0.contains(line), "{line} in {}", text.0);
        }
        let mut text = Text::default();
        text.clocks(&[]);
        assert!(
            text.0.ends_with("stator_clock_offset_max_seconds 0\n"),
            "{}",
            text.0
        );
    }
}
