//! Every file says at its head what lives in it: `//!` in Rust, a docstring in the Python of compat-tests.

use super::{Finding, SourceFile};

const RULE: &str = "heads";

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        if file.has_extension("rs") && !opens_with_module_docs(&file.text) {
            let message = "no `//!` in the first line: say what lives here, its invariant, and what does not";
            findings.push(Finding::new(&file.path, 1, RULE, message));
        }
        if file.path.starts_with("compat-tests/")
            && file.has_extension("py")
            && !opens_with_docstring(&file.text)
        {
            let message = "no docstring at the head: say what this file tests or provides";
            findings.push(Finding::new(&file.path, 1, RULE, message));
        }
    }
    findings
}

fn opens_with_module_docs(text: &str) -> bool {
    text.strip_prefix("//!")
        .is_some_and(|rest| rest.lines().next().is_some_and(|line| !line.trim().is_empty()))
}

/// Comments (a shebang, an encoding) may stand before a docstring; a file without any code needs none.
fn opens_with_docstring(text: &str) -> bool {
    let first = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty() && !line.starts_with('#'));
    first.is_none_or(|line| {
        ["\"\"\"", "r\"\"\"", "'''"]
            .iter()
            .any(|quote| line.starts_with(quote))
    })
}

#[cfg(test)]
mod tests {
    use super::check;
    use crate::tidy::SourceFile;

    fn is_fine(path: &str, text: &str) -> bool {
        check(&[SourceFile::new(path, text)]).is_empty()
    }

    #[test]
    fn a_rust_file_opens_with_module_docs() {
        assert!(is_fine("a/src/lib.rs", "//! The engine.\n\nfn f() {}\n"));
        for text in [
            "",
            "fn f() {}\n",
            "//!\n//! Late.\n",
            "// The engine.\n",
            "/// The engine.\nfn f() {}\n",
            "\n//! Late.\n",
        ] {
            assert!(!is_fine("a/src/lib.rs", text), "{text:?}");
        }
    }

    #[test]
    fn a_python_test_file_opens_with_a_docstring() {
        assert!(is_fine(
            "compat-tests/test_a.py",
            "\"\"\"Items.\"\"\"\nimport os\n"
        ));
        assert!(is_fine(
            "compat-tests/run.py",
            "#!/usr/bin/env python3\n\n'''Runs.'''\n"
        ));
        assert!(is_fine("compat-tests/__init__.py", ""));
        assert!(is_fine("docs/conf.py", "import os\n"));
        assert!(!is_fine(
            "compat-tests/test_a.py",
            "import os\n\"\"\"Late.\"\"\"\n"
        ));
    }
}
