//! What goes with a request wherever it goes: its id, whether it is traced, and where its operations went and how long they took.
//!
//! A task that is busy with a request knows it ([`follow`]); whoever logs, asks another node or begins another task finds it there,
//! so that no call has to hand it on. Invariant: what is kept has a fixed size, however many operations there are, and of a request
//! that is neither followed nor traced nothing is measured. Not here: the steps of a trace (`follow/span.rs`), routes
//! (`coordinator/route.rs`), what is made of it.

mod span;

use std::cell::RefCell;
use std::sync::Arc;
use std::time::Duration;

use crate::ring::RangeId;
use crate::world::NodeId;

#[cfg(test)]
pub(crate) use self::span::tests::{Kept, ROOT};
pub(crate) use self::span::{OpenSpan, Watch, done, end, inside, open, watch};
pub use self::span::{Span, SpanId, Step, Trace, TraceId, Tracer};

/// The longest id of a request, in bytes.
pub const REQUEST_NAME_BYTES_MAX: usize = 64;

tokio::task_local! {
    static REQUEST: Request;
    /// The step that is being done at the moment; what begins now is a part of it.
    static CURRENT: SpanId;
}

/// A request's id, as lines of logs have it: up to [`REQUEST_NAME_BYTES_MAX`] letters, digits, `-` and `_`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestName {
    bytes: [u8; REQUEST_NAME_BYTES_MAX],
    length: usize,
}

impl RequestName {
    /// Of these bytes; `None` if they are none. They may come from another node.
    pub fn new(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; REQUEST_NAME_BYTES_MAX];
        let is_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_".contains(byte);
        if text.is_empty() || !text.iter().all(is_name) {
            return None;
        }
        bytes.get_mut(..text.len())?.copy_from_slice(text);
        Some(Self {
            bytes,
            length: text.len(),
        })
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.length).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

/// What a task knows of the request that it is busy with.
#[derive(Debug, Default)]
pub struct Request {
    name: Option<RequestName>,
    followed: RefCell<Option<Followed>>,
    trace: Option<Trace>,
    /// The step that everything is a part of.
    whole: SpanId,
}

impl Request {
    /// One with an id; neither followed nor traced.
    pub fn new(name: Option<RequestName>) -> Self {
        Self {
            name,
            ..Self::default()
        }
    }

    /// The same, followed if that is `wanted`.
    #[must_use]
    pub fn followed(self, wanted: bool) -> Self {
        Self {
            followed: RefCell::new(wanted.then(Followed::default)),
            ..self
        }
    }

    /// The same, with its trace, if it has one, and the span that the steps of this task are parts of.
    #[must_use]
    pub fn traced(self, trace: Option<(Trace, SpanId)>) -> Self {
        let (trace, span) = trace.unzip();
        Self {
            trace,
            whole: span.unwrap_or_default(),
            ..self
        }
    }

    /// One that another node has sent.
    pub(crate) fn of_origin(origin: &Origin, tracer: Option<&Arc<dyn Tracer>>) -> Self {
        let trace = tracer.zip(origin.trace).map(|(tracer, (id, span))| {
            let trace = Trace {
                id,
                tracer: Arc::clone(tracer),
            };
            (trace, span)
        });
        Self::new(origin.name).traced(trace)
    }
}

/// What is told other nodes of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Origin {
    /// Its id.
    pub(crate) name: Option<RequestName>,
    /// Its trace, and the step that the other node does a part of.
    pub(crate) trace: Option<(TraceId, SpanId)>,
}

/// What was seen of the operations of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Followed {
    /// Operations that were carried out or given up.
    pub operations: u32,
    /// How long they took together; those that went at the same time count each.
    pub took: Duration,
    /// The one that took longest.
    pub slowest: Option<Hop>,
}

/// An operation: where it went in the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hop {
    /// The token range; none for the metadata.
    pub range: Option<RangeId>,
    /// The node whose replica was asked last.
    pub node: NodeId,
    /// How many replicas were asked, one after the other.
    pub tries: usize,
    /// From the first try to the end of the last one.
    pub took: Duration,
}

/// Lets a task be busy with a request until the future ends.
pub fn follow<F: Future>(request: Request, answering: F) -> impl Future<Output = F::Output> {
    let whole = request.whole;
    REQUEST.scope(request, CURRENT.scope(whole, answering))
}

/// A future for another task that goes on with the request of this one: under its id and as a part of its trace. What it does is not
/// added to what is followed here.
pub(crate) fn carried<F: Future>(going_on: F) -> impl Future<Output = F::Output> {
    let request = seen(|request| {
        let trace = request.trace.clone().map(|trace| (trace, current()));
        Request::new(request.name).traced(trace)
    });
    follow(request.unwrap_or_default(), going_on)
}

/// The step that this task is doing.
fn current() -> SpanId {
    CURRENT.try_with(|current| *current).unwrap_or_default()
}

/// Looks at the request that this task is busy with, if it is.
fn seen<T>(look: impl FnOnce(&Request) -> T) -> Option<T> {
    REQUEST.try_with(look).ok()
}

/// Hands the id of the request to `use_it` that this task is busy with, if there is one.
pub fn with_name<T>(use_it: impl FnOnce(&str) -> T) -> Option<T> {
    let name = seen(|request| request.name).flatten()?;
    Some(use_it(name.as_str()))
}

/// What is to be told another node that does a part of `step`.
pub(crate) fn origin(step: Option<&OpenSpan>) -> Option<Origin> {
    let name = seen(|request| request.name).flatten();
    let trace = step.map(OpenSpan::place);
    (name.is_some() || trace.is_some()).then_some(Origin { name, trace })
}

/// What was seen so far of the request that this task is busy with; `None` when it is not followed.
pub fn followed() -> Option<Followed> {
    seen(|request| *request.followed.borrow()).flatten()
}

/// Whether somebody wants to know.
pub(crate) fn is_followed() -> bool {
    followed().is_some()
}

/// Adds an operation that is over.
pub(crate) fn note(hop: Hop) {
    let note = |request: &Request| {
        let mut followed = request.followed.borrow_mut();
        let Some(followed) = &mut *followed else { return };
        followed.operations = followed.operations.saturating_add(1);
        followed.took = followed.took.saturating_add(hop.took);
        if followed.slowest.is_none_or(|slowest| slowest.took < hop.took) {
            followed.slowest = Some(hop);
        }
    };
    // Nobody wants to know otherwise.
    seen(note).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hop(node: u64, took_ms: u64) -> Hop {
        Hop {
            range: Some(RangeId(7)),
            node: NodeId(node),
            tries: 1,
            took: Duration::from_millis(took_ms),
        }
    }

    #[tokio::test]
    async fn a_request_that_is_followed_has_the_sum_and_the_slowest_of_its_operations() {
        let request = |wanted| Request::default().followed(wanted);
        let seen = follow(request(true), async {
            for (node, took_ms) in [(1, 5), (2, 30), (3, 10)] {
                tokio::task::yield_now().await;
                note(hop(node, took_ms));
            }
            followed()
        });
        let (seen, other, unwanted) = tokio::join!(
            seen,
            follow(request(true), async { followed() }),
            follow(request(false), async { followed() })
        );
        let expected = Followed {
            operations: 3,
            took: Duration::from_millis(45),
            slowest: Some(hop(2, 30)),
        };
        assert_eq!(seen, Some(expected));
        assert_eq!((other, unwanted), (Some(Followed::default()), None));
    }

    #[test]
    fn nothing_is_recorded_of_a_request_that_is_not_followed() {
        note(hop(1, 1));
        assert!(!is_followed());
        assert_eq!(followed(), None);
        assert_eq!((origin(None), with_name(str::len)), (None, None));
    }

    #[test]
    fn names_are_short_and_plain() {
        let longest = [b'A'; REQUEST_NAME_BYTES_MAX];
        assert_eq!(RequestName::new(&longest).unwrap().as_str().as_bytes(), longest);
        for refused in [
            &b""[..],
            b"a b",
            b"a\n",
            b"\xff",
            &[b'A'; REQUEST_NAME_BYTES_MAX + 1],
        ] {
            assert_eq!(RequestName::new(refused), None, "{refused:?}");
        }
    }

    #[tokio::test]
    async fn another_task_goes_on_under_the_id() {
        let name = RequestName::new(b"REQUEST-1").unwrap();
        let told = follow(Request::new(Some(name)), async {
            let carried = carried(async { with_name(str::to_owned) });
            let (carried, bare) = (
                tokio::spawn(carried),
                tokio::spawn(async { with_name(str::to_owned) }),
            );
            (carried.await.unwrap(), bare.await.unwrap(), origin(None))
        });
        let expected = Origin {
            name: Some(name),
            trace: None,
        };
        assert_eq!(told.await, (Some("REQUEST-1".to_owned()), None, Some(expected)));
    }
}
