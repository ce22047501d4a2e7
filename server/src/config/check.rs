//! All that is wrong with a configuration file at once, each with its line.
//!
//! A parser ends at the first value that it does not understand. Here such a value is noted, taken out, and where one is
//! demanded, replaced by one that stands for it ([`STAND_INS`]), until the rest is understood; problems that follow from what was
//! taken out are not told. Invariant: nothing is found exactly when [`Config::parse_for`] takes the text. Not here: what is allowed and
//! risky (`risk.rs`), files that are named (`cli/config.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use std::path::Path;

use serde::Deserialize as _;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue};

use super::place::Place;
use super::{Config, ConfigError};

/// What stands for values that are demanded and cannot be understood.
const STAND_INS: &str = r#"
cluster = { id = "stand-in", nodes = ["1=stand-in:1"] }
node = { id = 1, address = "stand-in:1", listen = "127.0.0.1:1", data_dir = "d" }
http = { listen = "127.0.0.1:2", region = "us-east-1", client_certificates = { authority = "a", principals = {} } }
security = { ca = "c", certificate = "c", key = "k", master_key = "k", root_credentials = "r" }
audit = { file = "a" }
backup = { directory = "b" }
"#;

/// Values that are held against each other: a problem of one is not told when another one was not understood.
const TOGETHER: [&[&str]; 3] = [
    &["cluster.nodes", "node.id", "node.address"],
    &["node.listen", "http.listen", "http.metrics_listen"],
    &["http.certificate", "http.key"],
];

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Finding {
    /// The value with its section, like `node.id`; empty when the text is no TOML there.
    pub(crate) field: String,
    /// The line, from 1, if there is one.
    pub(crate) line: Option<usize>,
    /// What is wrong, and what would be right.
    pub(crate) problem: String,
}

/// What came of a check.
#[derive(Debug)]
pub(crate) struct Checked {
    /// In the order of their lines.
    pub(crate) findings: Vec<Finding>,
    /// The configuration, when nothing is wrong with it.
    pub(crate) config: Option<Config>,
    /// Where values are.
    pub(crate) lines: Lines,
}

/// The lines of all values of a text, by their names.
#[derive(Debug, Default)]
pub(crate) struct Lines(BTreeMap<String, usize>);

impl Lines {
    fn note(&mut self, table: &DeTable<'_>, above: &str, text: &str) {
        for (key, value) in table {
            let name = below(above, key.get_ref());
            if let DeValue::Table(table) = value.get_ref() {
                self.note(table, &name, text);
            }
            self.0.insert(name, line_at(text, key.span().start));
        }
    }

    /// The line of a value, or of the section that it would be in.
    pub(crate) fn of(&self, field: &str) -> Option<usize> {
        let mut name = field;
        loop {
            if let Some(line) = self.0.get(name) {
                return Some(*line);
            }
            name = name.rsplit_once('.')?.0;
        }
    }
}

fn below(above: &str, key: &str) -> String {
    if above.is_empty() {
        key.to_owned()
    } else {
        format!("{above}.{key}")
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}

/// Checks a text as [`Config::parse_for`] does, and finds all that is wrong.
pub(crate) fn check(text: &str, directory: &Path, place: &Place) -> Checked {
    let (mut table, malformed) = DeTable::parse_recoverable(text);
    let mut lines = Lines::default();
    lines.note(table.get_ref(), "", text);
    let mut findings: Vec<Finding> = malformed
        .iter()
        .map(|error| Finding {
            field: String::new(),
            line: error.span().map(|span| line_at(text, span.start)),
            problem: error.message().to_owned(),
        })
        .collect();
    // What else is wrong may follow from what could not be read.
    if findings.is_empty() {
        let mut understanding = Understanding::new(text, &lines);
        let understood = understanding.run(&mut table);
        findings = understanding.findings;
        if let Some(mut config) = understood {
            place.apply(&mut config);
            let taken_out = &understanding.taken_out;
            let problems = config.problems().into_iter();
            findings.extend(problems.filter_map(|problem| tell(problem, taken_out, &lines)));
            if findings.is_empty() {
                config.resolve(directory);
                return Checked {
                    findings,
                    config: Some(config),
                    lines,
                };
            }
        }
    }
    findings.sort_by_key(|finding| finding.line);
    Checked {
        findings,
        config: None,
        lines,
    }
}

/// A problem, unless it may follow from a value that was taken out.
fn tell(problem: ConfigError, taken_out: &BTreeSet<String>, lines: &Lines) -> Option<Finding> {
    let (field, problem) = match problem {
        ConfigError::Value { field, problem } => (field, problem),
        ConfigError::Text(error) => ("", error.message().to_owned()),
    };
    let own = [field];
    let together = TOGETHER.iter().find(|group| group.contains(&field));
    let group = together.copied().unwrap_or(&own);
    let follows = taken_out
        .iter()
        .any(|name| group.iter().any(|field| name.starts_with(field)));
    (!follows).then(|| Finding {
        field: field.to_owned(),
        line: lines.of(field),
        problem,
    })
}

/// Where a value is: keys of tables, and places in arrays.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

fn name(path: &[Step]) -> String {
    path.iter().fold(String::new(), |above, step| match step {
        Step::Key(key) => below(&above, key),
        Step::Index(index) => format!("{above}[{index}]"),
    })
}

/// A configuration that is being understood, as far as it can be.
struct Understanding<'a> {
    text: &'a str,
    lines: &'a Lines,
    findings: Vec<Finding>,
    /// Names of the values that are not those of the text any more.
    taken_out: BTreeSet<String>,
    put_in: BTreeSet<String>,
}

impl<'a> Understanding<'a> {
    fn new(text: &'a str, lines: &'a Lines) -> Self {
        Self {
            text,
            lines,
            findings: Vec::new(),
            taken_out: BTreeSet::new(),
            put_in: BTreeSet::new(),
        }
    }

    /// Takes out what is not understood, until the rest is; `None` when that does not help.
    fn run(&mut self, table: &mut Spanned<DeTable<'_>>) -> Option<Config> {
        loop {
            let deserializer = toml::de::Deserializer::from(table.clone());
            let error = match Config::deserialize(deserializer) {
                Ok(config) => return Some(config),
                Err(error) => error,
            };
            let span = error.span().unwrap_or(0..0);
            let missing = error
                .message()
                .strip_prefix("missing field `")
                .and_then(|rest| rest.strip_suffix('`'));
            let mended = match missing {
                Some(field) => self.put_in(table, &span, field),
                None => self.take_out(table, &span, error.message()),
            };
            if !mended {
                return None;
            }
        }
    }

    fn find(&mut self, field: String, line: Option<usize>, problem: &str) {
        self.findings.push(Finding {
            field,
            line,
            problem: problem.to_owned(),
        });
    }

    /// Notes a value that is not understood, and takes it out.
    fn take_out(&mut self, table: &mut Spanned<DeTable<'_>>, span: &Range<usize>, problem: &str) -> bool {
        let path = path_at(table.get_ref(), span);
        let elements = self.elements(table, span, &path);
        if !elements.is_empty() {
            self.taken_out.insert(name(&path));
            // From the end, so that those before keep their places.
            return elements.iter().rev().all(|index| {
                let within = [path.as_slice(), &[Step::Index(*index)]].concat();
                remove(table.get_mut(), &within)
            });
        }
        let name = name(&path);
        let line = (!span.is_empty()).then(|| line_at(self.text, span.start));
        self.find(name.clone(), line, problem);
        // Nothing follows from a value that means nothing.
        if !problem.starts_with("unknown field") {
            self.taken_out.insert(name);
        }
        remove(table.get_mut(), &path)
    }

    /// Notes the elements of an array that are not understood, each by itself; none when it is no array.
    fn elements(&mut self, table: &Spanned<DeTable<'_>>, span: &Range<usize>, path: &[Step]) -> Vec<usize> {
        let Some(DeValue::Array(array)) = value_at(table.get_ref(), path) else {
            return Vec::new();
        };
        let mut bad = Vec::new();
        for (index, element) in array.iter().enumerate() {
            let mut alone = table.clone();
            if let Some(value) = value_at_mut(alone.get_mut(), path) {
                let mut array = DeArray::default();
                array.push(element.clone());
                *value = DeValue::Array(array);
            }
            let understood = Config::deserialize(toml::de::Deserializer::from(alone));
            if let Err(error) = understood
                && error.span().as_ref() == Some(span)
            {
                let line = line_at(self.text, element.span().start);
                let name = format!("{}[{index}]", name(path));
                self.find(name, Some(line), error.message());
                bad.push(index);
            }
        }
        bad
    }

    /// Notes a value that is missing, and puts in one that stands for it.
    fn put_in(&mut self, table: &mut Spanned<DeTable<'_>>, span: &Range<usize>, field: &str) -> bool {
        let mut path = section_without(table, span, field);
        path.push(Step::Key(field.to_owned()));
        let name = name(&path);
        if !self.put_in.insert(name.clone()) {
            return false;
        }
        if !self.taken_out.contains(&name) {
            let line = self.lines.of(&name);
            self.find(name.clone(), line, "is missing, and there is no default for it");
        }
        let stand_in = stand_in(&path);
        path.pop();
        self.taken_out.insert(name);
        match (stand_in, section(table.get_mut(), &path)) {
            (Some(value), Some(section)) => {
                // At no place of the text.
                let at = usize::MAX..usize::MAX;
                section.insert(
                    Spanned::new(at.clone(), field.to_owned().into()),
                    Spanned::new(at, value),
                );
                true
            }
            // Nothing stands for it: the section goes as a whole.
            (None, Some(_)) if !path.is_empty() => remove(table.get_mut(), &path),
            _ => false,
        }
    }
}

fn covers(outer: &Range<usize>, inner: &Range<usize>) -> bool {
    outer.start <= inner.start && inner.end <= outer.end
}

/// The way to the innermost key or value that holds a place of the text; none when the place is that of the whole text.
fn path_at(table: &DeTable<'_>, span: &Range<usize>) -> Vec<Step> {
    if span.is_empty() {
        return Vec::new();
    }
    for (key, value) in table {
        let step = || vec![Step::Key(key.get_ref().to_string())];
        if covers(&key.span(), span) {
            return step();
        }
        let below = path_in(value, span);
        if let Some(below) = below {
            return step().into_iter().chain(below).collect();
        }
    }
    Vec::new()
}

/// The same within a value; `None` when it does not hold the place.
fn path_in(value: &Spanned<DeValue<'_>>, span: &Range<usize>) -> Option<Vec<Step>> {
    let below = match value.get_ref() {
        DeValue::Table(table) => path_at(table, span),
        DeValue::Array(array) => {
            let mut within = array.iter().enumerate().filter_map(|(index, value)| {
                let below = path_in(value, span)?;
                Some([Step::Index(index)].into_iter().chain(below).collect())
            });
            within.next().unwrap_or_default()
        }
        _ => Vec::new(),
    };
    (!below.is_empty() || covers(&value.span(), span)).then_some(below)
}

/// The way to the section that lacks a field: the one at a place of the text.
fn section_without(table: &Spanned<DeTable<'_>>, span: &Range<usize>, field: &str) -> Vec<Step> {
    let path = path_at(table.get_ref(), span);
    // The place of a section may be that of its first value.
    let is_there = |path: &[Step]| {
        let value = lookup(table.get_ref(), path);
        matches!(value, Some(section) if section.get(field).is_none())
    };
    let mut path = path;
    while !path.is_empty() && !is_there(&path) {
        path.pop();
    }
    path
}

fn lookup<'t, 'i>(table: &'t DeTable<'i>, path: &[Step]) -> Option<&'t DeTable<'i>> {
    let mut section = table;
    for step in path {
        let Step::Key(key) = step else { return None };
        section = section.get(key.as_str())?.get_ref().as_table()?;
    }
    Some(section)
}

fn section<'t, 'i>(table: &'t mut DeTable<'i>, path: &[Step]) -> Option<&'t mut DeTable<'i>> {
    if path.is_empty() {
        return Some(table);
    }
    match value_at_mut(table, path)? {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn value_at<'t, 'i>(table: &'t DeTable<'i>, path: &[Step]) -> Option<&'t DeValue<'i>> {
    let (Step::Key(last), sections) = path.split_last()? else {
        return None;
    };
    Some(lookup(table, sections)?.get(last.as_str())?.get_ref())
}

fn value_at_mut<'t, 'i>(table: &'t mut DeTable<'i>, path: &[Step]) -> Option<&'t mut DeValue<'i>> {
    let (Step::Key(first), rest) = path.split_first()? else {
        return None;
    };
    let value = table.get_mut(first.as_str())?.get_mut();
    match (rest, value) {
        ([], value) => Some(value),
        (rest, DeValue::Table(table)) => value_at_mut(table, rest),
        _ => None,
    }
}

fn stand_in(path: &[Step]) -> Option<DeValue<'static>> {
    let table = DeTable::parse(STAND_INS).ok()?;
    value_at(table.get_ref(), path).cloned()
}

/// Takes a value out; false when it is not there.
fn remove(table: &mut DeTable<'_>, path: &[Step]) -> bool {
    match path {
        [Step::Key(key)] => table.remove(key.as_str()).is_some(),
        [Step::Key(key), rest @ ..] => table
            .get_mut(key.as_str())
            .is_some_and(|value| remove_in(value.get_mut(), rest)),
        [] | [Step::Index(_), ..] => false,
    }
}

fn remove_in(value: &mut DeValue<'_>, path: &[Step]) -> bool {
    match (value, path) {
        (DeValue::Table(table), path) => remove(table, path),
        (DeValue::Array(array), [Step::Index(index)]) if *index < array.len() => {
            let mut kept = DeArray::default();
            for (_, value) in array.iter().enumerate().filter(|(place, _)| place != index) {
                kept.push(value.clone());
            }
            *array = kept;
            true
        }
        (DeValue::Array(array), [Step::Index(index), rest @ ..]) => {
            let value = array.get_mut(*index);
            value.is_some_and(|value| remove_in(value.get_mut(), rest))
        }
        _ => false,
    }
}

#[cfg(test)]
pub(in crate::config) mod tests;
