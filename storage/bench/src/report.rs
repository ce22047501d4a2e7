//! The figures of all engines side by side, as a table for people and as JSON for whoever compares runs.

use std::fmt::Write;

use serde::Serialize;

use crate::Result;
use crate::store::Kind;

/// One figure of each engine.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Row {
    pub(crate) name: String,
    /// Says by itself whether less is better.
    pub(crate) unit: String,
    /// In the order in which the engines ran.
    pub(crate) figures: Vec<(Kind, f64)>,
}

/// A row as it is written to a file, beside one peer: the form of all benches of `cargo xtask bench`.
#[derive(Serialize)]
struct Record<'a> {
    bench: &'a str,
    row: &'a str,
    ours: f64,
    peer: &'a str,
    theirs: f64,
    unit: &'a str,
    /// Null when the peer's figure is zero.
    ratio: Option<f64>,
}

/// Ours divided by theirs, if there is anything to divide by.
fn ratio(ours: f64, theirs: f64) -> Option<f64> {
    (theirs != 0.0).then(|| ours / theirs)
}

impl Row {
    fn of(&self, kind: Kind) -> Option<f64> {
        let found = self.figures.iter().find(|(own, _)| *own == kind);
        found.map(|(_, figure)| *figure)
    }
}

/// One JSON object a line, for each peer of each row.
pub(crate) fn json_lines(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        let Some(ours) = row.of(Kind::Stator) else {
            continue;
        };
        for (peer, theirs) in row.figures.iter().filter(|(kind, _)| *kind != Kind::Stator) {
            let record = Record {
                bench: "engine",
                row: &row.name,
                ours: rounded(ours),
                peer: peer.name(),
                theirs: rounded(*theirs),
                unit: &row.unit,
                ratio: ratio(ours, *theirs).map(rounded),
            };
            text.push_str(&serde_json::to_string(&record)?);
            text.push('\n');
        }
    }
    Ok(text)
}

/// To three places: what lies beyond is noise.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// A table with aligned columns: a column of figures for each engine, then one of ratios for each peer.
pub(crate) fn table(rows: &[Row], engines: &[Kind]) -> String {
    let peers: Vec<Kind> = engines
        .iter()
        .copied()
        .filter(|kind| *kind != Kind::Stator && engines.contains(&Kind::Stator))
        .collect();
    let mut head = vec!["row".to_owned(), "unit".to_owned()];
    head.extend(engines.iter().map(|kind| kind.name().to_owned()));
    head.extend(peers.iter().map(|kind| format!("/{}", kind.name())));
    let mut cells = vec![head];
    for row in rows {
        let mut line = vec![row.name.clone(), row.unit.clone()];
        line.extend(engines.iter().map(|kind| row.of(*kind).map_or_else(dash, figure)));
        line.extend(peers.iter().map(|kind| {
            let (ours, theirs) = (row.of(Kind::Stator), row.of(*kind));
            let ratio = ours.zip(theirs).and_then(|(ours, theirs)| ratio(ours, theirs));
            ratio.map_or_else(dash, |ratio| format!("{ratio:.2}"))
        }));
        cells.push(line);
    }
    let mut text = String::new();
    for line in &cells {
        for (column, cell) in line.iter().enumerate() {
            let width = cells.iter().map(|line| line[column].len()).max().unwrap_or(0);
            // Writing to a String cannot fail.
            match column {
                0 => write!(text, "{cell:width$}").ok(),
                1 => write!(text, "  {cell:width$}").ok(),
                _ => write!(text, "  {cell:>width$}").ok(),
            };
        }
        text.push('\n');
    }
    text
}

fn dash() -> String {
    "-".to_owned()
}

/// Three digits or more, whatever the size.
fn figure(figure: f64) -> String {
    match figure {
        small if small < 10.0 => format!("{small:.2}"),
        medium if medium < 100.0 => format!("{medium:.1}"),
        large => format!("{large:.0}"),
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        count if count % 2 == 1 => figures[count / 2],
        count => f64::midpoint(figures[count / 2 - 1], figures[count / 2]),
    }
}

/// A count as a figure: counts here are far below 2^53.
#[expect(clippy::cast_precision_loss, reason = "no count here reaches 2^53")]
pub(crate) fn float(count: u64) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_ignores_outliers() {
        assert_eq!(median(vec![3.0, 1e9, 1.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]).to_bits(), 3.0_f64.to_bits());
        assert_eq!(median(vec![]).to_bits(), 0.0_f64.to_bits());
    }

    #[test]
    fn alone_there_is_nothing_to_compare_with() {
        let rows = [Row {
            name: "get uniform".to_owned(),
            unit: "ops/s".to_owned(),
            figures: vec![(Kind::Stator, 12345.6)],
        }];
        assert_eq!(json_lines(&rows).unwrap(), "");
        let expected = "row          unit   stator\nget uniform  ops/s   12346\n";
        assert_eq!(table(&rows, &[Kind::Stator]), expected);
    }

    #[cfg(feature = "peers")]
    #[test]
    fn each_peer_has_its_ratio() {
        let engines = [Kind::Stator, Kind::Fjall, Kind::Redb];
        let rows = [Row {
            name: "a".to_owned(),
            unit: "s".to_owned(),
            figures: vec![(Kind::Stator, 3.0), (Kind::Fjall, 2.0), (Kind::Redb, 0.0)],
        }];
        let expected = concat!(
            "row  unit  stator  fjall  redb  /fjall  /redb\n",
            "a    s       3.00   2.00  0.00    1.50      -\n",
        );
        assert_eq!(table(&rows, &engines), expected);
        let expected = concat!(
            r#"{"bench":"engine","row":"a","ours":3.0,"peer":"fjall","theirs":2.0,"unit":"s","ratio":1.5}"#,
            "\n",
            r#"{"bench":"engine","row":"a","ours":3.0,"peer":"redb","theirs":0.0,"unit":"s","ratio":null}"#,
            "\n",
        );
        assert_eq!(json_lines(&rows).unwrap(), expected);
    }
}
