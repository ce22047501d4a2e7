//! Tools of the machine that the client tests and benches need: looked for, installed where that is possible without asking (as root
//! on a system with apt-get, such as a build machine), and otherwise named in one line.

use std::process::{Command, Stdio};

use crate::Result;
use crate::cargo;

/// A tool, and how to see whether it is there.
#[derive(Debug)]
pub(crate) struct Tool {
    /// What the error calls it.
    name: &'static str,
    /// A command that succeeds where the tool works.
    probe: &'static [&'static str],
    /// The Debian packages that bring it.
    packages: &'static [&'static str],
}

/// Python with what makes virtual environments. 3.10 is the oldest that the pinned pytest runs on.
pub(super) const PYTHON: Tool = Tool {
    name: "Python 3.10 or newer with venv and ensurepip",
    probe: &[
        "python3",
        "-c",
        "import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 10))",
    ],
    packages: &["python3", "python3-venv"],
};

/// Fetches published packages.
pub(crate) const NPM: Tool = Tool {
    name: "npm",
    probe: &["npm", "--version"],
    packages: &["npm"],
};

/// Unpacks them.
pub(crate) const TAR: Tool = Tool {
    name: "tar with gzip",
    probe: &["sh", "-c", "tar --version && gzip --version"],
    packages: &["gzip", "tar"],
};

/// Runs JavaScript. 20 is the oldest that the AWS SDK runs on.
pub(super) const NODE: Tool = Tool {
    name: "Node.js 20 or newer with npm",
    probe: &[
        "sh",
        "-c",
        "npm --version && node --eval 'process.exit(+(parseInt(process.versions.node) < 20))'",
    ],
    packages: &["nodejs", "npm"],
};

/// Builds and runs Go. 1.25 is what the modules of the tests ask for.
pub(super) const GO: Tool = Tool {
    name: "Go 1.25 or newer",
    probe: &[
        "sh",
        "-c",
        "go version | grep --extended-regexp 'go(1\\.(2[5-9]|[3-9][0-9])|[2-9])'",
    ],
    packages: &["golang-go"],
};

/// Builds Java programs; the packages bring a JDK.
pub(crate) const MAVEN: Tool = Tool {
    name: "Maven with a JDK, Java 17 or newer",
    probe: &[
        "sh",
        "-c",
        "mvn --version && javac --release 17 --version && java -version",
    ],
    packages: &["maven", "default-jdk-headless"],
};

/// What a cluster is compared with.
pub(crate) const ETCD: Tool = Tool {
    name: "etcd",
    probe: &["etcd", "--version"],
    packages: &["etcd-server"],
};

/// Checks and tries rules of Prometheus.
pub(super) const PROMTOOL: Tool = Tool {
    name: "promtool of Prometheus 2.42 or newer",
    probe: &["promtool", "--version"],
    packages: &["prometheus"],
};

impl Tool {
    /// Makes sure that the tool works, by installing it if need be.
    pub(crate) fn require(&self) -> Result<()> {
        if self.works() {
            return Ok(());
        }
        if rustix::process::geteuid().is_root() && answers(&["apt-get", "--version"]) {
            eprintln!("xtask: installing {} for {}", self.packages.join(", "), self.name);
            apt_get(&["update"])?;
            apt_get(&[&["install", "--yes", "--no-install-recommends"], self.packages].concat())?;
        }
        if self.works() {
            Ok(())
        } else {
            Err(self.advice().into())
        }
    }

    fn works(&self) -> bool {
        answers(self.probe)
    }

    fn advice(&self) -> String {
        format!(
            "{} is missing: install it (Debian, Ubuntu: sudo apt-get install {})",
            self.name,
            self.packages.join(" ")
        )
    }
}

fn apt_get(arguments: &[&str]) -> Result<()> {
    // Its output is not a result of the tests, so it does not belong on standard output.
    let mut command = Command::new("apt-get");
    command
        .arg("--quiet=2")
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .stdout(std::io::stderr());
    if cargo::succeeds(&mut command)? {
        Ok(())
    } else {
        Err(format!("apt-get {} failed, see above", arguments.join(" ")).into())
    }
}

/// Whether the command exists and succeeds; its output is nobody's business.
fn answers(command: &[&str]) -> bool {
    let Some((program, arguments)) = command.split_first() else {
        return false;
    };
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::{NPM, Tool, answers};

    #[test]
    fn a_tool_is_there_when_its_probe_succeeds() {
        assert!(answers(&["sh", "-c", "exit 0"]));
        assert!(!answers(&["sh", "-c", "exit 1"]));
        assert!(!answers(&["no-such-tool-of-stator"]));
        let there = Tool {
            name: "sh",
            probe: &["sh", "-c", "true"],
            packages: &[],
        };
        there.require().unwrap();
    }

    #[test]
    fn the_advice_can_be_typed() {
        assert_eq!(
            NPM.advice(),
            "npm is missing: install it (Debian, Ubuntu: sudo apt-get install npm)"
        );
    }
}
