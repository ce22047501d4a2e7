//! What `cargo metadata` says about the workspace, as far as the rules need it.

use std::collections::HashMap;
use std::process::Command;

use serde::Deserialize;

use crate::Result;

/// The output of `cargo metadata --format-version 1`.
#[derive(Debug, Deserialize)]
pub(super) struct Metadata {
    pub(super) packages: Vec<Package>,
    pub(super) workspace_members: Vec<String>,
    pub(super) workspace_root: String,
    pub(super) resolve: Resolve,
}

#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) id: String,
    pub(super) name: String,
    pub(super) version: String,
    pub(super) license: Option<String>,
    pub(super) manifest_path: String,
    pub(super) dependencies: Vec<Dependency>,
    /// Each with what it turns on.
    #[serde(default)]
    pub(super) features: HashMap<String, Vec<String>>,
}

/// A dependency as declared in a manifest.
#[derive(Debug, Deserialize)]
pub(super) struct Dependency {
    pub(super) name: String,
    /// `None` for a normal dependency, else `dev` or `build`.
    pub(super) kind: Option<String>,
    /// Set when the dependency is a folder, so one of ours.
    pub(super) path: Option<String>,
    /// Features that it is asked for with.
    #[serde(default)]
    pub(super) features: Vec<String>,
}

/// The graph of packages that cargo settled on.
#[derive(Debug, Deserialize)]
pub(super) struct Resolve {
    pub(super) nodes: Vec<Node>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Node {
    pub(super) id: String,
    pub(super) deps: Vec<Edge>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Edge {
    pub(super) pkg: String,
    pub(super) dep_kinds: Vec<EdgeKind>,
}

#[derive(Debug, Deserialize)]
pub(super) struct EdgeKind {
    pub(super) kind: Option<String>,
}

impl Metadata {
    /// Asks cargo.
    pub(super) fn load() -> Result<Self> {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let output = Command::new(cargo)
            .args(["metadata", "--format-version", "1"])
            .output()?;
        if !output.status.success() {
            return Err(format!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The packages of this workspace, each with the folder it lies in, from the root.
    pub(super) fn members(&self) -> impl Iterator<Item = (&str, &Package)> {
        self.packages
            .iter()
            .filter(|package| self.workspace_members.contains(&package.id))
            .map(|package| (self.folder_of(&package.manifest_path), package))
    }

    fn folder_of<'a>(&self, manifest_path: &'a str) -> &'a str {
        self.below_root(manifest_path.strip_suffix("/Cargo.toml").unwrap_or(manifest_path))
    }

    /// A path below the root without the root.
    pub(super) fn below_root<'a>(&self, path: &'a str) -> &'a str {
        path.strip_prefix(&self.workspace_root)
            .unwrap_or(path)
            .trim_start_matches('/')
    }

    /// Packages that get built into the package `id`: all it reaches through normal and build dependencies, each with
    /// the package that needs it.
    pub(super) fn reachable(&self, id: &str) -> Vec<(&Package, &Package)> {
        let packages: HashMap<&str, &Package> = self
            .packages
            .iter()
            .map(|package| (package.id.as_str(), package))
            .collect();
        let nodes: HashMap<&str, &Node> = self
            .resolve
            .nodes
            .iter()
            .map(|node| (node.id.as_str(), node))
            .collect();
        let mut seen = vec![id];
        let mut reached = Vec::new();
        let mut next = 0;
        while let Some(from) = seen.get(next).copied() {
            next += 1;
            for edge in nodes.get(from).map_or(&[][..], |node| &node.deps) {
                let is_built = edge
                    .dep_kinds
                    .iter()
                    .any(|kind| kind.kind.as_deref() != Some("dev"));
                if !is_built || seen.contains(&edge.pkg.as_str()) {
                    continue;
                }
                seen.push(&edge.pkg);
                if let (Some(package), Some(user)) = (packages.get(edge.pkg.as_str()), packages.get(from)) {
                    reached.push((*package, *user));
                }
            }
        }
        reached
    }
}
