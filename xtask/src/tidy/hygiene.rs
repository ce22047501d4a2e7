//! Small things that betray haste: stub markers, tabs, trailing white space, paths of somebody's machine, programs and packages that
//! were added with everything else.

use super::{Finding, SourceFile};

const RULE: &str = "hygiene";

/// Put together at compile time, so that this file does not hold what it forbids.
const STUBS: &[&str] = &[
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("FIX", "ME"),
];
const MACHINE_PATHS: &[&str] = &[
    concat!("/ho", "me/"),
    concat!("/ro", "ot/"),
    concat!("/Us", "ers/"),
    concat!("/wo", "rk/"),
];

/// Files in which white space has no meaning of its own.
const WHITE_SPACE_CHECKED: &[&str] = &[
    "css", "html", "js", "json", "md", "py", "rs", "sh", "toml", "yaml", "yml",
];

pub(super) fn check(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for file in files {
        let checks_space = WHITE_SPACE_CHECKED
            .iter()
            .any(|extension| file.has_extension(extension));
        for (index, line) in file.text.lines().enumerate() {
            let mut find =
                |message: String| findings.push(Finding::new(&file.path, index + 1, RULE, message));
            for stub in STUBS.iter().filter(|stub| line.contains(**stub)) {
                find(format!(
                    "`{}` marks a stub: finish it or leave it out",
                    stub.trim_end_matches('(')
                ));
            }
            for path in MACHINE_PATHS.iter().filter(|path| holds_path(line, path)) {
                find(format!(
                    "a path below `{path}` exists on one machine only: make it relative or an argument"
                ));
            }
            if checks_space && line.contains('\t') {
                find("a tab: indent with spaces, or write \\t".to_owned());
            }
            if checks_space && line.ends_with([' ', '\t', '\r']) {
                find("white space at the end of the line: remove it".to_owned());
            }
        }
        if checks_space && !file.text.is_empty() && !file.text.ends_with('\n') {
            let last = file.text.lines().count();
            findings.push(Finding::new(
                &file.path,
                last,
                RULE,
                "no newline at the end of the file: add one",
            ));
        }
    }
    findings
}

/// What is no text has a place among the data of tests only: nobody can read a change of it.
pub(super) fn check_binaries(paths: &[String]) -> Vec<Finding> {
    paths
        .iter()
        .filter(|path| !path.split('/').any(|folder| folder == "testdata"))
        .map(|path| {
            let message = "no text, and not below a folder `testdata`: take it out";
            Finding::new(path, 1, RULE, message)
        })
        .collect()
}

/// Whether `path` stands in `line` as the start of a path, not in the middle of one such as a URL.
fn holds_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        line[..at]
            .chars()
            .next_back()
            .is_none_or(|before| !before.is_alphanumeric() && !"._-*}/".contains(before))
    })
}

#[cfg(test)]
mod tests {
    use super::{MACHINE_PATHS, STUBS, check, check_binaries};
    use crate::tidy::SourceFile;

    fn lines(path: &str, text: &str) -> Vec<usize> {
        check(&[SourceFile::new(path, text)])
            .iter()
            .map(|finding| finding.line)
            .collect()
    }

    #[test]
    fn stub_markers_are_found_in_any_file() {
        for stub in STUBS {
            assert_eq!(
                lines("a.rs", &format!("fn f() {{\n    {stub}\n}}\n")),
                [2],
                "{stub}"
            );
            assert_eq!(lines("Dockerfile", &format!("# {stub}\n")), [1], "{stub}");
        }
        assert_eq!(lines("a.rs", "fn todo() {}\n// to do nothing is fine\n"), [0; 0]);
    }

    #[test]
    fn machine_paths_are_found_and_urls_are_not() {
        for path in MACHINE_PATHS {
            for before in ["", "`", "\"", "(", "=", " ", "file://"] {
                let expected: &[usize] = if before == "file://" { &[] } else { &[1] };
                assert_eq!(
                    lines("a.md", &format!("{before}{path}x\n")),
                    expected,
                    "{before}{path}"
                );
            }
            assert_eq!(
                lines("a.md", &format!("https://example.com{path}x\n")),
                [0; 0],
                "{path}"
            );
        }
    }

    #[test]
    fn white_space_is_checked_where_it_means_nothing() {
        assert_eq!(lines("a.rs", "a\n\tb\nc \nd\n"), [2, 3]);
        assert_eq!(lines("a.py", "a\r\n"), [0; 0]);
        assert_eq!(lines("a.md", "no newline"), [1]);
        assert_eq!(lines("vectors.txt", "\ta \nb"), [0; 0]);
    }

    #[test]
    fn what_is_no_text_is_found_outside_of_test_data() {
        let paths = [
            "wheel.whl",
            "docs/testdata.png",
            "storage/tests/testdata/v1/a.sst",
        ];
        let findings = check_binaries(&paths.map(str::to_owned));
        let files: Vec<_> = findings.iter().map(|finding| finding.file.as_str()).collect();
        assert_eq!(files, ["wheel.whl", "docs/testdata.png"]);
    }
}
