//! `cargo xtask tidy`: checks of the whole tree, one module a rule.
//!
//! A rule is a pure function from texts to findings; reading files and running `cargo metadata` and `git` happens here
//! alone. A finding names the place and what to do about it.

mod arrows;
mod doors;
mod heads;
mod hygiene;
mod length;
mod licenses;
mod links;
mod metadata;

use std::fmt;
use std::io::Write;
use std::path::Path;
use std::process::Command;

use crate::Result;
use metadata::Metadata;

/// One line of the report.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Finding {
    /// Path from the root of the workspace.
    file: String,
    /// Counted from 1.
    line: usize,
    rule: &'static str,
    /// What is wrong, and what to do.
    message: String,
}

impl Finding {
    fn new(file: &str, line: usize, rule: &'static str, message: impl Into<String>) -> Self {
        Self {
            file: file.to_owned(),
            line,
            rule,
            message: message.into(),
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}: {}: {}", self.file, self.line, self.rule, self.message)
    }
}

/// A text file of the tree.
#[derive(Debug, Clone)]
struct SourceFile {
    /// Path from the root of the workspace, with forward slashes.
    path: String,
    text: String,
}

impl SourceFile {
    #[cfg(test)]
    fn new(path: &str, text: &str) -> Self {
        Self {
            path: path.to_owned(),
            text: text.to_owned(),
        }
    }

    fn has_extension(&self, extension: &str) -> bool {
        Path::new(&self.path)
            .extension()
            .is_some_and(|own| own == extension)
    }

    /// The line, counted from 1, that first holds `needle`; 1 if none does.
    fn line_of(&self, needle: &str) -> usize {
        self.text
            .lines()
            .position(|line| line.contains(needle))
            .map_or(1, |index| index + 1)
    }
}

/// Runs every rule, prints the findings, and says whether there were none.
pub(crate) fn run(update_ratchet: bool) -> Result<bool> {
    let metadata = Metadata::load()?;
    let root = Path::new(&metadata.workspace_root);
    let (files, binaries) = load_files(root)?;
    let ratchet_path = root.join(length::RATCHET_PATH);
    let mut ratchet = length::Ratchet::parse(&std::fs::read_to_string(&ratchet_path)?)?;
    if update_ratchet {
        ratchet.lower(&files);
        std::fs::write(&ratchet_path, ratchet.to_toml())?;
    }
    let policy = licenses::Policy::parse(&std::fs::read_to_string(root.join(licenses::POLICY_PATH))?)?;

    let mut findings = Vec::new();
    findings.extend(arrows::check_crates(&metadata, &files));
    findings.extend(arrows::check_sources(&files));
    findings.extend(doors::check(&metadata, &files));
    findings.extend(heads::check(&files));
    findings.extend(length::check(&files, &ratchet));
    findings.extend(links::check(&files, |path| root.join(path).exists()));
    findings.extend(licenses::check(&metadata, &policy));
    findings.extend(hygiene::check(&files));
    findings.extend(hygiene::check_binaries(&binaries));
    findings.sort();

    let mut out = std::io::stdout().lock();
    for finding in &findings {
        writeln!(out, "{finding}")?;
    }
    writeln!(out, "tidy: {} files, {} findings", files.len(), findings.len())?;
    Ok(findings.is_empty())
}

/// Every text file that git tracks or would track, and the paths of the others. A file that is not UTF-8 is no text and has no
/// lines to check.
fn load_files(root: &Path) -> Result<(Vec<SourceFile>, Vec<String>)> {
    let listing = Command::new("git")
        .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
        .current_dir(root)
        .output()?;
    if !listing.status.success() {
        return Err(format!("git ls-files: {}", String::from_utf8_lossy(&listing.stderr)).into());
    }
    let (mut files, mut binaries) = (Vec::new(), Vec::new());
    for path in String::from_utf8(listing.stdout)?.split_terminator('\0') {
        let on_disk = root.join(path);
        // Listed but deleted, or a link to a folder.
        if !on_disk.is_file() {
            continue;
        }
        let bytes = std::fs::read(&on_disk).map_err(|error| format!("{path}: {error}"))?;
        match String::from_utf8(bytes) {
            Ok(text) => files.push(SourceFile {
                path: path.to_owned(),
                text,
            }),
            Err(_) => binaries.push(path.to_owned()),
        }
    }
    Ok((files, binaries))
}

#[cfg(test)]
mod tests {
    use super::Finding;

    #[test]
    fn a_finding_is_one_line_that_editors_can_follow() {
        let finding = Finding::new("iam/src/lib.rs", 7, "heads", "no `//!`: say what lives here");
        assert_eq!(
            finding.to_string(),
            "iam/src/lib.rs:7: heads: no `//!`: say what lives here"
        );
    }
}
