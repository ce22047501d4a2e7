//! `bench engine`: the storage engine beside RocksDB, fjall and redb.
//!
//! The measuring is done by `storage/bench`, which may know the engine; here it is built and started. Its rows have the
//! form of `report`, with more than one peer.

use std::path::Path;
use std::process::Command;

use clap::Args;

use crate::Result;
use crate::cargo::{self, Workspace};

#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// Leave RocksDB out: compiling it takes a quarter of an hour on two cores and needs libclang and a C++ compiler.
    #[arg(long)]
    without_rocksdb: bool,
    /// More arguments for the bench itself, such as `-- --engines stator,rocksdb --rows get`; `-- --help` lists them.
    #[arg(last = true, value_name = "ARGUMENT")]
    more: Vec<String>,
}

/// Builds and runs the bench, which prints its own table.
pub(super) fn run(
    workspace: &Workspace,
    arguments: &Arguments,
    quick: bool,
    json: Option<&Path>,
) -> Result<()> {
    let features = if arguments.without_rocksdb {
        "peers"
    } else {
        "peers,rocksdb"
    };
    let package = "stator-engine-bench";
    let built = cargo::build(
        workspace,
        &["--release", "--package", package, "--features", features],
    );
    let executables = built.map_err(|error| {
        if arguments.without_rocksdb {
            error
        } else {
            format!(
                "{error}\nIf it was RocksDB that did not build (`librocksdb-sys` above): it needs libclang and a C++ compiler, on \
                 Debian the packages libclang-dev and g++. `--without-rocksdb` leaves it out."
            )
            .into()
        }
    })?;
    let mut command = Command::new(executables.get("bin", "engine-bench")?);
    // Below the target folder, not where temporary files go: that is often memory, where a sync costs nothing.
    command.arg("run").arg("--folder").arg(&workspace.target);
    if quick {
        command.arg("--quick");
    }
    if let Some(json) = json {
        command.arg("--json").arg(json);
    }
    if cargo::succeeds(command.args(&arguments.more))? {
        Ok(())
    } else {
        Err("the bench has failed".into())
    }
}
