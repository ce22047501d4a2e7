//! The rows of a bench: one figure of ours beside the same figure of a peer, as a table for people and as JSON for
//! whoever compares runs.

use std::fmt::Write;

use serde::Serialize;

use crate::Result;

/// One figure beside the peer's.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Row {
    /// The bench: `api`.
    pub(super) bench: &'static str,
    /// What was done, and how: `get_item c32`.
    pub(super) name: String,
    /// Stator's figure, in `unit`.
    pub(super) ours: f64,
    /// What Stator is compared with.
    pub(super) peer: &'static str,
    /// The peer's figure, in `unit`.
    pub(super) theirs: f64,
    /// The unit of both; says by itself whether less is better.
    pub(super) unit: &'static str,
}

/// A row as it is written to a file: the same with the ratio.
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

impl Row {
    /// Ours divided by theirs; `None` when the peer's figure is zero.
    fn ratio(&self) -> Option<f64> {
        (self.theirs != 0.0).then(|| self.ours / self.theirs)
    }
}

/// One JSON object a line.
pub(super) fn json_lines(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for row in rows {
        let record = Record {
            bench: row.bench,
            row: &row.name,
            ours: rounded(row.ours),
            peer: row.peer,
            theirs: rounded(row.theirs),
            unit: row.unit,
            ratio: row.ratio().map(rounded),
        };
        text.push_str(&serde_json::to_string(&record)?);
        text.push('\n');
    }
    Ok(text)
}

/// To three places: what lies beyond is noise.
fn rounded(figure: f64) -> f64 {
    (figure * 1000.0).round() / 1000.0
}

/// The columns of figures, aligned to the right.
const FIGURES: [usize; 3] = [2, 4, 6];

/// A table with aligned columns.
pub(super) fn table(rows: &[Row]) -> String {
    let mut cells = vec![["bench", "row", "ours", "peer", "theirs", "unit", "ratio"].map(str::to_owned)];
    cells.extend(rows.iter().map(|row| {
        [
            row.bench.to_owned(),
            row.name.clone(),
            figure(row.ours),
            row.peer.to_owned(),
            figure(row.theirs),
            row.unit.to_owned(),
            row.ratio()
                .map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}")),
        ]
    }));
    let mut widths = [0; 7];
    for line in &cells {
        for (width, cell) in widths.iter_mut().zip(line) {
            *width = cell.len().max(*width);
        }
    }
    let mut text = String::new();
    for line in &cells {
        for (column, (cell, width)) in line.iter().zip(widths).enumerate() {
            let gap = if column == 0 { "" } else { "  " };
            // Writing to a String cannot fail.
            if FIGURES.contains(&column) {
                write!(text, "{gap}{cell:>width$}").ok();
            } else {
                write!(text, "{gap}{cell:width$}").ok();
            }
        }
        text.push('\n');
    }
    text
}

/// Three digits or more, whatever the size.
fn figure(figure: f64) -> String {
    if figure < 100.0 {
        format!("{figure:.1}")
    } else {
        format!("{figure:.0}")
    }
}

#[cfg(test)]
mod tests {
    use super::{Row, json_lines, table};

    fn row(ours: f64, theirs: f64) -> Row {
        Row {
            bench: "api",
            name: "get_item c32".to_owned(),
            ours,
            peer: "bare axum handler",
            theirs,
            unit: "us CPU/request",
        }
    }

    #[test]
    fn a_row_is_one_json_object_a_line() {
        assert_eq!(
            json_lines(&[row(30.0, 20.0), row(1.0, 3.0)]).unwrap(),
            concat!(
                r#"{"bench":"api","row":"get_item c32","ours":30.0,"peer":"bare axum handler","theirs":20.0,"#,
                r#""unit":"us CPU/request","ratio":1.5}"#,
                "\n",
                r#"{"bench":"api","row":"get_item c32","ours":1.0,"peer":"bare axum handler","theirs":3.0,"#,
                r#""unit":"us CPU/request","ratio":0.333}"#,
                "\n",
            )
        );
    }

    #[test]
    fn nothing_is_divided_by_zero() {
        let rows = [row(1.0, 0.0)];
        assert!(json_lines(&rows).unwrap().contains(r#""ratio":null"#));
        assert!(table(&rows).ends_with("      -\n"), "{}", table(&rows));
    }

    #[test]
    fn columns_are_aligned_and_figures_to_the_right() {
        let expected = [
            "bench  row            ours  peer               theirs  unit              ratio",
            "api    get_item c32   30.3  bare axum handler    20.0  us CPU/request     1.51",
            "api    get_item c32  45679  bare axum handler     9.0  us CPU/request  5075.43",
        ];
        let printed = table(&[row(30.26, 20.0), row(45678.9, 9.0)]);
        assert_eq!(printed.lines().collect::<Vec<_>>(), expected);
    }
}
