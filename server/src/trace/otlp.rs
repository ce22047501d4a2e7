//! Spans as messages of OTLP. Pure.
//!
//! Names and attributes are those of OpenTelemetry's semantic conventions for HTTP servers, databases and AWS where there are some,
//! and begin with `stator.` where there are none. Source: OpenTelemetry Protocol 1.x; Semantic Conventions 1.37.

use std::time::Duration;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};
use stator_cluster::follow::{self, Step};

use super::collector::Described;
use super::{Ended, RequestSpan};

const NAME: &str = "stator";
const SCHEMA: &str = "https://opentelemetry.io/schemas/1.37.0";
/// Of `flags`: it is known whether the parent is in another process, and it is (OTLP, `SpanFlags`); and the trace is recorded.
const REMOTE_KNOWN: u32 = 0x100;
const IS_REMOTE: u32 = 0x200;
const SAMPLED: u32 = 1;

/// Whose spans they are.
pub(super) fn resource(service_name: &str, described: &Described) -> Resource {
    Resource {
        attributes: vec![
            text("service.name", service_name),
            text("service.version", env!("CARGO_PKG_VERSION")),
            text("service.instance.id", &described.node.to_string()),
            text("service.namespace", &described.cluster),
        ],
        ..Resource::default()
    }
}

/// A request with these spans. `epoch_ns` is the Unix time, in nanoseconds, at which the steady clock was zero.
pub(super) fn request(resource: &Resource, ended: &[Ended], epoch_ns: u64) -> ExportTraceServiceRequest {
    let spans = ended.iter().map(|ended| match ended {
        Ended::Step(span) => of_step(span, epoch_ns),
        Ended::Request(request) => of_request(request, epoch_ns),
    });
    let scope = ScopeSpans {
        scope: Some(InstrumentationScope {
            name: NAME.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            ..InstrumentationScope::default()
        }),
        spans: spans.collect(),
        schema_url: SCHEMA.to_owned(),
    };
    ExportTraceServiceRequest {
        resource_spans: vec![ResourceSpans {
            resource: Some(resource.clone()),
            scope_spans: vec![scope],
            schema_url: SCHEMA.to_owned(),
        }],
    }
}

fn at(epoch_ns: u64, moment: Duration) -> u64 {
    let moment = u64::try_from(moment.as_nanos()).unwrap_or(u64::MAX);
    epoch_ns.saturating_add(moment)
}

fn of_step(span: &follow::Span, epoch_ns: u64) -> Span {
    let (name, kind, attributes) = step(&span.step);
    let remote = if kind == SpanKind::Server { IS_REMOTE } else { 0 };
    Span {
        trace_id: span.trace.0.to_vec(),
        span_id: span.id.0.to_vec(),
        parent_span_id: span.parent.0.to_vec(),
        flags: SAMPLED | REMOTE_KNOWN | remote,
        name,
        kind: kind.into(),
        start_time_unix_nano: at(epoch_ns, span.begun),
        end_time_unix_nano: at(epoch_ns, span.ended),
        attributes,
        status: span.failed.then(failed),
        ..Span::default()
    }
}

fn step(step: &Step) -> (String, SpanKind, Vec<KeyValue>) {
    let inner = |name: &str| (name.to_owned(), SpanKind::Internal, Vec::new());
    match step {
        Step::Route {
            range,
            leader,
            node,
            tries,
        } => {
            let mut attributes = vec![
                flag("stator.leader", *leader),
                number("stator.tries", u64::try_from(*tries).unwrap_or(u64::MAX)),
            ];
            attributes.extend(range.map(|range| number("stator.range", range.0.into())));
            attributes.extend(node.map(|node| number("stator.node", node.0)));
            ("stator.route".to_owned(), SpanKind::Internal, attributes)
        }
        Step::Ask { node, what } => {
            let attributes = vec![number("stator.peer", node.0)];
            (format!("stator.ask {what}"), SpanKind::Client, attributes)
        }
        Step::Serve { node, what } => {
            let attributes = vec![number("stator.peer", node.0)];
            (format!("stator.serve {what}"), SpanKind::Server, attributes)
        }
        Step::Decide => inner("stator.decide"),
        Step::Log => inner("stator.log"),
        Step::Commit => inner("stator.commit"),
        Step::Apply => inner("stator.apply"),
        Step::Barrier => inner("stator.barrier"),
        Step::Read => inner("stator.engine.read"),
        Step::Scan => inner("stator.engine.scan"),
    }
}

fn of_request(request: &RequestSpan, epoch_ns: u64) -> Span {
    let RequestSpan { root, operation, .. } = request;
    let is_fault = request.status >= 500;
    let remote = if root.parent.is_some() { IS_REMOTE } else { 0 };
    Span {
        trace_id: root.trace.0.to_vec(),
        span_id: root.span.0.to_vec(),
        parent_span_id: root.parent.map(|parent| parent.0.to_vec()).unwrap_or_default(),
        trace_state: request.state.clone().unwrap_or_default(),
        flags: SAMPLED | REMOTE_KNOWN | remote,
        name: operation.map_or_else(|| "POST".to_owned(), |operation| format!("DynamoDB.{operation}")),
        kind: SpanKind::Server.into(),
        start_time_unix_nano: at(epoch_ns, request.begun),
        end_time_unix_nano: at(epoch_ns, request.ended),
        attributes: attributes(request),
        // What a client does wrong is no failure of the server (Semantic Conventions, "HTTP spans", "Status").
        status: is_fault.then(failed),
        ..Span::default()
    }
}

fn attributes(request: &RequestSpan) -> Vec<KeyValue> {
    let scheme = if request.is_encrypted { "https" } else { "http" };
    let mut attributes = vec![
        text("http.request.method", "POST"),
        number("http.response.status_code", request.status.into()),
        text("url.path", "/"),
        text("url.scheme", scheme),
        text("network.protocol.version", request.http_version),
        text("aws.request_id", request.id.as_str()),
        text("db.system.name", "aws.dynamodb"),
    ];
    attributes.extend(request.operation.map(|name| text("db.operation.name", name)));
    if let Some(table) = &request.table {
        attributes.push(text("db.collection.name", table));
        attributes.push(texts("aws.dynamodb.table_names", &[table]));
    }
    attributes.extend(request.error.map(|code| text("error.type", code)));
    attributes.extend(request.client.map(|ip| text("client.address", &ip.to_string())));
    attributes.extend(
        request
            .user_agent
            .as_ref()
            .map(|agent| text("user_agent.original", agent)),
    );
    attributes
}

fn failed() -> Status {
    Status {
        code: StatusCode::Error.into(),
        ..Status::default()
    }
}

fn attribute(key: &str, value: Value) -> KeyValue {
    KeyValue {
        key: key.to_owned(),
        value: Some(AnyValue { value: Some(value) }),
        ..KeyValue::default()
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    attribute(key, Value::StringValue(value.to_owned()))
}

fn texts(key: &str, values: &[&String]) -> KeyValue {
    let values = values.iter().map(|value| AnyValue {
        value: Some(Value::StringValue((*value).clone())),
    });
    let values = values.collect();
    attribute(key, Value::ArrayValue(ArrayValue { values }))
}

fn number(key: &str, value: u64) -> KeyValue {
    attribute(key, Value::IntValue(i64::try_from(value).unwrap_or(i64::MAX)))
}

fn flag(key: &str, value: bool) -> KeyValue {
    attribute(key, Value::BoolValue(value))
}
