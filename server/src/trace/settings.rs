//! `[tracing]`

use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;

/// Most spans that may wait: about 300 bytes each.
const QUEUE_SPANS_MAX: usize = 1 << 20;

/// Where traces go, and of which requests they are. There are none without the section.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TracingSettings {
    /// A collector that speaks OTLP, like `http://127.0.0.1:4318`; spans are posted to `/v1/traces` behind it.
    pub(crate) endpoint: String,
    /// How it is spoken.
    #[serde(default)]
    pub(crate) protocol: Protocol,
    /// Which share of the requests is traced whose clients have not said whether they are; from 0 to 1.
    #[serde(default = "sample_ratio")]
    pub(crate) sample_ratio: f64,
    /// The name of the service in traces.
    #[serde(default = "service_name")]
    pub(crate) service_name: String,
    /// A file of headers that the collector wants, a `name: value` a line.
    pub(crate) headers: Option<PathBuf>,
    /// The authorities that may vouch for an `https` endpoint, PEM.
    pub(crate) certificate_authority: Option<PathBuf>,
    /// How long the collector may take for one request.
    #[serde(default = "timeout_ms")]
    timeout_ms: u32,
    /// How long a span waits for others at most before it is sent.
    #[serde(default = "interval_ms")]
    interval_ms: u32,
    /// So many spans may wait; more are dropped.
    #[serde(default = "queue_spans_max")]
    pub(crate) queue_spans_max: NonZeroUsize,
    /// How long the end of the node waits for the collector.
    #[serde(default = "shutdown_timeout_ms")]
    shutdown_timeout_ms: u32,
}

/// How a collector is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
pub(crate) enum Protocol {
    /// Protobuf messages over HTTP/1.1.
    #[default]
    #[serde(rename = "http/protobuf")]
    HttpProtobuf,
}

fn sample_ratio() -> f64 {
    0.01
}

fn service_name() -> String {
    "stator".to_owned()
}

/// As OpenTelemetry has it (`OTEL_EXPORTER_OTLP_TIMEOUT`).
fn timeout_ms() -> u32 {
    10_000
}

/// As OpenTelemetry has it (`OTEL_BSP_SCHEDULE_DELAY`).
fn interval_ms() -> u32 {
    5_000
}

fn queue_spans_max() -> NonZeroUsize {
    NonZeroUsize::MIN.saturating_add(16_383)
}

fn shutdown_timeout_ms() -> u32 {
    3_000
}

impl TracingSettings {
    /// How long one request to the collector may take.
    pub(crate) fn timeout(&self) -> Duration {
        Duration::from_millis(self.timeout_ms.into())
    }

    pub(super) fn interval(&self) -> Duration {
        Duration::from_millis(self.interval_ms.into())
    }

    pub(super) fn shutdown_timeout(&self) -> Duration {
        Duration::from_millis(self.shutdown_timeout_ms.into())
    }

    /// What names files.
    pub(crate) fn paths(&mut self) -> impl Iterator<Item = &mut PathBuf> {
        self.headers.iter_mut().chain(&mut self.certificate_authority)
    }

    /// What is out of range or does not fit together, in words.
    pub(crate) fn problem(&self) -> Option<String> {
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return Some(format!(
                "sample_ratio is {}, must be from 0 to 1",
                self.sample_ratio
            ));
        }
        if self.queue_spans_max.get() > QUEUE_SPANS_MAX {
            let max = self.queue_spans_max;
            return Some(format!(
                "queue_spans_max is {max}, must be at most {QUEUE_SPANS_MAX}"
            ));
        }
        if self.timeout_ms == 0 || self.interval_ms == 0 {
            return Some("timeout_ms and interval_ms must be at least 1".to_owned());
        }
        let endpoint = self.endpoint.as_str();
        let uri = endpoint.parse::<Uri>().ok();
        let scheme = uri
            .as_ref()
            .filter(|uri| uri.host().is_some())
            .and_then(Uri::scheme_str);
        match (scheme, &self.certificate_authority) {
            (Some("http"), None) | (Some("https"), Some(_)) => None,
            (Some("http"), Some(_)) => Some("an http endpoint has no certificate_authority".to_owned()),
            (Some("https"), None) => Some(
                "an https endpoint needs a certificate_authority, such as /etc/ssl/certs/ca-certificates.crt"
                    .to_owned(),
            ),
            _ => Some(format!("`{endpoint}` is no endpoint: write http://host:port")),
        }
    }
}

#[cfg(test)]
impl TracingSettings {
    /// All there is, with nothing but an endpoint said.
    pub(crate) fn of_endpoint(endpoint: &str) -> Self {
        toml::from_str(&format!("endpoint = \"{endpoint}\"")).unwrap()
    }

    /// The same with another ratio, and so short an interval that tests need not wait.
    pub(crate) fn for_tests(endpoint: &str, sample_ratio: f64) -> Self {
        Self {
            sample_ratio,
            interval_ms: 10,
            ..Self::of_endpoint(endpoint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(text: &str) -> Option<String> {
        toml::from_str::<TracingSettings>(text).unwrap().problem()
    }

    #[test]
    fn settings_are_read_checked_and_unknown_ones_refused() {
        let settings = TracingSettings::of_endpoint("http://127.0.0.1:4318");
        assert_eq!(
            (settings.problem(), settings.protocol),
            (None, Protocol::HttpProtobuf)
        );
        assert_eq!(
            (settings.timeout(), settings.interval()),
            (Duration::from_secs(10), Duration::from_secs(5))
        );
        let good =
            "endpoint = \"https://collector:4318/otlp\"\ncertificate_authority = \"ca.pem\"\nheaders = \"h\"";
        assert_eq!(problem(good), None);
        for (wrong, word) in [
            ("endpoint = \"collector:4318\"", "no endpoint"),
            ("endpoint = \"grpc://collector:4317\"", "no endpoint"),
            ("endpoint = \"https://collector\"", "certificate_authority"),
            (
                "endpoint = \"http://c\"\ncertificate_authority = \"ca.pem\"",
                "certificate_authority",
            ),
            ("endpoint = \"http://c\"\nsample_ratio = 1.5", "sample_ratio"),
            ("endpoint = \"http://c\"\nsample_ratio = nan", "sample_ratio"),
            (
                "endpoint = \"http://c\"\nqueue_spans_max = 2000000",
                "queue_spans_max",
            ),
            ("endpoint = \"http://c\"\ninterval_ms = 0", "interval_ms"),
        ] {
            let said = problem(wrong).unwrap_or_default();
            assert!(said.contains(word), "{wrong}: {said}");
        }
        let read = |text: &str| toml::from_str::<TracingSettings>(text).is_ok();
        assert!(!read("") && !read("endpoint = \"http://c\"\nsampling = 1"));
        assert!(
            !read("endpoint = \"http://c\"\nprotocol = \"grpc\"")
                && !read("endpoint = \"http://c\"\nqueue_spans_max = 0")
        );
    }
}
