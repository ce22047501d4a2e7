//! Seeds that have failed once, and are run by the tests ever after: `seeds/<scenario>.txt`.
//!
//! A line is `SEED FAULTS WHY`: the seed; which entries of its schedule happen (`all`, `none`, or places such as `0,3`, as
//! `--keep-faults` takes them); and what was wrong, in a sentence. Empty lines and those that begin with `#` say nothing.
//! Invariant: a line is never taken out because it fails. A seed means another run once the scenario or the kernel draws
//! otherwise; the line stays, as one more seed.

use std::str::FromStr;

/// Which entries of a schedule happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Faults {
    /// All.
    All,
    /// Those at these places.
    Only(Vec<usize>),
}

impl Faults {
    /// The places; `None` for all.
    pub fn places(&self) -> Option<&[usize]> {
        match self {
            Self::All => None,
            Self::Only(places) => Some(places),
        }
    }
}

/// Words that should be places of a schedule, and are not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is neither `all`, `none`, nor places such as `0,3`")]
pub struct NoFaults(String);

impl FromStr for Faults {
    type Err = NoFaults;

    fn from_str(text: &str) -> Result<Self, NoFaults> {
        match text {
            "all" => Ok(Self::All),
            "none" => Ok(Self::Only(Vec::new())),
            _ => {
                let places = text.split(',').map(|place| place.trim().parse());
                let places: Result<Vec<usize>, _> = places.collect();
                places.map(Self::Only).map_err(|_| NoFaults(text.to_owned()))
            }
        }
    }
}

/// A seed that is kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// The seed.
    pub seed: u64,
    /// What is broken.
    pub faults: Faults,
    /// What was wrong.
    pub why: String,
}

/// A line of a file of kept seeds that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}; write `SEED FAULTS WHY`")]
pub struct BadLine {
    /// Which, from 1.
    pub line: usize,
    /// What is wrong with it.
    pub what: String,
}

/// Reads a file of kept seeds.
///
/// # Errors
/// The first line that cannot be read.
pub fn parse(text: &str) -> Result<Vec<Kept>, BadLine> {
    let lines = text.lines().zip(1..);
    let said = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
    said.map(|(line, number)| kept(line).map_err(|what| BadLine { line: number, what }))
        .collect()
}

fn kept(line: &str) -> Result<Kept, String> {
    let mut words = line.splitn(3, char::is_whitespace);
    let mut next = |what: &str| words.next().ok_or_else(|| format!("there is no {what}"));
    let seed = next("seed")?;
    Ok(Kept {
        seed: seed.parse().map_err(|_| format!("`{seed}` is no seed"))?,
        faults: next("word about faults")?
            .parse()
            .map_err(|error: NoFaults| error.to_string())?,
        why: next("reason")?.trim().to_owned(),
    })
}

/// The line that keeps a failing seed.
pub fn line(seed: u64, places: &[usize], reason: &str) -> String {
    let first_line = reason.lines().next().unwrap_or_default();
    format!("{seed} {} {first_line}", places_in_words(places))
}

/// Places of a schedule as they are written.
pub fn places_in_words(places: &[usize]) -> String {
    if places.is_empty() {
        return "none".to_owned();
    }
    let places: Vec<_> = places.iter().map(ToString::to_string).collect();
    places.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_as_they_are_written() {
        let reason = "linearizable: key 3\nin many lines";
        let text = [
            "# Words.".to_owned(),
            String::new(),
            line(7, &[0, 12], reason),
            line(u64::MAX, &[], reason),
            "8 all whatever it was".to_owned(),
        ];
        let why = "linearizable: key 3".to_owned();
        let expected = [
            (7, Faults::Only(vec![0, 12]), why.clone()),
            (u64::MAX, Faults::Only(Vec::new()), why),
            (8, Faults::All, "whatever it was".to_owned()),
        ];
        let expected = expected.map(|(seed, faults, why)| Kept { seed, faults, why });
        assert_eq!(parse(&text.join("\n")).unwrap(), expected);
        assert_eq!(expected[0].faults.places(), Some(&[0, 12][..]));
        assert_eq!(expected[2].faults.places(), None);
    }

    #[test]
    fn a_line_that_cannot_be_read_is_named() {
        for (text, what) in [
            ("1 all a\nx all b", "line 2: `x` is no seed"),
            ("1 some a", "line 1: `some` is neither"),
            ("1 0,", "line 1: `0,` is neither"),
            ("1 all", "line 1: there is no reason"),
            ("1", "line 1: there is no word about faults"),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
