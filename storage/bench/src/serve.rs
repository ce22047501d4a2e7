//! The process that holds an engine: opens it, says so, and does what the lines of standard input say.

use std::io::{BufRead, Write};
use std::path::PathBuf;
use std::time::Duration;

use crate::meter::Meter;
use crate::protocol::{Answer, Command, Status, Work};
use crate::store::{Kind, Shared};
use crate::work::{Done, Worker};
use crate::{Result, process};

/// What to open.
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    #[arg(long)]
    engine: Kind,
    #[arg(long)]
    folder: PathBuf,
    /// Background work has ended when nothing was to be heard for so long.
    #[arg(long, default_value_t = 300)]
    silence_ms: u64,
    #[command(flatten)]
    shared: Shared,
}

/// Serves until the input ends or says `close`.
pub(crate) fn run(arguments: &Arguments) -> Result<()> {
    let mut worker = Worker::new(Duration::from_millis(arguments.silence_ms));
    let meter = Meter::start();
    let store = arguments.engine.open(&arguments.folder, arguments.shared)?;
    let opened = Done {
        operations: 1,
        used: meter.stop(),
        latencies: Vec::new(),
    };
    answer(arguments, &worker, opened)?;
    for line in std::io::stdin().lock().lines() {
        let command: Command = serde_json::from_str(&line?)?;
        if command.work == Work::Close {
            let meter = Meter::start();
            store.close()?;
            let closed = Done {
                operations: 1,
                used: meter.stop(),
                latencies: Vec::new(),
            };
            return answer(arguments, &worker, closed);
        }
        let done = worker.run(&*store, &command)?;
        answer(arguments, &worker, done)?;
    }
    Ok(())
}

fn answer(arguments: &Arguments, worker: &Worker, done: Done) -> Result<()> {
    let answer = Answer {
        operations: done.operations,
        seconds: done.used.elapsed.as_secs_f64(),
        cpu_seconds: done.used.cpu.as_secs_f64(),
        syncs: done.used.syncs,
        latencies: done.latencies,
        status: Status {
            put_bytes: worker.put_bytes,
            written_bytes: process::written_bytes()?,
            disk_bytes: process::disk_bytes(&arguments.folder)?,
            peak_memory_bytes: process::peak_memory_bytes()?,
        },
    };
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", serde_json::to_string(&answer)?)?;
    out.flush()?;
    Ok(())
}
