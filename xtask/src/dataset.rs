//! Real input for tests and benches: data of a published npm package, such as 3,201 films and 200,000 flights, fetched once and
//! never committed.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use crate::Result;
use crate::cargo::{self, Workspace};
use crate::test::tools;

/// Pinned, since those who use it count what is in it and know its oddities. npm checks what it fetches against the package's
/// published hash.
const PACKAGE: &str = "vega-datasets@3.2.1";

/// The films, as JSON: an array of objects.
pub(crate) const FILMS: &str = "movies.json";
/// The flights, in the same form.
pub(crate) const FLIGHTS: &str = "flights-200k.json";

/// What `npm pack --json` says of a package.
#[derive(Debug, Deserialize)]
struct Packed {
    filename: String,
}

/// The path of a file of the package; fetches it if it is not there yet.
pub(crate) fn get(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let path = workspace.target.join("compat-tests").join(name);
    if !path.is_file() {
        fetch(&path, name)?;
    }
    Ok(path)
}

fn fetch(path: &Path, name: &str) -> Result<()> {
    tools::NPM.require()?;
    tools::TAR.require()?;
    let folder = path.parent().ok_or("a dataset needs a folder")?;
    std::fs::create_dir_all(folder)?;
    // Left out of `folder` until complete, so that an interrupted fetch leaves nothing that looks like the whole.
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
            .arg(format!("package/data/{name}"))
            .current_dir(&staging),
    )?;
    let unpacked = staging.path().join(name);
    std::fs::write(&unpacked, text)?;
    std::fs::rename(&unpacked, path)?;
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
