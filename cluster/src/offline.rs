//! Work on the data directory of a node that is not running.

use std::io;
use std::path::Path;
use std::sync::Arc;

use stator_storage::tools;
pub use stator_storage::tools::{Checkpoint, DumpOptions, Progress, Repair, Verification};
use stator_storage::{Engine, Environment, Settings, vfs};

use crate::coordinator::Secrets;
use crate::error::Error;

fn environment(secrets: Secrets) -> Environment {
    let disk = Arc::new(vfs::posix::PosixVfs);
    Environment::new(disk, secrets.random, secrets.master_keys, secrets.now_ms)
}

/// Reads every byte and checks it; changes nothing.
///
/// # Errors
/// [`Error::Storage`] when the directory is in use or cannot be read at all; what is wrong in it is in the result.
pub fn verify(directory: &Path, secrets: Secrets, progress: Progress<'_>) -> Result<Verification, Error> {
    Ok(tools::verify(environment(secrets), directory, progress)?)
}

/// Prints what a file says.
///
/// # Errors
/// [`Error::Storage`] when there is no such file or it cannot be read.
pub fn dump(
    directory: &Path,
    secrets: Secrets,
    file: &str,
    options: DumpOptions,
    out: &mut dyn io::Write,
) -> Result<(), Error> {
    Ok(tools::dump(environment(secrets), directory, file, options, out)?)
}

/// Makes a directory that opens again out of what can be read of it.
///
/// # Errors
/// [`Error::Storage`] when the directory is in use, the key ring is lost or the disk fails.
pub fn repair(directory: &Path, secrets: Secrets, progress: Progress<'_>) -> Result<Repair, Error> {
    let settings = Settings::default();
    Ok(tools::repair(
        environment(secrets),
        directory,
        &settings,
        progress,
    )?)
}

/// Makes a second directory with the same data.
///
/// # Errors
/// [`Error::Storage`] when the directory is in use, the target is not empty or lies on another file system.
pub fn checkpoint(directory: &Path, secrets: Secrets, target: &Path) -> Result<Checkpoint, Error> {
    let engine = Engine::open(environment(secrets), directory, Settings::default())?;
    let made = engine.checkpoint(target)?;
    engine.close()?;
    Ok(made)
}
