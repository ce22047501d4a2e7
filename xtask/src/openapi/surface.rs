//! docs/compatibility.md: which operations there are, and which members of their requests are stored only, or refused. Pure.

use std::collections::BTreeMap;

use crate::Result;

/// The header of the table, as the document has it.
const HEADER: [&str; 4] = ["operation", "works", "accepted and stored", "refused"];

/// What is said of an operation's request, in paths of members.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) stored: Vec<String>,
    pub(super) refused: Vec<String>,
}

/// The operations that work, by name.
///
/// # Errors
/// When the document has no such table.
pub(super) fn parse(text: &str) -> Result<BTreeMap<String, Said>> {
    let mut operations = BTreeMap::new();
    let rows = text
        .lines()
        .skip_while(|line| cells(line) != HEADER)
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    for row in rows {
        let [operation, _, stored, refused] = cells(row)[..] else {
            return Err(format!("a row has other cells than its header: {row}").into());
        };
        let said = Said {
            stored: quoted(stored),
            refused: quoted(refused),
        };
        operations.insert(operation.trim_matches('`').to_owned(), said);
    }
    if operations.is_empty() {
        return Err(format!("there is no table with the header {}", HEADER.join(" | ")).into());
    }
    Ok(operations)
}

fn cells(line: &str) -> Vec<&str> {
    let inner = line
        .strip_prefix('|')
        .and_then(|line| line.trim_end().strip_suffix('|'));
    inner.map_or_else(Vec::new, |inner| inner.split('|').map(str::trim).collect())
}

/// What stands between backticks.
fn quoted(cell: &str) -> Vec<String> {
    cell.split('`').skip(1).step_by(2).map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::{Said, parse};

    #[test]
    fn each_operation_has_what_is_stored_and_what_is_refused() {
        let text = "Words.\n\n| operation | works | accepted and stored | refused |\n|---|---|---|---|\n\
                    | `PutItem` | `Item` | | |\n| `UpdateTable` | | `TableClass` | `A.B`, `C` |\n\n| `Other` | | | |\n";
        let operations = parse(text).unwrap();
        assert_eq!(operations.keys().collect::<Vec<_>>(), ["PutItem", "UpdateTable"]);
        assert_eq!(operations["PutItem"], Said::default());
        let said = &operations["UpdateTable"];
        assert_eq!(
            (said.stored.join(" "), said.refused.join(" ")),
            ("TableClass".into(), "A.B C".into())
        );
        assert!(parse("nothing").is_err());
    }
}
