//! `cargo xtask test --libraries`: other people's libraries for DynamoDB, with the integration tests that they publish.
//!
//! Invariant: the tests are the authors', unchanged, of the pinned version, from the language's package registry. What is left
//! out is named here with the reason. Libraries that publish no such tests are not here: compat-tests/README.md names them.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::python;
use super::sdks::{self, TestServer};
use super::tools::{self, Tool};
use crate::Result;
use crate::cargo::{self, Workspace};

/// A library, and how its tests are run.
struct Library {
    /// What it is called on the command line.
    name: &'static str,
    /// Without which it is skipped.
    tool: Option<&'static Tool>,
    /// Whether the server checks signatures.
    is_signed: bool,
    /// Brings the tests, and returns the command that runs them against the server.
    prepare: fn(&Workspace, &TestServer) -> Result<Command>,
}

const LIBRARIES: &[Library] = &[
    Library {
        name: "aiodynamo",
        tool: Some(&tools::PYTHON),
        // It signs the name of the host without the port, which it does send: right only where the port is the scheme's own.
        is_signed: false,
        prepare: aiodynamo,
    },
    Library {
        name: "guregu-dynamo",
        tool: Some(&tools::GO),
        is_signed: true,
        prepare: guregu_dynamo,
    },
    Library {
        name: "toasty",
        tool: None,
        is_signed: true,
        prepare: |workspace, _| Ok(sdks::rust(workspace, "libraries/toasty")),
    },
];

/// Below the folder of a library's suite.
const SUITES: &str = "libraries";
/// The version in `libraries/aiodynamo/requirements.txt`.
const AIODYNAMO: &str = "aiodynamo==26.4";
/// It expects that a time to live is ENABLED as soon as it is set. DynamoDB says ENABLING at first (API Reference,
/// TimeToLiveDescription), and so does Stator.
const AIODYNAMO_LEFT_OUT: &str = "tests/integration/test_client.py::test_ttl";
const GUREGU_DYNAMO: &str = "github.com/guregu/dynamo/v2";

/// Runs the tests of the libraries of these names, or of all, prints how many have passed, and says whether none has failed.
pub(super) fn run(workspace: &Workspace, stator: &Path, names: &[OsString]) -> Result<bool> {
    let known = |name: &OsString| LIBRARIES.iter().any(|library| *name == library.name);
    if let Some(name) = names.iter().find(|name| !known(name)) {
        let known: Vec<_> = LIBRARIES.iter().map(|library| library.name).collect();
        return Err(format!("no library {}: there are {}", name.display(), known.join(", ")).into());
    }
    let mut all_passed = true;
    let mut report = Vec::new();
    for library in LIBRARIES {
        if !names.is_empty() && !names.iter().any(|name| *name == library.name) {
            continue;
        }
        if let Some(Err(error)) = library.tool.map(Tool::require) {
            report.push(format!("libraries: {}: skipped: {error}", library.name));
            continue;
        }
        eprintln!("libraries: {}", library.name);
        let server = TestServer::start(stator, library.is_signed)?;
        let mut command = (library.prepare)(workspace, &server)?;
        let (succeeded, counts) = count(server.named_in(&mut command))?;
        // A run that finds no test has shown nothing, whatever its status.
        all_passed &= succeeded && counts.failed == 0 && counts.passed > 0;
        report.push(format!("libraries: {}: {counts}", library.name));
    }
    let mut out = std::io::stdout().lock();
    for line in report {
        writeln!(out, "{line}")?;
    }
    Ok(all_passed)
}

/// How many tests there were.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    passed: usize,
    failed: usize,
    /// Those that the authors leave out here, themselves or for what the server is.
    skipped: usize,
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} passed, {} failed, {} skipped",
            self.passed, self.failed, self.skipped
        )
    }
}

impl Counts {
    /// Adds what one line of output says: a closing line of pytest or of one test binary of cargo, or a test of Go.
    fn add(&mut self, line: &str) {
        match line.split_whitespace().collect::<Vec<_>>()[..] {
            ["---", "PASS:", ..] => self.passed += usize::from(!line.starts_with(' ')),
            ["---", "FAIL:", ..] => self.failed += usize::from(!line.starts_with(' ')),
            ["---", "SKIP:", ..] => self.skipped += usize::from(!line.starts_with(' ')),
            ["test", "result:", _, ref rest @ ..] => self.add_pairs(rest),
            ref words
                if words
                    .windows(2)
                    .any(|pair| pair[0] == "in" && is_seconds(pair[1])) =>
            {
                self.add_pairs(words);
            }
            _ => {}
        }
    }

    /// Adds pairs of a number and what it counts.
    fn add_pairs(&mut self, words: &[&str]) {
        for pair in words.windows(2) {
            let Ok(number) = pair[0].parse::<usize>() else {
                continue;
            };
            match pair[1].trim_end_matches([',', ';']) {
                "passed" => self.passed += number,
                "failed" | "error" | "errors" => self.failed += number,
                "skipped" | "ignored" | "xfailed" | "deselected" => self.skipped += number,
                _ => {}
            }
        }
    }
}

/// Whether a word is a time such as `0.25s`.
fn is_seconds(word: &str) -> bool {
    word.strip_suffix('s')
        .is_some_and(|number| number.parse::<f64>().is_ok())
}

/// Runs the command, shows what it prints, and counts the tests in it; and says whether it has succeeded.
fn count(command: &mut Command) -> Result<(bool, Counts)> {
    let name = command.get_program().to_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| format!("{}: {error}", name.display()))?;
    let stdout = child.stdout.take().ok_or("no standard output")?;
    let mut counts = Counts::default();
    for line in BufReader::new(stdout).split(b'\n') {
        let line = String::from_utf8_lossy(&line?).into_owned();
        counts.add(&line);
        writeln!(std::io::stdout(), "{line}")?;
    }
    Ok((child.wait()?.success(), counts))
}

/// The tests are in the source package; the library is installed, as its users have it.
fn aiodynamo(workspace: &Workspace, server: &TestServer) -> Result<Command> {
    let requirements = sdks::folder(workspace, SUITES).join("aiodynamo/requirements.txt");
    let output = sdks::output_folder(workspace, "aiodynamo");
    std::fs::create_dir_all(&output)?;
    let python = python::environment_in(&output.join("venv"), &requirements)?;
    let sources = output.join("sources");
    sdks::install_once(&output, &requirements, || {
        unpack_source_package(&python, AIODYNAMO, &sources)
    })?;
    let mut command = Command::new(python);
    command
        .args(["-m", "pytest", "-p", "no:cacheprovider", "tests/integration"])
        .args(["--quiet", "--deselect", AIODYNAMO_LEFT_OUT])
        .current_dir(sources)
        .env("DYNAMODB_URL", server.endpoint())
        // Otherwise it expects that empty strings are refused.
        .env("DYNAMODB_FLAVOR", "real");
    Ok(command)
}

/// Has pip fetch the source package and check it, and unpacks it.
fn unpack_source_package(python: &Path, package: &str, into: &Path) -> Result<()> {
    let staging = tempfile::tempdir()?;
    cargo::require(
        Command::new(python)
            .args(["-m", "pip", "download", "--quiet", "--no-input", "--no-deps"])
            .args(["--no-binary", ":all:", package, "--dest"])
            .arg(staging.path()),
    )?;
    let archive = the_only_file(staging.path())?;
    if into.exists() {
        std::fs::remove_dir_all(into)?;
    }
    std::fs::create_dir_all(into)?;
    tools::TAR.require()?;
    cargo::require(
        Command::new("tar")
            .args(["--extract", "--gzip", "--strip-components=1", "--file"])
            .arg(archive)
            .arg("--directory")
            .arg(into),
    )
}

fn the_only_file(folder: &Path) -> Result<PathBuf> {
    let mut entries = std::fs::read_dir(folder)?;
    let first = entries.next().ok_or("pip has fetched nothing")??;
    Ok(first.path())
}

/// The tests run where Go keeps the module, with the versions that the module itself asks for.
fn guregu_dynamo(workspace: &Workspace, server: &TestServer) -> Result<Command> {
    let module = sdks::folder(workspace, SUITES).join("guregu-dynamo");
    let download = ["mod", "download", GUREGU_DYNAMO];
    cargo::require(Command::new("go").args(download).current_dir(&module))?;
    let folder = cargo::output(
        Command::new("go")
            .args(["list", "-m", "-f", "{{.Dir}}", GUREGU_DYNAMO])
            .current_dir(&module),
    )?;
    let mut command = sdks::go(Path::new(String::from_utf8(folder)?.trim_end()));
    command
        .env("DYNAMO_TEST_ENDPOINT", server.endpoint())
        .env("DYNAMO_TEST_REGION", server.region())
        .env("DYNAMO_TEST_TABLE", "Test-%");
    Ok(command)
}

#[cfg(test)]
mod tests {
    use super::Counts;

    fn counts(lines: &[&str]) -> (usize, usize, usize) {
        let mut counts = Counts::default();
        for line in lines {
            counts.add(line);
        }
        (counts.passed, counts.failed, counts.skipped)
    }

    #[test]
    fn tests_are_counted_from_what_their_runners_print() {
        assert_eq!(
            counts(&["123 passed, 1 deselected, 2 xfailed in 15.36s"]),
            (123, 0, 3)
        );
        assert_eq!(
            counts(&["== 1 failed, 2 passed, 3 errors in 75.00s (0:01:15) =="]),
            (2, 4, 0)
        );
        assert_eq!(
            counts(&[
                "test result: ok. 7 passed; 0 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.01s",
                "test result: FAILED. 2 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.01s",
            ]),
            (9, 3, 1)
        );
        assert_eq!(
            counts(&[
                "=== RUN   TestA",
                "--- PASS: TestA (0.00s)",
                "    --- PASS: TestA/part (0.00s)",
                "--- FAIL: TestB (0.00s)",
                "--- SKIP: TestC (0.00s)",
                "PASS",
            ]),
            (1, 1, 1)
        );
        assert_eq!(
            counts(&["", "5 passed", "no tests ran in 0.00s", "7 passed in time"]),
            (0, 0, 0)
        );
    }
}
