//! `stator config check`: all that is wrong with a node's configuration and the files that it names, and what may be regretted.
//!
//! Nothing is started, changed or connected to. Not here: the checks of the text (`config/check.rs`), risks (`config/risk.rs`),
//! the machine and the cluster (`doctor.rs`).

pub(super) mod inspect;

use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use serde::Serialize;

use self::inspect::Severity;
use super::files::{self, FileError};
use super::serve::place::PlaceOptions;
use crate::clock::{Clock as _, SystemClock};
use crate::config::check::{self, Lines};
use crate::config::risk::risks;
use crate::node;

/// Options of `stator config`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Say everything that is wrong with a configuration, and what may be regretted
    Check(Check),
}

#[derive(Debug, Args)]
struct Check {
    /// Configuration of a node
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    #[command(flatten)]
    place: PlaceOptions,
    /// Look at the text only, not at the files that it names
    #[arg(long)]
    text_only: bool,
    /// Fail when there are warnings, too
    #[arg(long)]
    strict: bool,
    /// Print one object of JSON
    #[arg(long)]
    json: bool,
}

/// Why a configuration is not good.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConfigCheckError {
    #[error(transparent)]
    File(#[from] FileError),
    #[error("{} is not good: {errors} errors, {warnings} warnings", path.display())]
    NotGood {
        path: PathBuf,
        errors: usize,
        warnings: usize,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What is printed; the names are part of the command line's interface.
#[derive(Debug, Serialize)]
struct Report<'a> {
    file: &'a Path,
    ok: bool,
    errors: usize,
    warnings: usize,
    findings: Vec<Finding>,
}

/// Something that is wrong or may be regretted.
#[derive(Debug, PartialEq, Eq, Serialize)]
struct Finding {
    severity: Severity,
    line: Option<usize>,
    field: String,
    problem: String,
}

/// Runs a command.
///
/// # Errors
/// [`ConfigCheckError::NotGood`] when something is wrong.
pub(crate) fn run(options: &Options) -> Result<(), ConfigCheckError> {
    let Command::Check(options) = &options.command;
    let (text, path) = files::config_text(&options.config)?;
    let checked = check::check(&text, files::directory_of(&path), &options.place.place());
    let mut findings: Vec<Finding> = checked
        .findings
        .into_iter()
        .map(|finding| Finding {
            severity: Severity::Error,
            line: finding.line,
            field: finding.field,
            problem: finding.problem,
        })
        .collect();
    if let Some(config) = &checked.config {
        let mut add = |severity, field: &str, problem| {
            findings.push(found(&checked.lines, severity, field, problem));
        };
        for risk in risks(config) {
            add(Severity::Warning, risk.field, risk.problem);
        }
        if !options.text_only {
            for remark in inspect_files(config)? {
                add(remark.severity, remark.field, remark.problem);
            }
        }
    }
    findings.sort_by_key(|finding| finding.line);
    let of = |severity| {
        findings
            .iter()
            .filter(|finding| finding.severity == severity)
            .count()
    };
    let (errors, warnings) = (of(Severity::Error), of(Severity::Warning));
    let ok = errors == 0 && (warnings == 0 || !options.strict);
    let report = Report {
        file: &path,
        ok,
        errors,
        warnings,
        findings,
    };
    print(&report, options.json)?;
    if ok {
        Ok(())
    } else {
        Err(ConfigCheckError::NotGood {
            path,
            errors,
            warnings,
        })
    }
}

/// Looks at the files that a configuration names.
fn inspect_files(config: &crate::config::Config) -> io::Result<Vec<inspect::Remark>> {
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let world = runtime.block_on(async { node::world() })?;
    Ok(inspect::inspect(config, world, SystemClock.now_ms()))
}

fn found(lines: &Lines, severity: Severity, field: &str, problem: String) -> Finding {
    Finding {
        severity,
        line: lines.of(field),
        field: field.to_owned(),
        problem,
    }
}

fn print(report: &Report<'_>, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    if json {
        serde_json::to_writer(&mut out, report)?;
        writeln!(out)?;
        return out.flush();
    }
    let file = report.file.display();
    for finding in &report.findings {
        let Finding {
            severity,
            line,
            field,
            problem,
        } = finding;
        let place = line.map_or_else(|| file.to_string(), |line| format!("{file}:{line}"));
        let colon = if field.is_empty() { "" } else { ": " };
        writeln!(out, "{place}: {severity}: {field}{colon}{problem}")?;
    }
    if report.ok {
        writeln!(out, "{file} is good: {} warnings", report.warnings)?;
    }
    out.flush()
}
