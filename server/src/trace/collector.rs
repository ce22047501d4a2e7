//! Sends spans to a collector, many at a time, by a task of its own.
//!
//! Invariant: a batch is tried a few times when that may help, and then dropped and counted; nothing waits for it but what is in
//! the queue behind it. At the end of the node each batch is tried once. Source: OpenTelemetry Protocol Specification, "OTLP/HTTP"
//! (which answers may be tried again, partial success).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST, RETRY_AFTER};
use http::{HeaderMap, HeaderName, HeaderValue, Request, StatusCode, Uri};
use http_body_util::Full;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceResponse;
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use rustls::ClientConfig;
use stator_cluster::World;
use tokio::sync::{mpsc, watch};

use super::{Ended, TraceCounters, TracingSettings, otlp};
use crate::clock::Clock;
use crate::https::{self, BoxError};

/// Spans of one request.
const BATCH_SPANS_MAX: usize = 512;
/// So often a batch is tried.
const TRIES: u32 = 5;
/// At the end of the node another try follows at once, and no third one: what was refused for a moment is not lost.
const TRIES_AT_END: u32 = 2;
/// A wall clock that is so many nanoseconds off was set.
const CLOCK_SET_NS: u64 = 5_000_000;
/// How long a look at both clocks may take.
const LOOK_MAX: Duration = Duration::from_millis(1);
/// The longest pause between two tries.
const PAUSE_MAX: Duration = Duration::from_secs(30);

/// Whose spans they are.
#[derive(Debug, Clone)]
pub(crate) struct Described {
    /// The number of the node.
    pub(crate) node: u64,
    /// The id of its cluster.
    pub(crate) cluster: String,
}

/// Where spans are sent.
#[derive(Debug, Clone)]
pub(crate) struct Destination {
    uri: Uri,
    headers: HeaderMap,
    tls: Option<Arc<ClientConfig>>,
    timeout: Duration,
}

impl Destination {
    /// What settings say, with the headers that the collector wants and TLS for an `https` endpoint.
    ///
    /// # Errors
    /// A sentence, for an endpoint that is none.
    pub(crate) fn new(
        settings: &TracingSettings,
        mut headers: HeaderMap,
        tls: Option<Arc<ClientConfig>>,
    ) -> Result<Self, String> {
        let endpoint = settings.endpoint.trim_end_matches('/');
        let uri: Uri = format!("{endpoint}/v1/traces")
            .parse()
            .map_err(|error| format!("`{endpoint}` is no endpoint: {error}"))?;
        let host = uri.authority().map_or("", |authority| authority.as_str());
        let host = HeaderValue::from_str(host).map_err(|error| format!("`{host}` is no host: {error}"))?;
        headers.insert(HOST, host);
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-protobuf"));
        Ok(Self {
            uri,
            headers,
            tls,
            timeout: settings.timeout(),
        })
    }
}

/// The headers that a file says: a `name: value` a line; empty lines and those that begin with `#` say nothing.
///
/// # Errors
/// A sentence that names the line and not its value, which may be a secret.
pub(crate) fn headers_of(file: &str) -> Result<HeaderMap, String> {
    let mut headers = HeaderMap::new();
    for (line, number) in file.lines().zip(1..) {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let wrong = || format!("line {number} is no header: write `name: value`");
        let (name, value) = line.split_once(':').ok_or_else(wrong)?;
        let name: HeaderName = name.trim().parse().map_err(|_| wrong())?;
        let mut value = HeaderValue::from_str(value.trim()).map_err(|_| wrong())?;
        value.set_sensitive(true);
        headers.append(name, value);
    }
    Ok(headers)
}

/// See the head of the file.
pub(super) struct Collector {
    pub(super) waiting: mpsc::Receiver<Ended>,
    pub(super) stopping: watch::Receiver<bool>,
    pub(super) destination: Destination,
    pub(super) resource: Resource,
    pub(super) interval: Duration,
    pub(super) counters: Arc<TraceCounters>,
    pub(super) world: Arc<dyn World>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) epoch: Epoch,
}

/// The Unix time, in nanoseconds, at which the steady clock was zero. It stays until the wall clock was set, so that the spans of a
/// trace lie within each other whatever batch they are in.
#[derive(Debug, Default)]
pub(super) struct Epoch(u64);

impl Epoch {
    /// Looks whether the wall clock was set. A look that took long says nothing.
    fn look(&mut self, world: &dyn World, clock: &dyn Clock) {
        let (before, unix_ns, after) = (world.now(), clock.now_ns(), world.now());
        let now = u64::try_from(after.as_nanos()).unwrap_or(u64::MAX);
        let found = unix_ns.saturating_sub(now);
        let is_set = found.abs_diff(self.0) > CLOCK_SET_NS && after.saturating_sub(before) < LOOK_MAX;
        if is_set || self.0 == 0 {
            self.0 = found;
        }
    }
}

/// What has come of a try.
enum Outcome {
    /// All but so many were taken.
    Taken(u64),
    /// Another try may help, after this time if the collector has said one.
    Later(String, Option<Duration>),
    /// No other try will.
    Never(String),
}

impl Collector {
    /// Sends until it is told to stop and nothing waits any more.
    pub(super) async fn run(mut self) {
        let mut is_silent = false;
        loop {
            let batch = self.gather().await;
            if batch.is_empty() {
                return;
            }
            let failure = self.deliver(&batch).await;
            if let (Some(cause), false) = (&failure, is_silent) {
                tracing::warn!(
                    cause,
                    "the collector of traces has not taken spans; they are dropped"
                );
            }
            if failure.is_none() && is_silent {
                tracing::info!("the collector of traces takes spans again");
            }
            is_silent = failure.is_some();
        }
    }

    /// What is to be sent next: all that comes within the interval, or as much as is sent at once. Nothing at the end.
    async fn gather(&mut self) -> Vec<Ended> {
        let mut batch = Vec::new();
        let (world, mut until) = (&self.world, None);
        while batch.len() < BATCH_SPANS_MAX {
            let is_over = async {
                match until {
                    Some(until) => world.sleep(Duration::saturating_sub(until, world.now())).await,
                    None => std::future::pending().await,
                }
            };
            let mut stopping = self.stopping.clone();
            tokio::select! {
                ended = self.waiting.recv() => match ended {
                    Some(ended) => {
                        batch.push(ended);
                        until.get_or_insert_with(|| world.now() + self.interval);
                    }
                    None => break,
                },
                () = is_over => break,
                () = stopped(&mut stopping), if !self.waiting.is_closed() => self.waiting.close(),
            }
        }
        batch
    }

    /// Sends a batch, in several tries if need be; says why it was dropped if it was.
    async fn deliver(&mut self, batch: &[Ended]) -> Option<String> {
        let count = |counter: &AtomicU64, count: u64| counter.fetch_add(count, Ordering::Relaxed);
        let spans = u64::try_from(batch.len()).unwrap_or(u64::MAX);
        self.epoch.look(&*self.world, &*self.clock);
        let body = Bytes::from(otlp::request(&self.resource, batch, self.epoch.0).encode_to_vec());
        let mut tries = 0;
        let cause = loop {
            tries += 1;
            let (cause, pause) = match self.post(body.clone()).await {
                Outcome::Taken(refused) => {
                    count(&self.counters.sent, spans.saturating_sub(refused));
                    count(&self.counters.not_taken, refused.min(spans));
                    return (refused > 0).then(|| format!("the collector has refused {refused} spans"));
                }
                Outcome::Never(cause) => break cause,
                Outcome::Later(cause, pause) => (cause, pause),
            };
            let tries_max = if *self.stopping.borrow() {
                TRIES_AT_END
            } else {
                TRIES
            };
            if tries >= tries_max {
                break cause;
            }
            let pause = pause
                .unwrap_or(Duration::from_secs(1 << tries.min(5)))
                .min(PAUSE_MAX);
            tokio::select! {
                () = self.world.sleep(pause) => {}
                () = stopped(&mut self.stopping) => {}
            }
        };
        count(&self.counters.not_taken, spans);
        Some(cause)
    }

    async fn post(&self, body: Bytes) -> Outcome {
        let Destination {
            uri, tls, timeout, ..
        } = &self.destination;
        let answer = match self.request(body) {
            Ok(request) => https::fetch(uri, tls.as_ref(), request, *timeout).await,
            Err(error) => return Outcome::Never(error.to_string()),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Outcome::Later(error.to_string(), None),
        };
        match answer.status() {
            status if status.is_success() => {
                // An answer that is no message says nothing of what was refused.
                let told = ExportTraceServiceResponse::decode(answer.into_body()).unwrap_or_default();
                let refused = told.partial_success.map_or(0, |partial| partial.rejected_spans);
                Outcome::Taken(u64::try_from(refused).unwrap_or(0))
            }
            status @ (StatusCode::TOO_MANY_REQUESTS
            | StatusCode::BAD_GATEWAY
            | StatusCode::SERVICE_UNAVAILABLE
            | StatusCode::GATEWAY_TIMEOUT) => {
                let after = answer.headers().get(RETRY_AFTER);
                let seconds = after.and_then(|after| after.to_str().ok()?.parse().ok());
                Outcome::Later(status.to_string(), seconds.map(Duration::from_secs))
            }
            status => Outcome::Never(status.to_string()),
        }
    }

    fn request(&self, body: Bytes) -> Result<Request<Full<Bytes>>, BoxError> {
        let Destination { uri, headers, .. } = &self.destination;
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let mut request = Request::post(path).body(Full::new(body))?;
        request.headers_mut().clone_from(headers);
        Ok(request)
    }
}

/// Is ready once the node ends.
async fn stopped(stopping: &mut watch::Receiver<bool>) {
    // Without a sender nobody is left who could end more spans.
    drop(stopping.wait_for(|is_stopping| *is_stopping).await);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_read_and_no_message_has_their_values() {
        let headers =
            headers_of("# of the collector\n\nAuthorization: Bearer a:b\nx-scope:  one \n").unwrap();
        assert_eq!(
            (headers["authorization"].as_bytes(), headers["x-scope"].as_bytes()),
            (&b"Bearer a:b"[..], &b"one"[..])
        );
        assert!(headers.values().all(HeaderValue::is_sensitive));
        for wrong in ["Bearer secret", "a b: secret", "ok: yes\nname: secret\u{1}"] {
            let said = headers_of(wrong).unwrap_err();
            assert!(said.starts_with("line ") && !said.contains("secret"), "{said}");
        }
    }

    #[derive(Debug)]
    struct Set(AtomicU64);

    impl Clock for Set {
        fn now_ms(&self) -> i64 {
            0
        }

        fn now_ns(&self) -> u64 {
            self.0.load(Ordering::Relaxed)
        }
    }

    #[tokio::test]
    async fn times_follow_a_wall_clock_that_was_set() {
        let (world, mut epoch) = (crate::node::world().unwrap(), Epoch::default());
        let clock = Set(AtomicU64::new(1 << 60));
        epoch.look(&*world, &clock);
        let first = epoch.0;
        assert!(first > (1 << 60) - (1 << 59));
        clock.0.fetch_add(1_000_000_000_000, Ordering::Relaxed);
        // A look may be interrupted.
        while epoch.0 == first {
            epoch.look(&*world, &clock);
        }
        assert!(epoch.0 > first + 900_000_000_000);
    }

    #[test]
    fn spans_are_posted_behind_the_endpoint() {
        let of = |endpoint: &str| {
            let settings = TracingSettings::of_endpoint(endpoint);
            Destination::new(&settings, HeaderMap::new(), None).unwrap()
        };
        let destination = of("http://collector:4318/");
        assert_eq!(destination.uri, "http://collector:4318/v1/traces");
        assert_eq!(destination.headers["host"], "collector:4318");
        assert_eq!(of("http://collector/otlp").uri.path(), "/otlp/v1/traces");
    }
}
