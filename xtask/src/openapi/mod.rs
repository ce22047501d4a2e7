//! `cargo xtask openapi`: `openapi/dynamodb.json`, the OpenAPI document of the API that Stator serves, made of AWS's service
//! model and of docs/compatibility.md.
//!
//! Invariant: the document says nothing by itself: shapes and errors are the model's, which operations there are and what of
//! their requests is refused is the compatibility document's, and tests hold that one to a running server. Not here: the
//! document of the node's own API (`openapi/admin.json`), which is written by hand.

mod document;
mod model;
mod paths;
mod prose;
mod schema;
mod surface;

use std::path::Path;
use std::process::Command;

use self::model::Model;
use crate::Result;
use crate::cargo::{self, Workspace};
use crate::test::python;

/// The document, from the root of the workspace.
const DOCUMENT: &str = "openapi/dynamodb.json";
/// What says which operations work.
const COMPATIBILITY: &str = "docs/compatibility.md";
/// Whose botocore brings the service model.
const REQUIREMENTS: &str = "compat-tests/python/requirements.txt";
/// Prints the service model of the service that is named.
const PRINT_MODEL: &str = "import botocore.loaders, json, sys; \
     print(json.dumps(botocore.loaders.Loader().load_service_model(sys.argv[1], 'service-2')))";

/// Arguments of `cargo xtask openapi`.
#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Write nothing; fail if the document is not what it would be.
    #[arg(long)]
    check: bool,
}

/// Writes the document, or checks it; says whether it is as it should be.
pub(crate) fn run(arguments: &Arguments) -> Result<bool> {
    let workspace = Workspace::find()?;
    if arguments.check {
        return check(&workspace);
    }
    let path = workspace.root.join(DOCUMENT);
    let text = generate(&workspace)?;
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    eprintln!("{DOCUMENT} is written");
    Ok(true)
}

/// Whether the document is what the service model and docs/compatibility.md make of it; says what to do if not.
pub(crate) fn check(workspace: &Workspace) -> Result<bool> {
    let present = std::fs::read_to_string(workspace.root.join(DOCUMENT)).unwrap_or_default();
    let wanted = generate(workspace)?;
    if present == wanted {
        eprintln!("{DOCUMENT} is what the service model and {COMPATIBILITY} say");
        return Ok(true);
    }
    let line = first_difference(&present, &wanted);
    eprintln!(
        "{DOCUMENT}:{line}: is not what the service model and {COMPATIBILITY} say: run `cargo xtask openapi`"
    );
    Ok(false)
}

/// The text of the document.
fn generate(workspace: &Workspace) -> Result<String> {
    let python = python::environment(workspace, &workspace.root.join(REQUIREMENTS))?;
    let models = model::SERVICES
        .iter()
        .map(|service| load(&python, service))
        .collect::<Result<Vec<Model>>>()?;
    let compatibility = std::fs::read_to_string(workspace.root.join(COMPATIBILITY))
        .map_err(|error| format!("{COMPATIBILITY}: {error}"))?;
    document::text(&models, &surface::parse(&compatibility)?)
}

fn load(python: &Path, service: &'static str) -> Result<Model> {
    let printed = cargo::output(Command::new(python).args(["-c", PRINT_MODEL, service]))?;
    Model::parse(service, &printed)
}

/// The line, counted from 1, in which two texts first differ.
fn first_difference(left: &str, right: &str) -> usize {
    let same = left
        .lines()
        .zip(right.lines())
        .take_while(|(left, right)| left == right);
    same.count() + 1
}

#[cfg(test)]
mod tests {
    use super::first_difference;

    #[test]
    fn the_first_line_that_differs_is_named() {
        assert_eq!(first_difference("a\nb\nc", "a\nx\nc"), 2);
        assert_eq!(first_difference("", "a"), 1);
        assert_eq!(first_difference("a\n", "a\nb\n"), 2);
    }
}
