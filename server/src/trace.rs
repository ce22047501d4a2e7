//! Traces in OpenTelemetry's terms: which requests are traced, and where their spans go.
//!
//! A request is traced if the client says so in its `traceparent`, or else if its share of all requests falls on it. Its spans are
//! made by whoever does a step (`stator_cluster::follow`, `http/audit/pending.rs`), wait in a bounded queue, and are sent by a task
//! of their own (`trace/collector.rs`). Invariant: no request waits for the collector, and one that is not traced costs a look at a
//! header and a counter: nothing is allocated, no lock is taken. What finds no room is dropped and counted. Not here: the bytes
//! (`trace/otlp.rs`).

mod collector;
mod otlp;
mod parent;
mod settings;
#[cfg(test)]
mod tests;

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::HeaderMap;
use parking_lot::Mutex;
use stator_cluster::World;
use stator_cluster::follow::{Span, SpanId, Trace, TraceId, Tracer};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use self::collector::{Collector, Epoch};
pub(crate) use self::collector::{Described, Destination, headers_of};
use self::parent::Parent;
pub(crate) use self::settings::TracingSettings;
use crate::clock::Clock;
use crate::request_id::{RequestId, mix};

/// Something that has ended.
#[derive(Debug)]
enum Ended {
    Step(Span),
    Request(Box<RequestSpan>),
}

/// A request that was answered, or given up.
#[derive(Debug)]
pub(crate) struct RequestSpan {
    pub(crate) root: Root,
    pub(crate) id: RequestId,
    /// When it came and when it was answered, by the node's steady clock.
    pub(crate) begun: Duration,
    pub(crate) ended: Duration,
    /// What it asked for.
    pub(crate) operation: Option<&'static str>,
    pub(crate) table: Option<String>,
    /// The status of its answer and the code of the error in it.
    pub(crate) status: u16,
    pub(crate) error: Option<&'static str>,
    /// The version of HTTP, such as `1.1`.
    pub(crate) http_version: &'static str,
    pub(crate) is_encrypted: bool,
    pub(crate) client: Option<IpAddr>,
    pub(crate) user_agent: Option<String>,
    /// What systems of the client have noted of the trace.
    pub(crate) state: Option<String>,
}

/// What has become of spans.
#[derive(Debug, Default)]
pub(crate) struct TraceCounters {
    /// The collector has taken them.
    pub(crate) sent: AtomicU64,
    /// The queue was full.
    pub(crate) queue_full: AtomicU64,
    /// The collector has refused them, or was not to be reached.
    pub(crate) not_taken: AtomicU64,
}

/// Where a trace begins on this node. It goes with the request, if that is traced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) trace: TraceId,
    /// The span of the request.
    pub(crate) span: SpanId,
    /// The client's span, if it has said one.
    pub(crate) parent: Option<SpanId>,
}

impl Root {
    /// What systems of the client have noted of the trace, if it is the client's.
    pub(crate) fn state(self, headers: &HeaderMap) -> Option<String> {
        self.parent.and_then(|_| parent::state_of(headers))
    }
}

/// See the head of the file. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct Traces(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    world: Arc<dyn World>,
    seed: [u64; 3],
    drawn: AtomicU64,
    /// A trace is recorded if the second half of its id, without its last bit, is below: of 2^63.
    below: u64,
    queue: mpsc::Sender<Ended>,
    counters: Arc<TraceCounters>,
    stop: watch::Sender<bool>,
    sending: Mutex<Option<JoinHandle<()>>>,
    patience: Duration,
}

impl Traces {
    /// Begins to send. To be called inside of a runtime. `described` says whose spans they are.
    pub(crate) fn start(
        settings: &TracingSettings,
        destination: Destination,
        described: &Described,
        (world, clock): (Arc<dyn World>, Arc<dyn Clock>),
    ) -> Self {
        let (queue, waiting) = mpsc::channel(settings.queue_spans_max.get());
        let (stop, stopping) = watch::channel(false);
        let counters = Arc::<TraceCounters>::default();
        let collector = Collector {
            waiting,
            stopping,
            destination,
            resource: otlp::resource(&settings.service_name, described),
            interval: settings.interval(),
            counters: Arc::clone(&counters),
            world: Arc::clone(&world),
            clock,
            epoch: Epoch::default(),
        };
        let sending = tokio::spawn(collector.run());
        Self(Arc::new(Shared {
            seed: [(); 3].map(|()| world.random_u64()),
            world,
            drawn: AtomicU64::new(0),
            below: threshold(settings.sample_ratio),
            queue,
            counters,
            stop,
            sending: Mutex::new(Some(sending)),
            patience: settings.shutdown_timeout(),
        }))
    }

    /// Whether a request is traced, and where its trace begins: as the client has decided, or else as its share falls.
    pub(crate) fn begin(&self, headers: &HeaderMap) -> Option<Root> {
        let shared = &self.0;
        let (trace, parent, is_sampled) = if let Some(parent) = Parent::of(headers) {
            (parent.trace, Some(parent.span), parent.is_sampled)
        } else {
            let (trace, is_sampled) = shared.new_trace();
            (trace, None, is_sampled)
        };
        is_sampled.then(|| Root {
            trace,
            span: shared.new_span(),
            parent,
        })
    }

    /// What the steps of a request are told of its trace.
    pub(crate) fn of(&self, root: Root) -> (Trace, SpanId) {
        let trace = Trace {
            id: root.trace,
            tracer: self.tracer(),
        };
        (trace, root.span)
    }

    /// Who gets the steps of this node.
    pub(crate) fn tracer(&self) -> Arc<dyn Tracer> {
        Arc::clone(&self.0) as Arc<dyn Tracer>
    }

    /// A request has been answered.
    pub(crate) fn answered(&self, request: RequestSpan) {
        self.0.offer(Ended::Request(Box::new(request)));
    }

    /// What has become of spans.
    pub(crate) fn counters(&self) -> &TraceCounters {
        &self.0.counters
    }

    /// Sends what waits, as far as there is time. What comes later is dropped.
    pub(crate) async fn close(&self) {
        self.0.stop.send_replace(true);
        let sending = self.0.sending.lock().take();
        let Some(mut sending) = sending else { return };
        if tokio::time::timeout(self.0.patience, &mut sending).await.is_err() {
            sending.abort();
            tracing::warn!("the collector of traces has not taken all spans in time; the rest is dropped");
        }
    }
}

/// Below which number of 2^63 so large a share of all numbers lies.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "the ratio is from 0 to 1, and a float's conversion saturates"
)]
fn threshold(ratio: f64) -> u64 {
    (ratio.clamp(0.0, 1.0) * 9_223_372_036_854_775_808.0) as u64
}

impl Shared {
    /// An id, and whether its share falls on it. The same rule as OpenTelemetry's sampler `TraceIdRatioBased`, so that nodes and
    /// clients with one ratio agree.
    fn new_trace(&self) -> (TraceId, bool) {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let [high, low, _] = self.seed;
        let (high, low) = (mix(high.wrapping_add(drawn)), mix(low.wrapping_add(drawn)));
        let mut id = [0; 16];
        id[..8].copy_from_slice(&high.to_be_bytes());
        // Never all zero.
        id[8..].copy_from_slice(&low.max(1).to_be_bytes());
        (TraceId(id), low.max(1) >> 1 < self.below)
    }

    fn offer(&self, ended: Ended) {
        if self.queue.try_send(ended).is_err() {
            self.counters.queue_full.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Tracer for Shared {
    fn now(&self) -> Duration {
        self.world.now()
    }

    fn new_span(&self) -> SpanId {
        let drawn = self.drawn.fetch_add(1, Ordering::Relaxed);
        let [.., seed] = self.seed;
        SpanId(mix(seed.wrapping_add(drawn)).max(1).to_be_bytes())
    }

    fn ended(&self, span: Span) {
        self.offer(Ended::Step(span));
    }
}
