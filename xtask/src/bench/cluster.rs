//! `bench cluster`: three nodes of Stator on this machine beside three of etcd.
//!
//! Or, as `bench transact`, transactions beside single writes. The measuring is done by `compat-tests/bench`, whose clients need a runtime and HTTP/2; here it is built and started, and
//! its rows become the table of `docs/benchmarks.md`, with what it was measured with.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;
use serde::{Deserialize, Serialize};

use crate::Result;
use crate::cargo::{self, Workspace};
use crate::test::tools;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The program `stator` to be measured, instead of one that is built here.
    #[arg(long, value_name = "PROGRAM")]
    stator: Option<PathBuf>,
    /// More arguments for the bench itself, such as `-- --connections 32`.
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

/// A row as the bench prints it.
#[derive(Debug, Deserialize)]
struct Row {
    bench: String,
    #[serde(rename = "row")]
    name: String,
    ours: f64,
    peer: String,
    theirs: f64,
    unit: String,
}

/// A row as it is written to a file: the same with the ratio, as that of other benches.
#[derive(Serialize)]
struct Record<'a> {
    bench: &'a str,
    row: &'a str,
    ours: f64,
    peer: &'a str,
    theirs: f64,
    unit: &'a str,
    ratio: Option<f64>,
}

/// What is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Comparison {
    /// A cluster with one of etcd.
    Etcd,
    /// Transactions with single writes.
    Transactions,
}

impl Comparison {
    fn name(self) -> &'static str {
        match self {
            Self::Etcd => "cluster",
            Self::Transactions => "transact",
        }
    }
}

/// Builds and runs the bench, and prints its table.
pub(super) fn run(
    workspace: &Workspace,
    comparison: Comparison,
    arguments: &Arguments,
    quick: bool,
    json: Option<&Path>,
) -> Result<()> {
    if comparison == Comparison::Etcd {
        tools::ETCD.require()?;
    }
    let bench = ["--release", "--package", "stator-cluster-bench"];
    let bench = cargo::build(workspace, &bench)?.get("bin", "cluster-bench")?;
    let stator = match &arguments.stator {
        Some(stator) => stator.clone(),
        None => cargo::build(workspace, &["--release", "--package", "stator"])?.get("bin", "stator")?,
    };
    let mut command = Command::new(bench);
    command
        .arg("--stator")
        .arg(&stator)
        .args(match comparison {
            Comparison::Etcd => &["--etcd", "etcd", "--folder"][..],
            Comparison::Transactions => &["--transact", "--folder"],
        })
        // Below the target folder, not where temporary files go: that is often memory, where a sync costs nothing.
        .arg(&workspace.target)
        .args(quick.then_some("--quick"))
        .args(&arguments.more);
    let lines = String::from_utf8(cargo::output(&mut command)?)?;
    let rows: Vec<Row> = lines
        .lines()
        .map(serde_json::from_str)
        .collect::<std::result::Result<_, _>>()?;
    let mut out = std::io::stdout().lock();
    write!(
        out,
        "{}\n\n{}",
        conditions(comparison, &stator, quick)?,
        table(&rows)
    )?;
    if let Some(path) = json {
        std::fs::write(path, json_lines(&rows)?).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(())
}

/// What was measured with what, on which machine.
fn conditions(comparison: Comparison, stator: &Path, quick: bool) -> Result<String> {
    let version = |program: &Path| -> Result<String> {
        let said = String::from_utf8(cargo::output(Command::new(program).arg("--version"))?)?;
        Ok(said.lines().next().unwrap_or_default().trim().to_owned())
    };
    let quick = if quick { " --quick" } else { "" };
    let cpus = std::thread::available_parallelism()?;
    let model = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = value(&model, "model name").unwrap_or("unknown");
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let etcd = match comparison {
        Comparison::Etcd => format!(", {}", version(Path::new("etcd"))?),
        Comparison::Transactions => String::new(),
    };
    Ok(format!(
        "Measured with `cargo xtask bench {}{quick}`: {}{etcd}; {cpus} CPUs ({model}), Linux {}. Load generator, all nodes \
         and the disk share the machine.",
        comparison.name(),
        version(stator)?,
        kernel.trim(),
    ))
}

/// The first value of a name in `/proc/cpuinfo`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.split_once(':'));
    lines
        .find(|(own, _)| own.trim() == name)
        .map(|(_, value)| value.trim())
}

fn ratio(row: &Row) -> Option<f64> {
    (row.theirs != 0.0).then(|| row.ours / row.theirs)
}

/// In Markdown, since that is where it goes.
fn table(rows: &[Row]) -> String {
    let peer = rows.first().map_or("peer", |row| row.peer.as_str());
    let mut text = format!("| row | unit | ours | {peer} | ratio |\n|---|---|---|---|---|\n");
    for row in rows {
        let ratio = ratio(row).map_or_else(|| "-".to_owned(), |ratio| format!("{ratio:.2}"));
        let figure = |figure: f64| {
            let places = usize::from(figure < 100.0);
            format!("{figure:.places$}")
        };
        // Writing to a String cannot fail.
        writeln!(
            text,
            "| {} | {} | {} | {} | {ratio} |",
            row.name,
            row.unit,
            figure(row.ours),
            figure(row.theirs)
        )
        .ok();
    }
    text
}

fn json_lines(rows: &[Row]) -> Result<String> {
    let rounded = |figure: f64| (figure * 1000.0).round() / 1000.0;
    let mut text = String::new();
    for row in rows {
        let record = Record {
            bench: &row.bench,
            row: &row.name,
            ours: rounded(row.ours),
            peer: &row.peer,
            theirs: rounded(row.theirs),
            unit: &row.unit,
            ratio: ratio(row).map(rounded),
        };
        text.push_str(&serde_json::to_string(&record)?);
        text.push('\n');
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{Row, json_lines, table, value};

    fn rows() -> Vec<Row> {
        let line = r#"{"bench":"cluster","row":"put_item c1","ours":1234.5678,"peer":"etcd put","theirs":61.73,"unit":"writes/s"}"#;
        vec![serde_json::from_str(line).unwrap()]
    }

    #[test]
    fn a_row_is_a_line_of_a_table() {
        let table = table(&rows());
        assert_eq!(
            table.lines().next(),
            Some("| row | unit | ours | etcd put | ratio |")
        );
        assert_eq!(
            table.lines().last(),
            Some("| put_item c1 | writes/s | 1235 | 61.7 | 20.00 |")
        );
    }

    #[test]
    fn a_row_is_one_json_object_a_line() {
        let expected = concat!(
            r#"{"bench":"cluster","row":"put_item c1","ours":1234.568,"peer":"etcd put","theirs":61.73,"#,
            r#""unit":"writes/s","ratio":19.999}"#,
            "\n"
        );
        assert_eq!(json_lines(&rows()).unwrap(), expected);
    }

    #[test]
    fn the_first_of_many_cpus_is_named() {
        let text = "processor\t: 0\nmodel name\t: A B\nmodel name\t: C\n";
        assert_eq!(value(text, "model name"), Some("A B"));
        assert_eq!(value(text, "flags"), None);
    }
}
