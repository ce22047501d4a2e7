//! `cargo xtask upgrade`: a cluster goes from the program of another commit to the one of the workspace and back, node by node,
//! under load.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The commit whose program the cluster runs before: anything that `git rev-parse` takes.
    #[arg(long, default_value = "HEAD~1")]
    from: String,
}

/// Builds both programs and runs the test, and says whether no client has noticed anything.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    let commit = resolve(&workspace.root, &arguments.from)?;
    eprintln!("upgrade: from {commit}");
    let earlier = earlier_program(&workspace, &commit)?;
    let build = ["--package", "stator", "--bin", "stator"];
    let later = cargo::build(&workspace, &build)?.get("bin", "stator")?;
    let mut command = cargo::cargo();
    command
        .args([
            "test",
            "--package",
            "compat-tests",
            "--test",
            "rolling_upgrade",
            "--",
        ])
        .args(["--ignored", "--nocapture"])
        .env("STATOR_BIN", later)
        .env("STATOR_EARLIER_BIN", earlier)
        .current_dir(&workspace.root);
    cargo::succeeds(&mut command)
}

/// The commit of a name, whole.
fn resolve(root: &Path, name: &str) -> Result<String> {
    let mut git = Command::new("git");
    git.args(["rev-parse", "--verify", "--quiet", "--end-of-options"])
        .arg(format!("{name}^{{commit}}"));
    let output = git.current_dir(root).output()?;
    if !output.status.success() {
        return Err(format!("there is no commit {name} here (a shallow clone has few)").into());
    }
    Ok(String::from_utf8(output.stdout)?.trim().to_owned())
}

/// The program of a commit, built from a copy of its files below the target folder. Kept: another run finds it there.
fn earlier_program(workspace: &Workspace, commit: &str) -> Result<PathBuf> {
    let folder = workspace.target.join("upgrade");
    let program = folder.join(format!("stator-{commit}"));
    if program.exists() {
        return Ok(program);
    }
    let files = folder.join("workspace");
    if files.exists() {
        fs::remove_dir_all(&files)?;
    }
    fs::create_dir_all(&files)?;
    let archive = folder.join("files.tar");
    let mut git = Command::new("git");
    git.args(["archive", "--format", "tar", "--output"])
        .arg(&archive)
        .arg(commit)
        .current_dir(&workspace.root);
    let mut tar = Command::new("tar");
    tar.arg("--extract")
        .arg("--file")
        .arg(&archive)
        .current_dir(&files);
    if !cargo::succeeds(&mut git)? || !cargo::succeeds(&mut tar)? {
        return Err(format!("the files of {commit} cannot be had").into());
    }
    fs::remove_file(&archive)?;
    // In the workspace's own target folder, where the dependencies are built already.
    let mut build = cargo::cargo();
    build
        .args(["build", "--package", "stator", "--bin", "stator", "--target-dir"])
        .arg(&workspace.target)
        .current_dir(&files);
    if !cargo::succeeds(&mut build)? {
        return Err(format!("the program of {commit} does not build").into());
    }
    // Whole or not at all, since it is not built again.
    let part = program.with_extension("part");
    fs::copy(workspace.target.join("debug").join("stator"), &part)?;
    fs::rename(&part, &program)?;
    Ok(program)
}
