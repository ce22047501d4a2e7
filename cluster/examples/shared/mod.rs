//! What the examples that open real nodes have in common.

use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use stator_cluster::{
    Cell, Commands, MASTER_KEY_BYTES, MalformedCommand, MasterKey, MasterKeys, PosixVfs, Random,
    Surroundings, TokioWorld, Verdict,
};
use tokio::runtime::Handle;

pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// No command is ever sent.
#[derive(Debug)]
struct NoCommands;

impl Commands for NoCommands {
    fn decide(&self, command: &Bytes, _: Option<&Cell>) -> Result<Verdict<Vec<u8>>, MalformedCommand> {
        Err(MalformedCommand {
            detail: format!("{} bytes that nobody has sent", command.len()),
        })
    }

    fn weigh(&self, cell: &[u8]) -> u64 {
        cell.len() as u64
    }
}

/// What a node on a real disk is given.
pub(crate) fn surroundings(directory: PathBuf) -> Result<Surroundings, Failure> {
    Ok(Surroundings {
        world: Arc::new(TokioWorld::new(Handle::current())?),
        disk: Arc::new(PosixVfs),
        directory,
        random: Random::new(|bytes| {
            getrandom::fill(bytes).map_err(|error| std::io::Error::other(error.to_string()))
        }),
        master_keys: MasterKeys::new(MasterKey::new([3; MASTER_KEY_BYTES])),
        clock: None,
        driven: false,
        commands: Arc::new(NoCommands),
        tracer: None,
    })
}

/// Bytes of the process that are in memory.
pub(crate) fn resident_bytes() -> Result<u64, Failure> {
    let status = std::fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kibibytes = line.and_then(|line| line.trim().strip_suffix("kB"));
    let kibibytes: u64 = kibibytes.ok_or("no VmRSS")?.trim().parse()?;
    Ok(kibibytes << 10)
}

/// Prints a line.
pub(crate) fn say(line: &str) -> Result<(), Failure> {
    Ok(writeln!(std::io::stdout(), "{line}")?)
}
