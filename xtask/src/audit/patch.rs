//! The files that break something: their heads, and the paths that they change.

use std::fs;
use std::path::{Path, PathBuf};

use crate::Result;

/// The scenario that runs unless a patch names another one.
const SCENARIO: &str = "cluster";

/// One break.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Patch {
    /// The name of its file, without the extension.
    pub(super) name: String,
    pub(super) path: PathBuf,
    /// What it breaks.
    pub(super) rule: String,
    /// Which invariants may notice it.
    pub(super) noticed_by: Vec<String>,
    pub(super) scenario: String,
    /// How many seeds may pass.
    pub(super) seeds: Option<u64>,
    /// With which it was noticed last: the first that is tried.
    pub(super) seed: Option<u64>,
    /// What it changes, from the root of the workspace.
    pub(super) changes: Vec<PathBuf>,
}

/// Reads all breaks of a folder, by name.
pub(super) fn read_all(folder: &Path) -> Result<Vec<Patch>> {
    let mut patches = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "patch") {
            let text = fs::read_to_string(&path)?;
            let patch = parse(&path, &text).map_err(|what| format!("{}: {what}", path.display()))?;
            patches.push(patch);
        }
    }
    patches.sort_by(|one: &Patch, other| one.name.cmp(&other.name));
    Ok(patches)
}

fn parse(path: &Path, text: &str) -> std::result::Result<Patch, String> {
    let mut patch = Patch {
        name: path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned(),
        path: path.to_owned(),
        rule: String::new(),
        noticed_by: Vec::new(),
        scenario: SCENARIO.to_owned(),
        seeds: None,
        seed: None,
        changes: Vec::new(),
    };
    let head = text.lines().map_while(|line| line.strip_prefix('#'));
    for line in head {
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| format!("`#{line}` says nothing"))?;
        let value = value.trim();
        match name.trim() {
            "rule" => value.clone_into(&mut patch.rule),
            "noticed by" => patch.noticed_by = value.split(',').map(|name| name.trim().to_owned()).collect(),
            "scenario" => value.clone_into(&mut patch.scenario),
            "seeds" => patch.seeds = Some(number(value)?),
            "seed" => patch.seed = Some(number(value)?),
            other => return Err(format!("`{other}` is nothing that a head says")),
        }
    }
    let changed = text.lines().filter_map(|line| line.strip_prefix("+++ b/"));
    patch.changes = changed.map(PathBuf::from).collect();
    if patch.rule.is_empty() || patch.noticed_by.is_empty() {
        return Err("the head has to say `# rule: ...` and `# noticed by: ...`".to_owned());
    }
    if patch.changes.is_empty() {
        return Err("it changes nothing".to_owned());
    }
    Ok(patch)
}

fn number(text: &str) -> std::result::Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}

/// Has a patch say with which seed it was noticed.
pub(super) fn note(path: &Path, seed: u64) -> Result<()> {
    let text = fs::read_to_string(path)?;
    Ok(fs::write(path, noted(&text, seed))?)
}

/// The same patch with another seed at the end of its head.
fn noted(text: &str, seed: u64) -> String {
    let is_head = |line: &&str| line.starts_with('#');
    let head = text.lines().take_while(is_head);
    let head = head.filter(|line| !line.starts_with("# seed:"));
    let seed = format!("# seed: {seed}");
    let rest = text.lines().skip_while(is_head);
    let lines: Vec<&str> = head.chain([seed.as_str()]).chain(rest).collect();
    lines.join("\n") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &str = "# rule: answers wait for the sync\n# noticed by: linearizable, counted\n";
    const DIFF: &str = "diff --git a/x/y.rs b/x/y.rs\n--- a/x/y.rs\n+++ b/x/y.rs\n@@ -1 +1 @@\n-a\n+b\n";

    fn parsed(text: &str) -> std::result::Result<Patch, String> {
        parse(Path::new("/audit/no-sync.patch"), text)
    }

    #[test]
    fn the_head_of_a_patch_is_read() {
        let patch = parsed(&[HEAD, DIFF].concat()).unwrap();
        let expected = Patch {
            name: "no-sync".to_owned(),
            path: "/audit/no-sync.patch".into(),
            rule: "answers wait for the sync".to_owned(),
            noticed_by: vec!["linearizable".to_owned(), "counted".to_owned()],
            scenario: "cluster".to_owned(),
            seeds: None,
            seed: None,
            changes: vec!["x/y.rs".into()],
        };
        assert_eq!(patch, expected);
        let more = [HEAD, "# scenario: cluster-wiped\n# seeds: 20\n", DIFF].concat();
        let patch = parsed(&more).unwrap();
        assert_eq!(
            (patch.scenario.as_str(), patch.seeds),
            ("cluster-wiped", Some(20))
        );
    }

    #[test]
    fn a_seed_is_noted_in_the_head_and_nothing_else_changes() {
        let text = [HEAD, "# seeds: 20\n", DIFF].concat();
        let once = noted(&text, 7);
        assert_eq!(once, [HEAD, "# seeds: 20\n# seed: 7\n", DIFF].concat());
        assert_eq!(parsed(&once).unwrap().seed, Some(7));
        assert_eq!(noted(&once, 12), once.replace(": 7", ": 12"));
    }

    #[test]
    fn a_patch_that_does_not_say_what_it_breaks_is_refused() {
        for (text, what) in [
            (DIFF.to_owned(), "the head has to say"),
            (HEAD.to_owned(), "it changes nothing"),
            ([HEAD, "# seeds: many\n", DIFF].concat(), "`many` is no number"),
            ([HEAD, "# why: so\n", DIFF].concat(), "`why` is nothing"),
            ([HEAD, "# so\n", DIFF].concat(), "`# so` says nothing"),
        ] {
            let error = parsed(&text).unwrap_err();
            assert!(error.starts_with(what), "{error}");
        }
    }
}
