//! What the `raft` crate says goes where everything else of the node's goes.
//!
//! Invariant: at most at the level that the subscriber wants, so that a quiet log costs nothing.

use std::fmt::Write as _;
use std::sync::LazyLock;

use slog::{Drain, KV as _, Level, Logger, Never, OwnedKVList, Record};

/// Hands records on to `tracing`.
struct ToTracing;

/// Collects the values of a record as text.
struct Text(String);

impl slog::Serializer for Text {
    fn emit_arguments(&mut self, key: slog::Key, value: &std::fmt::Arguments<'_>) -> slog::Result {
        write!(self.0, " {key}={value}").map_err(slog::Error::Fmt)
    }
}

impl Drain for ToTracing {
    type Ok = ();
    type Err = Never;

    fn log(&self, record: &Record<'_>, values: &OwnedKVList) -> Result<(), Never> {
        let wanted = match record.level() {
            Level::Critical | Level::Error => tracing::enabled!(tracing::Level::ERROR),
            // It warns of what happens in every group of a node whenever another node goes.
            Level::Warning | Level::Info | Level::Debug => tracing::enabled!(tracing::Level::DEBUG),
            Level::Trace => tracing::enabled!(tracing::Level::TRACE),
        };
        if !wanted {
            return Ok(());
        }
        let mut text = Text(record.msg().to_string());
        let serialized = values
            .serialize(record, &mut text)
            .and_then(|()| record.kv().serialize(record, &mut text));
        if serialized.is_err() {
            text.0.push_str(" (not all values could be shown)");
        }
        let text = text.0;
        match record.level() {
            Level::Critical | Level::Error => tracing::error!("{text}"),
            Level::Warning | Level::Info | Level::Debug => tracing::debug!("{text}"),
            Level::Trace => tracing::trace!("{text}"),
        }
        Ok(())
    }
}

/// What the loggers of all groups of the process have in common.
static ROOT: LazyLock<Logger> = LazyLock::new(|| Logger::root(ToTracing, slog::o!()));

/// A logger for the group's core. The crate adds the replica's id.
pub(super) fn logger(group: u32) -> Logger {
    ROOT.new(slog::o!("group" => group))
}
