//! A copy of the workspace to be broken.
//!
//! Invariant: the copy has what `git` knows of the workspace and what it does not ignore, as it is now, committed or not.
//! A file is written only when it differs, so that cargo builds again only what has changed.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::patch::Patch;
use crate::Result;
use crate::cargo::{Workspace, output, succeeds};

pub(super) struct Copy {
    original: PathBuf,
    root: PathBuf,
}

impl Copy {
    /// Copies the workspace, or brings an earlier copy up to date.
    pub(super) fn make(workspace: &Workspace) -> Result<Self> {
        let copy = Self {
            original: workspace.root.clone(),
            root: workspace.target.join("audit").join("workspace"),
        };
        fs::create_dir_all(&copy.root)?;
        let listed = output(
            Command::new("git")
                .args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"])
                .current_dir(&workspace.root),
        )?;
        let paths: BTreeSet<PathBuf> = listed
            .split(|byte| *byte == 0)
            .filter(|path| !path.is_empty())
            .map(|path| PathBuf::from(OsStr::from_bytes(path)))
            .collect();
        for path in &paths {
            copy.bring(path)?;
        }
        copy.remove_others(&copy.root, &paths)?;
        Ok(copy)
    }

    /// Where it lies.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// Makes a file of the copy what it is in the workspace.
    fn bring(&self, path: &Path) -> Result<()> {
        let (from, to) = (self.original.join(path), self.root.join(path));
        let wanted = match fs::read(&from) {
            Ok(bytes) => bytes,
            // Deleted but not committed as such, or a submodule's folder.
            Err(error) if [io::ErrorKind::NotFound, io::ErrorKind::IsADirectory].contains(&error.kind()) => {
                return Ok(());
            }
            Err(error) => return Err(format!("{}: {error}", from.display()).into()),
        };
        if fs::read(&to).is_ok_and(|bytes| bytes == wanted) {
            return Ok(());
        }
        if let Some(folder) = to.parent() {
            fs::create_dir_all(folder)?;
        }
        fs::write(&to, wanted).map_err(|error| format!("{}: {error}", to.display()))?;
        fs::set_permissions(&to, fs::metadata(&from)?.permissions())?;
        Ok(())
    }

    fn remove_others(&self, folder: &Path, wanted: &BTreeSet<PathBuf>) -> Result<()> {
        for entry in fs::read_dir(folder)? {
            let entry = entry?;
            let path = entry.path();
            if entry.file_type()?.is_dir() {
                self.remove_others(&path, wanted)?;
            } else if !wanted.contains(path.strip_prefix(&self.root)?)
                || !self.original.join(path.strip_prefix(&self.root)?).exists()
            {
                fs::remove_file(&path)?;
            }
        }
        Ok(())
    }

    /// Applies a patch to the copy, and says whether it fits.
    pub(super) fn apply(&self, patch: &Path) -> Result<bool> {
        // The copy lies within the workspace's repository, and is none itself: git would look for the paths of the patch
        // outside of the copy, and pass over all of them in silence.
        let above = self.root.parent().unwrap_or(&self.root);
        succeeds(
            Command::new("git")
                .arg("apply")
                .arg(patch)
                .env("GIT_CEILING_DIRECTORIES", above)
                .env_remove("GIT_DIR")
                .env_remove("GIT_WORK_TREE")
                .current_dir(&self.root),
        )
    }

    /// Takes a patch back.
    pub(super) fn restore(&self, patch: &Patch) -> Result<()> {
        for path in &patch.changes {
            if self.original.join(path).exists() {
                self.bring(path)?;
            } else if self.root.join(path).exists() {
                fs::remove_file(self.root.join(path))?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn git(folder: &Path, arguments: &[&str]) {
        let mut command = Command::new("git");
        assert!(succeeds(command.args(arguments).current_dir(folder)).unwrap());
    }

    fn contents(folder: &Path) -> BTreeMap<String, String> {
        let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
        let files = entries.filter(|path| path.is_file());
        files
            .map(|path| {
                let name = path.file_name().unwrap().to_string_lossy().into_owned();
                (name, fs::read_to_string(&path).unwrap())
            })
            .collect()
    }

    #[test]
    fn a_copy_follows_the_workspace_and_takes_patches_and_gives_them_back() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_owned();
        git(&root, &["init", "--quiet"]);
        let write = |name: &str, text: &str| fs::write(root.join(name), text).unwrap();
        write(".gitignore", "target\nignored\n");
        write("a", "one\ntwo\n");
        write("gone", "x");
        write("ignored", "x");
        git(&root, &["add", "--all"]);
        let workspace = Workspace {
            root: root.clone(),
            target: root.join("target"),
        };
        let copy = Copy::make(&workspace).unwrap();
        let names = |copy: &Copy| contents(copy.root()).into_keys().collect::<Vec<_>>();
        assert_eq!(names(&copy), [".gitignore", "a", "gone"]);

        fs::remove_file(root.join("gone")).unwrap();
        write("new", "not committed");
        let copy = Copy::make(&workspace).unwrap();
        assert_eq!(names(&copy), [".gitignore", "a", "new"]);

        let fits = root.join("fits.patch");
        let diff = "# rule: x\n--- a/a\n+++ b/a\n@@ -1,2 +1,2 @@\n one\n-two\n+broken\n";
        fs::write(&fits, diff).unwrap();
        let patch = Patch {
            name: "fits".to_owned(),
            path: fits.clone(),
            rule: String::new(),
            noticed_by: Vec::new(),
            scenario: String::new(),
            seeds: None,
            seed: None,
            changes: vec!["a".into()],
        };
        assert!(copy.apply(&fits).unwrap());
        assert_eq!(contents(copy.root())["a"], "one\nbroken\n");
        assert!(!copy.apply(&fits).unwrap(), "it does not fit a second time");
        copy.restore(&patch).unwrap();
        assert_eq!(contents(copy.root())["a"], "one\ntwo\n");
        assert_eq!(contents(&root)["a"], "one\ntwo\n");
    }
}
