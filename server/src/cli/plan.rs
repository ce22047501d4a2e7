//! `stator plan`: what a cluster of a given size bears, and how likely it loses data; with the formulas.
//!
//! Asks nobody. Not here: the arithmetic (`plan/model.rs`), what it leaves out (`docs/scaling.md`).

mod amount;
mod model;

use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use self::amount::Amount;
use self::model::{Figures, Given};
use super::files::{self, FileError};

/// Options of `stator plan`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// How much data users have, such as 500GB or 1.5TB: keys, names and values, once
    #[arg(long, value_name = "AMOUNT")]
    data: Amount,
    /// How many nodes [default: those of the configuration, or 3]
    #[arg(long, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    nodes: Option<u32>,
    /// On how many nodes each item lies [default: that of the configuration, or 3]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=7))]
    replication: Option<u8>,
    /// The ring has two to the power of this many ranges [default: that of the configuration, or 8]
    #[arg(long, value_parser = clap::value_parser!(u8).range(1..=16))]
    range_bits: Option<u8>,
    /// What users write in a second, in the whole cluster
    #[arg(long, value_name = "AMOUNT", default_value = "0")]
    writes: Amount,
    /// The disk of a node
    #[arg(long, value_name = "AMOUNT")]
    disk: Option<Amount>,
    /// How often a year a node loses its disk
    #[arg(long, value_name = "NUMBER", default_value_t = 0.04, value_parser = part)]
    losses_a_year: f64,
    /// Hours until an operator has another machine in the place of one that is lost, if no other node can take its replicas
    #[arg(long, value_name = "NUMBER", default_value_t = 24.0, value_parser = number)]
    operator_hours: f64,
    /// The part of the time that a node is away for restarts that nobody has planned
    #[arg(long, value_name = "NUMBER", default_value_t = 0.0001, value_parser = part)]
    unavailability: f64,
    /// Configuration of a node, for what is not said by other options
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one object of JSON
    #[arg(long)]
    json: bool,
}

fn number(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() && number >= 0.0 => Ok(number),
        _ => Err(format!("`{text}` is no number from 0 on")),
    }
}

fn part(text: &str) -> Result<f64, String> {
    number(text).and_then(|number| {
        if number <= 1.0 {
            Ok(number)
        } else {
            Err(format!("{text} is more than 1"))
        }
    })
}

/// Why there is no plan.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PlanError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Plan<'a> {
    given: &'a Given,
    figures: &'a Figures,
    advice: &'a [String],
}

/// Works a plan out and prints it.
pub(crate) fn run(options: &Options) -> Result<(), PlanError> {
    let given = given(options)?;
    let figures = model::figures(&given);
    let advice = model::advice(&given, &figures);
    let mut out = io::stdout().lock();
    if options.json {
        let plan = Plan {
            given: &given,
            figures: &figures,
            advice: &advice,
        };
        serde_json::to_writer(&mut out, &plan).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&given, &figures, &advice).as_bytes())?;
    }
    Ok(out.flush()?)
}

fn given(options: &Options) -> Result<Given, PlanError> {
    let config = options.config.as_deref().map(files::config).transpose()?;
    let cluster = config.as_ref().map(|config| &config.cluster);
    let moves = cluster.map(|cluster| cluster.moves).unwrap_or_default();
    let founders = cluster.and_then(|cluster| u32::try_from(cluster.nodes.len()).ok());
    let replication = cluster.map(|cluster| cluster.replication.get());
    let range_bits = cluster.map(|cluster| cluster.range_bits.get());
    // 0 stands for an operator who does it.
    let replace_after_s = match moves.replace_after_s {
        0 => options.operator_hours * 3_600.0,
        seconds => float(seconds),
    };
    Ok(Given {
        nodes: options.nodes.or(founders).unwrap_or(3),
        replication: options.replication.or(replication).unwrap_or(3),
        range_bits: options.range_bits.or(range_bits).unwrap_or(8),
        data_bytes: options.data.0,
        write_bytes_per_second: options.writes.0,
        disk_bytes: options.disk.map(|disk| disk.0),
        losses_a_year: options.losses_a_year,
        replace_after_s,
        fill_bytes_per_second: float(moves.bytes_per_second.get()),
        operator_s: options.operator_hours * 3_600.0,
        unavailability: options.unavailability,
    })
}

#[expect(clippy::cast_precision_loss, reason = "a plan is good to a few figures")]
fn float(number: u64) -> f64 {
    number as f64
}

/// Names, formulas with the numbers put in, and what comes of them.
fn text(given: &Given, figures: &Figures, advice: &[String]) -> String {
    let (n, r) = (given.nodes, given.replication);
    let bytes = |bytes: f64| Amount(bytes).to_string();
    let data = bytes(given.data_bytes);
    let mut lines = capacity(given, figures);
    lines.extend(durability(given, figures));
    let mut text = format!("{n} nodes with {data} of users' data in {r} copies\n\n");
    align(&lines, &mut text);
    for line in advice {
        write!(text, "\nconsider: {line}").unwrap_or_default();
    }
    if !advice.is_empty() {
        text.push('\n');
    }
    text
}

fn durability(given: &Given, figures: &Figures) -> Vec<[String; 3]> {
    let bytes = |bytes: f64| Amount(bytes).to_string();
    let copies = u32::from(given.replication).min(given.nodes);
    let waiting = if figures.heals {
        format!("replace_after_s {:.0}", given.replace_after_s)
    } else {
        format!("operator {:.0}", given.operator_s)
    };
    let fill = format!(
        "{} / {}",
        bytes(figures.range_bytes),
        bytes(given.fill_bytes_per_second)
    );
    let (lambda, within) = (given.losses_a_year, figures.repair_s);
    let factors = |lost: u32| {
        let left = (0..lost).map(|before| format!("{} λ", copies - before));
        left.collect::<Vec<_>>().join(" × T × ")
    };
    let majority = figures.majority;
    vec![
        [
            "filling a replica".to_owned(),
            format!("(D / R) / rate = {fill}"),
            seconds(figures.fill_s),
        ],
        [
            "a lost replica is back".to_owned(),
            format!(
                "T = {waiting} + {:.0} rounds × {:.0}",
                figures.rounds, figures.fill_s
            ),
            seconds(within),
        ],
        [
            "a given range is lost".to_owned(),
            format!("{}, λ = {lambda} a year, T = {within:.0} s", factors(copies)),
            format!("{:.1e} a year", figures.range_losses_a_year),
        ],
        [
            "any range is lost".to_owned(),
            format!("{:.0} sets of nodes × that", figures.sets),
            format!("{:.1e} a year", figures.losses_a_year),
        ],
        [
            "durability of an item".to_owned(),
            "−log₁₀ of the loss of a range".to_owned(),
            format!("{:.1} nines", figures.nines),
        ],
        [
            "any range loses its majority".to_owned(),
            format!("{:.0} sets of nodes × {}", figures.sets, factors(majority.into())),
            format!("{:.1e} a year", figures.majority_losses_a_year),
        ],
        [
            "an item cannot be reached".to_owned(),
            format!("{majority} of {copies} nodes away, u = {}", given.unavailability),
            format!("{:.2e} s a year", figures.unavailable_s_a_year),
        ],
    ]
}

fn capacity(given: &Given, figures: &Figures) -> Vec<[String; 3]> {
    let (n, copies) = (given.nodes, u32::from(given.replication).min(given.nodes));
    let bytes = |bytes: f64| Amount(bytes).to_string();
    let (data, ranges) = (bytes(given.data_bytes), figures.ranges);
    let line = |what: &str, formula: String, figure: String| [what.to_owned(), formula, figure];
    let mut lines = vec![
        line(
            "on the disk of a node",
            format!("D r / n = {data} × {copies} / {n}"),
            bytes(figures.node_bytes),
        ),
        line(
            "disk of a node",
            format!("three quarters full: {} / 0.75", bytes(figures.node_bytes)),
            bytes(figures.disk_bytes_needed),
        ),
    ];
    if let (Some(disk), Some(nodes)) = (given.disk_bytes, figures.nodes_needed) {
        let formula = format!(
            "D r / (0.75 × disk) = {data} × {} / (0.75 × {})",
            given.replication,
            bytes(disk)
        );
        lines.push(line("nodes for the data", formula, format!("{nodes:.0}")));
    }
    lines.extend([
        line(
            "a range",
            format!("D / R = {data} / {ranges:.0}"),
            bytes(figures.range_bytes),
        ),
        line(
            "replicas of a node",
            format!("R r / n = {ranges:.0} × {copies} / {n}"),
            format!("{:.0}", figures.replicas_a_node.ceil()),
        ),
        line(
            "capacity that leaders use",
            format!("(R / n) / ⌈R / n⌉, R = {ranges:.0}, n = {n}"),
            format!("{:.0} %", figures.evenness * 100.0),
        ),
        line(
            "memory of idle replicas",
            format!("{:.0} × 4822 bytes", figures.replicas_a_node.ceil()),
            bytes(figures.idle_memory_bytes),
        ),
    ]);
    if given.write_bytes_per_second > 0.0 {
        let formula = format!(
            "w r / n = {} × {copies} / {n}",
            bytes(given.write_bytes_per_second)
        );
        let sends = format!("{} a second", bytes(figures.sends_bytes_per_second));
        lines.push(line("a node sends for writes", formula, sends));
    }
    lines
}

fn seconds(seconds: f64) -> String {
    if seconds < 600.0 {
        format!("{seconds:.0} s")
    } else if seconds < 2.0 * 3_600.0 {
        format!("{:.0} min", seconds / 60.0)
    } else {
        format!("{:.1} h", seconds / 3_600.0)
    }
}

fn align(lines: &[[String; 3]], text: &mut String) {
    let width = |column: usize| {
        let widths = lines.iter().map(|line| line[column].chars().count());
        widths.max().unwrap_or_default()
    };
    let (first, second) = (width(0), width(1));
    for [what, formula, figure] in lines {
        writeln!(text, "{what:<first$}  {formula:<second$}  {figure}").unwrap_or_default();
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;
    use crate::cli::init;

    #[derive(Parser)]
    struct Command {
        #[command(flatten)]
        options: Options,
    }

    fn of(arguments: &[&str]) -> Given {
        let all = ["plan"].iter().chain(arguments);
        given(&Command::try_parse_from(all).unwrap().options).unwrap()
    }

    #[test]
    fn the_text_has_the_formulas_with_the_numbers() {
        let given = model::tests::petabyte();
        let figures = model::figures(&given);
        let text = text(&given, &figures, &["this".to_owned()]);
        for line in [
            "on the disk of a node         D r / n = 1 PB × 3 / 1000                             3 TB\n",
            "T = replace_after_s 600 + 2 rounds × 227",
            "3 λ × T × 2 λ × T × 1 λ, λ = 0.04 a year, T = 1055 s  4.3e-13 a year\n",
            "any range is lost             65536 sets of nodes × that                            2.8e-8 a year\n",
            "12.4 nines\n",
            "\nconsider: this\n",
        ] {
            assert!(text.contains(line), "{line} in\n{text}");
        }
    }

    #[test]
    fn options_win_over_the_configuration_and_that_over_defaults() {
        let directory = tempfile::tempdir().unwrap();
        init::tests::three_nodes(directory.path());
        let config = directory.path().join("node-1/stator.toml");
        let text = std::fs::read_to_string(&config).unwrap();
        let text = text.replace("# replication = 3", "replication = 5");
        let text = text.replace(
            "# range_bits = 8",
            "range_bits = 10\n[cluster.moves]\nreplace_after_s = 0",
        );
        std::fs::write(&config, text).unwrap();
        let config = config.to_str().unwrap();
        let given = of(&["--data", "2TB", "--config", config, "--operator-hours", "2"]);
        assert_eq!((given.nodes, given.replication, given.range_bits), (3, 5, 10));
        assert!((given.replace_after_s - 7_200.0).abs() < 1e-9);
        let given = of(&[
            "--data",
            "2TB",
            "--config",
            config,
            "--nodes",
            "9",
            "--replication",
            "3",
        ]);
        assert_eq!((given.nodes, given.replication, given.range_bits), (9, 3, 10));
        let given = of(&["--data", "1GB"]);
        assert_eq!((given.nodes, given.replication, given.range_bits), (3, 3, 8));
        assert!((given.replace_after_s - 600.0).abs() < 1e-9);
    }
}
