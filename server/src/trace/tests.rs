//! Traces of requests, as a collector gets them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Body;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use http::{HeaderMap, HeaderValue, StatusCode};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use parking_lot::Mutex;
use prost::Message as _;
use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tower::ServiceExt as _;

use super::*;
use crate::auth::{self, Authenticator};
use crate::clock::SystemClock;
use crate::config::Rotation;
use crate::health::Health;
use crate::http::limits::HttpLimits;
use crate::http::{App, router};
use crate::limits::Limits;
use crate::node;
use crate::upkeep::UpkeepSettings;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";
const CLIENT_SPAN: &str = "00f067aa0ba902b7";

/// A collector.
#[derive(Debug, Clone, Default)]
struct Receiver {
    requests: Arc<Mutex<Vec<(HeaderMap, ExportTraceServiceRequest)>>>,
    /// So many requests are told to come again.
    refusals: Arc<AtomicUsize>,
}

async fn take(State(receiver): State<Receiver>, headers: HeaderMap, body: Bytes) -> Response {
    let left = receiver.refusals.load(Ordering::Relaxed);
    if left > 0 {
        receiver.refusals.store(left - 1, Ordering::Relaxed);
        return (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "0")]).into_response();
    }
    let request = ExportTraceServiceRequest::decode(body).unwrap();
    receiver.requests.lock().push((headers, request));
    StatusCode::OK.into_response()
}

impl Receiver {
    /// Begins to receive, and says where.
    async fn start(&self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/v1/traces", axum::routing::post(take));
        let serving = axum::serve(listener, router.with_state(self.clone()));
        tokio::spawn(async move { serving.await.unwrap() });
        format!("http://{address}")
    }

    fn spans(&self) -> Vec<Span> {
        let requests = self.requests.lock();
        let resources = requests.iter().flat_map(|(_, request)| &request.resource_spans);
        let scopes = resources.flat_map(|resource| &resource.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    fn resource(&self) -> Resource {
        let requests = self.requests.lock();
        requests[0].1.resource_spans[0].resource.clone().unwrap()
    }
}

/// A node of its own whose requests are traced.
struct Traced {
    app: Arc<App>,
    traces: Traces,
    _directory: TempDir,
}

impl Traced {
    async fn start(settings: TracingSettings) -> Self {
        let headers = headers_of("x-scope-orgid: blue").unwrap();
        let destination = Destination::new(&settings, headers, None).unwrap();
        let described = Described {
            node: 1,
            cluster: "blue".to_owned(),
        };
        let around: (_, Arc<dyn Clock>) = (node::world().unwrap(), Arc::new(SystemClock));
        let traces = Traces::start(&settings, destination, &described, around);
        let (directory, limits) = (TempDir::new().unwrap(), Limits::default());
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let told = (limits, Some(traces.clone()));
        let opened = node::open_alone_traced(Durability::Sync, directory.path(), key, told).unwrap();
        opened.cluster.ready().await.unwrap();
        let api = node::Api {
            region: "us-east-1".to_owned(),
            endpoint: "localhost".to_owned(),
            authenticator: Authenticator::AnyWellFormed(Arc::new(auth::root("AKIA1"))),
            upkeep: UpkeepSettings::default(),
            http_limits: HttpLimits::for_development(),
            backup: None,
            object_store: None,
            audit: None,
            fetch: None,
            rotation: Rotation::default(),
            limits,
            health: Health::new(Arc::new(SystemClock)),
            slow_request: None,
        };
        let app = node::app(&opened, api).await.unwrap();
        let node = Self {
            app,
            traces,
            _directory: directory,
        };
        let table = r#"{"TableName":"orders","BillingMode":"PAY_PER_REQUEST",
            "AttributeDefinitions":[{"AttributeName":"id","AttributeType":"S"}],
            "KeySchema":[{"AttributeName":"id","KeyType":"HASH"}]}"#;
        node.ask("CreateTable", table, None).await;
        node
    }

    /// Carries out an operation under a trace of the client's, if it has one; gives the request's id.
    async fn ask(&self, target: &str, body: &str, traceparent: Option<&str>) -> String {
        let mut request = http::Request::post("/")
            .header("host", "localhost")
            .header("content-type", "application/x-amz-json-1.0")
            .header("user-agent", "a-client/1")
            .header("x-amz-target", format!("DynamoDB_20120810.{target}"))
            .header("x-amz-date", "20261128T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIA1/20261128/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, \
                 Signature=0000000000000000000000000000000000000000000000000000000000000000",
            );
        if let Some(parent) = traceparent {
            request = request
                .header("traceparent", parent)
                .header("tracestate", "rojo=1");
        }
        let request = request.body(Body::from(body.to_owned())).unwrap();
        let response = router(Arc::clone(&self.app)).oneshot(request).await.unwrap();
        let id = response.headers()["x-amzn-requestid"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        id
    }

    async fn put(&self, id: usize, traceparent: Option<&str>) -> String {
        let body = format!(r#"{{"TableName":"orders","Item":{{"id":{{"S":"{id}"}}}}}}"#);
        self.ask("PutItem", &body, traceparent).await
    }
}

fn parent(flags: &str) -> String {
    format!("00-{TRACE}-{CLIENT_SPAN}-{flags}")
}

/// Attributes as text.
fn attributes(span: &Span) -> HashMap<&str, String> {
    let text = |value: &Value| match value {
        Value::StringValue(text) => text.clone(),
        Value::IntValue(number) => number.to_string(),
        Value::BoolValue(flag) => flag.to_string(),
        other => format!("{other:?}"),
    };
    let attributes = span.attributes.iter().map(|attribute| {
        let value = attribute.value.as_ref().and_then(|value| value.value.as_ref());
        (attribute.key.as_str(), value.map(text).unwrap_or_default())
    });
    attributes.collect()
}

/// The spans that are parts of another one, by name, in their order.
fn parts<'a>(spans: &'a [Span], whole: &Span) -> Vec<&'a Span> {
    let parts = spans
        .iter()
        .filter(|span| span.parent_span_id == whole.span_id && span.trace_id == whole.trace_id);
    let mut parts: Vec<_> = parts.collect();
    for part in &parts {
        assert!(
            part.start_time_unix_nano >= whole.start_time_unix_nano,
            "{part:?} of {whole:?}"
        );
        assert!(
            part.end_time_unix_nano <= whole.end_time_unix_nano,
            "{part:?} of {whole:?}"
        );
        assert!(part.start_time_unix_nano <= part.end_time_unix_nano, "{part:?}");
    }
    parts.sort_by(|one, two| one.name.cmp(&two.name));
    parts
}

fn names<'a>(parts: &[&'a Span]) -> Vec<&'a str> {
    parts.iter().map(|part| part.name.as_str()).collect()
}

fn root<'a>(spans: &'a [Span], name: &str) -> &'a Span {
    let mut roots = spans.iter().filter(|span| span.name == name);
    let root = roots
        .next()
        .unwrap_or_else(|| unreachable!("no {name} in {spans:?}"));
    assert!(roots.next().is_none(), "one {name}");
    root
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_put_and_a_query_are_trees_of_spans() {
    let receiver = Receiver::default();
    // What is refused for a moment is sent again.
    receiver.refusals.store(1, Ordering::Relaxed);
    let node = Traced::start(TracingSettings::for_tests(&receiver.start().await, 1.0)).await;
    let id = node.put(1, Some(&parent("01"))).await;
    let query = r#"{"TableName":"orders","KeyConditionExpression":"id = :id",
        "ExpressionAttributeValues":{":id":{"S":"1"}}}"#;
    node.ask("Query", query, None).await;
    node.traces.close().await;
    let spans = receiver.spans();

    let put = root(&spans, "DynamoDB.PutItem");
    assert_eq!(
        (hex::encode(&put.trace_id), hex::encode(&put.parent_span_id)),
        (TRACE.to_owned(), CLIENT_SPAN.to_owned())
    );
    assert_eq!(
        (put.kind(), put.trace_state.as_str()),
        (SpanKind::Server, "rojo=1")
    );
    let said = attributes(put);
    for (key, value) in [
        ("http.request.method", "POST"),
        ("http.response.status_code", "200"),
        ("aws.request_id", &id),
        ("db.system.name", "aws.dynamodb"),
        ("db.operation.name", "PutItem"),
        ("db.collection.name", "orders"),
        ("user_agent.original", "a-client/1"),
    ] {
        assert_eq!(
            said.get(key).map(String::as_str),
            Some(value),
            "{key} in {said:?}"
        );
    }
    let [route] = parts(&spans, put)[..] else {
        unreachable!("{spans:?}")
    };
    let said = attributes(route);
    assert_eq!(
        (route.name.as_str(), &*said["stator.node"], &*said["stator.tries"]),
        ("stator.route", "1", "1")
    );
    assert!(said["stator.range"].parse::<u32>().unwrap() < 256);
    let steps = parts(&spans, route);
    assert_eq!(
        names(&steps),
        ["stator.apply", "stator.commit", "stator.decide", "stator.log"]
    );
    assert!(
        steps
            .iter()
            .all(|step| step.status.is_none() && step.kind() == SpanKind::Internal)
    );

    let query = root(&spans, "DynamoDB.Query");
    assert!(query.parent_span_id.is_empty() && query.trace_id != put.trace_id && query.trace_id.len() == 16);
    assert!(names(&parts(&spans, query)).contains(&"stator.engine.scan"));
    let mut ids: Vec<_> = spans.iter().map(|span| &span.span_id).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), spans.len(), "every span has an id of its own");
    let counters = node.traces.counters();
    assert_eq!(counters.sent.load(Ordering::Relaxed), spans.len() as u64);
    assert_eq!(
        counters.queue_full.load(Ordering::Relaxed) + counters.not_taken.load(Ordering::Relaxed),
        0
    );
    assert_eq!(receiver.requests.lock()[0].0["x-scope-orgid"], "blue");
    let whose = Span {
        attributes: receiver.resource().attributes,
        ..Span::default()
    };
    let whose = attributes(&whose);
    assert_eq!(
        (&*whose["service.name"], &*whose["service.instance.id"]),
        ("stator", "1")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_decide_and_else_the_ratio() {
    for (ratio, traced) in [(0.0, vec![TRACE]), (1.0, vec![TRACE, ""])] {
        let receiver = Receiver::default();
        let node = Traced::start(TracingSettings::for_tests(&receiver.start().await, ratio)).await;
        node.put(1, Some(&parent("00"))).await;
        node.put(2, Some(&parent("01"))).await;
        node.put(3, None).await;
        node.traces.close().await;
        let spans = receiver.spans();
        let puts = spans.iter().filter(|span| span.name == "DynamoDB.PutItem");
        let puts: Vec<_> = puts.map(|put| hex::encode(&put.trace_id)).collect();
        assert_eq!(puts.len(), traced.len(), "{puts:?}");
        assert!(
            puts.iter()
                .zip(traced)
                .all(|(put, traced)| put.starts_with(traced)),
            "{puts:?}"
        );
        let is_of_put = |span: &Span| puts.contains(&hex::encode(&span.trace_id));
        assert!(
            ratio > 0.0 || spans.iter().all(is_of_put),
            "nothing else is traced"
        );
    }
}

#[tokio::test]
async fn the_ratio_is_the_share_of_the_traces() {
    let settings = TracingSettings::for_tests("http://127.0.0.1:9", 0.25);
    let destination = Destination::new(&settings, HeaderMap::new(), None).unwrap();
    let described = Described {
        node: 1,
        cluster: "blue".to_owned(),
    };
    let around: (_, Arc<dyn Clock>) = (node::world().unwrap(), Arc::new(SystemClock));
    let traces = Traces::start(&settings, destination, &described, around);
    let headers = HeaderMap::new();
    let roots: Vec<_> = (0..10_000).filter_map(|_| traces.begin(&headers)).collect();
    // Seven standard deviations.
    assert!((2_200..2_800).contains(&roots.len()), "{}", roots.len());
    let ids: std::collections::HashSet<_> = roots.iter().map(|root| (root.trace, root.span)).collect();
    assert_eq!(ids.len(), roots.len());
    let mut headers = HeaderMap::new();
    headers.insert("traceparent", HeaderValue::from_str(&parent("00")).unwrap());
    assert!((0..100).all(|_| traces.begin(&headers).is_none()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_for_a_collector_that_is_away_and_what_is_dropped_is_counted() {
    let away = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let mut settings = TracingSettings::for_tests(&away, 1.0);
    settings.queue_spans_max = 4.try_into().unwrap();
    let node = Traced::start(settings).await;
    for id in 0..20 {
        node.put(id, None).await;
    }
    node.traces.close().await;
    let read = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let counters = node.traces.counters();
    assert_eq!(read(&counters.sent), 0);
    assert!(
        read(&counters.not_taken) > 0 && read(&counters.queue_full) > 0,
        "{counters:?}"
    );
    // Whoever comes later is answered as well.
    node.put(21, Some(&parent("01"))).await;
}
