//! What has come of a break, read from what `stator-sim` prints, and the table of all of them.

use std::fmt;

use super::patch::Patch;
use crate::Result;

/// What has come of a break.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// A seed has failed.
    Noticed {
        /// How the reason begins: the name of an invariant, or who has panicked.
        invariant: String,
        /// The first seed that has failed; the first of all is 1.
        seed: u64,
    },
    /// All of so many seeds have passed.
    NotNoticed(u64),
    /// A seed has failed that fails without the break as well.
    FailsAnyway {
        /// How the reason begins without the break.
        invariant: String,
        /// The seed.
        seed: u64,
    },
    /// The patch does not fit the code.
    DoesNotApply,
    /// The broken code does not compile.
    DoesNotBuild,
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Noticed { invariant, seed } => write!(f, "noticed by `{invariant}` with seed {seed}"),
            Self::NotNoticed(seeds) => write!(f, "NOT NOTICED by {seeds} seeds"),
            Self::FailsAnyway { invariant, seed } => {
                write!(f, "SEED {seed} FAILS WITHOUT THE BREAK: {invariant}")
            }
            Self::DoesNotApply => f.write_str("DOES NOT APPLY"),
            Self::DoesNotBuild => f.write_str("DOES NOT BUILD"),
        }
    }
}

/// Reads what `stator-sim` has printed about `seeds` seeds, with at most one failure.
pub(super) fn verdict(printed: &str, seeds: u64) -> Result<Outcome> {
    let failures = printed.lines().filter_map(|line| line.strip_prefix("seed "));
    let mut failures = failures.filter_map(|line| line.split_once(" fails: "));
    if let Some((seed, reason)) = failures.next() {
        let invariant = reason.split(':').next().unwrap_or(reason);
        return Ok(Outcome::Noticed {
            invariant: invariant.to_owned(),
            seed: seed.parse()?,
        });
    }
    if printed.contains(&format!("{seeds} seeds, 0 failed")) {
        Ok(Outcome::NotNoticed(seeds))
    } else {
        Err(format!("stator-sim does not say what has come of {seeds} seeds: {printed}").into())
    }
}

/// A line of the table.
pub(super) struct Row<'a> {
    pub(super) patch: &'a Patch,
    pub(super) outcome: Outcome,
}

/// The table, in Markdown.
pub(super) fn render(rows: &[Row<'_>]) -> String {
    let head = "| break | rule | noticed by | seeds |\n|---|---|---|---|\n".to_owned();
    let lines = rows.iter().map(|Row { patch, outcome }| {
        let (by, seeds) = match outcome {
            Outcome::Noticed { invariant, seed } if patch.noticed_by.contains(invariant) => {
                (invariant.clone(), seed.to_string())
            }
            Outcome::Noticed { invariant, seed } => {
                let expected = patch.noticed_by.join(", ");
                (format!("{invariant} (expected: {expected})"), seed.to_string())
            }
            Outcome::NotNoticed(seeds) => ("**nothing**".to_owned(), format!("> {seeds}")),
            other => (format!("**{other}**"), "-".to_owned()),
        };
        format!("| {} | {} | {by} | {seeds} |\n", patch.name, patch.rule)
    });
    std::iter::once(head).chain(lines).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn noticed(invariant: &str, seed: u64) -> Outcome {
        Outcome::Noticed {
            invariant: invariant.to_owned(),
            seed,
        }
    }

    #[test]
    fn the_first_word_of_a_failure_is_the_invariant() {
        let printed = "cluster: a cluster\nseed 17 fails: linearizable: key Place is not linearizable. There\n  the end \
                       of its trace:\ncluster: 17 seeds, 1 failed; 5 operations\n";
        assert_eq!(verdict(printed, 100).unwrap(), noticed("linearizable", 17));
        let panicked = "seed 3 fails: node 2 panicked: index out of range\n";
        assert_eq!(verdict(panicked, 100).unwrap(), noticed("node 2 panicked", 3));
        let passed = "cluster: 100 seeds, 0 failed; 5 operations\n";
        assert_eq!(verdict(passed, 100).unwrap(), Outcome::NotNoticed(100));
        assert!(verdict(passed, 1_000).is_err());
    }

    #[test]
    fn the_table_says_when_another_invariant_was_faster_and_what_was_not_noticed() {
        let patch = Patch {
            name: "stale".to_owned(),
            path: "stale.patch".into(),
            rule: "reads ask a majority".to_owned(),
            noticed_by: vec!["linearizable".to_owned()],
            scenario: "cluster".to_owned(),
            seeds: None,
            seed: None,
            changes: vec!["a".into()],
        };
        let outcomes = [
            noticed("linearizable", 3),
            noticed("counted", 4),
            Outcome::NotNoticed(9),
            Outcome::DoesNotApply,
        ];
        let rows = outcomes.map(|outcome| Row {
            patch: &patch,
            outcome,
        });
        let table = render(&rows);
        let cells: Vec<&str> = table
            .lines()
            .skip(2)
            .filter_map(|line| line.split_once("majority | "))
            .map(|(_, rest)| rest)
            .collect();
        assert_eq!(
            cells,
            [
                "linearizable | 3 |",
                "counted (expected: linearizable) | 4 |",
                "**nothing** | > 9 |",
                "**DOES NOT APPLY** | - |"
            ]
        );
    }
}
