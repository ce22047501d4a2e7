//! Arrows between rooms go down only: which crate may use which, and where the JSON of the API may be named.
//!
//! The tables below are docs/ARCHITECTURE.md, "Rooms and arrows", in a form that a machine checks. Whoever changes one
//! changes the other in the same commit.

use super::metadata::{Metadata, Package};
use super::{Finding, SourceFile};

const RULE: &str = "arrows";

/// Every crate of the workspace, by folder, with the crates of ours it may depend on in any way.
const ROOMS: &[(&str, &[&str])] = &[
    ("server", &["archive", "cluster", "iam", "model"]),
    ("archive", &[]),
    ("cluster", &["storage"]),
    ("cluster/history", &[]),
    ("cluster/sim", &["cluster", "cluster/history", "storage"]),
    ("storage", &[]),
    ("storage/bench", &["storage"]),
    ("model", &[]),
    ("iam", &[]),
    ("compat-tests", &["cluster/history"]),
    ("compat-tests/bench", &["compat-tests"]),
    ("xtask", &[]),
];

/// Families of foreign crates that a room does without, also by way of others. A family is a crate and all whose name
/// continues it with a hyphen.
const BANNED: &[(&str, &[&str])] = &[
    (
        "model",
        &["axum", "hyper", "opentelemetry", "serde_json", "tokio"],
    ),
    ("iam", &["axum", "hyper", "opentelemetry", "tokio"]),
    (
        "storage",
        &["axum", "hyper", "opentelemetry", "serde_json", "tokio"],
    ),
    ("cluster", &["axum", "opentelemetry", "serde_json"]),
    (
        "archive",
        &["axum", "hyper", "opentelemetry", "serde_json", "tokio"],
    ),
];

/// Where in `server` a source may name `serde_json`: path prefixes, and why.
const JSON_PLACES: &[(&str, &str)] = &[
    ("server/src/wire", "the API's JSON is read and written here"),
    ("server/src/http", "the edge of HTTP"),
    ("server/src/cli", "the commands' --json output"),
    ("server/src/log.rs", "lines of the log"),
];

/// Checks the dependencies that the manifests declare.
pub(super) fn check_crates(metadata: &Metadata, files: &[SourceFile]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (room, package) in metadata.members() {
        let manifest = files
            .iter()
            .find(|file| file.path == format!("{room}/Cargo.toml"));
        let mut find = |needle: &str, message: String| {
            let line = manifest.map_or(1, |manifest| manifest.line_of(needle));
            findings.push(Finding::new(&format!("{room}/Cargo.toml"), line, RULE, message));
        };
        let Some((_, allowed)) = ROOMS.iter().find(|(name, _)| *name == room) else {
            find(
                "name",
                format!("`{room}` is not in ROOMS (xtask/src/tidy/arrows.rs): say what it may use"),
            );
            continue;
        };
        for dependency in &package.dependencies {
            let Some(target) = dependency.path.as_deref().map(|path| metadata.below_root(path)) else {
                continue;
            };
            if !allowed.contains(&target) {
                let message =
                    format!("`{room}` must not use `{target}`: arrows go down only, move what is shared");
                find(&dependency.name, message);
            }
        }
        for (name, user) in banned(room, package, metadata) {
            find(
                name,
                format!("`{name}` (through `{user}`) has no place in `{room}`: keep it in a room above"),
            );
        }
    }
    findings
}

/// Banned crates that end up in `package` or in its tests, with who brings them in.
fn banned<'a>(room: &str, package: &'a Package, metadata: &'a Metadata) -> Vec<(&'a str, &'a str)> {
    let families = BANNED
        .iter()
        .find(|(name, _)| *name == room)
        .map_or(&[][..], |(_, families)| families);
    let is_banned = |name: &str| families.iter().any(|family| is_of_family(name, family));
    let built = metadata.reachable(&package.id);
    let mut found: Vec<_> = built
        .iter()
        .filter(|(reached, _)| is_banned(&reached.name))
        .map(|(reached, user)| (reached.name.as_str(), user.name.as_str()))
        .collect();
    // Tests may read JSON, but not drag in a runtime.
    for dependency in package
        .dependencies
        .iter()
        .filter(|dependency| dependency.kind.as_deref() == Some("dev"))
    {
        if is_banned(&dependency.name) && dependency.name != "serde_json" {
            found.push((&dependency.name, &package.name));
        }
    }
    found
}

fn is_of_family(name: &str, family: &str) -> bool {
    name.strip_prefix(family)
        .is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
}

/// Checks that the sources of `server` name `serde_json` only where JSON may be known.
pub(super) fn check_sources(files: &[SourceFile]) -> Vec<Finding> {
    let is_json_place = |path: &str| JSON_PLACES.iter().any(|(place, _)| path.starts_with(place));
    files
        .iter()
        .filter(|file| file.path.starts_with("server/src/") && file.has_extension("rs"))
        .filter(|file| !is_json_place(&file.path))
        .flat_map(|file| {
            let lines = file.text.lines().enumerate();
            let named = lines.filter(|(_, line)| line.contains("serde_json") && !line.trim_start().starts_with("//"));
            named.map(|(index, _)| {
                let message = "`serde_json` stops at `wire` and `http`: parse into types there, or add the place to \
                               JSON_PLACES (xtask/src/tidy/arrows.rs) with a reason";
                Finding::new(&file.path, index + 1, RULE, message)
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{check_crates, check_sources};
    use crate::tidy::SourceFile;
    use crate::tidy::metadata::Metadata;

    /// A dependency: name, kind, whether it is ours.
    type Needs<'a> = (&'a str, Option<&'a str>, bool);

    /// A workspace at `/w`: members by folder with what they need, and foreign packages with what those need.
    fn metadata(members: &[(&str, &[Needs<'_>])], foreign: &[(&str, &[&str])]) -> Metadata {
        let mut packages = Vec::new();
        let mut nodes = Vec::new();
        for (folder, dependencies) in members {
            packages.push(json!({
                "id": folder, "name": folder, "version": "0.1.0", "license": "Apache-2.0",
                "manifest_path": format!("/w/{folder}/Cargo.toml"),
                "dependencies": dependencies.iter().map(|(name, kind, ours)| json!({
                    "name": name, "kind": kind, "path": ours.then(|| format!("/w/{name}")),
                })).collect::<Vec<_>>(),
            }));
            nodes.push(
                json!({"id": folder, "deps": dependencies.iter().map(|(name, kind, _)| {
                json!({"pkg": name, "dep_kinds": [{"kind": kind}]})
            }).collect::<Vec<_>>()}),
            );
        }
        for (name, needs) in foreign {
            packages.push(json!({
                "id": name, "name": name, "version": "1.0.0", "license": "MIT",
                "manifest_path": format!("/registry/{name}/Cargo.toml"), "dependencies": [],
            }));
            nodes.push(json!({"id": name, "deps": needs.iter().map(|need| {
                json!({"pkg": need, "dep_kinds": [{"kind": null}]})
            }).collect::<Vec<_>>()}));
        }
        let members: Vec<_> = members.iter().map(|(folder, _)| folder).collect();
        serde_json::from_value(json!({
            "packages": packages, "workspace_members": members, "workspace_root": "/w",
            "resolve": {"nodes": nodes},
        }))
        .unwrap()
    }

    fn messages(metadata: &Metadata) -> Vec<String> {
        check_crates(metadata, &[])
            .iter()
            .map(ToString::to_string)
            .collect()
    }

    #[test]
    fn arrows_that_go_down_are_fine() {
        let metadata = metadata(
            &[
                (
                    "server",
                    &[
                        ("cluster", None, true),
                        ("model", None, true),
                        ("iam", None, true),
                        ("tokio", None, false),
                    ],
                ),
                ("cluster", &[("storage", None, true), ("tokio", None, false)]),
                ("storage", &[]),
                ("model", &[("serde_json", Some("dev"), false)]),
                ("iam", &[]),
            ],
            &[("tokio", &[]), ("serde_json", &[])],
        );
        assert_eq!(messages(&metadata), [""; 0]);
    }

    #[test]
    fn an_arrow_up_or_past_a_room_is_found_whatever_its_kind() {
        for (room, target, kind) in [
            ("server", "storage", None),
            ("server", "storage", Some("dev")),
            ("storage", "cluster", Some("dev")),
            ("iam", "model", Some("build")),
            ("xtask", "model", None),
            ("compat-tests", "server", Some("dev")),
        ] {
            let found = messages(&metadata(&[(room, &[(target, kind, true)])], &[]));
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(
                found[0].contains(&format!("`{room}` must not use `{target}`")),
                "{found:?}"
            );
        }
    }

    #[test]
    fn a_room_nobody_drew_is_found() {
        let found = messages(&metadata(&[("util", &[])], &[]));
        assert!(
            found[0].starts_with("util/Cargo.toml:1: arrows: `util` is not in ROOMS"),
            "{found:?}"
        );
    }

    #[test]
    fn a_banned_crate_is_found_direct_and_through_others() {
        let direct = metadata(&[("model", &[("tokio-util", Some("dev"), false)])], &[]);
        assert!(messages(&direct)[0].contains("`tokio-util` (through `model`)"));
        let through = metadata(
            &[("storage", &[("innocent", None, false)])],
            &[("innocent", &["hyper"]), ("hyper", &[])],
        );
        assert!(messages(&through)[0].contains("`hyper` (through `innocent`)"));
        let other_name = metadata(&[("model", &[("tokiodb", None, false)])], &[("tokiodb", &[])]);
        assert_eq!(messages(&other_name), [""; 0]);
    }

    #[test]
    fn a_finding_points_at_the_line_of_the_manifest() {
        let manifest = SourceFile::new(
            "iam/Cargo.toml",
            "[package]\nname = \"iam\"\n[dependencies]\nmodel.workspace = true\n",
        );
        let found = check_crates(&metadata(&[("iam", &[("model", None, true)])], &[]), &[manifest]);
        assert_eq!((found[0].file.as_str(), found[0].line), ("iam/Cargo.toml", 4));
    }

    #[test]
    fn json_stops_at_wire_and_http() {
        let text = "//! Not serde_json itself.\nuse serde_json::Value;\n// serde_json in a comment\n";
        let check = |path: &str| check_sources(&[SourceFile::new(path, text)]);
        let found = check("server/src/operation/put_item.rs");
        assert_eq!(found.iter().map(|finding| finding.line).collect::<Vec<_>>(), [2]);
        for fine in [
            "server/src/wire/decode.rs",
            "server/src/http.rs",
            "server/src/http/body.rs",
            "server/tests/a.rs",
        ] {
            assert_eq!(check(fine), [], "{fine}");
        }
    }
}
