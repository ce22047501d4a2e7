//! The door through which tests break a server is in no build but those that ask for it.
//!
//! It is the cargo feature `fault-injection` of `server`: nothing of the workspace may turn it on, and what it opens may be named
//! in one file only, which is compiled with it alone. Whoever builds without naming the feature, as every release is built,
//! then has none of it.

use super::metadata::Metadata;
use super::{Finding, SourceFile};

const RULE: &str = "doors";

/// The feature.
const FEATURE: &str = "fault-injection";
/// The crate that has it.
const ROOM: &str = "server";
/// The file that is compiled with it, and how it is named where it is.
const FILE: &str = "server/src/fault_injection.rs";
const MODULE: &str = "mod fault_injection;";
const GATE: &str = "#[cfg(feature = \"fault-injection\")]";
/// What opens the disk: only [`FILE`] may name it in `server`.
const DISK: &str = concat!("disk_", "fault");

pub(super) fn check(metadata: &Metadata, files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (room, package) in metadata.members() {
        let file = format!("{room}/Cargo.toml");
        let line = |needle: &str| {
            let manifest = files.iter().find(|own| own.path == file);
            manifest.map_or(1, |manifest| manifest.line_of(needle))
        };
        for (feature, turns_on) in &package.features {
            let names = |turned: &String| turned == FEATURE || turned.ends_with(&format!("/{FEATURE}"));
            if turns_on.iter().any(names) {
                let message =
                    format!("the feature `{feature}` turns `{FEATURE}` on: only who runs cargo may");
                findings.push(Finding::new(&file, line(FEATURE), RULE, message));
            }
        }
        for dependency in &package.dependencies {
            if dependency.features.iter().any(|feature| feature == FEATURE) {
                let message = format!(
                    "asks for `{}` with `{FEATURE}`: only who runs cargo may",
                    dependency.name
                );
                findings.push(Finding::new(&file, line(&dependency.name), RULE, message));
            }
        }
    }
    findings.extend(check_sources(files));
    findings
}

fn check_sources(files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    let of_room = |file: &&SourceFile| file.path.starts_with(ROOM) && file.has_extension("rs");
    for file in files.iter().filter(of_room) {
        let mut before = "";
        for (index, line) in file.text.lines().map(str::trim).enumerate() {
            let mut find = |message: &str| findings.push(Finding::new(&file.path, index + 1, RULE, message));
            if line.ends_with(MODULE) && before != GATE {
                find("the door for faults is open in every build: put its `#[cfg(feature = ...)]` above");
            }
            if line.contains(DISK) && file.path != FILE {
                find("a disk that refuses is named outside of `fault_injection.rs`");
            }
            before = line;
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata(server: &str) -> Metadata {
        let text = format!(
            r#"{{ "packages": [{{ "id": "s", "name": "stator", "version": "0.1.0", "license": null,
                "manifest_path": "/r/server/Cargo.toml", {server} }}],
                "workspace_members": ["s"], "workspace_root": "/r", "resolve": {{ "nodes": [] }} }}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn no_feature_and_no_dependency_turns_it_on() {
        let alone = r#""dependencies": [], "features": { "fault-injection": [], "default": [] }"#;
        assert_eq!(check(&metadata(alone), &[]), []);
        for bad in [
            r#""dependencies": [], "features": { "fault-injection": [], "default": ["fault-injection"] }"#,
            r#""dependencies": [], "features": { "all": ["stator/fault-injection"] }"#,
            r#""dependencies": [{ "name": "stator", "kind": "dev", "path": null, "features": ["fault-injection"] }]"#,
        ] {
            assert_eq!(check(&metadata(bad), &[]).len(), 1, "{bad}");
        }
    }

    #[test]
    fn what_it_opens_is_behind_its_gate() {
        let main = |text: &str| check_sources(&[SourceFile::new("server/src/main.rs", text)]).len();
        assert_eq!(main(&format!("mod derive;\n{GATE}\n{MODULE}\n")), 0);
        assert_eq!(main(&format!("mod derive;\n{MODULE}\n")), 1);
        assert_eq!(main(&format!("{GATE}\npub(crate) {MODULE}\n")), 0);
        let uses = format!("use stator_cluster::{DISK}::FaultVfs;\n");
        assert_eq!(check_sources(&[SourceFile::new(FILE, &uses)]), []);
        assert_eq!(main(&uses), 1);
    }
}
