//! The real input of the client tests: 3,201 films from a published npm package, fetched once and never committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::tools;
use crate::Result;
use crate::cargo::{self, Workspace};

/// Pinned, since the tests count the films and know their oddities. npm checks what it fetches against the package's
/// published hash.
const PACKAGE: &str = "vega-datasets@3.2.1";
const MEMBER: &str = "package/data/movies.json";

/// What `npm pack --json` says of a package.
#[derive(Debug, Deserialize)]
struct Packed {
    filename: String,
}

/// The path of the films; fetches them if they are not there yet.
pub(super) fn get(workspace: &Workspace) -> Result<PathBuf> {
    let films = workspace.target.join("compat-tests").join("movies.json");
    if !films.is_file() {
        fetch(&films)?;
    }
    Ok(films)
}

fn fetch(films: &Path) -> Result<()> {
    tools::NPM.require()?;
    tools::TAR.require()?;
    let folder = films.parent().ok_or("the films need a folder")?;
    std::fs::create_dir_all(folder)?;
    // Left out of `folder` until complete, so that an interrupted fetch leaves nothing that looks like the films.
    let staging = tempfile::tempdir_in(folder)?;
    let listing = cargo::output(
        Command::new("npm")
            .args(["pack", "--json", PACKAGE])
            .current_dir(&staging),
    )
    .map_err(|error| format!("fetching {PACKAGE}: {error}"))?;
    let text = cargo::output(
        Command::new("tar")
            .args(["--extract", "--gzip", "--to-stdout", "--file"])
            .arg(archive_name(&listing)?)
            .arg(MEMBER)
            .current_dir(&staging),
    )?;
    let unpacked = staging.path().join("movies.json");
    std::fs::write(&unpacked, text)?;
    std::fs::rename(&unpacked, films)?;
    Ok(())
}

fn archive_name(listing: &[u8]) -> Result<String> {
    let packed: Vec<Packed> =
        serde_json::from_slice(listing).map_err(|error| format!("npm pack --json: {error}"))?;
    let first = packed.into_iter().next().ok_or("npm pack packed nothing")?;
    Ok(first.filename)
}

#[cfg(test)]
mod tests {
    use super::archive_name;

    #[test]
    fn npm_names_the_archive() {
        let listing = br#"[{"id":"a@1.0.0","filename":"a-1.0.0.tgz","files":[]}]"#;
        assert_eq!(archive_name(listing).unwrap(), "a-1.0.0.tgz");
        assert!(archive_name(b"[]").is_err());
        assert!(archive_name(b"npm notice").is_err());
    }
}
