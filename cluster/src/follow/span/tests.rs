//! Steps that are kept as they end.

use parking_lot::Mutex;

use super::super::{Request, follow};
use super::*;

/// Keeps what has ended; each look at its clock is a second later.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    now_s: AtomicU64,
    last: AtomicU64,
    spans: Mutex<Vec<Span>>,
}

impl Kept {
    /// One whose spans have ids that those of others do not have.
    pub(crate) fn of(node: u32) -> Arc<Self> {
        Arc::new(Self {
            last: AtomicU64::new(u64::from(node) << 32),
            ..Self::default()
        })
    }

    /// What has ended so far.
    pub(crate) fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }
}

impl Tracer for Kept {
    fn now(&self) -> Duration {
        Duration::from_secs(self.now_s.fetch_add(1, Ordering::Relaxed))
    }

    fn new_span(&self) -> SpanId {
        SpanId((self.last.fetch_add(1, Ordering::Relaxed) + 1).to_be_bytes())
    }

    fn ended(&self, span: Span) {
        self.spans.lock().push(span);
    }
}

/// The span that everything is a part of.
pub(crate) const ROOT: SpanId = SpanId([0xff; 8]);

fn traced(kept: &Arc<Kept>) -> Request {
    Request::default().traced(Some(kept.trace()))
}

impl Kept {
    /// A trace whose steps come here.
    pub(crate) fn trace(self: &Arc<Self>) -> (Trace, SpanId) {
        let trace = Trace {
            id: TraceId([7; 16]),
            tracer: Arc::clone(self) as Arc<dyn Tracer>,
        };
        (trace, ROOT)
    }
}

#[tokio::test]
async fn steps_that_go_on_by_turns_keep_their_parents() {
    let kept = Arc::<Kept>::default();
    let part = async |step: Step| {
        let span = open(step);
        inside(span.as_ref(), async {
            tokio::task::yield_now().await;
            let inner = open(Step::Read);
            tokio::task::yield_now().await;
            end(inner, &Ok::<_, ()>(()));
        })
        .await;
        end(span, &Err::<(), _>(()));
    };
    follow(traced(&kept), async {
        tokio::join!(part(Step::Decide), part(Step::Scan));
        let moved = super::super::carried(async { open(Step::Barrier).is_some() });
        assert!(tokio::spawn(moved).await.unwrap());
    })
    .await;
    let spans = kept.spans();
    let find = |step: Step| *spans.iter().find(|span| span.step == step).unwrap();
    let (decide, scan) = (find(Step::Decide), find(Step::Scan));
    let inner: Vec<_> = spans.iter().filter(|span| span.step == Step::Read).collect();
    let parents: Vec<_> = inner.iter().map(|span| span.parent).collect();
    assert_eq!(parents, [decide.id, scan.id]);
    assert_eq!(
        (decide.parent, scan.parent, find(Step::Barrier).parent),
        (ROOT, ROOT, ROOT)
    );
    // Dropped without a word, or ended with an error: both have failed.
    assert!(decide.failed && find(Step::Barrier).failed && !inner[0].failed);
    assert!(
        spans
            .iter()
            .all(|span| span.ended > span.begun && span.trace == TraceId([7; 16]))
    );
}

#[tokio::test]
async fn an_entry_tells_the_steps_that_it_has_taken() {
    let kept = Arc::<Kept>::default();
    follow(traced(&kept), async {
        let watch = watch().unwrap();
        watch.is_committed();
        watch.is_applied();
        watch.tell();
    })
    .await;
    let spans = kept.spans();
    let seconds = |span: &Span| (span.step, span.begun.as_secs(), span.ended.as_secs());
    let told: Vec<_> = spans.iter().map(seconds).collect();
    assert_eq!(
        told,
        [(Step::Commit, 0, 1), (Step::Apply, 1, 2)],
        "its own log was slower"
    );
}

#[tokio::test]
async fn of_a_request_that_is_not_traced_there_is_no_step() {
    assert!(open(Step::Read).is_none() && watch().is_none());
    follow(Request::default(), async {
        assert!(open(Step::Read).is_none() && watch().is_none());
        assert_eq!(inside(None, async { 7 }).await, 7);
    })
    .await;
}
