//! `cargo xtask kcl`: the consumer of `compat-tests/java/kcl`, a program with the Kinesis Client Library, and the tests
//! that start it.
//!
//! Not a part of `cargo xtask test`: to fetch the library takes more than a minute, and so does it to begin, twice.
//! Maven fetches the library once, and what has been built is kept below the target folder while its sources stay as
//! they are.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};
use crate::test::{python, tools};

/// Where the sources are, from the root of the workspace.
const SOURCES: &str = "compat-tests/java/kcl";
/// What the program is made from, below that.
const FILES: [&str; 2] = ["pom.xml", "src/main/java/stator/KclConsumer.java"];
/// Beside the program: what it was made from. Written last, so that a folder without it is unfinished.
const STAMP: &str = "made-from.txt";
/// The tests that start it, against one server.
const TESTS: &str = "test_kcl.py";
/// Those that start it against a cluster, and a cluster.
const CLUSTER_TESTS: &str = "test_kcl_cluster.py";

#[derive(Args)]
pub(crate) struct Arguments {
    /// Build the program, print where it is, and run no test.
    #[arg(long)]
    build: bool,
    /// A cluster of three nodes that are killed one after the other, and a stream whose shards are replaced meanwhile;
    /// prints a line of figures. Takes some minutes.
    #[arg(long)]
    cluster: bool,
    /// Arguments for pytest.
    #[arg(last = true)]
    pytest: Vec<OsString>,
}

/// Builds the program and runs its tests against a server, and says whether they have passed.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let folder = get(&workspace)?;
    if arguments.build {
        writeln!(std::io::stdout(), "{}", folder.display())?;
        return Ok(true);
    }
    let stator =
        cargo::build(&workspace, &["--package", "stator", "--bin", "stator"])?.get("bin", "stator")?;
    let mut pytest: Vec<OsString> = if arguments.cluster {
        // The figures are what the test prints.
        vec![CLUSTER_TESTS.into(), "--capture=no".into()]
    } else {
        vec![TESTS.into()]
    };
    pytest.extend(arguments.pytest.iter().cloned());
    python::run(&workspace, &stator, &pytest, Some(&folder))
}

/// The folder with the program, `kcl-consumer.jar`, and all that it needs, in `lib`; makes it if need be.
fn get(workspace: &Workspace) -> Result<PathBuf> {
    let sources = workspace.root.join(SOURCES);
    let folder = workspace.target.join("compat-tests").join("kcl");
    let stamp = folder.join(STAMP);
    let wanted = stamp_text(&sources)?;
    if std::fs::read_to_string(&stamp).is_ok_and(|present| present == wanted) {
        return Ok(folder);
    }
    tools::MAVEN.require()?;
    eprintln!("xtask: building {SOURCES} in {}", folder.display());
    if folder.exists() {
        std::fs::remove_dir_all(&folder)?;
    }
    std::fs::create_dir_all(&folder)?;
    let mut output = OsString::from("-Dstator.output=");
    output.push(&folder);
    cargo::require(
        Command::new("mvn")
            .args(["--quiet", "--batch-mode"])
            .arg(output)
            .arg("package")
            .current_dir(&sources),
    )?;
    std::fs::write(&stamp, wanted)?;
    Ok(folder)
}

/// All that the program depends on: its sources, one after the other.
fn stamp_text(sources: &Path) -> Result<String> {
    let mut text = String::new();
    for file in FILES {
        let path = sources.join(file);
        text += &std::fs::read_to_string(&path).map_err(|error| format!("{}: {error}", path.display()))?;
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::{FILES, stamp_text};

    #[test]
    fn a_change_of_any_source_changes_the_stamp() {
        let folder = tempfile::tempdir().unwrap();
        for file in FILES {
            let path = folder.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, file).unwrap();
        }
        let before = stamp_text(folder.path()).unwrap();
        for file in FILES {
            std::fs::write(folder.path().join(file), "changed").unwrap();
            assert_ne!(stamp_text(folder.path()).unwrap(), before, "{file}");
            std::fs::write(folder.path().join(file), file).unwrap();
        }
        std::fs::remove_file(folder.path().join(FILES[0])).unwrap();
        assert!(stamp_text(folder.path()).is_err());
    }
}
