//! Calls that are not answered yet.
//!
//! Invariant: a call that is never answered, because it panics or because its client goes away, is written down and counted like
//! one that failed inside: it may have taken effect.

use std::sync::Arc;
use std::time::Duration;

use http::header::USER_AGENT;
use http::request::Parts;
use http::{StatusCode, Version};
use serde_json::Value;
use stator_iam::Principal;

use super::{App, Trail, cut, operation, own, query, slow};
use crate::http::peer::Peer;
use crate::identity::error::IdentityError;
use crate::request_id::RequestId;
use crate::trace::{RequestSpan, Root};
use crate::wire::error::ApiError;
use crate::wire::query::Api;
use crate::wire::query::form::Form;
use crate::wire::target::Target;

/// What the error of a call says that is never answered.
const NOT_ANSWERED: &str = "not answered";

/// An operation of DynamoDB's API.
pub(in crate::http) struct Pending<'a> {
    app: &'a App,
    parts: &'a Parts,
    id: RequestId,
    begun: Duration,
    /// How long it took to read the body; only known of a request that is followed.
    read: Option<Duration>,
    pub(in crate::http) trail: Trail,
    is_answered: bool,
}

impl<'a> Pending<'a> {
    pub(in crate::http) fn new(app: &'a App, parts: &'a Parts, id: RequestId) -> Self {
        Self {
            app,
            parts,
            id,
            begun: app.context.cluster.steady_now(),
            read: None,
            trail: Trail::default(),
            is_answered: false,
        }
    }

    /// Its body is there.
    pub(in crate::http) fn read(&mut self) {
        if self.app.slow_request.is_some() {
            self.read = Some(self.took());
        }
    }

    /// Writes it down with its answer.
    pub(in crate::http) fn answered(mut self, result: &Result<Vec<u8>, ApiError>) {
        self.is_answered = true;
        self.write(result);
    }

    fn took(&self) -> Duration {
        self.app.context.cluster.steady_now().saturating_sub(self.begun)
    }

    fn write(&self, result: &Result<Vec<u8>, ApiError>) {
        let Trail { target, table, .. } = &self.trail;
        let (table, took) = (table.get().map(Arc::as_ref), self.took());
        let error = result.as_ref().err().map(ApiError::code);
        self.app.operations.answered(*target, table, took, error);
        if self.app.slow_request.is_some_and(|slow| took >= slow) {
            slow::tell(&self.trail, took, self.read, error);
        }
        operation(self.app, self.parts, &self.trail, result, self.id);
        if let (Some(traces), Some(root)) = (&self.app.traces, self.parts.extensions.get::<Root>()) {
            traces.answered(self.span(*root, took, result));
        }
    }

    /// The span of the request, which is traced.
    fn span(&self, root: Root, took: Duration, result: &Result<Vec<u8>, ApiError>) -> RequestSpan {
        let Parts {
            version,
            headers,
            extensions,
            ..
        } = self.parts;
        let peer = extensions.get::<Peer>();
        let agent = headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let status = result.as_ref().err().map_or(StatusCode::OK, ApiError::status);
        RequestSpan {
            root,
            id: self.id,
            begun: self.begun,
            ended: self.begun.saturating_add(took),
            operation: self.trail.target.map(Target::name),
            table: self.trail.table.get().map(|table| table.name.clone()),
            status: status.as_u16(),
            error: result.as_ref().err().map(ApiError::code),
            http_version: if *version == Version::HTTP_2 { "2" } else { "1.1" },
            is_encrypted: peer.is_some_and(|peer| peer.tls().is_some()),
            client: peer.map(Peer::ip),
            user_agent: agent.map(|agent| cut(agent).to_owned()),
            state: root.state(headers),
        }
    }
}

impl Drop for Pending<'_> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.write(&Err(ApiError::Internal(NOT_ANSWERED.to_owned())));
        }
    }
}

/// What is asked of an API that has calls in the place of operations.
pub(in crate::http) trait Asked: Copy {
    type Answer;
    type Error;

    /// What is written down of one that is never answered.
    fn unanswered() -> Self::Error;

    fn write_down(self, call: &PendingCall<'_, Self>, result: &Result<Self::Answer, Self::Error>);
}

/// A call of the IAM or STS API.
impl Asked for (Api, &Form) {
    type Answer = String;
    type Error = IdentityError;

    fn unanswered() -> IdentityError {
        IdentityError::Internal(NOT_ANSWERED.to_owned())
    }

    fn write_down(self, call: &PendingCall<'_, Self>, result: &Result<String, IdentityError>) {
        let principal = call.principal.as_deref();
        query(call.app, call.parts, self, principal, (result, call.id));
    }
}

/// A call of Stator's own, by its name.
impl Asked for &'static str {
    type Answer = Value;
    type Error = ApiError;

    fn unanswered() -> ApiError {
        ApiError::Internal(NOT_ANSWERED.to_owned())
    }

    fn write_down(self, call: &PendingCall<'_, Self>, result: &Result<Value, ApiError>) {
        let principal = call.principal.as_deref();
        own(call.app, call.parts, self, principal, result, call.id);
    }
}

/// A call.
pub(in crate::http) struct PendingCall<'a, A: Asked> {
    app: &'a App,
    parts: &'a Parts,
    asked: A,
    id: RequestId,
    /// Who has proved to have sent it.
    pub(in crate::http) principal: Option<Arc<Principal>>,
    is_answered: bool,
}

impl<'a, A: Asked> PendingCall<'a, A> {
    pub(in crate::http) fn new(app: &'a App, parts: &'a Parts, asked: A, id: RequestId) -> Self {
        Self {
            app,
            parts,
            asked,
            id,
            principal: None,
            is_answered: false,
        }
    }

    /// Writes it down with its answer.
    pub(in crate::http) fn answered(mut self, result: &Result<A::Answer, A::Error>) {
        self.is_answered = true;
        self.asked.write_down(&self, result);
    }
}

impl<A: Asked> Drop for PendingCall<'_, A> {
    fn drop(&mut self) {
        if !self.is_answered {
            self.asked.write_down(self, &Err(A::unanswered()));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::panic::{AssertUnwindSafe, catch_unwind};

    use axum::body::Body;
    use serde_json::json;
    use stator_cluster::{Durability, MASTER_KEY_BYTES, MasterKey};
    use tempfile::TempDir;
    use tower::ServiceExt as _;

    use super::*;
    use crate::audit::AuditLog;
    use crate::auth::{self, Authenticator};
    use crate::clock::SystemClock;
    use crate::config::Rotation;
    use crate::health::Health;
    use crate::http::limits::HttpLimits;
    use crate::http::{admin, router};
    use crate::limits::Limits;
    use crate::log::LogFormat;
    use crate::log::tests::Lines;
    use crate::node;
    use crate::upkeep::UpkeepSettings;

    /// A node with an audit log in this directory.
    async fn app(directory: &TempDir, slow_request: Option<Duration>) -> Arc<App> {
        app_limited(directory, slow_request, HttpLimits::for_development()).await
    }

    async fn app_limited(
        directory: &TempDir,
        slow_request: Option<Duration>,
        http_limits: HttpLimits,
    ) -> Arc<App> {
        let settings = json!({"file": directory.path().join("audit.jsonl")});
        let settings = serde_json::from_value(settings).unwrap();
        let tell_dropped = Box::new(|count: u64| count.to_string().into_bytes());
        let audit = AuditLog::start(settings, Arc::new(SystemClock), tell_dropped).unwrap();
        let limits = Limits::default();
        let key = MasterKey::new([3; MASTER_KEY_BYTES]);
        let opened = node::open_alone(Durability::Interval, directory.path(), key, limits).unwrap();
        opened.cluster.ready().await.unwrap();
        let api = node::Api {
            region: "us-east-1".to_owned(),
            endpoint: "localhost".to_owned(),
            authenticator: Authenticator::AnyWellFormed(Arc::new(auth::root("AKIA1"))),
            upkeep: UpkeepSettings::default(),
            http_limits,
            backup: None,
            object_store: None,
            audit: Some(audit),
            fetch: None,
            rotation: Rotation::default(),
            limits,
            health: Health::new(Arc::new(SystemClock)),
            slow_request,
        };
        node::app(&opened, api).await.unwrap()
    }

    #[tokio::test]
    async fn a_certificate_of_somebody_who_is_gone_is_refused_and_written_down_as_often_as_other_failures() {
        let directory = TempDir::new().unwrap();
        let limits = HttpLimits {
            authentication_failures_burst: 2,
            authentication_failures_per_minute: 1,
            ..HttpLimits::default()
        };
        let app = app_limited(&directory, None, limits).await;
        let peer = |who: &str| {
            let arn = format!("arn:aws:iam::000000000000:{who}");
            Peer::new("10.0.0.1:7".parse().unwrap(), None, Some(arn.into()))
        };
        let ask = async |peer: &Peer| {
            let request = http::Request::get(admin::STATUS_PATH).header("host", "localhost");
            let request = request.extension(peer.clone()).body(Body::empty());
            let response = router(Arc::clone(&app)).oneshot(request.unwrap()).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let (gone, root) = (peer("user/gone"), peer("root"));
        for _ in 0..2 {
            let said = ask(&gone).await;
            assert!(said.contains("UnrecognizedClient"), "{said}");
        }
        let said = ask(&gone).await;
        assert!(said.contains("Throttling"), "{said}");
        let said = ask(&root).await;
        assert!(
            said.contains("now_ms"),
            "it is at the same address, for the first time: {said}"
        );
        let lines = lines(&app, &directory);
        let refused = lines.iter().filter(|line| !line["errorCode"].is_null());
        assert_eq!(refused.count(), 2);
    }

    /// The lines of the log, which is closed.
    fn lines(app: &App, directory: &TempDir) -> Vec<Value> {
        app.audit.as_ref().unwrap().close();
        let text = std::fs::read_to_string(directory.path().join("audit.jsonl")).unwrap();
        let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.collect()
    }

    #[tokio::test]
    async fn what_is_never_answered_is_written_down_once_it_is_known_who_has_asked() {
        let directory = TempDir::new().unwrap();
        let app = app(&directory, None).await;
        let (parts, ()) = http::Request::new(()).into_parts();
        let root = || Some(Arc::new(auth::root("AKIA1")));
        let ids = [(); 4].map(|()| app.request_ids.next());

        // A client goes away.
        let mut pending = Pending::new(&app, &parts, ids[0]);
        pending.trail.target = Some(Target::DeleteTable);
        pending.trail.principal = root();
        pending.trail.json = r#"{"TableName":"Tab"}"#.into();
        drop(pending);
        // Nobody knows who has asked, so nobody has been let do anything.
        drop(Pending::new(&app, &parts, ids[1]));
        // A bug.
        let panicked = catch_unwind(AssertUnwindSafe(|| {
            let mut pending = Pending::new(&app, &parts, ids[2]);
            pending.trail.target = Some(Target::UpdateTable);
            pending.trail.principal = root();
            panic!("on purpose");
        }));
        assert!(panicked.is_err());
        // An answer is written down as it is.
        let mut pending = Pending::new(&app, &parts, ids[3]);
        pending.trail.target = Some(Target::CreateTable);
        pending.trail.principal = root();
        pending.answered(&Err(ApiError::validation("no")));

        let lines = lines(&app, &directory);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (&line["eventName"], &line["errorCode"], &line["requestID"]))
            .collect();
        let unknown = json!("InternalServerError");
        assert_eq!(
            told,
            [
                (&json!("DeleteTable"), &unknown, &json!(ids[0].as_str())),
                (&json!("UpdateTable"), &unknown, &json!(ids[2].as_str())),
                (
                    &json!("CreateTable"),
                    &json!("ValidationException"),
                    &json!(ids[3].as_str())
                ),
            ]
        );
        assert_eq!(lines[0]["requestParameters"], json!({"tableName": "Tab"}));
    }

    #[tokio::test]
    async fn a_call_of_an_operator_who_goes_away_is_written_down() {
        let directory = TempDir::new().unwrap();
        let app = app(&directory, None).await;
        let (parts, ()) = http::Request::post(admin::NODES_PATH)
            .body(())
            .unwrap()
            .into_parts();
        let ids = [(); 3].map(|()| app.request_ids.next());
        let pending = |id: RequestId, is_known: bool| {
            let mut pending = PendingCall::new(&app, &parts, "ChangeNodes", id);
            pending.principal = is_known.then(|| Arc::new(auth::root("AKIA1")));
            pending
        };
        drop(pending(ids[0], true));
        // Nobody knows who has asked, so nobody has been let do anything.
        drop(pending(ids[1], false));
        pending(ids[2], true).answered(&Ok(json!({})));
        let lines = lines(&app, &directory);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (&line["eventName"], &line["errorCode"], &line["requestID"]))
            .collect();
        let name = json!("ChangeNodes");
        let (error, none) = (json!("InternalServerError"), json!(null));
        let (first, last) = (json!(ids[0].as_str()), json!(ids[2].as_str()));
        assert_eq!(told, [(&name, &error, &first), (&name, &none, &last)]);
    }

    #[tokio::test]
    async fn what_nobody_has_proved_is_written_down_only_if_that_is_why_it_is_refused() {
        let directory = TempDir::new().unwrap();
        let limits = HttpLimits {
            authentication_failures_burst: 2,
            authentication_failures_per_minute: 1,
            ..HttpLimits::default()
        };
        let app = app_limited(&directory, None, limits).await;
        let ask = async |request: http::request::Builder, body: &'static str| {
            let request = request.header("host", "localhost").body(Body::from(body));
            let response = router(Arc::clone(&app)).oneshot(request.unwrap()).await.unwrap();
            let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
            String::from_utf8(body.to_vec()).unwrap()
        };
        let status = || http::Request::get(admin::STATUS_PATH);
        // It announces more than is ever read.
        let large = status().header("expect", "100-continue");
        let said = ask(large.header("content-length", "1000000000"), "").await;
        assert!(!said.contains("MissingAuthenticationToken"), "{said}");
        for _ in 0..2 {
            let said = ask(status(), "").await;
            assert!(said.contains("MissingAuthenticationToken"), "{said}");
        }
        let list = http::Request::post("/")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", "DynamoDB_20120810.ListTables");
        let form = http::Request::post("/").header("content-type", "application/x-www-form-urlencoded");
        let form_body = "Action=GetCallerIdentity&Version=2011-06-15";
        for (request, body) in [(status(), ""), (list, "{}"), (form, form_body)] {
            let said = ask(request, body).await;
            assert!(said.contains("Throttling"), "{said}");
        }
        let lines = lines(&app, &directory);
        let told: Vec<_> = lines
            .iter()
            .map(|line| (line["eventName"].as_str(), line["errorCode"].as_str()))
            .collect();
        let denied = (Some("GetStatus"), Some("MissingAuthenticationTokenException"));
        assert_eq!(told, [denied; 2]);
    }

    /// Carries out an operation; gives the request's id.
    async fn ask(app: &Arc<App>, target: &str, body: &Value) -> String {
        let request = http::Request::post("/")
            .header("host", "localhost")
            .header("content-type", "application/x-amz-json-1.0")
            .header("x-amz-target", format!("DynamoDB_20120810.{target}"))
            .header("x-amz-date", "20261128T000000Z")
            .header(
                "authorization",
                "AWS4-HMAC-SHA256 Credential=AKIA1/20261128/us-east-1/dynamodb/aws4_request, SignedHeaders=host;x-amz-date;x-amz-target, \
                 Signature=0000000000000000000000000000000000000000000000000000000000000000",
            )
            .body(Body::from(body.to_string()));
        let response = router(Arc::clone(app)).oneshot(request.unwrap()).await.unwrap();
        let id = response.headers()["x-amzn-requestid"]
            .to_str()
            .unwrap()
            .to_owned();
        let status = response.status();
        let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
        assert_eq!(status, StatusCode::OK, "{}", String::from_utf8_lossy(&body));
        id
    }

    #[tokio::test]
    async fn slow_requests_are_logged_with_where_the_time_went_and_others_are_not() {
        let table = json!({"TableName": "orders", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}]});
        let put = json!({"TableName": "orders", "Item": {"id": {"S": "1"}}});
        let said = |lines: &Lines, id: &str| {
            let lines = lines.json().into_iter();
            lines
                .filter(|line| line["message"] == "a request was slow" && line["request_id"] == id)
                .collect::<Vec<_>>()
        };
        for (slow, count) in [(Duration::ZERO, 1), (Duration::from_secs(3600), 0)] {
            let directory = TempDir::new().unwrap();
            let (lines, _guard) = Lines::take(LogFormat::Json);
            let app = app(&directory, Some(slow)).await;
            ask(&app, "CreateTable", &table).await;
            let id = ask(&app, "PutItem", &put).await;
            let lines = said(&lines, &id);
            assert_eq!(lines.len(), count);
            for line in lines {
                assert_eq!(
                    (&line["operation"], &line["table"]),
                    (&json!("PutItem"), &json!("orders"))
                );
                assert_eq!(
                    (&line["slowest_node"], &line["slowest_tries"]),
                    (&json!(1), &json!(1))
                );
                assert!(
                    line["slowest_range"].as_u64().is_some_and(|range| range < 256),
                    "{line}"
                );
                assert!(line["took_ms"].as_u64() >= line["slowest_ms"].as_u64(), "{line}");
                assert!(
                    line["principal"]
                        .as_str()
                        .is_some_and(|arn| arn.ends_with(":root")),
                    "{line}"
                );
            }
        }
    }
}
