//! The log: lines on standard error, as text or as JSON, each with the request that has caused it.
//!
//! Invariant: a line that is written while a request is answered has its id (`request_id`), whoever writes it, on whichever node
//! (`stator_cluster::follow`); a request that causes no line pays for nothing but the change of its task's context. What `STATOR_LOG` says is what is logged. Not here: the audit log
//! (`audit.rs`).

use std::fmt;
use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Map, Value};
use stator_cluster::follow::with_name;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::format::{DefaultFields, Writer};
use tracing_subscriber::fmt::time::{FormatTime as _, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, MakeWriter};
use tracing_subscriber::registry::LookupSpan;

/// Says what is logged.
const FILTER: &str = "STATOR_LOG";
/// The name of a request's id in a line.
const REQUEST_ID: &str = "request_id";

/// `[log]`
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LogSettings {
    /// How lines look.
    pub(crate) format: LogFormat,
    /// A request that takes so many milliseconds is logged with where they went; 0 for none.
    pub(crate) slow_request_ms: u32,
}

impl Default for LogSettings {
    fn default() -> Self {
        Self {
            format: LogFormat::default(),
            slow_request_ms: 1_000,
        }
    }
}

impl LogSettings {
    /// From when on a request is slow.
    pub(crate) fn slow_request(self) -> Option<Duration> {
        let ms = u64::from(self.slow_request_ms);
        (ms > 0).then(|| Duration::from_millis(ms))
    }
}

/// How lines look.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub(crate) enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One object a line, for programs
    Json,
}

/// Begins to log to standard error, in colors if somebody looks at it there who wants some (<https://no-color.org>).
pub(crate) fn start(format: LogFormat) {
    let wants_colors = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    let in_colors = wants_colors && std::io::stderr().is_terminal();
    let subscriber = subscriber(format, in_colors, std::io::stderr);
    if tracing::subscriber::set_global_default(subscriber).is_err() {
        tracing::debug!("the log was begun already");
    }
}

/// What takes lines to a writer.
fn subscriber<W>(format: LogFormat, in_colors: bool, writer: W) -> Box<dyn Subscriber + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = EnvFilter::try_from_env(FILTER).unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(in_colors)
        .with_writer(writer);
    match format {
        LogFormat::Text => Box::new(
            builder
                .with_target(false)
                .fmt_fields(TextFields::default())
                .finish(),
        ),
        LogFormat::Json => Box::new(builder.event_format(JsonLine).finish()),
    }
}

/// Fields as they are written by default, and the id of the request behind them.
#[derive(Debug, Default)]
struct TextFields(DefaultFields);

impl<'w> FormatFields<'w> for TextFields {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        self.0.format_fields(writer.by_ref(), fields)?;
        with_name(|id| write!(writer, " {REQUEST_ID}={id}")).unwrap_or(Ok(()))
    }
}

/// Lines of JSON: `timestamp`, `level`, `target`, `message`, `request_id`, and the line's own fields.
#[derive(Debug)]
struct JsonLine;

impl<S, N> FormatEvent<S, N> for JsonLine
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut line = Fields::default();
        event.record(&mut line);
        let mut timestamp = String::new();
        SystemTime.format_time(&mut Writer::new(&mut timestamp))?;
        let metadata = event.metadata();
        let mut add = |name: &str, value: String| line.0.insert(name.to_owned(), value.into());
        add("timestamp", timestamp);
        add("level", metadata.level().to_string());
        add("target", metadata.target().to_owned());
        with_name(|id| add(REQUEST_ID, id.to_owned()));
        writeln!(writer, "{}", Value::Object(line.0))
    }
}

/// The fields of an event.
#[derive(Default)]
struct Fields(Map<String, Value>);

impl Fields {
    fn add(&mut self, field: &Field, value: impl Into<Value>) {
        self.0.insert(field.name().to_owned(), value.into());
    }
}

impl Visit for Fields {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.add(field, value);
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.add(field, value);
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.add(field, value);
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.add(field, value);
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.add(field, value);
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.add(field, format!("{value:?}"));
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::io;
    use std::sync::Arc;

    use parking_lot::Mutex;
    use stator_cluster::follow::{Request, follow};
    use tracing::subscriber::DefaultGuard;

    use super::*;
    use crate::request_id::{RequestId, RequestIds};

    /// Lines that were logged.
    #[derive(Debug, Clone, Default)]
    pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    impl Lines {
        /// Takes what this thread logs until the guard is dropped.
        pub(crate) fn take(format: LogFormat) -> (Self, DefaultGuard) {
            let lines = Self::default();
            let writer = lines.clone();
            let subscriber = subscriber(format, false, move || writer.clone());
            (lines, tracing::subscriber::set_default(subscriber))
        }

        pub(crate) fn text(&self) -> String {
            String::from_utf8(self.0.lock().clone()).unwrap()
        }

        /// The lines as JSON.
        pub(crate) fn json(&self) -> Vec<Value> {
            let text = self.text();
            text.lines()
                .map(|line| serde_json::from_str(line).unwrap())
                .collect()
        }
    }

    /// Answers a request.
    fn of_request<F: Future>(id: RequestId, answering: F) -> impl Future<Output = F::Output> {
        follow(Request::new(id.name()), answering)
    }

    #[tokio::test]
    async fn lines_of_json_have_their_fields_and_the_request() {
        let (lines, guard) = Lines::take(LogFormat::Json);
        let id = RequestIds::new([1, 2, 3, 4]).next();
        let error = io::Error::other("a \"quoted\"\nthing");
        of_request(id, async {
            tokio::task::yield_now().await;
            tracing::warn!(%error, count = 3, ok = true, took = 0.5, "something {}", "happened");
        })
        .await;
        tracing::info!("nobody has asked");
        tracing::debug!("not told");
        drop(guard);
        let lines = lines.json();
        let [one, two] = lines.as_slice() else {
            unreachable!("{lines:?}")
        };
        let timestamp = one["timestamp"].as_str().unwrap();
        assert!(
            timestamp.starts_with("20") && timestamp.ends_with('Z'),
            "{timestamp}"
        );
        let expected = serde_json::json!({"timestamp": timestamp, "level": "WARN", "target": "stator::log::tests",
            "message": "something happened", "error": "a \"quoted\"\nthing", "count": 3, "ok": true, "took": 0.5,
            "request_id": id.as_str()});
        assert_eq!(one, &expected);
        assert_eq!(
            (&two["message"], two.get("request_id")),
            (&"nobody has asked".into(), None)
        );
    }

    #[tokio::test]
    async fn lines_of_text_end_with_the_request() {
        let (lines, guard) = Lines::take(LogFormat::Text);
        let id = RequestIds::new([1, 2, 3, 4]).next();
        of_request(id, async { tracing::warn!(count = 3, "something") }).await;
        tracing::info!("nobody has asked");
        drop(guard);
        let text = lines.text();
        let lines: Vec<&str> = text.lines().collect();
        assert!(lines[0].ends_with(id.as_str()), "{text}");
        assert!(
            lines[0].contains("something") && lines[0].contains("request_id"),
            "{text}"
        );
        assert!(lines[1].ends_with("nobody has asked"), "{text}");
    }

    #[test]
    fn settings_are_read_and_unknown_ones_refused() {
        let read = |text: &str| toml::from_str::<LogSettings>(text);
        assert_eq!(read("").unwrap(), LogSettings::default());
        let json = read("format = \"json\"\nslow_request_ms = 0").unwrap();
        assert_eq!((json.format, json.slow_request()), (LogFormat::Json, None));
        assert!(read("format = \"xml\"").is_err());
        assert!(read("slow_ms = 1").is_err());
    }
}
