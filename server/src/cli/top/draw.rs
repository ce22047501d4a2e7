//! A frame of `stator top`, on a terminal or as text.

use std::io;

use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::Line;
use ratatui::widgets::{Cell, Paragraph, Row as TableRow, Table};
use ratatui::{Frame, Terminal};

use super::model::{Order, Row, View};
use crate::cli::status::{bytes, of_alive};

/// Columns and their widths.
const COLUMNS: [(&str, u16); 15] = [
    ("NODE", 5),
    ("ADDRESS", 21),
    ("STATE", 7),
    ("LEADS", 6),
    ("REPLICAS", 8),
    ("REQ/S", 8),
    ("ERR/S", 7),
    ("P50", 8),
    ("P99", 8),
    ("DATA", 9),
    ("FREE", 9),
    ("LAG", 6),
    ("HINTS", 5),
    ("MOVES", 9),
    ("VERSION", 8),
];
/// Between two columns.
const GAP: u16 = 1;
/// Lines beside those of nodes: two above them, the heads of the columns, and two below.
const LINES_BESIDE: u16 = 5;

/// What a key is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Key {
    /// It is enough.
    Quit,
    /// Another column.
    Sort,
    /// The terminal has another size.
    Redraw,
}

impl Key {
    /// What a key is for, if for anything.
    pub(super) fn of(key: KeyEvent) -> Option<Self> {
        let control = key.modifiers.contains(KeyModifiers::CONTROL);
        match key.code {
            _ if key.kind == KeyEventKind::Release => None,
            KeyCode::Char('c') if control => Some(Self::Quit),
            KeyCode::Char('q') | KeyCode::Esc => Some(Self::Quit),
            KeyCode::Char('s') => Some(Self::Sort),
            _ => None,
        }
    }
}

/// Draws a frame; `problem` is why it is an old one.
pub(super) fn frame(frame: &mut Frame<'_>, view: &View, order: Order, problem: Option<&str>) {
    let areas = Layout::vertical([Constraint::Length(2), Constraint::Min(1), Constraint::Length(1)]);
    let [head, body, foot] = areas.areas(frame.area());
    frame.render_widget(Paragraph::new(heading(view)), head);
    let rows = order.sorted(&view.nodes).into_iter().map(table_row);
    let heads =
        TableRow::new(COLUMNS.map(|(name, _)| name)).style(Style::new().add_modifier(Modifier::REVERSED));
    let widths = COLUMNS.map(|(_, width)| Constraint::Length(width));
    let table = Table::new(rows, widths).header(heads).column_spacing(GAP);
    frame.render_widget(table, body);
    let foot_line = match problem {
        Some(problem) => Line::styled(format!("OLD: {problem}"), Style::new().fg(Color::Red)),
        None => Line::raw(format!("q quit   s sort (by {})", order.name())),
    };
    frame.render_widget(Paragraph::new(foot_line), foot);
}

fn heading(view: &View) -> Line<'static> {
    let alive = view.nodes.iter().filter(|row| row.is_alive()).count();
    let mut text = format!(
        "{alive} of {} nodes alive, {} of {} ranges led, {} copies, layout {}, {} requests/s (as node {} knows it)",
        view.nodes.len(),
        view.ranges_led,
        view.ranges,
        view.replication,
        view.layout_epoch,
        rate(view.requests_per_second),
        view.told_by
    );
    if view.replicas_to_move > 0 {
        text.push_str(&[", ", &view.replicas_to_move.to_string(), " replicas to move"].concat());
    }
    Line::raw(text)
}

fn table_row(row: &Row) -> TableRow<'_> {
    let dash = || "-".to_owned();
    let moves = match (row.replicas_coming, row.replicas_going) {
        (0, 0) => dash(),
        (coming, going) => format!("+{coming} -{going}"),
    };
    let cells = [
        row.node.to_string(),
        row.address.clone(),
        row.state.clone(),
        of_alive(&row.state, row.leads),
        row.replicas.to_string(),
        rate(row.requests_per_second),
        row.errors_per_second.map_or_else(dash, rate),
        row.p50_s.map_or_else(dash, time),
        row.p99_s.map_or_else(dash, time),
        bytes(row.data_bytes),
        bytes(row.free_bytes),
        row.lag_entries.map_or_else(dash, |lag| lag.to_string()),
        row.hints.to_string(),
        moves,
        row.software.clone(),
    ];
    let style = match row.state.as_str() {
        "alive" => Style::new(),
        "suspect" => Style::new().fg(Color::Yellow),
        _ => Style::new().fg(Color::Red),
    };
    TableRow::new(cells.map(Cell::new)).style(style)
}

fn rate(rate: f64) -> String {
    if rate < 10.0 {
        format!("{rate:.1}")
    } else {
        format!("{rate:.0}")
    }
}

fn time(seconds: f64) -> String {
    if seconds < 1.0 {
        format!("{:.1} ms", seconds * 1000.0)
    } else {
        format!("{seconds:.2} s")
    }
}

/// The same frame as text.
///
/// # Errors
/// None is known: nothing is written to.
pub(super) fn plain(view: &View, order: Order) -> io::Result<String> {
    let width = COLUMNS.iter().map(|(_, width)| width + GAP).sum();
    let rows = u16::try_from(view.nodes.len()).unwrap_or(u16::MAX - LINES_BESIDE);
    let backend = TestBackend::new(width, rows.saturating_add(LINES_BESIDE));
    let mut terminal = Terminal::new(backend).map_err(io::Error::other)?;
    let drawn = terminal.draw(|whole| frame(whole, view, order, None));
    drawn.map_err(io::Error::other)?;
    let buffer = terminal.backend().buffer();
    let mut text = String::new();
    // The last line names keys, which are of no use here.
    for line in 0..buffer.area.height.saturating_sub(1) {
        let symbols = (0..buffer.area.width).map(|column| buffer[(column, line)].symbol());
        let symbols: String = symbols.collect();
        text.push_str(symbols.trim_end());
        text.push('\n');
    }
    Ok(text.trim_end().to_owned() + "\n")
}

#[cfg(test)]
mod tests {
    use super::super::model::tests::view;
    use super::*;

    #[test]
    fn a_frame_shows_every_node_and_what_is_not_known_as_such() {
        let text = plain(&view(), Order::Node).unwrap();
        let lines: Vec<&str> = text.lines().collect();
        let head = "2 of 3 nodes alive, 200 of 256 ranges led, 3 copies, layout 4, 105 requests/s (as node 1 knows it), 9 replicas to \
                    move";
        assert_eq!(lines[0], head);
        let words = |line: &str| {
            line.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
                .join(" ")
        };
        let heads = "NODE ADDRESS STATE LEADS REPLICAS REQ/S ERR/S P50 P99 DATA FREE LAG HINTS MOVES VERSION";
        assert_eq!(words(lines[2]), heads);
        let one = "1 10.0.0.1:7400 alive 100 256 100 2.0 1.0 ms 9.8 ms 976 KiB 8583 MiB 1 0 +9 -0 0.1.0";
        assert_eq!(words(lines[3]), one);
        let three = "3 10.0.0.3:7400 down - 256 0.0 - - - 2929 KiB 8583 MiB - 0 +0 -9 0.1.0";
        assert_eq!(words(lines[5]), three);
        assert_eq!(lines.len(), 6);
    }

    #[test]
    fn an_old_frame_is_called_so_and_a_node_that_is_down_is_red() {
        let mut terminal = Terminal::new(TestBackend::new(60, 8)).unwrap();
        let drawn = terminal.draw(|whole| frame(whole, &view(), Order::Data, Some("nobody answers")));
        drawn.unwrap();
        let buffer = terminal.backend().buffer();
        let line = |line: u16| {
            (0..60)
                .map(|column| buffer[(column, line)].symbol())
                .collect::<String>()
        };
        assert!(line(7).starts_with("OLD: nobody answers"), "{}", line(7));
        // By data, the node that is down comes first.
        assert!(line(3).starts_with("3 "), "{}", line(3));
        assert_eq!((buffer[(0, 3)].fg, buffer[(0, 4)].fg), (Color::Red, Color::Reset));
    }

    #[test]
    fn keys_quit_and_sort() {
        let key = |code, modifiers| Key::of(KeyEvent::new(code, modifiers));
        assert_eq!(key(KeyCode::Char('q'), KeyModifiers::NONE), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::CONTROL), Some(Key::Quit));
        assert_eq!(key(KeyCode::Char('c'), KeyModifiers::NONE), None);
        assert_eq!(key(KeyCode::Char('s'), KeyModifiers::NONE), Some(Key::Sort));
    }
}
