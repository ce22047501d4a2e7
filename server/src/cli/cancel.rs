//! `stator cancel`: ends a backup that is being made, an export or a bulk operation.
//!
//! Not here: what is asked of the node (`http/admin.rs`), and who ends it (`archivist.rs`, `transfer/porter.rs`).

use std::io::{self, Write as _};

use clap::Args;
use serde_json::json;

use super::nodes::{NodesError, Whom};
use crate::http::admin::JOBS_PATH;

/// Options of `stator cancel`.
#[derive(Debug, Args)]
pub(crate) struct Options {
    /// ARN of the backup, export or bulk operation
    arn: String,
    #[command(flatten)]
    whom: Whom,
}

/// Has it end. What it has left behind is removed behind this.
///
/// # Errors
/// [`NodesError`]; among others when it is over, or not there.
pub(crate) fn run(options: &Options) -> Result<(), NodesError> {
    options.whom.ask(async |asker| {
        let body = json!({ "cancel": options.arn }).to_string();
        asker.post(JOBS_PATH, body.into()).await?;
        let mut out = io::stdout().lock();
        writeln!(out, "{} is cancelled", options.arn)?;
        Ok(out.flush()?)
    })
}
