//! Links between the documents lead somewhere: the file exists, and so does the heading behind a `#`.
//!
//! Only links within the tree are checked; the web is not asked.

use std::collections::{HashMap, HashSet};

use super::{Finding, SourceFile};

const RULE: &str = "links";

/// Checks the links of every Markdown file. `exists` answers for a path from the root, file or folder.
pub(super) fn check(files: &[SourceFile], exists: impl Fn(&str) -> bool) -> Vec<Finding> {
    let documents: Vec<_> = files.iter().filter(|file| file.has_extension("md")).collect();
    let anchors: HashMap<&str, HashSet<String>> = documents
        .iter()
        .map(|file| (file.path.as_str(), anchors(&file.text)))
        .collect();
    let mut findings = Vec::new();
    for file in &documents {
        for (line, target) in links(&file.text) {
            if let Some(message) = fault(&file.path, &target, &anchors, &exists) {
                findings.push(Finding::new(&file.path, line, RULE, message));
            }
        }
    }
    findings
}

/// What is wrong with a link from the document `from`, if anything.
fn fault(
    from: &str,
    target: &str,
    anchors: &HashMap<&str, HashSet<String>>,
    exists: &impl Fn(&str) -> bool,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (path, anchor) = target
        .split_once('#')
        .map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let Some(path) = resolve(from, path) else {
        return Some(format!(
            "`{target}` leads out of the tree: link to something inside"
        ));
    };
    if !exists(&path) {
        return Some(format!(
            "`{target}` does not exist: correct the link or write the file"
        ));
    }
    let (anchor, known) = (anchor?, anchors.get(path.as_str())?);
    (!known.contains(anchor)).then(|| format!("`{path}` has no heading `#{anchor}`: correct the link"))
}

/// The path from the root of a link in the document `from`; `None` if it leads above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    if target.is_empty() {
        return Some(from.to_owned());
    }
    let mut parts: Vec<&str> = if target.starts_with('/') {
        Vec::new()
    } else {
        from.split('/').collect()
    };
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The lines of a document outside of code blocks, counted from 1.
fn prose(text: &str) -> Vec<(usize, &str)> {
    let mut lines = Vec::new();
    let mut fence: Option<&str> = None;
    for (index, line) in text.lines().enumerate() {
        let start = line.trim_start();
        let mark = ["```", "~~~"].into_iter().find(|mark| start.starts_with(mark));
        match (fence, mark) {
            (None, Some(mark)) => fence = Some(mark),
            (Some(open), Some(mark)) if open == mark => fence = None,
            (Some(_), _) => {}
            (None, None) => lines.push((index + 1, line)),
        }
    }
    lines
}

/// A line with its code spans emptied.
fn without_code(line: &str) -> String {
    let pieces: Vec<&str> = line.split('`').collect();
    let is_closed = pieces.len() % 2 == 1;
    let kept = pieces.iter().enumerate().map(|(index, piece)| {
        let is_code = index % 2 == 1 && (is_closed || index + 1 < pieces.len());
        if is_code { "" } else { *piece }
    });
    kept.collect::<Vec<_>>().join("`")
}

/// Targets of `[text](target)`, `![text](target)` and `[name]: target`, with their lines.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut found = Vec::new();
    for (number, line) in prose(text) {
        let line = without_code(line);
        for (at, _) in line.match_indices("](") {
            if let Some(target) = until_closing_parenthesis(&line[at + 2..]) {
                found.push((number, without_title(target)));
            }
        }
        let definition = line.strip_prefix('[').and_then(|rest| rest.split_once("]: "));
        if let Some((name, target)) = definition
            && !name.contains(']')
        {
            found.push((number, without_title(target)));
        }
    }
    found
}

fn until_closing_parenthesis(text: &str) -> Option<&str> {
    let mut depth = 1;
    for (at, character) in text.char_indices() {
        match character {
            '(' => depth += 1,
            ')' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return Some(&text[..at]);
        }
    }
    None
}

/// A target without the title and the angle brackets that Markdown allows around it.
fn without_title(target: &str) -> String {
    let target = target.trim();
    let bare = target
        .split_once(" \"")
        .map_or(target, |(bare, _)| bare.trim_end());
    bare.trim_start_matches('<').trim_end_matches('>').to_owned()
}

/// The anchors of a document: its headings as GitHub names them, and explicit ids.
fn anchors(text: &str) -> HashSet<String> {
    let mut anchors = HashSet::new();
    let mut uses: HashMap<String, usize> = HashMap::new();
    for (_, line) in prose(text) {
        for quoted in line.split("id=\"").skip(1).chain(line.split("name=\"").skip(1)) {
            anchors.extend(quoted.split('"').next().map(str::to_owned));
        }
        let heading = line.trim_start_matches('#');
        let depth = line.len() - heading.len();
        if !(1..=6).contains(&depth) || !heading.starts_with(' ') {
            continue;
        }
        let slug = slug(heading.trim());
        let use_number = uses.entry(slug.clone()).or_default();
        anchors.insert(if *use_number == 0 {
            slug.clone()
        } else {
            format!("{slug}-{use_number}")
        });
        *use_number += 1;
    }
    anchors
}

/// GitHub's anchor of a heading: links reduced to their text, lower case, punctuation gone, spaces to hyphens.
fn slug(heading: &str) -> String {
    let mut text = String::new();
    let mut rest = heading;
    while let Some((before, after)) = rest.split_once("](") {
        text.push_str(before);
        rest = after.split_once(')').map_or("", |(_, rest)| rest);
    }
    text.push_str(rest);
    text.to_lowercase()
        .chars()
        .filter(|character| character.is_alphanumeric() || " -_".contains(*character))
        .map(|character| if character == ' ' { '-' } else { character })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::{anchors, check};
    use crate::tidy::SourceFile;

    fn messages(path: &str, text: &str) -> Vec<String> {
        let files = [
            SourceFile::new(path, text),
            SourceFile::new(
                "docs/format/wal.md",
                "# The log\n## Records, in order\n## Records, in order\n",
            ),
        ];
        let exists = |path: &str| {
            [
                "README.md",
                "docs/a.md",
                "docs/format/wal.md",
                "docs/format",
                "LICENSE",
            ]
            .contains(&path)
        };
        check(&files, exists).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn links_that_lead_somewhere_are_fine() {
        let text = "# Top\n[a](docs/format/wal.md) [b](docs/format/wal.md#records-in-order-1) [c](#top)\n\
                    [d](docs/format/) ![e](LICENSE \"title\") [f](<LICENSE>) [g](https://example.com/(x)#y)\n\
                    [h]: docs/format/wal.md#the-log\n[m](mailto:a@b.c)\n";
        assert_eq!(messages("README.md", text), [""; 0]);
        assert_eq!(
            messages(
                "docs/a.md",
                "[up](../LICENSE) [side](format/wal.md) [root](/LICENSE)\n"
            ),
            [""; 0]
        );
    }

    #[test]
    fn dead_links_are_found_with_their_line() {
        assert_eq!(
            messages("docs/a.md", "ok\n\n[a](wal.md)\n"),
            ["docs/a.md:3: links: `wal.md` does not exist: correct the link or write the file"]
        );
        for text in [
            "[a](format/wal.md#nowhere)",
            "[a](#nowhere)",
            "[a](../../outside.md)",
            "[a]: format/gone.md",
            "[![image](gone.png)](../LICENSE)",
        ] {
            assert_eq!(messages("docs/a.md", text).len(), 1, "{text}");
        }
    }

    #[test]
    fn code_is_not_prose() {
        assert_eq!(
            messages(
                "docs/a.md",
                "```\n[a](gone.md)\n```\n~~~\n```\n[a](gone.md)\n~~~\n`[a](gone.md)`\n"
            ),
            [""; 0]
        );
        assert_eq!(
            messages("docs/a.md", "```\n```\n[a](gone.md) and `code`\n").len(),
            1
        );
    }

    #[test]
    fn anchors_are_named_as_github_names_them() {
        let text = "# Why, and `how`?\n## Why, and `how`?\n### A [link](b.md) - here_now\n#nope\n```\n# code\n```\n<a id=\"own\"></a>\n";
        let mut found: Vec<_> = anchors(text).into_iter().collect();
        found.sort();
        assert_eq!(
            found,
            ["a-link---here_now", "own", "why-and-how", "why-and-how-1"]
        );
    }
}
