//! Files of at most 500 lines of code and functions of at most 70, held by a ratchet.
//!
//! What is longer stands in `xtask/ratchet.toml` with its present length, which may only fall: growing is refused, and
//! so is a number that is higher than the code needs. A line of code is one that is neither blank nor a `//` comment.
//! Tests do not count: `#[cfg(test)]` modules, and files below `tests`, `examples` and `benches`.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::ops::RangeInclusive;

use serde::Deserialize;
use syn::spanned::Spanned;
use syn::visit::{self, Visit};

use super::{Finding, SourceFile};
use crate::Result;

/// Where the exceptions are kept, from the root of the workspace.
pub(super) const RATCHET_PATH: &str = "xtask/ratchet.toml";
const RULE: &str = "length";
const FILE_LINES_MAX: usize = 500;
const FUNCTION_LINES_MAX: usize = 70;

/// What is too long already: lengths by file (`iam/src/lib.rs`) and by function (`iam/src/lib.rs::Type::name`).
#[derive(Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Ratchet {
    #[serde(default)]
    files: BTreeMap<String, usize>,
    #[serde(default)]
    functions: BTreeMap<String, usize>,
}

impl Ratchet {
    pub(super) fn parse(text: &str) -> Result<Self> {
        Ok(toml::from_str(text).map_err(|error| format!("{RATCHET_PATH}: {error}"))?)
    }

    /// Lowers every number to what the code has become, and drops what is no longer too long.
    pub(super) fn lower(&mut self, files: &[SourceFile]) {
        let lengths = Lengths::measure(files);
        lower_entries(&mut self.files, &lengths.files, FILE_LINES_MAX);
        lower_entries(&mut self.functions, &lengths.functions, FUNCTION_LINES_MAX);
    }

    pub(super) fn to_toml(&self) -> String {
        let mut text = String::from(
            "# What is longer than the rules allow, with its present number of lines of code. Numbers only fall:\n\
             # `cargo xtask tidy --update-ratchet` lowers them. A new entry is made by hand, and needs a reason in review.\n",
        );
        for (name, entries) in [("files", &self.files), ("functions", &self.functions)] {
            // Writing to a String cannot fail.
            writeln!(text, "\n[{name}]").ok();
            for (key, lines) in entries {
                writeln!(text, "{key:?} = {lines}").ok();
            }
        }
        text
    }
}

fn lower_entries(entries: &mut BTreeMap<String, usize>, present: &BTreeMap<String, Measure>, max: usize) {
    entries.retain(|key, recorded| match present.get(key) {
        Some(measure) if measure.lines > max => {
            *recorded = measure.lines.min(*recorded);
            true
        }
        _ => false,
    });
}

/// Compares the code with the limits and the ratchet.
pub(super) fn check(files: &[SourceFile], ratchet: &Ratchet) -> Vec<Finding> {
    let lengths = Lengths::measure(files);
    let mut findings = lengths.unreadable;
    compare(
        &lengths.files,
        &ratchet.files,
        FILE_LINES_MAX,
        "file",
        &mut findings,
    );
    compare(
        &lengths.functions,
        &ratchet.functions,
        FUNCTION_LINES_MAX,
        "function",
        &mut findings,
    );
    findings
}

fn compare(
    present: &BTreeMap<String, Measure>,
    recorded: &BTreeMap<String, usize>,
    max: usize,
    what: &str,
    findings: &mut Vec<Finding>,
) {
    for (key, measure) in present {
        let lines = measure.lines;
        let message = match recorded.get(key) {
            None if lines > max => {
                format!("{what} `{key}` has {lines} lines of code, {max} are allowed: split it")
            }
            Some(&limit) if lines > limit.max(max) => {
                format!("{what} `{key}` grew from {limit} to {lines} lines of code: split it")
            }
            _ => continue,
        };
        findings.push(Finding::new(&measure.file, measure.line, RULE, message));
    }
    for (key, &limit) in recorded {
        let lines = present.get(key).map_or(0, |measure| measure.lines);
        if lines < limit {
            let message = format!(
                "{what} `{key}` is down from {limit} to {lines} lines of code: run `cargo xtask tidy --update-ratchet`"
            );
            findings.push(Finding::new(RATCHET_PATH, 1, RULE, message));
        }
    }
}

/// A length and where to find what has it.
#[derive(Debug)]
struct Measure {
    file: String,
    line: usize,
    lines: usize,
}

#[derive(Debug, Default)]
struct Lengths {
    files: BTreeMap<String, Measure>,
    functions: BTreeMap<String, Measure>,
    unreadable: Vec<Finding>,
}

impl Lengths {
    fn measure(files: &[SourceFile]) -> Self {
        let mut lengths = Self::default();
        for file in files
            .iter()
            .filter(|file| file.has_extension("rs") && !is_test(&file.path))
        {
            match syn::parse_file(&file.text) {
                Ok(tree) => lengths.add(file, &tree),
                Err(error) => {
                    let line = error.span().start().line;
                    let message = format!("does not parse ({error}): correct it");
                    lengths
                        .unreadable
                        .push(Finding::new(&file.path, line, RULE, message));
                }
            }
        }
        lengths
    }

    fn add(&mut self, file: &SourceFile, tree: &syn::File) {
        let mut outline = Outline::default();
        outline.visit_file(tree);
        let lines: Vec<&str> = file.text.lines().collect();
        let code = |range: RangeInclusive<usize>| {
            let numbered = range.filter(|number| !outline.tests.iter().any(|tests| tests.contains(number)));
            numbered
                .filter_map(|number| lines.get(number - 1))
                .filter(|line| is_code(line))
                .count()
        };
        let measure = |line, lines| Measure {
            file: file.path.clone(),
            line,
            lines,
        };
        self.files
            .insert(file.path.clone(), measure(1, code(1..=lines.len())));
        for (name, range) in &outline.functions {
            let present = measure(*range.start(), code(range.clone()));
            let key = format!("{}::{name}", file.path);
            // Two functions of one name (in two impls) share an entry: the longer counts.
            if self
                .functions
                .get(&key)
                .is_none_or(|known| known.lines < present.lines)
            {
                self.functions.insert(key, present);
            }
        }
    }
}

fn is_code(line: &str) -> bool {
    let line = line.trim_start();
    !line.is_empty() && !line.starts_with("//")
}

fn is_test(path: &str) -> bool {
    let mut parts = path.split('/');
    let name = parts.next_back().unwrap_or_default();
    name == "tests.rs"
        || name.ends_with("_tests.rs")
        || parts.any(|part| ["benches", "examples", "tests"].contains(&part))
}

/// The lines that the functions and the test modules of a file span.
#[derive(Debug, Default)]
struct Outline {
    scope: Vec<String>,
    functions: Vec<(String, RangeInclusive<usize>)>,
    tests: Vec<RangeInclusive<usize>>,
}

impl Outline {
    fn within(&mut self, name: String, visit: impl FnOnce(&mut Self)) {
        self.scope.push(name);
        visit(self);
        self.scope.pop();
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let mut path = self.scope.clone();
        path.push(signature.ident.to_string());
        let range = signature.span().start().line..=block.span().end().line;
        self.functions.push((path.join("::"), range));
    }
}

impl<'ast> Visit<'ast> for Outline {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        if module.attrs.iter().any(is_cfg_test) {
            self.tests
                .push(module.span().start().line..=module.span().end().line);
            return;
        }
        self.within(module.ident.to_string(), |outline| {
            visit::visit_item_mod(outline, module);
        });
    }

    fn visit_item_impl(&mut self, block: &'ast syn::ItemImpl) {
        let name = match &*block.self_ty {
            syn::Type::Path(path) => path.path.segments.last().map(|segment| segment.ident.to_string()),
            _ => None,
        };
        self.within(name.unwrap_or_else(|| "impl".to_owned()), |outline| {
            visit::visit_item_impl(outline, block);
        });
    }

    fn visit_item_trait(&mut self, item: &'ast syn::ItemTrait) {
        self.within(item.ident.to_string(), |outline| {
            visit::visit_item_trait(outline, item);
        });
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |outline| {
            visit::visit_item_fn(outline, item);
        });
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        self.within(item.sig.ident.to_string(), |outline| {
            visit::visit_impl_item_fn(outline, item);
        });
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        self.within(item.sig.ident.to_string(), |outline| {
            visit::visit_trait_item_fn(outline, item);
        });
    }
}

fn is_cfg_test(attribute: &syn::Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute
            .parse_args::<syn::Ident>()
            .is_ok_and(|flag| flag == "test")
}

#[cfg(test)]
mod tests {
    use super::{Ratchet, check};
    use crate::tidy::SourceFile;

    /// A file with a method of `lines` lines of code, a comment and a blank line, which do not count.
    fn file_with_method(lines: usize) -> SourceFile {
        let body = "        let _ = \"{ // }\";\n".repeat(lines - 2);
        let text = format!(
            "//! Head.\n\nimpl Parser {{\n    fn parse(self) {{\n        // Why.\n\n{body}    }}\n}}\n"
        );
        SourceFile::new("a/src/lib.rs", &text)
    }

    fn file_of(lines: usize) -> SourceFile {
        SourceFile::new("a/src/lib.rs", &"const A: u8 = 1;\n// Why.\n\n".repeat(lines))
    }

    fn ratchet(text: &str) -> Ratchet {
        Ratchet::parse(text).unwrap()
    }

    fn messages(file: &SourceFile, ratchet: &Ratchet) -> Vec<String> {
        check(std::slice::from_ref(file), ratchet)
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn limits_hold_to_the_line() {
        let none = Ratchet::default();
        assert_eq!(messages(&file_with_method(70), &none), [""; 0]);
        assert_eq!(
            messages(&file_with_method(71), &none),
            [
                "a/src/lib.rs:4: length: function `a/src/lib.rs::Parser::parse` has 71 lines of code, 70 are allowed: split it"
            ]
        );
        assert_eq!(messages(&file_of(500), &none), [""; 0]);
        assert_eq!(
            messages(&file_of(501), &none),
            ["a/src/lib.rs:1: length: file `a/src/lib.rs` has 501 lines of code, 500 are allowed: split it"]
        );
    }

    #[test]
    fn the_ratchet_admits_the_present_length_and_no_other() {
        let entry = ratchet("[functions]\n\"a/src/lib.rs::Parser::parse\" = 90\n");
        assert_eq!(messages(&file_with_method(90), &entry), [""; 0]);
        assert!(messages(&file_with_method(91), &entry)[0].contains("grew from 90 to 91"));
        assert!(messages(&file_with_method(89), &entry)[0].contains("down from 90 to 89"));
        assert!(messages(&file_with_method(20), &entry)[0].contains("down from 90 to 20"));
        assert!(messages(&file_of(1), &entry)[0].contains("down from 90 to 0"));
    }

    #[test]
    fn lowering_never_raises_and_drops_what_is_short_enough() {
        let lowered = |recorded: usize, lines: usize| {
            let mut ratchet = ratchet(&format!(
                "[functions]\n\"a/src/lib.rs::Parser::parse\" = {recorded}\n"
            ));
            ratchet.lower(&[file_with_method(lines)]);
            ratchet.functions.values().copied().collect::<Vec<_>>()
        };
        assert_eq!(lowered(90, 80), [80]);
        assert_eq!(lowered(90, 95), [90]);
        assert_eq!(lowered(90, 70), [0; 0]);
    }

    #[test]
    fn the_ratchet_file_survives_the_round_trip() {
        let before = ratchet("[files]\n\"b/src/x.rs\" = 600\n[functions]\n\"a/src/lib.rs::f\" = 90\n");
        assert_eq!(ratchet(&before.to_toml()), before);
        assert!(Ratchet::parse("[file]\n").is_err());
    }

    #[test]
    fn tests_do_not_count() {
        let long = file_with_method(600).text;
        let module = format!(
            "fn f() {{}}\n#[cfg(test)]\nmod tests {{\n{}}}\n",
            long.replace("//! Head.\n", "")
        );
        assert_eq!(
            messages(&SourceFile::new("a/src/lib.rs", &module), &Ratchet::default()),
            [""; 0]
        );
        for path in [
            "a/tests/b.rs",
            "a/src/tests.rs",
            "a/src/b_tests.rs",
            "a/examples/b.rs",
            "a/benches/b.rs",
        ] {
            assert_eq!(
                messages(&SourceFile::new(path, &long), &Ratchet::default()),
                [""; 0],
                "{path}"
            );
        }
        let unlike = SourceFile::new("a/src/contests.rs", &long);
        assert_eq!(messages(&unlike, &Ratchet::default()).len(), 2);
        let platform = module.replace("cfg(test)", "cfg(unix)");
        assert_eq!(
            messages(&SourceFile::new("a/src/lib.rs", &platform), &Ratchet::default()).len(),
            2
        );
    }

    #[test]
    fn a_file_that_does_not_parse_is_found() {
        let found = messages(
            &SourceFile::new("a/src/lib.rs", "fn f() {}\nfn {\n"),
            &Ratchet::default(),
        );
        assert!(
            found[0].starts_with("a/src/lib.rs:2: length: does not parse"),
            "{found:?}"
        );
    }
}
