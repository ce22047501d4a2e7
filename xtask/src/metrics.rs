//! `cargo xtask metrics`: makes docs/metrics.md anew of what a node tells. A test of the server (`metrics/document.rs`) does it, because
//! nothing here knows the server, and checks it otherwise.

use crate::Result;
use crate::cargo::{self, Workspace};

/// Writes the document, and says whether that succeeded.
pub(crate) fn run() -> Result<bool> {
    let workspace = Workspace::find()?;
    cargo::succeeds(
        cargo::cargo()
            .args([
                "test",
                "--package",
                "stator",
                "--bin",
                "stator",
                "--",
                "metrics::document::the_document_is_what_a_node_tells",
            ])
            .env("STATOR_WRITE_METRICS", "1")
            .current_dir(&workspace.root),
    )
}
