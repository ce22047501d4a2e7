//! `stator doctor`: examines this machine, the files of a node, and the cluster, and says what to do.
//!
//! Invariant: nothing is changed but a file of its own, which is written and synced in the data directory to see how fast that is, and
//! removed. Not here: what is judged (`doctor/machine.rs`, `doctor/cluster.rs`).

mod cluster;
mod machine;

use std::fmt::Write as _;
use std::io::{self, Write as _};

use clap::Args;
use serde::Serialize;

use super::config::inspect::{self, Severity};
use super::files;
use super::reach::{Reach, ReachError};
use super::serve::place::{PlaceError, PlaceOptions};
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::config::risk::risks;
use crate::node;
use crate::tls;

/// Options of `stator doctor`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    #[command(flatten)]
    reach: Reach,
    #[command(flatten)]
    place: PlaceOptions,
    /// API of another node, when it has not the port of this one; may be given for each
    #[arg(long, value_name = "URL")]
    peer: Vec<String>,
    /// Look at this machine and the files only
    #[arg(long)]
    offline: bool,
    /// Fail when there are warnings, too
    #[arg(long)]
    strict: bool,
    /// Print one object of JSON
    #[arg(long)]
    json: bool,
}

/// Why something is not well, or nothing was found out.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DoctorError {
    #[error("{0}; `stator config check` says everything that is wrong with a configuration")]
    Config(#[source] PlaceError),
    #[error(transparent)]
    Reach(#[from] ReachError),
    #[error("{failed} of {all} checks failed, {warned} have a warning")]
    NotWell {
        failed: usize,
        warned: usize,
        all: usize,
    },
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum State {
    Ok,
    Warn,
    Fail,
}

/// A check; the names are part of the command line's interface.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Check {
    #[serde(rename = "check")]
    name: &'static str,
    state: State,
    /// What was seen.
    found: String,
    /// What to do, if something is to be done.
    advice: Option<String>,
}

impl Check {
    fn ok(name: &'static str, found: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Ok,
            found: found.into(),
            advice: None,
        }
    }

    fn warn(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            name,
            state: State::Warn,
            found: found.into(),
            advice: Some(advice.into()),
        }
    }

    fn fail(name: &'static str, found: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            state: State::Fail,
            ..Self::warn(name, found, advice)
        }
    }
}

/// All of it, as JSON.
#[derive(Debug, Serialize)]
struct Report<'a> {
    ok: bool,
    failed: usize,
    warned: usize,
    checks: &'a [Check],
}

/// Examines everything and says what was found.
///
/// # Errors
/// [`DoctorError::NotWell`] when a check has failed.
pub(crate) fn run(options: &Options) -> Result<(), DoctorError> {
    let config = options
        .place
        .config(&options.reach.config)
        .map_err(DoctorError::Config)?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let mut checks = runtime.block_on(async { files_of(&config) })?;
    checks.extend(machine::examine(&config));
    if !options.offline {
        // Without keys nobody can be asked, which is told as well.
        let reached = options.reach.with(config)?;
        checks.extend(runtime.block_on(cluster::examine(&reached, &options.peer)));
    }
    let of = |state| checks.iter().filter(|check| check.state == state).count();
    let (failed, warned) = (of(State::Fail), of(State::Warn));
    let ok = failed == 0 && (warned == 0 || !options.strict);
    let mut out = io::stdout().lock();
    if options.json {
        let report = Report {
            ok,
            failed,
            warned,
            checks: &checks,
        };
        serde_json::to_writer(&mut out, &report).map_err(io::Error::from)?;
        writeln!(out)?;
    } else {
        out.write_all(text(&checks).as_bytes())?;
    }
    out.flush()?;
    if ok {
        Ok(())
    } else {
        let all = checks.len();
        Err(DoctorError::NotWell { failed, warned, all })
    }
}

/// The configuration and the files that it names.
fn files_of(config: &Config) -> io::Result<Vec<Check>> {
    let mut checks = Vec::new();
    let now_ms = SystemClock.now_ms();
    let remarks = inspect::inspect(config, node::world()?, now_ms);
    for remark in &remarks {
        let found = format!("{}: {}", remark.field, remark.problem);
        checks.push(match remark.severity {
            Severity::Error => Check::fail(
                "files",
                found,
                "mend the file, or the configuration that names it",
            ),
            Severity::Warning => Check::warn("files", found, "mend it before it fails"),
        });
    }
    if remarks.is_empty() {
        checks.push(Check::ok(
            "files",
            "all that the configuration names are there and fit together",
        ));
    }
    let risks = risks(config);
    checks.push(match risks.first() {
        None => Check::ok("settings", "none that may be regretted"),
        Some(first) => Check::warn(
            "settings",
            format!(
                "{} may be regretted, such as {}: {}",
                risks.len(),
                first.field,
                first.problem
            ),
            "`stator config check` says all of them",
        ),
    });
    checks.extend(expiry(config, now_ms / 1000));
    Ok(checks)
}

/// The certificate that expires first.
fn expiry(config: &Config, now_s: i64) -> Option<Check> {
    let until = inspect::certificate_files(config)
        .into_iter()
        .filter_map(|(field, path)| {
            let valid = tls::validity(&files::read(path).ok()?).ok()?;
            Some((valid.until_s, field))
        });
    let (until_s, field) = until.min()?;
    let days = (until_s - now_s).div_euclid(inspect::DAY_S);
    let found = format!("the first to expire is {field}, in {days} days");
    Some(if days >= inspect::EXPIRY_DAYS {
        Check::ok("certificates", found)
    } else {
        let advice = "make another one (`stator init --renew`, or your authority), and send SIGHUP";
        if days < 1 {
            Check::fail("certificates", found, advice)
        } else {
            Check::warn("certificates", found, advice)
        }
    })
}

/// A line a check, and another one for what to do.
fn text(checks: &[Check]) -> String {
    let width = checks
        .iter()
        .map(|check| check.name.len())
        .max()
        .unwrap_or_default();
    let mut text = String::new();
    for check in checks {
        let state = match check.state {
            State::Ok => "ok  ",
            State::Warn => "WARN",
            State::Fail => "FAIL",
        };
        writeln!(text, "{state}  {:width$}  {}", check.name, check.found).unwrap_or_default();
        if let Some(advice) = &check.advice {
            writeln!(text, "{:indent$}do: {advice}", "", indent = width + 8).unwrap_or_default();
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::init;

    #[test]
    fn a_line_says_what_was_found_and_another_one_what_to_do() {
        let checks = [
            Check::ok("disk", "half full"),
            Check::fail("clocks", "an hour off", "set it"),
        ];
        let expected = "ok    disk    half full\nFAIL  clocks  an hour off\n              do: set it\n";
        assert_eq!(text(&checks), expected);
    }

    #[tokio::test]
    async fn files_are_well_as_they_are_made_and_certificates_are_watched() {
        let directory = tempfile::tempdir().unwrap();
        init::tests::three_nodes(directory.path());
        let config = files::config(&directory.path().join("node-1/stator.toml")).unwrap();
        let states: Vec<_> = files_of(&config)
            .unwrap()
            .iter()
            .map(|check| (check.name, check.state))
            .collect();
        // There are no backups.
        let expected = [
            ("files", State::Ok),
            ("settings", State::Warn),
            ("certificates", State::Ok),
        ];
        assert_eq!(states, expected);
        let now_s = SystemClock.now_ms() / 1000;
        let later = |days: i64| expiry(&config, now_s + days * inspect::DAY_S).unwrap().state;
        assert_eq!(
            (later(700), later(810), later(900)),
            (State::Ok, State::Warn, State::Fail)
        );
    }
}
