//! The HTTP face: method, path and size rules, request ids, checksums, CORS, compression. What is inside a body is the
//! part of `wire`; who sent it is the part of `auth`.
//!
//! Order of refusal: method, path and content type; JSON; target; signature; permission; everything else.

pub(crate) mod admin;
mod audit;
mod body;
mod connections;
mod dispatch;
pub(crate) mod guard;
mod impatient;
pub(crate) mod limits;
mod panic;
pub(crate) mod peer;
mod query;
mod room;
pub(crate) mod serve;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use bytes::Bytes;
use http::header::{
    ACCEPT_ENCODING, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
    ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS, CONNECTION,
    CONTENT_ENCODING, CONTENT_TYPE, ORIGIN, USER_AGENT,
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, request::Parts};
use stator_cluster::follow;
use stator_iam::{Principal, RequestView};

pub(crate) use self::audit::dropped as dropped_lines;
use self::audit::{Pending, Trail};
use self::dispatch::Asked;
use self::guard::Guard;
use self::peer::Peer;
use crate::audit::AuditLog;
use crate::auth::{self, Authenticator, DYNAMODB};
use crate::authorize::Caller;
use crate::clock_watch::ClockWatch;
use crate::health::Health;
use crate::identity::store::Identities;
use crate::keys::Keys;
use crate::metrics::{Concern, OperationMetrics, SyncMetrics};
use crate::operation::Context;
use crate::request_id::{RequestId, RequestIds};
use crate::trace::Traces;
use crate::wire::decode::is_json;
use crate::wire::error::ApiError;
use crate::wire::head::Head;
use crate::wire::target::Target;

const AMZ_JSON: HeaderValue = HeaderValue::from_static("application/x-amz-json-1.0");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-amzn-requestid");
const CRC32: HeaderName = HeaderName::from_static("x-amz-crc32");
const TARGET: HeaderName = HeaderName::from_static("x-amz-target");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Everything that a request needs.
pub(crate) struct App {
    pub(crate) context: Context,
    pub(crate) authenticator: Authenticator,
    /// Users, groups, roles and policies: who there is, and what they may do.
    pub(crate) identities: Arc<Identities>,
    pub(crate) health: Arc<Health>,
    pub(crate) request_ids: RequestIds,
    pub(crate) guard: Arc<Guard>,
    /// How long operations take, and how they end.
    pub(crate) operations: Arc<OperationMetrics>,
    /// How long syncs of the disk take.
    pub(crate) syncs: Arc<SyncMetrics>,
    /// How far the clocks of other nodes are from this one's.
    pub(crate) clocks: Arc<ClockWatch>,
    /// What the data is encrypted with.
    pub(crate) keys: Keys,
    /// Where it is written down who has asked for what, if anywhere.
    pub(crate) audit: Option<AuditLog>,
    /// From when on a request is slow, and logged.
    pub(crate) slow_request: Option<Duration>,
    /// Which requests are traced, if any are.
    pub(crate) traces: Option<Traces>,
}

/// The routes: one handler, because DynamoDB tells operations apart by a header.
pub(crate) fn router(app: Arc<App>) -> Router {
    Router::new().fallback(handle).with_state(app)
}

async fn handle(State(app): State<Arc<App>>, request: Request) -> Response {
    let id = app.request_ids.next();
    let is_cross_origin = request.headers().contains_key(ORIGIN);
    let (mut parts, body) = request.into_parts();
    let is_query = query::is_query(&parts);
    let traces = app.traces.as_ref().filter(|_| is_operation(&parts) && !is_query);
    let traced = traces.and_then(|traces| Some((traces, traces.begin(&parts.headers)?)));
    if let Some((_, root)) = traced {
        parts.extensions.insert(root);
    }
    let request = Request::from_parts(parts, body);
    // On the heap once, where it stays while layers around it are moved.
    let is_followed = app.slow_request.is_some();
    let answering = |request| {
        let answering = Box::pin(respond(&app, request, (id, is_query)));
        let known = follow::Request::new(id.name()).followed(is_followed);
        let known = known.traced(traced.map(|(traces, root)| traces.of(root)));
        follow::follow(known, answering)
    };
    let mut response = panic::guard(request, (id, is_query), answering).await;
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_bytes(id.as_bytes()) {
        headers.insert(REQUEST_ID, id);
    }
    if is_cross_origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(
            ACCESS_CONTROL_EXPOSE_HEADERS,
            HeaderValue::from_static("x-amzn-RequestId,x-amzn-ErrorType,x-amz-crc32,Date"),
        );
    }
    response
}

/// Whether it is sent to where operations are.
fn is_operation(parts: &Parts) -> bool {
    parts.method == Method::POST && parts.uri.path() == "/"
}

/// Answers a request, but for the headers that all answers have.
async fn respond(app: &App, request: Request, (id, is_query): (RequestId, bool)) -> Response {
    let (parts, body) = request.into_parts();
    let mut response = if is_query {
        query::answer(app, &parts, body, id).await
    } else if is_operation(&parts) {
        if is_amz_json(&parts.headers) {
            operation(app, &parts, body, id).await
        } else {
            unknown_operation()
        }
    } else if parts.method == Method::GET && parts.uri.path() == "/" {
        health(app)
    } else if let (&Method::GET, Some((status, words))) =
        (&parts.method, app.health.answer(parts.uri.path(), false))
    {
        plain(status, "text/plain", words.to_owned())
    } else if parts.uri.path().starts_with(admin::PREFIX) {
        admin::answer(app, &parts, body, id).await
    } else if parts.method == Method::OPTIONS {
        preflight(&parts.headers)
    } else {
        unknown_operation()
    };
    let sends_away = response.status().is_server_error() && parts.version < Version::HTTP_2;
    if sends_away && !app.context.cluster.reaches_majority() {
        // The client asks again, and over another connection it may come to another node.
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// The health check of balancers, in DynamoDB's words. A node that reaches no majority of its cluster fails it: every other
/// one can do more for clients.
fn health(app: &App) -> Response {
    let region = &app.context.region;
    let (status, word) = if app.context.cluster.reaches_majority() {
        (StatusCode::OK, "healthy")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "unhealthy")
    };
    let body = format!("{word}: dynamodb.{region}.amazonaws.com ");
    plain(status, "text/plain", body)
}

/// Answers a POST: one operation.
async fn operation(app: &App, parts: &Parts, body: Body, id: RequestId) -> Response {
    let mut pending = Pending::new(app, parts, id);
    let result = match body::read(&parts.headers, body, &app.guard).await {
        Ok(received) => {
            pending.read();
            answer(app, parts, &received, &mut pending.trail).await
        }
        Err(error) => Err(error),
    };
    pending.answered(&result);
    let (status, body) = match result {
        Ok(body) => (StatusCode::OK, body),
        Err(error) => {
            log(&error);
            (error.status(), error.body())
        }
    };
    amz_json(status, body, &parts.headers)
}

/// `received` are the bytes that were signed.
async fn answer(app: &App, parts: &Parts, received: &Bytes, trail: &mut Trail) -> Result<Vec<u8>, ApiError> {
    let target = parts
        .headers
        .get(TARGET)
        .and_then(|target| target.to_str().ok())
        .and_then(Target::parse);
    let Some(target) = target else {
        return Err(before_proof(parts, received, ApiError::UnknownOperation));
    };
    trail.target = Some(target);
    let principal = match authenticate(app, parts, received, DYNAMODB) {
        Ok(principal) => trail.principal.insert(principal),
        Err(error) => {
            trail.denied = audit::is_denial(&error);
            return Err(before_proof(parts, received, error));
        }
    };
    let _slot = app.guard.enter(&principal.arn).ok_or(ApiError::Throttling)?;
    let json = body::decoded(&parts.headers, received, body::BYTES_MAX, &app.guard)?;
    trail.json = json.clone();
    let asked = Asked {
        head: Head::new(&parts.headers),
        caller: &caller(app, parts, principal)?,
        concern: Concern {
            metrics: &app.operations,
            table: &trail.table,
        },
    };
    dispatch::run_for(target, &json, asked, &app.context).await
}

/// Why a request is refused of which nobody has proved to have sent it. That its body is no JSON comes first, but one that is
/// compressed is not looked into for that.
fn before_proof(parts: &Parts, received: &[u8], error: ApiError) -> ApiError {
    if body::is_compressed(&parts.headers) || is_json(received) {
        error
    } else {
        ApiError::Serialization(None)
    }
}

/// Who asks, once it is known which principal that is.
fn caller<'a>(app: &App, parts: &'a Parts, principal: &Principal) -> Result<Caller<'a>, stator_iam::Error> {
    let policies = app.identities.shown().directory().policies(principal);
    let peer = parts.extensions.get::<Peer>();
    let user_agent = parts.headers.get(USER_AGENT);
    Ok(Caller {
        policies: policies.ok_or(stator_iam::Error::UnrecognizedClient)?,
        source: peer.map(Peer::ip),
        secure: peer.is_some_and(|peer| peer.tls().is_some()),
        user_agent: user_agent.and_then(|value| value.to_str().ok()),
    })
}

/// Who sent a request to a service: who has signed it, or, if nobody has and no page in a browser has sent it, whose certificate its
/// connection has.
fn authenticate(app: &App, parts: &Parts, body: &[u8], service: &str) -> Result<Arc<Principal>, ApiError> {
    let peer = peer(parts);
    // A browser shows it for any page.
    let certified = peer.principal().filter(|_| !is_of_page(&parts.headers));
    let claimed = auth::claimed_key(parts);
    let key = claimed.or(certified.map(AsRef::as_ref));
    let now_ms = app.context.clock.now_ms();
    if let (None, Some(arn)) = (claimed, certified) {
        // The connection has proved it. Whoever fails at the same address, with another certificate or none, is in nobody's way.
        app.guard.proved(&peer, arn, now_ms);
    }
    if !app.guard.admits(&peer, key, now_ms) {
        return Err(ApiError::Throttling);
    }
    let mut headers: Vec<(&str, &[u8])> = parts
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_bytes()))
        .collect();
    // HTTP/2 carries the host in the request line's place.
    let authority = parts.uri.authority().map(http::uri::Authority::as_str);
    if let Some(authority) = authority.filter(|_| !parts.headers.contains_key(http::header::HOST)) {
        headers.push(("host", authority.as_bytes()));
    }
    let view = RequestView {
        method: parts.method.as_str(),
        path: parts.uri.path(),
        query: parts.uri.query().unwrap_or_default(),
        headers: &headers,
        body,
    };
    let proved = app.authenticator.authenticate_for(service, &view, now_ms);
    match (proved, certified) {
        (Ok(principal), _) => {
            app.guard.proved(&peer, &principal.access_key_id, now_ms);
            Ok(principal)
        }
        (Err(stator_iam::Error::MissingAuthenticationToken), Some(arn)) => {
            let Some(principal) = app.identities.shown().directory().principal(arn) else {
                app.guard.failed(&peer, key, now_ms);
                return Err(stator_iam::Error::UnrecognizedClient.into());
            };
            Ok(Arc::new(principal))
        }
        (Err(error), _) => {
            app.guard.failed(&peer, key, now_ms);
            Err(error.into())
        }
    }
}

/// Whether a page in a browser has sent a request, or a link to it was followed. A browser shows the certificate of its user for
/// whatever page makes it send something, forms and images included, so that it does not say that the user wants it.
///
/// Source: Fetch Standard, "`Origin` header"; W3C, "Fetch Metadata Request Headers".
fn is_of_page(headers: &HeaderMap) -> bool {
    headers.contains_key(ORIGIN) || headers.contains_key(SEC_FETCH_SITE)
}

/// The other end of the connection that a request came over.
fn peer(parts: &Parts) -> Peer {
    parts.extensions.get().cloned().unwrap_or_else(Peer::unknown)
}

fn log(error: &ApiError) {
    match error {
        ApiError::Internal(_) | ApiError::Unavailable(_) => {
            tracing::error!(%error, "request failed");
        }
        _ => tracing::debug!(%error, "request refused"),
    }
}

fn is_amz_json(headers: &HeaderMap) -> bool {
    let essence = essence(headers);
    essence.eq_ignore_ascii_case(b"application/x-amz-json-1.0")
        || essence.eq_ignore_ascii_case(b"application/json")
}

/// The content type without its parameters.
fn essence(headers: &HeaderMap) -> &[u8] {
    let content_type = headers
        .get(CONTENT_TYPE)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let essence = content_type.split(|byte| *byte == b';').next();
    essence.unwrap_or_default().trim_ascii()
}

/// A JSON response with its checksum, compressed if the client asks for it and it is worth it.
fn amz_json(status: StatusCode, body: Vec<u8>, request: &HeaderMap) -> Response {
    let accepts = request
        .get(ACCEPT_ENCODING)
        .map(HeaderValue::as_bytes)
        .unwrap_or_default();
    let (body, compressed) = body::compress(body, accepts);
    let checksum = crc32fast::hash(&body);
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, AMZ_JSON);
    headers.insert(CRC32, HeaderValue::from(checksum));
    if compressed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn plain(status: StatusCode, content_type: &'static str, body: String) -> Response {
    let checksum = crc32fast::hash(body.as_bytes());
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = status;
    response
        .headers_mut()
        .insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response.headers_mut().insert(CRC32, HeaderValue::from(checksum));
    response
}

/// What DynamoDB says to anything that is not a POST of JSON to `/`.
fn unknown_operation() -> Response {
    plain(
        StatusCode::NOT_FOUND,
        "application/xml",
        "<UnknownOperationException/>\n".to_owned(),
    )
}

/// Lets browsers in from anywhere; the signature is what protects, not the origin. A certificate counts for no page
/// ([`is_of_page`]).
fn preflight(request: &HeaderMap) -> Response {
    let mut response = plain(StatusCode::OK, "text/plain", String::new());
    let headers = response.headers_mut();
    headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(
        ACCESS_CONTROL_ALLOW_METHODS,
        HeaderValue::from_static("GET,POST,OPTIONS"),
    );
    headers.insert(ACCESS_CONTROL_MAX_AGE, HeaderValue::from_static("172800"));
    let asked = request.get(ACCESS_CONTROL_REQUEST_HEADERS).cloned();
    headers.insert(
        ACCESS_CONTROL_ALLOW_HEADERS,
        asked.unwrap_or(HeaderValue::from_static("*")),
    );
    response
}

#[cfg(test)]
mod tests;
